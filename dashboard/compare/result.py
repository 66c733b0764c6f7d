"""The result of a comparison: what is unequal, the sentences, the leaderboard."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.renderers import draw, value_words
from dashboard.words import language, number, say, tr
from pipelines.compare.command import rank_words
from pipelines.compare.comparison import (
    Comparison,
    Pair,
    Standing,
    label_of_test,
    note_of_test,
)
from pipelines.compare.opening import num_openings
from pipelines.contract import MetricInfo
from pipelines.settings import load_settings
from pipelines.text import Language, Text, format_number, render
from pipelines.views import IntervalsView, TableView

_MOST_SENTENCES = 4
_EDGE = 0.01  # beyond what a metric can be, so that a dot at its end is whole


def show(comparison: Comparison, metric: MetricInfo) -> None:
    """Draw the result by one metric."""
    draw_inequalities(comparison)
    _draw_sentences(comparison, metric)
    draw(leaderboard_view(comparison, metric), "compare.leaderboard")
    draw(_table(comparison), "compare.table")
    draw(_cost_table(comparison), "compare.costs")
    draw(_pair_table(comparison, metric), "compare.pairs")


def draw_inequalities(comparison: Comparison) -> None:
    """Say in what the models are unequal, side by side, or that they are not."""
    common = comparison.common
    if common.is_held_out_only:
        st.info(tr("compare.validation_only"), icon=":material/info:")
    if not common.inequalities:
        st.caption(f":material/balance: {tr('compare_page.equal')}")
        return
    with st.container(border=True, key="compare-unequal"):
        st.markdown(f":material/warning: **{tr('compare_page.unequal')}**")
        columns = (Text("compare_page.what"), *(s.entry.name for s in comparison.standings))
        rows = tuple((row.name, *row.values) for row in common.inequalities)
        st.table({say(c): [say(row[i]) for row in rows] for i, c in enumerate(columns)})
        for row in common.inequalities:
            st.caption(f"**{say(row.name)}.** {say(row.help)}")


def _draw_sentences(comparison: Comparison, metric: MetricInfo) -> None:
    """Say the best model against each other one; the other pairs stand in the table."""
    best = comparison.by_rank()[0]
    place = comparison.standings.index(best)
    pairs = [p for p in comparison.pairs_of(metric.name) if place in (p.first, p.second)]
    with st.container(border=True, key="compare-sentences"):
        for pair in pairs[:_MOST_SENTENCES]:
            icon = "trophy" if pair.is_different else "drag_handle"
            st.markdown(f":material/{icon}: {say(pair.sentence)}")
    notes = [say(comparison.common.items.note), _correction(comparison, metric)]
    if opened := num_openings([s.entry for s in comparison.standings], load_settings()):
        notes.append(tr("compare.opened_line", n=opened))
    st.caption(" ".join(notes))


def _correction(comparison: Comparison, metric: MetricInfo) -> str:
    pairs = comparison.pairs_of(metric.name)
    return say(note_of_test(pairs, comparison))


def leaderboard_view(comparison: Comparison, metric: MetricInfo) -> IntervalsView:
    """Draw each model's figure with its interval, the best first."""
    sign = -1 if metric.higher_is_better else 1
    order = sorted(
        comparison.standings,
        key=lambda s: np.nan_to_num(sign * s.figures.values.get(metric.name, math.nan), nan=9e9),
    )
    values = np.array([s.figures.values.get(metric.name, math.nan) for s in order])
    known = [s.figures.intervals.get(metric.name, (math.nan, math.nan)) for s in order]
    bounds = np.array(known, np.float64)
    items = comparison.task.items_text(len(comparison.common.items.item_ids))
    return IntervalsView(
        Text("compare_page.leaderboard", metric=metric.label),
        names=tuple(s.entry.name for s in order),
        values=values,
        low=bounds[:, 0],
        high=bounds[:, 1],
        x_label=metric.label,
        x_range=_reach(np.concatenate([values, bounds.ravel()]), metric),
        source=Text("compare.source_line", items=items),
    )


