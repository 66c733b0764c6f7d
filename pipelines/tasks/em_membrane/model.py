"""Networks from one grey channel to two classes: the U-Net at any size, and the model library's.

All of them take `(B, 1, H, W)` standardised grey values and return `(B, 2, H, W)` scores of
membrane and inside. In training the U-Net may add a second head that says whether pairs of pixels
lie in one cell; `training_scores` returns both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.core.seeding import torch_seeded
from pipelines.errors import ConfigError
from pipelines.tasks.em_membrane.config import ARCHITECTURES, ENCODERS, ModelOptions
from pipelines.text import Text

_LIBRARY_NAMES: Final = {
    "smp_unet": "Unet", "smp_unetplusplus": "UnetPlusPlus", "smp_fpn": "FPN",
}  # fmt: skip
NUM_CLASSES: Final = 2


class UNet(nn.Module):
    """The U-Net (Ronneberger 2015) with same padding and batch normalisation.

    Same padding, so that a section keeps its size and needs no mirrored frame of 92 px; batch
    normalisation, so that a start from random weights needs minutes and not hours.
    """

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.stem = options.stem
        pixels = options.stem**2
        channels = [options.base_channels * 2**level for level in range(options.depth + 1)]
        self.encoder = nn.ModuleList(
            _block(before, after)
            for before, after in zip([pixels, *channels], channels, strict=False)
        )
        self.upward = nn.ModuleList(
            nn.ConvTranspose2d(below, above, 2, stride=2)
            for above, below in itertools.pairwise(channels)
        )
        self.decoder = nn.ModuleList(_block(2 * c, c) for c in channels[:-1])
        self.dropout = nn.Dropout2d(options.dropout)
        self.head = nn.Conv2d(channels[0], NUM_CLASSES * pixels, 1)
        self.pair_head = (
            nn.Conv2d(channels[0], options.num_affinities * pixels, 1)
            if options.num_affinities
            else None
        )

    def forward(self, image: Tensor) -> Tensor:
        """Score each pixel.

        Args:
            image: `(B, 1, H, W)` standardised grey values; sides multiples of `stem x 2^depth`.

        Returns:
            `(B, 2, H, W)` scores of membrane and inside.
        """
        return self._classes(self.features(image))

    def training_scores(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the scores of the classes and of the pairs, from one pass.

        Returns:
            `(B, 2, H, W)` scores of membrane and inside, and `(B, K x stem^2, H / stem, W / stem)`
            scores of "in one cell", in the order that `pair_targets` has, or None without that
            head. Pairs stay in blocks: taking 8 maps apart would cost as much as a level.
        """
        features = self.features(image)
        pairs = None if self.pair_head is None else self.pair_head(features)
        return self._classes(features), pairs

    def features(self, image: Tensor) -> Tensor:
        """Compute the last level's maps, `(B, base_channels, H / stem, W / stem)`."""
        x = functional.pixel_unshuffle(image, self.stem) if self.stem > 1 else image
        skipped = []
        for level, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skipped.append(x)
        skipped.pop()
        x = self.dropout(x)  # of the coarsest maps: what a whole neighbourhood looks like
        for upward, block in zip(reversed(self.upward), reversed(self.decoder), strict=True):
            x = block(torch.cat([upward(x), skipped.pop()], 1))
        return x

    def _classes(self, features: Tensor) -> Tensor:
        scores: Tensor = self.head(features)
        return functional.pixel_shuffle(scores, self.stem) if self.stem > 1 else scores


def build_model(
    options: ModelOptions, *, seed: int = 0, note: Callable[[Text], None] | None = None
) -> nn.Module:
    """Build a network.

    Args:
        options: Which one.
        seed: Seed of the random weights.
        note: Told when pretrained weights cannot be had, and the encoder starts from scratch.

    Raises:
        ConfigError: No such architecture or encoder, or the two do not fit each other.
    """
    if options.architecture not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        raise ConfigError(
            Text("em_train.architecture_unknown", value=options.architecture, allowed=allowed)
        )
    with torch_seeded(seed):
        return UNet(options) if options.architecture == "unet" else _build_library(options, note)


def count_parameters(model: nn.Module) -> int:
    """Count the trainable numbers of a network."""
    return sum(p.numel() for p in model.parameters())


def _block(before: int, after: int) -> nn.Sequential:
    """Return two 3 x 3 convolutions, each with normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _build_library(options: ModelOptions, note: Callable[[Text], None] | None) -> nn.Module:
    if options.is_pretrained:
        try:
            return _library_model(options, weights="imagenet")
        except (OSError, RuntimeError) as error:  # no network, no mirror, a broken download
            if isinstance(error, ConfigError):
                raise
            if note is not None:
                note(Text("em_train.no_pretrained", encoder=options.encoder))
    return _library_model(options, weights=None)


def _library_model(options: ModelOptions, weights: str | None) -> nn.Module:
    import segmentation_models_pytorch as smp  # type: ignore[import-untyped]

    build = getattr(smp, _LIBRARY_NAMES[options.architecture])
    if options.encoder not in ENCODERS:
        raise ConfigError(
            Text("em_train.encoder_unknown", value=options.encoder, allowed=", ".join(ENCODERS))
        )
    try:
        model: nn.Module = build(
            options.encoder, encoder_weights=weights, in_channels=1, classes=NUM_CLASSES
        )
    except ValueError as error:  # the library's way to refuse a pair
        raise ConfigError(
            Text(
                "em_train.encoder_misfit",
                encoder=options.encoder,
                architecture=_LIBRARY_NAMES[options.architecture],
            )
        ) from error
    return model
