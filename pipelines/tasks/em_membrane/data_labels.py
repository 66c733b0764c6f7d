"""Read labels of any usual form as one question: is this pixel inside a cell?

A label file may say it with two grey values or colours, with soft edges, or with one number a
cell. `find_scheme` tells which form it is, `find_polarity` which of the two classes is membrane,
and `inside_mask` applies both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.core.images import to_grey

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Kind = Literal["two", "soft", "cells"]
Polarity = Literal["low", "high"]

_SOFT_SHARE: Final = 0.9  # of the pixels lie near the two ends when edges are merely soft
_SOFT_BAND: Final = 0.1  # of the range counts as "near the end"
_END_SHARE: Final = 0.05  # of them at either end
_PIECE_TILES: Final = 4  # a side: labels of a large section are known from 16 tiles
_TILE_PX: Final = 512
_LEAST_SHARED: Final = 0.3  # of neighbours share a value in labels (0.96; 0.02 in images)
_EROSION_PX: Final = 7  # a membrane of the field (4 nm a pixel) is 4 to 10 px wide


@dataclass(frozen=True)
class Scheme:
    """Say how label values are read.

    Attributes:
        kind: "two" values, two values with "soft" edges, or numbered "cells".
        cut: Values above it form the high class.
        values: The lowest and the highest value met.
        num_values: How many values were met.
    """

    kind: Kind
    cut: float
    values: tuple[float, float]
    num_values: int


@dataclass(frozen=True)
class PolarityFinding:
    """Hold the four signs by which the membrane class is known.

    Attributes:
        membrane: Class that most signs point to.
        share: Share of the pixels that this class has.
        votes: Sign to whether it points to `membrane`: "minority", "thin", "dark", "connected".
            "dark" is missing when there is no image.
    """

    membrane: Polarity
    share: float
    votes: dict[str, bool]

    @property
    def num_for(self) -> int:
        """How many signs point to the class."""
        return sum(self.votes.values())


def label_values(section: Array, *, as_cells: bool = False) -> Array:
    """Return `(H, W)` values of a label, colours reduced to their luminance or to one number."""
    if section.ndim == 2:
        return section
    if not as_cells:
        return to_grey(section, "", "luminance")
    red, green, blue = (section[..., c].astype(np.int64) for c in range(3))
    return red * 65536 + green * 256 + blue


def spread_pieces(label: Array, *images: Array) -> tuple[Array, ...]:
    """Return a label and its images as they are, or of large ones the same pieces.

    30,000 px a side are 900 million values; how labels are meant shows in four million: in tiles
    spread over the section, or in every n-th pixel where the tiles hold one class alone.
    """
    side = _PIECE_TILES * _TILE_PX
    height, width = label.shape[:2]
    if height * width <= side**2 or min(height, width) < side:
        return label, *images
    rows, columns = (_spread_tiles(size) for size in (height, width))
    tiles = label[rows[:, None], columns]
    if (tiles != tiles[:1, :1]).any():
        return tiles, *(image[rows[:, None], columns] for image in images)
    step = -(-max(height, width) // side)
    return tuple(array[::step, ::step].copy() for array in (label, *images))


def _spread_tiles(size: int) -> NDArray[np.intp]:
    """Return the places of tiles that are spread evenly over a side."""
    starts = np.linspace(0, size - _TILE_PX, _PIECE_TILES).astype(np.intp)
    return np.asarray((starts[:, None] + np.arange(_TILE_PX)).ravel())


def find_scheme(sections: Sequence[Array]) -> Scheme:
    """Tell how the values of label sections are meant.

    Args:
        sections: `(H, W)` or `(H, W, C)` arrays as in the file, some of the data set.
    """
    histogram: dict[float, int] = {}
    for section in sections:
        values, counts = np.unique(label_values(section), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if math.isfinite(value):
                histogram[float(value)] = histogram.get(float(value), 0) + count
    low, high = min(histogram), max(histogram)
    found = (low, high), len(histogram)
    if len(histogram) <= 2:
        return Scheme("two", (low + high) / 2, *found)
    if low == 0 and _every_section_has_two(sections):
        return Scheme("two", min(v for v in histogram if v > 0) / 2, *found)  # 0/1 beside 0/255
    has_fractions = any(value != int(value) for value in histogram)
    if has_fractions or (len(histogram) > 3 and _lies_at_its_ends(histogram, low, high)):
        return Scheme("soft", (low + high) / 2, *found)
    return Scheme("cells", 0.0, *found)


def is_picture(sections: Sequence[Array]) -> bool:
    """Tell an image from numbers of cells: in cells, most neighbours share their value."""
    values = [label_values(section, as_cells=True) for section in sections]
    same = [float((v[:, 1:] == v[:, :-1]).mean()) for v in values if v.shape[1] > 1]
    return bool(same) and float(np.mean(same)) < _LEAST_SHARED


def _lies_at_its_ends(histogram: dict[float, int], low: float, high: float) -> bool:
    """Tell soft edges (nearly all values at both ends) from numbers (many, of any size)."""
    band = _SOFT_BAND * (high - low)
    total = sum(histogram.values())
    at_low = sum(count for value, count in histogram.items() if value <= low + band) / total
    at_high = sum(count for value, count in histogram.items() if value >= high - band) / total
    return min(at_low, at_high) >= _END_SHARE and at_low + at_high >= _SOFT_SHARE


def find_polarity(highs: Sequence[Mask], images: Sequence[Array]) -> PolarityFinding:
    """Tell which class is membrane from four signs, the share breaking a tie.

    Membrane is the smaller class; it is thin, so that erosion by 3 px leaves little of it; it is
    darker in the image; and it hangs together, while cells fall into many pieces.

    Args:
        highs: `(H, W)` bool, True = high value, some sections.
        images: `(H, W)` images of the same sections, or an empty list.
    """
    share = float(np.mean([mask.mean() for mask in highs]))
    signs = {
        "minority": share < 0.5,
        "thin": _kept(highs) < _kept([~mask for mask in highs]),
        "connected": _pieces(highs) < _pieces([~mask for mask in highs]),
    }
    darkness = _darkness(highs, images)
    if darkness is not None:
        signs["dark"] = darkness
    votes = sum(signs.values())
    is_high = votes * 2 > len(signs) or (votes * 2 == len(signs) and share < 0.5)
    return PolarityFinding(
        membrane="high" if is_high else "low",
        share=share if is_high else 1 - share,
        votes={name: sign == is_high for name, sign in signs.items()},
    )


def inside_mask(section: Array, *, kind: str, cut: float, membrane: str) -> Mask:
    """Return where a label section says "inside a cell".

    Args:
        section: `(H, W)` or `(H, W, C)` as in the file.
        kind: As in `Scheme`.
        cut: As in `Scheme`.
        membrane: Class that is membrane, "low" or "high".

    Returns:
        `(H, W)` bool, True = inside a cell.
    """
    values = label_values(section, as_cells=kind == "cells")
    if kind != "cells":
        high: Mask = values > cut
        return high if membrane == "low" else ~high
    # Cells that touch have no background between them, but there is a membrane all the same.
    cell: Mask = values > 0
    across = (values[:, 1:] != values[:, :-1]) & cell[:, 1:] & cell[:, :-1]
    down = (values[1:] != values[:-1]) & cell[1:] & cell[:-1]
    inside = cell.copy()
    inside[:, 1:] &= ~across
    inside[:, :-1] &= ~across
    inside[1:] &= ~down
    inside[:-1] &= ~down
    return inside


def _every_section_has_two(sections: Sequence[Array]) -> bool:
    return all(np.unique(label_values(section)).size <= 2 for section in sections)


def _kept(masks: Sequence[Mask]) -> float:
    """Return the share of a class that erosion leaves."""
    from scipy.ndimage import minimum_filter  # type: ignore[import-untyped]

    left = sum(int(minimum_filter(mask, size=_EROSION_PX).sum()) for mask in masks)
    return left / max(sum(int(mask.sum()) for mask in masks), 1)


def _pieces(masks: Sequence[Mask]) -> int:
    from scipy.ndimage import label

    return sum(int(label(mask)[1]) for mask in masks)


def _darkness(highs: Sequence[Mask], images: Sequence[Array]) -> bool | None:
    """Tell whether the high class is darker in the image; None when it cannot be told."""
    pairs = [(h, i) for h, i in zip(highs, images, strict=False) if h.any() and not h.all()]
    if not pairs:
        return None
    gaps = [float(np.nanmean(image[high]) - np.nanmean(image[~high])) for high, image in pairs]
    return float(np.mean(gaps)) < 0
