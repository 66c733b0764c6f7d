"""What the compare page is about: a task and some of its scored runs, kept in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.address import keep, note_lost, restore
from dashboard.words import say, say_plainly, tr
from pipelines import datasets
from pipelines.compare.comparison import Comparison, compare
from pipelines.compare.ensembles import load_named
from pipelines.compare.entries import JOIN, Entry, entry_of_run, has_made_title, stamp_of
from pipelines.contract import Task
from pipelines.errors import PipelineError, RunNotFoundError
from pipelines.jobs.store import Run, read_run, scan_runs
from pipelines.registry import load_tasks
from pipelines.settings import load_settings
from pipelines.text import Text

_RUNS = "compare.runs"
_SEEN = "compare.runs_seen"
_OTHERS = "compare.other_folders"


@dataclass(frozen=True)
class Chosen:
    """Hold what is compared.

    Attributes:
        task: Task of the runs.
        runs: Every scored run of the task by its id, newest first.
        names: What was chosen: run ids, or several joined for an ensemble.
    """

    task: Task
    runs: Mapping[str, Run]
    names: tuple[str, ...]


def scored_tasks() -> dict[str, tuple[Task, dict[str, Run]]]:
    """List the tasks that have scored runs, with these."""
    listing = [*scan_runs(load_settings()).runs, *_other_runs()]
    by_task: dict[str, dict[str, Run]] = {}
    for run in listing:
        if (run.folder / "scores.json").is_file():
            by_task.setdefault(run.request.task_id, {})[run.run_id] = run
    return {task.id: (task, by_task[task.id]) for task in load_tasks()[0] if task.id in by_task}


def pick(found: Mapping[str, tuple[Task, dict[str, Run]]]) -> Chosen:
    """Draw the pickers of task and runs."""
    ids = list(found)
    most = max(ids, key=lambda task_id: len(found[task_id][1]))
    restore("task", "compare.task", ids, most)
    st.selectbox(
        tr("compare_page.task"),
        ids,
        format_func=lambda task_id: say(found[task_id][0].title),
        key="compare.task",
    )
    chosen = str(st.session_state["compare.task"])
    keep("task", chosen)
    task, runs = found[chosen]
    return Chosen(task, runs, _pick_runs(task, runs))


def _pick_runs(task: Task, runs: Mapping[str, Run]) -> tuple[str, ...]:
    _take_from_address(runs)
    known = [*runs, *_ensembles(runs)]
    key = f"{_RUNS}.{task.id}"
    kept = [name for name in st.session_state.get(key, _default(runs)) if name in known]
    st.session_state[key] = kept
    st.multiselect(
        tr("compare_page.runs"),
        known,
        format_func=lambda name: run_words(name, runs),
        key=key,
        placeholder=tr("compare_page.runs_placeholder"),
        help=tr("compare_page.runs_help"),
    )
    names = tuple(st.session_state[key])
    keep("runs", ",".join(names) or None)
    st.session_state[_SEEN] = st.query_params.get("runs")
    return names


def _take_from_address(runs: Mapping[str, Run]) -> None:
    """Let a copied address, or Back, choose the runs."""
    asked = st.query_params.get("runs")
    if asked is None or asked == st.session_state.get(_SEEN):
        return
    names = [name for name in asked.split(",") if name]
    for name in names:
        members = name.split(JOIN)
        if len(members) > 1 and all(member in runs for member in members):
            add_ensemble(members)
    gone = dict.fromkeys(m for name in names for m in name.split(JOIN) if m not in runs)
    if gone:
        note_lost("runs", ", ".join(gone))
    st.session_state[f"{_RUNS}.{st.session_state['compare.task']}"] = names


def _ensembles(runs: Mapping[str, Run]) -> list[str]:
    made: list[str] = st.session_state.get("compare.ensembles", [])
    return [name for name in made if all(member in runs for member in name.split(JOIN))]


def add_ensemble(members: Sequence[str]) -> str:
    """Offer the ensemble of runs among what can be compared; return its name."""
    name = JOIN.join(members)
    made: list[str] = st.session_state.setdefault("compare.ensembles", [])
    if name not in made:
        made.append(name)
    return name


def choose(task: Task, names: Sequence[str]) -> None:
    """Compare these and show the result; runs before the pickers are drawn again."""
    st.session_state[f"{_RUNS}.{task.id}"] = list(names)
    st.session_state["compare.view"] = "result"


def choose_also(task: Task, name: str) -> None:
    """Add a run or an ensemble to what is compared; runs before the pickers are drawn again."""
    key = f"{_RUNS}.{task.id}"
    if name not in st.session_state.get(key, []):
        st.session_state[key] = [*st.session_state.get(key, []), name]


def _default(runs: Mapping[str, Run]) -> list[str]:
    """Choose the newest run and the newest other one on the same data."""
    ids = list(runs)
    data = runs[ids[0]].request.dataset_id
    return [i for i in ids if runs[i].request.dataset_id == data][:2]


def run_words(name: str, runs: Mapping[str, Run]) -> str:
    """Name a run or an ensemble in the picker."""
    members = name.split(JOIN)
    if len(members) > 1:
        short = JOIN.join(runs[m].short_id for m in members)
        return f"{tr('compare.ensemble', n=len(members))} · {short}"
    run = runs[name]
    return say(run.title) if has_made_title(run) else f"{say(run.title)} · {run.short_id}"


# --- runs that lie elsewhere ----------------------------------------------------------------------


def draw_other_folder() -> None:
    """Let a person add a run that lies in another folder of this machine."""
    with st.popover(tr("compare_page.other"), icon=":material/folder_open:"):
        st.caption(tr("compare_page.other_help"))
        path = st.text_input(tr("compare_page.other_path"), key="compare.other_path")
        if st.button(tr("compare_page.other_add"), key="compare.other_add") and path:
            try:
                folder = datasets.resolve_source(path, load_settings())
                run = read_run(folder)
                entry_of_run(run)
            except PipelineError as error:
                st.error(say_plainly(error.text), icon=":material/error:")
                return
            st.session_state.setdefault(_OTHERS, {})[str(folder)] = run.run_id
            st.rerun()


def _other_runs() -> list[Run]:
    found = []
    for folder in list(st.session_state.get(_OTHERS, {})):
        try:
            found.append(read_run(Path(folder)))
        except PipelineError:  # it was moved away since; the others still stand
            st.session_state[_OTHERS].pop(folder)
    return found


# --- loaded once ----------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False, max_entries=64)
def _entry(run_id: str, stamp: str, _run: Run) -> Entry:
    return entry_of_run(_run)


def load(chosen: Chosen, name: str) -> Entry:
    """Load a run or an ensemble; runs are read once as long as their files stay the same."""

    def load_run(run_id: str) -> Entry:
        run = chosen.runs.get(run_id)
        if run is None:
            raise RunNotFoundError(Text("compare.run_gone", run=run_id))
        return _entry(run_id, stamp_of(run), run)

    if JOIN not in name:
        return load_run(name)
    stamps = " ".join(stamp_of(chosen.runs[m]) for m in name.split(JOIN) if m in chosen.runs)
    return _ensemble(name, stamps, load_run)


@st.cache_resource(show_spinner=False, max_entries=16)
def _ensemble(name: str, stamp: str, _load_run: object) -> Entry:
    return load_named(name, _load_run)  # type: ignore[arg-type] # `load_run` above


def compare_chosen(chosen: Chosen, metric: str) -> Comparison:
    """Compare what was chosen by the main metric and another one."""
    entries = [load(chosen, name) for name in chosen.names]
    key = tuple((entry.entry_id, entry.stamp) for entry in entries)
    return _compare(key, (chosen.task.main_metric.name, metric), entries)


@st.cache_resource(show_spinner=False, max_entries=16)
def _compare(
    key: tuple[tuple[str, str], ...], metrics: tuple[str, ...], _entries: list[Entry]
) -> Comparison:
    return compare(_entries, metrics)
