"""Rows of tomograms brought into the form that thousands of resamplings need."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import ItemStatistics, ItemSums, OperatingPoint
from pipelines.core.metrics import safe_ratio
from pipelines.tasks.cryoet_picking.metrics import BETA, THRESHOLDS, threshold_of
from pipelines.tasks.cryoet_picking.picks import Floats

_COUNTS: Final = ("tp", "fp", "fn")


def sums_of_rows(rows: ItemStatistics, point: OperatingPoint) -> ItemSums:
    """Return the counts of each tomogram at the threshold of each kind, `(N, 3 * kinds)`.

    Columns: tp of each kind, then fp, then fn; kinds in alphabetical order.
    """
    return _sums(rows, point, {name: rows.columns[name][:, None] for name in _COUNTS})


def sums_by_place(rows: ItemStatistics, point: OperatingPoint) -> ItemSums | None:
    """Return the counts of each part of each tomogram; None for rows kept before there were any."""
    if f"{_COUNTS[0]}_at" not in rows.columns:
        return None
    return _sums(rows, point, {name: rows.columns[f"{name}_at"] for name in _COUNTS})


def _sums(
    rows: ItemStatistics, point: OperatingPoint, counts: Mapping[str, NDArray[np.integer]]
) -> ItemSums:
    """Sum `(R, P)` counts, a row of the table for each item and each of `P` places."""
    columns = rows.columns
    kinds, first, kind_of = np.unique(columns["kind"], return_index=True, return_inverse=True)
    chosen = np.array([_nearest(threshold_of(point, kind)) for kind in kinds.tolist()])
    at = np.isclose(columns["threshold"], chosen[kind_of])
    items, row_of, item_of = np.unique(columns["item_id"], return_index=True, return_inverse=True)
    num_places = counts["tp"].shape[1]
    table = np.zeros((len(items), 3, len(kinds), num_places))
    for place, name in enumerate(_COUNTS):
        np.add.at(table[:, place], (item_of[at], kind_of[at]), counts[name][at])
    weights = np.asarray(columns["weight"][first], np.float64)
    return ItemSums(
        np.repeat(items, num_places),
        np.repeat(columns["group"][row_of], num_places),
        np.moveaxis(table, 3, 1).reshape(len(items) * num_places, -1),
        partial(_figures_of_sums, kinds=kinds.tolist(), weights=weights),
    )


def _figures_of_sums(sums: Floats, kinds: list[str], weights: Floats) -> dict[str, Floats]:
    """Compute what `metrics.reduce_rows` does, for many sums at once."""
    counts = sums.reshape(*sums.shape[:-1], 3, len(kinds))
    tp, fp, fn = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    precision, recall = _ratios(tp, fp, fn)
    below = BETA**2 * precision + recall
    f4 = safe_ratio((1 + BETA**2) * precision * recall, below, undefined=0.0)
    f4 = np.where(precision + recall > 0, f4, 0.0)
    total = float(weights.sum())
    scored = weights > 0
    pooled = _ratios(*(side[..., scored].sum(axis=-1) for side in (tp, fp, fn)))
    is_defined = (tp + fn > 0) | (tp + fp > 0)
    undefined = np.full(sums.shape[:-1], np.nan)
    return {
        "f4": f4 @ weights / total if total > 0 else undefined,
        "precision": pooled[0],
        "recall": pooled[1],
        **{
            f"f4_{kind}": np.where(is_defined[..., k], f4[..., k], np.nan)
            for k, kind in enumerate(kinds)
        },
    }


def _ratios(tp: Floats, fp: Floats, fn: Floats) -> tuple[Floats, Floats]:
    """Return precision and recall; what is 0/0 counts as 0, and FP may be negative."""
    candidates, references = tp + fp, tp + fn
    precision = np.where(candidates > 0, safe_ratio(tp, candidates, undefined=0.0), 0.0)
    return precision, safe_ratio(tp, references, undefined=0.0)


def _nearest(threshold: float) -> float:
    return float(THRESHOLDS[np.argmin(np.abs(THRESHOLDS - threshold))])


def references_of_rows(rows: ItemStatistics) -> dict[str, tuple[float, ...]]:
    """Count the true picks of each kind in each tomogram, kinds in alphabetical order."""
    sums = sums_of_rows(rows, OperatingPoint({"threshold": float(THRESHOLDS[0])}))
    tp, _, fn = np.split(sums.table, 3, axis=1)
    return {
        name: tuple(row)
        for name, row in zip(sums.item_ids.tolist(), (tp + fn).tolist(), strict=True)
    }
