"""Run a network over images of any size, in two or three dimensions, within a memory budget.

Tiles of several images share a batch, so that many small sections cost no more than one large one.
Each finished image is handed on at once and forgotten. When memory runs out all the same, the batch
is halved and the tiles are tried again.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pipelines.core.device import Precision, autocast, free_memory_bytes
from pipelines.core.tiling import Tile, TilePlan, Tiling, pad_image, plan_tiles, size_words
from pipelines.errors import DataFormatError, DeviceMemoryError
from pipelines.text import Text

if TYPE_CHECKING:
    import torch

Image = npt.NDArray[Any]
Scores = npt.NDArray[np.float32]
Activation = Callable[["torch.Tensor"], "torch.Tensor"]
Symmetries = Literal["none", "flips", "all"]

# On a CPU a batch beyond one 512 x 512 tile leaves the cache: 58 ms a section in fours, 42 ms alone
_PIXELS_PER_BATCH: Final = {"cpu": 512 * 512, "mps": 4 * 512 * 512, "cuda": 16 * 512 * 512}
_CPU_BUDGET_BYTES: Final = 900_000_000
_SMALLEST_TILE_PX: Final = 32


@dataclass(frozen=True)
class TiledInference:
    """Say how images are predicted.

    Attributes:
        tiling: Tile size, overlap, and what the network's sides must be multiples of.
        symmetries: What is averaged over: nothing; flips (4 in 2D, 8 with z); or flips and quarter
            turns in the (y, x) plane (8 in 2D, 16 with z).
        precision: "auto" takes the device's fast precision, "full" float32.
        memory_bytes: What the network's intermediate results may take; chosen from the memory that
            is free if None.
        batch_tiles: Tiles computed at once; chosen from device and memory if None.
        activation: From logits `(B, K, *spatial)` to the scores that are blended and averaged;
            softmax over `K` if None. It may return fewer channels.
    """

    tiling: Tiling
    symmetries: Symmetries = "none"
    precision: Precision = "auto"
    memory_bytes: int | None = None
    batch_tiles: int | None = None
    activation: Activation | None = None


def predict_images(
    model: torch.nn.Module,
    images: Sequence[Image],
    options: TiledInference,
    *,
    device: torch.device,
    on_progress: Callable[[float, int], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> Iterator[Scores]:
    """Predict images one after the other.

    Args:
        model: Network from `(B, C, *spatial)` float32 to `(B, K, *spatial)`; it is left as it is.
        images: Each `(C, *spatial)`, two or three spatial axes, sizes may differ; each is read when
            its turn comes, and turned into float32.
        options: Tiling, averaging, precision, memory.
        device: Where to compute.
        on_progress: Called with the number of images done, with its fraction, and their total.
        is_cancelled: Asked before each batch; if true no further image is yielded.

    Yields:
        For each image, in order, `(K, *spatial)` float32.

    Raises:
        DataFormatError: An image is empty or has other axes than the tiling.
        DeviceMemoryError: Memory ran out with a single tile.
    """
    if not len(images):
        return
    _check_image(images[0], options.tiling)
    runner = _Runner.prepare(model, images[0].shape[0], options, device)
    waiting: list[tuple[_Stitch, Tile]] = []
    unfinished: deque[_Stitch] = deque()
    num_done = 0
    for stitch, tile, is_last in _walk_tiles(images, runner.tiling):
        if tile is stitch.plan.tiles[0]:
            unfinished.append(stitch)
        must_flush = bool(waiting) and waiting[0][1].size != tile.size
        batches = [waiting] if must_flush else []
        waiting = [(stitch, tile)] if must_flush else [*waiting, (stitch, tile)]
        if len(waiting) >= runner.batch_tiles or is_last:
            batches, waiting = [*batches, waiting], []
        for batch in batches:
            if is_cancelled is not None and is_cancelled():
                return
            runner.run(batch)
        while unfinished and unfinished[0].num_missing == 0:
            num_done += 1
            yield unfinished.popleft().result()
        if on_progress is not None and batches:
            on_progress(num_done + sum(s.fraction for s in unfinished), len(images))


def fit_to_memory(
    model: torch.nn.Module,
    num_channels: int,
    options: TiledInference,
    device: torch.device,
) -> tuple[Tiling, int]:
    """Choose the largest tile up to the wished one, and the batch, that fit into the memory.

    The need is measured with one small tile: all intermediate results together, which is more than
    ever lives at once.

    Args:
        model: On `device`, in evaluation mode.
        num_channels: Channels of its input.
        options: The wishes.
        device: Where to compute.

    Returns:
        The tiling, its tile halved along the longest side as often as needed, and the number of
        tiles in a batch.
    """
    budget = options.memory_bytes or _default_budget(device)
    tiling = options.tiling
    per_pixel = _bytes_per_pixel(model, num_channels, options, device)
    smallest = max(_SMALLEST_TILE_PX, tiling.multiple)
    while per_pixel * math.prod(tiling.tile_px) > budget and max(tiling.tile_px) > smallest:
        longest = tiling.tile_px.index(max(tiling.tile_px))
        halved = -(-tiling.tile_px[longest] // (2 * tiling.multiple)) * tiling.multiple
        sides = tuple(halved if i == longest else n for i, n in enumerate(tiling.tile_px))
        tiling = replace(tiling, tile_px=sides)
    pixels = math.prod(tiling.tile_px)
    if options.batch_tiles is not None:
        return tiling, options.batch_tiles
    wished = _PIXELS_PER_BATCH.get(device.type, 512 * 512) // pixels
    return tiling, max(1, min(wished, int(budget // (per_pixel * pixels))))


def fold_batch_norm(model: torch.nn.Module) -> int:
    """Fold each batch normalisation that follows a convolution in a `Sequential` into it, in place.

    In evaluation both are linear, so one product does for two; a fifth of a U-Net's time is saved.

    Returns:
        How many were folded.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    num_folded = 0
    blocks = [m for m in model.modules() if isinstance(m, nn.Sequential)]
    for block in [b for b in blocks if type(b).forward is nn.Sequential.forward]:
        for index in range(len(block) - 1):
            conv, norm = block[index], block[index + 1]
            if isinstance(conv, (nn.Conv2d, nn.Conv3d)) and isinstance(norm, _BatchNorm):
                block[index] = fuse_conv_bn_eval(conv, norm)
                block[index + 1] = nn.Identity()
                num_folded += 1
    return num_folded


