"""Picks as clouds: where they stand in the box, how dense, how far apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.contract import Sample
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.report import nearest_distances
from pipelines.tasks.cryoet_picking.slices import Marks, place_of
from pipelines.text import Text, verbatim
from pipelines.views import CloudView, HistogramView


def box_angstrom(sample: Sample) -> tuple[float, float, float]:
    """Return the size of the tomogram, or of the box of its picks where it is not at hand."""
    geometry: Geometry = sample.meta["geometry"]
    if geometry.spacing_angstrom > 0 and min(geometry.shape) > 0:
        z, y, x = (n * geometry.spacing_angstrom for n in geometry.shape)
        return z, y, x
    if sample.truth is None or not len(sample.truth.picks):
        return (1.0, 1.0, 1.0)
    z, y, x = (float(v) for v in sample.truth.picks.positions.max(0) * 1.02)
    return z, y, x


def cloud_view(sample: Sample, marks: Marks, title: Text) -> CloudView:
    """Show picks in the tomogram's box; the label of a point names what it is."""
    geometry: Geometry = sample.meta["geometry"]
    whats = list(zip(marks.kinds, marks.verdicts, strict=True))
    said = {(k, v): Text(f"cryoet.verdict.{v}", kind=k) for k, v in set(whats)}
    is_at_hand = bool(sample.meta["has_volume"]) and geometry.spacing_angstrom > 0
    return CloudView(
        title,
        points=marks.positions,
        sizes=marks.radii,
        meanings=marks.meanings,
        labels=tuple(said[what] for what in whats),
        box=box_angstrom(sample),
        place=place_of(sample) if is_at_hand else "",
        places_vox=geometry.to_vox(marks.positions) if is_at_hand else None,
        small=np.array([verdict == "truth" for verdict in marks.verdicts], bool),
        scores=marks.scores,
        legend=_legend(marks),
        source=Text("cryoet.source_item", item=sample.item_id),
    )


def _legend(marks: Marks) -> tuple[tuple[str, Text], ...]:
    """Name each colour: the kind, or what became of a pick where colours tell that."""
    named = dict(
        sorted(zip(marks.meanings, zip(marks.kinds, marks.verdicts, strict=True), strict=True))
    )
    return tuple(
        (m, verbatim(kind) if m.startswith("kind_") else Text(f"cryoet.verdict_name.{verdict}"))
        for m, (kind, verdict) in named.items()
    )


def density_rows(sample: Sample) -> tuple[tuple[Any, ...], ...]:
    """List for each kind: count, picks a cubic micrometre, median and smallest distance.

    Distances are to the nearest pick of the same kind, in angstrom.
    """
    picks: Picks = sample.truth.picks
    volume = float(np.prod(box_angstrom(sample))) * 1e-12
    rows = []
    for kind, count in picks.counts().items():
        distances = nearest_distances(picks, kind)
        known = distances[np.isfinite(distances)]
        median = float(np.median(known)) if len(known) else float("nan")
        least = float(known.min()) if len(known) else float("nan")
        density = count / volume if volume > 0 else float("nan")
        rows.append((kind, count, *(_rounded(v) for v in (density, median, least))))
    return tuple(rows)


def _rounded(value: float) -> float:
    """Keep three digits: more would claim what nobody measured."""
    return float(f"{value:.3g}")


def distance_histogram(picks: Picks, kind: str) -> HistogramView | None:
    """Draw how far each pick is from the nearest of its kind; None with fewer than two."""
    kinds = picks.kinds if kind == "all" else (kind,)
    found = np.concatenate([nearest_distances(picks, k) for k in kinds])
    found = found[np.isfinite(found)]
    if len(found) < 2:
        return None
    counts, edges = np.histogram(found, bins=min(30, max(5, len(found) // 3)))
    title = Text("cryoet.distance_histogram", n=len(found))
    return HistogramView(title, edges=edges, counts=counts, x_label=Text("cryoet.axis_distance"))
