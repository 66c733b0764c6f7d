"""Answer what the Evaluate step asks of a set of rows, at any threshold and fast enough to drag.

What no threshold changes (curves, bands, areas) is computed once; what a threshold changes follows
from the confusion matrix.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import GroupKind, ItemStatistics, MetricInfo
from pipelines.core import intervals
from pipelines.core.classification import statistics as st
from pipelines.core.metrics import explain_interval
from pipelines.core.ranking import area_under_roc
from pipelines.core.resampling import draw_weights
from pipelines.text import Text, verbatim
from pipelines.views import (
    Curve,
    CurveView,
    Figure,
    FiguresView,
    HistogramView,
    TableView,
    TextView,
    View,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Intervals = Mapping[str, tuple[float, float]]

GRID: Final[Floats] = np.linspace(0, 1, 101)
ROUNDS: Final = 300
_BLOCK: Final = 25
_MOST_DRAWN: Final = 1500
_MOST_CURVES: Final = 7
_FULL: Final = (0.0, 1.02)


@dataclass(frozen=True)
class Bands:
    """Hold resampled curves on the grid.

    Attributes:
        roc: `(R, G)` sensitivity at each share of false alarms.
        precision: `(R, G)` precision at each sensitivity.
    """

    roc: Floats
    precision: Floats


class Evaluation:
    """Hold the rows of one evaluation with everything that was computed of them."""

    def __init__(
        self,
        rows: ItemStatistics,
        classes: Sequence[str],
        group_kind: GroupKind = "group",
        name_of: Callable[[str], Text] = verbatim,
    ) -> None:
        self.rows, self.classes, self.group_kind = rows, tuple(classes), group_kind
        self._name_of = name_of
        self.truth, self.odds = st.truth_of(rows), st.probabilities_of(rows)
        self._items = rows.columns["item_id"]
        self.units = intervals.choose_units(rows.columns["group"], self._items)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes, so that a threshold decides."""
        return len(self.classes) == 2

    @property
    def num_groups(self) -> int:
        """How many subjects, slides or the like the rows are of."""
        return len(np.unique(self.rows.columns["group"]))

    def without(self, item_ids: Sequence[str]) -> Evaluation:
        """Return the evaluation of the other items."""
        kept = ~np.isin(self._items, list(item_ids))
        return Evaluation(self.rows.take(kept), self.classes, self.group_kind, self._name_of)

    @property
    def names(self) -> tuple[Text, ...]:
        """Names of the classes, as people read them."""
        return tuple(self._name_of(name) for name in self.classes)

    # decisions

    def cells(self, threshold: float) -> Ints:
        """Count `(C, C)` items by true class (rows) and decided class (columns)."""
        decided = st.decide(self.odds, threshold)
        return st.confusion(self.truth, decided, len(self.classes))

    def members(self, threshold: float, truth: int, decided: int) -> list[tuple[str, float]]:
        """List a cell of the matrix, worst first: item id and probability of its true class.

        Right answers come with the least sure ones first.
        """
        here = (self.truth == truth) & (st.decide(self.odds, threshold) == decided)
        rows = np.flatnonzero(here)
        order = rows[np.argsort(self.odds[rows, truth], kind="stable")]
        return [(str(self._items[i]), float(self.odds[i, truth])) for i in order]

    def optimum(self, cost_ratio: float = 1.0) -> float:
        """Return the threshold of the lowest cost; see `statistics.best_threshold`."""
        return st.best_threshold(self.rows, cost_ratio=cost_ratio)

    @functools.cached_property
    def bands(self) -> Bands:
        """Draw units (subjects, or pictures where each is its own) and measure the curves."""
        is_positive, scores = self.truth == 1, self.odds[:, 1]
        order = np.argsort(-scores, kind="stable")
        sweeps = (
            st.weighted_sweep(is_positive, scores, weights, order) for weights in self._weightings()
        )
        curves = [(_roc_on_grid(s), _precision_on_grid(s)) for s in sweeps]
        roc, precision = zip(*curves, strict=True) if curves else ((), ())
        return Bands(np.array(roc, float), np.array(precision, float))

    def _weightings(self) -> Iterator[Floats]:
        """Draw how often each row counts in each round; none where there are too few units."""
        if not self.units.kind:
            return
        for start in range(0, ROUNDS, _BLOCK):  # blocks: all rounds of 220,025 rows take a while
            drawn = draw_weights(self.units.count, min(_BLOCK, ROUNDS - start), (0, start))
            for weights in drawn.T:
                yield np.asarray(weights[self.units.index], np.float64)

    # views

    def source(self) -> Text:
        """Say what was scored; without known groups every picture is one."""
        if self.num_groups == len(self):
            return Text("classes_panel.source_single", n=len(self))
        groups = Text(f"metrics.unit.{self.group_kind}", n=self.num_groups)
        return Text("classes_panel.source", n=len(self), groups=groups)

    def figures(
        self, threshold: float, metrics: Sequence[MetricInfo], bounds: Intervals
    ) -> FiguresView:
        """Show every figure.

        Args:
            threshold: Of two classes, where the second one is decided.
            metrics: What is shown, in this order.
            bounds: Bounds of the 95 % interval of each figure that has one.
        """
        values = self.scores(threshold)
        shown = tuple(
            Figure(
                m.label, values[m.name], m.help, bounds.get(m.name), len(self),
                higher_is_better=m.higher_is_better,
            )
            for m in metrics if not math.isnan(values[m.name]) or self.is_binary
        )  # fmt: skip
        text_id = "threshold" if self.is_binary else "argmax"
        title = Text(f"classes_panel.figures.{text_id}", threshold=threshold)
        note = explain_interval(self.units, self.num_groups, len(self), self.group_kind)
        return FiguresView(title, shown, source=note)

    @functools.cached_property
    def _fixed_scores(self) -> dict[str, float]:
        return {
            "auc": st.multiclass_auc(self.truth, self.odds),
            "ece": st.calibration(self.truth, self.odds).ece,
        }

    def scores(self, threshold: float) -> dict[str, float]:
        """Compute every figure at a threshold, as `statistics.score_rows` does."""
        return {**self._fixed_scores, **st.matrix_scores(self.cells(threshold))}

    def comparison(self, other: Evaluation, threshold: float, metrics: Sequence[MetricInfo]) -> (
        TableView
    ):  # fmt: skip
        """Set the figures beside those of other rows: with and without the marked labels."""
        mine, others = self.scores(threshold), other.scores(threshold)
        rows = tuple(
            (m.label, mine[m.name], others[m.name], others[m.name] - mine[m.name])
            for m in metrics if not math.isnan(mine[m.name])
        )  # fmt: skip
        columns = ("metric", "with", "without", "change")
        return TableView(
            Text("classes_marks.comparison", n=len(self) - len(other)),
            tuple(Text(f"classes_marks.column.{c}") for c in columns), rows, "marked_labels.csv",
        )  # fmt: skip

    def curves(self, threshold: float, bounds: Intervals) -> tuple[View, ...]:
        """Draw ROC and precision-recall with bands, and the point that the threshold is.

        Args:
            threshold: Where the point stands.
            bounds: Bounds of the 95 % interval of the area, by "auc".
        """
        if len(np.unique(self.truth)) < 2:
            name = self.names[int(self.truth[0])] if len(self) else "–"
            return (TextView(Text("classes_panel.curves.one_class", name=name), tone="info"),)
        if not self.is_binary:
            return (self._roc_of_classes(bounds),)
        return self._roc(threshold, bounds), self._precision_recall(threshold)

    @functools.cached_property
    def _sweep(self) -> st.Sweep:
        return st.sweep(self.truth == 1, self.odds[:, 1])

    def _at(self, threshold: float) -> int:
        return int(np.searchsorted(-self._sweep.thresholds, -threshold, side="right")) - 1

    def _roc(self, threshold: float, bounds: Intervals) -> CurveView:
        counts, at = self._sweep, self._at(threshold)
        x, y = _thinned(counts.false_alarms, counts.sensitivity)
        return CurveView(
            self._area_title(bounds), Text("classes_panel.curves.false_alarms"),
            Text("classes_metrics.sensitivity"),
            (
                _with_band(x, y, self.bands.roc),
                Curve(Text("classes_panel.curves.chance"), GRID, GRID, is_dashed=True),
                _point(counts.false_alarms[at], counts.sensitivity[at], threshold),
            ),
            y_range=_FULL, source=self.source(),
        )  # fmt: skip

    def _area_title(self, bounds: Intervals) -> Text:
        """Name the area with its interval: the one that stands beside it, so that both agree."""
        area = self._fixed_scores["auc"]
        if "auc" in bounds:
            low, high = bounds["auc"]
            if self.num_groups < len(self):
                groups = Text(f"metrics.unit.{self.group_kind}", n=self.num_groups)
                return Text("classes_panel.curves.roc_groups", auc=area, low=low, high=high,
                            groups=groups)  # fmt: skip
            return Text("classes_panel.curves.roc_pictures", auc=area, low=low, high=high,
                        n=self.num_groups)  # fmt: skip
        if self.units.kind == "item" and self.is_binary:  # single items: the formula holds
            estimate = st.delong(self.truth == 1, self.odds[:, 1])
            if not math.isnan(estimate.low):
                return Text("classes_panel.curves.roc", auc=area, low=estimate.low,
                            high=estimate.high)  # fmt: skip
        return Text("classes_panel.curves.roc_plain", auc=area)

    def _precision_recall(self, threshold: float) -> CurveView:
        counts, at = self._sweep, self._at(threshold)
        x, y = _thinned(counts.sensitivity[1:], counts.precision[1:])
        value = st.average_precision(self.truth == 1, self.odds[:, 1])
        share = np.full(len(GRID), counts.num_positive / len(self))
        return CurveView(
            Text("classes_panel.curves.pr", value=value), Text("classes_metrics.sensitivity"),
            Text("classes_panel.curves.precision"),
            (
                _with_band(x, y, self.bands.precision),
                Curve(Text("classes_panel.curves.chance"), GRID, share, is_dashed=True),
                _point(counts.sensitivity[at], counts.precision[at], threshold),
            ),
            y_range=_FULL, source=self.source(),
        )  # fmt: skip

    def _roc_of_classes(self, bounds: Intervals) -> CurveView:
        curves = []
        shown, source = self._hardest_classes(), self.source()
        if len(shown) < len(self.classes):
            source = Text(
                "classes_few.curves", source=source, shown=len(shown), total=len(self.classes)
            )
        for number in shown:
            counts = st.sweep(self.truth == number, self.odds[:, number])
            x, y = _thinned(counts.false_alarms, counts.sensitivity)
            curves.append(Curve(self.names[number], x, y))
        chance = Curve(Text("classes_panel.curves.chance"), GRID, GRID, is_dashed=True)
        return CurveView(
            self._area_title(bounds), Text("classes_panel.curves.false_alarms"),
            Text("classes_metrics.sensitivity"), (*curves, chance),
            y_range=_FULL, source=source,
        )  # fmt: skip

    def _hardest_classes(self) -> list[int]:
        """List the classes that can be told from the rest, at most a chart of those told worst."""
        areas = {
            c: area_under_roc(self.truth == c, self.odds[:, c]) for c in range(len(self.classes))
        }
        there = [c for c, area in areas.items() if not math.isnan(area)]
        return sorted(sorted(there, key=lambda c: areas[c])[:_MOST_CURVES])

    def reliability(self) -> tuple[View, ...]:
        """Compare confidence with the share of right answers, before and after scaling."""
        temperature = st.temperature_of(self.rows)
        was_scaled = abs(temperature - 1) > 1e-9
        shown = st.calibration(self.truth, self.odds)
        if was_scaled:
            before, after = st.calibration(self.truth, st.temper(self.odds, 1 / temperature)), shown
        else:  # an older model: what its temperature would be on these very pictures
            temperature = st.fit_temperature(self.truth, self.odds)
            before = shown
            after = st.calibration(self.truth, st.temper(self.odds, temperature))
        view = CurveView(
            Text("classes_panel.calibration.title", before=before.ece, after=after.ece),
            Text("classes_panel.calibration.confidence"), Text("classes_panel.calibration.right"),
            (
                _reliability_curve("classes_panel.calibration.model", before),
                _reliability_curve("classes_panel.calibration.tempered", after),
                Curve(Text("classes_panel.calibration.ideal"), GRID, GRID, is_dashed=True),
            ),
            y_range=_FULL, source=self.source(),
        )  # fmt: skip
        kind = "applied" if was_scaled else "not_applied"
        words = Text(f"classes_panel.calibration.{kind}", temperature=temperature)
        counts = HistogramView(
            Text("classes_panel.calibration.counts"), shown.edges, shown.counts,
            Text("classes_panel.calibration.confidence"),
        )  # fmt: skip
        return view, counts, TextView(words, tone="info")


