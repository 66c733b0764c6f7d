"""The options that all classification tasks share; a task's own config only changes defaults."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pipelines.config import option
from pipelines.core.device import DEVICE_WISHES

NETWORKS: Final = (
    "symmetric", "resnet18", "resnet50", "efficientnet_b0", "convnext_atto", "vit_tiny", "timm",
    "statistics",
)  # fmt: skip
_TRAINED: Final = NETWORKS[:-1]
_of_training = functools.partial(option, only_if=("network", _TRAINED))  # not of the baseline


@dataclass(frozen=True)
class ClassificationConfig:
    """Hold the options of a classification."""

    texts: ClassVar[str] = "classes_config"

    network: str = option("symmetric", choices=NETWORKS, group="network")
    timm_name: str = option("", group="network", only_if=("network", ("timm",)))
    pretrained: bool = option(False, group="network", only_if=("network", NETWORKS[1:7]))
    freeze: bool = option(False, group="network", expert=True, only_if=("network", NETWORKS[1:7]))
    width: float = option(1.0, low=0.25, high=4.0, group="network", expert=True,
                          only_if=("network", ("symmetric",)))  # fmt: skip
    dropout: float = option(0.2, low=0.0, high=0.8, group="network", expert=True,
                            only_if=("network", _TRAINED))  # fmt: skip
    strength: float = option(0.3, low=1e-6, high=1e3, group="network", expert=True,
                             only_if=("network", ("statistics",)))  # fmt: skip
    image_px: int = option(96, low=32, high=512, unit="px", group="data")
    crop_px: int = option(0, low=0, high=4096, unit="px", group="data", expert=True)
    max_images: int = option(0, low=0, high=600_000, group="data")
    validation_share: float = option(0.2, low=0.0, high=0.5, group="data")
    split_by: str = option("group", choices=("group", "random"), group="data", expert=True)
    fold: int = option(0, low=0, high=5, group="data", expert=True)
    allow_leak: bool = option(False, group="data", expert=True)
    score_test: bool = option(False, group="data", expert=True)
    epochs: int = _of_training(40, low=1, high=1000, group="training")
    time_limit_s: float = _of_training(0.0, low=0.0, high=1e6, unit="s", group="training")
    batch_size: int = _of_training(32, low=2, high=1024, group="training", expert=True)
    optimizer: str = _of_training("adamw", choices=("adamw", "adam", "sgd"), group="training",
                                   expert=True)  # fmt: skip
    schedule: str = _of_training("one_cycle", choices=("one_cycle", "cosine"), group="training",
                                  expert=True)  # fmt: skip
    learning_rate: float = _of_training(4e-3, low=1e-6, high=1.0, group="training", expert=True)
    weight_decay: float = _of_training(0.02, low=0.0, high=1.0, group="training", expert=True)
    averaging: float = _of_training(0.995, low=0.0, high=0.9999, group="training", expert=True)
    patience: int = _of_training(0, low=0, high=200, group="training", expert=True)
    class_weights: bool = option(True, group="training", expert=True)
    group_balance: bool = _of_training(False, group="training", expert=True)
    label_smoothing: float = _of_training(0.02, low=0.0, high=0.4, group="training", expert=True)
    mixed_precision: bool = _of_training(True, group="training", expert=True)
    device: str = _of_training("auto", choices=DEVICE_WISHES, group="training")
    seed: int = option(0, low=0, high=2**31 - 1, group="training", expert=True)
    flip: bool = _of_training(True, group="augmentation")
    rotation: bool = _of_training(True, group="augmentation")
    scale: float = _of_training(0.12, low=0.0, high=0.6, group="augmentation")
    shift_px: float = _of_training(6.0, low=0.0, high=100.0, unit="px", group="augmentation")
    stain: float = _of_training(0.15, low=0.0, high=1.0, group="augmentation")
    brightness: float = _of_training(0.05, low=0.0, high=0.5, group="augmentation")
    grey: float = _of_training(0.0, low=0.0, high=1.0, group="augmentation", expert=True)
    mixup: float = _of_training(0.2, low=0.0, high=2.0, group="augmentation")
    test_flips: bool = option(True, group="prediction")
    explain: bool = option(True, group="prediction")
    # in no form: a page names the models by a list of its own
    average_with: str = option("", group="prediction", only_if=("network", ()))


OF_THE_PICTURES: Final = (
    "max_images", "validation_share", "split_by", "fold", "allow_leak", "score_test",
    "class_weights", "seed",
)  # fmt: skip
"""Options that say which pictures train and how they weigh, whatever is trained on them."""

LIGHT_IMAGES: Final = 2200
"""Pictures of the light preset: one in a hundred of the full histopathology set."""

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "quick": {"max_images": LIGHT_IMAGES, "epochs": 12, "time_limit_s": 150.0},
    "standard": {"epochs": 90, "time_limit_s": 540.0},
    "best": {"epochs": 60, "width": 2.0, "patience": 10},
}
