"""Any pictures in class folders, or pictures with a table: what a class brings along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from pipelines.config import option
from pipelines.contract import Problem, Sample
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.images import Source
from pipelines.core.classification.labels import (
    ID_COLUMNS,
    LABEL_COLUMNS,
    Labels,
    Options,
    Table,
    Tag,
    column_like,
    folder_labels,
    parse_table,
    table_labels,
)
from pipelines.core.classification.task import ImageClassification
from pipelines.errors import DataFormatError
from pipelines.tasks.own_images import fake
from pipelines.text import Text

_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "id_column": ID_COLUMNS,
    "label_column": LABEL_COLUMNS,
    "group_column": ("group", "subject", "patient", "patient_id", "slide", "animal",
                     "groupe", "sujet", "lame"),
    "part_column": ("split", "part", "set", "fold_name", "partie", "ensemble", "jeu"),
}  # fmt: skip
"""Names of columns that are known, of tables in English and in French."""


@dataclass(frozen=True)
class Config(ClassificationConfig):
    """The shared options."""

    image_px: int = option(128, low=32, high=512, unit="px", group="data")


@dataclass(frozen=True)
class DataOptions:
    """Say which columns of a table mean what; empty ones are found by their usual names."""

    texts: ClassVar[str] = "own_data"

    id_column: str = option("")
    label_column: str = option("")
    group_column: str = option("")
    part_column: str = option("")
    group_from_folder: bool = option(False)


class OwnImages(ImageClassification):
    """Classify a person's own pictures."""

    id = "own_images"
    texts = "own"
    icon = "photo_library"
    config_type = Config
    data_options = DataOptions

    def read_labels(self, source: Source, options: Options) -> Labels:
        """Read a table where there is one that fits, else a folder a class."""
        _refuse_unknown_columns(source, options)
        unread: list[Problem] = []
        for name in source.tables:
            table = parse_table(source.read_table(name), name)
            found = {option: _column(table, options, option) for option in _USUAL}
            key, label = found["id_column"], found["label_column"]
            if key is not None and label is not None:
                return table_labels(
                    source, table, key=key, label=label,
                    group=found["group_column"], part=found["part_column"],
                )  # fmt: skip
            words = Text("own_data.unread_table", file=name, columns=", ".join(table.columns))
            unread.append(Problem("warning", words, name))
        return _from_folders(source, options, unread)

    def label_numbers(self, values: Mapping[str, str], table: str) -> dict[str, int]:
        """Number the classes as `read_labels` does: by name, healthy ones first."""
        from pipelines.core.classification.labels import class_order

        classes = class_order(values.values())
        if not classes:
            raise DataFormatError(Text("classes.table_empty", file=table))
        index = {name: i for i, name in enumerate(classes)}
        return {i: index[v] for i, v in values.items() if v in index}

    def preset_help(self, name: str) -> Text:
        """Say what a preset does; the light one without the size of another task's data."""
        return Text("own.preset.quick.help") if name == "quick" else super().preset_help(name)

    def write_builtin_sample(self, folder: Path) -> None:
        """Write generated pictures, a folder a class."""
        fake.write_sample(folder)

    def fake_samples(self, count: int, seed: int) -> list[Sample]:
        """Generate pictures of three shapes."""
        pictures, labels = fake.make_pictures(count, np.random.default_rng(seed))
        return [
            Sample(f"picture-{i:04d}", f"picture-{i:04d}", p, int(y), {"classes": fake.CLASSES})
            for i, (p, y) in enumerate(zip(pictures, labels, strict=True))
        ]


def _from_folders(source: Source, options: Options, unread: Sequence[Problem]) -> Labels:
    """Take folders as classes; tables that could not be read matter where folders say nothing."""
    found = folder_labels(source)
    if not found.classes:
        unsorted = Problem("warning", Text("own_data.unsorted"))
        return replace(found, problems=tuple(unread) or (unsorted,))
    if options.get("group_from_folder", "").lower() not in ("true", "1", "yes"):
        return replace(found, tags=tuple(Tag(t.label, "", t.part) for t in found.tags))
    return found


def _refuse_unknown_columns(source: Source, options: Options) -> None:
    """Say that no table has a column which somebody named, instead of reading without it."""
    columns = ("id_column", "label_column", "group_column", "part_column")
    wanted = [options[name] for name in columns if options.get(name)]
    if not wanted:
        return
    if not source.tables:
        raise DataFormatError(Text("own_data.no_table", column=wanted[0]))
    tables = [parse_table(source.read_table(name), name) for name in source.tables]
    for column in wanted:
        if not any(column_like(table, (column,)) for table in tables):
            known = list(dict.fromkeys(c for table in tables for c in table.columns))
            raise DataFormatError(
                Text("own_data.no_column", column=column, known=known, n=len(known))
            )


def _column(table: Table, options: Options, name: str) -> str | None:
    wanted = options.get(name, "")
    return column_like(table, (wanted,) if wanted else _USUAL[name])


TASK = OwnImages()
