"""Pictures that are nearly the same are found, and what only looks alike in outline is not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.core.classification import near
from pipelines.core.classification.images import PictureReader, decode_all, open_source
from pipelines.core.classification.near import NearSearch, find_near_copies, likeness
from pipelines.errors import DataFormatError


def cell(seed: int) -> np.ndarray:
    """Draw a textured disc on black: every one has the same outline."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(size=(120, 120)), (0, 0), 9)
    grey = np.clip(110 + texture / texture.std() * 35, 20, 255)
    rows, columns = np.mgrid[-60:60, -60:60]
    inside = np.hypot(rows, columns) < 45
    return (grey * inside)[..., None].repeat(3, axis=2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six cells; the last is the first one smaller, brighter and compressed."""
    for seed in range(5):
        Image.fromarray(cell(seed)).save(tmp_path / f"{seed}.png")
    small = cv2.resize(cell(0), (90, 90), interpolation=cv2.INTER_AREA)
    bright = np.where(small > 12, np.clip(small * 1.1, 0, 255), small).astype(np.uint8)
    Image.fromarray(bright).save(tmp_path / "5.jpg", quality=80)
    return tmp_path


def test_a_changed_copy_is_found_and_cells_of_one_outline_are_not(folder: Path) -> None:
    source = open_source(folder)
    names = [entry.name for entry in source.entries]
    pairs = find_near_copies(source.entries, PictureReader(source.path))
    assert [{names[a], names[b]} for a, b in pairs] == [{"0.png", "5.jpg"}]


def test_an_unreadable_picture_is_in_no_pair(folder: Path) -> None:
    (folder / "6.png").write_bytes(b"no picture")
    source = open_source(folder)
    assert len(find_near_copies(source.entries, PictureReader(source.path))) == 1


def test_few_pictures_are_waited_for_and_many_are_looked_at_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(folder)
    reader = PictureReader(source.path)
    found = NearSearch(source.entries, reader).result()
    assert found is not None
    assert len(found) == 1
    monkeypatch.setattr(near, "AT_ONCE", 3)
    behind = NearSearch(source.entries, reader)
    assert not behind.is_at_once
    behind.result()
    assert behind._thread is not None
    behind._thread.join()
    assert behind.result() == found


def test_what_the_report_decoded_is_not_decoded_again(folder: Path) -> None:
    source = open_source(folder)
    reader = PictureReader(source.path)
    found = find_near_copies(source.entries, reader)
    search = NearSearch(source.entries, reader)
    for index, pixels in enumerate(decode_all(reader, source.entries)):
        assert not isinstance(pixels, DataFormatError)
        search.see(index, pixels)
    for entry in source.entries:
        (folder / entry.name).unlink()
    assert search.result() == found


def test_likeness_is_that_of_what_both_show() -> None:
    first, other = cell(1)[..., 0], cell(2)[..., 0]
    assert likeness(first, first) == pytest.approx(1.0)
    assert likeness(first, other) < 0.5
    assert likeness(first, np.zeros_like(first)) == 0.0
    inside = first > 12
    expected = np.corrcoef(first[inside], other[inside])[0, 1]
    both = inside & (other > 12)
    assert both.sum() == inside.sum()
    assert likeness(first, other) == pytest.approx(expected)
