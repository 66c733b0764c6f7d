"""What stands at a path, with its labels: read once and remembered."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.contract import DatasetRecord, Inspection, Item, Problem, SourceFile
from pipelines.core.classification.images import (
    Entry,
    PictureReader,
    Pixels,
    Source,
    decode_all,
    open_source,
)
from pipelines.core.classification.labels import UNKNOWN, LabelReader, Labels, Options, twice_named
from pipelines.core.classification.leakage import exact_copies
from pipelines.core.classification.near import NearSearch
from pipelines.errors import DataFormatError
from pipelines.text import Text, verbatim

LOOKED_AT: Final = 3000
"""Pictures that a report decodes; of more, it looks at as many, evenly spread."""
_LISTED: Final = 40
_TINY_PX: Final = 16


@dataclass(frozen=True)
class Index:
    """Hold the pictures of a source with their labels.

    Attributes:
        source: Where they lie.
        labels: What is known of each.
        reader: Reads them.
        places: Item id to its number.
    """

    source: Source
    labels: Labels
    reader: PictureReader
    places: Mapping[str, int]

    @functools.cached_property
    def copies(self) -> list[tuple[int, ...]]:
        """Groups of identical pictures; files of one size outside of archives are read once."""
        return exact_copies(self.source.entries, self.reader)

    @functools.cached_property
    def look(self) -> Look:
        """What decoding some pictures showed; once, though a page inspects and then registers."""
        return look_at(self)

    @functools.cached_property
    def label_numbers(self) -> Any:
        """Class index of each picture, `(N,)` int; -1 for unknown."""
        return np.fromiter((t.label for t in self.labels.tags), np.int64, len(self.labels.tags))

    @functools.cached_property
    def near(self) -> NearSearch:
        """Search for pictures that are nearly the same; it begins when its result is asked for."""
        return NearSearch(self.source.entries, self.reader)

    def entry(self, item_id: str) -> Entry:
        """Return where an item's picture lies."""
        return self.source.entries[self.places[item_id]]


def open_index(path: Path, read_labels: LabelReader, options: Options) -> Index:
    """List the pictures at a path with their labels; remembered while the path stays as it is.

    Raises:
        DataError: Nothing there can be read.
    """
    return _open_index(path, _stamp(path), read_labels, tuple(sorted(options.items())))


@functools.lru_cache(maxsize=8)
def _open_index(
    path: Path, stamp: object, read_labels: LabelReader, options: tuple[tuple[str, str], ...]
) -> Index:
    del stamp  # part of the key alone
    source = open_source(path)
    labels = read_labels(source, dict(options))
    places = {entry.name: index for index, entry in enumerate(source.entries)}
    return Index(source, labels, PictureReader(source.path), places)


def _stamp(path: Path) -> object:
    """Return what changes when a file is added, taken away or replaced."""
    if not path.exists():
        return None
    state = path.stat()
    if not path.is_dir():
        return state.st_size, state.st_mtime_ns
    folders = [path, *(p for p in path.glob("*") if p.is_dir())]
    folders += [p for p in path.glob("*/*") if p.is_dir()]
    tables = [*path.glob("*.csv"), *path.glob("*/*.csv")]
    return tuple(sorted((str(p), p.stat().st_mtime_ns) for p in (*folders, *tables)))


def source_path(record: DatasetRecord) -> Path:
    """Return the zip, folder or file that a record was made from."""
    return record.root / record.files[0].path


# --- report -------------------------------------------------------------------------------------


def inspect_index(
    index: Index, path: Path, options: Options, name_of: Callable[[str], Text] = verbatim
) -> Inspection:
    """Report what was found: numbers, classes, groups, sizes, colours, and what is wrong.

    Args:
        index: What was found.
        path: Where.
        options: How it is read.
        name_of: From a class to its name as people read it.
    """
    labels, entries = index.labels, index.source.entries
    look = index.look
    problems = [
        *labels.problems,
        *twice_named(entries, labels),
        *_one_class(labels, name_of),
        *_single_pictures(labels, name_of),
        *(Problem("warning", text, name) for name, text in index.source.refusals[:_LISTED]),
        *look.problems,
    ]
    items = tuple(
        Item(entry.name, tag.group or entry.name, tag.label != UNKNOWN)
        for entry, tag in zip(entries, labels.tags, strict=True)
    )
    is_folder = path.is_dir()
    file = SourceFile(
        path="." if is_folder else path.name,
        role="pictures",
        num_bytes=sum(e.num_bytes for e in entries) if is_folder else path.stat().st_size,
        sha256=fingerprint(entries),
    )
    return Inspection(
        title=path.stem if not is_folder else path.name,
        root=path if is_folder else path.parent,
        files=(file,),
        items=items,
        options={**options, "classes": ",".join(labels.classes), "layout": labels.layout},
        facts=_facts(index, look, name_of),
        problems=tuple(problems),
    )


