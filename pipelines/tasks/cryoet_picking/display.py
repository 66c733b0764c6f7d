"""Slices of tomograms for the screen: one byte a voxel, kept for the two tomograms looked at last.

A slice across a Zarr's chunks would unpack up to 100 MB each time. The bytes of a full-size
tomogram are 73 MB; read once, any slice comes from memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Sample
from pipelines.tasks.cryoet_picking.volumes import Volume, measure_normalisation, open_volume

Bytes = NDArray[np.uint8]
_SHOWN_STD = 4.0
PLANES = ("xy", "xz", "yz")
_AXIS = {"xy": 0, "xz": 1, "yz": 2}


def display_bytes(sample: Sample) -> Bytes:
    """Return the tomogram as `(Z, Y, X)` uint8: mean 128, four standard deviations to each end."""
    image = sample.image
    if isinstance(image, Volume):
        return _cached(image.path, image.member, image.levels[0].path)
    return _to_bytes(np.asarray(image))


@functools.lru_cache(maxsize=2)
def _cached(path: Path, member: str, level: str) -> Bytes:
    return _to_bytes(open_volume(path, member))


def _to_bytes(volume: Any, slab: int = 64) -> Bytes:  # a Volume or an array
    scale = measure_normalisation(volume)
    result = np.empty(volume.shape, np.uint8)
    factor = 127.5 / _SHOWN_STD / scale.std
    for start in range(0, volume.shape[0], slab):
        part = np.asarray(volume[start : start + slab]).astype(np.float32)
        part -= scale.mean
        part *= factor
        part += 127.5
        result[start : start + slab] = np.clip(part, 0, 255, out=part)
    return result


def cut_slice(volume: Bytes, plane: str, index: int, *, thickness: int = 1) -> Bytes:
    """Return the mean of `thickness` neighbouring slices.

    Args:
        volume: `(Z, Y, X)` uint8.
        plane: "xy" (rows y, columns x), "xz" (rows z, columns x) or "yz" (rows y, columns z).
        index: Voxel index along the axis that the plane cuts.
        thickness: Number of slices; less at the border.

    Returns:
        `(H, W)` uint8.
    """
    axis = _AXIS[plane]
    low = max(0, index - (thickness - 1) // 2)
    high = min(volume.shape[axis], index + thickness // 2 + 1)
    # summed slice by slice: a mean along the last axis of a slab takes ten times as long
    total = np.take(volume, low, axis).astype(np.uint16)
    for other in range(low + 1, high):
        total += np.take(volume, other, axis)
    found = ((total + (high - low) // 2) // (high - low)).astype(np.uint8)
    return np.ascontiguousarray(found.T if plane == "yz" else found)


def density_in(volume: Bytes, box: tuple[slice, ...]) -> NDArray[np.float32]:
    """Return a part in standard deviations, dense (dark) positive."""
    return (127.5 - volume[box].astype(np.float32)) * np.float32(_SHOWN_STD / 127.5)


def section_of(sample: Sample, thickness: int) -> Callable[[int, int], Bytes]:
    """Return the function that cuts slabs of a tomogram at `(axis, index)`.

    Slabs of a file are kept for the next call, as the same array, so that what does not change is
    neither cut nor sent again.
    """
    image = sample.image
    if not isinstance(image, Volume):
        volume = display_bytes(sample)
        return lambda axis, index: cut_slice(volume, PLANES[axis], index, thickness=thickness)
    file = (image.path, image.member, image.levels[0].path)
    return lambda axis, index: _kept_slice(file, PLANES[axis], index, thickness)


@functools.lru_cache(maxsize=96)
def _kept_slice(file: tuple[Path, str, str], plane: str, index: int, thickness: int) -> Bytes:
    return cut_slice(_cached(*file), plane, index, thickness=thickness)
