"""Particle densities built by code, as clouds of Gaussian beads, or taken from a user's map.

A bead stands for about 15 angstrom of protein. Beads turn with the particle exactly, so that no
map has to be interpolated, and a bead's Gaussian is a product over z, y, x, so that a particle is
drawn with one matrix product. Shapes follow what is known of the molecules (size, symmetry,
hollow or full); they are recognisable stand-ins, not structures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.picks import Floats
from pipelines.text import Text

_BEAD_STEP_ANGSTROM = 14.0
BEAD_SIGMA_ANGSTROM = 8.0
# A lattice of such beads has mean density 1 inside a protein.
_BEAD_WEIGHT = _BEAD_STEP_ANGSTROM**3 / ((2 * np.pi) ** 1.5 * BEAD_SIGMA_ANGSTROM**3)
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True)
class Density:
    """Hold a particle as Gaussian beads around its centre of mass.

    Attributes:
        beads: `(N, 3)` float64, z y x, angstrom.
        weights: `(N,)` float64, peak of each Gaussian; 1 is protein.
    """

    beads: Floats
    weights: Floats

    @property
    def reach_angstrom(self) -> float:
        """Radius of a sphere that holds every bead with its flank."""
        return float(np.linalg.norm(self.beads, axis=1).max()) + 2 * BEAD_SIGMA_ANGSTROM


def density_of(name: str) -> Density:
    """Build the density of a kind; a kind without a shape of its own is a full sphere.

    Example:
        >>> density_of("apo-ferritin").beads.shape[1]
        3
    """
    build: Callable[[], Floats] = _SHAPES.get(name, _sphere)
    beads = build()
    return _centred(beads, np.full(len(beads), _DENSER.get(name, 1.0)))


def density_from_map(path: Path, *, threshold: float | None = None) -> Density:
    """Turn a user's MRC map into beads: one for each cell of 16 angstrom above the threshold.

    Args:
        path: Map with its voxel size in the header; bright is protein.
        threshold: Lowest value kept; None takes half of the 99.5th percentile.

    Raises:
        DataFormatError: No voxel size, or nothing above the threshold.
    """
    from pipelines.tasks.cryoet_picking.volumes import open_volume

    volume = open_volume(path)
    if volume.spacing_angstrom <= 0:
        raise DataFormatError(Text("cryoet.map_spacing", file=path.name))
    values = np.asarray(volume[...], np.float64)
    limit = threshold if threshold is not None else 0.5 * float(np.percentile(values, 99.5))
    places = np.argwhere(values > limit)
    if not len(places):
        raise DataFormatError(Text("cryoet.map_empty", file=path.name, threshold=limit))
    cells = np.floor(places * volume.spacing_angstrom / 16.0).astype(np.int64)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    mass = np.bincount(cell.ravel())
    beads = np.stack(
        [
            np.bincount(cell.ravel(), places[:, a]) / mass * volume.spacing_angstrom
            for a in range(3)
        ],
        axis=1,
    )
    full = (16.0 / volume.spacing_angstrom) ** 3
    return _centred(beads, mass / full * (16.0 / _BEAD_STEP_ANGSTROM) ** 3)


def random_density(rng: np.random.Generator) -> Density:
    """Draw a protein of one to five globular domains, each 35 to 75 angstrom across."""
    domains = int(rng.integers(1, 6))
    centres = np.cumsum(rng.normal(0, 22, (domains, 3)), 0)
    sizes = rng.uniform(17, 38, (domains, 3))
    centres -= centres.mean(0)
    reach = float(np.abs(centres).max() + sizes.max())
    parts = list(zip(centres, sizes, strict=True))
    return _centred(_union(parts, reach, int(rng.integers(2**31))))


def resized(density: Density, *, size: float, strength: float) -> Density:
    """Return a density whose lengths and contrast are multiplied by a factor each."""
    return Density(density.beads * size, density.weights * strength)


def random_rotation(rng: np.random.Generator) -> Floats:
    """Draw a `(3, 3)` rotation, uniform over all orientations (from a random unit quaternion)."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def add_density(
    volume: NDArray[np.float32],
    density: Density,
    *,
    centre_angstrom: Floats,
    rotation: Floats,
    spacing_angstrom: float,
) -> None:
    """Add a turned particle to a volume in place; what lies outside is left out.

    Args:
        volume: `(Z, Y, X)` float32.
        density: The particle.
        centre_angstrom: `(3,)` z y x.
        rotation: `(3, 3)`.
        spacing_angstrom: Side of a voxel.
    """
    centre = centre_angstrom / spacing_angstrom
    reach = density.reach_angstrom / spacing_angstrom + 2
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, volume.shape).astype(int)
    if (high <= low).any():
        return
    beads = density.beads @ rotation.T / spacing_angstrom + centre
    # A bead narrower than a voxel would depend on where it falls: widened by the voxel's own size.
    sigma = np.hypot(BEAD_SIGMA_ANGSTROM / spacing_angstrom, 0.3)
    z, y, x = (
        np.exp(-0.5 * ((np.arange(low[a], high[a])[None] - beads[:, a, None]) / sigma) ** 2)
        for a in range(3)
    )
    plane = (density.weights[:, None, None] * z[:, :, None] * y[:, None, :]).reshape(len(z), -1)
    box = (plane.T @ x).reshape(z.shape[1], y.shape[1], x.shape[1])
    volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]] += box.astype(np.float32)


