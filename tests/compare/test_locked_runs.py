"""Runs and the lock: training never sees it, opening it is counted, and the lesson is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines import actions, cli, datasets, registry
from pipelines.compare.lesson import lesson_view, simulate_class
from pipelines.compare.opening import num_openings
from pipelines.core.checkpoints import load_card
from pipelines.datasets import locked
from pipelines.evidence.facts import gather
from pipelines.evidence.report import build_report
from pipelines.jobs import store
from pipelines.jobs.store import NewRun, Status
from pipelines.settings import Settings, load_settings
from pipelines.text import Text, render
from tests.jobs import fake_task


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MICROSCOPY_DATA_ROOTS", str(tmp_path))
    fake_task.install(monkeypatch.setattr)
    return load_settings()


def make_record(tmp_path: Path, settings: Settings):
    file = fake_task.write_values(tmp_path / "values.json", count=12)
    return datasets.register(registry.get_task("fake"), file, {}, settings)


def work(new: NewRun, settings: Settings):
    from pipelines.jobs import worker

    return worker.work(store.create_run(new, settings).folder)


def test_training_and_prediction_leave_the_lock_alone_and_opening_it_counts(
    tmp_path, settings
) -> None:
    record = make_record(tmp_path, settings)
    fingerprint = actions.data_fingerprint(record)
    lock = locked.lock_items(record, fingerprint, 0.3, 1, settings)
    task = registry.get_task("fake")
    split = task.split(record, task.config_type())
    trained = work(NewRun("fake", "train", {}, record, split), settings)
    assert trained.status is Status.FINISHED, trained.log_tail()
    card = load_card(trained.checkpoint)
    assert sum(card.split["num_items"].values()) == 12 - len(lock.item_ids)
    every = tuple(item.item_id for item in record.items)
    predicted = work(
        NewRun("fake", "predict", {}, record, checkpoint=trained.checkpoint, item_ids=every),
        settings,
    )
    seen = {i for part in predicted.scores()["parts"].values() for i in part["item_ids"]}
    assert seen == set(every) - lock.item_ids
    assert locked.openings_of(fingerprint, settings) == []

    only = NewRun(
        "fake", "predict", {}, record, checkpoint=trained.checkpoint, title="final",
        item_ids=tuple(sorted(lock.item_ids)),
    )  # fmt: skip
    opened = work(only, settings)
    assert set(opened.scores()["parts"]["unseen"]["item_ids"]) == lock.item_ids
    (opening,) = locked.openings_of(fingerprint, settings)
    assert (opening.run_id, opening.title) == (opened.run_id, "final")
    assert opening.is_locked
    from pipelines.compare.entries import entry_of_run

    assert num_openings([entry_of_run(opened)], settings) == 1


def test_a_model_from_before_the_lock_may_not_open_it(tmp_path, settings) -> None:
    record = make_record(tmp_path, settings)
    task = registry.get_task("fake")
    trained = work(
        NewRun("fake", "train", {}, record, task.split(record, task.config_type())), settings
    )
    fingerprint = actions.data_fingerprint(record)
    lock = locked.lock_items(record, fingerprint, 0.3, 1, settings)
    only = tuple(sorted(lock.item_ids))
    opened = work(
        NewRun("fake", "predict", {}, record, checkpoint=trained.checkpoint, item_ids=only),
        settings,
    )
    assert opened.status is Status.FAILED
    assert opened.error.id == "locked.seen"
    assert locked.openings_of(fingerprint, settings) == []


def test_the_count_stands_beside_test_figures_on_the_command_line(
    tmp_path, settings, capsys
) -> None:
    record = make_record(tmp_path, settings)
    names = [item.item_id for item in record.items]
    parts = {"train": names[:6], "validation": names[6:8], "test": names[8:]}
    split = datasets.given_split(record, parts)
    runs = [work(NewRun("fake", "train", {"steps": n}, record, split), settings) for n in (1, 4)]
    assert cli.main(["compare", *(str(run.folder) for run in runs)]) == 0
    assert "opened by 2 runs so far" in capsys.readouterr().out


def test_the_best_of_many_looks_flatters_and_more_items_flatter_less() -> None:
    few, many = (simulate_class(n, 60) for n in (50, 1000))
    for found in (few, many):
        assert (np.diff(found.reported) >= 0).all()
        assert found.reported[0] == pytest.approx(0.8, abs=0.01)
        assert ((found.low <= found.reported) & (found.reported <= found.high)).all()
    assert few.reported[-1] - few.true[-1] > 0.1
    assert many.reported[-1] - many.true[-1] < 0.03
    # the mean of the highest of 60 draws of a normal law lies 2.32 standard deviations up; the
    # binomial law is skewed to the left of it by about 0.01
    expected = 0.8 + 2.32 * np.sqrt(0.8 * 0.2 / 50 + 0.01**2)
    assert few.reported[-1] == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_lesson_is_called_simulated(language) -> None:
    words = render(lesson_view(100, 20).title, language)
    assert words.startswith("Simul")


def test_the_count_stands_beside_the_figures_of_a_prediction(tmp_path, settings, capsys) -> None:
    """A prediction of unseen items has test figures; one more run was scored on them before."""
    record = make_record(tmp_path, settings)
    fingerprint = actions.data_fingerprint(record)
    task = registry.get_task("fake")
    split = task.split(record, task.config_type())
    trained = work(NewRun("fake", "train", {}, record, split), settings)
    fresh = fake_task.write_values(tmp_path / "fresh.json", count=7)
    call = ["predict", "fake", "--checkpoint", str(trained.checkpoint), "--input", str(fresh)]
    assert cli.main([*call, "--output", str(tmp_path / "one")]) == 0
    assert "opened by" not in capsys.readouterr().out
    other = datasets.register(task, fresh, {}, settings)
    opening = locked.Opening("r", "r", "2026-01-01T00:00:00+00:00", 7, is_locked=False)
    locked.note_opening(actions.data_fingerprint(other), opening, settings)
    assert cli.main([*call, "--output", str(tmp_path / "two")]) == 0
    assert "opened by 1 run so far" in capsys.readouterr().out
    assert locked.count_beside(["validation"], fingerprint, settings) is None
    assert locked.count_beside(["test"], fingerprint, settings) is None  # nobody opened it


def test_the_count_stands_in_the_report(tmp_path, settings) -> None:
    record = make_record(tmp_path, settings)
    task = registry.get_task("fake")
    split = task.split(record, task.config_type())
    trained = work(NewRun("fake", "train", {}, record, split), settings)
    fresh = fake_task.write_values(tmp_path / "fresh.json", count=7)
    other = datasets.register(task, fresh, {}, settings)
    every = tuple(item.item_id for item in other.items)
    new = NewRun("fake", "predict", {}, other, checkpoint=trained.checkpoint, item_ids=every)
    predicted = work(new, settings)
    opening = locked.Opening("r", "r", "2026-01-01T00:00:00+00:00", 7, is_locked=False)
    locked.note_opening(actions.data_fingerprint(other), opening, settings)
    summary = build_report(gather(predicted), settings).parts[0]
    said = [render(block, "fr") for block in summary.blocks if isinstance(block, Text)]
    assert any("ont été ouverts par 1 essai" in words for words in said)
