"""Pictures drawn by code: pollen-like grains of three forms, for the first try of a class."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.images import Pixels

CLASSES: Final = ("oval", "round", "spiny")
SIDE_PX: Final = 128
NUM_PICTURES: Final = 150


def make_pictures(count: int, rng: np.random.Generator) -> tuple[list[Pixels], NDArray[np.int64]]:
    """Generate pictures of the three classes in turn: `(128, 128, 3)` uint8 and labels."""
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    return [_draw(CLASSES[label], rng) for label in labels], labels


def write_sample(folder: Path) -> None:
    """Write generated pictures, a folder a class."""
    from PIL import Image

    pictures, labels = make_pictures(NUM_PICTURES, np.random.default_rng(5))
    for number, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
        place = folder / CLASSES[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / f"grain_{number:03d}.png")


def _draw(kind: str, rng: np.random.Generator) -> Pixels:
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float64)
    centre = SIDE_PX / 2 + rng.uniform(-12, 12, 2)
    turn = rng.uniform(0, np.pi)
    dy, dx = rows - centre[0], columns - centre[1]
    along = dy * np.sin(turn) + dx * np.cos(turn)
    across = dy * np.cos(turn) - dx * np.sin(turn)
    radius = rng.uniform(24, 36)
    stretch = 1.7 if kind == "oval" else 1.0
    distance = np.hypot(along / stretch, across)
    spikes = 0.14 if kind == "spiny" else 0.0
    edge = radius * (1 + spikes * np.cos(14 * np.arctan2(across, along)))
    inside = 1 / (1 + np.exp((distance - edge) * 0.8))
    colour = np.array([200, 160, 70]) + rng.normal(0, 12, 3)
    ground = np.array([236, 236, 230]) + rng.normal(0, 4, 3)
    picture = ground + inside[..., None] * (colour - ground)
    picture = picture + rng.normal(0, 6, (SIDE_PX, SIDE_PX, 1))
    return np.asarray(np.clip(picture, 0, 255), np.uint8)
