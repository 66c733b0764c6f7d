"""Predict sections: the network at one or several sizes, averaged, and gaps closed.

A membrane network is surest of membranes as wide as those it was trained on. Averaging what it says
of a section at several sizes costs three times the time and makes fewer single mistakes: V_Rand
0.0008 and V_Info 0.0006 higher on average over six networks (`docs/experiments.md`), more on
sections of another magnification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pipelines.core.device import Precision
from pipelines.core.inference import Symmetries, TiledInference, predict_images
from pipelines.core.tiling import Tiling
from pipelines.tasks.em_membrane.config import Config, ModelOptions
from pipelines.tasks.em_membrane.gaps import close_gaps
from pipelines.tasks.em_membrane.loss import inside_probability

Floats = npt.NDArray[np.float32]

SIZES: Final[Mapping[str, tuple[float, ...]]] = {"one": (1.0,), "four": (1.0, 0.7, 0.85, 1.2)}
_AROUND_PX: Final = 40.0  # sigma: several cells, so that no cell is its own background
_FAINTEST: Final = 0.22  # smallest deviation that counts, in those of the whole section


def predict_probabilities(
    model: nn.Module,
    images: Sequence[npt.NDArray[Any]],
    config: Config,
    device: torch.device,
    *,
    is_cancelled: Callable[[], bool] | None = None,
) -> Iterator[Floats]:
    """Predict the probability of being inside a cell, section by section.

    Args:
        model: As built from `config`.
        images: Each `(H, W)`, of any type and range; read when its turn comes.
        config: Network, tiles and averaging.
        device: Where to compute.
        is_cancelled: Asked before each batch of tiles; if true no further section is yielded.

    Yields:
        For each image `(H, W)` float32 in [0, 1].
    """
    walks = [
        predict_images(
            model,
            _AtSize(images, size, config),
            inference_of(config, size),
            device=device,
            is_cancelled=is_cancelled,
        )
        for size in SIZES[config.sizes]
    ]
    for found in zip(*walks, strict=False):  # in step, so that memory holds one section
        first = found[0][0]
        total = sum(resize(scores[0], first.shape) for scores in found)
        yield finish(np.clip(total / len(found), 0, 1).astype(np.float32), config)


def predict_sections(
    model: nn.Module, images: Sequence[npt.NDArray[Any]], config: Config, device: torch.device
) -> list[Floats]:
    """Predict all of some sections; see `predict_probabilities`."""
    return list(predict_probabilities(model, images, config, device))


def inference_of(config: Config, size: float = 1.0) -> TiledInference:
    """Say how sections are predicted: tiles, averaging, and the probability of being inside.

    Args:
        config: Options of the prediction.
        size: Factor by which sections are enlarged; tiles grow with them.
    """
    side = max(int(np.ceil(config.tile_px * size)), 1)
    return TiledInference(
        tiling=Tiling((side, side), config.tile_overlap, config.multiple),
        symmetries=cast(Symmetries, config.symmetries),
        precision=cast(Precision, config.precision),
        activation=lambda scores: inside_probability(scores)[:, None],
    )


def standardise(image: npt.NDArray[Any], config: ModelOptions) -> Floats:
    """Bring the grey values of a section into the range that the network is trained on.

    Under "section" the whole of it gets mean 0 and standard deviation 1. Under "local" each pixel
    is then seen against the mean and the deviation around it, so that stain that grows towards one
    side, or a shadow, is gone before the network looks. `_FAINTEST` keeps an empty place empty.

    Args:
        image: `(H, W)` grey values of any type and range.
        config: Says which.

    Returns:
        `(H, W)` float32.
    """
    values = np.asarray(image, np.float32)
    whole = np.asarray((values - values.mean()) / (values.std() or 1.0), np.float32)
    if config.grey_scale == "section":
        return whole
    away = whole - _around(whole)
    return np.asarray(away / np.sqrt(_around(away * away) + _FAINTEST**2), np.float32)


def resize(image: Floats, shape: tuple[int, ...]) -> Floats:
    """Bring an image to another size, averaging where it shrinks.

    Args:
        image: `(H, W)` float32.
        shape: The size wanted.
    """
    if image.shape == shape:
        return image
    way = cv2.INTER_AREA if shape < image.shape else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=way), np.float32)


def finish(probability: Floats, config: Config) -> Floats:
    """Do what follows the network: close gaps in the membranes, if the options ask for it.

    Args:
        probability: `(H, W)` probability of being inside a cell, as the network gives it.
        config: Options of the prediction.
    """
    return close_gaps(probability) if config.close_gaps else probability


def _around(image: Floats) -> Floats:
    """Average over a Gaussian neighbourhood, mirrored at the rim."""
    mean = cv2.GaussianBlur(image, (0, 0), _AROUND_PX, borderType=cv2.BORDER_REFLECT)
    return np.asarray(mean, np.float32)


class _AtSize(Sequence[Any]):
    """Give sections to the network as it wants them, at a size, each read when its turn comes."""

    def __init__(
        self, images: Sequence[npt.NDArray[Any]], size: float, config: ModelOptions
    ) -> None:
        self._images = images
        self._size = size
        self._config = config

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:  # one index in practice
        image = np.asarray(self._images[index], np.float32)
        shape = tuple(max(round(side * self._size), 1) for side in image.shape)
        return standardise(resize(image, shape), self._config)[None]
