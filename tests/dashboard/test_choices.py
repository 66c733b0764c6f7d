"""The strip under a title tells one story: the score is that of this model on these data."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.choices import score_words
from pipelines import config as configs
from pipelines import datasets, registry
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Run
from pipelines.settings import REPOSITORY, Settings, load_settings
from pipelines.tasks.em_membrane import fake

TASK = "em_membrane"
PAGE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from dashboard.pages.task import show
show({TASK!r})
"""


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Run]]:
    """Hold a home with two trained and scored models, the older one named first."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("two")
        point_at(home, patch)
        return home, [train(smoothing_px) for smoothing_px in (1.0, 4.0)]


def point_at(home: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("MICROSCOPY_HOME", str(home))
    patch.setattr(fake, "SAMPLE_SIDE_PX", 96)
    patch.setattr(fake, "SAMPLE_SECTIONS", 4)
    patch.setattr(Settings, "checkpoints", property(lambda self: self.home / "checkpoints"))


def train(smoothing_px: float) -> Run:
    task, settings = registry.get_task(TASK), load_settings()
    record = datasets.builtin_sample(task, settings)
    chosen = {"architecture": "baseline", "smoothing_px": smoothing_px}
    config = configs.parse(task.config_type, chosen)
    split = task.split(record, config)
    new = NewRun(TASK, "train", configs.to_json(config), record, split)
    return worker.work(store.create_run(new, settings).folder)


def visit(home: Path, patch: pytest.MonkeyPatch, **query: str) -> AppTest:
    point_at(home, patch)
    app = AppTest.from_string(PAGE, default_timeout=60)
    for name, value in {"lang": "en", "step": "evaluate", **query}.items():
        app.query_params[name] = value
    return app.run()


def strip(app: AppTest) -> str:
    assert not app.exception
    entries = [m.value for m in app.markdown if m.value.startswith(":gray[") and "**" in m.value]
    assert len(entries) == 3
    return " ".join(entries)


def tells_of(app: AppTest, run: Run) -> bool:
    """Tell whether the strip names this run's model and this run's score."""
    words = strip(app)
    return run.short_id in words and score_words(registry.get_task(TASK), run) in words


def test_without_a_choice_the_strip_is_about_the_newest_scored_model(
    two_models, monkeypatch
) -> None:
    home, (_, newer) = two_models

    assert tells_of(visit(home, monkeypatch), newer)


@pytest.mark.parametrize("step", ["data", "train", "predict", "evaluate"])
def test_choosing_a_model_brings_its_own_score_on_every_step(
    two_models, monkeypatch, step: str
) -> None:
    """The strip named the demo model beside the score of another one."""
    home, (older, newer) = two_models

    app = visit(home, monkeypatch, model=older.run_id, step=step)

    assert tells_of(app, older)
    assert newer.short_id not in strip(app)


def test_a_link_to_a_run_brings_the_model_that_it_scored(two_models, monkeypatch) -> None:
    home, (older, newer) = two_models

    app = visit(home, monkeypatch, run=older.run_id)

    assert tells_of(app, older)
    app.selectbox(key="choice.model").set_value(newer.run_id).run()
    assert tells_of(app, newer)
    assert "run" not in app.query_params


def test_a_new_score_is_followed_until_somebody_chooses(two_models, monkeypatch) -> None:
    home, (_, newer) = two_models
    app = visit(home, monkeypatch)
    assert tells_of(app, newer)

    newest = train(2.0)
    try:
        assert tells_of(app.run(), newest)
        app.selectbox(key="choice.model").set_value(newer.run_id).run()
        assert tells_of(app, newer)
    finally:
        store.delete_run(newest)


def test_choices_of_one_title_are_told_apart() -> None:
    """Of two data sets of one title, Streamlit took the first when the page was drawn again."""
    from dashboard.choices import _told_apart

    say_it = _told_apart({"sim-aaaa": "simulated", "sim-bbbb": "simulated", "c": "cells"})
    assert [say_it(n) for n in ("sim-aaaa", "sim-bbbb", "c")] == [
        "simulated (aaaa)",
        "simulated (bbbb)",
        "cells",
    ]
