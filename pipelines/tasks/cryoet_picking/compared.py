"""One section of a tomogram with a model's picks, to stand beside other models' ones."""

from __future__ import annotations

import numpy as np

from pipelines.contract import OperatingPoint, Prediction, Sample
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.display import section_of
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.predictions import candidates_of, particles_in, picks_at
from pipelines.tasks.cryoet_picking.slices import Marks
from pipelines.text import Text
from pipelines.views import Pane, PixelLayer, PointLayer, PointStyle

_THICKNESS = 5
_WINDOW = (16.0, 240.0)
_STYLES: dict[str, PointStyle] = {"false_positive": "dashed", "missed": "cross"}


def section_to_show(sample: Sample) -> tuple[int, int] | None:
    """Return the index along z with most true picks, and the number of sections."""
    if not sample.meta.get("has_volume", True):
        return None
    geometry: Geometry = sample.meta["geometry"]
    truth = sample.truth.picks if sample.truth is not None else None
    return busiest_section(truth, geometry), geometry.shape[0]


def section_pane(
    sample: Sample,
    prediction: Prediction,
    point: OperatingPoint,
    name: Text,
    section: int | None = None,
) -> Pane | None:
    """Show a slab, by default that with most true picks (the middle one without), and its cuts.

    Returns:
        None where only picks are at hand, without the tomogram.
    """
    if not sample.meta.get("has_volume", True):
        return None
    geometry: Geometry = sample.meta["geometry"]
    truth = sample.truth.picks if sample.truth is not None else None
    particles = sample.truth.particles if sample.truth is not None else particles_in(prediction)
    index = busiest_section(truth, geometry) if section is None else section
    picks = picks_at(candidates_of(prediction), point.thresholds)
    layers = (
        PixelLayer(section_of(sample, _THICKNESS)(0, index), window=_WINDOW),
        points_of(Marks.compare(picks, truth, particles), geometry, index),
    )
    return Pane(name, layers, geometry.spacing_angstrom or None, "angstrom")


def busiest_section(truth: Picks | None, geometry: Geometry) -> int:
    """Return the index along z of the slab with most picks, the middle one without any."""
    middle = geometry.shape[0] // 2
    if truth is None or not len(truth):
        return middle
    depths = np.rint(geometry.to_vox(truth.positions)[:, 0]).astype(np.intp)
    counts = np.bincount(np.clip(depths, 0, geometry.shape[0] - 1), minlength=geometry.shape[0])
    return int(np.argmax(np.convolve(counts, np.ones(2 * _THICKNESS + 1), "same")))


def points_of(marks: Marks, geometry: Geometry, index: int) -> PointLayer:
    """Keep the marks whose sphere meets the section, as circles of that cut."""
    centres = geometry.to_vox(marks.positions)
    radii = marks.radii / geometry.spacing_angstrom
    cut = np.sqrt(np.maximum(radii**2 - (centres[:, 0] - index) ** 2, 0))
    near = np.flatnonzero(cut > 0)
    return PointLayer(
        centres[near, 1:],
        np.round(cut[near]),  # the canvas draws points of one radius together
        tuple(marks.meanings[i] for i in near),
        tuple(_STYLES.get(marks.verdicts[i], "circle") for i in near),
        Text("cryoet.layer_picks"),
    )
