"""Arrays of anybody are arrays, or one sentence."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipelines.core import arrays
from pipelines.core.arrays import read_arrays
from pipelines.errors import DataFormatError


class Harm:
    """Leave a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.arange(6).reshape(2, 3), b=np.array(["x", "y"]))
    return path


def test_arrays_come_back_as_they_were_saved(file: Path) -> None:
    found = read_arrays(file)
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"].tolist() == ["x", "y"]


def test_damage_anywhere_ends_in_arrays_or_a_sentence(file: Path) -> None:
    """A bad archive, a bad checksum and a broken stream each came out as another exception."""
    whole = file.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            content[place] = generator.integers(256)
        file.write_bytes(content[: generator.integers(1, 2 * len(content))])
        with contextlib.suppress(DataFormatError):
            read_arrays(file)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "harm"
    np.savez(tmp_path / "a.npz", a=np.array([Harm(mark)], dtype=object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Harm(mark)))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataFormatError):
            read_arrays(tmp_path / name)
    assert not mark.exists()


def test_more_than_any_prediction_holds_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_MOST_BYTES", 100)
    with pytest.raises(DataFormatError):
        read_arrays(file)