# --- parts --------------------------------------------------------------------------------------


def _reliability_curve(name: str, found: st.Calibration) -> Curve:
    filled = found.counts > 0
    return Curve(Text(name), found.confidence[filled], found.accuracy[filled])


def _roc_on_grid(counts: st.Sweep) -> Floats:
    """Return the sensitivity at each share of false alarms of the grid."""
    if not counts.num_positive or not counts.num_negative:
        return np.full(len(GRID), np.nan)
    return np.asarray(np.interp(GRID, counts.false_alarms, counts.sensitivity))


def _precision_on_grid(counts: st.Sweep) -> Floats:
    """Return the precision where each sensitivity of the grid is first reached."""
    if not counts.num_positive:
        return np.full(len(GRID), np.nan)
    first = np.searchsorted(counts.sensitivity, GRID - 1e-12)
    places = np.clip(first, 1, len(counts.precision) - 1)
    return np.asarray(counts.precision[places])


def _with_band(x: Floats, y: Floats, rounds: Floats) -> Curve:
    """Return a curve with its 95 % band, without one where there are too few rounds.

    The band is known on the grid: its places are put between those of the curve.
    """
    defined = rounds[np.isfinite(rounds).all(axis=1)] if rounds.ndim == 2 else rounds
    if 2 * len(defined) < ROUNDS:
        return Curve(Text("classes_panel.curves.model"), x, y)
    low, high = np.percentile(defined, [2.5, 97.5], axis=0)
    extra = GRID[(x[0] < GRID) & (x[-1] > GRID) & ~np.isin(GRID, x)]
    order = np.argsort(np.concatenate([x, extra]), kind="stable")
    places = np.concatenate([x, extra])[order]
    heights = np.concatenate([y, np.interp(extra, x, y)])[order]
    band = (np.interp(places, GRID, low), np.interp(places, GRID, high))
    return Curve(Text("classes_panel.curves.model_band"), places, heights, band)


def _point(x: float, y: float, threshold: float) -> Curve:
    name = Text("classes_panel.curves.here", threshold=threshold)
    return Curve(name, np.array([x]), np.array([y]))


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Keep so many points that a screen shows the curve unchanged."""
    if len(x) <= _MOST_DRAWN:
        return x, y
    rows = np.unique(np.linspace(0, len(x) - 1, _MOST_DRAWN).astype(int))
    return x[rows], y[rows]


def classes_in(values: Mapping[str, Any], fallback: Sequence[str]) -> tuple[str, ...]:
    """Return the class names that a prediction carries, else those of the data."""
    return tuple(values["classes"].tolist()) if "classes" in values else tuple(fallback)
