"""Each page says how what it shows is typed: the command is understood, and shows the same."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines import cli, commands, registry
from pipelines.jobs.store import Run
from tests.dashboard.test_pages import (  # noqa: F401 - fixtures
    TASK,
    prepare,
    scored,
    scored_home,
    settings,
)

PAGE = f"from dashboard.pages.task import show\nshow({TASK!r})"


def drawn(step: str, panel: str = "", **state: Any) -> AppTest:
    query = {"step": step, **({"panel": panel} if panel else {})}
    app = prepare(PAGE, **query)
    for name, value in state.items():
        app.session_state[name.replace("__", ".")] = value
    app.run()
    assert not app.exception
    return app


def calls(app: AppTest) -> list[list[str]]:
    """Return the commands of a page, each understood by the command line."""
    found = [c.value for c in app.code if c.value.startswith("python -m pipelines")]
    known = {command.name: command for command in cli.commands()}
    split = [shlex.split(shell.replace("\\\n", " "))[3:] for shell in found]
    for name, *words in split:
        commands.parse(known[name], words)
    return split


def of(app: AppTest, name: str) -> list[str]:
    return next(words for words in calls(app) if words[0] == name)


@pytest.mark.parametrize("panel", [p.panel_id for p in registry.get_task(TASK).panels()])
def test_every_view_of_a_task_is_typed_and_writes_its_page(
    scored: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    panel: str,
) -> None:
    step = next(p.step for p in registry.get_task(TASK).panels() if p.panel_id == panel)
    app = drawn(step, panel)
    if panel == "convert":  # works for seconds, so the page asks first
        next(b for b in app.button if b.key and b.key.endswith(".button")).click().run()
    monkeypatch.chdir(tmp_path)
    words = of(app, "view")
    assert words[2] == panel
    assert cli.main(words) == 0
    assert (tmp_path / f"{panel}.html").stat().st_size > 1000
    python = [c.value for c in app.code if "compute_views" in c.value]
    compile(python[0], panel, "exec")


def test_the_call_of_a_view_follows_item_options_and_controls(scored: Run) -> None:  # noqa: F811
    app = drawn("train", "augment", em_membrane__rotation_deg=30.0, em_membrane__augment__draw=4)
    words = of(app, "view")
    assert "rotation_deg=30.0" in words
    assert words[words.index("--control") + 1] == "draw=4"
    app = prepare(PAGE, step="data", item="3").run()
    words = of(app, "view")
    assert words[words.index("--item") + 1].endswith("002")


def test_a_moved_threshold_is_typed_and_a_resting_one_is_not(scored: Run) -> None:  # noqa: F811
    app = drawn("evaluate", "errors")
    words = of(app, "view")
    assert words[words.index("--run") + 1] == scored.run_id
    assert "--threshold" not in words
    app = prepare(PAGE, step="evaluate", panel="errors", threshold="0.25").run()
    assert "threshold=0.25" in of(app, "view")


def test_the_step_data_shows_the_report_and_the_step_train_its_folds(
    scored: Run,  # noqa: F811
) -> None:
    assert of(drawn("data"), "inspect") == ["inspect", TASK, "--data", "sample"]
    app = drawn("train")
    assert "--seeds" not in of(app, "train")
    choice = next(c for c in app.button_group if c.key == f"{TASK}.repeat")
    choice.set_value("seeds").run()
    words = of(app, "train")
    assert words[words.index("--seeds") + 1] == "3"


def test_a_resting_slider_gives_the_figures_of_the_run_to_the_last_digit() -> None:
    """The slider shows 0.351 of 0.35123, and accuracy on the page was not that of the report."""
    from dashboard.steps import threshold

    assert threshold._exact(0.351, 0.35123, 3) == 0.35123
    assert threshold._exact(0.355, 0.35123, 3) == 0.355
