"""What a run does from end to end, with a task that trains one number."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import actions
from pipelines.core.checkpoints import load_card, update_card
from pipelines.datasets import given_split, register
from pipelines.errors import DataFormatError, DatasetNotFoundError
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Run, Status
from pipelines.settings import Settings
from pipelines.text import render
from tests.jobs import fake_task
from tests.jobs.conftest import new_run, settings, task  # noqa: F401 - fixtures

NewRunFixture = Callable[..., Run]


@pytest.fixture
def trained(new_run: NewRunFixture) -> Run:  # noqa: F811
    return worker.work(new_run(steps=3).folder)


def predict_run(trained: Run, settings: Settings, **changes: Any) -> Run:  # noqa: F811
    new = NewRun(
        "fake", "predict", {}, trained.dataset(), checkpoint=trained.checkpoint,
        parent_run=trained.run_id,
    )  # fmt: skip
    return store.create_run(NewRun(**{**vars(new), **changes}), settings)


def test_the_threshold_is_chosen_on_validation_and_the_test_part_is_only_scored(
    task: fake_task.FakeTask,  # noqa: F811
    settings: Settings,  # noqa: F811
    tmp_path: Path,
) -> None:
    rows = fake_task.make_rows(4, 0)
    # validation is labelled as if its limit lay at 0.75, the test part as if at 0.25
    for number, limit in ((2, 0.75), (3, 0.25)):
        rows[number]["x"] = [0.1, 0.3, 0.45, 0.55, 0.7, 0.9]
        rows[number]["truth"] = [x > limit for x in rows[number]["x"]]
    (tmp_path / "v.json").write_text(json.dumps(rows))
    record = register(task, tmp_path / "v.json", {}, settings)
    parts: Any = {"train": ["i0", "i1"], "validation": ["i2"], "test": ["i3"]}
    new = NewRun("fake", "train", {"steps": 1}, record, given_split(record, parts))

    run = worker.work(store.create_run(new, settings).folder)

    scores = run.scores()
    assert scores is not None
    assert scores["operating_point"] == {"thresholds": {"threshold": 0.75}, "source": "validation"}
    card = load_card(run.folder)
    assert card.operating_point == {"threshold": 0.75}
    assert card.scores["validation"]["accuracy"] > card.scores["test"]["accuracy"]
    statistics = run.statistics()
    assert statistics is not None
    assert statistics.item_ids() == ("i2", "i3")


def test_a_prediction_is_scored_at_the_threshold_of_the_card_and_by_part(
    trained: Run,
    settings: Settings,  # noqa: F811
) -> None:
    assert trained.checkpoint is not None
    update_card(trained.checkpoint, operating_point={"threshold": 0.25})

    run = worker.work(predict_run(trained, settings).folder)

    assert run.status is Status.FINISHED
    scores = run.scores()
    assert scores is not None
    assert scores["operating_point"]["thresholds"] == {"threshold": 0.25}
    assert {name: len(part["item_ids"]) for name, part in scores["parts"].items()} == {
        "train": 4,
        "validation": 2,
    }
    assert (run.prediction_folder / "prediction.json").is_file()


def test_items_of_other_data_are_called_unseen(
    task: fake_task.FakeTask,  # noqa: F811
    trained: Run,
    settings: Settings,  # noqa: F811
    tmp_path: Path,
) -> None:
    file = fake_task.write_values(tmp_path / "other.json", 3, seed=7)
    run = predict_run(trained, settings, record=register(task, file, {}, settings))
    scores = worker.work(run.folder).scores()
    assert scores is not None
    assert list(scores["parts"]) == ["unseen"]


def test_only_the_items_that_were_asked_for_are_predicted(
    trained: Run,
    settings: Settings,  # noqa: F811
    task: fake_task.FakeTask,  # noqa: F811
) -> None:
    run = worker.work(predict_run(trained, settings, item_ids=("i5", "i1")).folder)
    assert list(task.open_predictions(run.prediction_folder)) == ["i5", "i1"]


def test_a_wish_between_two_items_ends_a_prediction_and_resume_finishes_it(
    trained: Run,
    settings: Settings,  # noqa: F811
) -> None:
    run = predict_run(trained, settings)
    store.wish(run.folder, "pause")
    assert worker.work(run.folder).status is Status.PAUSED
    store.withdraw_wishes(run.folder)
    assert worker.work(run.folder).status is Status.FINISHED


def test_a_task_that_ends_early_on_a_wish_is_not_taken_for_finished(
    trained: Run,
    settings: Settings,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = predict_run(trained, settings)

    def stops_itself(self: Any, checkpoint: Any, samples: Any, config: Any, reporter: Any) -> Any:
        store.wish(run.folder, "cancel")
        return iter(())

    monkeypatch.setattr(fake_task.FakeTask, "predict", stops_itself)
    assert worker.work(run.folder).status is Status.CANCELLED


def test_evaluation_matches_items_by_name_and_by_order(
    task: fake_task.FakeTask,  # noqa: F811
    trained: Run,
    settings: Settings,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = worker.work(predict_run(trained, settings).folder).prediction_folder
    by_name = fake_task.write_values(tmp_path / "truth.json")
    rows, scores = actions.run_evaluation(task, folder, by_name)
    assert scores.parts["unseen"].metrics == {"accuracy": 1.0}
    assert scores.operating_point.source == "scored"
    assert len(rows.item_ids()) == 6

    renamed = json.loads(by_name.read_text())
    for number, row in enumerate(renamed):
        row["id"] = f"label-{number}"
    by_order = tmp_path / "renamed.json"
    by_order.write_text(json.dumps(renamed))
    _, scores = actions.run_evaluation(task, folder, by_order)
    assert scores.parts["unseen"].metrics == {"accuracy": 1.0}


def test_evaluation_without_fitting_labels_says_so(
    task: fake_task.FakeTask,  # noqa: F811
    trained: Run,
    tmp_path: Path,
) -> None:
    unlabelled = fake_task.write_values(tmp_path / "u.json", with_truth=False)
    with pytest.raises(DataFormatError) as caught:
        actions.run_evaluation(task, trained.folder, unlabelled)
    assert "has a label" in render(caught.value.text, "en")
    assert "n’a d’étiquette" in render(caught.value.text, "fr")
    with pytest.raises(DatasetNotFoundError):
        actions.run_evaluation(task, tmp_path / "nowhere", unlabelled)


def test_undefined_numbers_become_null_for_strict_json() -> None:
    value = {"a": math.nan, "b": [1.0, math.inf], "c": ("x", 2)}
    assert actions.plain_numbers(value) == {"a": None, "b": [1.0, None], "c": ["x", 2]}
