"""The layout of Kaggle's Histopathologic Cancer Detection, zipped or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from pipelines.contract import Part, Problem
from pipelines.core.classification.images import Source, stem_of, table_words
from pipelines.core.classification.labels import (
    UNKNOWN,
    Labels,
    Options,
    Tag,
    binary_labels,
    column_like,
    folder_labels,
    match_ids,
    parse_table,
    values_by_id,
)
from pipelines.errors import DataFormatError
from pipelines.text import Text

if TYPE_CHECKING:
    from pipelines.core.classification.task import ImageClassification

CLASSES: Final = ("normal", "tumour")
_ALLOWED: Final = {"0": 0, "1": 1}


def read_labels(source: Source, options: Options) -> Labels:
    """Read labels and parts.

    Kaggle's layout: `train/<id>.tif` with `train_labels.csv` (id,label), `test/<id>.tif` without
    labels. Else a folder a class, two of them. Else pictures without labels, for prediction. Slides
    are not known: no group can be given.
    """
    del options
    table = _label_table(source)
    if table is not None:
        return _kaggle(source, table)
    found = folder_labels(source)
    if len(found.classes) == 2:
        return Labels(CLASSES, found.tags, "folders")
    return Labels(CLASSES, tuple(Tag(part=_part(e.name)) for e in source.entries), "plain")


def numbers_of(values: Mapping[str, str], table: str) -> tuple[dict[str, int], list[Problem]]:
    """Turn "0" and "1" into class indices; anything else is an error."""
    return binary_labels(values, _ALLOWED, table)


def sample_ids(source: Source) -> list[str]:
    """Return the ids of `sample_submission.csv` in their order; empty without one."""
    name = next((t for t in source.tables if t.endswith("sample_submission.csv")), None)
    if name is None:
        return []
    table = parse_table(source.read_table(name), name)
    return [row["id"] for row in table.rows] if "id" in table.columns else []


def ids_of_sample(path: Path, task: ImageClassification) -> list[str]:
    """Return the ids that a submission must have, from the sample itself or the data around it.

    Raises:
        DataFormatError: No `sample_submission.csv` with a column "id" is there.
    """
    if path.suffix.lower() == ".csv":
        table = parse_table(table_words(path.read_bytes()), path.name)
        found = [row["id"] for row in table.rows] if "id" in table.columns else []
    else:
        found = sample_ids(task.open(path, {}).source)
    if not found:
        raise DataFormatError(Text("histo.no_sample", file=path.name))
    return found


def _label_table(source: Source) -> str | None:
    named = [t for t in source.tables if PurePosixPath(t).name == "train_labels.csv"]
    others = [t for t in source.tables if not t.endswith("sample_submission.csv")]
    return next(iter(named or others), None)


def _kaggle(source: Source, name: str) -> Labels:
    table = parse_table(source.read_table(name), name)
    key, value = column_like(table, ("id", "name", "file")), column_like(table, ("label", "class"))
    if key is None or value is None:
        text = Text("classes.no_columns", file=name, columns=", ".join(table.columns))
        return Labels(CLASSES, tuple(Tag() for _ in source.entries), "kaggle",
                      (Problem("error", text, name),))  # fmt: skip
    values, problems = values_by_id(table, key, value)
    numbers, strange = numbers_of(values, name)
    training = [e for e in source.entries if _part(e.name) != "test"]
    problems += strange + match_ids((stem_of(e.name) for e in training), values, name)
    tags = []
    for entry in source.entries:
        is_test = _part(entry.name) == "test"
        label = UNKNOWN if is_test else numbers.get(stem_of(entry.name), UNKNOWN)
        tags.append(Tag(label, "", "test" if is_test else None))
    return Labels(CLASSES, tuple(tags), "kaggle", tuple(problems))


def _part(name: str) -> Part | None:
    return "test" if "test" in name.split("/")[:-1] else None
