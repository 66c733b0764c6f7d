"""Read EM sections with their membrane labels from whatever layout they lie in.

A source is a stack, a folder of stacks or of single sections, or a zip of either. An item is one
section. `train-volume:003` is page 3, counted from 0, of a stack; `images/07` is a single file. The
group is the stack, or the folder of the single files: sections of one specimen resemble each other.

In a record, `files` holds each image directly followed by its label, if it has one; with the
items in the order of the files' sections this is all that is needed to open it again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, cast, overload

import numpy as np
from numpy.typing import NDArray

from pipelines.config import option, parse
from pipelines.contract import DatasetRecord, Inspection, Sample, SourceFile, SplitManifest
from pipelines.core.images import (
    Colour,
    ImageFile,
    Stack,
    list_image_files,
    open_stack,
    scale_to_unit,
    value_window,
)
from pipelines.datasets.records import image_file
from pipelines.datasets.splits import block_split
from pipelines.errors import DataError, DataFormatError
from pipelines.tasks.em_membrane.data_labels import (
    find_polarity,
    find_scheme,
    inside_mask,
    is_picture,
    spread_pieces,
)
from pipelines.tasks.em_membrane.data_pairing import base_names, pair_files
from pipelines.text import Text

DEFAULT_VALIDATION_SHARE: Final = 0.2
SHOWN_SIDE_PX: Final = 8192
"""Sections with more pixels than a square of this side are not shown: browsers give up there."""
_MOST_PACKED: Final = 20  # sections of grain do not pack better
_OPEN_STACKS: Final = 16


@dataclass(frozen=True)
class DataOptions:
    """Say how files are read; "auto" and 0 stand for what is detected."""

    texts: ClassVar[str] = "em_data"

    membrane_value: str = option("auto", choices=("auto", "low", "high"))
    pixel_size_nm: float = option(0.0, low=0.0, high=100_000.0, unit="nm")
    colour: str = option("refuse", choices=("refuse", "luminance"))
    label_kind: str = option("auto", choices=("auto", "two", "soft", "cells"), expert=True)
    label_cut: float = option(0.0, expert=True)


def inspect_source(source: Path, options: Mapping[str, str]) -> Inspection:
    """Report what stands at a path: sections, labels, how they are read, and what is wrong.

    Args:
        source: Existing stack, folder or zip.
        options: Fields of `DataOptions` that replace what is detected.

    Raises:
        ConfigError: An option does not fit.
        DataError: No image can be read there.
    """
    from pipelines.tasks.em_membrane.data_report import survey

    return survey(source, parse(DataOptions, options))


def open_samples(record: DatasetRecord, item_ids: Sequence[str] | None = None) -> SectionSamples:
    """Open sections of a data set; each is read when it is indexed.

    A sample's `image` is `(H, W)` float32 in [0, 1] (see `value_window` for types wider than 8
    bit), its `truth` `(H, W)` bool with True inside a cell, or None, and its `meta` holds
    `section` (index in its stack), `pixel_size_nm` (0 = unknown), `stack`, `file`, `label_file`.

    Args:
        record: Data set that was registered from `inspect_source`.
        item_ids: Items in the order wanted; None for all.

    Raises:
        DataError: The data set has no such item.
    """
    known = {item.item_id for item in record.items}
    wanted = [item.item_id for item in record.items] if item_ids is None else list(item_ids)
    unknown = [item_id for item_id in wanted if item_id not in known]
    if unknown:
        raise DataError(Text("em_data.unknown_items", items=unknown[:5], n=len(unknown)))
    return SectionSamples(record, wanted)


class SectionSamples(Sequence[Sample]):
    """Give sections as samples; threads and worker processes may share it."""

    def __init__(self, record: DatasetRecord, item_ids: Sequence[str]) -> None:
        self._record = record
        self._item_ids = list(item_ids)
        self._options = parse(DataOptions, record.options)
        self._groups = {item.item_id: item.group for item in record.items}
        self._sources = sources_by_base(record)
        self._has_truth = {item.item_id: item.has_truth for item in record.items}
        self._images = _OpenStacks(cast("Colour", self._options.colour), is_scaled=True)
        self._labels = _OpenStacks("luminance", is_scaled=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return SectionSamples, (self._record, self._item_ids)

    def __len__(self) -> int:
        return len(self._item_ids)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Items in order."""
        return tuple(self._item_ids)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> SectionSamples: ...
    def __getitem__(self, index: int | slice) -> Sample | SectionSamples:
        if isinstance(index, slice):
            return SectionSamples(self._record, self._item_ids[index])
        return self._open(self._item_ids[index])

    def _open(self, item_id: str) -> Sample:
        base, section = split_item_id(item_id)
        image_at, label_at = self._sources[base]
        stack, window = self._images.get(image_at)
        truth = self._truth(label_at, section) if self._has_truth[item_id] else None
        return Sample(
            item_id=item_id,
            group=self._groups[item_id],
            image=scale_to_unit(stack[section], window),
            truth=truth,
            meta={
                "section": section,
                "pixel_size_nm": self._options.pixel_size_nm,
                "stack": self._groups[item_id],
                "file": image_at.label,
                "label_file": label_at.label if label_at else "",
            },
        )

    def _truth(self, label_at: ImageFile | None, section: int) -> NDArray[np.bool_] | None:
        if label_at is None:
            return None
        stack = self._labels.get(label_at)[0]
        options = self._options
        return inside_mask(
            stack.read(section),
            kind=options.label_kind,
            cut=options.label_cut,
            membrane=options.membrane_value,
        )