def _reach(shown: NDArray[np.float64], metric: MetricInfo) -> tuple[float, float] | None:
    """Return an axis with some air around what is shown, within what the metric can be.

    Left to itself, the axis of models that all reach 1 runs from 0 to 2.
    """
    known = shown[np.isfinite(shown)]
    if not known.size:
        return None
    low, high = float(known.min()), float(known.max())
    air = max(0.08 * (high - low), 0.02)
    return max(low - air, metric.low - _EDGE), min(high + air, metric.high + _EDGE)


def _table(comparison: Comparison) -> TableView:
    shown = [m for m in comparison.task.metrics if m.name in comparison.standings[0].figures.values]
    columns = (
        Text("compare_page.model"),
        Text("compare_page.rank"),
        *(metric.label for metric in shown),
    )
    rows = tuple(
        (s.entry.name, rank_words(s.rank), *(figure_words(s, m) for m in shown))
        for s in comparison.by_rank()
    )
    return TableView(Text("compare_page.all_figures"), columns, rows, filename="leaderboard.csv")


def _cost_table(comparison: Comparison) -> TableView:
    names = ("time", "device", "parameters", "speed", "energy")
    columns = (
        Text("compare_page.model"),
        *(Text(f"compare_page.cost_{name}") for name in names),
    )
    rows = tuple((s.entry.name, *_costs(s)) for s in comparison.by_rank())
    return TableView(Text("compare_page.costs"), columns, rows, filename="costs.csv")


def figure_words(standing: Standing, metric: MetricInfo) -> str:
    """Write a figure with its interval."""
    value = standing.figures.values.get(metric.name, math.nan)
    bounds = standing.figures.intervals.get(metric.name)
    if bounds is None:
        return value_words(value)
    spoken = language()
    return f"{format_number(value, spoken)} ({_range_words(value, *bounds, spoken)})"


def _range_words(value: float, low: float, high: float, spoken: Language) -> str:
    """Write bounds with as many decimals as the figure between them; more would be noise."""
    size = math.floor(math.log10(abs(value))) if value else 0
    bounds = (round(bound, 2 - size) for bound in (low, high))
    low, high = (0.0 if bound == 0 else bound for bound in bounds)  # no "-0"
    return render(Text("compare_page.range", low=low, high=high), spoken)


def _costs(standing: Standing) -> tuple[str, ...]:
    cost = standing.entry.cost
    return (
        "–" if cost.training_s is None else value_words(cost.training_s, "duration"),
        cost.device.upper() or "–",
        "–" if cost.num_parameters is None else number(cost.num_parameters),
        tr("compare_page.not_measured") if cost.items_per_s is None else number(cost.items_per_s),
        "–" if cost.energy_j is None else tr("compare_page.kilojoule", value=cost.energy_j / 1000),
    )


def _pair_table(comparison: Comparison, metric: MetricInfo) -> TableView:
    names = ("first", "second", "difference", "interval", "test", "p", "corrected")
    spoken = language()  # once: 20 models are 190 pairs
    rows = tuple(_pair_row(comparison, pair, spoken) for pair in comparison.pairs_of(metric.name))
    columns = tuple(Text(f"compare_page.pair_{name}") for name in names)
    title = Text("compare_page.pairs", metric=metric.label)
    return TableView(title, columns, rows, filename="pairs.csv")


def _pair_row(comparison: Comparison, pair: Pair, spoken: Language) -> tuple[object, ...]:
    first, second = (comparison.standings[i].entry.name for i in (pair.first, pair.second))
    found = pair.difference
    bounds = "–"
    if found.interval is not None:
        bounds = _range_words(found.value, *found.interval, spoken)
    values = (found.value, found.p_value, pair.corrected_p)
    difference, p, corrected = (format_number(value, spoken) for value in values)
    return first, second, difference, bounds, label_of_test(pair, comparison), p, corrected
