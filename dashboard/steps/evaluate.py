"""Step Evaluate: one threshold moves figures, curves, pictures and table together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from dashboard.choices import Choices, order_parts, pick_data, pick_model, pick_run
from dashboard.errors import fragment
from dashboard.layout import CONTROLS_AND_PICTURE, draw_empty
from dashboard.renderers import draw
from dashboard.run_panel import draw_run
from dashboard.same_code import draw_same_code
from dashboard.state import watch_run, watched_run
from dashboard.steps.panels import Shown, draw_step_panels
from dashboard.steps.predict import start_prediction
from dashboard.steps.threshold import draw_point
from dashboard.terms import link_terms
from dashboard.words import capitalised, tr
from pipelines import actions
from pipelines.contract import ItemStatistics, OperatingPoint, Task
from pipelines.evidence.calls import scores_call
from pipelines.jobs.store import Run
from pipelines.text import Text
from pipelines.views import Curve, CurveView, Figure, FiguresView

_MOST_FIGURES = 8
_MOST_CURVES = 3


DrawScored = Callable[[Task, Choices, Run, ItemStatistics], None]


def show(task: Task, choices: Choices, draw_scored: DrawScored | None = None) -> None:
    """Draw the step.

    Args:
        task: Task whose page it is.
        choices: Data, model and run.
        draw_scored: What a task shows of its scores in place of what all tasks show.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_data(task)
        pick_model(task)
        pick_run(task, choices.record)
    rows = choices.run.statistics() if choices.run is not None else None
    if choices.run is None or rows is None:
        draw_unscored(task, choices)
        return
    if choices.run.has_leak or (choices.model is not None and choices.model.card.has_leak):
        st.warning(tr("leaks.words"), icon=":material/water_drop:")
    if draw_scored is None:
        _draw_scored(task, choices, choices.run, rows)
        return
    draw_scored(task, choices, choices.run, rows)


def draw_unscored(task: Task, choices: Choices) -> None:
    """Draw what there is to see before a run scored this model on these data: how to get one."""
    run_id = watched_run(task.id, "predict")
    if run_id is not None:
        draw_run(run_id)
    draw_empty("query_stats", tr("evaluate_step.empty_title"), tr("evaluate_step.empty"))
    if choices.model is None or not any(i.has_truth for i in choices.record.items):
        return
    title = tr("evaluate_step.score_now")
    if st.button(title, key=f"{task.id}.score", type="primary", icon=":material/play_arrow:"):
        run = start_prediction(task, choices.record, choices.model)
        watch_run(task.id, "predict", run.run_id)
        st.rerun()


@fragment
def _draw_scored(task: Task, choices: Choices, run: Run, rows: ItemStatistics) -> None:
    scores = run.scores() or {}
    part = pick_part(scores)
    shown = rows.of_items(scores["parts"][part]["item_ids"])
    recommended = scores["operating_point"]["thresholds"]
    left, right = st.columns(CONTROLS_AND_PICTURE, gap="large")
    with left:
        point = draw_point(recommended, f"evaluate.{run.run_id}")
        source = scores["operating_point"]["source"]
        value = _one_or_several(recommended)
        st.caption(link_terms(tr(f"evaluate_step.source.{source}", value=value)))
        draw(_figures(task, run, shown, point, part), f"{task.id}.figures")
    predictions = task.open_predictions(run.prediction_folder)
    place = f"evaluate.{run.run_id}"
    scored = Shown(predictions, point, rows, place=place, item_ids=shown.item_ids())
    with right:
        # a fragment of its own: another section leaves figures and curves as they are
        draw_step_panels(task, "evaluate", choices, scored)
        if len(recommended) < 2:  # where each class has its own, the task's panels draw curves
            words = _source_words(task, run, shown, point.threshold)
            draw(_curves(task, run.run_id, shown, point.threshold, words), f"{task.id}.curves")
    draw_scores_call(run, scores, part, point)


def draw_scores_call(run: Run, scores: Mapping[str, Any], part: str, point: OperatingPoint) -> None:
    """Draw how the figures are had without the page: those of this part, at these thresholds."""
    recommended = scores["operating_point"]["thresholds"]
    moved = {n: v for n, v in point.thresholds.items() if v != recommended.get(n)}
    named = part if len(scores["parts"]) > 1 else ""
    draw_same_code(scores_call(run, named, moved), "evaluate", "same_code.evaluate")


def pick_part(scores: dict[str, dict[str, dict[str, object]]]) -> str:
    """Draw the choice among the scored parts, what the model never saw first, and return it."""
    parts = order_parts(scores["parts"])
    if len(parts) == 1:
        return parts[0]
    chosen = st.segmented_control(
        tr("evaluate_step.part"),
        parts,
        format_func=lambda name: capitalised(tr(f"pages.part.{name}")),
        default=parts[0],
        required=True,
        key="evaluate.part",
    )
    return str(chosen)


def _figures(
    task: Task, run: Run, rows: ItemStatistics, point: OperatingPoint, part: str
) -> FiguresView:
    scores = actions.score_parts(task, rows, None, chosen=point)
    found = next(iter(scores.parts.values()))
    count = len(found.item_ids)
    figures = tuple(
        Figure(
            metric.label,
            found.metrics.get(metric.name, float("nan")),
            help=metric.help,
            interval=found.intervals.get(metric.name),
            count=count,
            higher_is_better=metric.higher_is_better,
        )
        for metric in task.metrics[:_MOST_FIGURES]
    )
    title = Text(
        "evaluate_step.figures",
        part=Text(f"pages.part.{part}"),
        items=task.items_text(count),
    )
    value = _one_or_several(point.thresholds)
    return FiguresView(title, figures, source=_source_words(task, run, rows, value))


def _curves(task: Task, run_id: str, rows: ItemStatistics, value: float, source: Text) -> CurveView:
    table = curve_table(task.id, run_id, rows.item_ids(), rows)
    x = next(iter(task.thresholds(rows).values()))
    metrics = [m for m in task.metrics if m.name in table][:_MOST_CURVES]
    curves = tuple(Curve(m.label, x, table[m.name]) for m in metrics)
    return CurveView(
        Text("evaluate_step.curves"),
        x_label=Text("pages.threshold"),
        y_label=Text("evaluate_step.score_axis"),
        curves=curves,
        mark_x=value,
        source=source,
    )


@st.cache_data(show_spinner=False, max_entries=32)
def curve_table(
    task_id: str, run_id: str, item_ids: tuple[str, ...], _rows: ItemStatistics
) -> dict[str, np.ndarray]:
    """Compute every metric at every threshold, once a run."""
    from pipelines.registry import get_task

    task = get_task(task_id)
    (name, values), *_ = task.thresholds(_rows).items()
    reduced = [task.reduce(_rows, OperatingPoint({name: float(v)})) for v in values]
    return {key: np.array([row[key] for row in reduced]) for key in reduced[0]}


def _one_or_several(thresholds: Mapping[str, float]) -> float | Text:
    """Return the threshold, or that there are several: the first alone would mislead."""
    if len(thresholds) == 1:
        return float(next(iter(thresholds.values())))
    return Text("evaluate_step.several", n=len(thresholds))


def _source_words(task: Task, run: Run, rows: ItemStatistics, value: float | Text) -> Text:
    return Text(
        "evaluate_step.source_line",
        run=run.short_id,
        data=run.request.data_name,
        items=task.items_text(len(rows.item_ids())),
        threshold=value,
    )
