"""The figures of one model on some items, with how much they vary and the intervals that follow."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import GroupKind, ItemStatistics, MetricInfo, OperatingPoint, Task
from pipelines.core import intervals
from pipelines.core.intervals import Spread, Units
from pipelines.core.metrics import explain_interval
from pipelines.core.resampling import Measure, RankedScores, SummedTable, all_of, mean_of
from pipelines.text import Text

SLOW_ROUNDS: Final = 200
"""Resamplings where a task offers `reduce` alone."""
LARGE_ROUNDS: Final = 1000
"""Resamplings of many thousand units, whose bounds are next to normal ones."""
_LARGE_FROM: Final = 20_000


@dataclass(frozen=True)
class ScoredItems:
    """Hold the items that figures are of, and what is resampled among them.

    Attributes:
        item_ids: Items in the order of the rows.
        units: What is resampled; `index` has an entry an item, or one a place within the items
            where there are more places than items.
        num_groups: Groups that the items belong to.
        group_kind: What a group is, for people.
    """

    item_ids: tuple[str, ...]
    units: Units
    num_groups: int
    group_kind: GroupKind = "group"

    @staticmethod
    def of_rows(rows: ItemStatistics) -> ScoredItems:
        """Take items and groups from rows."""
        items = intervals.number(rows.columns["item_id"])
        _, first = np.unique(items, return_index=True)
        groups = rows.columns["group"][first]
        units = intervals.choose_units(groups, np.arange(len(first)))
        names = tuple(rows.columns["item_id"][first].tolist())
        return ScoredItems(names, units, len(set(groups.tolist())))

    @property
    def are_independent(self) -> bool:
        """Whether each item stands on its own, as DeLong's and McNemar's tests need."""
        return self.units.kind == "item" and self.num_groups == len(self.item_ids)

    @property
    def are_places(self) -> bool:
        """Whether places within the items stand in for them."""
        return self.units.count > len(self.item_ids)

    @property
    def note(self) -> Text:
        """Say what an interval over these items holds for."""
        count = len(self.item_ids)
        return explain_interval(self.units, self.num_groups, count, self.group_kind)

    def units_of(self, item_ids: NDArray[np.str_]) -> NDArray[np.intp]:
        """Return the unit number of each of some items."""
        if np.array_equal(item_ids, self._names):
            return self.units.index
        places = {name: place for place, name in enumerate(self.item_ids)}
        found = np.fromiter((places[i] for i in item_ids.tolist()), np.intp, len(item_ids))
        return self.units.index[found]

    @functools.cached_property
    def _names(self) -> NDArray[np.str_]:
        return np.array(self.item_ids)


@dataclass(frozen=True)
class Figures:
    """Hold the figures of one model.

    Attributes:
        values: Metric to value; NaN where it is not defined.
        spreads: Metric to its values under resampling; empty where nothing can be resampled.
        intervals: Metric to the bounds of its 95 % interval; one that cannot be given is missing.
        items: Items that they are of.
    """

    values: Mapping[str, float]
    spreads: Mapping[str, Spread]
    intervals: Mapping[str, tuple[float, float]]
    items: ScoredItems


def measure_figures(
    task: Task,
    rows: ItemStatistics,
    point: OperatingPoint,
    items: ScoredItems | None = None,
    *,
    seed: int = 0,
) -> Figures:
    """Compute every figure of some items at a point, with its spread and its interval.

    Args:
        task: Task whose rows they are.
        rows: Rows of the items.
        point: Operating point.
        items: The items of the rows; of two models that are to be compared, the same object.
        seed: Seed of the resampling; with the same one figures of two models are paired.
    """
    values = {name: float(value) for name, value in task.reduce(rows, point).items()}
    items = items or with_places(task, rows, ScoredItems.of_rows(rows))
    way = _measure(task, rows, point, items) if items.units.kind else None
    if way is None:
        return Figures(values, {}, {}, items)
    measure, rounds = way
    spreads = intervals.spread_figures(measure, values, items.units, rounds=rounds, seed=seed)
    bounds = {
        metric.name: found
        for metric in _metrics_of(task, values)
        if metric.name in spreads
        and (found := _interval(metric, spreads[metric.name], items)) is not None
    }
    return Figures(values, spreads, bounds, items)


def with_places(task: Task, rows: ItemStatistics, items: ScoredItems) -> ScoredItems:
    """Let places within the items stand in for them where the items are too few to be resampled."""
    if items.units.kind:
        return items
    sums = task.place_sums(rows, OperatingPoint({}))
    if sums is None or len(sums.table) < intervals.FEWEST_UNITS:
        return items
    count = len(sums.table)
    return dataclasses.replace(items, units=Units("block", np.arange(count), count))


def figures_of_items(
    task: Task, rows: ItemStatistics, point: OperatingPoint
) -> tuple[tuple[str, ...], Mapping[str, NDArray[np.float64]]]:
    """Compute every figure of each item on its own.

    Returns:
        Item ids in the order of their rows, and metric to `(N,)` values; NaN where a single item
        does not define one.
    """
    sums = task.item_sums(rows, point)
    if sums is not None:
        return tuple(sums.item_ids.tolist()), sums.figures(sums.table)
    item_ids = rows.item_ids()
    found = [task.reduce(rows.of_items([i]), point) for i in item_ids]
    return item_ids, {name: np.array([f[name] for f in found]) for name in found[0]}


def _metrics_of(task: Task, values: Mapping[str, float]) -> Sequence[MetricInfo]:
    return [metric for metric in task.metrics if metric.name in values]


def _interval(metric: MetricInfo, spread: Spread, items: ScoredItems) -> tuple[float, float] | None:
    if metric.test == "mcnemar" and items.are_independent:  # holds where all are right as well
        count = len(items.item_ids)
        return intervals.wilson_interval(spread.value * count, count)
    return intervals.interval_of(spread, metric.low, metric.high)


def _measure(
    task: Task, rows: ItemStatistics, point: OperatingPoint, items: ScoredItems
) -> tuple[Measure, int] | None:
    """Return the fastest way to measure the task's figures, and how often it may be asked.

    None where the rows do not hold the places that are to be resampled.
    """
    count = items.units.count
    if items.are_places:
        places = task.place_sums(rows, point)
        if places is None or len(places.table) != count:
            return None
        return SummedTable(places.table, items.units.index, count, places.figures), SLOW_ROUNDS
    sums, ranking = task.item_sums(rows, point), task.ranking(rows)
    if sums is None:
        index = items.units_of(rows.columns["item_id"])
        units = Units(items.units.kind, index, count)

        def reduce(chosen: NDArray[np.intp]) -> Mapping[str, float]:
            return task.reduce(rows.take(chosen), point)

        return intervals.weigh_rows(reduce, units), SLOW_ROUNDS
    measures: list[Measure] = [
        SummedTable(sums.table, items.units_of(sums.item_ids), count, sums.figures)
    ]
    name = next((m.name for m in task.metrics if m.test == "delong"), None)
    if ranking is not None and name is not None:
        index = items.units_of(ranking.item_ids)
        areas = [
            RankedScores(ranking.is_positive[:, a], ranking.scores[:, a], index, count, str(a))
            for a in range(ranking.scores.shape[1])
        ]
        measures.append(mean_of(areas, name))
    rounds = LARGE_ROUNDS if count >= _LARGE_FROM else intervals.FAST_ROUNDS
    return all_of(measures), rounds
