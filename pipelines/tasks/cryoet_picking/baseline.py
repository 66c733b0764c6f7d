"""The simple baselines: correlation with the mean particle of each kind, and blobs by size.

Templates: the mean over all true picks of a kind is a template; since particles lie in any
orientation, it is close to the average over rotations (a blob with rings). The template's
correlation with the binned tomogram, divided by the local spread, is a score in [-1, 1]; what is
positive is stretched to [0, 1]. Nothing is learned but the means.

Blobs: a difference of two Gaussians answers most to a ball of one size (scale-normalised, Lindeberg
1998: a ball of radius r answers most to a standard deviation of r / sqrt(3)). Learned is a number a
kind: how strong, and of which sign, the answer is at true picks. Kinds of like size look alike.

Thresholds are swept as for a network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.patches import TrainingTomogram

STRIDE = 2
BASELINES = ("templates", "blobs")
_WIDER = 1.6  # the second Gaussian; the difference is then close to the Laplacian of a Gaussian
_TOP_ANSWER = 0.5  # score of a blob that answers as the mean true pick does
# A correlation of 0.5 or more is rare in such noise: stretched, so that thresholds resolve it.
_STRETCH = 2.0
_REACH_SHARE = 1.3  # templates hold 1.3 radii: the bright ring of the transfer helps


def learn_templates(
    tomograms: Sequence[TrainingTomogram], particles: Sequence[Particle]
) -> NDArray[np.float32]:
    """Average the binned surroundings of the true picks of each kind.

    Returns:
        `(K, S, S, S)` float32 of zero mean and unit length inside each kind's sphere and 0
        outside; all 0 for a kind without picks.
    """
    spacing = tomograms[0].spacing_angstrom * STRIDE
    reach = int(np.ceil(max(p.radius_angstrom for p in particles) * _REACH_SHARE / spacing))
    sums = np.zeros((len(particles), *(2 * reach + 1,) * 3), np.float64)
    for tomogram in tomograms:
        binned = bin_volume(tomogram.volume)
        places = np.rint((tomogram.points_vox + 0.5) / STRIDE - 0.5).astype(int)
        for place, kind in zip(places, tomogram.kind_index, strict=True):
            low, high = place - reach, place + reach + 1
            if (low >= 0).all() and (high <= binned.shape).all():
                sums[kind] += binned[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    grid = np.indices(sums.shape[1:]) - reach
    distance = np.sqrt((grid**2).sum(0)) * spacing
    for k, particle in enumerate(particles):
        inside = distance <= particle.radius_angstrom * _REACH_SHARE
        sums[k] = np.where(inside, sums[k] - sums[k][inside].mean(), 0.0)
        length = np.linalg.norm(sums[k])
        sums[k] = sums[k] / length if length > 0 else 0.0
    return sums.astype(np.float32)


def match_templates(
    volume: NDArray[np.float16], templates: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Correlate a tomogram with every template.

    Args:
        volume: `(Z, Y, X)` float16 of unit spread.
        templates: `(K, S, S, S)` from `learn_templates`.

    Returns:
        `(K, Z / 2, Y / 2, X / 2)` float32 in [0, 1].
    """
    from scipy.ndimage import uniform_filter  # type: ignore[import-untyped]
    from scipy.signal import fftconvolve  # type: ignore[import-untyped]

    binned = bin_volume(volume)
    scores = np.zeros((len(templates), *binned.shape), np.float32)
    for k, template in enumerate(templates):
        inside = template != 0
        count = int(inside.sum())
        if not count:
            continue
        side = max(3, round(count ** (1 / 3)))
        mean = uniform_filter(binned, side, mode="nearest")
        spread = uniform_filter(binned * binned, side, mode="nearest") - mean * mean
        flipped = template[::-1, ::-1, ::-1]
        raw = fftconvolve(binned, flipped, mode="same")
        scores[k] = raw / np.sqrt(np.maximum(spread, 1e-3) * count)
    np.clip(scores * np.float32(_STRETCH), 0.0, 1.0, out=scores)
    return scores


def learn_blobs(
    tomograms: Sequence[TrainingTomogram], particles: Sequence[Particle]
) -> NDArray[np.float32]:
    """Measure the mean answer of blobs of each kind's size at its true picks.

    Returns:
        `(K,)` float32, negative where particles are dark; 0 for a kind without picks.
    """
    sums, counts = np.zeros(len(particles)), np.zeros(len(particles))
    for tomogram in tomograms:
        binned = bin_volume(tomogram.volume)
        places = np.rint((tomogram.points_vox + 0.5) / STRIDE - 0.5).astype(int)
        places = np.clip(places, 0, np.array(binned.shape) - 1)
        for k, particle in enumerate(particles):
            own = places[tomogram.kind_index == k]
            if len(own):
                answer = _difference(binned, particle, tomogram.spacing_angstrom * STRIDE)
                sums[k] += answer[tuple(own.T)].sum()
                counts[k] += len(own)
    return np.asarray(sums / np.maximum(counts, 1), np.float32)


def match_blobs(
    volume: NDArray[np.float16],
    answers: NDArray[np.float32],
    particles: Sequence[Particle],
    spacing_angstrom: float,
) -> NDArray[np.float32]:
    """Score blobs of each kind's size.

    Args:
        volume: `(Z, Y, X)` float16 of unit spread.
        answers: `(K,)` from `learn_blobs`.
        particles: The K kinds.
        spacing_angstrom: Side of a voxel of `volume`.

    Returns:
        `(K, Z / 2, Y / 2, X / 2)` float32 in [0, 1].
    """
    binned = bin_volume(volume)
    scores = np.zeros((len(particles), *binned.shape), np.float32)
    for k, particle in enumerate(particles):
        if answers[k]:
            scores[k] = _difference(binned, particle, spacing_angstrom * STRIDE)
            scores[k] *= np.float32(_TOP_ANSWER) / answers[k]
    np.clip(scores, 0.0, 1.0, out=scores)
    return scores


def _difference(
    binned: NDArray[np.float32], particle: Particle, spacing_angstrom: float
) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    sigma = particle.radius_angstrom / spacing_angstrom / np.sqrt(3) / np.sqrt(_WIDER)
    inner = gaussian_filter(binned, sigma, mode="nearest")
    inner -= gaussian_filter(binned, _WIDER * sigma, mode="nearest")
    return np.asarray(inner, np.float32)


def bin_volume(volume: NDArray[np.float16]) -> NDArray[np.float32]:
    """Average cells of 2 x 2 x 2 voxels; an odd last section, row or column is left out."""
    Z, Y, X = (n // STRIDE for n in volume.shape)
    whole = volume[: Z * STRIDE, : Y * STRIDE, : X * STRIDE]
    binned = np.zeros((Z, Y, X), np.float32)
    for z in range(STRIDE):
        for y in range(STRIDE):
            for x in range(STRIDE):
                binned += whole[z::STRIDE, y::STRIDE, x::STRIDE]
    binned /= STRIDE**3
    return binned
