"""Models side by side: figures with intervals, ranks, paired tests, and one sentence a pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines import registry
from pipelines.compare.common import Common, Inequality, find_common
from pipelines.compare.entries import Entry
from pipelines.compare.figures import Figures, figures_of_items, measure_figures
from pipelines.contract import ItemStatistics, MetricInfo, PairedTest, Task
from pipelines.core import intervals
from pipelines.core.paired import (
    Difference,
    Placements,
    compare_placements,
    holm,
    mcnemar,
    more_units_needed,
)
from pipelines.core.ranking import placements
from pipelines.errors import ConfigError
from pipelines.text import Text

LEVEL: Final = 0.05
MOST_NEEDED: Final = 1000
"""Beyond so many times the cases at hand, more of them are no advice."""


@dataclass(frozen=True)
class Rank:
    """Hold the place of a model by the main figure, 1 is best.

    Attributes:
        place: Place by the figures themselves.
        best: Best place that it takes in 95 of 100 resamplings, or None where none can be drawn.
        worst: Worst such place.
    """

    place: int
    best: int | None
    worst: int | None


@dataclass(frozen=True)
class Standing:
    """Hold one model of a comparison.

    Attributes:
        entry: The model.
        figures: Its figures on the common items.
        rank: Its place.
    """

    entry: Entry
    figures: Figures
    rank: Rank


@dataclass(frozen=True)
class Pair:
    """Hold the comparison of two models by one metric.

    Attributes:
        metric: The metric.
        first: Place of the first model among the standings.
        second: Place of the second.
        test: Test that was made.
        difference: First minus second.
        corrected_p: p-value corrected for the number of pairs of this metric.
        num_pairs: That number.
        sentence: The result in words.
    """

    metric: MetricInfo
    first: int
    second: int
    test: PairedTest
    difference: Difference
    corrected_p: float
    num_pairs: int
    sentence: Text

    @property
    def is_different(self) -> bool:
        """Whether the two are told apart at 5 %, all pairs allowed for."""
        return self.corrected_p < LEVEL


@dataclass(frozen=True)
class Measured:
    """Hold what comparing a model with others needs of it.

    Attributes:
        figures: Its figures with their spread.
        placed: Placements for DeLong's test, or None where it does not fit.
        is_right: Metric of McNemar's test to `(N,)` bool; empty where it does not fit.
    """

    figures: Figures
    placed: Placements | None
    is_right: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Comparison:
    """Hold what can be said of some models on their common items.

    Attributes:
        task: Task of the models.
        common: Items that they are compared on, and what is unequal.
        standings: A model each, in the order that they were named.
        pairs: Pairs of models by metric, the main metric first.
        measured: What the pairs were compared by.
    """

    task: Task
    common: Common
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    measured: tuple[Measured, ...] = field(repr=False)

    @property
    def inequalities(self) -> tuple[Inequality, ...]:
        """What is not equal about the models."""
        return self.common.inequalities

    def pairs_of(self, metric: str) -> list[Pair]:
        """List the pairs by one metric."""
        return [pair for pair in self.pairs if pair.metric.name == metric]

    def by_rank(self) -> list[Standing]:
        """List the models, the best first."""
        return sorted(self.standings, key=lambda standing: standing.rank.place)


def compare(entries: Sequence[Entry], metrics: Sequence[str] | None = None) -> Comparison:
    """Compare models on the items that all of them were honestly scored on.

    Args:
        entries: At least two, of one task.
        metrics: Metrics whose pairs are tested; None for all of the task's.

    Raises:
        ConfigError: Fewer than two, the same one twice, or of several tasks.
        DataFormatError: They share no item.
    """
    task = registry.get_task(check_entries(entries))
    common = find_common(entries)
    measured = [
        _measure_cached(task.id, entry, rows, common)
        for entry, rows in zip(entries, common.rows, strict=True)
    ]
    ranks = _ranks(task.main_metric, [m.figures for m in measured])
    standings = tuple(
        Standing(entry, found.figures, rank)
        for entry, found, rank in zip(entries, measured, ranks, strict=True)
    )
    wanted = [m for m in task.metrics if metrics is None or m.name in metrics]
    wanted.sort(key=lambda metric: not metric.is_main)
    pairs = [pair for metric in wanted for pair in _pairs(task, metric, measured, entries)]
    return Comparison(task, common, standings, tuple(pairs), tuple(measured))


def check_entries(entries: Sequence[Entry]) -> str:
    """Return the task of entries that can be compared.

    Raises:
        ConfigError: Fewer than two, the same one twice, or of several tasks.
    """
    if len(entries) < 2:
        raise ConfigError(Text("compare.too_few_runs", n=len(entries)))
    names = [entry.entry_id for entry in entries]
    twice = next((e for e in entries if names.count(e.entry_id) > 1), None)
    if twice is not None:
        raise ConfigError(Text("compare.run_twice", run=twice.short_name))
    tasks = {entry.task_id: entry.short_name for entry in entries}
    if len(tasks) > 1:
        words = [
            Text("compare.run_of_task", run=run, task=registry.get_task(task).title)
            for task, run in tasks.items()
        ]
        raise ConfigError(Text("compare.other_tasks", runs=words))
    return entries[0].task_id


# --- one model ------------------------------------------------------------------------------------

_measured: dict[tuple[str, str, str], Measured] = {}
_MOST_KEPT: Final = 64


def _measure_cached(task_id: str, entry: Entry, rows: ItemStatistics, common: Common) -> Measured:
    """Measure a model once for the same items: adding one then leaves the others as they are."""
    key = (
        f"{entry.entry_id} {entry.stamp}",
        repr(sorted(entry.point.thresholds.items())),
        common.key,
    )
    if key not in _measured:
        if len(_measured) >= _MOST_KEPT:
            _measured.pop(next(iter(_measured)))
        _measured[key] = _measure(registry.get_task(task_id), entry, rows, common)
    return _measured[key]


def _measure(task: Task, entry: Entry, rows: ItemStatistics, common: Common) -> Measured:
    figures = measure_figures(task, rows, entry.point, common.items)
    if not common.items.are_independent:
        return Measured(figures, None, {})
    ranking = task.ranking(rows)
    placed = None
    if ranking is not None and ranking.scores.shape[1] == 1:
        is_positive = ranking.is_positive[:, 0]
        if min(is_positive.sum(), (~is_positive).sum()) >= 2:
            placed = placements(is_positive, ranking.scores[:, 0])
    names = [metric.name for metric in task.metrics if metric.test == "mcnemar"]
    right = figures_of_items(task, rows, entry.point)[1] if names else {}
    return Measured(figures, placed, {name: right[name] == 1 for name in names if name in right})


def _ranks(metric: MetricInfo, figures: Sequence[Figures]) -> list[Rank]:
    """Place models by the main metric, with the places that they take under resampling."""
    values = np.array([f.values.get(metric.name, math.nan) for f in figures])
    places = _places(values[None], metric)[0]
    spreads = [f.spreads.get(metric.name) for f in figures]
    known = [s for s in spreads if s is not None and np.isfinite([*s.draws, *s.left_out]).any()]
    if len(known) < len(spreads):
        return [Rank(int(place), None, None) for place in places]
    drawn = _places(intervals.joint_draws(known), metric)
    bounds = np.quantile(drawn, [0.025, 0.975], axis=0, method="closest_observation").astype(int)
    return [
        Rank(int(place), int(best), int(worst))
        for place, best, worst in zip(places, *bounds, strict=True)
    ]


def _places(values: NDArray[np.float64], metric: MetricInfo) -> NDArray[np.intp]:
    """Return the place of each column within its row, 1 is best; undefined ones come last.

    Equal figures share the better place: an order among them would be made up.
    """
    signed = np.nan_to_num(-values if metric.higher_is_better else values, nan=math.inf)
    order = np.argsort(signed, axis=1, kind="stable")
    sorted_values = np.take_along_axis(signed, order, axis=1)
    is_new = np.ones(sorted_values.shape, bool)
    is_new[:, 1:] = sorted_values[:, 1:] != sorted_values[:, :-1]
    ranks = np.arange(1, values.shape[1] + 1)
    places = np.empty_like(order)
    shared = np.maximum.accumulate(np.where(is_new, ranks, 0), axis=1)
    np.put_along_axis(places, order, shared, axis=1)
    return places


# --- two models -----------------------------------------------------------------------------------


def _pairs(
    task: Task, metric: MetricInfo, measured: Sequence[Measured], entries: Sequence[Entry]
) -> list[Pair]:
    places = list(itertools.combinations(range(len(measured)), 2))
    found = [_difference(metric, measured[a], measured[b]) for a, b in places]
    corrected = holm([difference.p_value for _, difference in found])
    pairs = []
    for (a, b), (test, difference), p in zip(places, found, corrected.tolist(), strict=True):
        words = _Words(task, metric, (entries[a], entries[b]), measured[a].figures, len(places))
        sentence = words.sentence(difference, p)
        pairs.append(Pair(metric, a, b, test, difference, p, len(places), sentence))
    return pairs


def _difference(
    metric: MetricInfo, first: Measured, second: Measured
) -> tuple[PairedTest, Difference]:
    """Compare two models by the test that fits metric and items."""
    name = metric.name
    if metric.test == "delong" and first.placed is not None and second.placed is not None:
        return "delong", compare_placements(first.placed, second.placed)
    if metric.test == "mcnemar" and name in first.is_right and name in second.is_right:
        return "mcnemar", mcnemar(first.is_right[name], second.is_right[name])
    a, b = first.figures.spreads.get(name), second.figures.spreads.get(name)
    if a is None or b is None:
        value = first.figures.values.get(name, math.nan) - second.figures.values.get(name, math.nan)
        return "resampling", Difference(value, None, math.nan, math.nan)
    gap = a - b
    bounds = intervals.interval_of_difference(gap)
    if bounds is not None:  # of few units Student's bounds may pass what a difference can be
        width = metric.high - metric.low
        bounds = max(bounds[0], -width), min(bounds[1], width)
    p = intervals.p_value(gap)
    return "resampling", Difference(gap.value, bounds, gap.standard_error, p)


def differences_of(
    comparison: Comparison, first: int, second: int
) -> list[tuple[MetricInfo, Difference]]:
    """Compare two models by every metric that both define, not corrected for their number."""
    a, b = comparison.measured[first], comparison.measured[second]
    found = [(m, _difference(m, a, b)[1]) for m in comparison.task.metrics]
    return [(metric, difference) for metric, difference in found if np.isfinite(difference.value)]


@dataclass(frozen=True)
class _Words:
    """Say the result of a comparison of two models."""

    task: Task
    metric: MetricInfo
    entries: tuple[Entry, Entry]
    figures: Figures
    num_pairs: int

    def sentence(self, difference: Difference, corrected_p: float) -> Text:
        """Return the sentence of a pair."""
        first, second = (entry.name for entry in self.entries)
        count = len(self.figures.items.item_ids)
        common: dict[str, Any] = {  # what Text takes
            "first": first, "second": second, "metric": self.metric.label,
            "items": self.task.items_text(count),
        }  # fmt: skip
        if not math.isfinite(difference.value):
            return Text("compare.undefined", **common)
        common["difference"] = abs(difference.value)
        if difference.interval is None or not math.isfinite(difference.p_value):
            return Text("compare.untested", **common)
        if difference.value == 0 and difference.standard_error == 0:
            return Text("compare.identical", **common)
        is_first = (difference.value > 0) == self.metric.higher_is_better
        sign = 1 if difference.value >= 0 else -1
        low, high = sorted(sign * bound for bound in difference.interval)
        common |= {"low": low, "high": high}
        if corrected_p < LEVEL:
            better, worse = (first, second) if is_first else (second, first)
            return Text("compare.better", better=better, worse=worse, **common)
        if difference.p_value < LEVEL:
            return Text("compare.not_after_correction", n=self.num_pairs, **common)
        return Text("compare.same", needed=self._needed(difference), **common)

    def _needed(self, difference: Difference) -> Text:
        units = self.figures.items.units
        more = more_units_needed(difference.value, difference.standard_error, units.count)
        if not math.isfinite(more) or more > MOST_NEEDED * units.count:
            return Text("compare.no_number_needed")
        wanted = max(1, _two_digits(more))
        if self.figures.items.are_places:
            return Text("compare.places_needed", n=wanted)
        if units.kind == "item":
            return Text("compare.items_needed", items=self.task.items_text(wanted), n=wanted)
        kind = self.task.group_kind if units.kind == "group" else units.kind
        return Text(f"compare.{kind}s_needed", n=wanted)


def _two_digits(value: float) -> int:
    """Round to two digits: such an estimate is not worth more."""
    size = 10 ** max(0, int(math.log10(max(value, 1))) - 1)
    return int(math.ceil(value / size) * size)


def label_of_test(pair: Pair, comparison: Comparison) -> Text:
    """Name the test of a pair for people."""
    if pair.test != "resampling":
        return Text(f"compare.test.{pair.test}")
    are_many = comparison.common.items.units.are_many
    return Text(f"compare.test.{'bootstrap' if are_many else 'jackknife'}")


def note_of_test(pairs: Sequence[Pair], comparison: Comparison) -> Text:
    """Say by which test the pairs of one metric were compared, and what was corrected for."""
    test = label_of_test(pairs[0], comparison)
    return Text("compare.test_note", test=test, correction=Text("compare.holm", n=len(pairs)))
