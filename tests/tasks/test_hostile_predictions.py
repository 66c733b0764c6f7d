"""Tables and arrays of predicted classes: shares, or one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.core.classification import files
from pipelines.errors import DataFormatError


def save(folder: Path, **changes: Any) -> Path:
    values = {
        "item_id": np.array(["a/1.png", "b/2.png"]), "group": np.array(["", "g"]),
        "probabilities": np.array([[0.5, 0.5], [0.2, 0.8]]), "classes": np.array(['["a", "b"]']),
        "rich_id": np.array(["b/2.png"]), "features": np.ones((1, 4)), "temperature": np.array(1.5),
    }  # fmt: skip
    np.savez(folder / files.ARRAYS, **{**values, **changes})
    return folder


def test_arrays_of_predictions_come_back(tmp_path: Path) -> None:
    found = files.read(save(tmp_path))
    assert found["b/2.png"].values["probabilities"].tolist() == [0.2, 0.8]
    assert found["b/2.png"].group == "g"
    assert "features" not in found["a/1.png"].values


@pytest.mark.parametrize(
    "changes",
    [
        {"probabilities": np.array([[0.5, 0.5]])},
        {"probabilities": np.full((2, 2), np.nan)},
        {"probabilities": np.array([[0.5, 0.5], [-1.0, 2.0]])},
        {"probabilities": np.zeros((2, 5))},
        {"probabilities": np.array(["x", "y"])},
        {"classes": np.array(["[1"])},
        {"classes": np.array([])},
        {"classes": np.array(["3"])},
        {"temperature": np.array([])},
        {"temperature": np.array(0.0)},
        {"temperature": np.array(["x"])},
        {"rich_id": np.array(1)},
        {"rich_id": np.array(["a/1.png", "b/2.png"])},
        {"item_id": np.array([])},
        {"group": np.array(1)},
    ],
)
def test_arrays_that_do_not_fit_together_are_one_sentence(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(DataFormatError, match=files.ARRAYS):
        files.read(save(tmp_path, **changes))


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "1.5"])
def test_a_share_of_a_table_is_a_share(tmp_path: Path, value: str) -> None:
    """With two columns of shares nobody looked, and figures were computed of NaN."""
    path = tmp_path / files.TABLE
    path.write_text(f"file,class,confidence,p_a,p_b\nx.png,a,0.5,{value},0.5\n")
    with pytest.raises(DataFormatError, match=files.TABLE):
        files.read(path)
