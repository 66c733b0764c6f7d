"""Patches drawn by code: stained nuclei on stroma, large and pale ones in the centre for tumour.

They look like tissue from afar and are called generated wherever they are shown. Nothing measured
on them says anything about real slides.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.images import Pixels

SIDE_PX: Final = 96
_CENTRE_PX: Final = 32
_HAEMATOXYLIN: Final = np.array([0.65, 0.70, 0.29])
_EOSIN: Final = np.array([0.07, 0.80, 0.35])
NUM_TRAIN: Final = 240
NUM_TEST: Final = 40


def make_patches(count: int, rng: np.random.Generator) -> tuple[list[Pixels], NDArray[np.int64]]:
    """Generate patches, every second one with tumour in its central 32 x 32 px.

    Returns:
        `count` patches, `(96, 96, 3)` uint8, and `(count,)` labels.
    """
    labels = np.arange(count, dtype=np.int64) % 2
    return [_draw(bool(label), rng) for label in labels], labels


def write_sample(folder: Path) -> None:
    """Write generated patches in Kaggle's layout: train, test, labels, sample submission."""
    from PIL import Image

    pictures, labels = make_patches(NUM_TRAIN + NUM_TEST, np.random.default_rng(7))
    names = [f"{i:040x}" for i in range(0xA0, 0xA0 + len(pictures))]
    for part, rows in (("train", range(NUM_TRAIN)), ("test", range(NUM_TRAIN, len(pictures)))):
        (folder / part).mkdir()
        for i in rows:
            Image.fromarray(pictures[i]).save(folder / part / f"{names[i]}.tif")
    _write(folder / "train_labels.csv", [(names[i], labels[i]) for i in range(NUM_TRAIN)])
    _write(folder / "sample_submission.csv", [(n, 0) for n in names[NUM_TRAIN:]])


def _write(path: Path, rows: list[tuple[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        writer.writerows(rows)


def _draw(has_tumour: bool, rng: np.random.Generator) -> Pixels:  # noqa: FBT001
    """Draw stroma, many small dark nuclei, and for tumour a nest of large uneven ones."""
    eosin = 0.35 + 0.25 * _soft_noise(rng, 6.0)
    haematoxylin = 0.08 + 0.08 * _soft_noise(rng, 2.0)
    for y, x in rng.uniform(-4, SIDE_PX + 4, (rng.integers(25, 60), 2)):
        _nucleus(haematoxylin, (y, x), rng.uniform(3.0, 4.5), 1.1, rng)
    nest = rng.integers(5, 9)
    if has_tumour:
        offset = rng.uniform(-_CENTRE_PX / 2 + 5, _CENTRE_PX / 2 - 5, (nest, 2))
        for y, x in SIDE_PX / 2 + offset:
            _nucleus(haematoxylin, (y, x), rng.uniform(6.0, 9.0), 0.75, rng)
    strength = rng.uniform(0.8, 1.25, 2)
    density = strength[0] * haematoxylin[..., None] * _HAEMATOXYLIN
    density = density + strength[1] * np.maximum(eosin, 0)[..., None] * _EOSIN
    noise = rng.normal(0, 3.0, (SIDE_PX, SIDE_PX, 3))
    return np.asarray(np.clip(245 * np.exp(-density) + noise, 0, 255), np.uint8)


def _nucleus(
    stain: NDArray[np.float64],
    centre: tuple[float, float],
    radius: float,
    darkness: float,
    rng: np.random.Generator,
) -> None:
    """Add one uneven disc with a soft edge to the stain."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    dy, dx = rows - centre[0], columns - centre[1]
    angle = np.arctan2(dy, dx)
    wobble = 1 + 0.15 * np.sin(rng.integers(2, 5) * angle + rng.uniform(0, 6.3))
    inside = 1 / (1 + np.exp((np.hypot(dy, dx) - radius * wobble) * 1.6))
    grain = 1 + 0.25 * rng.normal(size=stain.shape)
    stain += darkness * inside * np.maximum(grain, 0.3)


def _soft_noise(rng: np.random.Generator, sigma_px: float) -> NDArray[np.float64]:
    import cv2

    noise = cv2.GaussianBlur(rng.normal(size=(SIDE_PX, SIDE_PX)), (0, 0), sigma_px)
    return np.asarray(noise / max(float(noise.std()), 1e-9))
