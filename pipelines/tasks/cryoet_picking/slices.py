"""Three planes through a tomogram with the picks that they cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Sample
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.display import PLANES, Bytes, cut_axis, cut_slice, display_bytes
from pipelines.tasks.cryoet_picking.metrics import hit_flags
from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.picks import Floats, Picks
from pipelines.text import Text
from pipelines.views import ImageView, Layer, Pane, PixelLayer, PointLayer, PointStyle, View

_STYLES: dict[str, PointStyle] = {"false_positive": "dashed", "missed": "cross"}
_WINDOW = (16.0, 240.0)
_NUM_COLOURS = 8


@dataclass(frozen=True)
class Marks:
    """Hold picks with what they mean: their kind, or right, false and missed.

    Attributes:
        positions: `(N, 3)` z y x, angstrom.
        radii: `(N,)` angstrom.
        meanings: `N` keys of the palette.
        kinds: `N` names.
        scores: `(N,)`.
    """

    positions: Floats
    radii: Floats
    meanings: tuple[str, ...]
    kinds: tuple[str, ...]
    scores: Floats

    def __len__(self) -> int:
        return len(self.meanings)

    @staticmethod
    def none() -> Marks:
        """Make an empty list."""
        return Marks(np.zeros((0, 3)), np.zeros(0), (), (), np.zeros(0))

    @staticmethod
    def of_kinds(picks: Picks, particles: Sequence[Particle]) -> Marks:
        """Colour picks by kind; the n-th kind has the palette's n-th colour."""
        kinds = picks.kind_names().tolist()
        order = {p.name: k for k, p in enumerate(particles)}
        meanings = tuple(f"kind_{order.get(kind, 0) % _NUM_COLOURS + 1}" for kind in kinds)
        radii = _radii(kinds, particles)
        return Marks(picks.positions, radii, meanings, tuple(kinds), picks.scores)

    @staticmethod
    def compare(picks: Picks, truth: Picks | None, particles: Sequence[Particle]) -> Marks:
        """Colour picks as right or false, and true picks that nothing found as missed."""
        if truth is None:
            return Marks.of_kinds(picks, particles)
        is_hit, is_found = hit_flags(picks, truth, particles)
        missed = truth.take(~is_found)
        kinds = [*picks.kind_names().tolist(), *missed.kind_names().tolist()]
        right = ("true_positive" if hit else "false_positive" for hit in is_hit)
        return Marks(
            np.concatenate([picks.positions, missed.positions]),
            _radii(kinds, particles),
            (*right, *["missed"] * len(missed)),
            tuple(kinds),
            np.concatenate([picks.scores, np.zeros(len(missed))]),
        )


@dataclass(frozen=True)
class Cut:
    """Say where three planes cut.

    Attributes:
        at: Voxel indices z, y, x.
        thickness: Slices averaged.
    """

    at: tuple[int, int, int]
    thickness: int = 1


def slice_views(sample: Sample, cut: Cut, marks: Marks) -> list[View]:
    """Show the xy plane, and below it xz and yz (rows are z in both), with crosshair and picks."""
    geometry: Geometry = sample.meta["geometry"]
    volume = display_bytes(sample)
    panes = {plane: plane_pane(volume, plane, cut, marks, geometry) for plane in PLANES}
    title = Text("cryoet.slices_title", item=sample.item_id)
    groups = (
        [("xy",), ("xz", "yz")] if volume.shape[1] == volume.shape[2] else [(p,) for p in PLANES]
    )
    return [
        ImageView(
            title,
            panes=tuple(panes[p] for p in group),
            pixel_size=geometry.spacing_angstrom or None,
            unit="angstrom",
        )
        for group in groups
    ]


def plane_pane(volume: Bytes, plane: str, cut: Cut, marks: Marks, geometry: Geometry) -> Pane:
    """Cut one plane and the circles in which it meets the picks."""
    axis = cut_axis(plane)
    index = cut.at[axis]
    pixels = cut_slice(volume, plane, index, thickness=cut.thickness)
    layers: list[Layer] = [PixelLayer(pixels, window=_WINDOW)]
    rows, radii = circles_in_plane(marks, axis, index, geometry)
    if len(rows):
        vox = geometry.to_vox(marks.positions[rows])
        others = [a for a in range(3) if a != axis]
        meanings = tuple(marks.meanings[r] for r in rows)
        styles = tuple(_STYLES.get(m, "circle") for m in meanings)
        points = vox[:, others]
        layers.append(PointLayer(points, radii, meanings, styles, Text("cryoet.layer_picks")))
    angstrom = (index - geometry.offset_vox) * geometry.spacing_angstrom
    title = Text(f"cryoet.plane_{plane}", index=index, angstrom=angstrom)
    return Pane(title, tuple(layers))


@dataclass(frozen=True)
class Plane:
    """Hold one plane for an interactive viewer.

    Attributes:
        pixels: `(H, W)` uint8.
        rows: `(M,)` which marks the plane cuts.
        points: `(M, 2)` rows and columns in pixels.
        radii: `(M,)` pixels.
        title: Plane with its place in voxels and angstrom.
    """

    pixels: Bytes
    rows: NDArray[np.int64]
    points: Floats
    radii: Floats
    title: Text


def cut_planes(sample: Sample, cut: Cut, marks: Marks) -> dict[str, Plane]:
    """Cut the three planes at a voxel with the marks that each meets."""
    geometry: Geometry = sample.meta["geometry"]
    volume = display_bytes(sample)
    vox = geometry.to_vox(marks.positions) if len(marks) else np.zeros((0, 3))
    planes = {}
    for plane in PLANES:
        axis = cut_axis(plane)
        rows, radii = circles_in_plane(marks, axis, cut.at[axis], geometry)
        others = [a for a in range(3) if a != axis]
        angstrom = (cut.at[axis] - geometry.offset_vox) * geometry.spacing_angstrom
        planes[plane] = Plane(
            cut_slice(volume, plane, cut.at[axis], thickness=cut.thickness),
            rows,
            vox[rows][:, others],
            radii,
            Text(f"cryoet.plane_{plane}", index=cut.at[axis], angstrom=angstrom),
        )
    return planes


def circles_in_plane(
    marks: Marks, axis: int, index: int, geometry: Geometry
) -> tuple[NDArray[np.int64], Floats]:
    """Return which picks a plane cuts, and the radius in voxels of each circle."""
    if not len(marks) or geometry.spacing_angstrom <= 0:
        return np.zeros(0, np.int64), np.zeros(0)
    depth = geometry.to_vox(marks.positions)[:, axis] - index
    radii = marks.radii / geometry.spacing_angstrom
    rows = np.flatnonzero(np.abs(depth) < radii)
    return rows, np.sqrt(radii[rows] ** 2 - depth[rows] ** 2)


def _radii(kinds: Sequence[Any], particles: Sequence[Particle]) -> Floats:
    radius = {p.name: p.radius_angstrom for p in particles}
    return np.array([radius.get(kind, 50.0) for kind in kinds], np.float64)
