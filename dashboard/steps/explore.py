"""Step Explore: what a task offers beyond the four steps (correct picks, embedding map)."""

from __future__ import annotations

from dashboard.choices import Choices
from dashboard.steps.panels import draw_step_panels
from pipelines.contract import Task


def show(task: Task, choices: Choices) -> None:
    """Draw the step."""
    draw_step_panels(task, "explore", choices)
