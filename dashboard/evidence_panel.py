"""What can be handed on of a finished run: the pack, a repetition, the same as code."""

from __future__ import annotations

import shutil
from pathlib import Path

import streamlit as st

from dashboard.errors import fragment, frame
from dashboard.renderers import value_words
from dashboard.same_code import draw_same_code
from dashboard.state import leave_notice
from dashboard.words import language, number, say, tr
from pipelines import datasets
from pipelines.errors import PipelineError
from pipelines.evidence.calls import handing_on_call, run_call, unpacking_call
from pipelines.evidence.pack import find_pack, pack_name
from pipelines.evidence.repeat import RepeatReport, compare_runs, plan_repeat
from pipelines.evidence.unpack import import_pack
from pipelines.jobs import warm
from pipelines.jobs.engines import local
from pipelines.jobs.store import Run, Status, create_run, find_run, list_runs, short_id_of
from pipelines.settings import load_settings

_TIMEOUT_S = 900.0
_MIMES = {"pdf": "application/pdf", "html": "text/html"}


def draw_evidence(run: Run) -> None:
    """Draw pack, repetition and code of a finished run."""
    if run.status is not Status.FINISHED:
        return
    _draw_buttons(run)
    with frame():
        _draw_repetitions(run)
    with frame():
        draw_same_code(run_call(run), f"run.{run.run_id}", "same_code.run")
        draw_same_code(handing_on_call(run), f"hand_on.{run.run_id}", "same_code.hand_on")


@fragment
def _draw_buttons(run: Run) -> None:
    folder = find_pack(run, load_settings())
    with st.container(horizontal=True, gap="small"):
        if folder is None:
            make = st.button(
                tr("evidence_panel.pack"),
                key=f"pack.{run.run_id}",
                icon=":material/inventory_2:",
                help=tr("evidence_panel.pack_help"),
            )
        else:
            make = False
            _draw_downloads(run, folder)
        repeat = st.button(
            tr("evidence_panel.repeat"),
            key=f"repeat.{run.run_id}",
            icon=":material/replay:",
            help=tr("evidence_panel.repeat_help"),
        )
    with frame():
        if make:
            _make_pack(run)
        if repeat:
            _repeat(run)


def _draw_downloads(run: Run, folder: Path) -> None:
    archive = folder / f"{pack_name(run)}.zip"
    size = value_words(float(archive.stat().st_size), "bytes")
    _download(run, archive, tr("evidence_panel.zip", size=size), "application/zip", primary=True)
    for kind, mime in _MIMES.items():
        report = folder / f"report.{language()}.{kind}"
        _download(run, report, tr(f"evidence_panel.{kind}"), mime)


def _download(run: Run, path: Path, words: str, mime: str, *, primary: bool = False) -> None:
    st.download_button(
        words,
        data=lambda: path.read_bytes(),
        file_name=path.name if primary else f"{pack_name(run)}.{path.name}",
        mime=mime,
        key=f"pack.{run.run_id}.{path.suffix}",
        icon=":material/download:",
        type="primary" if primary else "secondary",
        on_click="ignore",
    )


def _make_pack(run: Run) -> None:
    with st.status(tr("evidence_panel.making"), expanded=False):
        warm.warm_call("pipelines.evidence.pack:pack_for_page", run.run_id, timeout_s=_TIMEOUT_S)
    st.rerun()


def _repeat(run: Run) -> None:
    settings = load_settings()
    second = local.launch(create_run(plan_repeat(run), settings), settings)
    leave_notice(tr("evidence_panel.started", run=run.short_id))
    st.query_params["open"] = second.run_id
    st.rerun()


def _draw_repetitions(run: Run) -> None:
    """Say how this run compares with the one that it repeats, and with those that repeat it."""
    settings = load_settings()
    if run.request.repeats:
        try:
            first = find_run(run.request.repeats, settings)
        except PipelineError:
            st.caption(tr("evidence_panel.first_gone", run=short_id_of(run.request.repeats)))
            return
        _draw_report(_compare(first.run_id, run.run_id, _stamp(first, run)))
    for second in list_runs(settings, run.request.task_id):
        if second.request.repeats == run.run_id and second.status is Status.FINISHED:
            st.markdown(f"**{tr('evidence_panel.repeated_as', run=second.short_id)}**")
            _draw_report(_compare(run.run_id, second.run_id, _stamp(run, second)))


def _stamp(first: Run, second: Run) -> str:
    return "|".join(str((run.folder / "state.json").stat().st_mtime_ns) for run in (first, second))


@st.cache_data(show_spinner=False, max_entries=32)
def _compare(first: str, second: str, stamp: str) -> RepeatReport:
    """Compare two runs; `stamp` changes with them."""
    settings = load_settings()
    return compare_runs(find_run(first, settings), find_run(second, settings))


def _draw_report(report: RepeatReport) -> None:
    icon = ":material/check_circle:" if report.is_same else ":material/difference:"
    (st.success if report.is_same else st.info)(say(report.verdict), icon=icon)
    for text in report.sentences():
        st.caption(say(text))
    changed = [row for row in report.scores if row.difference]
    if not changed:
        return
    names = ("part", "metric", "first", "second", "difference")
    st.dataframe(
        [
            dict(zip(
                (tr(f"evidence_panel.column.{name}") for name in names),
                (
                    tr(f"pages.part.{row.part}"), row.metric, number(row.first),
                    number(row.second), number(row.difference),
                ),
                strict=True,
            ))
            for row in changed
        ],
        hide_index=True,
        key=f"repeat.{report.first}.{report.second}",
    )  # fmt: skip


def draw_import() -> None:
    """Draw the popover that takes in an evidence pack as a run."""
    with st.popover(tr("evidence_panel.import"), icon=":material/upload:"), frame():
        st.markdown(tr("evidence_panel.import_help"))
        number = st.session_state.setdefault("runs.import_number", 0)  # a new one is an empty one
        file = st.file_uploader(
            tr("evidence_panel.file"), type=["zip"], key=f"runs.import.{number}",
            label_visibility="collapsed",
        )  # fmt: skip
        if file is None:
            return
        take = st.button(tr("evidence_panel.import_yes"), type="primary")
        draw_same_code(unpacking_call(file.name), "runs.import")
        if not take:
            return
        settings = load_settings()
        path = datasets.save_upload(file, file.name, settings)
        try:
            run = import_pack(path, settings)
        finally:
            shutil.rmtree(path.parent, ignore_errors=True)  # the folder of this upload alone
        st.session_state["runs.import_number"] += 1
        leave_notice(tr("evidence_panel.imported", run=run.short_id))
        st.query_params["open"] = run.run_id
        st.rerun()