def _one_class(labels: Labels, name_of: Callable[[str], Text]) -> list[Problem]:
    """Warn of labels that nothing can be learned from, before somebody waits for a training."""
    present = {tag.label for tag in labels.tags} - {UNKNOWN}
    if len(present) != 1:
        return []
    name = name_of(labels.classes[present.pop()])
    return [Problem("warning", Text("classes.one_class_found", name=name))]


def _single_pictures(labels: Labels, name_of: Callable[[str], Text]) -> list[Problem]:
    """Warn of classes of one picture: it can be learned from or scored on, and not both."""
    counts = Counter(tag.label for tag in labels.tags)
    rare = [name_of(n) for i, n in enumerate(labels.classes) if counts[i] == 1]
    if not rare:
        return []
    text = Text("classes_few.pictures", n=len(rare), names=rare[:3])
    return [Problem("warning", text)]


def fingerprint(entries: Sequence[Entry]) -> str:
    """Return one hash over names, sizes and checksums, without reading any picture."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.name}\n{entry.num_bytes} {entry.crc}\n".encode())
    return f"index:{digest.hexdigest()}"


@dataclass(frozen=True)
class Look:
    """Hold what decoding some pictures showed.

    Attributes:
        num: Pictures looked at.
        sizes: (height, width) to number.
        colours: `(N, 3)` mean red, green, blue in [0, 255].
        problems: Broken, tiny, constant and colourless pictures.
    """

    num: int
    sizes: Mapping[tuple[int, int], int]
    colours: Any
    problems: tuple[Problem, ...]


def look_at(index: Index) -> Look:
    """Decode pictures in parallel and say what is wrong with which."""
    entries = index.source.entries
    step = max(1, -(-len(entries) // LOOKED_AT))
    some = entries[::step]
    sizes: Counter[tuple[int, int]] = Counter()
    colours: list[Any] = []
    problems: list[Problem] = []
    grey: list[str] = []
    decoded = decode_all(index.reader, some)
    for number, (entry, pixels) in enumerate(zip(some, decoded, strict=True)):
        if isinstance(pixels, DataFormatError):
            problems.append(Problem("warning", pixels.text, entry.name))
            continue
        index.near.see(number * step, pixels)  # it would decode all of them once more
        sizes[(pixels.shape[0], pixels.shape[1])] += 1
        small = pixels[::4, ::4]
        colours.append(small.reshape(-1, 3).mean(axis=0))
        if wrong := what_is_wrong(small, pixels.shape):
            problems.append(Problem("warning", Text(wrong, file=entry.name), entry.name))
        elif _is_grey(small):
            grey.append(entry.name)
    if some and not sizes:  # not one of them is a picture
        first = problems[0]
        problems[0] = Problem("error", first.text, first.path)
    if grey and len(grey) < len(some) / 2:
        problems += [Problem("warning", Text("classes.colourless", file=n), n) for n in grey]
    return Look(len(some), sizes, np.array(colours).reshape(-1, 3), _shortened(problems))


def what_is_wrong(small: Pixels, shape: tuple[int, ...]) -> str:
    """Return the id of what is wrong with a picture, from some of its pixels, or ""."""
    if min(shape[:2]) < _TINY_PX:
        return "classes.tiny"
    return "classes.constant" if int(small.max()) - int(small.min()) < 2 else ""


def _is_grey(small: Pixels) -> bool:
    signed = small.astype(np.int16)
    return int((signed.max(axis=2) - signed.min(axis=2)).max()) <= 2


def _shortened(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= _LISTED:
        return tuple(problems)
    rest = Problem("warning", Text("classes.more_problems", n=len(problems) - _LISTED))
    return (*problems[:_LISTED], rest)


def _facts(
    index: Index, look: Look, name_of: Callable[[str], Text]
) -> tuple[tuple[Text, Any], ...]:
    labels = index.labels
    counts = Counter(tag.label for tag in labels.tags)
    groups = {tag.group for tag in labels.tags if tag.group}
    facts: list[tuple[Text, Any]] = [
        (Text("classes.fact.pictures"), len(labels.tags)),
        (Text("classes.fact.labelled"), len(labels.tags) - counts[UNKNOWN]),
    ]
    facts += [
        (Text("classes.fact.of_class", name=name_of(name)), counts[i])
        for i, name in enumerate(labels.classes)
    ]
    facts.append((Text("classes.fact.groups"), len(groups) or Text("classes.fact.unknown")))
    if look.sizes:
        (height, width), most = Counter(look.sizes).most_common(1)[0]
        facts.append((Text("classes.fact.size"), verbatim(f"{height} x {width} px")))
        if most < look.num:
            facts.append((Text("classes.fact.other_sizes"), look.num - most))
        mean = look.colours.mean(axis=0)
        spread = look.colours.std(axis=0)
        facts.append((Text("classes.fact.colour"), verbatim(
            ", ".join(f"{m:.0f} ± {s:.0f}" for m, s in zip(mean, spread, strict=True))
        )))  # fmt: skip
    facts.append((Text("classes.fact.looked_at"), look.num))
    return tuple(facts)
