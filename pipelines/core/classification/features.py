"""Describe a picture by measured numbers: size and shape of the object, colour, texture.

They are the plain baseline beside the networks: what can be told without learning to see. A picture
with a black surround holds one object (a cell), and everything is measured inside of it; any other
picture is measured whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.images import Pixels

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_DARK: Final = 12
"""Brightness up to which a pixel counts as surround (compression leaves some noise in black)."""
_SURROUND_SHARE: Final = 0.2
_SCALES: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
_PERCENTS: Final = (2, 10, 25, 75, 90, 98)
_RELIEF_SCALES: Final = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.3, 16.0)
_RELIEF_CHANNELS: Final = 4
NUM_RELIEF: Final = _RELIEF_CHANNELS * len(_RELIEF_SCALES)
"""Numbers of the relief; they stand last."""
_RINGS: Final = (0.0, 0.08, 0.2, 0.4, 0.7, 1.01)


def describe_picture(pixels: Pixels) -> dict[str, float]:
    """Measure a picture, `(H, W, 3)` uint8 RGB; the names begin with the kind of the number."""
    mask = find_object(pixels)
    pixels, mask = _cut_out(pixels, mask)
    distance = _distance(mask)
    inside = distance > min(4.0, float(distance.max()) / 2)
    numbers = {**_shape(mask, distance), **_colours(pixels, inside)}
    density = -np.log((pixels.astype(np.float32) + 1) / 256)
    numbers |= _rings(pixels, distance)
    numbers |= _bands(density, inside, distance)
    numbers |= _patterns(pixels[..., 1], inside)
    numbers |= _relief(density, inside, distance)
    return {name: float(np.nan_to_num(value)) for name, value in numbers.items()}


def find_object(pixels: Pixels) -> Mask:
    """Return the largest bright object of a picture with a black surround, else everything.

    Thin appendages (rests of neighbours) are taken off.
    """
    import cv2

    bright = (pixels.max(axis=2) > _DARK).astype(np.uint8)
    if bright.mean() > 1 - _SURROUND_SHARE or not bright.any():
        return np.ones(bright.shape, np.bool_)
    size = max(3, round(min(bright.shape) / 15) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    closed = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)
    return _largest(opened if opened.any() else closed)


def _largest(mask: NDArray[Any]) -> Mask:
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.ones(mask.shape, np.bool_)
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def _cut_out(pixels: Pixels, mask: Mask) -> tuple[Pixels, Mask]:
    """Cut to the object's box: what lies around it costs time and says nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return pixels[box], mask[box]


def _distance(mask: Mask) -> Floats:
    """Return the distance to the object's edge in pixels."""
    import cv2

    if mask.all():  # no edge: everything is equally far inside
        return np.full(mask.shape, 10.0, np.float32)
    framed = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def _shape(mask: Mask, distance: Floats) -> dict[str, float]:
    import cv2

    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    area, perimeter = float(mask.sum()), max(cv2.arcLength(outline, closed=True), 1.0)
    hull = max(cv2.contourArea(cv2.convexHull(outline)), 1.0)
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    spread = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])
    minor, major = np.sqrt(np.maximum(np.linalg.eigvalsh(spread / area), 1e-6)) * 4
    points = outline[:, 0].astype(np.float32)
    radius = np.hypot(*(points - points.mean(axis=0)).T)
    radius = radius / max(float(radius.mean()), 1e-6)
    return {
        "shape_area": area, "shape_side": area**0.5, "shape_depth": float(distance.max()),
        "shape_round": 4 * np.pi * area / perimeter**2, "shape_solid": area / hull,
        "shape_major": float(major), "shape_minor": float(minor),
        "shape_long": float(minor / major), "shape_radius_spread": float(radius.std()),
        "shape_radius_low": float(radius.min()), "shape_radius_high": float(radius.max()),
    }  # fmt: skip


def _colours(pixels: Pixels, inside: Mask) -> dict[str, float]:
    import cv2

    spaces: Mapping[str, Any] = {
        "rgb": pixels,
        "lab": cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB),
        "hsv": cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV),
    }
    numbers: dict[str, float] = {}
    for space, values in spaces.items():
        for index in range(3):
            channel = values[..., index][inside].astype(np.float32)
            name = f"{space}{index}"
            mean, spread = float(channel.mean()), float(channel.std())
            middle, *bounds = np.percentile(channel, (50, *_PERCENTS))
            numbers[f"colour_{name}_mean"] = mean
            numbers[f"colour_{name}_spread"] = spread
            numbers[f"colour_{name}_skew"] = _moment(channel, 3)
            for percent, bound in zip(_PERCENTS, bounds, strict=True):
                numbers[f"range_{name}_{percent}"] = float(bound - middle)
    return numbers


