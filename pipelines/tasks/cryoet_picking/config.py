"""Every option of training and picking, stated once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pipelines.config import option
from pipelines.core.device import DEVICE_WISHES


@dataclass(frozen=True)
class Config:
    """Hold every option; words, help and choices stand in the catalogue."""

    texts: ClassVar[str] = "cryoet_config"

    time_limit_s: float = option(600.0, low=5.0, high=172800.0, unit="s", group="training")
    max_steps: int = option(0, low=0, high=1_000_000, group="training", expert=True)
    device: str = option("auto", choices=DEVICE_WISHES, group="training")
    precision: str = option("auto", choices=("auto", "full"), group="training", expert=True)
    learning_rate: float = option(1e-3, low=1e-6, high=0.1, group="training", expert=True)
    weight_decay: float = option(0.01, low=0.0, high=1.0, group="training", expert=True)
    ema_decay: float = option(0.995, low=0.0, high=0.9999, group="training", expert=True)
    seed: int = option(0, low=0, high=2**31 - 1, group="training", expert=True)
    pretrained: bool = option(True, group="training", only_if=("architecture", ("light",)))
    initial_checkpoint: str = option("", group="training", expert=True)
    networks: int = option(3, low=1, high=8, group="data")
    validation_share: float = option(0.25, low=0.0, high=0.5, group="data", step=0.05)
    validation_item: str = option("", group="data", expert=True)

    architecture: str = option(
        "light",
        choices=("light", "monai_unet", "segresnet", "dynunet", "templates", "blobs"),
        group="model",
    )
    width: int = option(32, low=8, high=96, group="model", step=8)

    target: str = option("spheres", choices=("spheres", "gaussian"), group="target")
    radius_share: float = option(0.5, low=0.2, high=1.0, group="target", step=0.05)
    loss: str = option(
        "ce_tversky",
        choices=("ce_tversky", "ce", "tversky"),
        group="target",
        only_if=("target", ("spheres",)),
    )
    tversky_beta: float = option(
        0.7, low=0.1, high=0.9, group="target", expert=True, only_if=("target", ("spheres",))
    )
    background_weight: float = option(
        0.05, low=0.001, high=1.0, group="target", expert=True, only_if=("target", ("spheres",))
    )

    patch_vox: int = option(64, low=32, high=192, unit="vx", group="patches", step=16)
    batch_size: int = option(8, low=1, high=64, group="patches")
    particle_share: float = option(0.75, low=0.0, high=1.0, group="patches", step=0.05)
    hard_kind_weight: float = option(2.0, low=1.0, high=10.0, group="patches", expert=True)
    rotation_degrees: float = option(20.0, low=0.0, high=180.0, unit="°", group="augmentation")
    flips: bool = option(True, group="augmentation")
    noise_std: float = option(0.3, low=0.0, high=2.0, group="augmentation", step=0.05)
    contrast: float = option(0.2, low=0.0, high=0.9, group="augmentation", step=0.05)
    mixing: float = option(0.5, low=0.0, high=1.0, group="augmentation", step=0.05)

    symmetries: str = option("flips", choices=("none", "flips", "all"), group="prediction")
    overlap: float = option(0.25, low=0.0, high=0.75, group="prediction", step=0.05)
    window_vox: int = option(128, low=32, high=384, unit="vx", group="prediction", expert=True)
    picking: str = option("maxima", choices=("maxima", "components"), group="prediction")
    smoothing_share: float = option(
        0.25, low=0.0, high=1.0, group="prediction", expert=True, only_if=("picking", ("maxima",))
    )
    exclusion_share: float = option(
        1.1, low=0.2, high=2.0, group="prediction", expert=True, only_if=("picking", ("maxima",))
    )
    component_threshold: float = option(
        0.3, low=0.05, high=0.95, group="prediction", only_if=("picking", ("components",))
    )
    min_component_share: float = option(
        0.2, low=0.0, high=1.0, group="prediction", only_if=("picking", ("components",))
    )
    min_score: float = option(0.02, low=0.01, high=0.9, group="prediction", expert=True)
    more_checkpoints: str = option("", group="prediction", expert=True)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {
        "time_limit_s": 110.0,
        "patch_vox": 48,
        "networks": 1,
    },
    "standard": {"time_limit_s": 600.0},
    "best": {"time_limit_s": 3600.0, "networks": 4},
}
