"""Step Data: choose or add a data set, read the report on it, look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st

from dashboard.choices import Choices, pick_data
from dashboard.errors import frame
from dashboard.forms import draw_options
from dashboard.renderers import value_words
from dashboard.same_code import draw_same_code
from dashboard.state import leave_notice, option_values
from dashboard.steps.panels import draw_step_panels
from dashboard.steps.removal import draw_removal, draw_undo
from dashboard.words import as_plain, say, say_plainly, tr
from pipelines import config as configs
from pipelines import datasets
from pipelines.config import OptionInfo
from pipelines.contract import DatasetRecord, Inspection, Problem, Task
from pipelines.datasets import DatasetReport
from pipelines.evidence.calls import Source, inspection_call
from pipelines.settings import load_settings
from pipelines.text import Text

_MOST_BOXES: Final = 6
"""Problems up to which each takes its room; more of them are a list that scrolls."""
_LIST_PX: Final = 420


def show(task: Task, choices: Choices, draw_more: Callable[[Task], None] | None = None) -> None:
    """Draw the step.

    Args:
        task: Task whose page it is.
        choices: Data that are shown.
        draw_more: Draws another way to come by data, below the one that adds files.
    """
    record = choices.record
    draw_undo(task)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="data-bar"):
        pick_data(task)
        report = datasets.load_report(record.dataset_id, load_settings())
        if report is not None:
            _draw_registered(task, record, report)
        draw_removal(task, record)
    _draw_facts(task, record)
    with frame():
        _draw_adding(task)
    if draw_more is not None:
        with frame():
            draw_more(task)
    draw_step_panels(task, "data", choices)
    draw_same_code(inspection_call(task, Source.of(task, record)), "data", "same_code.data")


def _draw_facts(task: Task, record: DatasetRecord) -> None:
    items = task.items_text(len(record.items))
    labelled = sum(item.has_truth for item in record.items)
    size = value_words(float(sum(file.num_bytes for file in record.files)), "bytes")
    words = tr("data_step.facts", items=items, labelled=labelled, size=size)
    if record.is_generated:
        words += f" · :material/science: {tr('data_step.generated')}"
    st.caption(words)


def _draw_registered(task: Task, record: DatasetRecord, report: DatasetReport) -> None:
    """Draw what was found when the data set was registered, and how it may be read otherwise."""
    count = len(report.problems)
    title = tr("data_step.report_problems", n=count) if count else tr("data_step.report_clean")
    icon = ":material/warning:" if count else ":material/description:"
    with st.popover(title, icon=icon, key=f"{task.id}.report", width="content"):
        _draw_findings(report.facts, report.problems)
        if not count:
            st.caption(tr("data_step.no_problem"))
    infos = configs.describe(task.data_options)
    if infos:
        with (
            st.popover(tr("data_step.reading"), icon=":material/tune:", width="content"),
            frame(),
        ):
            _draw_reading(task, record, report)


def _draw_reading(task: Task, record: DatasetRecord, report: DatasetReport) -> None:
    infos = configs.describe(task.data_options)
    before = vars(configs.parse(task.data_options, report.chosen))
    prefix = f"{task.id}.{record.dataset_id}.reading"
    st.caption(tr("data_step.reading_help"))
    values = draw_options(prefix, infos, option_values(prefix, dict(before)))
    apply = st.button(
        tr("data_step.apply"),
        key=f"{prefix}.apply",
        type="primary",
        icon=":material/refresh:",
        disabled=values == before,
    )
    if not apply:
        return
    datasets.register(
        task,
        datasets.resolve_source(str(report.source), load_settings()),
        _chosen(infos, values),
        load_settings(),
        title=record.title,
        is_generated=record.is_generated,
    )
    leave_notice(tr("data_step.read_anew", title=datasets.dataset_title(record)))
    st.rerun()


def _chosen(infos: Sequence[OptionInfo], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that replace what is detected."""
    return {i.name: str(values[i.name]) for i in infos if values[i.name] != i.default}


