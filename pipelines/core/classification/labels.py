"""Labels, groups and parts of pictures, from tables and folder names; and what is wrong with them.

A task says how its layout is read (`LabelReader`); the pieces that several layouts share are here.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from pipelines.contract import Part, Problem
from pipelines.core.classification.images import MAX_IMAGES, Entry, Source, stem_of
from pipelines.errors import DataFormatError
from pipelines.text import Text

UNKNOWN: Final = -1
"""Class index of a picture without a label."""

ID_COLUMNS: Final = (
    "id", "new_names", "file", "filename", "file_name", "image", "image_id", "name", "path",
    "fichier", "nom_fichier", "nom",
)  # fmt: skip
LABEL_COLUMNS: Final = (
    "label", "labels", "class", "target", "truth", "diagnosis",
    "étiquette", "etiquette", "classe", "diagnostic",
)  # fmt: skip
"""Names of columns that are known, of tables in English and in French."""

Options = Mapping[str, str]

_MOST_COLUMNS: Final = 1000
_LONGEST_CELL: Final = 500  # no name, label or group is longer; a quote without end is
_MOST_CELLS: Final = 20_000_000
"""As many fields stay below 2 GB; the full histopathology set has 440,050."""


@dataclass(frozen=True)
class Tag:
    """Hold what is known of one picture.

    Attributes:
        label: Class index, or `UNKNOWN`.
        group: What must not be split, or "" when nothing is known.
        part: Part that the layout itself puts it into, or "" for the split to decide.
    """

    label: int = UNKNOWN
    group: str = ""
    part: Part | None = None


@dataclass(frozen=True)
class Labels:
    """Hold the tags of a source's pictures.

    Attributes:
        classes: Names of the classes in the order of their indices; of two, the second is the
            positive one.
        tags: One a picture, in the order of the source.
        layout: Name of the layout that was found.
        problems: What is wrong, one sentence each.
    """

    classes: tuple[str, ...]
    tags: tuple[Tag, ...]
    layout: str
    problems: tuple[Problem, ...] = ()

    @property
    def has_groups(self) -> bool:
        """Whether it is known what belongs together."""
        return any(tag.group for tag in self.tags)

    def is_counter(self, stem: str) -> bool:
        """Tell whether a file name only counts within its folder, and so names no picture.

        Files in class folders are often just numbered, and C-NMC numbers its validation and its
        testing cells anew.
        """
        return self.layout == "folders" or (self.layout == "c-nmc" and stem.isdecimal())


LabelReader = Callable[[Source, Options], Labels]


@dataclass(frozen=True)
class Table:
    """Hold the rows of a CSV file by its column names.

    Attributes:
        name: File name.
        columns: Column names.
        rows: One mapping a row.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...] = field(repr=False)


def parse_table(text: str, name: str) -> Table:
    """Read a CSV file with a header line; comma, semicolon or tab separated.

    Raises:
        DataFormatError: It has no header or no row, or more of either than a table of labels.
    """
    head = text[:2000].splitlines()[:1]
    delimiter = max(",;\t", key=head[0].count) if head else ","
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = tuple((c or "").strip() for c in reader.fieldnames or ())
        reader.fieldnames = columns
        rows = tuple(_rows(reader, len(columns), name))
    except csv.Error as error:
        raise DataFormatError(Text("classes.table_broken", file=name)) from error
    if any(not c.isprintable() or "\ufffd" in c for c in columns):  # another kind of file
        raise DataFormatError(Text("classes.table_broken", file=name))
    if not rows or not any(columns):
        raise DataFormatError(Text("classes.table_empty", file=name))
    return Table(name, columns, rows)


