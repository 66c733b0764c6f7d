"""Compare: runs of one task on the items that all of them were honestly scored on."""

from __future__ import annotations

import streamlit as st

from dashboard.address import keep, restore
from dashboard.compare import differences, ensembles, locked, result
from dashboard.compare.choice import Chosen, compare_chosen, draw_other_folder, pick, scored_tasks
from dashboard.errors import fragment, frame
from dashboard.layout import CONTROLS_AND_PICTURE, draw_empty, draw_head, draw_lost
from dashboard.renderers import draw
from dashboard.same_code import draw_same_code
from dashboard.words import say, tr
from pipelines.compare.comparison import Comparison
from pipelines.compare.curves import curve_views, recipe_of
from pipelines.contract import MetricInfo
from pipelines.evidence.calls import comparison_call

_VIEWS = {
    "result": "leaderboard",
    "differences": "difference",
    "curves": "show_chart",
    "ensembles": "merge",
    "locked": "lock",
}


def show() -> None:
    """Draw the page."""
    draw_head("balance", tr("compare_page.title"), tr("compare_page.summary"))
    with frame():
        found = scored_tasks()
        if not found:
            _draw_no_runs()
            return
        left, right = st.columns(CONTROLS_AND_PICTURE, gap="large")
        with left:
            chosen = pick(found)
            metric = _pick_metric(chosen)
            draw_other_folder()
        with right, frame():
            draw_lost("runs")
            _draw_chosen(chosen, metric)


def _draw_no_runs() -> None:
    draw_empty("balance", tr("compare_page.empty_title"), tr("compare_page.empty"))
    _draw_ways_out()


def _draw_ways_out() -> None:
    from dashboard.navigation import draw_ways_out

    draw_ways_out("train")


def _pick_metric(chosen: Chosen) -> MetricInfo:
    metrics = {metric.name: metric for metric in chosen.task.metrics}
    main = chosen.task.main_metric.name
    key = f"compare.metric.{chosen.task.id}"
    restore("metric", key, list(metrics), main)
    st.selectbox(
        tr("compare_page.metric"),
        list(metrics),
        format_func=lambda name: say(metrics[name].label),
        key=key,
        help=say(metrics[str(st.session_state[key])].help),
    )
    name = str(st.session_state[key])
    keep("metric", name if name != main else None)
    return metrics[name]


def _draw_chosen(chosen: Chosen, metric: MetricInfo) -> None:
    if len(chosen.names) < 2:
        draw_empty("balance", tr("compare_page.choose_title"), tr("compare_page.choose"))
        if len(chosen.runs) < 2:
            _draw_ways_out()
        return
    comparison = compare_chosen(chosen, metric.name)
    _draw_view(comparison, chosen, metric)
    draw_same_code(comparison_call(chosen.names), "compare")


@fragment
def _draw_view(comparison: Comparison, chosen: Chosen, metric: MetricInfo) -> None:
    restore("view", "compare.view", list(_VIEWS), "result")
    st.segmented_control(
        tr("compare_page.view"), list(_VIEWS), key="compare.view", required=True,
        format_func=lambda name: f":material/{_VIEWS[name]}: {tr(f'compare_page.view_{name}')}",
        label_visibility="collapsed",
    )  # fmt: skip
    view = str(st.session_state["compare.view"])
    keep("view", view if view != "result" else None)
    if view == "result":
        result.show(comparison, metric)
    elif view == "differences":
        differences.show(comparison, chosen, metric)
    elif view == "curves":
        _draw_curves(comparison)
    elif view == "ensembles":
        ensembles.show(comparison, chosen)
    else:
        locked.show(comparison, chosen)


def _draw_curves(comparison: Comparison) -> None:
    recipes = [recipe_of(standing.entry) for standing in comparison.standings]
    as_bands = False
    if len(set(recipes)) < len(recipes):
        as_bands = st.toggle(
            tr("compare_page.bands"), value=True, key="compare.bands",
            help=tr("compare_page.bands_help"),
        )  # fmt: skip
    for place, view in enumerate(curve_views(comparison, as_bands=as_bands)):
        draw(view, f"compare.curves.{place}")
