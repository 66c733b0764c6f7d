"""Every option of the task, declared once: form, flags, JSON and validation derive from it.

`Config` inherits its parts, so that the functions that need only one part (`augment`,
`build_model`) take a whole configuration as well as that part alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pipelines.config import option
from pipelines.core.device import DEVICE_WISHES
from pipelines.tasks.em_membrane.baseline import BaselineConfig

FILLS: Final = ("reflect", "constant", "nearest", "wrap")
LIBRARY: Final = ("smp_unet", "smp_unetplusplus", "smp_fpn")
NETWORKS: Final = ("unet", *LIBRARY)
ARCHITECTURES: Final = (*NETWORKS, "baseline")
ENCODERS: Final = (
    "resnet18", "resnet34", "resnet50", "efficientnet-b0", "efficientnet-b3",
    "mobilenet_v2", "timm-mobilenetv3_large_100", "mit_b0",
)  # fmt: skip
LOSSES: Final = ("weighted_ce", "ce", "dice", "ce_dice")
_OWN: Final = ("architecture", ("unet",))
_LIBRARY: Final = ("architecture", LIBRARY)


def _chance(default: float, group: str) -> Any:  # a dataclass field
    return option(default, low=0.0, high=1.0, step=0.05, group=group)


def _amount(default: float, high: float, group: str, **layout: Any) -> Any:  # a dataclass field
    return option(default, low=0.0, high=high, group=group, **layout)


@dataclass(frozen=True)
class AugmentOptions:
    """Say how far, and how often, each step may change a sample.

    Every `*_probability` is the chance that the step takes part; its size is then drawn uniformly
    up to the bound beside it. Grey value steps count in standard deviations of the section, so that
    they mean the same on faint and on strong staining. What each field means stands in the
    catalogue (`em_config.<field>.help`).
    """

    texts: ClassVar[str] = "em_config"

    patch_px: int = option(256, low=32, high=1024, unit="px", step=32, group="augment")
    fill: str = option("reflect", choices=FILLS, group="augment")
    crop_probability: float = _chance(1.0, "augment")
    flip_probability: float = _chance(0.5, "augment")
    quarter_turn_probability: float = _chance(0.75, "augment")
    rotation_probability: float = _chance(0.5, "augment")
    rotation_deg: float = _amount(45.0, 180.0, "augment", unit="°")
    shift_probability: float = _chance(0.0, "augment")
    shift_px: float = _amount(20.0, 200.0, "augment", unit="px")
    shear_probability: float = _chance(0.3, "augment")
    shear_deg: float = _amount(10.0, 45.0, "augment", unit="°")
    zoom_probability: float = _chance(0.5, "augment")
    zoom: float = _amount(0.25, 2.0, "augment", step=0.05)
    elastic_probability: float = _chance(0.7, "augment")
    elastic_alpha_low: float = _amount(100.0, 1000.0, "augment", step=10.0)
    elastic_alpha_high: float = _amount(300.0, 1000.0, "augment", step=10.0)
    elastic_sigma_low: float = option(10.0, low=2.0, high=40.0, unit="px", group="augment")
    elastic_sigma_high: float = option(15.0, low=2.0, high=40.0, unit="px", group="augment")
    brightness_probability: float = _chance(0.5, "augment")
    brightness: float = _amount(0.75, 3.0, "augment", unit="σ")
    contrast_probability: float = _chance(0.5, "augment")
    contrast: float = _amount(0.5, 2.0, "augment")
    gamma_probability: float = _chance(0.3, "augment")
    gamma: float = _amount(0.4, 2.0, "augment")
    blur_probability: float = _chance(0.2, "augment")
    blur_px: float = _amount(1.2, 10.0, "augment", unit="px")
    noise_probability: float = _chance(0.3, "augment")
    noise: float = _amount(0.45, 3.0, "augment", unit="σ")
    hide_probability: float = _chance(0.7, "augment")
    hide_count: int = option(6, low=1, high=50, group="augment")
    hide_px: int = option(28, low=2, high=200, unit="px", group="augment")


@dataclass(frozen=True)
class ModelOptions:
    """Say which network to build; what each field means stands in the catalogue."""

    texts: ClassVar[str] = "em_config"

    architecture: str = option("unet", choices=ARCHITECTURES, group="model")
    base_channels: int = option(32, low=4, high=128, group="model", only_if=_OWN)
    depth: int = option(3, low=1, high=6, group="model", only_if=_OWN)
    stem: int = option(2, low=1, high=4, group="model", only_if=_OWN)
    num_affinities: int = option(8, low=0, high=8, group="model", only_if=_OWN)
    dropout: float = option(0.2, low=0.0, high=0.9, group="model", expert=True, only_if=_OWN)
    grey_scale: str = option(
        "local", choices=("section", "local"), group="model", only_if=("architecture", NETWORKS)
    )
    encoder: str = option("resnet18", choices=ENCODERS, group="model", only_if=_LIBRARY)
    is_pretrained: bool = option(True, group="model", only_if=_LIBRARY)

    @property
    def multiple(self) -> int:
        """What the sides of the network's input must be multiples of, in px."""
        return self.stem * 2**self.depth if self.architecture == "unet" else 32