def _rows(reader: csv.DictReader[str], num_columns: int, name: str) -> Iterator[dict[str, str]]:
    """Yield the rows; every row has all columns, so that a wide header costs memory in each."""
    most = min(MAX_IMAGES, _MOST_CELLS // max(1, min(num_columns, _MOST_COLUMNS)))
    for count, row in enumerate(reader):
        if num_columns > _MOST_COLUMNS or count >= most:
            raise DataFormatError(
                Text("classes.table_too_long", file=name, rows=most, columns=_MOST_COLUMNS)
            )
        yield {k: (v or "").strip()[:_LONGEST_CELL] for k, v in row.items() if k}


def column_like(table: Table, wanted: Sequence[str]) -> str | None:
    """Return the column whose name is one of `wanted`, whatever its case, in that order."""
    by_name = {c.casefold(): c for c in table.columns}
    return next((by_name[w.casefold()] for w in wanted if w.casefold() in by_name), None)


def _file_id(written: str) -> str:
    """Return the file name without folder and ending."""
    return stem_of(_path(written))


def _path(written: str) -> str:
    return written.replace("\\", "/").removeprefix("./")


def values_by_id(
    table: Table, key: str, value: str, name_of: Callable[[str], str] = _file_id
) -> tuple[dict[str, str], list[Problem]]:
    """Read a column by id (file name without folder and ending, unless `name_of` says otherwise).

    Returns:
        Id to value, and a problem for ids that stand twice: an error when their values differ.
    """
    found: dict[str, str] = {}
    twice: Counter[str] = Counter()
    contradictory: list[str] = []
    for row in table.rows:
        name = name_of(row[key])
        if name in found:
            twice[name] += 1
            if found[name] != row[value]:
                contradictory.append(name)
        found[name] = row[value]
    if contradictory:
        text = Text("classes.contradictory_ids", file=table.name, ids=contradictory[:3],
                    n=len(contradictory))  # fmt: skip
        return found, [Problem("error", text, table.name)]
    if twice:
        text = Text("classes.duplicate_ids", file=table.name, ids=list(twice)[:3], n=len(twice))
        return found, [Problem("warning", text, table.name)]
    return found, []


def binary_labels(
    values: Mapping[str, str], allowed: Mapping[str, int], table: str
) -> tuple[dict[str, int], list[Problem]]:
    """Turn written labels into class indices; an empty one is a missing label.

    Returns:
        Id to index, and an error that names the first values that are not allowed.
    """
    found = {i: allowed[v.casefold()] for i, v in values.items() if v.casefold() in allowed}
    strange = {i: v for i, v in values.items() if v and v.casefold() not in allowed}
    if not strange:
        return found, []
    name, value = next(iter(strange.items()))
    text = Text("classes.strange_label", file=table, id=name, value=value,
                allowed=", ".join(allowed), n=len(strange))  # fmt: skip
    return found, [Problem("error", text, table)]


def match_ids(ids: Iterable[str], known: Mapping[str, object], table: str) -> list[Problem]:
    """Compare the ids of a table with those of the pictures that it should describe.

    An error when not one fits; warnings with counts and examples else.
    """
    pictures = dict.fromkeys(ids)
    absent = [i for i in known if i not in pictures]
    bare = [i for i in pictures if not str(known.get(i, "")).strip()]
    if known and len(absent) == len(known):
        text = Text("classes.other_ids", file=table, example=absent[0],
                    picture=next(iter(pictures), "-"))  # fmt: skip
        return [Problem("error", text, table)]
    problems = []
    if absent:
        text = Text("classes.ids_without_picture", file=table, ids=sorted(absent)[:3],
                    n=len(absent))  # fmt: skip
        problems.append(Problem("warning", text, table))
    if bare:
        text = Text("classes.missing_labels", file=table, ids=sorted(bare)[:3], n=len(bare))
        problems.append(Problem("warning", text, table))
    return problems


def twice_named(entries: Sequence[Entry], labels: Labels) -> list[Problem]:
    """Name ids that stand in several places, such as once in training and once in testing."""
    places: dict[str, list[str]] = {}
    for entry in entries:
        if not labels.is_counter(stem_of(entry.name)):
            places.setdefault(stem_of(entry.name), []).append(entry.name)
    doubled = {i: p for i, p in places.items() if len(p) > 1}
    if not doubled:
        return []
    name, (first, second, *_) = next(iter(doubled.items()))
    text = Text("classes.id_twice", id=name, first=first, second=second, n=len(doubled))
    return [Problem("warning", text)]


def folder_labels(source: Source) -> Labels:
    """Take the folder of each picture as its class, below the deepest folder that all share.

    Folders named train, validation (val) or test above the class folders give the part.
    """
    paths = [PurePosixPath(e.name).parts for e in source.entries]
    depth = _shared_depth(paths)
    parts, rests = zip(*(_take_part(p[depth:-1]) for p in paths), strict=True)
    classes = class_order(r[0] for r in rests if r)
    if len(classes) < 1:
        return Labels((), tuple(Tag() for _ in paths), "plain")
    index = {name: i for i, name in enumerate(classes)}
    tags = tuple(
        Tag(index[r[0]] if r else UNKNOWN, "/".join(r[1:]), part)
        for r, part in zip(rests, parts, strict=True)
    )
    return Labels(classes, tags, "folders")


_PARTS: Final[Mapping[str, Part]] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "test": "test", "testing": "test",
    "entraînement": "train", "entrainement": "train", "apprentissage": "train",
}  # fmt: skip


