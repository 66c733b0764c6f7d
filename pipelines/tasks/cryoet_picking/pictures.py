"""Small pictures in plain pixels, for the live view of a training and for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.metrics import hit_flags
from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.picks import Picks


def slab_picture(
    volume: NDArray[Any],
    picks: Picks,
    truth: Picks,
    particles: Sequence[Particle],
    geometry: Geometry,
    *,
    half_thickness_vox: int = 3,
) -> NDArray[np.uint8]:
    """Draw the middle slab with its picks: found full, false dashed, missed as a cross.

    Args:
        volume: `(Z, Y, X)` of unit spread.
        picks: Candidates of one tomogram.
        truth: Its true picks.
        particles: Kinds with radii and colours.
        geometry: Voxels and angstrom.
        half_thickness_vox: The mean of twice as many sections and one is shown.

    Returns:
        `(H, W, 3)` uint8, twice the size of a section.
    """
    import cv2

    middle = volume.shape[0] // 2
    slab = volume[middle - half_thickness_vox : middle + half_thickness_vox + 1]
    grey = slab.astype(np.float32).mean(0)
    low, high = np.percentile(grey, [1, 99])
    pixels = (np.clip((grey - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    picture = np.repeat(pixels.repeat(2, 0).repeat(2, 1)[..., None], 3, 2)
    is_hit, is_found = hit_flags(picks, truth, particles)
    for table, flags, is_truth in ((picks, is_hit, False), (truth, is_found, True)):
        vox = geometry.to_vox(table.positions)
        for row in range(len(table)):
            particle = particles[int(table.kind_index[row])]
            depth = abs(vox[row, 0] - middle) * geometry.spacing_angstrom
            if depth >= particle.radius_angstrom or (is_truth and flags[row]):
                continue
            radius = np.sqrt(particle.radius_angstrom**2 - depth**2) / geometry.spacing_angstrom
            centre = (int(2 * vox[row, 2] + 1), int(2 * vox[row, 1] + 1))
            if is_truth:
                cv2.drawMarker(picture, centre, particle.colour, cv2.MARKER_TILTED_CROSS, 14, 2)
            elif flags[row]:
                cv2.circle(picture, centre, max(3, int(2 * radius)), particle.colour, 2)
            else:
                for start in range(0, 360, 40):
                    side = max(3, int(2 * radius))
                    cv2.ellipse(
                        picture, centre, (side, side), 0, start, start + 20, particle.colour, 1
                    )
    return np.asarray(picture, np.uint8)
