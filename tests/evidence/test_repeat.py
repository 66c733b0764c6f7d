from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.contract import Prediction
from pipelines.core.files import write_json
from pipelines.errors import (
    CheckpointNotFoundError,
    DatasetNotFoundError,
    PipelineError,
    RunConflictError,
    RunNotFoundError,
)
from pipelines.evidence.repeat import (
    compare_predictions,
    compare_runs,
    plan_repeat,
)
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Run
from pipelines.text import render
from tests.jobs import fake_task


def words(report) -> str:
    return " ".join(render(text, "en") for text in (report.verdict, *report.sentences()))


def repeat(run: Run, settings) -> Run:
    return worker.work(store.create_run(plan_repeat(run), settings).folder)


@pytest.fixture
def first(new_run) -> Run:
    return worker.work(new_run(steps=2, seed=3).folder)


def test_a_repetition_of_a_sure_training_is_the_same(first: Run, settings) -> None:
    second = repeat(first, settings)
    report = compare_runs(first, second)

    assert second.request.repeats == first.run_id
    assert second.request.config == first.request.config
    assert second.split() == first.split()
    assert report.is_same
    assert report.causes == ()
    assert "answers for 2 items are the same to the last bit" in words(report)
    assert json.dumps(report.to_json())


def test_a_prediction_is_repeated_with_its_checkpoint(first: Run, settings) -> None:
    new = NewRun(
        "fake", "predict", {}, first.dataset(), checkpoint=first.checkpoint, item_ids=("i1", "i0")
    )
    run = worker.work(store.create_run(new, settings).folder)
    report = compare_runs(run, repeat(run, settings))
    assert report.is_same
    assert report.predictions is not None
    assert report.predictions.num_items == 2

    shutil.rmtree(first.folder / "checkpoint")
    with pytest.raises(CheckpointNotFoundError, match="checkpoint"):
        plan_repeat(run)


def test_every_difference_is_said(first: Run, settings) -> None:
    second = repeat(first, settings)
    request = dataclasses.replace(
        second.request,
        config={**second.request.config, "steps": 4},
        seed=9,
    )
    write_json(second.folder / store.REQUEST, dataclasses.asdict(request))
    facts = json.loads((second.folder / "environment.json").read_text())
    facts |= {"code_version": "abc", "versions": {**facts["versions"], "numpy": "0.1"}}
    write_json(second.folder / "environment.json", facts)
    scores = second.scores()
    scores["parts"]["validation"]["metrics"]["accuracy"] = 0.75
    write_json(second.folder / "scores.json", scores)
    file = second.prediction_folder / "prediction.json"
    stored = json.loads(file.read_text())
    stored[0]["p"][0] += 0.25
    file.write_text(json.dumps(stored))

    report = compare_runs(first, second.reread())

    assert not report.is_same
    said = words(report)
    for part in (
        "Option steps: 2, now 4.",
        "Seed: 0, now 9.",
        "now abc.",
        "→ 0.1",
        "accuracy (validation set) was 1 and is now 0.75",
        "differ by at most 0.25 (probability)",
    ):
        assert part in said, said


def test_changed_data_are_repeated_on_and_named(first: Run, settings, tmp_path: Path) -> None:
    fake_task.write_values(tmp_path / "values.json", seed=5)
    report = compare_runs(first, repeat(first, settings))
    assert "One file of the data has changed since: values.json." in words(report)
    assert not report.is_same


def test_lost_data_are_one_sentence(first: Run, tmp_path: Path) -> None:
    (tmp_path / "values.json").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"values\.json is not below"):
        plan_repeat(first)


def test_an_unfinished_a_deleted_and_another_tasks_run_are_one_sentence(
    first: Run, new_run, settings
) -> None:
    waiting = new_run(steps=1)
    with pytest.raises(RunConflictError, match="not finished"):
        plan_repeat(waiting)
    with pytest.raises(RunConflictError, match="not finished"):
        compare_runs(first, waiting)
    other = dataclasses.replace(
        first, request=dataclasses.replace(first.request, task_id="em_membrane")
    )
    with pytest.raises(RunConflictError, match="only runs of one task"):
        compare_runs(first, other)
    store.delete_run(first)
    with pytest.raises(RunNotFoundError):
        store.find_run(first.run_id, settings)


def test_lost_answers_leave_the_figures_to_compare(first: Run, settings) -> None:
    second = repeat(first, settings)
    shutil.rmtree(first.prediction_folder)
    report = compare_runs(first, second)
    assert report.predictions is None
    assert report.is_same
    assert "answers of run" in words(report)


def answers(**values: np.ndarray) -> dict[str, Prediction]:
    return {"a": Prediction("a", "g", values)}


def test_the_largest_gap_of_any_answer_is_found() -> None:
    one = answers(map=np.array([[0.0, np.nan], [1.0, 2.0]]), mask=np.array([True, False]))
    two = answers(map=np.array([[0.5, np.nan], [1.0, 1.0]]), mask=np.array([True, False]))
    found = compare_predictions(one, two)
    assert (found.largest, found.name, found.num_other_length) == (1.0, "map", 0)
    assert compare_predictions(one, one).is_none
    other = compare_predictions(answers(picks=np.zeros(3)), answers(picks=np.zeros(4)))
    assert other.num_other_length == 1
    assert compare_predictions(answers(x=np.zeros(1)), {}).num_missing == 1
    assert isinstance(PipelineError, type)


def test_figures_of_other_parts_are_not_called_the_same(first: Run, settings) -> None:
    """A later version scored the items as another part; the verdict was “came out again”."""
    second = worker.work(store.create_run(plan_repeat(first), settings).folder)
    scores = json.loads((second.folder / "scores.json").read_text())
    scores["parts"] = {"train": next(iter(scores["parts"].values()))}
    (second.folder / "scores.json").write_text(json.dumps(scores))
    report = compare_runs(first, store.read_run(second.folder))
    assert not report.is_same
    assert report.verdict.id == "evidence.repeat.other_figures"
    assert "validation set, training set" in render(report.verdict, "en")
