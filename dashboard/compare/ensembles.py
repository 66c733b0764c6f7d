"""Ensembles: average runs that were chosen, or let the validation items choose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from dashboard.compare.choice import Chosen, add_ensemble, choose_also, load, run_words
from dashboard.errors import frame
from dashboard.renderers import draw, value_words
from dashboard.words import number, say, tr
from pipelines.compare.comparison import Comparison, Pair
from pipelines.compare.ensembles import choose_greedily
from pipelines.compare.entries import JOIN
from pipelines.text import Text
from pipelines.views import TableView


def show(comparison: Comparison, chosen: Chosen) -> None:
    """Draw what ensembles gain and cost, and the ways to make one."""
    st.caption(tr("compare_page.ensemble_help"))
    singles = [name for name in chosen.names if JOIN not in name]
    with st.container(horizontal=True):
        _draw_average(chosen, singles)
        _draw_greedy(chosen, singles)
    _draw_steps(chosen)
    for place, standing in enumerate(comparison.standings):
        if len(standing.entry.runs) > 1:
            _draw_gain(comparison, place)


def _draw_average(chosen: Chosen, singles: Sequence[str]) -> None:
    if st.button(
        tr("compare_page.average", n=len(singles)),
        icon=":material/merge:",
        type="primary",
        disabled=len(singles) < 2 or JOIN.join(singles) in chosen.names,
        key="compare.average",
        on_click=lambda: choose_also(chosen.task, add_ensemble(singles)),
    ):
        st.rerun()  # the pickers and what is compared stand outside of the fragment


def _draw_greedy(chosen: Chosen, singles: Sequence[str]) -> None:
    if st.button(
        tr("compare_page.greedy"), icon=":material/filter_list:", disabled=len(singles) < 2,
        key="compare.greedy", help=tr("compare_page.greedy_help"),
    ):  # fmt: skip
        with frame():
            steps = choose_greedily([load(chosen, name) for name in singles])
            st.session_state["compare.steps"] = steps


def _draw_steps(chosen: Chosen) -> None:
    """Draw the steps of the greedy choice, and offer its result."""
    steps = st.session_state.get("compare.steps")
    if not steps or any(name not in chosen.runs for name in steps[-1].names):
        return
    rows = tuple(
        (place + 1, run_words(step.names[-1], chosen.runs), number(step.value))
        for place, step in enumerate(steps)
    )
    columns = tuple(Text(f"compare_page.greedy_{name}") for name in ("step", "run", "value"))
    draw(TableView(Text("compare_page.greedy_steps"), columns, rows), "compare.steps")
    if len(steps) < 2:
        st.caption(tr("compare_page.greedy_single"))
        return
    if st.button(
        tr("compare_page.greedy_take", n=len(steps)),
        key="compare.greedy_take",
        icon=":material/add:",
        on_click=lambda: choose_also(chosen.task, add_ensemble(steps[-1].names)),
    ):
        st.rerun()


def _draw_gain(comparison: Comparison, place: int) -> None:
    """Say what an ensemble gains over each of its runs, and what it costs."""
    entry = comparison.standings[place].entry
    members = {run.run_id for run in entry.runs}
    st.markdown(f"#### :material/merge: {say(entry.name)}")
    ids = [standing.entry.entry_id for standing in comparison.standings]
    for pair in comparison.pairs_of(comparison.task.main_metric.name):
        other = pair.second if pair.first == place else pair.first
        if place in (pair.first, pair.second) and ids[other] in members:
            st.markdown(f"- {_gain_words(comparison, pair, place)} {say(pair.sentence)}")
    cost = entry.cost
    facts = []
    if cost.training_s is not None:
        facts.append(tr("compare_page.costs_time", time=value_words(cost.training_s, "duration")))
    if cost.num_parameters is not None:
        facts.append(tr("compare_page.costs_weights", count=cost.num_parameters))
    facts.append(tr("compare_page.costs_answers", n=len(entry.runs)))
    st.caption(" · ".join(facts))


def _gain_words(comparison: Comparison, pair: Pair, place: int) -> str:
    """Say by how much the ensemble is ahead of one of its runs, with the sign of that."""
    is_ahead = (pair.first == place) == pair.metric.higher_is_better
    sign = 1 if is_ahead else -1
    other = pair.second if pair.first == place else pair.first
    low, high = sorted(sign * bound for bound in pair.difference.interval or (math.nan, math.nan))
    return tr(
        "compare_page.gain", model=comparison.standings[other].entry.name,
        value=sign * pair.difference.value, low=low, high=high,
    )  # fmt: skip
