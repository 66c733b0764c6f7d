"""Cut and augment training patches; every patch is a function of (seed, step, place in batch).

Which augmentations: turning about z, flips, noise and contrast, and no other rotation. The missing
wedge is fixed to the microscope, so a tomogram looks smeared along z whatever the particle's
orientation; turning it out of the xy plane would make images that no microscope takes. A turn about
z moves the wedge's direction within the plane, so that it is limited to small angles by default:
turning in full gave less on unseen tomograms (see docs/experiments_cryoet.md). Flips keep the wedge
(it is symmetric); they mirror molecules, whose handedness is not seen at 20 angstrom.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.picks import Floats, Integers
from pipelines.tasks.cryoet_picking.targets import draw_heat, draw_spheres, radii_in_vox

# Target of a voxel that no loss looks at.
IGNORED = -1
_MOST_MIXED = np.pi / 4
_FAINT_HEAT = 0.05


@dataclass(frozen=True)
class TrainingTomogram:
    """Hold a tomogram ready for cutting.

    Attributes:
        volume: `(Z, Y, X)` float16 of unit spread.
        points_vox: `(N, 3)` float64 true centres, z y x, voxel indices.
        kind_index: `(N,)` int64 into the particles.
        spacing_angstrom: Side of a voxel.
    """

    volume: NDArray[np.float16]
    points_vox: Floats
    kind_index: Integers
    spacing_angstrom: float


@dataclass(frozen=True)
class Patch:
    """Hold one training patch.

    Attributes:
        volume: `(S, S, S)` float32.
        target: `(S / stride,) * 3` int64 labels, or `(K, ...)` float32 heat; `IGNORED` where it
            is not known.
    """

    volume: NDArray[np.float32]
    target: NDArray[Any]


def make_tomogram(
    volume: NDArray[np.float16], geometry: Geometry, positions: Floats, kind_index: Integers
) -> TrainingTomogram:
    """Bring picks in angstrom onto the voxel grid."""
    return TrainingTomogram(
        volume, geometry.to_vox(positions), kind_index, geometry.spacing_angstrom
    )


def cut_patch(
    tomograms: Sequence[TrainingTomogram],
    particles: Sequence[Particle],
    config: Config,
    stride: int,
    rng: np.random.Generator,
) -> Patch:
    """Draw one augmented patch with its target.

    Args:
        tomograms: What may be drawn from.
        particles: Kinds.
        config: Size, balance, augmentation, target.
        stride: Voxels of the patch for one of the target.
        rng: Source of everything random.
    """
    patch = _cut_one(tomograms, particles, config, stride, rng)
    if rng.random() < config.mixing:
        anywhere = dataclasses.replace(config, particle_share=0.0)
        patch = _mix(patch, _cut_one(tomograms, particles, anywhere, stride, rng), rng)
    return Patch(_degrade(patch.volume, config, rng), patch.target)


def _cut_one(
    tomograms: Sequence[TrainingTomogram],
    particles: Sequence[Particle],
    config: Config,
    stride: int,
    rng: np.random.Generator,
) -> Patch:
    tomogram, centre = _draw_centre(tomograms, particles, config, rng)
    motion = _Motion.draw(config, rng)
    volume = motion.cut(tomogram.volume, centre, config.patch_vox)
    points = motion.to_patch(tomogram.points_vox, centre, config.patch_vox)
    # Voxel i of the target covers voxels stride * i ... of the patch: its centre lies between them.
    points = (points + 0.5) / stride - 0.5
    side = config.patch_vox // stride
    radii = radii_in_vox(
        particles,
        share=config.radius_share,
        spacing_angstrom=tomogram.spacing_angstrom * stride,
    )
    draw = draw_spheres if config.target == "spheres" else draw_heat
    target = draw((side,) * 3, points, tomogram.kind_index, radii)
    return Patch(volume, target)


def _mix(patch: Patch, other: Patch, rng: np.random.Generator) -> Patch:
    """Lay the noise of another place over a patch: `cos a * patch + sin a * other`.

    The noise of a tomogram is coloured by the transfer and lacks the wedge, which no drawn noise
    copies as well as the tomogram's own; the sum keeps its spread. Where only the other place has
    particles they are too faint to be learnt and not absent either: the target is `IGNORED`.
    """
    angle = rng.uniform(0, _MOST_MIXED)
    volume = patch.volume * np.float32(np.cos(angle)) + other.volume * np.float32(np.sin(angle))
    if patch.target.ndim == 3:
        is_open = (patch.target == 0) & (other.target > 0)
    else:
        is_open = (patch.target < _FAINT_HEAT) & (other.target >= _FAINT_HEAT)
    return Patch(volume, np.where(is_open, IGNORED, patch.target).astype(patch.target.dtype))


def _draw_centre(
    tomograms: Sequence[TrainingTomogram],
    particles: Sequence[Particle],
    config: Config,
    rng: np.random.Generator,
) -> tuple[TrainingTomogram, Floats]:
    """Draw a kind first, hard kinds more often, then one of its picks; or any place."""
    weights = np.array(
        [
            (config.hard_kind_weight if p.weight > 1 else 1.0)
            * any((t.kind_index == k).any() for t in tomograms)
            for k, p in enumerate(particles)
        ]
    )
    if weights.sum() == 0 or rng.random() >= config.particle_share:
        tomogram = tomograms[int(rng.integers(len(tomograms)))]
        return tomogram, rng.random(3) * tomogram.volume.shape
    kind = int(rng.choice(len(particles), p=weights / weights.sum()))
    counts = np.array([(t.kind_index == kind).sum() for t in tomograms], float)
    tomogram = tomograms[int(rng.choice(len(tomograms), p=counts / counts.sum()))]
    rows = np.flatnonzero(tomogram.kind_index == kind)
    jitter = rng.uniform(-0.35, 0.35, 3) * config.patch_vox
    return tomogram, tomogram.points_vox[int(rng.choice(rows))] + jitter


@dataclass(frozen=True)
class _Motion:
    """Turn about z by an angle, then mirror axes."""

    angle: float  # radians
    flips: tuple[bool, bool, bool]  # z, y, x

    @staticmethod
    def draw(config: Config, rng: np.random.Generator) -> _Motion:
        limit = np.deg2rad(config.rotation_degrees)
        flips = rng.random(3) < 0.5 if config.flips else np.zeros(3, bool)
        angle = float(rng.uniform(-limit, limit))
        return _Motion(angle, (bool(flips[0]), bool(flips[1]), bool(flips[2])))

    def cut(self, volume: NDArray[np.float16], centre: Floats, side: int) -> NDArray[np.float32]:
        """Cut a turned cube; what lies outside the tomogram is 0, its mean."""
        import cv2

        half = (side - 1) / 2
        reach = int(np.ceil(half * (abs(np.cos(self.angle)) + abs(np.sin(self.angle))))) + 2
        start_z = int(np.round(centre[0] - half))
        start = np.floor(centre[1:] - reach).astype(int)
        size = 2 * reach + 2
        box = _padded_box(volume, (start_z, *start), (side, size, size))
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        y0, x0 = centre[1] - start[0], centre[2] - start[1]
        # From patch (x, y) to box (x, y), as OpenCV wants the inverse map.
        to_box = np.array(
            [[cos, -sin, x0 - (cos - sin) * half], [sin, cos, y0 - (sin + cos) * half]]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        turned = np.stack([cv2.warpAffine(s, to_box, (side, side), flags=flags) for s in box])
        axes = tuple(a for a, f in enumerate(self.flips) if f)
        return np.ascontiguousarray(np.flip(turned, axes) if axes else turned)

    def to_patch(self, points: Floats, centre: Floats, side: int) -> Floats:
        """Bring points of the tomogram, `(N, 3)` z y x, into the cut cube."""
        half = (side - 1) / 2
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        z = points[:, 0] - np.round(centre[0] - half)
        dy, dx = points[:, 1] - centre[1], points[:, 2] - centre[2]
        x = cos * dx + sin * dy + half
        y = -sin * dx + cos * dy + half
        moved = np.stack([z, y, x], 1)
        for axis, is_flipped in enumerate(self.flips):
            if is_flipped:
                moved[:, axis] = side - 1 - moved[:, axis]
        return moved


def _padded_box(
    volume: NDArray[np.float16], start: Sequence[int], size: Sequence[int]
) -> NDArray[np.float32]:
    box = np.zeros(tuple(size), np.float32)
    source, target = [], []
    for first, length, limit in zip(start, size, volume.shape, strict=True):
        low, high = max(first, 0), min(first + length, limit)
        if high <= low:
            return box
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    box[tuple(target)] = volume[tuple(source)]
    return box


def _degrade(
    volume: NDArray[np.float32], config: Config, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change contrast and add noise that is coloured like a tomogram's (blurred white noise)."""
    if config.contrast:
        volume = volume * np.float32(1 + rng.uniform(-config.contrast, config.contrast))
        volume = volume + np.float32(rng.normal(0, 0.5 * config.contrast))
    if config.noise_std and rng.random() < 0.5:
        noise = rng.standard_normal(volume.shape, np.float32)
        volume = volume + noise * np.float32(rng.uniform(0, config.noise_std))
    return volume
