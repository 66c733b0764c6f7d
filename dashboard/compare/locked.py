"""The locked test set of the chosen data: lock it, open it with a model, and see who did."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard.compare.choice import Chosen, choose
from dashboard.errors import fragment, frame
from dashboard.renderers import draw
from dashboard.run_panel import draw_run
from dashboard.state import watch_run, watched_run
from dashboard.words import say, tr
from pipelines.actions import data_fingerprint
from pipelines.compare.comparison import Comparison
from pipelines.compare.lesson import lesson_view
from pipelines.compare.opening import open_locked, records_of
from pipelines.contract import DatasetRecord
from pipelines.datasets import dataset_title, locked
from pipelines.settings import load_settings
from pipelines.text import Text
from pipelines.views import TableView


def show(comparison: Comparison, chosen: Chosen) -> None:
    """Draw the lock of each data set, and the lesson."""
    st.caption(tr("compare_page.locked_help"))
    for record in records_of(comparison):
        with st.container(border=True), frame():
            _draw_lock(record, comparison, chosen)
    _draw_lesson()


def _draw_lock(record: DatasetRecord, comparison: Comparison, chosen: Chosen) -> None:
    settings, fingerprint = load_settings(), data_fingerprint(record)
    found, title = locked.locked_of(fingerprint, settings), dataset_title(record)
    if found is None:
        st.markdown(f":material/lock_open: **{tr('compare_page.not_locked', data=title)}**")
        _draw_locking(record, fingerprint)
    else:
        words = tr(
            "compare_page.is_locked", data=title, n=len(found.item_ids),
            groups=found.num_groups, when=found.created[:10],
        )  # fmt: skip
        st.markdown(f":material/lock: **{words}**")
        _draw_opening(record, comparison, chosen)
    _draw_openings(fingerprint, chosen)


def _draw_locking(record: DatasetRecord, fingerprint: str) -> None:
    key = f"compare.lock.{fingerprint[:8]}"
    words, written = tr("compare_page.lock_share"), tr("compare_page.share_format")
    share = st.slider(words, 10, 50, 20, step=5, format=written, key=key)
    if st.button(
        tr("compare_page.lock", share=share / 100), icon=":material/lock:", key=f"{key}.now"
    ):
        locked.lock_items(record, fingerprint, share / 100, 0, load_settings())
        st.rerun()


def _draw_opening(record: DatasetRecord, comparison: Comparison, chosen: Chosen) -> None:
    task = chosen.task
    single = [s.entry for s in comparison.standings if len(s.entry.runs) == 1]
    with st.container(horizontal=True):
        for entry in single:
            if st.button(
                tr("compare_page.open_with", model=entry.name), icon=":material/key:",
                key=f"compare.open.{entry.entry_id}.{record.dataset_id}",
                help=tr("compare_page.open_help"),
            ):  # fmt: skip
                run = open_locked(entry.runs[0], record, load_settings())
                watch_run(task.id, "open", run.run_id)
                st.rerun()
        key = f"compare.unlock.{record.dataset_id}"
        with st.popover(tr("compare_page.unlock"), icon=":material/lock_open:"):
            st.markdown(tr("compare_page.unlock_question"))
            if st.button(tr("compare_page.unlock_yes"), key=key):
                locked.unlock(data_fingerprint(record), load_settings())
                st.rerun()
    run_id = watched_run(task.id, "open")
    if run_id is not None:
        draw_run(run_id)


def _draw_openings(fingerprint: str, chosen: Chosen) -> None:
    found = locked.openings_of(fingerprint, load_settings())
    if not found:
        st.caption(tr("compare_page.never_opened"))
        return
    names = ("when", "run", "count", "kind")
    rows = tuple(
        (
            datetime.fromisoformat(o.when).astimezone().strftime("%Y-%m-%d %H:%M"),
            o.title,
            o.num_items,
            Text(f"compare_page.opened_{'lock' if o.is_locked else 'test'}"),
        )
        for o in reversed(found)
    )
    columns = tuple(Text(f"compare_page.opening_{name}") for name in names)
    title = Text("compare.opened", n=len(found))
    draw(TableView(title, columns, rows, filename="openings.csv"), f"openings.{fingerprint[:8]}")
    opened = [o.run_id for o in reversed(found) if o.is_locked and o.run_id in chosen.runs]
    if len(opened) > 1 and st.button(
        tr("compare_page.compare_opened", n=len(opened)), icon=":material/balance:",
        key=f"compare.opened.{fingerprint[:8]}",
        on_click=lambda: choose(chosen.task, opened),
    ):  # fmt: skip
        st.rerun()


@fragment
def _draw_lesson() -> None:
    st.markdown(f"### :material/school: {tr('compare_page.lesson')}")
    st.caption(tr("compare_page.lesson_help"))
    left, right = st.columns(2)
    with left:
        items = st.slider(tr("compare_page.lesson_items"), 20, 2000, 100, step=20, key="lesson.n")
    with right:
        tries = st.slider(tr("compare_page.lesson_tries"), 1, 200, 50, key="lesson.tries")
    view = lesson_view(int(items), int(tries))
    draw(view, "compare.lesson")
    st.caption(say(Text("compare_page.lesson_moral")))
