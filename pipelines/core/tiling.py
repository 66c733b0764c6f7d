"""Cut an image of any size into overlapping tiles and put it together without seams.

Tiles of one size stand evenly on a grid, flush with both ends of each axis. Where they overlap,
their contributions are blended by weights that rise linearly from a tile's border. Grid and weights
are products of one-dimensional ones, so that each axis is normalised by itself: the weights of all
tiles sum to one in every pixel by construction, and no map of counts is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ConfigError, DataFormatError
from pipelines.text import Text

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tiling:
    """Say how an image is cut.

    Attributes:
        tile_px: Sides of a tile, one for each axis: (y, x) or (z, y, x).
        overlap: Share of a tile that its neighbour covers too, at least, in [0, 1).
        multiple: Sides that the network takes are multiples of this (2 to the number of its
            poolings); tiles are rounded up to it.
    """

    tile_px: tuple[int, ...]
    overlap: float = 0.25
    multiple: int = 16

    def __post_init__(self) -> None:
        if not self.tile_px or min(self.tile_px) < 1 or not 0 <= self.overlap < 1:
            raise ConfigError(
                Text("compute.bad_tile", tile=size_words(self.tile_px), axes=len(self.tile_px))
            )


@dataclass(frozen=True)
class Tile:
    """Hold one tile's place in the padded image.

    Attributes:
        start: First index on each axis.
        size: Side on each axis.
        weights: One `(side,)` float32 array for each axis; their outer product is the tile's share
            in each of its pixels.
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    weights: tuple[Weights, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """Place on the spatial axes of the padded image."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.size, strict=True))

    def share(self) -> Weights:
        """Return the tile's weight in each pixel, of the tile's size, in (0, 1]."""
        product = self.weights[0]
        for weights in self.weights[1:]:
            product = product[..., None] * weights
        return product


@dataclass(frozen=True)
class TilePlan:
    """Hold where the tiles of one image size lie.

    Attributes:
        shape: Spatial shape of the image.
        padding: Pixels added (before, after) on each axis, by reflection, so that tiles fit.
        tiles: Every tile, in C order of the grid.
    """

    shape: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    tiles: tuple[Tile, ...]

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Spatial shape with the padding."""
        return tuple(n + sum(p) for n, p in zip(self.shape, self.padding, strict=True))

    @property
    def inner(self) -> tuple[slice, ...]:
        """Place of the image in the padded image."""
        return tuple(slice(p[0], p[0] + n) for n, p in zip(self.shape, self.padding, strict=True))


def plan_tiles(shape: Sequence[int], tiling: Tiling) -> TilePlan:
    """Lay the fewest tiles that cover an image with at least the wished overlap.

    An axis shorter than a tile gets one tile, the axis rounded up to `tiling.multiple`.

    Args:
        shape: Spatial shape of the image, (Y, X) or (Z, Y, X).
        tiling: Tile size and overlap.

    Raises:
        ConfigError: The tiling has another number of axes.
        DataFormatError: An axis is empty.
    """
    if len(shape) != len(tiling.tile_px):
        words = Text("compute.bad_tile", tile=size_words(tiling.tile_px), axes=len(shape))
        raise ConfigError(words)
    if min(shape) < 1:
        raise DataFormatError(
            Text("compute.bad_image", shape=size_words(shape), axes=len(tiling.tile_px))
        )
    axes = [_plan_axis(n, tile, tiling) for n, tile in zip(shape, tiling.tile_px, strict=True)]
    tiles = tuple(
        Tile(
            tuple(start for start, _ in places),
            tuple(len(weights) for _, weights in places),
            tuple(weights for _, weights in places),
        )
        for places in itertools.product(*(places for _, places in axes))
    )
    return TilePlan(tuple(shape), tuple(padding for padding, _ in axes), tiles)


def pad_image(image: npt.NDArray[Any], plan: TilePlan) -> npt.NDArray[Any]:
    """Reflect an image at its borders so that the plan's tiles fit.

    Args:
        image: `(C, *plan.shape)`, any type.
        plan: From `plan_tiles`.

    Returns:
        `(C, *plan.padded_shape)`; the image itself where nothing is to be padded.
    """
    if plan.padded_shape == plan.shape:
        return image
    # "symmetric" repeats the border pixel and so, unlike "reflect", takes an axis of one pixel
    return np.pad(image, ((0, 0), *plan.padding), mode="symmetric")


def size_words(size: Sequence[int]) -> str:
    """Write a size for a sentence: "512 x 512"."""
    return " x ".join(str(side) for side in size)


def _plan_axis(
    length: int, tile: int, tiling: Tiling
) -> tuple[tuple[int, int], list[tuple[int, Weights]]]:
    """Return the padding of one axis, and start and normalised weights of each of its tiles."""
    side = _round_up(min(tile, length), tiling.multiple)
    missing = max(0, side - length)
    padding = (missing // 2, missing - missing // 2)
    starts = _starts(length + missing, side, tiling.overlap)
    if len(starts) == 1:
        return padding, [(0, np.ones(side, np.float32))]
    shared = side - max(b - a for a, b in itertools.pairwise(starts))
    ramp = np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(np.float64)
    ramp = np.minimum(ramp, max(1, shared))  # flat where no neighbour reaches
    total = np.zeros(length + missing)
    for start in starts:
        total[start : start + side] += ramp
    return padding, [(s, (ramp / total[s : s + side]).astype(np.float32)) for s in starts]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Space the fewest tiles evenly from 0 to `length - side`, mirror-symmetric up to rounding."""
    room = length - side
    step = max(1, math.floor(side * (1 - overlap)))
    count = 1 + math.ceil(room / step)
    gaps = max(1, count - 1)
    first_half = [-(-room * k // gaps) for k in range((count + 1) // 2)]  # up: no gap above `step`
    return first_half + [room - start for start in first_half[: count // 2]][::-1]


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