@dataclass
class _Stitch:
    """Gather the tiles of one image."""

    plan: TilePlan
    image: Image
    num_missing: int
    canvas: Scores | None = None

    @classmethod
    def begin(cls, image: Image, tiling: Tiling) -> _Stitch:
        _check_image(image, tiling)
        plan = plan_tiles(image.shape[1:], tiling)
        return cls(plan, pad_image(image, plan), len(plan.tiles))

    @property
    def fraction(self) -> float:
        return 1 - self.num_missing / len(self.plan.tiles)

    def cut(self, tile: Tile) -> Image:
        return np.asarray(self.image[(slice(None), *tile.slices)], np.float32)

    def add(self, tile: Tile, scores: Scores) -> None:
        if len(self.plan.tiles) == 1:
            self.canvas = scores
        else:
            if self.canvas is None:
                shape = (len(scores), *self.plan.padded_shape)
                self.canvas = np.zeros(shape, np.float32)
            self.canvas[(slice(None), *tile.slices)] += scores * tile.share()
        self.num_missing -= 1

    def result(self) -> Scores:
        assert self.canvas is not None
        return np.ascontiguousarray(self.canvas[(slice(None), *self.plan.inner)])


@dataclass
class _Runner:
    """Compute batches of tiles with a model that was made ready for it."""

    model: torch.nn.Module
    device: torch.device
    options: TiledInference
    tiling: Tiling
    batch_tiles: int

    @classmethod
    def prepare(
        cls,
        model: torch.nn.Module,
        num_channels: int,
        options: TiledInference,
        device: torch.device,
    ) -> _Runner:
        ready = copy.deepcopy(model).to(device).eval()
        fold_batch_norm(ready)
        ready = ready.to(memory_format=_memory_format(len(options.tiling.tile_px)))
        tiling, batch_tiles = fit_to_memory(ready, num_channels, options, device)
        return cls(ready, device, options, tiling, batch_tiles)

    def run(self, batch: Sequence[tuple[_Stitch, Tile]]) -> None:
        """Compute tiles and add them to their images, in smaller batches if memory runs out."""
        scores = self._compute_or_none(batch)
        if scores is None:  # outside the handler: its traceback would keep the tensors alive
            _empty_cache(self.device)
            if len(batch) == 1:
                free = free_memory_bytes(self.device)
                size = size_words(batch[0][1].size)
                raise DeviceMemoryError(Text("compute.out_of_memory", tile=size, free=free))
            half = len(batch) // 2
            self.batch_tiles = min(self.batch_tiles, half)
            self.run(batch[:half])
            self.run(batch[half:])
            return
        for (stitch, tile), tile_scores in zip(batch, scores, strict=True):
            stitch.add(tile, tile_scores)

    def _compute_or_none(self, batch: Sequence[tuple[_Stitch, Tile]]) -> Scores | None:
        try:
            return self._compute(np.stack([stitch.cut(tile) for stitch, tile in batch]))
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return None
            raise

    def _compute(self, tiles: Image) -> Scores:
        import torch

        num_axes = tiles.ndim - 2
        layout = _memory_format(num_axes)
        activation = self.options.activation or _softmax
        symmetries = list_symmetries(self.options.symmetries, num_axes)
        with torch.inference_mode(), autocast(self.device, self.options.precision):
            source = torch.from_numpy(tiles).to(self.device)
            total: torch.Tensor | float = 0.0
            for symmetry in symmetries:
                turned = symmetry.apply(source).contiguous(memory_format=layout)
                total = total + symmetry.undo(activation(self.model(turned).float()))
            mean = torch.as_tensor(total / len(symmetries))
            return np.asarray(mean.contiguous().cpu().numpy(), np.float32)


