"""Runs and checkpoints as things to hand on: pack, repeat, bring in, delete, undo."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pipelines.jobs import store, warm, worker
from pipelines.jobs.engines import local
from pipelines.jobs.store import Run
from tests.jobs.conftest import new_run, settings, task  # noqa: F401 - fixtures

RUNS = "from dashboard.pages.runs import show\nshow()"
CHECKPOINTS = "from dashboard.pages.checkpoints import show\nshow()"


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let what pages ask of the warm process and of a worker happen here."""

    def call(name: str, *arguments: Any, **_: Any) -> Any:
        module, _, function = name.partition(":")
        return getattr(importlib.import_module(module), function)(*arguments)

    def launch(run: Run, *_: Any) -> Run:
        return worker.work(run.folder)

    monkeypatch.setattr(warm, "warm_call", call)
    monkeypatch.setattr(local, "launch", launch)
    st.cache_data.clear()
    yield
    st.cache_data.clear()


@pytest.fixture
def finished(new_run) -> Run:  # noqa: F811
    return worker.work(new_run(steps=2).folder)


def drawn(script: str, **query: str) -> AppTest:
    app = AppTest.from_string(script, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def button(app: AppTest, words: str) -> Any:
    return next(b for b in app.button if words in b.label)


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.success, app.info, app.warning, app.error)
    return " ".join(str(element.value) for kind in kinds for element in kind)


def test_one_click_makes_the_pack_and_then_its_files_can_be_taken(
    finished: Run,
    settings,  # noqa: F811
) -> None:
    app = drawn(RUNS, open=finished.run_id)
    button(app, "Make the evidence pack").click().run()

    assert not app.exception
    labels = [e.proto.label for e in app.get("download_button")]
    assert any(label.startswith("Evidence pack (") for label in labels)
    assert {"Report (PDF)", "Report (HTML)"} <= set(labels)
    folder = settings.data / "packs" / finished.run_id
    assert (folder / "report.en.pdf").is_file()
    store.rename_run(finished, "another name")  # what was packed is not what there is now
    app = drawn(RUNS, open=finished.run_id)
    assert button(app, "Make the evidence pack")


def test_a_run_is_repeated_from_its_page_and_the_page_says_that_it_is_the_same(
    finished: Run,
    settings,  # noqa: F811
) -> None:
    app = drawn(RUNS, open=finished.run_id)
    button(app, "Repeat this run").click().run()

    assert not app.exception
    first, second = sorted(store.list_runs(settings), key=lambda run: bool(run.request.repeats))
    assert first.run_id == finished.run_id
    assert second.request.repeats == finished.run_id
    for run in (first, second):
        app = drawn(RUNS, open=run.run_id)
        assert "The same: every figure and every answer" in words(app)


def test_a_repetition_of_a_deleted_run_says_so(finished: Run, settings) -> None:  # noqa: F811
    app = drawn(RUNS, open=finished.run_id)
    button(app, "Repeat this run").click().run()
    (second,) = (run for run in store.list_runs(settings) if run.request.repeats)
    store.delete_run(finished)
    app = drawn(RUNS, open=second.run_id)
    assert not app.exception
    assert "which is not here any more" in words(app)


def test_lost_data_are_said_when_a_run_is_to_be_repeated(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "values.json").unlink()
    app = drawn(RUNS, open=finished.run_id)
    button(app, "Repeat this run").click().run()
    assert "The run cannot be repeated" in words(app)


def test_a_finished_run_is_shown_as_a_command_and_as_python(finished: Run) -> None:
    app = drawn(RUNS, open=finished.run_id)
    shell, python, hand_on, _ = (code.value for code in app.code[-4:])
    assert f"pipelines repeat {finished.run_id}" in hand_on
    assert shell.startswith("python -m pipelines train fake ")
    assert "--set steps=2" in shell
    compile(python, "python", "exec")


def test_a_checkpoint_is_deleted_and_comes_back(finished: Run) -> None:
    app = drawn(CHECKPOINTS)
    assert "runs" not in words(app)
    button(app, "Yes, delete").click().run()
    assert not app.exception
    assert not (finished.folder / "checkpoint").exists()
    button(app, "Undo").click().run()
    assert (finished.folder / "checkpoint" / "card.json").is_file()
    assert not app.exception


def test_weights_are_verified_from_the_page(finished: Run) -> None:
    app = drawn(CHECKPOINTS)
    button(app, "Verify").click().run()
    assert "The weights are those" in app.toast[0].value
    (finished.folder / "checkpoint" / "weights.safetensors").write_bytes(b"other")
    app = drawn(CHECKPOINTS)
    button(app, "Verify").click().run()
    assert "another fingerprint" in words(app)
