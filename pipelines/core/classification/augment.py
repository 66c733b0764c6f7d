"""Random changes of a picture that leave its class: turns, sizes, shifts, stain, brightness.

All geometric steps are one matrix, so that the picture is interpolated once. Colour is changed in
optical density, where the amount of a stain is a factor (Ruifrok and Johnston 2001).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.images import Pixels

Floats = NDArray[np.float32]

# Rows: optical density of haematoxylin, eosin and the residual in red, green and blue.
_STAINS: Final = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
_UNMIX: Final = np.linalg.inv(_STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True))
_MIX: Final = np.linalg.inv(_UNMIX)
_DENSITY: Final = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


@dataclass(frozen=True)
class Augmentation:
    """Say how strongly pictures are changed.

    Attributes:
        flip: Whether they are mirrored, half of the time.
        rotation: Whether they are turned by any angle.
        scale: Largest relative change of size.
        shift_px: Largest shift.
        stain: Spread of the factor of each stain.
        brightness: Spread of an added optical density.
        grey: Share of pictures that lose their colour.
        border: What stands outside of the picture: "mirror" of it, or "black".
    """

    flip: bool = True
    rotation: bool = True
    scale: float = 0.12
    shift_px: float = 6.0
    stain: float = 0.15
    brightness: float = 0.05
    grey: float = 0.0
    border: str = "mirror"


def augment(pixels: Pixels, settings: Augmentation, rng: np.random.Generator) -> Pixels:
    """Return a random variant of `(H, W, 3)` uint8, of the same shape."""
    return change_colour(move(pixels, settings, rng), settings, rng)


def move(pixels: Pixels, settings: Augmentation, rng: np.random.Generator) -> Pixels:
    """Turn, mirror, resize and shift at once, bilinear."""
    import cv2

    height, width = pixels.shape[:2]
    matrix = random_matrix(height, width, settings, rng)
    border = cv2.BORDER_REFLECT_101 if settings.border == "mirror" else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(
        pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(moved, np.uint8)


def random_matrix(
    height: int, width: int, settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the `(2, 3)` matrix that maps pixel (x, y) of the source to the result."""
    angle = rng.uniform(0, 2 * math.pi) if settings.rotation else 0.0
    factor = math.exp(rng.uniform(-1, 1) * math.log1p(settings.scale))
    mirror = -1.0 if settings.flip and rng.random() < 0.5 else 1.0
    cosine, sine = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = rng.uniform(-1, 1, 2) * settings.shift_px
    return np.column_stack([linear, centre + shift - linear @ centre])


def change_colour(pixels: Pixels, settings: Augmentation, rng: np.random.Generator) -> Pixels:
    """Change the amount of each stain and the overall density; black stays black."""
    if not settings.stain and not settings.brightness and not settings.grey:
        return pixels
    factors = np.exp(rng.normal(0, 1, 3).clip(-2, 2) * settings.stain).astype(np.float32)
    mixing = (_UNMIX @ np.diag(factors) @ _MIX).astype(np.float32)
    offset = np.float32(rng.normal() * settings.brightness)
    density = _DENSITY[pixels] @ mixing + offset
    changed = np.clip(np.exp(-density) * 255, 0, 255)
    if rng.random() < settings.grey:
        changed = np.repeat(changed.mean(axis=2, keepdims=True), 3, axis=2)
    changed[pixels.max(axis=2) < 3] = 0  # a mask around a cell is no stain
    return np.asarray(changed, np.uint8)


@dataclass(frozen=True)
class ColourScale:
    """Hold mean and spread of each channel over the training pictures, in [0, 1].

    Attributes:
        mean: Of red, green, blue.
        spread: Standard deviations.
    """

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]

    def apply(self, batch: NDArray[np.uint8]) -> Floats:
        """Normalise `(B, H, W, 3)` uint8 to `(B, 3, H, W)` float32 of mean 0 and spread 1."""
        mean = np.asarray(self.mean, np.float32) * 255
        factor = 1 / (np.maximum(np.asarray(self.spread, np.float32), 0.02) * 255)
        scaled = (batch.astype(np.float32) - mean) * factor
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def measure_colours(pictures: NDArray[np.uint8]) -> ColourScale:
    """Measure mean and spread of each channel over `(N, H, W, 3)` uint8."""
    flat = pictures.reshape(-1, 3)
    mean = flat.mean(axis=0, dtype=np.float64) / 255
    spread = flat.std(axis=0, dtype=np.float64) / 255
    return ColourScale(
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(spread[0]), float(spread[1]), float(spread[2])),
    )