@dataclass(frozen=True)
class Config(ModelOptions, AugmentOptions, BaselineConfig):
    """Hold every option of training and prediction."""

    texts: ClassVar[str] = "em_config"

    device: str = option("auto", choices=DEVICE_WISHES, group="training")
    time_limit_s: float = option(300.0, low=5.0, high=604800.0, unit="s", group="training")
    max_steps: int = option(0, low=0, high=10_000_000, group="training", expert=True)
    batch_size: int = option(8, low=1, high=256, group="training")
    learning_rate: float = option(2e-3, low=1e-6, high=1.0, group="training")
    warmup_steps: int = option(50, low=0, high=10_000, group="training", expert=True)
    weight_decay: float = option(1e-2, low=0.0, high=1.0, group="training", expert=True)
    ema_decay: float = option(0.99, low=0.0, high=0.99999, group="training", expert=True)
    precision: str = option("auto", choices=("auto", "full"), group="training", expert=True)
    validation_sections: int = option(2, low=0, high=1000, group="training")
    validate_every_s: float = option(10.0, low=0.5, high=86400.0, unit="s", group="training")
    seed: int = option(0, low=0, high=2**31 - 1, group="training", expert=True)

    loss: str = option("ce", choices=LOSSES, group="loss")
    w0: float = option(10.0, low=0.0, high=100.0, group="loss", only_if=("loss", ("weighted_ce",)))
    sigma_px: float = option(
        5.0, low=0.5, high=50.0, unit="px", group="loss", only_if=("loss", ("weighted_ce",))
    )
    label_smoothing: float = option(0.0, low=0.0, high=0.5, group="loss", expert=True)
    pair_share: float = option(0.5, low=0.0, high=10.0, group="loss", expert=True, only_if=_OWN)

    symmetries: str = option("all", choices=("none", "flips", "all"), group="prediction")
    sizes: str = option("one", choices=("one", "four"), group="prediction")
    close_gaps: bool = option(True, group="prediction")
    tile_px: int = option(512, low=64, high=4096, unit="px", step=32, group="prediction")
    tile_overlap: float = option(0.25, low=0.0, high=0.75, group="prediction", expert=True)

    def __post_init__(self) -> None:
        """Refuse ranges whose lower bound lies above the upper one."""
        _check_ranges(self)


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "quick": {"time_limit_s": 90.0, "base_channels": 16, "validate_every_s": 5.0},
    "standard": {"time_limit_s": 300.0},
    "best": {
        "time_limit_s": 600.0,
        "base_channels": 48,
        "validation_sections": 1,
        "validate_every_s": 20.0,
        "sizes": "four",
    },
}


def _check_ranges(config: Config) -> None:
    from pipelines.errors import ConfigError
    from pipelines.text import Text

    for name in ("elastic_alpha", "elastic_sigma"):
        low, high = getattr(config, f"{name}_low"), getattr(config, f"{name}_high")
        if low > high:
            raise ConfigError(Text("em_config.range_reversed", name=name, low=low, high=high))
