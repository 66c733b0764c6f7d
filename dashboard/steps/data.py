"""Step Data: choose or add a data set, read the report on it, look at it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.choices import Choices, pick_data
from dashboard.errors import frame
from dashboard.forms import draw_options
from dashboard.renderers import value_words
from dashboard.state import leave_notice, option_values
from dashboard.steps.panels import draw_step_panels
from dashboard.words import say, tr
from pipelines import config as configs
from pipelines import datasets
from pipelines.contract import DatasetRecord, Inspection, Problem, Task
from pipelines.settings import load_settings
from pipelines.text import Text


def show(task: Task, choices: Choices) -> None:
    """Draw the step."""
    left, right = st.columns([3, 7], gap="large")
    with left:
        pick_data(task)
        _draw_facts(choices.record)
    with right, frame():
        _draw_adding(task)
    draw_step_panels(task, "data", choices)


def _draw_facts(record: DatasetRecord) -> None:
    labelled = sum(item.has_truth for item in record.items)
    size = value_words(float(sum(file.num_bytes for file in record.files)), "bytes")
    st.caption(tr("data_step.facts", n=len(record.items), labelled=labelled, size=size))
    if record.is_generated:
        st.caption(f":material/science: {tr('data_step.generated')}")


def _draw_adding(task: Task) -> None:
    with st.expander(tr("data_step.add"), icon=":material/add:", key=f"{task.id}.adding"):
        st.caption(say(Text(f"{task.texts}.accepts")))
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
    if not files:
        return None
    marks = [file.file_id for file in files]
    key = f"{task.id}.uploaded"
    if st.session_state.get(key, ([], None))[0] != marks:
        folder = datasets.new_upload_folder(settings)
        for file in files:
            datasets.save_upload(file, file.name, settings, folder=folder)
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
    chosen = {i.name: str(values[i.name]) for i in infos if values[i.name] != i.default}
    with st.spinner(tr("data_step.inspecting")):
        found = _inspect(task.id, source, tuple(sorted(chosen.items())), _stamp(source))
    _draw_report(found)
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


def _draw_report(found: Inspection) -> None:
    st.markdown(f"**{tr('data_step.report', title=found.title)}**")
    rows = [(say(name), _fact_words(value)) for name, value in found.facts]
    st.table(
        {tr("data_step.fact"): [r[0] for r in rows], tr("data_step.value"): [r[1] for r in rows]}
    )
    for problem in found.problems:
        _draw_problem(problem)


def _fact_words(value: Any) -> str:  # number, text or string of a report
    if isinstance(value, Text):
        return say(value)
    return value_words(value) if isinstance(value, float) else str(value)


def _draw_problem(problem: Problem) -> None:
    draw = st.error if problem.severity == "error" else st.warning
    draw(say(problem.text), icon=f":material/{problem.severity}:")
