"""Scores as views: the table, bars beside published figures, and curves over the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from pipelines.contract import ItemStatistics, OperatingPoint
from pipelines.tasks.cryoet_picking import metrics
from pipelines.text import Text, verbatim
from pipelines.views import BarView, Curve, CurveView, TableView, TextView, View

# Per-kind F4 of a published solution that scored 0.774 on the challenge's hidden tomograms.
PUBLISHED: Final[Mapping[str, float]] = {
    "apo-ferritin": 0.917,
    "beta-galactosidase": 0.666,
    "ribosome": 0.923,
    "thyroglobulin": 0.654,
    "virus-like-particle": 0.938,
}
_COLUMNS = ("kind", "threshold", "tp", "fp", "fn", "precision", "recall", "f4", "weight")


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
        figures = (precision, recall, metrics.f_beta_score(counts))
        lines.append(
            (
                kind,
                threshold,
                int(counts.tp),
                int(counts.fp),
                int(counts.fn),
                *figures,
                curves.weight,
            )
        )
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
    """Set the F4 of each scored kind beside a published solution's, named as context."""
    pooled = {k: c for k, c in metrics.pool_rows(rows).items() if c.weight > 0}
    own = [metrics.f_beta_score(c.at(metrics.threshold_of(point, k))) for k, c in pooled.items()]
    other = [PUBLISHED.get(kind, float("nan")) for kind in pooled]
    return BarView(
        Text("cryoet.bars_title"),
        categories=tuple(verbatim(k) for k in pooled),
        series=(
            (Text("cryoet.series_own"), np.array(own)),
            (Text("cryoet.series_published"), np.array(other)),
        ),
        y_label=Text("cryoet.axis_f4"),
        y_range=(0.0, 1.0),
        source=Text("cryoet.published_source"),
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