def _draw_adding(task: Task) -> None:
    key = f"{task.id}.adding"
    if st.session_state.pop(f"{key}.is_done", False):  # the picture moves up to where one looks
        st.session_state[key], st.session_state[f"{task.id}.path"] = False, ""
    with st.expander(tr("data_step.add"), icon=":material/add:", key=key, on_change="rerun"):
        st.caption(say(task.accepts))
        path = st.text_input(
            tr("data_step.path"),
            key=f"{task.id}.path",
            placeholder=tr("data_step.path_example"),
            help=tr("data_step.path_help"),
        )
        files = st.file_uploader(
            tr("data_step.upload"), accept_multiple_files=True, key=f"{task.id}.upload"
        )
        source = _source(task, path, files)
        if source is not None:
            _draw_inspection(task, source)


def _source(task: Task, path: str, files: Sequence[Any]) -> Path | None:
    """Return what the user named: a path on the server, or the folder of what was uploaded."""
    settings = load_settings()
    if path.strip():
        return datasets.resolve_source(path.strip(), settings)
    marks = [file.file_id for file in files]
    key = f"{task.id}.uploaded"
    before = st.session_state.get(key, ([], None))
    if before[0] != marks and before[1] is not None:  # taken back before or after it was used
        datasets.discard_upload(Path(before[1]), settings)
        del st.session_state[key]
    if not files:
        return None
    if before[0] != marks or not Path(before[1]).is_dir():  # also one thrown away for its age
        datasets.discard_old_uploads(settings)
        folder = datasets.save_uploads([(file, file.name) for file in files], settings)
        st.session_state[key] = (marks, folder)
    folder = Path(st.session_state[key][1])
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 else folder


def _draw_inspection(task: Task, source: Path) -> None:
    prefix = f"{task.id}.reading"
    infos = configs.describe(task.data_options)
    values = option_values(prefix, {info.name: info.default for info in infos})
    with st.popover(tr("data_step.reading"), icon=":material/tune:"):
        values = draw_options(prefix, infos, values)
    chosen = _chosen(infos, values)
    with st.spinner(tr("data_step.inspecting")):
        found = _inspect(task.id, source, tuple(sorted(chosen.items())), _stamp(source))
    _draw_report(datasets.proposed_title(source, found, load_settings()), found)
    call = inspection_call(task, Source(str(source), chosen))
    draw_same_code(call, "data.added", "same_code.data")
    use = st.button(
        tr("data_step.use"),
        key=f"{task.id}.use",
        type="primary",
        icon=":material/check:",
        disabled=not found.is_usable,
    )
    if use:
        record = datasets.register(task, source, chosen, load_settings())
        st.query_params["data"] = record.dataset_id  # the picker is drawn already; the address wins
        st.session_state[f"{task.id}.adding.is_done"] = True
        leave_notice(tr("data_step.added", title=record.title))
        st.rerun()


@st.cache_data(show_spinner=False, max_entries=16)
def _inspect(
    task_id: str, source: Path, options: tuple[tuple[str, str], ...], stamp: float
) -> Inspection:
    from pipelines.registry import get_task

    return get_task(task_id).inspect(source, dict(options))


def _stamp(source: Path) -> float:
    """Return when the source last changed, so that a new file is inspected anew."""
    return source.stat().st_mtime


def _draw_report(title: str, found: Inspection) -> None:
    st.markdown(f"**{tr('data_step.report', title=as_plain(title))}**")
    _draw_findings(found.facts, found.problems)


def _draw_findings(facts: Iterable[tuple[Text, Any]], problems: Iterable[Problem]) -> None:
    """Draw what was measured as a table, and what is wrong with which file below it."""
    rows = [(say(name), _fact_words(value)) for name, value in facts]
    st.table(
        {tr("data_step.fact"): [r[0] for r in rows], tr("data_step.value"): [r[1] for r in rows]},
        border="horizontal",
        hide_header=True,
        hide_index=True,
    )
    first = sorted(problems, key=lambda problem: problem.severity != "error")
    is_long = len(first) > _MOST_BOXES  # the button below must not lie several screens further down
    with st.container(height=_LIST_PX if is_long else "content", border=is_long):
        for problem in first:
            _draw_problem(problem)


def _fact_words(value: Any) -> str:  # number, text or string of a report
    if isinstance(value, Text):
        return say(value)
    return value_words(value) if isinstance(value, float) else str(value)


def _draw_problem(problem: Problem) -> None:
    draw = st.error if problem.severity == "error" else st.warning
    draw(say_plainly(problem.text), icon=f":material/{problem.severity}:")
