"""The one panel of long work: state, progress, time left, live curve and picture, controls, log.

It reads the run's folder, so it is the same after a reload, in another tab, and on another day.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.errors import frame
from dashboard.renderers import draw, value_words
from dashboard.words import say, say_plainly, tr
from pipelines.jobs.engines import local
from pipelines.jobs.store import Picture, Run, Status, find_run
from pipelines.registry import get_task
from pipelines.settings import load_settings
from pipelines.text import Text
from pipelines.views import Curve, CurveView, ImageView, Pane, PixelLayer

_POLL_S = 1.0
_ICONS = {
    Status.QUEUED: ("hourglass_top", "gray"),
    Status.RUNNING: ("progress_activity", "primary"),
    Status.PAUSED: ("pause_circle", "orange"),
    Status.FINISHED: ("check_circle", "green"),
    Status.FAILED: ("error", "red"),
    Status.CANCELLED: ("cancel", "gray"),
    Status.LOST: ("link_off", "orange"),
}
_BELOW = ("loss", "validation_loss")  # in this order: full line, then dashed


def draw_run(run_id: str) -> None:
    """Draw the panel of a run; it follows the run while it works."""
    run = find_run(run_id, load_settings())
    interval = _POLL_S if run.status.is_active else None
    st.fragment(_draw_panel, run_every=interval)(run_id, was_active=run.status.is_active)


def _draw_panel(run_id: str, *, was_active: bool) -> None:
    with frame():
        run = find_run(run_id, load_settings())
        if was_active and not run.status.is_active:
            st.rerun()  # once, so that the page around the panel takes the result in
        with st.container(border=True, key=f"run-{run_id}"):
            _draw_head(run)
            _draw_progress(run)
            _draw_controls(run)
            _draw_messages(run)
            _draw_live(run)
            _draw_log(run)


def _draw_head(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        title = say(run.title)
        st.markdown(f"**{title}**")
        draw_status(run.status)
        if run.has_leak:
            st.badge(tr("runs.leak"), icon=":material/water_drop:", color="red")
        if run.short_id not in title:  # a title of the person's own
            st.caption(tr("runs.facts", run=run.short_id, data=run.request.data_name))


def draw_status(status: Status) -> None:
    """Draw how a run or a study stands, by word, icon and colour."""
    icon, tint = _ICONS[status]
    st.badge(say(status.label), icon=f":material/{icon}:", color=tint)  # type: ignore[arg-type] # the table above


def _draw_progress(run: Run) -> None:
    state = run.state
    if state.queue_position:
        st.caption(tr("runs.queue", n=state.queue_position))
    if not run.status.is_active:
        return
    words = say(state.stage) if state.stage is not None else tr("runs.starting")
    st.progress(min(max(state.fraction or 0.0, 0.0), 1.0), text=words)
    facts = []
    if state.seconds_left is not None:
        facts.append(tr("runs.left", seconds=float(state.seconds_left)))
    if state.started is not None:
        facts.append(tr("runs.elapsed", seconds=float(time.time() - state.started)))
    speed = next((p["steps_per_s"] for p in reversed(run.metric_points()) if "steps_per_s" in p), 0)
    if speed:
        facts.append(tr("runs.speed", value=float(speed)))
    if state.memory_bytes:
        facts.append(tr("runs.memory", size=state.memory_bytes))
    st.caption(" · ".join(facts) or tr("runs.starting"))


def _draw_controls(run: Run) -> None:
    with st.container(horizontal=True, gap="small"):
        if run.status is Status.RUNNING and run.request.action == "train":
            _button(run, "pause", "pause", local.pause)
        if run.status.is_active:
            _button(run, "stop", "stop", local.cancel)
        if run.status.is_resumable:
            _button(run, "resume", "play_arrow", local.resume, primary=True)


def _button(run: Run, name: str, icon: str, act: Any, *, primary: bool = False) -> None:
    pressed = st.button(
        tr(f"runs.{name}"),
        key=f"run.{run.run_id}.{name}",
        icon=f":material/{icon}:",
        help=tr(f"runs.{name}_help"),
        type="primary" if primary else "secondary",
    )
    if pressed:
        act(run)
        st.rerun()


def _draw_messages(run: Run) -> None:
    if run.has_leak:
        st.warning(tr("runs.leak_help"), icon=":material/water_drop:")
    for note in run.state.notes:
        st.caption(f":material/info: {say(note)}")
    if run.status is Status.FAILED and run.error is not None:
        st.error(say_plainly(run.error), icon=":material/error:")
    if run.status is Status.LOST:
        st.warning(tr("runs.lost"), icon=":material/link_off:")


def _draw_live(run: Run) -> None:
    points = run.metric_points()
    if not points and not run.pictures():
        return
    if not points:
        _draw_pictures(run)
        return
    left, right = st.columns([3, 2])
    with left:
        _draw_curves(run, points)
    with right:
        _draw_pictures(run)


def _draw_curves(run: Run, points: Sequence[Mapping[str, float]]) -> None:
    names = [n for n in _BELOW if n in _names(points)]
    scores = [n for n in _names(points) if n in ("v_rand", "v_info", "dice", "auc", "accuracy")]
    scores += [n for n in _names(points) if n.startswith("f4")]
    for title, chosen in (("runs.curve_loss", names), ("runs.curve_score", scores)):
        if chosen:
            view = CurveView(
                Text(title),
                x_label=Text("runs.axis_step"),
                y_label=Text("runs.axis_value"),
                curves=tuple(_curve(name, points, _label(run, name)) for name in chosen),
            )
            draw(view, f"run.{run.run_id}.{title}")


def _names(points: Sequence[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for point in points for name in point))


def _label(run: Run, name: str) -> Text:
    """Name a curve: as the task calls the figure, or by the name that all tasks share."""
    task = get_task(run.request.task_id)
    own = {metric.name: metric.label for metric in task.metrics}
    if name in own:
        return own[name]
    is_part = name.startswith(f"{task.main_metric.name}_")  # of a kind that is not scored
    return Text(f"{task.main_metric.texts if is_part else 'runs.metric'}.{name}")


def _curve(name: str, points: Sequence[Mapping[str, float]], label: Text) -> Curve:
    """Draw a figure over the steps; where another network begins, the line is broken."""
    having = [p for p in points if name in p]
    x = np.array([float(p.get("step", i)) for i, p in enumerate(having)])
    y = np.array([float(p[name]) for p in having])
    breaks = np.flatnonzero(np.diff([p.get("network", 0) for p in having])) + 1
    x, y = np.insert(x, breaks, x[breaks]), np.insert(y, breaks, np.nan)
    return Curve(label, x, y, is_dashed=name.startswith("validation"))


def _draw_pictures(run: Run) -> None:
    pictures = run.pictures()
    if not pictures:
        return
    last = len(pictures) - 1
    index = last
    if last > 0 and not run.status.is_active:
        index = st.slider(tr("runs.playback"), 0, last, last, key=f"run.{run.run_id}.frame")
    shown = pictures[index]
    pane = Pane(
        Text("runs.picture"), (PixelLayer(_pixels(str(shown.path), shown), window=(0, 255)),)
    )
    draw(ImageView(shown.caption, (pane,)), f"run.{run.run_id}.picture")


@st.cache_data(show_spinner=False, max_entries=64)
def _pixels(path: str, _picture: Picture) -> NDArray[np.uint8]:
    """Read a kept picture; once written it never changes."""
    return _picture.pixels()


def _draw_log(run: Run) -> None:
    with st.expander(tr("runs.log"), icon=":material/notes:"):
        st.code(run.log_tail() or tr("runs.no_log"), language=None)


def draw_cost(run: Run) -> None:
    """Draw what a finished run cost."""
    words = value_words(run.state.worked_s, "duration")
    peak = value_words(float(run.state.memory_peak_bytes), "bytes")
    st.caption(tr("runs.cost", time=words, memory=peak))
