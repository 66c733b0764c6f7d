"""Rows of a classifier brought into the form that thousands of resamplings need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import ItemStatistics, ItemSums, Ranking
from pipelines.core.classification.statistics import (
    TRUTH,
    Floats,
    confidence_of,
    decide,
    make_rows,
    probabilities_of,
    truth_of,
)

_EDGES: Final = np.linspace(0, 1, 11)
"""Bins of the calibration, as `statistics.calibration` cuts them."""
_NUM_BINS: Final = len(_EDGES) - 1


def sums_of_rows(rows: ItemStatistics, threshold: float) -> ItemSums:
    """Return the additive parts of every figure but the area under the ROC curve.

    Columns: the `C * C` cells of the confusion matrix, then for each bin of the calibration the
    sum of the confidences and the number of right ones.
    """
    truth, probabilities = truth_of(rows), probabilities_of(rows)
    classes = probabilities.shape[1]
    confidence, is_right = confidence_of(truth, probabilities)
    bins = np.clip(np.digitize(confidence, _EDGES[1:-1], right=True), 0, _NUM_BINS - 1)
    table = np.zeros((len(truth), classes**2 + 2 * _NUM_BINS))
    places = np.arange(len(truth))
    table[places, truth * classes + decide(probabilities, threshold)] = 1
    table[places, classes**2 + bins] = confidence
    table[places, classes**2 + _NUM_BINS + bins] = is_right
    columns = rows.columns
    return ItemSums(
        columns["item_id"], columns["group"], table, lambda sums: _figures_of_sums(sums, classes)
    )


def ranking_of_rows(rows: ItemStatistics) -> Ranking:
    """Return the second of two classes against its probability, or each class against the rest."""
    truth, probabilities = truth_of(rows), probabilities_of(rows)
    count = probabilities.shape[1]
    classes = np.arange(1, 2) if count == 2 else np.arange(count)
    columns = rows.columns
    return Ranking(
        columns["item_id"], columns["group"], truth[:, None] == classes, probabilities[:, classes]
    )


def average_rows(rows: Sequence[ItemStatistics]) -> ItemStatistics:
    """Average the probabilities of several models of the same items in the same order."""
    first = rows[0].columns
    mean = np.mean([probabilities_of(r) for r in rows], axis=0)
    return make_rows(first["item_id"].tolist(), first["group"].tolist(), first[TRUTH], mean)


def _figures_of_sums(sums: Floats, classes: int) -> dict[str, Floats]:
    """Compute what `statistics.score_rows` does, for many sums at once."""
    shape = sums.shape[:-1]
    matrix = sums[..., : classes**2].reshape(*shape, classes, classes)
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    of_truth, of_decision = matrix.sum(axis=-1), matrix.sum(axis=-2)
    total = of_truth.sum(axis=-1)
    recalls = _ratios(right, of_truth)
    f1 = np.nan_to_num(_ratios(2 * right, of_truth + of_decision))
    undefined = np.full(shape, math.nan)
    confidence, is_right = np.split(sums[..., classes**2 :], 2, axis=-1)
    return {
        "accuracy": _ratios(right.sum(axis=-1), total),
        "balanced_accuracy": _ratios(
            np.nan_to_num(recalls).sum(axis=-1), (of_truth > 0).sum(axis=-1)
        ),
        "weighted_f1": _ratios((f1 * of_truth).sum(axis=-1), total),
        "sensitivity": recalls[..., 1] if classes == 2 else undefined,
        "specificity": recalls[..., 0] if classes == 2 else undefined,
        "ece": _ratios(np.abs(confidence - is_right).sum(axis=-1), total),
    }


def _ratios(above: Floats, below: NDArray[Any]) -> Floats:
    found = np.full(np.shape(below), math.nan)
    np.divide(above, below, out=found, where=np.asarray(below) > 0)
    return found
