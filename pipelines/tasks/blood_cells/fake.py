"""Cells drawn by code: round or notched, smooth or clumped, each subject with a stain of its own.

They are called generated wherever they are shown. The colour of a subject says nothing of its
class, so that a model which learns colours fails on new subjects, as on real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.images import Pixels

SIDE_PX: Final = 450
NUM_CELLS: Final = 144
NUM_SUBJECTS: Final = 12


@dataclass(frozen=True)
class Cell:
    """Hold one generated cell.

    Attributes:
        pixels: `(450, 450, 3)` uint8, the cell centred on black.
        label: 0 healthy, 1 leukaemic.
        subject: Whose it is; a subject has one class.
        number: Place among the subject's cells.
    """

    pixels: Pixels
    label: int
    subject: str
    number: int


def make_cells(count: int, num_subjects: int, rng: np.random.Generator) -> list[Cell]:
    """Generate cells, every second subject healthy."""
    stains = rng.normal(0, 1, (num_subjects, 3))
    cells = []
    for i in range(count):
        owner = i % num_subjects
        label = owner % 2
        subject = f"{owner + 1}" if label else f"H{owner + 1}"
        pixels = _draw(label, stains[owner], rng)
        cells.append(Cell(pixels, label, subject, i // num_subjects + 1))
    return cells


def write_sample(folder: Path) -> None:
    """Write generated cells in the layout of C-NMC, one fold."""
    from PIL import Image

    for cell in make_cells(NUM_CELLS, NUM_SUBJECTS, np.random.default_rng(11)):
        kind = ("hem", "all")[cell.label]
        place = folder / "training_data" / "fold_0" / kind
        place.mkdir(parents=True, exist_ok=True)
        name = f"UID_{cell.subject}_{cell.number}_1_{kind}.bmp"
        Image.fromarray(cell.pixels).save(place / name)


def _draw(label: int, stain: NDArray[Any], rng: np.random.Generator) -> Pixels:
    """Draw a cell: leukaemic ones are larger, smoother and less round."""
    import cv2

    half = 100
    rows, columns = np.mgrid[-half:half, -half:half].astype(np.float64)
    angle = np.arctan2(rows, columns)
    radius = rng.normal(66 if label else 54, 6)
    wobble = (0.10 if label else 0.05) * np.sin(2 * angle + rng.uniform(0, 6.3))
    notch = (0.08 if label else 0.02) * np.sin(3 * angle + rng.uniform(0, 6.3))
    inside = np.hypot(rows, columns) < radius * (1 + wobble + notch)
    size = 7.0 if label else 3.5
    clumps = cv2.GaussianBlur(rng.normal(size=rows.shape), (0, 0), size)
    clumps = clumps / clumps.std() * (9 if label else 14)
    colour = np.array([78, 32, 96]) + stain * np.array([10, 8, 12])
    cell = colour + clumps[..., None] * np.array([1.0, 0.6, 1.0])
    cell = cell + rng.normal(0, 2, cell.shape)
    pixels = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    start = SIDE_PX // 2 - half
    patch = np.clip(cell, 1, 255) * inside[..., None]
    pixels[start : start + 2 * half, start : start + 2 * half] = patch.astype(np.uint8)
    return pixels
