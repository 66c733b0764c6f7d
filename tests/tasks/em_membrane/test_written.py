"""A prediction on disk is whole, or the former one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pipelines.contract import Prediction
from pipelines.errors import DataFormatError
from pipelines.tasks.em_membrane.data import open_label_stack
from pipelines.tasks.em_membrane.predictions import StoredPredictions, write


def sections(count: int, *, value: float, fails: bool = False) -> Iterator[Prediction]:
    for index in range(count):
        probability = np.full((8, 8), value, np.float32)
        values = {"probability": probability, "mask": probability > 0.5}
        yield Prediction(f"stack:{index:03d}", "stack", values)
    if fails:
        raise KeyboardInterrupt


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_shorter_prediction_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    list(write(sections(5, value=0.25), tmp_path))
    list(write(sections(2, value=0.75), tmp_path))
    assert [name for name in files(tmp_path) if "mask/" in name] == [
        "png/mask/0000.png",
        "png/mask/0001.png",
    ]
    assert len(StoredPredictions(tmp_path)) == 2


def test_a_prediction_that_breaks_off_leaves_the_former_one(tmp_path: Path) -> None:
    """A full disk left a `probability.tif` that ends too early."""
    (tmp_path / "new").mkdir()
    with pytest.raises(KeyboardInterrupt):
        list(write(sections(2, value=0.75, fails=True), tmp_path / "new"))
    assert files(tmp_path / "new") == []
    list(write(sections(3, value=0.25), tmp_path))
    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(write(sections(2, value=0.75, fails=True), tmp_path))
    assert files(tmp_path) == before
    stored = StoredPredictions(tmp_path)
    assert {float(p.values["probability"].max()) for p in stored.values()} == {0.25}


def test_an_image_that_is_given_for_the_truth_is_refused(tmp_path: Path) -> None:
    """Its grey values were read as the numbers of cells, and figures were computed."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (2, 64, 64), dtype=np.uint8)
    cells = np.kron(generator.integers(1, 200, (2, 8, 8), dtype=np.uint8), np.ones((1, 8, 8), "u1"))
    for name, pixels in (("image", image), ("cells", cells)):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="minisblack")
    with pytest.raises(DataFormatError, match=r"image\.tif"):
        open_label_stack(tmp_path / "image.tif")
    assert len(open_label_stack(tmp_path / "cells.tif")) == 2
