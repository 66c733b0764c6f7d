"""Rows of sections brought into the form that thousands of resamplings need."""

from __future__ import annotations

import numpy as np

from pipelines.contract import ItemStatistics, ItemSums
from pipelines.core.metrics import Confusion, dice, error_rate, iou, safe_ratio
from pipelines.tasks.em_membrane.metrics import SCORES, Floats, at_threshold, section_scores


def sums_of_rows(rows: ItemStatistics, threshold: float) -> ItemSums:
    """Return the additive parts of every figure at a threshold.

    Columns: for each of `SCORES` its value and whether it is defined (their ratio is the mean over
    sections), then tp, fp, fn, tn of the membrane pixels.
    """
    columns = at_threshold(rows, threshold).columns
    scores = np.stack(list(section_scores(columns).values()), axis=1)
    counts = np.stack([columns[name] for name in ("tp", "fp", "fn", "tn")], axis=1)
    table = np.concatenate([np.nan_to_num(scores), np.isfinite(scores), counts], axis=1)
    return ItemSums(columns["item_id"], columns["group"], table, _figures_of_sums)


def _figures_of_sums(sums: Floats) -> dict[str, Floats]:
    count = len(SCORES)
    means = safe_ratio(sums[..., :count], sums[..., count : 2 * count], undefined=np.nan)
    membrane = Confusion(*np.moveaxis(sums[..., 2 * count :], -1, 0))
    return {
        **{name: means[..., index] for index, name in enumerate(SCORES)},
        "pixel_error": error_rate(membrane),
        "iou": iou(membrane),
        "dice": dice(membrane),
    }
