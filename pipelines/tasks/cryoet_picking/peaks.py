"""Turn score volumes into picks: local maxima apart by each kind's radius, or components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.picks import Floats

Scores = NDArray[np.float32]
_MIDDLE_SHARE = 0.9  # of the radius: what of the score belongs to one particle
_POINTS_AT_ONCE = 256  # boxes of 15 x 15 x 15 voxels: about 50 MB


@dataclass(frozen=True)
class Maxima:
    """Say how maxima become picks.

    Attributes:
        min_score: Lowest score kept, in [0, 1].
        smoothing_share: Gaussian blur before the search, as a share of the drawn sphere's radius.
        exclusion_share: No two picks of a kind are closer than this share of its radius.
        max_picks: Most picks of a kind that are kept.
    """

    min_score: float = 0.02
    smoothing_share: float = 0.25
    exclusion_share: float = 1.1
    max_picks: int = 20_000


def find_maxima(
    scores: Scores, particle: Particle, options: Maxima, *, spacing_angstrom: float, share: float
) -> tuple[Floats, Floats]:
    """Find one kind's picks as local maxima of its score, moved to the middle of the score around.

    A drawn sphere is a plateau, on which the maximum may stand anywhere: for the largest kinds as
    far from the centre as the hit radius. The mean position weighted by score is the centre. Two
    maxima that move together are one pick.

    Non-maximum suppression is greedy from the surest on, so that the picks above a higher
    threshold are just those of a lower one that score enough: thresholds can be swept later.

    Args:
        scores: `(Z, Y, X)` float32 in [0, 1].
        particle: Kind that they are of.
        options: Search.
        spacing_angstrom: Side of a voxel of `scores`.
        share: Share of the radius that the training drew as a sphere.

    Returns:
        `(N, 3)` float64 centres z y x in voxels of `scores`, and `(N,)` float64 scores in [0, 1],
        the surest first.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter  # type: ignore[import-untyped]

    radius_vox = particle.radius_angstrom / spacing_angstrom
    sigma = options.smoothing_share * share * radius_vox
    smooth = gaussian_filter(scores, sigma, mode="nearest") if sigma > 0.2 else scores
    reach = max(1, int(options.exclusion_share * radius_vox / 2))
    is_top = (smooth >= options.min_score) & (smooth == maximum_filter(smooth, 2 * reach + 1))
    places = np.argwhere(is_top)
    order = np.argsort(-smooth[is_top], kind="stable")[: options.max_picks]
    places = places[order]
    apart = radius_vox * options.exclusion_share
    places = places[suppress_near(places.astype(np.float64), apart)]
    values = smooth[tuple(places.T)].astype(np.float64)
    centres = move_to_middle(scores, places.astype(np.float64), _MIDDLE_SHARE * radius_vox)
    kept = suppress_near(centres, apart)
    return centres[kept], np.clip(values[kept], 0.0, 1.0)


def suppress_near(points: Floats, distance: float) -> NDArray[np.int64]:
    """Keep points that are at least `distance` from every point kept before them.

    Args:
        points: `(N, 3)`, the surest first.
        distance: In the unit of the points.

    Returns:
        `(M,)` indices of the points kept, ascending.
    """
    from scipy.spatial import KDTree  # type: ignore[import-untyped]

    if len(points) < 2:
        return np.arange(len(points))
    pairs = KDTree(points).query_pairs(distance * (1 - 1e-9), output_type="ndarray")
    is_kept = np.ones(len(points), bool)
    pairs = np.sort(pairs, axis=1)
    for first, second in pairs[np.argsort(pairs[:, 0], kind="stable")]:
        if is_kept[first]:
            is_kept[second] = False
    return np.flatnonzero(is_kept)


def find_components(
    scores: Scores,
    particle: Particle,
    *,
    threshold: float,
    min_share: float,
    spacing_angstrom: float,
    share: float,
) -> tuple[Floats, Floats]:
    """Find one kind's picks as connected parts above a threshold that are large enough.

    Args:
        scores: `(Z, Y, X)` float32 in [0, 1].
        particle: Kind that they are of.
        threshold: A voxel belongs to a part from this score on.
        min_share: Least volume, as a share of the drawn sphere's.
        spacing_angstrom: Side of a voxel of `scores`.
        share: Share of the radius that the training drew as a sphere.

    Returns:
        As `find_maxima`; a part's centre is its mean position weighted by score, its score the mean
        of its voxels.
    """
    from scipy import ndimage  # type: ignore[import-untyped]

    labels, count = ndimage.label(scores >= threshold)
    if not count:
        return np.zeros((0, 3)), np.zeros(0)
    index = np.arange(1, count + 1)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    radius_vox = share * particle.radius_angstrom / spacing_angstrom
    big = sizes >= min_share * 4 / 3 * np.pi * radius_vox**3
    centres = np.array(ndimage.center_of_mass(scores, labels, index[big])).reshape(-1, 3)
    values = np.asarray(ndimage.mean(scores, labels, index[big])).reshape(-1)
    order = np.argsort(-values, kind="stable")
    return centres[order].astype(np.float64), np.clip(values[order].astype(np.float64), 0, 1)


def move_to_middle(scores: Scores, places: Floats, reach: float, *, rounds: int = 3) -> Floats:
    """Move points to the mean position, weighted by score, of the voxels around, a few times.

    Args:
        scores: `(Z, Y, X)` float32, not negative.
        places: `(N, 3)` float64, z y x.
        reach: Radius of what counts as around, in voxels; at least the next voxels do.
        rounds: How often; the surroundings move along.

    Returns:
        `(N, 3)` float64; a point with no score around stays.
    """
    side = int(np.ceil(max(reach, 1.0)))
    steps = np.indices((2 * side + 1,) * 3).reshape(3, -1).T - side
    limits = np.array(scores.shape) - 1
    moved = places.copy()
    for start in range(0, len(places), _POINTS_AT_ONCE):
        part = moved[start : start + _POINTS_AT_ONCE]
        for _ in range(rounds):
            voxels = np.rint(part).astype(np.int64)[:, None, :] + steps[None]
            is_near = ((voxels - part[:, None, :]) ** 2).sum(2) <= max(reach, 1.0) ** 2
            is_near &= ((voxels >= 0) & (voxels <= limits)).all(2)
            inside = np.clip(voxels, 0, limits)
            weights = scores[tuple(inside.transpose(2, 0, 1))] * is_near
            mass = weights.sum(1, dtype=np.float64)
            middle = (weights[:, :, None] * voxels).sum(1) / np.maximum(mass, 1e-12)[:, None]
            part[:] = np.where(mass[:, None] > 1e-9, middle, part)
    return moved
