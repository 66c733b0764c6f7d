"""Leukaemic and healthy blood cells (C-NMC 2019)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from pipelines.config import option
from pipelines.contract import DatasetRecord, Sample, SplitManifest
from pipelines.core.classification.config import LIGHT_IMAGES, NETWORKS, ClassificationConfig
from pipelines.core.classification.images import Source
from pipelines.core.classification.labels import Labels, Options
from pipelines.core.classification.task import ImageClassification
from pipelines.errors import DataFormatError
from pipelines.tasks.blood_cells import data, fake
from pipelines.text import Text

_NETWORK_SHARE: Final = 0.2


@dataclass(frozen=True)
class Config(ClassificationConfig):
    """The shared options, with defaults that hold on subjects that nobody has seen."""

    network: str = option("statistics", choices=NETWORKS, group="network")
    image_px: int = option(320, low=32, high=512, unit="px", group="data")
    crop_px: int = option(320, low=0, high=4096, unit="px", group="data", expert=True)
    # the baseline holds every subject out once by itself, and then learns from all of them
    validation_share: float = option(0.0, low=0.0, high=0.5, group="data")


@dataclass(frozen=True)
class DataOptions:
    """Nothing has to be chosen: classes and subjects stand in the file names."""

    texts: ClassVar[str] = "cells_data"


class BloodCells(ImageClassification):
    """Tell leukaemic lymphoblasts from healthy cells, on subjects that the model has not seen."""

    id = "blood_cells"
    texts = "cells"
    icon = "bloodtype"
    config_type = Config
    data_options = DataOptions
    group_kind = "subject"
    border = "black"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"max_images": LIGHT_IMAGES},
        "standard": {},
        # nothing that costs more held on new subjects: heavy is the same recipe (decision 34)
        "best": {},
        "network": {
            "network": "symmetric", "image_px": 128, "epochs": 60, "patience": 10,
            "group_balance": True, "stain": 0.3, "scale": 0.05, "validation_share": 0.2,
        },
    }  # fmt: skip

    def preset_label(self, name: str) -> Text:
        """Name a preset; one of them is a network, which other tasks have as their recipe."""
        return Text("cells.preset.network") if name == "network" else super().preset_label(name)

    def preset_help(self, name: str) -> Text:
        """Say what is measured or trained, and how the two compare on unseen subjects."""
        return Text(f"cells.preset.{name}.help")

    def split(self, record: DatasetRecord, config: ClassificationConfig) -> SplitManifest:
        """Divide the cells; a network cannot hold out by itself and gets a fifth."""
        if config.network != "statistics" and not config.validation_share:
            config = dataclasses.replace(config, validation_share=_NETWORK_SHARE)
        return super().split(record, config)

    def read_labels(self, source: Source, options: Options) -> Labels:
        """Read the layout of C-NMC: folders, file names, and the table of the validation cells."""
        return data.read_labels(source, options)

    def group_of(self, name: str) -> str:
        """Return the subject that a file name tells, or ""."""
        return data.subject_of(name)

    def label_numbers(self, values: Mapping[str, str], table: str) -> dict[str, int]:
        """Turn 0/hem and 1/all into class indices."""
        found, problems = data.numbers_of(values, table)
        if problems:
            raise DataFormatError(problems[0].text)
        return found

    def class_names(self, record: DatasetRecord) -> tuple[str, ...]:
        """The classes are known without labels too."""
        return data.CLASSES

    def class_text(self, name: str) -> Text:
        """Name a class in words with the short name that C-NMC gives it."""
        return Text(f"cells.class.{name}") if name in data.CLASSES else super().class_text(name)

    def write_builtin_sample(self, folder: Path) -> None:
        """Write generated cells in the layout of C-NMC."""
        fake.write_sample(folder)

    def fake_samples(self, count: int, seed: int) -> list[Sample]:
        """Generate labelled cells of several subjects."""
        cells = fake.make_cells(count, max(4, count // 6), np.random.default_rng(seed))
        return [
            Sample(f"cell-{i:04d}", c.subject, c.pixels, c.label, {"classes": data.CLASSES})
            for i, c in enumerate(cells)
        ]


TASK = BloodCells()
