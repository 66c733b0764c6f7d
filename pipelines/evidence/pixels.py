"""Flatten the layers of a pane into one picture, as the canvas of the pages does."""

from __future__ import annotations

import functools
import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines import views
from pipelines.palette import SEQUENCE, colour

Array = NDArray[Any]
# Five colours of the two even scales; between them it is interpolated.
_SCALES: Final = {
    "viridis": ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"),
    "magma": ("#000004", "#51127c", "#b73779", "#fc8961", "#fcfdbf"),
}


def encode_png(pixels: Array) -> bytes:
    """Return `(H, W)` or `(H, W, 3)` uint8 pixels as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def flatten_pane(pane: views.Pane) -> Array:
    """Return the pixels of a pane, `(H, W, 3)` uint8; points and lines are left to the drawing."""
    picture: Array | None = None
    for layer in pane.layers:
        painted = _paint(layer)
        if painted is None:
            continue
        tint, opacity = painted
        if picture is None:
            picture = np.full(tint.shape, 255.0)
        share = np.broadcast_to(opacity, tint.shape[:2])[..., None]
        picture = picture * (1 - share) + tint * share
    if picture is None:
        return np.full((1, 1, 3), 255, np.uint8)
    return np.clip(picture.round(), 0, 255).astype(np.uint8)


@functools.singledispatch
def _paint(layer: Any) -> tuple[Array, Any] | None:  # any layer; points and lines are no pixels
    """Return colours `(H, W, 3)` float64 and opacity, a number or `(H, W)`."""
    return None


@_paint.register
def _(layer: views.PixelLayer) -> tuple[Array, Any] | None:
    pixels = np.asarray(layer.pixels)
    if pixels.ndim == 3:
        return pixels.astype(np.float64), 1.0
    values = pixels.astype(np.float64)
    low, high = layer.window or np.percentile(values, (0.5, 99.5))
    grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255
    return np.repeat(grey[..., None], 3, 2), 1.0


@_paint.register
def _(layer: views.MaskLayer) -> tuple[Array, Any] | None:
    return _flat(layer.mask.shape, colour(layer.meaning)), layer.mask * layer.opacity


@_paint.register
def _(layer: views.LabelLayer) -> tuple[Array, Any] | None:
    table = np.array([_rgb(tint) for tint in SEQUENCE])
    return table[layer.labels % len(table)], (layer.labels > 0) * layer.opacity


@_paint.register
def _(layer: views.ScalarLayer) -> tuple[Array, Any] | None:
    stops = np.array([_rgb(tint) for tint in _SCALES[layer.scale]])
    values = np.asarray(layer.values, np.float64)
    share = np.clip((values - layer.low) / max(layer.high - layer.low, 1e-12), 0, 1)
    at = np.linspace(0, 1, len(stops))
    painted = np.stack([np.interp(share, at, stops[:, c]) for c in range(3)], -1)
    return painted, layer.opacity


@_paint.register
def _(layer: views.ThresholdLayer) -> tuple[Array, Any] | None:
    passes = layer.probability > layer.threshold
    chosen = passes if layer.above else ~passes
    if layer.truth is None:
        return _flat(chosen.shape, colour(layer.meaning)), chosen * layer.opacity
    truth = np.asarray(layer.truth, bool)
    painted = _flat(chosen.shape, colour("true_positive"))
    painted[chosen & ~truth] = _rgb(colour("false_positive"))
    painted[~chosen & truth] = _rgb(colour("missed"))
    return painted, (chosen | truth) * layer.opacity


def _flat(shape: tuple[int, ...], tint: str) -> Array:
    return np.broadcast_to(np.array(_rgb(tint)), (*shape, 3)).copy()


def _rgb(tint: str) -> tuple[float, float, float]:
    red, green, blue = (float(int(tint[i : i + 2], 16)) for i in (1, 3, 5))
    return red, green, blue
