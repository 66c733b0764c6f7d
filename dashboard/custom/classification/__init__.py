"""The page of the classification tasks: one threshold, pictures that answer a click, a map."""

from __future__ import annotations

from functools import partial

from dashboard.custom.classification.atlas import show_explore
from dashboard.custom.classification.beside import stay_with_network
from dashboard.custom.classification.cells import draw_scored
from dashboard.custom.classification.dropped import show_predict
from dashboard.pages.task import show_steps
from dashboard.steps import evaluate


def show(task_id: str) -> None:
    """Draw the page of every task, with steps of its own where pictures are clicked."""
    stay_with_network()
    show_steps(
        task_id,
        {
            "predict": show_predict,
            "evaluate": partial(evaluate.show, draw_scored=draw_scored),
            "explore": show_explore,
        },
    )
