"""Where two models differ: item by item, group by group, metric by metric."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.compare.comparison import Comparison
from pipelines.compare.figures import figures_of_items
from pipelines.contract import ItemStatistics, MetricInfo, Task
from pipelines.core import intervals
from pipelines.core.ranking import area_under_roc

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ItemGaps:
    """Hold how two models do on each common item.

    Attributes:
        metric: What each item is judged by: the main metric, or the first that a single item has.
        item_ids: `N` items.
        first: `(N,)` values of the first model; NaN where an item has none.
        second: `(N,)` values of the second model.
    """

    metric: MetricInfo
    item_ids: tuple[str, ...]
    first: Floats
    second: Floats

    @property
    def is_yes_no(self) -> bool:
        """Whether an item is either right or wrong."""
        values = np.concatenate([self.first, self.second])
        return bool(np.isin(values[np.isfinite(values)], (0.0, 1.0)).all())

    @property
    def gain(self) -> Floats:
        """`(N,)` how much better the first model does; 0 where one of the two is undefined."""
        sign = 1 if self.metric.higher_is_better else -1
        return np.nan_to_num(sign * (self.first - self.second))

    def better(self, *, is_first: bool) -> list[int]:
        """List the items that one model does better, the largest difference first."""
        gain = self.gain if is_first else -self.gain
        order = np.argsort(-gain, kind="stable")
        return [int(place) for place in order if gain[place] > 0]

    def agreement(self) -> tuple[int, int, int, int]:
        """Count items that both get right, only the first, only the second, and neither."""
        first, second = self.first == 1, self.second == 1
        counts = (first & second, first & ~second, ~first & second, ~first & ~second)
        both, only_first, only_second, neither = (int(c.sum()) for c in counts)
        return both, only_first, only_second, neither


def item_gaps(comparison: Comparison, first: int, second: int) -> ItemGaps | None:
    """Judge each common item by both models; None where no metric is defined for one item."""
    task = comparison.task
    found = []
    for place in (first, second):
        point = comparison.standings[place].entry.point
        found.append(figures_of_items(task, comparison.common.rows[place], point))
    (item_ids, own), (_, other) = found
    metric = next(
        (
            m
            for m in sorted(task.metrics, key=lambda m: not m.is_main)
            if m.name in own and np.isfinite(own[m.name]).any()
        ),
        None,
    )
    if metric is None:
        return None
    return ItemGaps(metric, item_ids, own[metric.name], other[metric.name])


@dataclass(frozen=True)
class GroupGaps:
    """Hold how two models do on each group.

    Attributes:
        groups: Names, the group where the first model is furthest ahead first.
        counts: `(G,)` items of each.
        first: `(G,)` values of the first model; NaN where a group does not define one.
        second: `(G,)` values of the second model.
    """

    groups: tuple[str, ...]
    counts: NDArray[np.intp]
    first: Floats
    second: Floats


def group_gaps(
    comparison: Comparison, metric: MetricInfo, first: int, second: int
) -> GroupGaps | None:
    """Compute a metric of each group for both models; None where each item is its own group."""
    if comparison.common.items.num_groups in (1, len(comparison.common.items.item_ids)):
        return None
    task = comparison.task
    found = [
        _by_group(task, metric, comparison.common.rows[place], comparison, place)
        for place in (first, second)
    ]
    (groups, counts, own), (_, _, other) = found
    sign = 1 if metric.higher_is_better else -1
    order = np.argsort(-sign * np.nan_to_num(own - other), kind="stable")
    names = tuple(groups[place] for place in order)
    return GroupGaps(names, counts[order], own[order], other[order])


def _by_group(
    task: Task, metric: MetricInfo, rows: ItemStatistics, comparison: Comparison, place: int
) -> tuple[list[str], NDArray[np.intp], Floats]:
    codes = intervals.number(rows.columns["group"])
    names = list(dict.fromkeys(rows.columns["group"].tolist()))
    point = comparison.standings[place].entry.point
    counts = np.zeros(len(names), np.intp)
    values = np.full(len(names), math.nan)
    ranking = task.ranking(rows) if metric.test == "delong" else None
    for group in range(len(names)):
        own = rows.take(codes == group)
        counts[group] = len(own.item_ids())
        if ranking is not None and ranking.scores.shape[1] == 1:
            chosen = codes == group
            values[group] = area_under_roc(
                ranking.is_positive[chosen, 0], ranking.scores[chosen, 0]
            )
        else:
            values[group] = task.reduce(own, point).get(metric.name, math.nan)
    return names, counts, values
