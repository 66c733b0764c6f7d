"""Predictions and checkpoints of anybody: whole, or one sentence, and never elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.contract import DatasetRecord
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, from_copick, from_json, to_json
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.predictions import (
    frozen_point,
    open_all,
    to_prediction,
    write_all,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "candidates").mkdir()
    save(tmp_path)
    return tmp_path


def save(folder: Path, **changes: Any) -> None:
    kinds = tuple(p.name for p in CHALLENGE)
    picks = Picks.of_one("TS_1", kinds, np.arange(3), np.ones((3, 3)), np.full(3, 0.5))
    prediction = to_prediction(picks, CHALLENGE, {"threshold": 0.4}, group="TS_1")
    values = {"group": np.array("TS_1"), **prediction.values, **changes}
    np.savez(folder / "candidates" / "TS_1.npz", **values)


def test_candidates_come_back_as_they_were_written(folder: Path) -> None:
    assert open_all(folder)["TS_1"].values["scores"].tolist() == [0.5] * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": np.ones((2, 3))},
        {"positions": np.full((3, 3), np.nan)},
        {"positions": np.array(["x"])},
        {"scores": np.array(1.0)},
        {"kind_index": np.array([0, 1, 99])},
        {"kinds": np.array([1, 2, 3])},
        {"thresholds": np.array("[1")},
        {"thresholds": np.array('{"ribosome": "x"}')},
        {"particles": np.array('{"name": 1}')},
        {"group": np.array(["a", "b"])},
    ],
)
def test_candidates_that_do_not_fit_together_are_one_sentence(
    folder: Path, changes: dict[str, Any]
) -> None:
    save(folder, **changes)
    with pytest.raises(DataFormatError, match=r"TS_1\.npz"):
        open_all(folder)["TS_1"]


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"thresholds": [1]}', '{"thresholds": {"a": "x"}}', "[" * 100_000]
)
def test_thresholds_that_are_none_are_one_sentence(folder: Path, content: str) -> None:
    (folder / "operating_point.json").write_text(content)
    with pytest.raises(DataFormatError, match="operating_point"):
        frozen_point(folder)


@pytest.mark.parametrize(
    "name", ["/../../x", "a/b", "a\\b", "C:x", "a\nb", "\ud800", "", "x" * 200]
)
def test_a_kind_whose_name_leads_elsewhere_is_refused(name: str) -> None:
    """Names become file names: such a kind of a data set or a model wrote outside its folder."""
    entry = {"name": name, "label": 1, "radius": 60.0}
    with pytest.raises(DataFormatError):
        from_copick([entry])
    kept = [{**vars(CHALLENGE[0]), "name": name}]
    with pytest.raises(DataFormatError):
        from_json(json.dumps(kept))


@pytest.mark.parametrize("text", ["{", "[]", "[1]", '[{"name": "a"}]', "[" * 100_000, "3"])
def test_kinds_of_a_model_that_are_none_are_one_sentence(text: str) -> None:
    with pytest.raises(DataFormatError):
        from_json(text)
    assert from_json(to_json(CHALLENGE)) == CHALLENGE


def test_a_second_prediction_into_a_folder_is_scored_without_the_first(tmp_path: Path) -> None:
    """Candidates of tomograms that the second one is not about stayed, and were scored with it."""
    kinds = tuple(p.name for p in CHALLENGE)
    record = DatasetRecord("d", "cryoet_picking", "d", tmp_path, (), (), {}, "", "")
    for name in ("TS_1", "TS_2"):
        picks = Picks.of_one(name, kinds, np.arange(3), np.ones((3, 3)), np.full(3, 0.5))
        made = to_prediction(picks, CHALLENGE, {"threshold": 0.4}, group=name)
        list(write_all([made], record, tmp_path))
    assert list(open_all(tmp_path)) == ["TS_2"]
    folders = (tmp_path / "picks" / "ExperimentRuns").glob("*/Picks/*.json")
    assert {path.parent.parent.name for path in folders} == {"TS_2"}