def part_named(name: str) -> Part | None:
    """Return the part that a word such as "val" means, or None."""
    return _PARTS.get(name.casefold())


def _take_part(parts: tuple[str, ...]) -> tuple[Part | None, tuple[str, ...]]:
    if parts and part_named(parts[0]) is not None:
        return part_named(parts[0]), parts[1:]
    return None, parts


def _shared_depth(paths: Sequence[tuple[str, ...]]) -> int:
    depth = 0
    while all(len(p) > depth + 1 for p in paths) and len({p[depth] for p in paths}) == 1:
        depth += 1
    return depth


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names, healthy ones first, so that the other is the positive class."""
    return tuple(sorted({name for name in names if name}, key=_class_key))


_HEALTHY: Final = frozenset(
    {"0", "normal", "healthy", "negative", "hem", "benign", "control", "no"}
    | {"normale", "sain", "saine", "négatif", "négative", "bénin", "bénigne", "témoin", "non"}
)


def _class_key(name: str) -> tuple[int, str]:
    """Order classes so that the healthy one comes first and the other is the positive one."""
    return (0 if name.casefold() in _HEALTHY else 1, name.casefold())


def table_labels(
    source: Source, table: Table, *, key: str, label: str, group: str | None, part: str | None
) -> Labels:
    """Read class, group and part of each picture from columns of a table."""
    name_of = _naming(source, table, key)
    ids = [name_of(e.name) for e in source.entries]
    values, problems = values_by_id(table, key, label, name_of)
    problems += match_ids(ids, values, table.name)
    classes = class_order(values.values())
    index = {name: i for i, name in enumerate(classes)}
    groups = values_by_id(table, key, group, name_of)[0] if group else {}
    parts = values_by_id(table, key, part, name_of)[0] if part else {}
    tags = tuple(
        Tag(index.get(values.get(i, ""), UNKNOWN), groups.get(i, ""), part_named(parts.get(i, "")))
        for i in ids
    )
    return Labels(classes, tags, "table", tuple(problems))


def _naming(source: Source, table: Table, key: str) -> Callable[[str], str]:
    """Return what turns a path, of a picture or in a table, into the id by which they are matched.

    That is the file name, unless it is not unique and the table says paths: files that a camera
    numbers stand as `p1/001.png` and `p2/001.png`. Paths of a table begin at the source or at the
    folder of the table.
    """
    stems = {stem_of(e.name) for e in source.entries}
    if len(stems) == len(source.entries) or not any("/" in _path(r[key]) for r in table.rows):
        return _file_id
    folder = PurePosixPath(table.name).parent
    known = {_without_ending(e.name) for e in source.entries}

    def path_id(written: str) -> str:
        path = _without_ending(_path(written))
        below = (folder / path).as_posix()
        return below if path not in known and below in known else path

    return path_id


def _without_ending(path: str) -> str:
    return path[: len(path) - len(path.rpartition("/")[2])] + stem_of(path)
