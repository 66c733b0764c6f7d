"""Predict score volumes with a sliding window, and pick in them.

The window moves over the stride-2 grid of the answer, so that only scores at half resolution are
kept: seven channels of a 184 x 630 x 630 tomogram are 256 MB of float32.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.core.device import Precision, autocast, free_memory_bytes
from pipelines.core.inference import (
    Symmetries,
    fold_batch_norm,
    is_out_of_memory,
    list_symmetries,
)
from pipelines.core.tiling import Tile, TilePlan, Tiling, plan_tiles
from pipelines.errors import DeviceMemoryError
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.particles import Particle, names
from pipelines.tasks.cryoet_picking.peaks import Maxima, find_components, find_maxima
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.text import Text

Scores = NDArray[np.float32]
_SMALLEST_WINDOW_VOX = 32
_MOST_WINDOWS = 16  # a larger batch gains nothing, and makes stopping slow


@dataclass(frozen=True)
class Ready:
    """Hold a network made ready for prediction: folded, in evaluation mode, on its device.

    Attributes:
        model: The network.
        device: Where it computes.
        is_heat: Whether it answers with independent heat maps instead of exclusive classes.
    """

    model: Any  # a network of model.py
    device: torch.device
    is_heat: bool


def make_ready(model: Any, device: torch.device, *, is_heat: bool) -> Ready:
    """Copy a network, fold its normalisation and bring it to the device."""
    ready = copy.deepcopy(model).to(device).eval()
    fold_batch_norm(ready)
    return Ready(ready.to(memory_format=torch.channels_last_3d), device, is_heat)


def predict_scores(
    networks: Sequence[Ready],
    volume: NDArray[np.float16],
    config: Config,
    *,
    on_progress: Callable[[float], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> Scores:
    """Score every kind in a tomogram, averaged over networks and symmetries.

    Args:
        networks: One or more networks of one stride.
        volume: `(Z, Y, X)` float16 of unit spread.
        config: Window, overlap, symmetries, precision.
        on_progress: Told the share that is done.
        is_cancelled: Asked before each batch of windows; if true the rest stays 0, and there are
            no kinds at all before the first one.

    Returns:
        `(K, Z', Y', X')` float32 in [0, 1] on the grid of the answer, `Z' = ceil(Z / stride)`.

    Raises:
        DeviceMemoryError: Not even the smallest window fits.
    """
    fit: _Fit | None = _fit(networks[0], volume.shape, config)
    while fit is not None:
        try:
            return _slide(networks, volume, config, fit, on_progress, is_cancelled)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        fit = fit.smaller()
    raise DeviceMemoryError(Text("cryoet.no_memory", window=_SMALLEST_WINDOW_VOX))


@dataclass(frozen=True)
class _Fit:
    """Say how much goes through a network at once.

    Attributes:
        window_vox: Largest side of a window.
        batch: Windows computed together.
    """

    window_vox: int
    batch: int

    def smaller(self) -> _Fit | None:
        """Return what to try when memory ran out: fewer windows, then smaller ones, then None."""
        if self.batch > 1:
            return _Fit(self.window_vox, self.batch // 2)
        if self.window_vox <= _SMALLEST_WINDOW_VOX:
            return None
        return _Fit(max(_SMALLEST_WINDOW_VOX, self.window_vox // 2 // 16 * 16), 1)


def _fit(ready: Ready, shape: Sequence[int], config: Config) -> _Fit:
    """Choose window and batch whose features fit half of the free memory.

    Features of all levels are about 5 x width values a voxel of the finest level at 4 bytes, twice
    for the copies that convolutions make. On a CPU windows go one by one: one of 128 voxels keeps
    all cores busy, and two together leave the cache (see `tests/benchmarks/test_cryoet.py`).
    """
    finest = config.width if ready.model.stride == 2 else max(8, config.width // 2)
    per_voxel = 10 * 4 * 5 * finest / ready.model.stride**3
    is_cpu = ready.device.type == "cpu"
    budget = 0.5 * min(free_memory_bytes(ready.device), 4e9 if is_cpu else 1e12)
    fitting = int((budget / per_voxel) ** (1 / 3)) // 16 * 16
    window = min(config.window_vox, max(_SMALLEST_WINDOW_VOX, fitting))
    if is_cpu:
        return _Fit(window, 1)
    num_vox = math.prod(_sides(ready.model, shape, window))
    return _Fit(window, min(_MOST_WINDOWS, max(1, int(budget / (per_voxel * num_vox)))))


def _sides(model: Any, shape: Sequence[int], window: int) -> tuple[int, ...]:
    """Return the sides of a window in voxels: no larger than the volume asks for."""
    return tuple(min(window, _rounded(n, model.multiple)) for n in shape)


def _slide(
    networks: Sequence[Ready],
    volume: NDArray[np.float16],
    config: Config,
    fit: _Fit,
    on_progress: Callable[[float], None] | None,
    is_cancelled: Callable[[], bool] | None,
) -> Scores:
    model = networks[0].model
    stride = int(model.stride)
    coarse = tuple(-(-n // stride) for n in volume.shape)
    sides = tuple(n // stride for n in _sides(model, volume.shape, fit.window_vox))
    tiling = Tiling(sides, config.overlap, multiple=max(1, model.multiple // stride))
    plan = plan_tiles(coarse, tiling)
    scores: Scores | None = None
    for first in range(0, len(plan.tiles), fit.batch):
        if is_cancelled is not None and is_cancelled():
            break
        tiles = plan.tiles[first : first + fit.batch]
        starts = [_start(tile, plan) for tile in tiles]
        windows = [_cut(volume, s, t.size, stride) for s, t in zip(starts, tiles, strict=True)]
        answers = _answer(networks, np.stack(windows), config)
        if scores is None:
            scores = np.zeros((answers.shape[1], *coarse), np.float32)
        for answer, tile, start in zip(answers, tiles, starts, strict=True):
            _add(scores, answer, tile, start)
        if on_progress is not None:
            on_progress((first + len(tiles)) / len(plan.tiles))
    return np.zeros((0, *coarse), np.float32) if scores is None else scores


def _start(tile: Tile, plan: TilePlan) -> list[int]:
    return [a - p[0] for a, p in zip(tile.start, plan.padding, strict=True)]


def _rounded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _cut(
    volume: NDArray[np.float16], starts: Sequence[int], size: Sequence[int], stride: int
) -> NDArray[np.float32]:
    """Cut a window in full resolution; what lies outside is filled by reflection."""
    parts = []
    for start, length, limit in zip(starts, size, volume.shape, strict=True):
        index = np.arange(start * stride, (start + length) * stride)
        index = np.where(index < 0, -index, index)
        index = np.where(index >= limit, 2 * (limit - 1) - index, index)
        parts.append(np.clip(index, 0, limit - 1))
    z, y, x = parts
    low, high = int(z.min()), int(z.max()) + 1
    slab = volume[low:high, y.min() : y.max() + 1, x.min() : x.max() + 1]
    picked = slab[np.ix_(z - low, y - y.min(), x - x.min())]
    return np.asarray(picked, np.float32)


def _answer(
    networks: Sequence[Ready], windows: NDArray[np.float32], config: Config
) -> NDArray[np.float32]:
    """Score windows `(B, Z, Y, X)`; returns `(B, K, Z', Y', X')` in [0, 1]."""
    symmetries = list_symmetries(cast("Symmetries", config.symmetries), 3)
    total: Tensor | None = None
    with torch.inference_mode():
        for ready in networks:
            source = torch.from_numpy(windows)[:, None].to(ready.device)
            for symmetry in symmetries:
                with autocast(ready.device, cast("Precision", config.precision)):
                    logits = ready.model(symmetry.apply(source).contiguous())
                answer = symmetry.undo(activate(logits, is_heat=ready.is_heat))
                total = answer if total is None else total.add_(answer)
    assert total is not None
    return np.asarray(total.cpu().numpy(), np.float32) / np.float32(len(symmetries) * len(networks))


def activate(logits: Tensor, *, is_heat: bool) -> Tensor:
    """Turn logits into `(B, K, ...)` scores of the kinds; the background is left out."""
    if is_heat:
        return logits.float().sigmoid()
    return logits.float().softmax(1)[:, 1:]


def _add(scores: Scores, answer: Scores, tile: Tile, starts: Sequence[int]) -> None:
    weighted = answer * tile.share()
    inside, source = [slice(None)], [slice(None)]
    for start, length, limit in zip(starts, tile.size, scores.shape[1:], strict=True):
        low, high = max(start, 0), min(start + length, limit)
        inside.append(slice(low, high))
        source.append(slice(low - start, high - start))
    scores[tuple(inside)] += weighted[tuple(source)]


def pick(
    scores: Scores,
    particles: Sequence[Particle],
    geometry: Geometry,
    config: Config,
    *,
    experiment: str,
) -> Picks:
    """Find the picks of every kind in score volumes.

    Args:
        scores: `(K, Z', Y', X')` float32 from `predict_scores`.
        particles: The K kinds.
        geometry: Of the full-size tomogram.
        config: How maxima or components are sought.
        experiment: Name of the tomogram.

    Returns:
        Picks in angstrom with scores, of all kinds.
    """
    stride = round(geometry.shape[0] / scores.shape[1])
    spacing = geometry.spacing_angstrom * stride
    tables = []
    for k, particle in enumerate(particles):
        places, values = _pick_kind(scores[k], particle, config, spacing)
        places = (places + 0.5) * stride - 0.5  # see patches.cut_patch
        index = np.full(len(places), k)
        positions = geometry.to_angstrom(places)
        tables.append(Picks.of_one(experiment, names(particles), index, positions, values))
    return Picks.concatenate(tables)


def _pick_kind(
    scores: Scores, particle: Particle, config: Config, spacing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if config.picking == "components":
        return find_components(
            scores,
            particle,
            threshold=config.component_threshold,
            min_share=config.min_component_share,
            spacing_angstrom=spacing,
            share=config.radius_share,
        )
    options = Maxima(config.min_score, config.smoothing_share, config.exclusion_share)
    return find_maxima(
        scores, particle, options, spacing_angstrom=spacing, share=config.radius_share
    )