def _rings(pixels: Pixels, distance: Floats) -> dict[str, float]:
    """Measure each colour from the edge inwards, relative to the whole object."""
    depth = distance / max(float(distance.max()), 1e-6)
    numbers: dict[str, float] = {}
    for index in range(3):
        channel = pixels[..., index].astype(np.float32)
        whole = max(float(channel[distance > 0].mean()), 1.0)
        for number, (low, high) in enumerate(pairwise(_RINGS)):
            ring = (depth > low) & (depth <= high)
            mean = float(channel[ring].mean()) / whole if ring.any() else 1.0
            numbers[f"ring_{index}_{number}"] = mean
    return numbers


def _bands(density: Floats, inside: Mask, distance: Floats) -> dict[str, float]:
    """Measure how much detail of each size there is: differences of Gaussians, per colour.

    Outside of the object nothing is averaged in (normalised convolution), so that its edge leaves
    no trace.
    """
    import cv2

    weight = inside.astype(np.float32)
    deep = distance > min(6.0, float(distance.max()) * 0.6)
    weights = [np.maximum(cv2.GaussianBlur(weight, (0, 0), s), 1e-3) for s in _SCALES]
    numbers: dict[str, float] = {}
    for index in range(3):
        former = density[..., index] * weight
        source = former
        for scale, blurred_weight in zip(_SCALES, weights, strict=True):
            smooth = cv2.GaussianBlur(source, (0, 0), scale) / blurred_weight
            band = (former - smooth)[deep]
            numbers[f"band_{index}_{scale:g}_spread"] = float(band.std())
            numbers[f"band_{index}_{scale:g}_skew"] = _moment(band, 3)
            numbers[f"band_{index}_{scale:g}_tail"] = _moment(band, 4)
            former = smooth
    return numbers


def _relief(density: Floats, inside: Mask, distance: Floats) -> dict[str, float]:
    """Measure how detail is shared out among sizes, whatever its strength: logarithms, centred.

    How strong all detail is depends on stain and focus, and differs from subject to subject (by 0.8
    of the spread between subjects from one fold of C-NMC to the next); its shares hardly do (0.2).
    The fourth channel is the difference of green and red, in which absorption common to both
    cancels.
    """
    import cv2

    weight = inside.astype(np.float32)
    deep = distance > min(6.0, float(distance.max()) * 0.6)
    channels = [
        density[..., 0],
        density[..., 1],
        density[..., 2],
        density[..., 1] - density[..., 0],
    ]
    weights = [np.maximum(cv2.GaussianBlur(weight, (0, 0), s), 1e-3) for s in _RELIEF_SCALES]
    numbers: dict[str, float] = {}
    for index, channel in enumerate(channels):
        former = source = channel * weight
        spreads = []
        for scale, blurred_weight in zip(_RELIEF_SCALES, weights, strict=True):
            smooth = cv2.GaussianBlur(source, (0, 0), scale) / blurred_weight
            spreads.append(float((former - smooth)[deep].std()) + 1e-5)
            former = smooth
        shares = np.log(spreads) - np.log(spreads).mean()
        names = [f"relief_{index}_{scale:g}" for scale in _RELIEF_SCALES]
        numbers |= dict(zip(names, shares.tolist(), strict=True))
    return numbers


def _patterns(grey: NDArray[np.uint8], inside: Mask) -> dict[str, float]:
    """Count local binary patterns that do not change when the picture is turned (Ojala 2002)."""
    numbers: dict[str, float] = {}
    for radius in (1, 2, 4):
        if min(grey.shape) <= 2 * radius + 2:  # too small for this scale: as many numbers, all 0
            numbers |= {f"pattern_{radius}_{i}": 0.0 for i in range(10)}
            continue
        core = grey[radius:-radius, radius:-radius]
        around = [
            grey[
                radius + dy : grey.shape[0] - radius + dy, radius + dx : grey.shape[1] - radius + dx
            ]
            for dy, dx in _circle(radius)
        ]
        bits = np.stack([a >= core for a in around])
        changes = (bits != np.roll(bits, 1, axis=0)).sum(axis=0)
        pattern = np.where(changes <= 2, bits.sum(axis=0), 9)[
            inside[radius:-radius, radius:-radius]
        ]
        shares = np.bincount(pattern, minlength=10) / max(pattern.size, 1)
        numbers |= {f"pattern_{radius}_{i}": float(s) for i, s in enumerate(shares)}
    return numbers


def _circle(radius: int) -> list[tuple[int, int]]:
    r, d = radius, max(1, round(radius * 0.7071))
    return [(0, r), (d, d), (r, 0), (d, -d), (0, -r), (-d, -d), (-r, 0), (-d, d)]


def _moment(values: NDArray[Any], order: int) -> float:
    spread = float(values.std())
    if spread < 1e-6:
        return 0.0
    scaled = (values - values.mean()) / spread
    squared = scaled * scaled  # a general power is fifty times slower
    return float((squared * (scaled if order == 3 else squared)).mean())
