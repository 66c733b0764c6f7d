"""Paired tests: are two models told apart by the same items?

DeLong's test for areas under ROC curves, McNemar's for shares of right answers; anything else is
compared by `intervals`. Both hold for independent items; items that share a group are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.ranking import Floats, placements

EXACT_BELOW: Final = 25
"""With fewer items on which two models disagree, McNemar's test counts instead of approximating."""
POWER: Final = 0.8
"""Chance of telling two models apart that an estimate of needed cases aims at."""


@dataclass(frozen=True)
class Difference:
    """Hold a paired difference.

    Attributes:
        value: First minus second.
        interval: Bounds of its 95 % interval, or None.
        standard_error: How much it varies from sample to sample.
        p_value: Chance of a difference at least as large where there is none, both directions.
    """

    value: float
    interval: tuple[float, float] | None
    standard_error: float
    p_value: float


Placements = tuple[Floats, Floats]


def delong(is_positive: NDArray[np.bool_], first: NDArray[Any], second: NDArray[Any]) -> Difference:
    """Compare two areas under ROC curves of the same items (DeLong and others 1988).

    Args:
        is_positive: `(N,)` bool.
        first: `(N,)` scores of the first model, higher for positives.
        second: `(N,)` scores of the second model.

    Returns:
        NaN throughout with fewer than two positives or negatives.
    """
    if min(int(is_positive.sum()), int((~is_positive).sum())) < 2:
        return Difference(math.nan, None, math.nan, math.nan)
    return compare_placements(placements(is_positive, first), placements(is_positive, second))


def compare_placements(first: Placements, second: Placements) -> Difference:
    """Do DeLong's test on what `ranking.placements` gave for two models of the same items."""
    of_positive, of_negative = (a - b for a, b in zip(first, second, strict=True))
    value = float(of_positive.mean())
    variances = [gap.var(ddof=1) / len(gap) for gap in (of_positive, of_negative)]
    error = math.sqrt(sum(variances))
    margin = _normal_quantile(0.975) * error
    return Difference(value, (value - margin, value + margin), error, _two_sided(value, error))


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> Difference:
    """Compare two shares of right answers on the same items (McNemar 1947).

    Only items that one gets right and the other wrong count: exactly by the binomial law below
    `EXACT_BELOW` of them, else by chi-squared with continuity correction. The interval is the
    adjusted one of Bonett and Price (2012), which also holds for few items.

    Args:
        first_right: `(N,)` bool, whether the first model is right.
        second_right: `(N,)` bool, of the second model.
    """
    count = len(first_right)
    only_first = int((first_right & ~second_right).sum())
    only_second = int((~first_right & second_right).sum())
    value = (only_first - only_second) / count if count else math.nan
    if not count:
        return Difference(math.nan, None, math.nan, math.nan)
    p = _mcnemar_p(only_first, only_second)
    disagreeing = only_first + only_second
    error = math.sqrt(max(disagreeing - (only_first - only_second) ** 2 / count, 0)) / count
    share_first, share_second = (only_first + 1) / (count + 2), (only_second + 1) / (count + 2)
    centre = share_first - share_second
    spread = math.sqrt((share_first + share_second - centre**2) / (count + 2))
    margin = _normal_quantile(0.975) * spread
    bounds = (max(-1.0, centre - margin), min(1.0, centre + margin))
    return Difference(value, bounds, error, p)


def holm(p_values: Sequence[float]) -> Floats:
    """Correct p-values for their number (Holm 1979); undefined ones stay so and do not count.

    Args:
        p_values: Each in [0, 1] or NaN.

    Returns:
        `(N,)` corrected p-values: calling those below 5 % different is wrong about any of them in
        at most 5 of 100 comparisons.
    """
    values = np.asarray(p_values, np.float64)
    corrected = np.full(len(values), np.nan)
    defined = np.flatnonzero(np.isfinite(values))
    order = defined[np.argsort(values[defined], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * factors))
    return corrected


def more_units_needed(
    value: float, standard_error: float, num_units: int, *, power: float = POWER
) -> float:
    """Estimate how many more units would tell a difference of this size apart.

    The standard error shrinks with the root of the units; a two-sided test at 5 % then finds the
    difference with chance `power` when it is 2.8 standard errors.

    Returns:
        Units beyond those at hand, 0 where they are enough; infinity for no difference at all.
    """
    if not math.isfinite(value) or not math.isfinite(standard_error):
        return math.nan
    if value == 0:
        return math.inf
    wanted = (_normal_quantile(0.975) + _normal_quantile(power)) * standard_error / abs(value)
    return max(0.0, math.ceil(num_units * (wanted**2 - 1)))


def _mcnemar_p(only_first: int, only_second: int) -> float:
    from scipy.special import bdtr, chdtrc  # type: ignore[import-untyped]

    disagreeing = only_first + only_second
    if disagreeing == 0:
        return 1.0
    if disagreeing < EXACT_BELOW:
        return min(1.0, 2 * float(bdtr(min(only_first, only_second), disagreeing, 0.5)))
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / disagreeing
    return float(chdtrc(1, statistic))


def _two_sided(value: float, error: float) -> float:
    from scipy.special import ndtr

    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * ndtr(-abs(value) / error))


def _normal_quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))
