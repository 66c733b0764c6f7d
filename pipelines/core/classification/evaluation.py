"""Answer what the Evaluate step asks of a set of rows, at any threshold and fast enough to drag.

What no threshold changes (curves, bands, areas) is computed once; what a threshold changes follows
from the confusion matrix, whose resamplings are drawn as counts and not row by row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import ItemStatistics, MetricInfo
from pipelines.core import intervals
from pipelines.core.classification import statistics as st
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
Interval = tuple[float, float]

GRID: Final[Floats] = np.linspace(0, 1, 101)
ROUNDS: Final = 300
_MOST_DRAWN: Final = 1500
_MOST_CURVES: Final = 7
_FULL: Final = (0.0, 1.02)


@dataclass(frozen=True)
class Resampled:
    """Hold what resampling says of figures that no threshold changes.

    Attributes:
        areas: `(R,)` area under the ROC curve of each round; NaN where it is not defined.
        calibration_errors: `(R,)`.
        roc: `(R, G)` sensitivity at each share of false alarms of the grid.
        precision: `(R, G)` precision at each sensitivity of the grid.
    """

    areas: Floats
    calibration_errors: Floats
    roc: Floats
    precision: Floats


class Evaluation:
    """Hold the rows of one evaluation with everything that was computed of them."""

    def __init__(self, rows: ItemStatistics, classes: Sequence[str]) -> None:
        self.rows, self.classes = rows, tuple(classes)
        self.truth, self.odds = st.truth_of(rows), st.probabilities_of(rows)
        self._items = rows.columns["item_id"]
        groups = rows.columns["group"]
        self.unit = intervals.choose_unit(groups, self._items)
        _, self._unit_of = np.unique(
            groups if self.unit == "group" else self._items, return_inverse=True
        )

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
        return Evaluation(self.rows.take(kept), self.classes)

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

    # intervals

    @functools.cached_property
    def resampled(self) -> Resampled:
        """Draw units with replacement and measure what no threshold changes."""
        positives = self._positives()
        orders = [np.argsort(-scores, kind="stable") for _, scores in positives]
        gaps, bins, num_bins = _calibration_gaps(self.truth, self.odds)
        areas, errors, roc, precision = [], [], [], []
        for weights in self._weightings():
            sweeps = [
                st.weighted_sweep(is_positive, scores, weights, order)
                for (is_positive, scores), order in zip(positives, orders, strict=True)
            ]
            areas.append(_mean_defined([_area(s) for s in sweeps]))
            errors.append(np.abs(np.bincount(bins, weights * gaps, num_bins)).sum() / len(self))
            roc.append(_roc_on_grid(sweeps[-1]))
            precision.append(_precision_on_grid(sweeps[-1]))
        return Resampled(*(np.array(found, float) for found in (areas, errors, roc, precision)))

    def _positives(self) -> list[tuple[NDArray[np.bool_], Floats]]:
        """List one-against-rest problems: one for two classes, else one a class that is there."""
        wanted = [1] if self.is_binary else [int(c) for c in np.unique(self.truth)]
        return [(self.truth == c, self.odds[:, c]) for c in wanted or [0]]

    def _weightings(self) -> list[Floats]:
        """Draw how often each row counts in each round; none where there are too few units."""
        if not self.unit:
            return []
        rng, count = np.random.default_rng(0), int(self._unit_of.max()) + 1
        drawn = (rng.integers(0, count, count) for _ in range(ROUNDS))
        return [np.bincount(d, minlength=count)[self._unit_of].astype(float) for d in drawn]

    @functools.cached_property
    def _unit_weights(self) -> NDArray[np.float32]:
        """`(R, U)` how often each unit is drawn."""
        rng, count = np.random.default_rng(0), int(self._unit_of.max()) + 1
        drawn = [rng.integers(0, count, count) for _ in range(ROUNDS)]
        return np.stack([np.bincount(d, minlength=count) for d in drawn]).astype(np.float32)

    def intervals(self, threshold: float) -> dict[str, Interval]:
        """Return the 95 % interval of every figure that has one."""
        if not self.unit:
            return {}
        rounds = [st.matrix_scores(m) for m in self._drawn_cells(threshold)]
        figures: dict[str, Any] = {n: np.array([r[n] for r in rounds]) for n in rounds[0]}
        figures |= {"auc": self.resampled.areas, "ece": self.resampled.calibration_errors}
        return {n: i for n, values in figures.items() if (i := _interval(values)) is not None}

    def _drawn_cells(self, threshold: float) -> Ints:
        """Return `(R, C, C)` confusion matrices of resampled units."""
        num = len(self.classes)
        flat = self.truth * num + st.decide(self.odds, threshold)
        num_units = int(self._unit_of.max()) + 1
        if num_units == len(self):  # every row by itself: the counts are exactly multinomial
            shares = np.bincount(flat, minlength=num * num) / len(self)
            drawn = np.random.default_rng(0).multinomial(len(self), shares, ROUNDS)
            return np.asarray(drawn, np.int64).reshape(ROUNDS, num, num)
        table = np.zeros((num_units, num * num), np.float32)
        np.add.at(table, (self._unit_of, flat), 1)
        counted = np.rint(self._unit_weights @ table).astype(np.int64)
        return np.asarray(counted.reshape(ROUNDS, num, num))

    # views

    def source(self) -> Text:
        """Say what was scored."""
        return Text("classes_panel.source", n=len(self), groups=self.num_groups)

    def figures(self, threshold: float, metrics: Sequence[MetricInfo]) -> FiguresView:
        """Show every figure with its interval."""
        values = self.scores(threshold)
        bounds = self.intervals(threshold)
        shown = tuple(
            Figure(
                m.label, values[m.name], m.help, bounds.get(m.name), len(self),
                higher_is_better=m.higher_is_better,
            )
            for m in metrics if not math.isnan(values[m.name]) or self.is_binary
        )  # fmt: skip
        by = f"classes_panel.curves.by_{self.unit or 'none'}"
        text_id = "threshold" if self.is_binary else "argmax"
        title = Text(f"classes_panel.figures.{text_id}", threshold=threshold, by=Text(by))
        return FiguresView(title, shown, source=self.source())

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

    def curves(self, threshold: float) -> tuple[View, ...]:
        """Draw ROC and precision-recall with bands, and the point that the threshold is."""
        if len(np.unique(self.truth)) < 2:
            name = self.classes[int(self.truth[0])] if len(self) else "–"
            return (TextView(Text("classes_panel.curves.one_class", name=name), tone="info"),)
        if not self.is_binary:
            return (self._roc_of_classes(),)
        return self._roc(threshold), self._precision_recall(threshold)

    @functools.cached_property
    def _sweep(self) -> st.Sweep:
        return st.sweep(self.truth == 1, self.odds[:, 1])

    def _at(self, threshold: float) -> int:
        return int(np.searchsorted(-self._sweep.thresholds, -threshold, side="right")) - 1

    def _roc(self, threshold: float) -> CurveView:
        counts, at = self._sweep, self._at(threshold)
        x, y = _thinned(counts.false_alarms, counts.sensitivity)
        return CurveView(
            self._area_title(), Text("classes_panel.curves.false_alarms"),
            Text("classes_metrics.sensitivity"),
            (
                _with_band(x, y, self.resampled.roc),
                Curve(Text("classes_panel.curves.chance"), GRID, GRID, is_dashed=True),
                _point(counts.false_alarms[at], counts.sensitivity[at], threshold),
            ),
            y_range=_FULL, source=self.source(),
        )  # fmt: skip

    def _area_title(self) -> Text:
        area = self._fixed_scores["auc"]
        bounds = _interval(self.resampled.areas)
        if self.unit != "group" and self.is_binary:  # single items: the exact formula holds
            estimate = st.delong(self.truth == 1, self.odds[:, 1])
            if not math.isnan(estimate.low):
                return Text("classes_panel.curves.roc", auc=area, low=estimate.low,
                            high=estimate.high)  # fmt: skip
        if bounds is None:
            return Text("classes_panel.curves.roc_plain", auc=area)
        return Text("classes_panel.curves.roc_groups", auc=area, low=bounds[0], high=bounds[1],
                    n=self.num_groups)  # fmt: skip

    def _precision_recall(self, threshold: float) -> CurveView:
        counts, at = self._sweep, self._at(threshold)
        x, y = _thinned(counts.sensitivity[1:], counts.precision[1:])
        value = st.average_precision(self.truth == 1, self.odds[:, 1])
        share = np.full(len(GRID), counts.num_positive / len(self))
        return CurveView(
            Text("classes_panel.curves.pr", value=value), Text("classes_metrics.sensitivity"),
            Text("classes_panel.curves.precision"),
            (
                _with_band(x, y, self.resampled.precision),
                Curve(Text("classes_panel.curves.chance"), GRID, share, is_dashed=True),
                _point(counts.sensitivity[at], counts.precision[at], threshold),
            ),
            y_range=_FULL, source=self.source(),
        )  # fmt: skip

    def _roc_of_classes(self) -> CurveView:
        curves = []
        for number, name in enumerate(self.classes[:_MOST_CURVES]):
            counts = st.sweep(self.truth == number, self.odds[:, number])
            x, y = _thinned(counts.false_alarms, counts.sensitivity)
            curves.append(Curve(verbatim(name), x, y))
        chance = Curve(Text("classes_panel.curves.chance"), GRID, GRID, is_dashed=True)
        return CurveView(
            self._area_title(), Text("classes_panel.curves.false_alarms"),
            Text("classes_metrics.sensitivity"), (*curves, chance),
            y_range=_FULL, source=self.source(),
        )  # fmt: skip

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


def _calibration_gaps(truth: Ints, odds: Floats) -> tuple[Floats, Ints, int]:
    """Return confidence minus rightness of each row, its bin, and the number of bins.

    The calibration error is the sum over bins of the absolute sum of gaps, a row.
    """
    confidence, is_right = st.confidence_of(truth, odds)
    bins = st.bins_of(confidence)
    return confidence - is_right, bins, st.NUM_BINS


def _reliability_curve(name: str, found: st.Calibration) -> Curve:
    filled = found.counts > 0
    return Curve(Text(name), found.confidence[filled], found.accuracy[filled])


def _area(counts: st.Sweep) -> float:
    if not counts.num_positive or not counts.num_negative:
        return math.nan
    return float(np.trapezoid(counts.sensitivity, counts.false_alarms))


def _mean_defined(values: Sequence[float]) -> float:
    defined = [v for v in values if not math.isnan(v)]
    return float(np.mean(defined)) if defined else math.nan


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


def _interval(values: Floats) -> Interval | None:
    """Return the bounds of 95 %; None where fewer than half of the rounds define the figure."""
    defined = values[np.isfinite(values)]
    if not len(values) or 2 * len(defined) < len(values):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


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
