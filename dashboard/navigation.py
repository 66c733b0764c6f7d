"""From the registry to the list of pages; nothing here names a task."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboard.words import LANGUAGE_NAMES, choose_language, language, say, tr
from pipelines.contract import Task
from pipelines.registry import load_tasks
from pipelines.text import LANGUAGES, Language


def pages() -> dict[str, list[Any]]:  # st.Page has no public type
    """Build the navigation: home, one entry a task, models, learning."""
    tasks, _ = load_tasks()
    return {
        "": [_page("home", "pages.home", ":material/home:", "home", default=True)],
        tr("pages.section_tasks"): [_task_page(t) for t in tasks],
        tr("pages.section_models"): [
            _page("runs", "pages.runs", ":material/list_alt:", "runs"),
            _page("compare", "compare_page.title", ":material/balance:", "compare"),
            _page("checkpoints", "pages.checkpoints", ":material/deployed_code:", "checkpoints"),
        ],
        tr("pages.section_learn"): [
            _page("lessons", "lessons.title", ":material/school:", "lessons"),
            _page("glossary", "pages.glossary", ":material/menu_book:", "glossary"),
        ],
    }


def draw_language_switch() -> None:
    """Draw the switch between the languages at the top of every page."""
    st.session_state["language.switch"] = language()
    with st.container(key="language-switch", horizontal=True, horizontal_alignment="right"):
        st.segmented_control(
            tr("pages.language"),
            LANGUAGES,
            format_func=_language_label,
            key="language.switch",
            label_visibility="collapsed",
            required=True,
            on_change=lambda: choose_language(st.session_state["language.switch"]),
        )
        # for those who are read the page aloud, and for number fields of browsers that follow it
        spoken = f"<script>document.documentElement.lang = '{language()}'</script>"
        st.html(spoken, unsafe_allow_javascript=True)


def _language_label(code: Language) -> str:
    """Return the name of a language with "ç" written as Markdown's "&#231;".

    Streamlit looks for an emoji in front of a label that is no ASCII, and its table of them takes
    a tenth of a second to load: for every visitor's first page, as this switch is on all of them.
    """
    return LANGUAGE_NAMES[code].encode("ascii", "xmlcharrefreplace").decode()


def page_of(served: Task) -> Any:  # st.Page has no public type
    """Return the page of a task, as `pages` lists it."""
    return _task_page(served)


def open_task(served: Task, address: Mapping[str, str]) -> None:
    """Leave for the page of a task, at the step and panel that the address names."""
    st.session_state["task.step"] = address.get("step", "data")
    if "panel" in address:
        st.session_state[f"{served.id}.{address['step']}.panel"] = address["panel"]
    st.switch_page(page_of(served), query_params=dict(address))


def open_compare(served: Task, run_ids: Sequence[str]) -> None:
    """Leave for the comparison of these runs of a task."""
    page = _page("compare", "compare_page.title", ":material/balance:", "compare")
    st.switch_page(page, query_params={"task": served.id, "runs": ",".join(run_ids)})


def draw_ways_out(step: str) -> None:
    """Draw a link to that step of each task, below what says that there is nothing here yet."""
    with st.container(horizontal=True):
        for task in load_tasks()[0]:
            icon, words = f":material/{task.icon}:", say(task.title)
            st.page_link(page_of(task), label=words, icon=icon, query_params={"step": step})


def _task_page(served: Task) -> Any:  # st.Page has no public type
    draw = partial(_show, "task", served.id)
    icon = f":material/{served.icon}:"
    return st.Page(draw, title=say(served.title), icon=icon, url_path=served.id)


def _page(
    module: str, title_id: str, icon: str, path: str, *, default: bool = False
) -> Any:  # st.Page has no public type
    draw = partial(_show, module)
    return st.Page(draw, title=tr(title_id), icon=icon, url_path=path, default=default)


def _show(module: str, *arguments: str) -> None:
    """Draw a page; its module is loaded now, so that no page waits for what another one needs."""
    importlib.import_module(f"dashboard.pages.{module}").show(*arguments)
