"""Figures of a classifier from rows of one item each: truth, class probabilities, group.

Every figure is computed from the columns of `ItemStatistics` alone, so that any subset of rows,
repeats of a bootstrap included, can be scored. What cannot be defined (a ROC curve without
negatives) is NaN and never invented.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import ItemStatistics
from pipelines.core import intervals
from pipelines.core.ranking import area_under_roc, placements

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TRUTH: Final = "truth"
PROBABILITY: Final = "p_"
TEMPERATURE: Final = "temperature"
NUM_BINS: Final = 10
_BOOTSTRAP_ROUNDS: Final = 500


def make_rows(
    item_ids: Sequence[str],
    groups: Sequence[str],
    truth: NDArray[Any],
    probabilities: NDArray[Any],
    *,
    temperature: float = 1.0,
) -> ItemStatistics:
    """Put truth and probabilities into rows.

    Args:
        item_ids: `N` names.
        groups: `N` names of what belongs together.
        truth: `(N,)` int class index.
        probabilities: `(N, C)` float in [0, 1], rows summing to 1.
        temperature: What the model's own probabilities were divided by to give these.
    """
    columns: dict[str, NDArray[Any]] = {
        "item_id": np.asarray(item_ids, dtype=np.str_),
        "group": np.asarray(groups, dtype=np.str_),
        TRUTH: np.asarray(truth, dtype=np.int64),
        TEMPERATURE: np.full(len(item_ids), temperature, dtype=np.float64),
    }
    for index in range(probabilities.shape[1]):
        columns[f"{PROBABILITY}{index}"] = np.asarray(probabilities[:, index], dtype=np.float64)
    return ItemStatistics(columns)


def truth_of(rows: ItemStatistics) -> Ints:
    """Return the true class of each row, `(N,)`."""
    return np.asarray(rows.columns[TRUTH], np.int64)


def probabilities_of(rows: ItemStatistics) -> Floats:
    """Return the class probabilities, `(N, C)` in [0, 1]."""
    count = sum(name.startswith(PROBABILITY) for name in rows.columns)
    return np.stack([rows.columns[f"{PROBABILITY}{i}"] for i in range(count)], axis=1)


def temperature_of(rows: ItemStatistics) -> float:
    """Return the temperature that the probabilities were brought to, 1 where none is known."""
    column = rows.columns.get(TEMPERATURE)
    return 1.0 if column is None or not len(column) else float(column[0])


def decide(probabilities: Floats, threshold: float) -> Ints:
    """Return the class of each row.

    Of two classes the second one is taken from the threshold on; of more, the most probable one,
    and the threshold plays no part.
    """
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= threshold).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def confusion(truth: Ints, decided: Ints, num_classes: int) -> Ints:
    """Count `(C, C)` items by true class (rows) and decided class (columns)."""
    flat = np.bincount(truth * num_classes + decided, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


# --- figures ------------------------------------------------------------------------------------


def score_rows(rows: ItemStatistics, threshold: float) -> dict[str, float]:
    """Compute every figure of the classification tasks at a threshold.

    Returns:
        auc, accuracy, balanced_accuracy, weighted_f1, sensitivity, specificity, ece; NaN where
        the rows do not define one. Sensitivity and specificity are of the second of two classes.
    """
    truth, probabilities = truth_of(rows), probabilities_of(rows)
    matrix = confusion(truth, decide(probabilities, threshold), probabilities.shape[1])
    return {
        "auc": multiclass_auc(truth, probabilities),
        **matrix_scores(matrix),
        "ece": calibration(truth, probabilities).ece,
    }


def matrix_scores(matrix: Ints) -> dict[str, float]:
    """Compute the figures that follow from a `(C, C)` confusion matrix alone.

    Classes without a true item are left out of the mean recall, as scikit-learn does. F1 of a
    class that is neither there nor decided is 0 there and has weight 0.
    """
    total = int(matrix.sum())
    right = np.diag(matrix).astype(float)
    of_truth, of_decision = matrix.sum(axis=1), matrix.sum(axis=0)
    recalls = [r / n for r, n in zip(right, of_truth, strict=True) if n]
    f1 = [
        2 * r / (t + d) if t + d else 0.0
        for r, t, d in zip(right, of_truth, of_decision, strict=True)
    ]
    is_binary = len(matrix) == 2
    return {
        "accuracy": _ratio(right.sum(), total),
        "balanced_accuracy": float(np.mean(recalls)) if recalls else math.nan,
        "weighted_f1": _ratio(float(np.dot(f1, of_truth)), total),
        "sensitivity": _ratio(right[1], of_truth[1]) if is_binary else math.nan,
        "specificity": _ratio(right[0], of_truth[0]) if is_binary else math.nan,
    }


def multiclass_auc(truth: Ints, probabilities: Floats) -> float:
    """Return the area under the ROC curve: of the second of two classes, else the mean of
    one-against-rest over the classes that are there.
    """  # noqa: D205 - one sentence
    classes = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    areas = [area_under_roc(truth == c, probabilities[:, c]) for c in classes]
    defined = [a for a in areas if not math.isnan(a)]
    return float(np.mean(defined)) if defined else math.nan


# --- curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """Count decisions at every threshold that changes one, from strict to lax.

    Attributes:
        thresholds: `(T,)` descending; the first is above every score.
        true_positive: `(T,)` positives at or above the threshold (or their weight).
        false_positive: `(T,)` negatives at or above it.
        num_positive: Positives in all.
        num_negative: Negatives in all.
    """

    thresholds: Floats
    true_positive: Ints | Floats
    false_positive: Ints | Floats
    num_positive: float
    num_negative: float

    @property
    def sensitivity(self) -> Floats:
        """`(T,)` share of positives found; NaN without positives."""
        return self.true_positive / self.num_positive if self.num_positive else self._nothing

    @property
    def false_alarms(self) -> Floats:
        """`(T,)` share of negatives called positive; NaN without negatives."""
        return self.false_positive / self.num_negative if self.num_negative else self._nothing

    @property
    def precision(self) -> Floats:
        """`(T,)` share of positive decisions that are right; 1 while there is none."""
        called = self.true_positive + self.false_positive
        return np.where(called > 0, self.true_positive / np.maximum(called, 1), 1.0)

    @property
    def _nothing(self) -> Floats:
        return np.full(len(self.thresholds), np.nan)


def sweep(is_positive: NDArray[np.bool_], scores: Floats) -> Sweep:
    """Count true and false positives at every distinct score."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], is_positive[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    if not len(ranked):
        last_of_tie = np.zeros(0, dtype=np.int64)
    true_positive = np.concatenate([[0], np.cumsum(hits)[last_of_tie]]).astype(np.int64)
    called = np.concatenate([[0], last_of_tie + 1]).astype(np.int64)
    return Sweep(
        np.concatenate([[np.inf], ranked[last_of_tie]]),
        true_positive,
        called - true_positive,
        int(is_positive.sum()),
        int((~is_positive).sum()),
    )


