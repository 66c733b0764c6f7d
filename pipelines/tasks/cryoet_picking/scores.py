"""Scores as views: the table, bars beside published figures, and curves over the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from pipelines.contract import ItemStatistics, OperatingPoint
from pipelines.tasks.cryoet_picking import metrics
from pipelines.text import Text, verbatim
from pipelines.views import BarView, Curve, CurveView, TableView, TextView, View

# F4 of a published solution on the challenge's hidden tomograms, in all and of each kind.
PUBLISHED_TOTAL: Final = 0.774
BEST_TOTAL: Final = 0.788  # of the first place
PUBLISHED: Final[Mapping[str, float]] = {
    "apo-ferritin": 0.917,
    "beta-galactosidase": 0.666,
    "ribosome": 0.923,
    "thyroglobulin": 0.654,
    "virus-like-particle": 0.938,
}
_COLUMNS = ("kind", "f4", "threshold", "tp", "fp", "fn", "precision", "recall", "weight")


def source_note(point: OperatingPoint) -> list[View]:
    """Warn where thresholds were tuned on the tomograms that are scored."""
    if point.source == "scored":
        return [TextView(Text("cryoet.tuned_on_scored"), tone="warning")]
    return []


def score_table(rows: ItemStatistics, point: OperatingPoint) -> TableView:
    """List counts, precision, recall and F4 of each kind at the thresholds."""
    lines = []
    negative = False
    for kind, curves in metrics.pool_rows(rows).items():
        threshold = metrics.threshold_of(point, kind)
        counts = curves.at(threshold)
        negative |= counts.fp < 0
        precision, recall = metrics.precision_recall(counts)
        found = (int(counts.tp), int(counts.fp), int(counts.fn))
        f4 = metrics.f_beta_score(counts)
        lines.append((kind, f4, threshold, *found, precision, recall, curves.weight))
    total = metrics.reduce_rows(rows, point)["f4"]
    num_items = len(rows.item_ids())
    title = Text("cryoet.score_title", f4=total, n=num_items)
    source = Text("cryoet.negative_fp") if negative else None
    return TableView(
        title,
        columns=tuple(Text(f"cryoet.column_{c}") for c in _COLUMNS),
        rows=tuple(lines),
        filename="f4.csv",
        source=source,
    )


def bar_view(rows: ItemStatistics, point: OperatingPoint) -> BarView:
    """Set F4, in all and of each scored kind, beside a published solution's, as context."""
    pooled = {k: c for k, c in metrics.pool_rows(rows).items() if c.weight > 0}
    own = [metrics.reduce_rows(rows, point)["f4"]]
    own += [metrics.f_beta_score(c.at(metrics.threshold_of(point, k))) for k, c in pooled.items()]
    other = [PUBLISHED_TOTAL, *(PUBLISHED.get(kind, float("nan")) for kind in pooled)]
    return BarView(
        Text("cryoet.bars_title"),
        categories=(Text("cryoet.bars_total"), *(verbatim(k) for k in pooled)),
        series=(
            (Text("cryoet.series_own"), np.array(own)),
            (Text("cryoet.series_published"), np.array(other)),
        ),
        y_label=Text("cryoet.axis_f4"),
        y_range=(0.0, 1.0),
        source=Text("cryoet.published_source", total=PUBLISHED_TOTAL, best=BEST_TOTAL),
    )


def curve_views(rows: ItemStatistics, point: OperatingPoint, kind: str) -> list[View]:
    """Draw F4, precision and recall of a kind over its threshold."""
    pooled = metrics.pool_rows(rows)
    if kind not in pooled:
        return [TextView(Text("cryoet.kind_absent", kind=kind), tone="info")]
    curves = pooled[kind]
    precision, recall = curves.precision_recall()
    x = metrics.THRESHOLDS
    threshold = metrics.threshold_of(point, kind)
    return [
        CurveView(
            Text("cryoet.curves_title", kind=kind, threshold=threshold),
            x_label=Text("cryoet.axis_threshold"),
            y_label=Text("cryoet.axis_score"),
            curves=(
                Curve(Text("cryoet_metric.f4"), x, curves.f_beta()),
                Curve(Text("cryoet_metric.precision"), x, np.minimum(precision, 1.0)),
                Curve(Text("cryoet_metric.recall"), x, recall, is_dashed=True),
            ),
            mark_x=threshold,
            y_range=(0.0, 1.0),
        )
    ]
