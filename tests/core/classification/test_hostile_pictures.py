"""What is no picture, too much of one, or a table of another alphabet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.core.classification import images
from pipelines.core.classification.images import Entry, PictureReader, Source
from pipelines.errors import DataFormatError
from pipelines.registry import get_task


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
