"""Runs: every run with its state; one of them opened below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard.address import keep, note_lost, restore
from dashboard.choices import list_models, model_of_run, score_words
from dashboard.errors import frame
from dashboard.errors import show as show_error
from dashboard.evidence_panel import draw_evidence, draw_import
from dashboard.layout import draw_empty, draw_head, draw_lost
from dashboard.run_panel import draw_cost, draw_run
from dashboard.state import leave_notice
from dashboard.study_panel import draw_studies
from dashboard.words import say, say_plainly, tr
from pipelines import registry
from pipelines.contract import Task
from pipelines.errors import TaskError
from pipelines.jobs.store import (
    Run,
    delete_run,
    find_run,
    rename_run,
    restore_run,
    scan_runs,
    short_id_of,
)
from pipelines.settings import load_settings
from pipelines.studies import list_studies

_DELETED = "runs.deleted"
_RENAMED = "runs.renamed"
_TABLE = "runs.table"
_MOST_ROWS = 200
_LONGEST_TITLE = 80  # characters
# the run, its state, its day and the figure itself are in sight on a narrow screen, in any language
_WIDTHS_PX = {"run": 312, "state": 90, "created": 136, "score": 330}


def show() -> None:
    """Draw the page."""
    draw_head("list_alt", tr("pages.runs"), tr("runs.summary"))
    draw_import()
    _draw_undo()
    _draw_rename_undo()
    listing = scan_runs(load_settings())
    for _, problem in listing.problems:
        st.warning(say_plainly(problem), icon=":material/warning:")
    if not listing.runs:
        _draw_empty()
        return
    draw_studies(list_studies(load_settings()))
    by_id = {run.run_id: run for run in listing.runs}
    _draw_table(listing.runs)
    chosen = restore("open", "runs.open", list(by_id), listing.runs[0].run_id)
    asked = st.query_params.get("open")
    if asked and asked not in by_id and asked != st.session_state.get(_DELETED):
        note_lost("open", asked)  # also where another tab deleted it while it was shown here
    draw_lost("open")
    st.selectbox(
        tr("runs.open"), list(by_id), format_func=lambda i: _name(by_id[i]), key="runs.open"
    )
    keep("open", str(st.session_state["runs.open"]))
    run = by_id[str(st.session_state["runs.open"] or chosen)]
    if _is_served(run):
        draw_run(run.run_id)
        draw_cost(run)
        _draw_result(run)
        draw_evidence(run)
    _draw_actions(run)


def _draw_empty() -> None:
    from dashboard.navigation import draw_ways_out

    draw_empty("inbox", tr("runs.empty_title"), tr("runs.empty"))
    draw_ways_out("train")


def _name(run: Run) -> str:
    title = say(run.title)
    return title if run.short_id in title else f"{title} · {run.short_id}"


def _draw_table(runs: Sequence[Run]) -> None:
    import pandas as pd

    table = pd.DataFrame(
        [
            {
                tr("runs.column_run"): _name(run),
                tr("runs.column_state"): say(run.status.label),
                tr("runs.column_created"): _when(run.request.created),
                tr("runs.column_score"): _score(run),
                tr("runs.column_task"): _task_title(run),
                tr("runs.column_data"): say(run.request.data_name),
            }
            for run in runs[:_MOST_ROWS]
        ]
    )
    st.dataframe(
        table,
        hide_index=True,
        height=min(38 + 35 * len(table), 360),
        column_config=_columns(),
        key=_TABLE,
        selection_mode="single-row",
        on_select=lambda: _open_selected(runs),
    )
    if len(runs) > _MOST_ROWS:
        st.caption(tr("runs.newest", shown=_MOST_ROWS, count=len(runs)))


def _columns() -> dict[str, Any]:  # Streamlit names no public type for it
    widths = _WIDTHS_PX.items()
    return {tr(f"runs.column_{name}"): st.column_config.Column(width=px) for name, px in widths}


def _open_selected(runs: Sequence[Run]) -> None:
    """Open the run whose row was clicked."""
    rows = st.session_state[_TABLE].selection.rows
    if rows:
        st.session_state["runs.open"] = runs[rows[0]].run_id


def _is_served(run: Run) -> bool:
    """Tell whether the task of a run can be loaded; say once why not, instead of in every part."""
    try:
        registry.get_task(run.request.task_id)
    except TaskError as error:
        show_error(error)
        return False
    return True


def _task_title(run: Run) -> str:
    try:
        return say(registry.get_task(run.request.task_id).title)
    except TaskError:
        return run.request.task_id


def _score(run: Run) -> str:
    try:
        return score_words(registry.get_task(run.request.task_id), run)
    except TaskError:
        return ""


def _when(created: str) -> str:
    return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")


def _draw_result(run: Run) -> None:
    """Lead to what the run gave: its figures, or the model that it trained."""
    if run.status.is_active or run.checkpoint is None:
        return
    from dashboard.navigation import open_task

    is_scored = (run.folder / "scores.json").is_file()
    step = "evaluate" if is_scored else "predict"
    icon = ":material/query_stats:" if is_scored else ":material/auto_awesome:"
    if st.button(tr(f"runs.result_{step}"), key=f"result.{run.run_id}", icon=icon):
        task = registry.get_task(run.request.task_id)
        own = {"run": run.run_id} if is_scored else _address_of_model(task, run)
        open_task(task, {"step": step, "data": run.request.dataset_id, **own})


def _address_of_model(task: Task, run: Run) -> dict[str, str]:
    """Name the model that a run trained, or that it predicted with; nothing where it is gone."""
    name = model_of_run(run, list_models(task))
    return {} if name is None else {"model": name}


def _draw_actions(run: Run) -> None:
    with st.container(horizontal=True, gap="small"):
        _draw_rename(run)
        if not run.status.is_active:
            _draw_delete(run)


def _draw_rename(run: Run) -> None:
    """Draw the field of the run's name; an empty one gives back the name that was made."""
    key = f"rename.{run.run_id}"
    with st.popover(tr("runs.rename"), icon=":material/edit:", key=f"{key}.popover"), frame():
        title = st.text_input(
            tr("runs.rename_field"),
            value=run.request.title,
            max_chars=max(_LONGEST_TITLE, len(run.request.title)),  # an older name may be longer
            placeholder=say(run.title),
            help=tr("runs.rename_help"),
            key=f"{key}.title",
        )
        if st.button(tr("runs.rename_yes"), key=key, icon=":material/check:"):
            before = run.request.title
            rename_run(run, title)
            st.session_state[_RENAMED] = (run.run_id, before)
            st.rerun()


