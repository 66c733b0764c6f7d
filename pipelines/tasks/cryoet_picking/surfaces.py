"""The surface of what is dense in a small box of a tomogram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Sample
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.display import density_in, display_bytes
from pipelines.text import Text
from pipelines.views import MeshView

_SMOOTHING_VOX = 1.2  # without it the noise of single voxels covers what is there
_FEWEST_VOXELS = 40  # smaller pieces are noise
_MOST_FACES = 120_000  # more does not turn fluently in a browser


def surface_view(sample: Sample, at: Sequence[int], *, side_vox: int, level_std: float) -> MeshView:
    """Show the isosurface of a box around a voxel; protein is dark and so inside.

    Args:
        sample: Tomogram whose volume is at hand.
        at: Middle of the box, z, y, x.
        side_vox: Side of the box; less at the border of the tomogram.
        level_std: Density of the surface, in standard deviations of the tomogram.

    Raises:
        DataFormatError: Nothing in the box is as dense.
    """
    geometry: Geometry = sample.meta["geometry"]
    low = [max(0, a - side_vox // 2) for a in at]
    high = [min(n, a + side_vox // 2) for a, n in zip(at, geometry.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    vertices, faces = _surface(density_in(display_bytes(sample), box), level_std)
    places = geometry.to_angstrom(vertices + np.array(low))
    return MeshView(
        Text("cryoet.surface_title", level=level_std, side=side_vox),
        vertices=places,
        faces=faces,
        source=Text("cryoet.source_item", item=sample.item_id),
    )


def _surface(
    density: NDArray[np.float32], level_std: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from scipy import ndimage  # type: ignore[import-untyped]
    from skimage import measure

    smooth = ndimage.gaussian_filter(density, _SMOOTHING_VOX)
    pieces, count = ndimage.label(smooth > level_std)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    is_noise = (sizes < _FEWEST_VOXELS)[pieces]
    smooth[is_noise & (pieces > 0)] = level_std - 1
    # a closed rim: a surface that leaves the box would show its inside
    padded = np.pad(smooth, 1, constant_values=level_std - 1)
    if not (padded > level_std).any():
        raise DataFormatError(Text("cryoet.no_surface", level=level_std))
    for step in (1, 2, 3):
        vertices, faces, _, _ = measure.marching_cubes(padded, level_std, step_size=step)
        if len(faces) <= _MOST_FACES:
            break
    return vertices.astype(np.float64) - 1, faces.astype(np.int64)