@dataclass(frozen=True)
class Symmetry:
    """Hold one of the ways to turn an image onto a grid like its own.

    Attributes:
        quarter_turns: In the (y, x) plane, 0 to 3, done first.
        flips_x: Whether x is mirrored after it.
        flips_z: Whether z is mirrored.
    """

    quarter_turns: int = 0
    flips_x: bool = False
    flips_z: bool = False

    def apply(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn `(..., Y, X)` or `(..., Z, Y, X)`."""
        import torch

        turned = torch.rot90(batch, self.quarter_turns, (-2, -1)) if self.quarter_turns else batch
        axes = self._flipped_axes()
        return turned.flip(axes) if axes else turned

    def undo(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn back what `apply` turned."""
        import torch

        axes = self._flipped_axes()
        flipped = batch.flip(axes) if axes else batch
        turns = self.quarter_turns
        return torch.rot90(flipped, -turns, (-2, -1)) if turns else flipped

    def _flipped_axes(self) -> tuple[int, ...]:
        return (*((-1,) if self.flips_x else ()), *((-3,) if self.flips_z else ()))


def list_symmetries(kind: Symmetries, num_axes: int) -> list[Symmetry]:
    """List the symmetries of a kind; each set is a group, so that averaging makes equivariant."""
    if kind == "none":
        return [Symmetry()]
    turns = (0, 2) if kind == "flips" else (0, 1, 2, 3)
    z_flips = (False, True) if num_axes == 3 else (False,)
    return [Symmetry(*way) for way in itertools.product(turns, (False, True), z_flips)]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on any device."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = str(error).lower()
    return any(sign in words for sign in ("out of memory", "can't allocate", "not enough memory"))


def _walk_tiles(images: Sequence[Image], tiling: Tiling) -> Iterator[tuple[_Stitch, Tile, bool]]:
    """Open the images one by one; tell of each tile whether it is the very last."""
    for index in range(len(images)):
        stitch = _Stitch.begin(images[index], tiling)
        for place, tile in enumerate(stitch.plan.tiles, start=1):
            yield stitch, tile, index + 1 == len(images) and place == len(stitch.plan.tiles)


def _check_image(image: Image, tiling: Tiling) -> None:
    axes = len(tiling.tile_px)
    if image.ndim != axes + 1 or image.size == 0:
        raise DataFormatError(Text("compute.bad_image", shape=size_words(image.shape), axes=axes))


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(1)


def _memory_format(num_axes: int) -> torch.memory_format:
    import torch

    return torch.channels_last if num_axes == 2 else torch.channels_last_3d


def _default_budget(device: torch.device) -> float:
    free = free_memory_bytes(device)
    return 0.6 * free if device.type == "cuda" else min(_CPU_BUDGET_BYTES, 0.5 * free)


def _bytes_per_pixel(
    model: torch.nn.Module, num_channels: int, options: TiledInference, device: torch.device
) -> float:
    """Measure all layers' results for one small tile, in bytes for each pixel of the input."""
    import torch

    num_axes = len(options.tiling.tile_px)
    side = -(-_SMALLEST_TILE_PX // options.tiling.multiple) * options.tiling.multiple
    sizes: list[int] = []

    def note_size(_module: torch.nn.Module, inputs: Any, output: Any) -> None:  # a hook's types
        is_in_place = any(output is given for given in inputs)
        if isinstance(output, torch.Tensor) and not is_in_place:
            sizes.append(output.numel() * output.element_size())

    leaves = [m for m in model.modules() if not list(m.children())]
    hooks = [leaf.register_forward_hook(note_size) for leaf in leaves]
    try:
        with torch.inference_mode(), autocast(device, options.precision):
            model(torch.zeros((1, num_channels, *[side] * num_axes), device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return max(1.0, sum(sizes) / float(side**num_axes))


def _empty_cache(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