def _centred(beads: Floats, weights: Floats | None = None) -> Density:
    mass = np.full(len(beads), 1.0) if weights is None else weights
    centre = (beads * mass[:, None]).sum(0) / mass.sum()
    return Density(beads - centre, mass * _BEAD_WEIGHT)


def _lattice(half_axes: tuple[float, float, float], seed: int = 0) -> Floats:
    """Fill an ellipsoid with a slightly irregular lattice of beads."""
    return _union([(np.zeros(3), half_axes)], max(half_axes), seed)


def _union(parts: Sequence[tuple[Floats, Sequence[float]]], reach: float, seed: int) -> Floats:
    """Fill ellipsoids, each a centre and half axes, that may overlap; see `_filled`."""

    def is_inside(points: Floats) -> NDArray[np.bool_]:
        return np.logical_or.reduce([_is_in_ellipsoid(points - c, axes) for c, axes in parts])

    return _filled(is_inside, reach, seed)


def _filled(is_inside: Callable[[Floats], NDArray[np.bool_]], reach: float, seed: int) -> Floats:
    """Fill a shape within `reach` of the centre with a slightly irregular lattice of beads."""
    steps = np.arange(-reach, reach + 1, _BEAD_STEP_ANGSTROM)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    points = points[is_inside(points)]
    return points + np.random.default_rng(seed).normal(0, 2.0, points.shape)


def _is_in_ellipsoid(points: Floats, half_axes: Sequence[float]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ((points / np.array(half_axes)) ** 2).sum(1) <= 1.0
    return inside


def _shell(radius: float, count: int) -> Floats:
    """Spread beads evenly over a sphere (Fibonacci lattice)."""
    z = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = _GOLDEN_ANGLE * np.arange(count)
    ring = np.sqrt(1 - z**2)
    return radius * np.stack([z, ring * np.sin(angle), ring * np.cos(angle)], 1)


def _ferritin() -> Floats:
    """Hollow shell of 24 subunits, about 125 angstrom across, 65 inside."""
    return np.concatenate([_shell(54, 130), _shell(40, 75)])


def _amylase() -> Floats:
    """Four compact subunits around a square, about 105 angstrom across and 55 high."""
    corners = np.array([[0, 19, 19], [0, -19, 19], [0, 19, -19], [0, -19, -19]])
    return _union([(corner, (27, 25, 25)) for corner in corners], 70, 1)


def _galactosidase() -> Floats:
    """Tetramer with three two-fold axes, about 105 x 145 x 120 angstrom.

    Two long dimers lie across each other, at 50 degrees to the long axis, on a full middle.
    """
    cos, sin = np.cos(np.deg2rad(50)), np.sin(np.deg2rad(50))

    def is_inside(points: Floats) -> NDArray[np.bool_]:
        z, y, x = points.T
        side = np.sign(z)
        along, across = cos * y + side * sin * x, -side * sin * y + cos * x
        is_dimer = (along / 76) ** 2 + (across / 29) ** 2 + ((np.abs(z) - 24) / 25) ** 2 <= 1
        is_middle = _is_in_ellipsoid(points, (20, 70, 52))
        return is_dimer | is_middle

    return _filled(is_inside, 90, 2)


def _ribosome() -> Floats:
    """Large and small subunit with a cleft between them, and two stalks, 255 angstrom long."""
    large = _lattice((92, 100, 78), 3) + np.array([0, 0, -48])
    small = _lattice((58, 92, 44), 4) + np.array([0, 12, 80])
    stalks = np.array([[0, 100 + 16 * i, -60] for i in range(3)])
    beak = np.array([[55 + 14 * i, 55, 84] for i in range(3)])
    return np.concatenate([large, small, stalks, beak])


def _thyroglobulin() -> Floats:
    """Two elongated halves meeting in the middle, bent like an S, about 230 x 120 x 95 angstrom."""
    turn = np.array([1, -1, -1])  # two-fold axis along z
    halves = [np.array([0, 14, 40]), np.array([0, 14, 40]) * turn]
    arms = [np.array([-12, -16, 84]), np.array([-12, -16, 84]) * turn]
    parts = [(half, (42, 44, 60)) for half in halves] + [(arm, (22, 22, 32)) for arm in arms]
    return _union(parts, 130, 5)


def _virus_like_particle() -> Floats:
    """Hollow shell of 300 angstrom with spikes at the twelve five-fold axes."""
    golden = (1 + np.sqrt(5)) / 2
    signs = [(s, t) for s in (-1, 1) for t in (-1, 1)]
    base = [(0.0, s, t * golden) for s, t in signs]
    vertices = np.array([np.roll(v, k) for v in base for k in range(3)])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    spikes = [vertices * r for r in (155, 165)]
    return np.concatenate([_shell(143, 1150), _shell(130, 950), _shell(117, 800), *spikes])


def _sphere() -> Floats:
    return _lattice((50, 50, 50), 8)


# Half of a ribosome is RNA, which scatters about twice as much over ice as protein.
_DENSER = {"ribosome": 1.5}
_SHAPES: dict[str, Callable[[], Floats]] = {
    "apo-ferritin": _ferritin,
    "beta-amylase": _amylase,
    "beta-galactosidase": _galactosidase,
    "ribosome": _ribosome,
    "thyroglobulin": _thyroglobulin,
    "virus-like-particle": _virus_like_particle,
}
