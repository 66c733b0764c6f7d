"""Counts and the figures made of them, shared by the tasks: check, accumulate, reduce.

`count_confusion` checks and counts one item, counts add up, and the figures reduce counts of any
number of items. What an undefined figure (0/0) is depends on the metric's published rule, so every
function asks for it or says NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.core.intervals import Units
from pipelines.errors import DataFormatError
from pipelines.text import Text

Floats = npt.NDArray[np.float64]
Counts = float | Floats


@dataclass(frozen=True)
class Confusion:
    """Hold the counts of a two-class comparison, for one item or for many in arrays of one shape.

    Attributes:
        tp: Positive in both.
        fp: Positive in the prediction only.
        fn: Positive in the truth only.
        tn: Positive in neither.
    """

    tp: Counts
    fp: Counts
    fn: Counts
    tn: Counts

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    def pool(self) -> Confusion:
        """Sum the counts of all items, so that each pixel weighs the same."""
        return Confusion(*(float(np.sum(c)) for c in (self.tp, self.fp, self.fn, self.tn)))


def count_confusion(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Confusion:
    """Count where two masks agree and differ.

    Args:
        predicted: Bool, any shape, true where the class is predicted.
        truth: Bool, of the same shape.

    Raises:
        DataFormatError: The shapes differ.
    """
    if predicted.shape != truth.shape:
        raise DataFormatError(
            Text("metrics.shapes_differ", prediction=str(predicted.shape), truth=str(truth.shape))
        )
    tp = int(np.count_nonzero(predicted & truth))
    fp, fn = int(np.count_nonzero(predicted)) - tp, int(np.count_nonzero(truth)) - tp
    return Confusion(tp, fp, fn, predicted.size - tp - fp - fn)


def dice(counts: Confusion, *, undefined: float = np.nan) -> Floats:
    """Return 2 tp / (2 tp + fp + fn); `undefined` where the class is in neither."""
    return f_beta_score(counts, beta=1, undefined=undefined)


def iou(counts: Confusion, *, undefined: float = np.nan) -> Floats:
    """Return tp / (tp + fp + fn); `undefined` where the class is in neither."""
    return safe_ratio(counts.tp, counts.tp + counts.fp + counts.fn, undefined=undefined)


def error_rate(counts: Confusion, *, undefined: float = np.nan) -> Floats:
    """Return the share of wrong pixels or items, (fp + fn) / all."""
    wrong = counts.fp + counts.fn
    return safe_ratio(wrong, wrong + counts.tp + counts.tn, undefined=undefined)


def precision(counts: Confusion, *, undefined: float = np.nan) -> Floats:
    """Return tp / (tp + fp); `undefined` where nothing was predicted."""
    return safe_ratio(counts.tp, counts.tp + counts.fp, undefined=undefined)


def recall(counts: Confusion, *, undefined: float = np.nan) -> Floats:
    """Return tp / (tp + fn); `undefined` where there was nothing to find."""
    return safe_ratio(counts.tp, counts.tp + counts.fn, undefined=undefined)


def f_beta_score(counts: Confusion, *, beta: float, undefined: float = np.nan) -> Floats:
    """Return (1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp).

    Args:
        counts: Of one item, of many, or pooled.
        beta: How many times recall weighs as much as precision.
        undefined: Value where the class is in neither.
    """
    weighted = (1 + beta**2) * counts.tp
    total = weighted + beta**2 * counts.fn + counts.fp
    return safe_ratio(weighted, total, undefined=undefined)


def safe_ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike, *, undefined: float) -> Floats:
    """Divide, with a decided value where the denominator is zero.

    Args:
        numerator: Number or array.
        denominator: Number or array of a shape that fits.
        undefined: Result where the denominator is 0: the metric's published rule, or NaN.

    Returns:
        Float64, of the common shape; no warning is raised.
    """
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    is_defined = below != 0
    ratio = above / np.where(is_defined, below, 1.0)
    return np.asarray(np.where(is_defined, ratio, undefined), np.float64)


def explain_interval(
    units: Units, num_groups: int, num_items: int, group_kind: str = "group"
) -> Text:
    """Say what an interval holds for, and when it must be taken with care.

    Args:
        units: What was resampled, from `intervals.choose_units`.
        num_groups: Groups of the scored items.
        num_items: Scored items.
        group_kind: What a group is, where the task knows: "group" or "subject".

    Returns:
        One sentence for the line under the figure.
    """
    if not units.kind:
        return Text("metrics.interval.none", n=num_items)
    if units.kind == "block" and units.count > num_items:
        return Text("metrics.interval.places", places=units.count, n=num_items)
    if units.kind == "block":
        return Text("metrics.interval.blocks", n=units.count, groups=num_groups)
    if units.kind == "item":
        is_known = num_groups == num_items
        return Text(f"metrics.interval.{'items' if is_known else 'items_of_few'}", n=num_items)
    name = "groups" if units.are_many else "few_groups"
    groups = Text(f"metrics.unit.{group_kind}", n=num_groups)
    return Text(f"metrics.interval.{name}", n=num_groups, groups=groups)
