"""The U-Net's weight map: narrow gaps between cells count more (Ronneberger 2015, equation 2)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.tasks.em_membrane.cells import label_components

Weights = npt.NDArray[np.float32]

# Five sigmas away the gap term is w0 exp(-12.5), four millionths of w0: it is not computed there.
_REACH_SIGMAS: Final = 5.0


def unet_weight_map(
    inside: npt.NDArray[np.bool_], *, w0: float = 10.0, sigma_px: float = 5.0
) -> Weights:
    """Weigh each pixel by its class and by the gap between the two nearest cells.

    `w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))`

    Args:
        inside: `(H, W)` bool, True inside a cell; cells are its 4-connected components.
        w0: Height of the gap term.
        sigma_px: Width of the gap term, in px.

    Returns:
        `(H, W)` float32 weights above 0.
    """
    first, second = two_nearest_cells(inside, reach_px=_REACH_SIGMAS * sigma_px)
    gap = np.exp(-((first + second) ** 2) / (2 * sigma_px**2))
    return np.asarray(class_balance(inside) + w0 * gap, np.float32)


def class_balance(inside: npt.NDArray[np.bool_]) -> Weights:
    """Weigh each pixel so that both classes count alike and the mean is 1.

    Returns:
        `(H, W)` float32, `pixels / (2 x pixels of the class)`; 1 where only one class is there.
    """
    share = float(inside.mean())
    if share in (0.0, 1.0):
        return np.ones(inside.shape, np.float32)
    return np.where(inside, 0.5 / share, 0.5 / (1.0 - share)).astype(np.float32)


def two_nearest_cells(inside: npt.NDArray[np.bool_], *, reach_px: float) -> tuple[Weights, Weights]:
    """Measure the distances to the nearest and the second nearest cell.

    Each cell is measured in a window around it only, so the cost grows with the cells' size and
    not with their number times the section.

    Args:
        inside: `(H, W)` bool, True inside a cell.
        reach_px: Distance up to which values are exact; what is further may read as infinite.

    Returns:
        Two `(H, W)` float32 maps of Euclidean distances, in px; 0 within a cell (first map).
    """
    from scipy.ndimage import find_objects  # type: ignore[import-untyped]

    cells = label_components(inside)
    first = np.full(inside.shape, np.inf, np.float32)
    second = first.copy()
    margin = int(np.ceil(reach_px)) + 1
    for cell, box in enumerate(find_objects(cells), start=1):
        window = tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in box)
        elsewhere = (cells[window] != cell).astype(np.uint8)
        distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        nearest, runner_up = first[window], second[window]
        np.minimum(runner_up, np.maximum(nearest, distance), out=runner_up)
        np.minimum(nearest, distance, out=nearest)
    return first, second
