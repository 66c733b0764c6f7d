"""Studies on the pages: the choice on Train, the panel in every state, the deliberate leak."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import config as configs
from pipelines import registry, studies
from pipelines.core.files import write_json
from pipelines.errors import LeakError
from pipelines.jobs import store, worker
from pipelines.jobs.engines import local
from pipelines.jobs.store import NewRun, Run
from pipelines.settings import Settings
from pipelines.tasks.blood_cells import fake
from pipelines.text import Text
from tests.dashboard.test_pages import (
    TASK,
    _nothing_kept,
    assert_sound,
    builtin,
    draw,
    draw_step,
    other_page,
    prepare,
    seen_words,
    small_home,
)
from tests.dashboard.test_pages import TASK_PAGE as PAGE

__all__ = ["_nothing_kept"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return small_home(tmp_path / "home", monkeypatch)


def new_study(settings: Settings, kind: Any = "folds", count: int = 2) -> studies.Study:
    task, record = registry.get_task(TASK), builtin(settings)
    config = configs.parse(task.config_type, {"architecture": "baseline"})
    return studies.create_study(studies.NewStudy(task, kind, count, config, record), settings)


@pytest.fixture(scope="module")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hold a home with a study of two folds of the baseline, all finished."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("studies")
        study = new_study(small_home(home, patch))
        studies.work(study, lambda run: worker.work(run.folder))
        yield home


@pytest.fixture
def finished(finished_home: Path, monkeypatch: pytest.MonkeyPatch) -> studies.Study:
    settings = small_home(finished_home, monkeypatch)
    (study,) = studies.list_studies(settings)
    return study


def test_the_train_step_offers_what_the_data_allow(settings: Settings) -> None:
    """One stack of sections: seeds, blocks and a leak, but no group to leave out."""
    app = draw_step("train")
    assert_sound(app)
    words = " ".join(seen_words(app))
    assert "Folds" in words
    assert "Seeds" in words
    assert "Leave one out" not in words


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_finished_study_tells_its_mean_and_spread(finished: studies.Study, language: Any) -> None:
    app = draw_step("train", language)
    assert_sound(app)
    words = " ".join(seen_words(app))
    assert "±" in words
    assert finished.short_id in words


def test_a_finished_study_stands_on_the_page_of_runs(finished: studies.Study) -> None:
    app = draw(other_page("runs"))
    assert_sound(app)
    assert finished.short_id in " ".join(seen_words(app))


def test_a_study_is_deleted_and_brought_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study(settings)
    write_json(study.folder / "state.json", {"launched": 0.0, "ended": 1.0})
    run = study.start_run(study.members[0])
    store.write_state(run.folder, dataclasses.replace(run.state, status=store.Status.CANCELLED))
    app = prepare(other_page("runs")).run()
    app.button(key=f"study.{study.study_id}.delete").click().run()
    assert studies.list_studies(settings) == []
    app.button(key="study.undo").click().run()
    assert [s.study_id for s in studies.list_studies(settings)] == [study.study_id]


def test_a_study_that_nobody_works_on_says_so_and_offers_to_resume(settings: Settings) -> None:
    study = new_study(settings)
    write_json(study.folder / "state.json", {"launched": 0.0})
    app = draw_step("train")
    assert_sound(app)
    assert [b.key for b in app.button if b.key == f"study.{study.study_id}.resume"]


def test_several_runs_are_started_by_one_click(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[studies.Study] = []
    monkeypatch.setattr(studies, "launch", lambda study, _: launched.append(study) or study)
    app = prepare(PAGE, step="train").run()
    app.segmented_control(key=f"{TASK}.repeat").set_value("seeds").run()
    app.number_input(key=f"{TASK}.repeat.seeds").set_value(4).run()
    app.button(key=f"{TASK}.train").click().run()
    (study,) = launched
    assert (study.kind, len(study.members)) == ("seeds", 4)


def test_a_split_that_leaks_is_named_and_used_only_after_a_second_click(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "NUM_CELLS", 24)
    task = registry.get_task("blood_cells")
    asked: list[bool] = []

    def split(record: Any, config: Any) -> Any:
        asked.append(config.allow_leak)
        if not config.allow_leak:
            raise LeakError(
                Text(
                    "classes.leak_refused",
                    found=Text("classes.leak.subject", n=2, names=["a", "b"]),
                )
            )
        return dataclasses.replace(
            studies.plan_members(task, record, config, "leak", 2)[-1].split, method="random LEAK=2"
        )

    runs: list[Run] = []
    monkeypatch.setattr(task, "split", split)
    monkeypatch.setattr(local, "launch", lambda run, _: runs.append(run) or run)
    page = "from dashboard.pages.task import show\nshow('blood_cells')"
    app = prepare(page, step="train").run()
    app.button(key="blood_cells.train").click().run()
    assert asked == [False]
    assert runs == []
    assert "2 subjects" in " ".join(str(w.value) for w in app.warning)
    app.button(key="blood_cells.leak_anyway").click().run()
    (run,) = runs
    assert run.has_leak
    assert run.request.config["allow_leak"] is True


def test_a_run_trained_despite_a_leak_is_marked_on_its_panel(settings: Settings) -> None:
    task, record = registry.get_task(TASK), builtin(settings)
    config = configs.parse(task.config_type, {})
    (*_, leaking) = studies.plan_members(task, record, config, "leak", 2)
    store.create_run(
        NewRun(TASK, "train", configs.to_json(config), record, leaking.split), settings
    )
    words = " ".join(seen_words(draw_step("train")))
    assert "leaks" in words
    assert "flatter" in words