def _draw_delete(run: Run) -> None:
    with st.popover(tr("runs.delete"), icon=":material/delete:"), frame():
        st.markdown(tr("runs.delete_question"))
        if st.button(tr("runs.delete_yes"), key=f"delete.{run.run_id}", icon=":material/delete:"):
            delete_run(run)
            st.session_state[_DELETED] = run.run_id
            st.session_state.pop("runs.open", None)
            st.rerun()


def _draw_rename_undo() -> None:
    if _RENAMED not in st.session_state:
        return
    run_id, before = st.session_state[_RENAMED]
    with st.container(horizontal=True, vertical_alignment="center"), frame():
        st.markdown(tr("runs.renamed_words", run=short_id_of(run_id)))
        undo = tr("runs.undo")
        if st.button(undo, key="runs.undo_rename", icon=":material/undo:", type="tertiary"):
            st.session_state.pop(_RENAMED)
            st.session_state.pop(f"rename.{run_id}.title", None)
            rename_run(find_run(run_id, load_settings()), before)
            leave_notice(tr("runs.name_restored"))
            st.rerun()


def _draw_undo() -> None:
    run_id = st.session_state.get(_DELETED)
    if run_id is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(tr("runs.deleted_words", run=short_id_of(run_id)))
        if st.button(tr("runs.undo"), key="runs.undo", icon=":material/undo:", type="tertiary"):
            restore_run(run_id, load_settings())
            st.session_state.pop(_DELETED)
            leave_notice(tr("runs.restored"))
            st.rerun()
