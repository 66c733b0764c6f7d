"""The layout of C-NMC 2019 as Kaggle hands it out, zipped or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from pipelines.contract import Part, Problem
from pipelines.core.classification.images import Source
from pipelines.core.classification.labels import (
    UNKNOWN,
    Labels,
    Options,
    Tag,
    binary_labels,
    column_like,
    folder_labels,
    parse_table,
)

CLASSES: Final = ("hem", "all")
_ALLOWED: Final = {"0": 0, "hem": 0, "1": 1, "all": 1}
# UID_<subject>_<image>_<cell>_<class>; subjects of healthy donors begin with H
_NAME: Final = re.compile(r"UID_(H?\d+)_\d+_\d+_(all|hem)\b", re.IGNORECASE)


def read_labels(source: Source, options: Options) -> Labels:
    """Read classes, subjects and parts.

    Training cells carry class and subject in their file names. Validation cells are numbered, a
    table says the rest; they are the test part, and no training sees them. Testing cells have no
    labels. Pictures of another layout are read as a folder a class.
    """
    del options
    table, problems = _validation_table(source)
    tags = tuple(_tag(entry.name, table) for entry in source.entries)
    if all(tag == Tag() for tag in tags):
        found = folder_labels(source)
        if len(found.classes) == 2:
            return Labels(CLASSES, found.tags, "folders", tuple(problems))
    return Labels(CLASSES, tags, "c-nmc", tuple(problems))


def numbers_of(values: Mapping[str, str], table: str) -> tuple[dict[str, int], list[Problem]]:
    """Turn 0/hem and 1/all into class indices; anything else is an error."""
    return binary_labels(values, _ALLOWED, table)


def subject_of(name: str) -> str:
    """Return the subject in a file name, or ""."""
    found = _NAME.search(PurePosixPath(name).name)
    return found.group(1).upper() if found else ""


def _tag(name: str, table: Mapping[str, Tag]) -> Tag:
    part = _part(name)
    found = _NAME.search(PurePosixPath(name).name)
    if found:
        label = _ALLOWED[found.group(2).lower()]
        return Tag(label, found.group(1).upper(), part)
    # the testing cells are numbered anew; the table is not about them
    if part == "test" and re.search("validation|prelim", name.lower()):
        return table.get(PurePosixPath(name).name, Tag(part="test"))
    return Tag(part=part)


def _part(name: str) -> Part | None:
    folders = [p.lower() for p in PurePosixPath(name).parts[:-1]]
    if any(p.startswith(("validation_data", "testing_data", "c-nmc_test")) for p in folders):
        return "test"
    return None


def _validation_table(source: Source) -> tuple[dict[str, Tag], list[Problem]]:
    """Read which numbered file is which cell; "Patient_ID" holds a whole file name."""
    name = next((t for t in source.tables if t.lower().endswith("labels.csv")), None)
    if name is None:
        return {}, []
    table = parse_table(source.read_table(name), name)
    key, label = column_like(table, ("new_names", "name")), column_like(table, ("labels", "label"))
    patient = column_like(table, ("Patient_ID", "patient"))
    if key is None or label is None:
        return {}, []
    values = {row[key]: row[label] for row in table.rows}
    numbers, problems = numbers_of(values, name)
    tags = {
        row[key]: Tag(
            numbers.get(row[key], UNKNOWN), subject_of(row[patient]) if patient else "", "test"
        )
        for row in table.rows
    }
    return tags, problems
