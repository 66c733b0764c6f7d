"""The page of a task, drawn from its contract: the same steps in the same order for every task."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping

import streamlit as st

from dashboard.address import keep, restore
from dashboard.choices import Choices, model_title, read_choices, score_words
from dashboard.compare.openings import with_openings
from dashboard.errors import frame
from dashboard.layout import draw_head, draw_lost, draw_strip
from dashboard.steps import data, evaluate, explore, predict, train
from dashboard.words import say, tr
from pipelines import datasets
from pipelines.contract import STEPS, Task
from pipelines.registry import get_task

_STEPS: Mapping[str, Callable[[Task, Choices], None]] = {
    "data": data.show,
    "train": train.show,
    "predict": predict.show,
    "evaluate": evaluate.show,
    "explore": explore.show,
}
_ICONS = {
    "data": "database",
    "train": "model_training",
    "predict": "auto_awesome",
    "evaluate": "query_stats",
    "explore": "travel_explore",
}


def show(task_id: str) -> None:
    """Draw the page of a task, or the one that the task brings along."""
    with frame():
        name = f"dashboard.custom.{task_id}"
        if importlib.util.find_spec("dashboard.custom") and importlib.util.find_spec(name):
            importlib.import_module(name).show(task_id)
            return
        show_steps(task_id)


def show_steps(
    task_id: str, replaced: Mapping[str, Callable[[Task, Choices], None]] | None = None
) -> None:
    """Draw head, strip and the chosen step.

    Args:
        task_id: Task that is shown.
        replaced: Steps that a task's own page draws itself.
    """
    task = get_task(task_id)
    draw_head(task.icon, say(task.title), say(task.summary))
    choices = read_choices(task)
    draw_lost("data", "model", "run")
    _draw_strip(task, choices)
    step = _pick_step(task, replaced or {})
    with frame():
        {**_STEPS, **(replaced or {})}[step](task, choices)


def _draw_strip(task: Task, choices: Choices) -> None:
    model = choices.model
    draw_strip(
        (
            (tr("pages.data"), say(datasets.dataset_title(choices.record))),
            (tr("pages.model"), tr("pages.no_model") if model is None else model_title(model)),
            (tr("pages.last_score"), with_openings(score_words(task, choices.run), choices.run)),
        )
    )


def _pick_step(task: Task, replaced: Iterable[str]) -> str:
    offered = {panel.step for panel in task.panels()} | set(replaced)
    steps = [step for step in STEPS if step != "explore" or step in offered]
    restore("step", "task.step", steps, steps[0])
    st.segmented_control(
        tr("pages.step"),
        steps,
        format_func=lambda step: f":material/{_ICONS[step]}: {tr(f'pages.step.{step}')}",
        key="task.step",
        required=True,
        label_visibility="collapsed",
    )
    step = str(st.session_state["task.step"])
    keep("step", step if step != steps[0] else None)
    return step
