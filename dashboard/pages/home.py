"""Home: what the tasks are, what is ready here, and the shortest way to a first result."""

from __future__ import annotations

import base64
import functools
import html

import streamlit as st

from dashboard.errors import frame
from dashboard.layout import draw_head, draw_lost
from dashboard.words import say, say_plainly, tr
from pipelines.contract import Task
from pipelines.core.checkpoints import list_checkpoints
from pipelines.jobs import warm
from pipelines.jobs.store import list_runs
from pipelines.registry import BrokenTask, cover_of, load_tasks
from pipelines.settings import load_settings

_PER_ROW = 2
_PREWARM_AFTER_S = 1.0


def show() -> None:
    """Draw the page."""
    warm.prewarm_later(_PREWARM_AFTER_S)  # the first prediction then need not wait for torch
    draw_head("biotech", tr("pages.product"), tr("home.summary"))
    draw_lost("page")
    tasks, broken = load_tasks()
    for start in range(0, len(tasks), _PER_ROW):
        row = tasks[start : start + _PER_ROW]
        for column, task in zip(st.columns(_PER_ROW, gap="medium"), row, strict=False):
            with column, frame():
                _draw_task(task)
    for failed in broken:
        _draw_broken(failed)
    st.caption(f":material/lock: {tr('home.privacy')}")
    st.caption(f":material/science: {tr('home.generated')}")


def _draw_task(task: Task) -> None:
    with st.container(border=True, height="stretch", vertical_alignment="distribute"):
        with st.container():
            _draw_cover(task)
            st.markdown(f"### :material/{task.icon}: {say(task.title)}")
            st.markdown(say(task.summary))
        _draw_ways(task)


def _draw_cover(task: Task) -> None:
    """Draw the strip of pictures of a task that has one; its place is kept while it loads."""
    source = _cover_address(task.id)
    if source:
        alt = html.escape(tr("home.cover"))
        st.html(f'<img class="cover" src="{source}" alt="{alt}">')


@functools.cache
def _cover_address(task_id: str) -> str:
    """Return the picture as an address of its own: it comes with the page, in one go."""
    file = cover_of(task_id)
    if not file.is_file():
        return ""
    return f"data:image/webp;base64,{base64.b64encode(file.read_bytes()).decode()}"


def _draw_ways(task: Task) -> None:
    """Draw the buttons at the foot of the card, so that those of a row stand in one line."""
    settings = load_settings()
    models = list_checkpoints(task.id, settings.checkpoints, settings.runs)
    num_runs = len(list_runs(settings, task.id))
    with st.container():
        demo = tr("home.demo_ready") if any(m.is_builtin for m in models) else tr("home.no_demo")
        st.caption(f"{demo} · {tr('home.runs', n=num_runs)}")
        with st.container(horizontal=True, gap="small"):
            _link(task, "predict", tr("home.see_result"), "auto_awesome", is_primary=True)
            _link(task, "data", tr("home.own_data"), "database")


def _link(task: Task, step: str, words: str, icon: str, *, is_primary: bool = False) -> None:
    pressed = st.button(
        words,
        key=f"home.{task.id}.{step}",
        icon=f":material/{icon}:",
        type="primary" if is_primary else "secondary",
    )
    if pressed:
        from dashboard.navigation import open_task

        open_task(task, {"step": step})


def _draw_broken(failed: BrokenTask) -> None:
    with st.container(border=True):
        st.error(say_plainly(failed.text), icon=":material/error:")
        with st.expander(tr("home.details")):
            st.code(failed.details, language=None)
