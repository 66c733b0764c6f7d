"""Draw the strip of pictures above each task on the home page, from its built-in sample.

    python -m tests.covers              # writes pipelines/tasks/<task>/cover.webp of every task
    python -m tests.covers em_membrane  # of the tasks named

A task whose truth is a class shows classes; any other shows what its first panel of single items
shows of its data, unless this module draws it by hand. The strips are kept in the repository
because the samples take seconds to write, and home opens at once.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw
from scipy import ndimage

from pipelines import datasets, registry
from pipelines.contract import PanelContext, Sample, Task
from pipelines.evidence.pixels import flatten_pane
from pipelines.palette import SEQUENCE, colour
from pipelines.settings import Settings, load_settings
from pipelines.views import ImageView

TILES = 5
SIDE_PX = 140
GAP_PX = 8
WIDTH_PX = TILES * SIDE_PX + (TILES - 1) * GAP_PX
_QUALITY = 82
_BAR_PX = 7


def draw_cover(task_id: str, settings: Settings) -> Image.Image:
    """Draw the strip of a task: five squares, the gaps between them transparent."""
    task = registry.get_task(task_id)
    samples = task.open_dataset(datasets.builtin_sample(task, settings))
    truth = next(sample.truth for sample in samples if sample.truth is not None)
    is_class = isinstance(truth, (int, np.integer))
    usual = _classes if is_class else functools.partial(_first_looks, task)
    tiles = _TILES.get(task_id, usual)(samples)
    strip = Image.new("RGBA", (WIDTH_PX, SIDE_PX))
    for place, tile in enumerate(tiles):
        strip.paste(tile.convert("RGBA"), (place * (SIDE_PX + GAP_PX), 0))
    return strip


def _sections(samples: Sequence[Sample]) -> list[Image.Image]:
    """A section, its membrane, its cells; and the same of another one."""
    tiles = []
    for sample, looks in (
        (samples[0], ("plain", "membrane", "cells")),
        (samples[4], ("plain", "cells")),
    ):
        corner = (slice(20, 20 + SIDE_PX), slice(60, 60 + SIDE_PX))
        grey = _grey(np.asarray(sample.image)[corner])
        inside = np.asarray(sample.truth)[corner] > 0
        tiles += [Image.fromarray(_overlaid(grey, inside, look)) for look in looks]
    return tiles


def _overlaid(grey: np.ndarray, inside: np.ndarray, look: str) -> np.ndarray:
    pixels = np.repeat(grey[..., None], 3, axis=2).astype(float)
    if look == "membrane":
        pixels[~inside] = 0.35 * pixels[~inside] + 0.65 * np.array(
            ImageColor.getrgb(colour("membrane"))
        )
    if look == "cells":
        cells, count = ndimage.label(inside)
        for number in range(1, count + 1):
            tint = np.array(ImageColor.getrgb(SEQUENCE[number % len(SEQUENCE)]))
            pixels[cells == number] = 0.5 * pixels[cells == number] + 0.5 * tint
    return pixels.astype(np.uint8)


def _tomograms(samples: Sequence[Sample]) -> list[Image.Image]:
    """Sections of tomograms, all but the first with what stands in them."""
    places = ((0, 32), (0, 32), (1, 20), (1, 40), (2, 32))
    return [_slab(samples[item], z, has_marks=k > 0) for k, (item, z) in enumerate(places)]


def _slab(sample: Sample, z: int, *, has_marks: bool) -> Image.Image:
    volume = np.asarray(sample.image)
    grey = _grey(volume[z - 2 : z + 3].mean(axis=0))
    scale = SIDE_PX / grey.shape[0] * 2
    tile = Image.fromarray(grey).resize((SIDE_PX * 2, SIDE_PX * 2), Image.Resampling.BICUBIC)
    tile = tile.convert("RGB")
    if has_marks:
        _draw_marks(ImageDraw.Draw(tile), sample, z, scale)
    return tile.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


def _draw_marks(draw: ImageDraw.ImageDraw, sample: Sample, z: int, scale: float) -> None:
    picks, particles = sample.truth.picks, sample.truth.particles
    spacing = sample.meta["geometry"].spacing_angstrom
    names = [p.name for p in particles]
    for index, position in zip(picks.kind_index, picks.positions, strict=True):
        kind = names.index(picks.kinds[index])
        at = np.asarray(position) / spacing
        radius = particles[kind].radius_angstrom / spacing
        across = radius**2 - (at[0] - z) ** 2
        if across > 0:
            y, x, r = at[1] * scale, at[2] * scale, max(across**0.5, 0.5 * radius) * scale
            draw.ellipse((x - r, y - r, x + r, y + r), outline=colour(f"kind_{kind + 1}"), width=5)


def _first_looks(task: Task, samples: Sequence[Sample]) -> list[Image.Image]:
    """What the first panel on data shows of five items: image and overlay in turn."""
    panel = next(p for p in task.panels() if p.step == "data" and p.is_per_item)
    controls = panel.controls() if panel.controls is not None else None
    tiles = []
    for place in range(TILES):
        context = PanelContext(None, samples, place % len(samples), task.config_type())
        views = panel.compute(context, controls)
        panes = next(view.panes for view in views if isinstance(view, ImageView))
        tiles.append(_squared(flatten_pane(panes[-1 if place % 2 else 0])))
    return tiles


def _squared(pixels: np.ndarray) -> Image.Image:
    """Return the middle of a picture, as wide as it is high."""
    picture = Image.fromarray(pixels)
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


def _classes(samples: Sequence[Sample]) -> list[Image.Image]:
    """Pictures of the classes in turn; the bar below tells the class."""
    classes = sorted({int(s.truth) for s in samples if s.truth is not None})
    by_class = {
        c: [s for s in samples if s.truth is not None and int(s.truth) == c] for c in classes
    }
    tiles = []
    for place in range(TILES):
        name = classes[place % len(classes)]
        tiles.append(_labelled(by_class[name][3 * place], name))
    return tiles


def _labelled(sample: Sample, name: int) -> Image.Image:
    picture = Image.fromarray(np.asarray(sample.image))
    filled = np.asarray(picture).max(axis=2) > 0
    if filled.mean() < 0.5:  # a cell on black: its surroundings say nothing
        picture = picture.crop(_around(filled))
    tile = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    bar = (0, SIDE_PX - _BAR_PX, SIDE_PX, SIDE_PX)
    ImageDraw.Draw(tile).rectangle(bar, fill=SEQUENCE[name])
    return tile


def _around(filled: np.ndarray) -> tuple[int, int, int, int]:
    """Return a square around what is filled, as left, top, right, bottom."""
    rows, columns = np.nonzero(filled)
    y, x = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    half = 0.62 * max(np.ptp(rows), np.ptp(columns))
    return int(x - half), int(y - half), int(x + half), int(y + half)


def _grey(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (0.5, 99.5))
    return (255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)


_TILES: dict[str, Callable[[Any], list[Image.Image]]] = {
    "em_membrane": _sections,
    "cryoet_picking": _tomograms,
}


def main() -> None:
    """Write the strip of every task, or of those named."""
    import os
    import sys

    with tempfile.TemporaryDirectory() as home:
        os.environ["MICROSCOPY_HOME"] = home
        for task_id in sys.argv[1:] or registry.task_ids():
            path = registry.cover_of(task_id)
            draw_cover(task_id, load_settings()).save(path, quality=_QUALITY, method=6)
            print(path, path.stat().st_size)  # noqa: T201 - a tool for developers


if __name__ == "__main__":
    main()
