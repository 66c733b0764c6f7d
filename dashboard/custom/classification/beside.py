"""The simple baseline beside a network: trained on its split at a click, scored the same way."""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st

from dashboard.compare.result import figure_words, leaderboard_view
from dashboard.renderers import draw
from dashboard.run_panel import draw_run
from dashboard.words import language, say, tr
from pipelines import config as configs
from pipelines.compare.comparison import Comparison, compare, note_of_test
from pipelines.compare.entries import entry_of_run, rename, stamp_of
from pipelines.contract import Task
from pipelines.jobs.engines import local
from pipelines.jobs.store import NewRun, Run, Status, create_run, list_runs
from pipelines.settings import load_settings
from pipelines.text import Text, format_duration
from pipelines.views import TableView

_PINNED = "classes.beside.pinned"


def stay_with_network() -> None:
    """Keep a page on its network when the baseline beside it ends and is the newest run.

    Runs before the choices are read, which else move on with what is newest.
    """
    for name, value in st.session_state.get(_PINNED, {}).items():
        if st.session_state.get(name) == value:
            st.session_state[f"{name}.default"] = None


def draw_baseline(task: Any, run: Run) -> None:
    """Draw the baseline's figures beside those of a training, or what trains it.

    Args:
        task: Classification task (beyond the contract: `baseline_beside`).
        run: Scored run; of one that is no training on a split nothing is drawn.
    """
    if run.request.action != "train" or run.split() is None:
        return
    options = task.baseline_beside(run.request.config)
    network, baseline = (run, _sibling(run)) if options else (_sibling(run), run)
    if network is None:
        return
    with st.container(key=f"{task.id}.beside", border=True):
        st.markdown(f"**{tr('classes_beside.title')}**", help=tr("classes_beside.help"))
        if baseline is None:
            _draw_start(task, network, options)
        elif baseline.status is not Status.FINISHED:
            draw_run(baseline.run_id)
        else:
            _draw_comparison(task, network, baseline)


def _sibling(run: Run) -> Run | None:
    """Return the newest training of the other kind on the same split, if there is one."""
    mine = run.split()
    is_baseline = _is_baseline(run)
    for other in list_runs(load_settings(), run.request.task_id):
        is_like = (
            other.request.action == "train"
            and other.request.dataset_id == run.request.dataset_id
            and _is_baseline(other) != is_baseline
            and _is_usable(other)
        )
        split = other.split() if is_like else None
        if split is not None and mine is not None and split.split_id == mine.split_id:
            return other
    return None


def _is_baseline(run: Run) -> bool:
    return bool(run.request.config.get("network") == "statistics")


def _is_usable(run: Run) -> bool:
    """Tell whether a baseline is on its way, or a training is scored."""
    return (run.status.is_active and _is_baseline(run)) or (run.folder / "scores.json").is_file()


def _draw_start(task: Task, network: Run, options: dict[str, Any]) -> None:
    st.caption(tr("classes_beside.none"))
    config = configs.parse(task.config_type, options)
    seconds = task.estimate_for(network.dataset(), config, "cpu")
    words = tr("classes_beside.start", duration=format_duration(seconds, language()))
    if not st.button(words, key=f"{task.id}.beside.start", icon=":material/play_arrow:"):
        return
    settings = load_settings()
    new = NewRun(
        task_id=task.id,
        action="train",
        config=options,
        record=network.dataset(),
        split=network.split(),
        title=tr("classes_beside.run_title", run=network.short_id),
        seed=network.request.seed,
    )
    names = ("choice.model", "choice.run")
    st.session_state[_PINNED] = {name: st.session_state.get(name) for name in names}
    local.launch(create_run(new, settings), settings)
    st.rerun()


def _draw_comparison(task: Task, network: Run, baseline: Run) -> None:
    stamp = f"{stamp_of(network)} {stamp_of(baseline)}"
    comparison = _compare(network.run_id, baseline.run_id, stamp, language(), network, baseline)
    (pair,) = comparison.pairs_of(task.main_metric.name)
    icon = "trophy" if pair.is_different else "drag_handle"
    st.markdown(f":material/{icon}: {say(pair.sentence)}")
    st.caption(f"{say(comparison.common.items.note)} {say(note_of_test([pair], comparison))}")
    draw(leaderboard_view(comparison, task.main_metric), f"{task.id}.beside.board")
    draw(_table(comparison), f"{task.id}.beside.table")
    key = f"{task.id}.beside.compare"
    if st.button(tr("classes_beside.compare"), key=key, icon=":material/balance:"):
        from dashboard.navigation import open_compare

        open_compare(task, (network.run_id, baseline.run_id))


@st.cache_resource(show_spinner=False, max_entries=8)
def _compare(
    network_id: str, baseline_id: str, stamp: str, spoken: str, _network: Run, _baseline: Run
) -> Comparison:
    """Compare once, under short names in the visitor's language."""
    entries = [
        dataclasses.replace(rename(entry_of_run(run), tr(f"classes_beside.{name}")), stamp=stamp)
        for run, name in ((_network, "network"), (_baseline, "baseline"))
    ]
    return compare(entries)


def _table(comparison: Comparison) -> TableView:
    """Set every figure of both side by side."""
    network, baseline = comparison.standings
    shown = [m for m in comparison.task.metrics if m.name in network.figures.values]
    rows = tuple((m.label, figure_words(network, m), figure_words(baseline, m)) for m in shown)
    columns = ("metric", "network", "baseline")
    return TableView(
        Text("classes_beside.table"),
        tuple(Text(f"classes_beside.{name}") for name in columns),
        rows,
        filename="baseline.csv",
    )
