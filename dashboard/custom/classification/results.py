"""What a run says of every picture of a data set, labelled or not, by class and confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from dashboard.choices import Choices, list_models, model_name, model_of_run
from dashboard.custom.classification.desk import (
    PAGE,
    Desk,
    choose_picture,
    class_words,
    draw_more,
    draw_why,
    make_tiles,
    why_key,
)
from dashboard.errors import fragment
from dashboard.tiles import draw_tiles
from dashboard.words import number, say_plainly, tr
from pipelines.contract import Prediction, Task
from pipelines.jobs.store import Run, Status, list_runs
from pipelines.settings import load_settings

_ORDERS = ("unsure", "sure")


def draw_results(task: Task, choices: Choices) -> None:
    """Draw the newest finished prediction of these data by this model, if there is one."""
    run = _newest(task, choices)
    if run is not None:
        desk = Desk(task, choices, run)
        _draw_check(desk)
        _draw_wall(desk)


def _draw_check(desk: Desk) -> None:
    """Say whether the submission of a challenge fits its sample, where the task knows one."""
    check = getattr(desk.task, "check_submission", None)
    problems = check(desk.record, desk.run.prediction_folder) if check is not None else None
    if problems is None:
        return
    if not problems:
        st.success(tr("classes_page.submission_fits"), icon=":material/task_alt:")
    for problem in problems:
        st.warning(say_plainly(problem), icon=":material/rule:")


def _newest(task: Task, choices: Choices) -> Run | None:
    models = list_models(task)
    wanted = model_name(choices.model) if choices.model is not None else None
    for run in list_runs(load_settings(), task.id):
        is_here = run.request.action == "predict" and run.status is Status.FINISHED
        if (
            is_here
            and run.request.dataset_id == choices.record.dataset_id
            and model_of_run(run, models) == wanted
        ):
            return run
    return None


@fragment
def _draw_wall(desk: Desk) -> None:
    names, classes, decided, confidence = _decisions(desk.task.id, desk.run.run_id, desk)
    key = f"{desk.task.id}.results"
    st.markdown(f"**{tr('classes_page.results', n=len(names), run=desk.run.short_id)}**")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        shown = [class_words(desk.task, name) for name in classes]
        counts = np.bincount(decided, minlength=len(classes))
        chosen = st.pills(
            tr("classes_page.decided_class"), range(len(classes)), key=f"{key}.class",
            format_func=lambda c: f"{shown[c]} ({number(int(counts[c]), 6)})",
        )  # fmt: skip
        order = st.segmented_control(
            tr("classes_page.order"), _ORDERS, default=_ORDERS[0], required=True,
            key=f"{key}.order", format_func=lambda name: tr(f"classes_page.order.{name}"),
        )  # fmt: skip
    rows = np.arange(len(names)) if chosen is None else np.flatnonzero(decided == chosen)
    sign = 1 if order == "unsure" else -1
    rows = rows[np.argsort(sign * confidence[rows], kind="stable")]
    count = int(st.session_state.get(f"{key}.shown", PAGE))
    some = rows[:count].tolist()
    captions = [f"{shown[decided[i]]} {number(float(confidence[i]), 2)}" for i in some]
    picture = st.session_state.get(f"{key}.picture")
    draw_tiles(
        make_tiles(desk, [names[i] for i in some], captions, desk.marks.wrong),
        key=f"{key}.gallery", label=tr("classes_page.results", n=len(names), run=""),
        chosen=picture, on_click=lambda item_id: choose_picture(key, item_id), opens=why_key(key),
    )  # fmt: skip
    draw_more(key, count, len(rows))
    if picture is not None:
        draw_why(desk, picture, key)


@st.cache_resource(show_spinner=False, max_entries=4)
def _decisions(
    task_id: str, run_id: str, _desk: Desk
) -> tuple[list[str], Sequence[str], np.ndarray, np.ndarray]:
    """Return names, classes, `(N,)` decided class and `(N,)` confidence of a run."""
    predictions: Mapping[str, Prediction] = _desk.predictions
    odds = np.stack([p.values["probabilities"] for p in predictions.values()])
    first = next(iter(predictions.values())).values
    classes = tuple(first["classes"].tolist()) if "classes" in first else ()
    return list(predictions), classes, odds.argmax(axis=1), odds.max(axis=1)
