"""Several runs of one recipe: what is planned, worked on, summed up, frozen and taken up again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import cli, studies
from pipelines import config as configs
from pipelines.contract import DatasetRecord, ItemStatistics
from pipelines.core.checkpoints import load_card
from pipelines.datasets import register
from pipelines.errors import ConfigError, RunConflictError, RunNotFoundError
from pipelines.jobs import store, worker
from pipelines.jobs.store import Run, Status
from pipelines.settings import Settings
from pipelines.studies.plan import group_sizes
from tests.jobs import fake_task
from tests.jobs.conftest import wait_until
from tests.wording import assert_clear

Start = Callable[..., studies.Study]


@pytest.fixture
def record(task: fake_task.FakeTask, settings: Settings, tmp_path: Path) -> DatasetRecord:
    """Eight items in four groups of two."""
    return register(task, fake_task.write_values(tmp_path / "values.json", count=8), {}, settings)


@pytest.fixture
def start(task: fake_task.FakeTask, settings: Settings, record: DatasetRecord) -> Start:
    """Create a study of the fake task; keyword arguments are its options."""

    def create(kind: studies.Kind, count: int, **options: Any) -> studies.Study:
        config = configs.parse(task.config_type, options)
        new = studies.NewStudy(task, kind, count, config, record)
        return studies.create_study(new, settings)

    return create


def work_here(run: Run) -> Run:
    return worker.work(run.folder)


# --- plan -----------------------------------------------------------------------------------------


def test_seeds_share_one_split_and_differ_in_their_seed(start: Start) -> None:
    study = start("seeds", 3, seed=7)
    assert [m.config["seed"] for m in study.members] == [7, 8, 9]
    assert len({m.split_id for m in study.members}) == 1


def test_folds_hold_every_item_out_once_and_keep_groups_whole(
    start: Start, record: DatasetRecord
) -> None:
    study = start("folds", 3)
    splits = [study.split(m.split_id) for m in study.members]
    held_out = [i for split in splits for i in split.parts["validation"]]
    assert sorted(held_out) == sorted(i.item_id for i in record.items)
    for split in splits:
        groups = [{record.item(i).group for i in split.parts[p]} for p in ("train", "validation")]
        assert not groups[0] & groups[1]


def test_leaving_one_out_names_the_group(start: Start, record: DatasetRecord) -> None:
    study = start("folds", 0)
    names = [m.label.params["name"].params["value"] for m in study.members]
    assert names == sorted(group_sizes(record))


def test_a_leak_is_the_same_items_under_two_rules(start: Start) -> None:
    study = start("leak", 2)
    assert [m.arm for m in study.members] == ["grouped", "grouped", "random", "random"]
    held_out = {
        arm: sorted(
            i
            for m in study.members
            if m.arm == arm
            for i in study.split(m.split_id).parts["validation"]
        )
        for arm in ("grouped", "random")
    }
    assert held_out["grouped"] == held_out["random"]
    methods = {m.arm: study.split(m.split_id).method for m in study.members}
    assert "LEAK" in methods["random"]
    assert "LEAK" not in methods["grouped"]


def test_items_on_their_own_cannot_show_a_leak(
    task: fake_task.FakeTask, record: DatasetRecord
) -> None:
    alone = dataclasses.replace(
        record, items=tuple(dataclasses.replace(i, group=i.item_id) for i in record.items)
    )
    assert "leak" not in studies.available_kinds(alone)
    with pytest.raises(ConfigError) as caught:
        studies.plan_members(task, alone, fake_task.Config(), "leak", 2)
    assert_clear(caught.value.text)


@pytest.mark.parametrize(
    ("kind", "count"), [("seeds", 1), ("seeds", 0), ("folds", 1), ("folds", 5), ("leak", 0)]
)
def test_a_count_that_makes_no_study_is_refused(start: Start, kind: Any, count: int) -> None:
    with pytest.raises(ConfigError) as caught:
        start(kind, count)
    assert_clear(caught.value.text)


# --- work and summary -----------------------------------------------------------------------------


def test_a_study_is_summed_up_as_its_rows_say(start: Start) -> None:
    study = studies.work(start("folds", 4, steps=2), work_here)
    assert study.status is Status.FINISHED
    summary = studies.read_summary(study)
    assert summary is not None
    (arm,) = summary.arms
    scores = [m.metrics["accuracy"] for m in arm.members]
    assert arm.mean["accuracy"] == pytest.approx(np.mean(scores))
    assert arm.spread["accuracy"] == pytest.approx(np.std(scores, ddof=1))
    rows = ItemStatistics.concatenate([r.statistics() for r in study.runs() if r is not None])
    assert arm.point is not None
    assert arm.pooled is not None
    at = rows.take(rows.columns["threshold"] == arm.point.threshold)
    share = at.columns["hits"].sum() / at.columns["n"].sum()
    assert arm.pooled.metrics["accuracy"] == pytest.approx(share)
    assert arm.num_items == 8


def test_the_threshold_of_a_fold_is_chosen_on_the_other_folds(
    task: fake_task.FakeTask, start: Start
) -> None:
    study = studies.work(start("folds", 2, steps=2), work_here)
    summary = studies.read_summary(study)
    assert summary is not None
    first, second = [r.statistics() for r in study.runs() if r is not None]
    expected = task.reduce(first, task.best_operating_point(second))["accuracy"]
    assert summary.arms[0].members[0].metrics["accuracy"] == pytest.approx(expected)


def test_out_of_fold_thresholds_are_frozen_into_the_models(start: Start) -> None:
    study = studies.work(start("folds", 3, steps=2), work_here)
    kept = json.loads((study.folder / "operating_point.json").read_text())
    assert kept["source"] == "out_of_fold"
    for run in study.runs():
        assert run is not None
        assert run.checkpoint is not None
        card = load_card(run.checkpoint)
        assert card.operating_point == kept["thresholds"]
        assert card.threshold_source == "out_of_fold"
        scores = run.scores()
        assert scores is not None
        assert scores["operating_point"]["source"] == "out_of_fold"


def test_seeds_freeze_nothing(start: Start) -> None:
    study = studies.work(start("seeds", 2, steps=2), work_here)
    assert not (study.folder / "operating_point.json").exists()
    summary = studies.read_summary(study)
    assert summary is not None
    assert summary.arms[0].pooled is None


def test_a_leak_that_changes_nothing_shows_no_rise(start: Start) -> None:
    """The fake learns the same from any items, so both arms score alike."""
    study = studies.work(start("leak", 2, steps=3), work_here)
    summary = studies.read_summary(study)
    assert summary is not None
    assert summary.rise is not None
    assert summary.rise.value == pytest.approx(0.0)


def test_a_run_that_fails_does_not_end_the_others(start: Start) -> None:
    study = start("folds", 3, steps=2)
    worked: list[str] = []

    def fail_second(run: Run) -> Run:
        worked.append(run.run_id)
        if len(worked) == 2:
            state = dataclasses.replace(run.state, status=Status.FAILED)
            store.write_state(run.folder, state)
            return run.reread()
        return work_here(run)

    study = studies.work(study, fail_second)
    assert len(worked) == 3
    assert study.status is Status.FAILED
    summary = studies.read_summary(study)
    assert summary is not None
    assert (summary.num_finished, summary.num_planned) == (2, 3)
    assert not (study.folder / "operating_point.json").exists()


def test_a_paused_run_pauses_the_study_which_goes_on_where_it_was(start: Start) -> None:
    study, worked = start("seeds", 3, steps=4), []

    def pause_first(run: Run) -> Run:
        worked.append(run.run_id)
        if len(worked) == 1:
            store.wish(run.folder, "pause")
        return work_here(run)

    study = studies.work(study, pause_first)
    assert study.status is Status.PAUSED
    assert len(worked) == 1
    store.withdraw_wishes(study.folder)
    study = studies.work(study, pause_first)
    assert study.status is Status.FINISHED
    assert worked[1] == worked[0]
    assert len(worked) == 4


def test_finished_runs_are_not_done_again(start: Start) -> None:
    study = studies.work(start("seeds", 2, steps=2), work_here)
    studies.work(study, lambda run: pytest.fail("nothing is left to do"))


def test_undefined_figures_are_left_out_of_mean_and_spread() -> None:
    from pipelines.studies.summary import MemberScores, _mean_and_spread

    members = [MemberScores(f"m{i}", "r", {"auc": v}, 0.0, 1, 1) for i, v in
               enumerate((0.5, math.nan, 0.7))]  # fmt: skip
    mean, spread = _mean_and_spread(members)
    assert mean["auc"] == pytest.approx(0.6)
    assert spread["auc"] == pytest.approx(np.std([0.5, 0.7], ddof=1))


def test_studies_are_listed_newest_first_and_found_by_the_end_of_their_name(
    start: Start, settings: Settings
) -> None:
    study = start("seeds", 2)
    assert [s.study_id for s in studies.list_studies(settings, "fake")] == [study.study_id]
    assert studies.list_studies(settings, "other") == []
    assert studies.find_study(study.short_id, settings).folder == study.folder
    with pytest.raises(RunNotFoundError):
        studies.find_study("nothing", settings)


def test_the_runs_of_a_study_name_it_and_stand_among_all_runs(
    start: Start, settings: Settings
) -> None:
    study = studies.work(start("seeds", 2, steps=2), work_here)
    runs = store.list_runs(settings, "fake")
    assert {r.request.study for r in runs} == {study.study_id}
    assert len(runs) == 2


def test_a_deleted_study_leaves_its_runs_and_can_be_brought_back(
    start: Start, settings: Settings
) -> None:
    study = studies.work(start("seeds", 2, steps=2), work_here)
    studies.delete_study(study)
    assert studies.list_studies(settings) == []
    assert len(store.list_runs(settings, "fake")) == 2
    assert studies.restore_study(study.study_id, settings).status is Status.FINISHED
    with pytest.raises(RunNotFoundError):
        studies.restore_study("../outside", settings)


# --- processes and the command line ---------------------------------------------------------------


@pytest.mark.usefixtures("launched")
def test_a_launched_study_is_worked_on_and_can_be_cancelled_as_a_whole(
    start: Start, settings: Settings
) -> None:
    study = studies.launch(start("seeds", 3, steps=100_000, step_ms=5.0), settings)
    wait_until(lambda: study.runs()[0] is not None and study.status is Status.RUNNING, 40)
    with pytest.raises(RunConflictError):
        studies.resume(study, settings)
    # --force was taken and forgotten for a study: the run at work went on to its next step
    assert cli.main(["cancel", study.short_id, "--force"]) == 2
    studies.cancel(study)
    wait_until(lambda: study.status is Status.CANCELLED, 40)
    assert study.runs()[1] is None


def test_training_by_folds_on_the_command_line_prints_runs_mean_and_spread(
    task: fake_task.FakeTask,
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = fake_task.write_values(tmp_path / "values.json", count=8)
    words = ["train", "fake", "--data", str(data), "--run", str(tmp_path / "study")]
    assert cli.main([*words, "--folds", "2", "--set", "steps=2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in found["runs"]] == ["fold_1", "fold_2"]
    assert set(found["mean"]) == set(found["spread"]) == {"accuracy"}
    assert found["threshold_source"] == "out_of_fold"
    assert cli.main(["study", str(tmp_path / "study"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize("extra", [["--folds", "2", "--seeds", "2"], ["--folds", "two"]])
def test_a_wrong_study_on_the_command_line_is_one_sentence(
    task: fake_task.FakeTask,
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    extra: list[str],
) -> None:
    data = fake_task.write_values(tmp_path / "values.json")
    words = ["train", "fake", "--data", str(data), "--run", str(tmp_path / "study")]
    assert cli.main([*words, *extra]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
