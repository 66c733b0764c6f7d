"""Ranks: what the area under the ROC curve and its variance are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mid_ranks(scores: NDArray[Any]) -> Floats:
    """Return ranks from 1 on; equal scores share the middle of their ranks.

    Args:
        scores: `(N,)` float.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def area_under_roc(is_positive: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """Return the share of (positive, negative) pairs in the right order, ties counted as half.

    NaN when one of the two is missing.
    """
    num_positive = int(is_positive.sum())
    num_negative = len(is_positive) - num_positive
    if not num_positive or not num_negative:
        return math.nan
    rank_sum = float(mid_ranks(scores)[is_positive].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)


def placements(is_positive: NDArray[np.bool_], scores: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return where each positive stands among the negatives, and the other way round.

    The mean of either is the area under the ROC curve; their variances give that of the area
    (DeLong, DeLong and Clarke-Pearson 1988), here from three sorts as Sun and Xu showed in 2014.

    Args:
        is_positive: `(N,)` bool, at least one of each kind.
        scores: `(N,)` float.

    Returns:
        `(M,)` share of negatives below each positive and `(N - M,)` share of positives above each
        negative, ties counted as half, in [0, 1].
    """
    positive, negative = scores[is_positive], scores[~is_positive]
    m, n = len(positive), len(negative)
    ranks = mid_ranks(np.concatenate([positive, negative]))
    of_positive = (ranks[:m] - mid_ranks(positive)) / n
    return of_positive, 1 - (ranks[m:] - mid_ranks(negative)) / m
