"""Draw what the network is to answer: spheres or Gaussian heat maps around true picks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.picks import Floats, Integers


def draw_spheres(
    shape: Sequence[int], points_vox: Floats, kind_index: Integers, radii_vox: Floats
) -> NDArray[np.int64]:
    """Draw spheres; where two meet, the nearer centre relative to its radius wins.

    Args:
        shape: Z, Y, X of the result.
        points_vox: `(N, 3)` float z y x in voxels of the result, inside or outside.
        kind_index: `(N,)` int, 0 for the first kind.
        radii_vox: `(K,)` float.

    Returns:
        `(Z, Y, X)` int64: 0 is background, `k + 1` is kind k.
    """
    labels = np.zeros(tuple(shape), np.int64)
    nearest = np.full(labels.shape, 1.0, np.float32)
    for point, kind in zip(points_vox, kind_index, strict=True):
        radius = max(float(radii_vox[kind]), 0.9)  # never less than one voxel
        box, squared = _box(shape, point, radius)
        if box is None:
            continue
        share = (squared / radius**2).astype(np.float32)
        wins = share < nearest[box]
        labels[box][wins] = kind + 1
        nearest[box][wins] = share[wins]
    return labels


def draw_heat(
    shape: Sequence[int], points_vox: Floats, kind_index: Integers, radii_vox: Floats
) -> NDArray[np.float32]:
    """Draw Gaussians of standard deviation `radius / 2` and peak 1, a channel a kind.

    Args:
        shape: Z, Y, X of the result.
        points_vox: `(N, 3)` float z y x in voxels of the result.
        kind_index: `(N,)` int.
        radii_vox: `(K,)` float.

    Returns:
        `(K, Z, Y, X)` float32 in [0, 1]; overlapping Gaussians take the higher value.
    """
    heat = np.zeros((len(radii_vox), *shape), np.float32)
    for point, kind in zip(points_vox, kind_index, strict=True):
        sigma = max(float(radii_vox[kind]) / 2, 0.7)
        box, squared = _box(shape, point, 3 * sigma)
        if box is None:
            continue
        values = np.exp(-0.5 * squared / sigma**2)
        np.maximum(heat[(kind, *box)], values, out=heat[(kind, *box)])
    return heat


def radii_in_vox(particles: Sequence[Particle], *, share: float, spacing_angstrom: float) -> Floats:
    """Return `(K,)` the drawn radius of each kind in voxels of the given spacing."""
    return np.array([share * p.radius_angstrom / spacing_angstrom for p in particles])


def _box(
    shape: Sequence[int], point: Floats, reach: float
) -> tuple[tuple[slice, ...] | None, NDArray[np.float32]]:
    """Cut the box around a point out of a grid; squared distances from the point in it."""
    low = np.maximum(np.ceil(point - reach), 0).astype(int)
    high = np.minimum(np.floor(point + reach) + 1, shape).astype(int)
    if (high <= low).any():
        return None, np.zeros((0, 0, 0), np.float32)
    z, y, x = (
        (np.arange(a, b, dtype=np.float32) - np.float32(c)) ** 2
        for a, b, c in zip(low, high, point, strict=True)
    )
    squared = z[:, None, None] + y[None, :, None] + x[None, None, :]
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), squared
