"""Networks that find particles: a light one of our own, and three of MONAI.

All take `(B, 1, Z, Y, X)` float32 of unit spread. The light network answers at half resolution:
20 angstrom a voxel is finer than half of the smallest particle's hit radius, and full-resolution
layers would be most of the cost (a 16-channel one alone as much as the whole of this network).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.core.checkpoints import load_card, load_weights
from pipelines.errors import CheckpointMismatchError, ConfigError
from pipelines.text import Text


class LightUNet(nn.Module):
    """Find particles with a residual U-Net whose finest level is half resolution.

    The stem turns each 2 x 2 x 2 cell into channels, so that nothing is lost before the first
    convolution. Convolutions are followed by batch normalisation, which inference folds away.

    Attributes:
        stride: Voxels of the input for one of the output, along each axis.
        multiple: Sides of the input are multiples of this.
    """

    stride = 2
    multiple = 16

    def __init__(self, num_outputs: int, width: int = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.stem = _conv(8, width, 3)
        self.down = nn.ModuleList(
            [_Residual(width, width)]
            + [_Residual(a, b, stride=2) for a, b in itertools.pairwise(widths)]
        )
        self.reduce = nn.ModuleList(
            [nn.Conv3d(a, b, 1) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)]
        )
        self.up = nn.ModuleList([_Residual(w, w) for w in widths[-2::-1]])
        self.head = nn.Conv3d(width, num_outputs, 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Return `(B, K, Z / 2, Y / 2, X / 2)` logits."""
        features = self.stem(space_to_depth(volumes))
        skips = []
        for block in self.down:
            features = block(features)
            skips.append(features)
        skips.pop()
        for reduce, block in zip(self.reduce, self.up, strict=True):
            enlarged = nn.functional.interpolate(reduce(features), scale_factor=2.0, mode="nearest")
            features = block(enlarged + skips.pop())
        result: Tensor = self.head(features)
        return result


class FullResolution(nn.Module):
    """Wrap a network of MONAI, which answers at full resolution.

    DynUNet holds its layers under two names each; a safetensors file takes a tensor once. So the
    second names are left out of the state, and filled in again when it is loaded.
    """

    stride = 1

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        first: dict[int, str] = {}
        state = super().state_dict(keep_vars=True)
        self._twins = {n: f for n, t in state.items() if (f := first.setdefault(id(t), n)) != n}

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the weights, each under one name."""
        state: dict[str, Any] = super().state_dict(*args, **options)
        return {n: t for n, t in state.items() if n not in self._twins}

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """Load weights as `state_dict` returns them."""
        twins = {n: state_dict[f] for n, f in self._twins.items() if f in state_dict}
        return super().load_state_dict({**state_dict, **twins}, *args, **options)

    def forward(self, volumes: Tensor) -> Tensor:
        """Return `(B, K, Z, Y, X)` logits."""
        result: Tensor = self.network(volumes)
        return result


def space_to_depth(volumes: Tensor) -> Tensor:
    """Turn `(B, 1, Z, Y, X)` into `(B, 8, Z / 2, Y / 2, X / 2)`."""
    B, _, Z, Y, X = volumes.shape
    cells = volumes.reshape(B, Z // 2, 2, Y // 2, 2, X // 2, 2)
    packed = cells.permute(0, 2, 4, 6, 1, 3, 5).reshape(B, 8, Z // 2, Y // 2, X // 2)
    return packed.contiguous(memory_format=torch.channels_last_3d)


def build_network(architecture: Mapping[str, Any]) -> Any:  # one of the classes above
    """Build the network that a checkpoint's card describes.

    Args:
        architecture: `name` ("light", "monai_unet", "segresnet", "dynunet"), `width`,
            `num_outputs`.

    Raises:
        ConfigError: MONAI is wanted and not installed.
        CheckpointMismatchError: An architecture that this version does not know.
    """
    try:
        name, width = str(architecture["name"]), int(architecture["width"])
        outputs = int(architecture["num_outputs"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointMismatchError(Text("cryoet.unknown_network", name="?")) from error
    if name == "light":
        return LightUNet(outputs, width)
    if name not in ("monai_unet", "segresnet", "dynunet"):
        raise CheckpointMismatchError(Text("cryoet.unknown_network", name=name))
    try:
        import monai.networks.nets

        # typed as Any: the package lists its networks without exporting them
        nets: Any = monai.networks.nets
    except ImportError as error:
        raise ConfigError(Text("cryoet.no_monai", name=name)) from error
    if name == "monai_unet":
        channels = tuple(max(8, width // 2) * 2**i for i in range(4))
        return FullResolution(nets.UNet(3, 1, outputs, channels, (2, 2, 2), num_res_units=2), 8)
    if name == "segresnet":
        blocks: dict[str, Any] = {"blocks_down": (1, 2, 2, 4), "blocks_up": (1, 1, 1)}
        return FullResolution(nets.SegResNet(3, max(8, width // 2), 1, outputs, **blocks), 8)
    sizes = [max(8, width // 2) * 2**i for i in range(4)]
    network = nets.DynUNet(
        3, 1, outputs, [3, 3, 3, 3], [1, 2, 2, 2], [2, 2, 2], filters=sizes, res_block=True
    )
    return FullResolution(network, 8)


def join_states(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Put the weights of several networks into one table, `<number>.<name>`; one stays itself."""
    if len(states) == 1:
        return dict(states[0])
    return {f"{k}.{name}": t for k, state in enumerate(states) for name, t in state.items()}


def split_states(
    weights: Mapping[str, Tensor], architecture: Mapping[str, Any]
) -> list[dict[str, Tensor]]:
    """Undo `join_states`: return the weights of each network that a card's architecture counts."""
    count = int(architecture.get("networks", 1))
    if count == 1:
        return [dict(weights)]
    states: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for key, tensor in weights.items():
        number, _, name = key.partition(".")
        states[int(number)][name] = tensor
    return states


def load_networks(folder: Path) -> list[Any]:  # of the classes above
    """Build every network of a checkpoint, with its weights."""
    architecture = load_card(folder).architecture
    networks = []
    for state in split_states(load_weights(folder), architecture):
        networks.append(build_network(architecture))
        networks[-1].load_state_dict(state)
    return networks


class MeanNetwork(nn.Module):
    """Answer as several networks averaged: logits whose softmax is the mean of theirs."""

    def __init__(self, networks: Sequence[Any], *, is_heat: bool) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.stride, self.multiple = networks[0].stride, networks[0].multiple
        self.is_heat = is_heat

    def forward(self, volumes: Tensor) -> Tensor:
        """Return `(B, K, ...)` logits; of the sigmoid for heat maps."""
        answers = [network(volumes) for network in self.networks]
        if self.is_heat:
            mean = torch.stack([a.sigmoid() for a in answers]).mean(0)
            return torch.logit(mean, eps=1e-6)
        return torch.stack([a.softmax(1) for a in answers]).mean(0).clamp_min(1e-9).log()


def load_mean(folder: Path) -> Any:  # a network of this module
    """Build one network that answers as the whole checkpoint does, in evaluation mode."""
    networks = load_networks(folder)
    if len(networks) == 1:
        return networks[0].eval()
    is_heat = load_card(folder).architecture["target"] == "gaussian"
    return MeanNetwork(networks, is_heat=is_heat).eval()


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Add two convolutions to what comes in."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(in_channels, out_channels, 3, stride)
        self.second = nn.Sequential(
            nn.Conv3d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm3d(out_channels),
        )
        is_same = in_channels == out_channels and stride == 1
        self.shortcut = (
            nn.Identity() if is_same else nn.Conv3d(in_channels, out_channels, 1, stride)
        )

    def forward(self, features: Tensor) -> Tensor:
        result = self.second(self.first(features)) + self.shortcut(features)
        return nn.functional.relu_(result)
