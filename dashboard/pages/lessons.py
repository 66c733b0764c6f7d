"""Lessons: one idea at a time, each step leading to the page where it can be tried."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.address import keep, restore
from dashboard.layout import draw_empty, draw_head
from dashboard.terms import link_terms
from dashboard.words import say, tr
from pipelines.contract import Lesson, Task
from pipelines.registry import load_tasks

_CHOSEN = "lessons.task"


def show() -> None:
    """Draw the page."""
    draw_head("school", tr("lessons.title"), tr("lessons.summary"))
    tasks = {task.id: task for task in load_tasks()[0] if task.lessons()}
    if not tasks:
        draw_empty("school", tr("lessons.empty_title"), tr("lessons.empty"))
        return
    restore("about", _CHOSEN, list(tasks), next(iter(tasks)))
    st.segmented_control(
        tr("lessons.choose"),
        list(tasks),
        format_func=lambda name: f":material/{tasks[name].icon}: {say(tasks[name].title)}",
        key=_CHOSEN,
        required=True,
        wrap=True,
        label_visibility="collapsed",
    )
    chosen = str(st.session_state[_CHOSEN])
    keep("about", chosen if chosen != next(iter(tasks)) else None)
    for lesson in tasks[chosen].lessons():
        _draw_lesson(tasks[chosen], lesson)


def _draw_lesson(task: Task, lesson: Lesson) -> None:
    with st.container(border=True, key=f"lesson-{lesson.lesson_id}"):
        st.markdown(f"### {say(lesson.title)}\n{link_terms(say(lesson.summary))}")
        for index, address in enumerate(lesson.steps, start=1):
            doing, way = st.columns([5, 1], vertical_alignment="center")
            doing.markdown(f"**{index}.** {link_terms(say(lesson.doing(index)))}")
            with way:
                _draw_way(task, address, f"lessons.{task.id}.{lesson.lesson_id}.{index}")
            with st.expander(tr("lessons.see"), icon=":material/visibility:"):
                st.markdown(link_terms(say(lesson.seeing(index))))


def _draw_way(task: Task, address: Mapping[str, str], key: str) -> None:
    if st.button(tr("lessons.go"), key=key, icon=":material/arrow_forward:", width="stretch"):
        from dashboard.navigation import open_task

        open_task(task, address)