class _OpenStacks:
    """Keep the stacks last used open, with the window of their values."""

    def __init__(self, colour: Colour, *, is_scaled: bool) -> None:
        self._colour = colour
        self._is_scaled = is_scaled
        self._stacks: OrderedDict[ImageFile, Stack] = OrderedDict()
        self._windows: dict[ImageFile, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def get(self, file: ImageFile) -> tuple[Stack, tuple[float, float]]:
        with self._lock:
            if file not in self._stacks:
                self._stacks[file] = open_stack(file, colour=self._colour)
            self._stacks.move_to_end(file)
            while len(self._stacks) > _OPEN_STACKS:
                self._stacks.popitem(last=False)
            stack = self._stacks[file]
            if file not in self._windows:
                self._windows[file] = value_window(stack) if self._is_scaled else (0.0, 1.0)
            return stack, self._windows[file]


def sources_by_base(record: DatasetRecord) -> dict[str, tuple[ImageFile, ImageFile | None]]:
    """Return the base name of every image file with the image and its label."""
    files = [(file.role, image_file(record, file)) for file in record.files]
    names = base_names([file for _, file in files])
    found: dict[str, tuple[ImageFile, ImageFile | None]] = {}
    base = ""
    for role, file in files:
        if role == "image":
            base = names[file]
            found[base] = (file, None)
        else:
            found[base] = (found[base][0], file)
    return found


def make_item_id(base: str, section: int | None) -> str:
    """Name a section: page of a stack, or a single file for None."""
    return base if section is None else f"{base}:{section:03d}"


def split_item_id(item_id: str) -> tuple[str, int]:
    """Return base name and index of the section in its file."""
    base, colon, section = item_id.rpartition(":")
    return (base, int(section)) if colon else (item_id, 0)


def split_sections(
    record: DatasetRecord, validation_share: float = DEFAULT_VALIDATION_SHARE
) -> SplitManifest:
    """Set aside the last labelled sections of every stack as one block.

    A data set of one labelled section gets no validation part; its inspection says so.
    """
    return block_split(record, validation_share)


class LabelStack(Sequence[NDArray[np.bool_]]):
    """Give the sections of label files as `(H, W)` bool, True = inside a cell.

    Attributes:
        membrane_value: Class that was taken for membrane, "low" or "high".
    """

    def __init__(self, files: Sequence[ImageFile], membrane_value: str) -> None:
        self._stack = open_stack(files)
        chosen = spread_indices(len(self._stack), 16)
        some = [spread_pieces(self._stack.read(int(i)))[0] for i in chosen]
        self._scheme = find_scheme(some)
        if self._scheme.num_values < 2:
            raise DataFormatError(
                Text("em_data.constant", file=self._stack.name, value=self._scheme.values[0])
            )
        if self._scheme.kind == "cells" and is_picture(some):
            raise DataFormatError(Text("em_data.image_for_labels", file=self._stack.name))
        self.membrane_value = membrane_value
        if membrane_value == "auto":
            highs = [self._inside(section, "low") for section in some]
            self.membrane_value = find_polarity(highs, []).membrane
        if self._scheme.kind == "cells":
            self.membrane_value = "low"

    def __len__(self) -> int:
        return len(self._stack)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.bool_]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.bool_]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.bool_] | list[NDArray[np.bool_]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._inside(self._stack.read(index), self.membrane_value)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sections, height and width."""
        return self._stack.shape

    def _inside(self, section: NDArray[Any], membrane: str) -> NDArray[np.bool_]:
        scheme = self._scheme
        return inside_mask(section, kind=scheme.kind, cut=scheme.cut, membrane=membrane)


def open_label_stack(path: Path, membrane_value: str = "auto") -> LabelStack:
    """Open a label stack, or the labels of a folder or zip, as masks of the inside of cells.

    Args:
        path: Label stack; a folder or zip of label sections, or one that holds images as well.
        membrane_value: Class that is membrane: "low", "high", or "auto" to detect it.

    Raises:
        DataError: No label can be read there.
    """
    from pipelines.tasks.em_membrane.data_report import looks_like_mask

    files = list_image_files(path).files
    pairing = pair_files(files, looks_like_mask)
    labels = [label for _, label in pairing.pairs if label is not None]
    return LabelStack(labels or files, membrane_value)


def can_be_shown(shape: Sequence[int]) -> bool:
    """Tell whether a section of `(H, W)` pixels can be sent to a browser as it is."""
    return shape[0] * shape[1] <= SHOWN_SIDE_PX**2


def unshowable(record: DatasetRecord) -> str:
    """Return the first image file whose sections are too large to be shown, or ""; headers only."""
    if record.dataset_id not in _unshowable:
        fewest = SHOWN_SIDE_PX**2 // _MOST_PACKED
        files = [f for f in record.files if f.role == "image" and f.num_bytes > fewest]
        shapes = ((f.path, open_stack(image_file(record, f)).shape[1:]) for f in files)
        found = next((path for path, shape in shapes if not can_be_shown(shape)), "")
        _unshowable[record.dataset_id] = found
    return _unshowable[record.dataset_id]


_unshowable: dict[str, str] = {}  # a data set's id is made of its content


def spread_indices(count: int, most: int) -> NDArray[np.int64]:
    """Choose at most `most` of `count` indices, evenly."""
    if count == 0:
        return np.empty(0, np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def source_file(file: ImageFile, role: str) -> SourceFile:
    """Describe a file for a record."""
    from pipelines.core.images import file_sha256

    return SourceFile(file.label, role, file.num_bytes(), file_sha256(file))