def weighted_sweep(
    is_positive: NDArray[np.bool_], scores: Floats, weights: Floats, order: NDArray[np.intp]
) -> Sweep:
    """Count as `sweep` does, each item standing for `weights` of its kind; sorted beforehand."""
    ranked, hits, counted = scores[order], is_positive[order], weights[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true_positive = np.cumsum(counted * hits)
    called = np.cumsum(counted)
    found = np.concatenate([[0.0], true_positive[last]])
    false = np.concatenate([[0.0], called[last] - true_positive[last]])
    thresholds = np.concatenate([[np.inf], ranked[last]])
    return Sweep(thresholds, found, false, float(found[-1]), float(false[-1]))


def best_threshold(rows: ItemStatistics, *, cost_ratio: float = 1.0) -> float:
    """Return the threshold with the lowest cost of mistakes, both classes weighing the same.

    Args:
        rows: Rows of two classes.
        cost_ratio: How many false alarms a missed positive is worth; 1 gives Youden's optimum.

    Returns:
        The middle between the two scores around the optimum, in [0, 1]; 0.5 when the rows hold
        one class only.
    """
    probabilities = probabilities_of(rows)
    if probabilities.shape[1] != 2:
        return 0.5
    counts = sweep(truth_of(rows) == 1, probabilities[:, 1])
    if not counts.num_positive or not counts.num_negative:
        return 0.5
    gain = cost_ratio * counts.sensitivity - counts.false_alarms
    best = int(np.argmax(gain))
    upper = min(float(counts.thresholds[best]), 1.0)
    lower = float(counts.thresholds[best + 1]) if best + 1 < len(gain) else 0.0
    return (upper + lower) / 2


def average_precision(is_positive: NDArray[np.bool_], scores: Floats) -> float:
    """Return the area under the precision-recall steps; NaN without positives."""
    counts = sweep(is_positive, scores)
    if not counts.num_positive:
        return math.nan
    return float(np.sum(np.diff(counts.sensitivity) * counts.precision[1:]))


# --- intervals ----------------------------------------------------------------------------------


def bootstrap(
    rows: ItemStatistics,
    measure: Callable[[ItemStatistics], Floats],
    *,
    rounds: int = _BOOTSTRAP_ROUNDS,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Return the bounds of the 95 % interval of figures, whole groups resampled where there are.

    Items of one subject resemble one another: drawn singly, they would make the interval too
    narrow.

    Args:
        rows: Rows to resample.
        measure: From rows to `(M,)` figures.
        rounds: Resamplings.
        seed: Of the draws.

    Returns:
        Lower and upper bounds, `(M,)` each; NaN where fewer than half of the rounds define one,
        or where there are too few groups and items.
    """
    size = len(measure(rows))
    low, high = np.full(size, np.nan), np.full(size, np.nan)
    columns = rows.columns
    unit = intervals.choose_unit(columns["group"], columns["item_id"])
    if not unit:
        return low, high
    units = columns["group"] if unit == "group" else columns["item_id"]

    def named(chosen: NDArray[np.intp]) -> dict[str, float]:
        values = measure(rows.take(chosen))
        return {str(i): float(v) for i, v in enumerate(values)}

    bounds = intervals.bootstrap(units, named, rounds=rounds, seed=seed)
    for name, (lower, upper) in bounds.items():
        low[int(name)], high[int(name)] = lower, upper
    return low, high


@dataclass(frozen=True)
class Estimate:
    """Hold a figure with its 95 % interval."""

    value: float
    low: float
    high: float


def delong(is_positive: NDArray[np.bool_], scores: Floats) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval for independent items.

    The variance follows from the placements of each positive among the negatives and of each
    negative among the positives; see `pipelines.core.ranking`.
    """
    m, n = int(is_positive.sum()), int((~is_positive).sum())
    area = area_under_roc(is_positive, scores)
    if m < 2 or n < 2:
        return Estimate(area, math.nan, math.nan)
    placed_positive, placed_negative = placements(is_positive, scores)
    variance = placed_positive.var(ddof=1) / m + placed_negative.var(ddof=1) / n
    margin = 1.959964 * math.sqrt(variance)
    return Estimate(area, max(0.0, area - margin), min(1.0, area + margin))


# --- calibration --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """Compare confidence with the share of right answers, bin by bin.

    Attributes:
        edges: `(B + 1,)` bounds of the bins in [0, 1].
        confidence: `(B,)` mean confidence; NaN in an empty bin.
        accuracy: `(B,)` share that is right; NaN in an empty bin.
        counts: `(B,)` items.
        ece: Expected calibration error: mean gap, weighted by items; NaN without items.
    """

    edges: Floats
    confidence: Floats
    accuracy: Floats
    counts: Ints
    ece: float


def calibration(truth: Ints, probabilities: Floats, num_bins: int = NUM_BINS) -> Calibration:
    """Sort items into bins of equal width by confidence.

    Of two classes the confidence is the probability of the second one and "right" means that it
    is the truth; of more, it is that of the most probable class.
    """
    confidence, is_right = confidence_of(truth, probabilities)
    edges = np.linspace(0, 1, num_bins + 1)
    bins = bins_of(confidence, num_bins)
    counts = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(bins, confidence, num_bins) / counts
        share = np.bincount(bins, is_right.astype(float), num_bins) / counts
    gaps = np.abs(mean - share)[counts > 0]
    ece = float(np.dot(gaps, counts[counts > 0]) / len(truth)) if len(truth) else math.nan
    return Calibration(edges, mean, share, counts.astype(np.int64), ece)


def confidence_of(truth: Ints, probabilities: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return how sure the model is of each row and whether it is right, as `calibration` means it.

    Returns:
        `(N,)` confidence in [0, 1] and `(N,)` bool.
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], truth == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


def bins_of(confidence: Floats, num_bins: int = NUM_BINS) -> Ints:
    """Return the bin of equal width that each confidence falls in, `(N,)`."""
    edges = np.linspace(0, 1, num_bins + 1)
    inner = np.digitize(confidence, edges[1:-1], right=True)
    return np.clip(inner, 0, num_bins - 1).astype(np.int64)


def fit_temperature(truth: Ints, probabilities: Floats) -> float:
    """Return the temperature that makes the probabilities of held-out items most likely.

    `softmax(log(p) / T)`: above 1 the model was too sure. Found by golden-section search over
    log T in [log 0.05, log 20]; 1 without items or with a single class.
    """
    if len(truth) < 2 or len(np.unique(truth)) < 2:
        return 1.0
    low, high = math.log(0.05), math.log(20)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(truth, temper(probabilities, math.exp(left))) < log_loss(
            truth, temper(probabilities, math.exp(right))
        ):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def temper(probabilities: Floats, temperature: float) -> Floats:
    """Return `(N, C)` probabilities at another temperature; the order of the items stays."""
    logits = np.log(np.clip(probabilities, 1e-7, 1)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_loss(truth: Ints, probabilities: Floats) -> float:
    """Return the mean negative log probability of the true class."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(chosen, 1e-12, 1)).mean())


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan
