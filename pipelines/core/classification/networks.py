"""The networks: a small one that knows the symmetry of the plane, and timm's by name.

A patch of tissue and a cell have no up: turned by a quarter or mirrored they are the same. The
`SymmetricNet` builds this in (group convolutions of Cohen and Welling 2016 over the eight
symmetries of the square), so that it need not learn each structure eight times.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast
from urllib.request import getproxies

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own pages use
from torch import Tensor, nn

from pipelines.errors import ConfigError
from pipelines.text import Text

NUM_SYMMETRIES: Final = 8


class Network(Protocol):
    """What training, prediction and explanation need of a network."""

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the last feature maps, `(B, K, h, w)`."""

    def embed(self, maps: Tensor) -> Tensor:
        """Return `(B, D)` features of the whole picture."""

    def classify(self, features: Tensor) -> Tensor:
        """Return `(B, C)` logits."""


class Classifier(nn.Module):
    """Give every network the same three steps: maps, features, logits."""

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the last feature maps, `(B, K, h, w)`."""
        raise NotImplementedError

    def embed(self, maps: Tensor) -> Tensor:
        """Return `(B, D)` features of the whole picture."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Return `(B, C)` logits."""
        raise NotImplementedError

    def forward(self, pictures: Tensor) -> Tensor:
        """Return `(B, C)` logits of `(B, 3, H, W)` normalised pictures."""
        return self.classify(self.embed(self.maps(pictures)))


# --- the symmetric network ------------------------------------------------------------------------


def symmetries(kernel: Tensor) -> list[Tensor]:
    """Return the eight turned and mirrored copies of `(..., k, k)`; the first is the original."""
    both = (kernel, kernel.flip(-1))
    return [torch.rot90(side, turn, (-2, -1)) for side in both for turn in range(4)]


@functools.cache
def composition() -> tuple[tuple[int, ...], ...]:
    """Return the table `t[a][b]` of the symmetry that does `b` first and then `a`.

    Found by doing it to a square of nine different numbers.
    """
    square = torch.arange(9.0).reshape(3, 3)
    copies = symmetries(square)

    def number_of(result: Tensor) -> int:
        return next(i for i, copy in enumerate(copies) if torch.equal(copy, result))

    return tuple(
        tuple(number_of(symmetries(copies[b])[a]) for b in range(NUM_SYMMETRIES))
        for a in range(NUM_SYMMETRIES)
    )


def _relative() -> Tensor:
    """Return `r[g][h]`, the symmetry that leads from `g` to `h`."""
    table = composition()
    inverse = [table[a].index(0) for a in range(NUM_SYMMETRIES)]
    return torch.tensor([table[inverse[g]] for g in range(NUM_SYMMETRIES)])


class LiftingConv(nn.Module):
    """Convolve with the eight copies of each kernel: `(B, I, H, W)` to `(B, 8 O, H, W)`."""

    def __init__(self, num_in: int, num_out: int, size: int) -> None:
        super().__init__()
        scale = (2 / (num_in * size**2)) ** 0.5
        self.weight = nn.Parameter(torch.randn(num_out, num_in, size, size) * scale)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        kernels = torch.stack(symmetries(self.weight), 1).flatten(0, 1)
        return F.conv2d(x, kernels, padding=self.weight.shape[-1] // 2)


class GroupConv(nn.Module):
    """Convolve over plane and symmetries: `(B, 8 I, H, W)` to `(B, 8 O, H, W)`."""

    relative: Tensor

    def __init__(self, num_in: int, num_out: int, size: int) -> None:
        super().__init__()
        scale = (2 / (num_in * NUM_SYMMETRIES * size**2)) ** 0.5
        # four dimensions, so that the memory format of images can be asked of all weights
        shape = (num_out, num_in * NUM_SYMMETRIES, size, size)
        self.weight = nn.Parameter(torch.randn(shape) * scale)
        self.register_buffer("relative", _relative(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        out, num_in, size, _ = self.weight.shape
        turned = symmetries(self.weight.view(out, -1, NUM_SYMMETRIES, size, size))
        kernels = torch.stack(
            [turned[g][:, :, self.relative[g]] for g in range(NUM_SYMMETRIES)], 1
        )  # (O, 8, I, 8, k, k)
        flat = kernels.reshape(out * NUM_SYMMETRIES, num_in, size, size)
        flat = flat.contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, flat, padding=size // 2)


class GroupNorm8(nn.Module):
    """Batch normalisation with one scale and shift for the eight copies of a channel."""

    mean: Tensor
    variance: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("mean", torch.zeros(NUM_SYMMETRIES * num_channels))
        self.register_buffer("variance", torch.ones(NUM_SYMMETRIES * num_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        weight = self.weight.repeat_interleave(NUM_SYMMETRIES)
        bias = self.bias.repeat_interleave(NUM_SYMMETRIES)
        if self.training:
            return F.batch_norm(x, self.mean, self.variance, weight, bias, training=True)
        mean, variance = (_shared(t) for t in (self.mean, self.variance))
        return F.batch_norm(x, mean, variance, weight, bias, training=False)


def _shared(statistics: Tensor) -> Tensor:
    """Average over the eight copies: turned pictures are as likely, so they share statistics."""
    mean = statistics.view(-1, NUM_SYMMETRIES).mean(1)
    return mean.repeat_interleave(NUM_SYMMETRIES)


class SymmetricBlock(nn.Module):
    """Two group convolutions with a shortcut."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.first, self.first_norm = GroupConv(num_in, num_out, 3), GroupNorm8(num_out)
        self.second, self.second_norm = GroupConv(num_out, num_out, 3), GroupNorm8(num_out)
        self.shortcut = GroupConv(num_in, num_out, 1) if num_in != num_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Add what two convolutions find to what was there."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class SymmetricNet(Classifier):
    """Classify so that turning or mirroring the picture changes nothing.

    Attributes:
        widths: Channels of each stage, in multiples of eight.
        has_centre: Whether the middle third of the picture is also averaged on its own, for labels
            that speak of the centre.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        widths: Sequence[int] = (4, 8, 12, 16),
        has_centre: bool = True,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.has_centre = has_centre
        self.stem, self.stem_norm = LiftingConv(3, widths[0], 5), GroupNorm8(widths[0])
        stages: list[nn.Module] = []
        for index, width in enumerate(widths):
            if index:
                stages.append(nn.AvgPool2d(2))
            stages.append(SymmetricBlock(widths[max(index - 1, 0)], width))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1] * (2 if has_centre else 1), num_classes)

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the last feature maps, `(B, 8 K, h, w)`, at a sixteenth of the resolution."""
        x = F.avg_pool2d(F.relu(self.stem_norm(self.stem(pictures))), 2)
        return cast("Tensor", self.stages(x))

    def embed(self, maps: Tensor) -> Tensor:
        """Average over plane and symmetries, and the same over the centre alone."""
        maps = maps.float()
        height, width = maps.shape[-2:]
        parts = [self._pool(maps)]
        if self.has_centre:
            top, left = height // 3, width // 3
            parts.append(self._pool(maps[..., top : height - top, left : width - left]))
        return torch.cat(parts, dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Return `(B, C)` logits."""
        return cast("Tensor", self.head(self.dropout(features)))

    @staticmethod
    def _pool(maps: Tensor) -> Tensor:
        means = maps.mean((2, 3))
        return means.view(len(means), -1, NUM_SYMMETRIES).mean(2)


# --- timm -----------------------------------------------------------------------------------------


class TimmClassifier(Classifier):
    """Put a timm model behind the three steps."""

    def __init__(self, model: Any, num_features: int) -> None:  # timm's classes share no type
        super().__init__()
        self.model = model
        self.num_features = num_features

    def maps(self, pictures: Tensor) -> Tensor:
        """Return feature maps; tokens of a transformer are laid out on their grid."""
        maps: Tensor = self.model.forward_features(pictures)
        return maps

    def embed(self, maps: Tensor) -> Tensor:
        """Pool as the model does."""
        features: Tensor = self.model.forward_head(maps, pre_logits=True)
        return features.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """Return `(B, C)` logits."""
        logits: Tensor = self.model.get_classifier()(features.float())
        return logits

    def forward(self, pictures: Tensor) -> Tensor:
        """Return `(B, C)` logits, by the model's own path."""
        logits: Tensor = self.model(pictures)
        return logits


_WEIGHTS_HOST: Final = "huggingface.co"
CURATED: Final = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "efficientnet_b0": "efficientnet_b0",
    "convnext_atto": "convnext_atto",
    "vit_tiny": "vit_tiny_patch16_224",
}


@dataclass(frozen=True)
class NetworkPlan:
    """Say which network is built.

    Attributes:
        name: "symmetric", one of `CURATED`, or "timm".
        timm_name: Name for "timm".
        num_classes: Classes.
        image_px: Side of the pictures.
        width: Multiplies the channels of the symmetric network.
        has_centre: Whether it looks at the centre on its own too.
        dropout: Share of features left out in training.
        is_pretrained: Whether pretrained weights are wanted.
    """

    name: str
    timm_name: str
    num_classes: int
    image_px: int
    width: float = 1.0
    has_centre: bool = True
    dropout: float = 0.2
    is_pretrained: bool = False


def build_network(plan: NetworkPlan) -> tuple[Classifier, Text | None]:
    """Build a network.

    Returns:
        The network, and a sentence when pretrained weights were wanted and could not be had.

    Raises:
        ConfigError: No such model, or it does not fit pictures of this size.
    """
    if plan.name == "symmetric":
        widths = [max(2, round(w * plan.width)) for w in (4, 8, 12, 16)]
        net = SymmetricNet(
            plan.num_classes, widths=widths, has_centre=plan.has_centre, dropout=plan.dropout
        )
        return net, None
    name = CURATED.get(plan.name, plan.timm_name)
    model, note = _timm_model(name, plan)
    wrapped = TimmClassifier(model, int(model.num_features))
    _try_out(wrapped, name, plan)
    return wrapped, note


def _timm_model(name: str, plan: NetworkPlan) -> tuple[Any, Text | None]:
    import timm

    if not name or not timm.is_model(name):
        near = timm.list_models(f"*{name[:6]}*")[:4] if name else ["resnet34", "densenet121"]
        raise ConfigError(Text("classes.unknown_model", name=name, near=", ".join(near)))
    if plan.is_pretrained:
        try:
            with _no_waiting():
                return _create(name, plan, is_pretrained=True), None
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - a download fails in as many ways as there are
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            return _create(name, plan, is_pretrained=False), Text(
                "classes.no_pretrained", name=name, cause=cause
            )
    return _create(name, plan, is_pretrained=False), None


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    """Look for weights in the cache alone where their server cannot be reached.

    The library would try six times over 55 seconds to find out.
    """
    if getproxies() or _is_reachable(_WEIGHTS_HOST):
        yield
        return
    # timm brings it along and pins it; its own switch is read at every call
    constants: Any = importlib.import_module("huggingface_hub.constants")
    former, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = former


def _is_reachable(host: str) -> bool:
    try:
        socket.create_connection((host, 443), timeout=3.0).close()
    except OSError:
        return False
    return True


def _create(name: str, plan: NetworkPlan, *, is_pretrained: bool) -> Any:
    """Create a timm model; those with a fixed grid are told the size of the pictures."""
    import timm

    kwargs: dict[str, Any] = {"num_classes": plan.num_classes, "drop_rate": plan.dropout}
    try:
        return timm.create_model(name, pretrained=is_pretrained, img_size=plan.image_px, **kwargs)
    except TypeError:  # a convolutional one takes any size and no such argument
        return timm.create_model(name, pretrained=is_pretrained, **kwargs)
    except (AssertionError, ValueError) as error:
        raise _refusal(name, plan, error) from error


def _try_out(model: TimmClassifier, name: str, plan: NetworkPlan) -> None:
    try:
        with torch.no_grad():
            picture = torch.zeros(2, 3, plan.image_px, plan.image_px)
            shape = model.eval()(picture).shape
    except Exception as error:
        raise _refusal(name, plan, error) from error
    if tuple(shape) != (2, plan.num_classes):
        raise _refusal(name, plan, ValueError(f"output {tuple(shape)}"))


def _refusal(name: str, plan: NetworkPlan, error: Exception) -> ConfigError:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return ConfigError(
        Text("classes.model_does_not_fit", name=name, side=plan.image_px, cause=cause)
    )


# --- explanation ----------------------------------------------------------------------------------


def grad_cam(network: Classifier, pictures: Tensor, class_index: int | None = None) -> Tensor:
    """Show which places speak for a class (Grad-CAM, Selvaraju 2017).

    Each feature map is weighted by the mean gradient of the class's logit; what speaks against it
    is cut off. Written here, in these lines, because the networks hand out their last maps anyway:
    hooks into foreign modules, as a library needs them, would add a dependency and no function.

    Args:
        network: In evaluation mode.
        pictures: `(B, 3, H, W)` normalised.
        class_index: Class to explain; None takes the decided one of each picture.

    Returns:
        `(B, h, w)` float32 in [0, 1], each scaled by its maximum (0 everywhere when nothing speaks
        for the class).
    """
    with torch.enable_grad():
        maps = network.maps(pictures).detach().requires_grad_()
        logits = network.classify(network.embed(maps))
        chosen = logits.argmax(1) if class_index is None else torch.full_like(
            logits[:, 0], class_index, dtype=torch.long
        )  # fmt: skip
        total = logits.gather(1, chosen[:, None]).sum()
        (gradient,) = torch.autograd.grad(total, maps)
    depth = getattr(network, "num_features", maps.shape[1])
    maps, gradient = (_as_grid(t.float(), depth) for t in (maps.detach(), gradient))
    weights = gradient.mean((2, 3), keepdim=True)
    cam = F.relu((weights * maps).sum(1))
    return cam / cam.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _as_grid(maps: Tensor, depth: int) -> Tensor:
    """Bring maps to `(B, K, h, w)`.

    Tokens `(B, N, K)` are laid on their square, a class token in front left out; some models put
    their `depth` channels last.
    """
    if maps.ndim == 4:
        is_last = maps.shape[-1] == depth != maps.shape[1]
        return maps.permute(0, 3, 1, 2) if is_last else maps
    side = int(maps.shape[1] ** 0.5)
    tokens = maps[:, maps.shape[1] - side**2 :]
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
