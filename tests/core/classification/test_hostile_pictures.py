"""What is no picture, too much of one, or a table of another alphabet."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.core.classification import images
from pipelines.core.classification.images import Entry, PictureReader, Source, decode_all
from pipelines.core.classification.labels import parse_table
from pipelines.errors import DataFormatError
from pipelines.registry import get_task
from tests.wording import assert_clear


def picture() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_file_larger_than_any_picture_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """108 GB of nothing, called .png, once were read before anybody looked at their head."""
    (tmp_path / "a.png").write_bytes(b"x" * 1000)
    monkeypatch.setattr(images, "_MOST_FILE_BYTES", 999)
    with pytest.raises(DataFormatError, match="larg"):
        PictureReader(tmp_path).read_bytes(Entry("a.png", 1000))


def test_pictures_of_which_none_can_be_read_are_no_data_set(tmp_path: Path) -> None:
    task = get_task("own_images")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"no picture")
    assert not task.inspect(tmp_path, {}).is_usable
    (tmp_path / "one" / "b.png").write_bytes(picture())
    assert task.inspect(tmp_path, {}).is_usable


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_of_any_excel_keeps_its_accents(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("id,étiquette\na,évolué".encode(encoding))
    assert Source(tmp_path, (), ("t.csv",), ()).read_table("t.csv") == "id,étiquette\na,évolué"


def test_spaces_around_the_names_of_columns_do_not_count() -> None:
    """`file, class` was a table without a column "class" when its rows were read."""
    assert parse_table("file , class\na.png, x\n", "t.csv").rows[0] == {
        "file": "a.png",
        "class": "x",
    }


@pytest.mark.parametrize(
    "text",
    [
        "id,label" + "".join(f",c{i}" for i in range(20_000)) + "\n" + "a,1\n" * 5,
        "id,label\n" + "a,1\n" * 600_001,
        "".join(f"c{i}," for i in range(1000)) + "\n" + "a\n" * 20_001,
    ],
    ids=["columns", "rows", "both"],
)
def test_a_table_larger_than_any_of_labels_is_refused_within_bounds(text: str) -> None:
    """A header of a million columns once took 100 MB for each row below it."""
    with pytest.raises(DataFormatError, match="more than 1,000 columns, or more than"):
        parse_table(text, "t.csv")


def test_a_tiff_whose_strips_are_counted_as_none_is_damaged(tmp_path: Path) -> None:
    """It ended in an IndexError, and so did the training that met it."""
    kinds = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 3, 110), (259, 3, 1, 1), (262, 3, 1, 2),
             (273, 4, 0, 120), (277, 3, 1, 3), (279, 4, 0, 48)]  # fmt: skip
    tags = b"".join(struct.pack("<HHII", *kind) for kind in kinds)
    content = struct.pack("<4sIH", b"II\x2a\0", 8, len(kinds)) + tags + bytes(4)
    (tmp_path / "a.tif").write_bytes(content + struct.pack("<3H", 8, 8, 8) + bytes(100))
    with pytest.raises(DataFormatError):
        PictureReader(tmp_path).read(Entry("a.tif", 0))


def test_pictures_that_cannot_be_read_are_not_kept_in_memory(tmp_path: Path) -> None:
    """Their errors held what had been read through their tracebacks: 63 MB a file."""
    (tmp_path / "a.png").write_bytes(bytes(4_000_000))
    entries = [Entry("a.png", 4_000_000)] * 40
    tracemalloc.start()
    errors = list(decode_all(PictureReader(tmp_path), entries, num_threads=2))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(isinstance(error, DataFormatError) for error in errors)
    assert held < 8_000_000


def test_an_answer_on_a_picture_that_shows_nothing_is_doubted() -> None:
    """A picture of one pixel was given a class with a confidence of 0.97, and nothing else."""
    task = get_task("own_images")
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    assert task.doubt("a.png", noise) is None
    for pixels, text_id in ((noise[:1, :1], "classes.tiny"), (noise * 0, "classes.constant")):
        doubt = task.doubt("a.png", pixels)
        assert doubt.id == text_id
        assert_clear(doubt, "a.png")


def test_a_quote_without_end_is_no_label_of_thousands_of_characters() -> None:
    """Sentences repeated the rest of the table as the name of a class."""
    (row,) = parse_table('id,label\n"' + "a,1\n" * 5000, "t.csv").rows
    assert len(row["id"]) <= 500
