"""What makes a score flatter: the same picture, the same id, the same subject on both sides.

Exact copies are found without decoding: sizes and the checksums that a zip holds anyway name the
candidates. Near copies are found by a hash of the detail that survives scaling and slight changes
of colour, and confirmed by what the pictures show (`near`).
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Array
from pipelines.core.classification.images import Entry, PictureReader, Pixels, fit_square, stem_of
from pipelines.errors import DataFormatError
from pipelines.text import Text

Kind = Literal["exact", "near", "id", "subject", "two_names"]
Hashes = NDArray[np.uint64]

_NAMED: Final = 3
"""Subjects that a sentence names."""
NEAR_BITS: Final = 3
"""Bits out of 64 by which the hashes of near copies may differ."""
_MAX_SHARED: Final = 64
"""Blocks of hashes that more pictures share say nothing (empty background) and are skipped."""


@dataclass(frozen=True)
class Leak:
    """Name two pictures that stand on both sides, or two of a subject that does.

    Attributes:
        kind: What was found.
        first: Item on one side.
        second: Item on the other side.
        parts: The two parts, or the two subjects for copies under two names.
        subject: Whose both are, where that is the leak.
    """

    kind: Kind
    first: str
    second: str
    parts: tuple[str, str]
    subject: str = ""


@dataclass(frozen=True)
class LeakReport:
    """Hold what was found between the parts of a split.

    Attributes:
        leaks: Pairs, grave ones first.
        copies_within: Groups of identical pictures inside one part (harmless for the score).
        has_groups: Whether it is known what belongs together; without that the split may separate
            pictures of one subject, and the score may flatter.
        is_near_checked: Whether near copies were looked for.
    """

    leaks: tuple[Leak, ...]
    copies_within: int
    has_groups: bool
    is_near_checked: bool

    @property
    def is_clean(self) -> bool:
        """Whether nothing stands on both sides."""
        return not any(leak.kind != "two_names" for leak in self.leaks)

    def sentences(self) -> tuple[Text, ...]:
        """Say what was found, one sentence a kind."""
        found = list(self._subject_words())
        kinds: tuple[Kind, ...] = ("exact", "near", "id")
        counts = {k: sum(leak.kind == k for leak in self.leaks) for k in kinds}
        found += [Text(f"classes.leak.{k}", n=counts[k]) for k in kinds if counts[k]]
        found += self._two_names_words()
        if not self.has_groups:
            found.append(Text("classes.leak.no_groups"))
        if not self.is_near_checked:
            found.append(Text("classes.leak.near_unchecked"))
        return tuple(found)

    def _subject_words(self) -> Iterable[Text]:
        subjects = [leak.subject for leak in self.leaks if leak.kind == "subject"]
        if subjects:
            yield Text("classes.leak.subject", n=len(subjects), names=subjects[:_NAMED])

    def _two_names_words(self) -> Iterable[Text]:
        """Say of one picture under two subjects that they stay together, unless they do not."""
        apart = {(leak.first, leak.second) for leak in self.leaks if leak.kind == "exact"}
        double = [leak for leak in self.leaks if leak.kind == "two_names"]
        num_apart = sum((leak.first, leak.second) in apart for leak in double)
        if num_apart:
            yield Text("classes.leak.two_names_apart", n=num_apart)
        if len(double) > num_apart:
            yield Text("classes.leak.two_names", n=len(double) - num_apart)


@dataclass(frozen=True)
class Placed:
    """Hold where the pictures of a split stand.

    Attributes:
        entries: The pictures.
        parts: Part of each, "" for none.
        groups: Group of each, "" when unknown.
        has_groups: Whether any group is known.
        has_ids: Whether a file name names one picture wherever it stands; pictures in class
            folders are often just numbered.
    """

    entries: Sequence[Entry]
    parts: Sequence[str]
    groups: Sequence[str]
    has_groups: bool = True
    has_ids: bool = True


def find_leaks(
    placed: Placed,
    copies: Sequence[tuple[int, ...]] | None = None,
    near: Sequence[tuple[int, int]] | None = None,
) -> LeakReport:
    """Look for whatever stands in two parts.

    Args:
        placed: Pictures with their parts and groups.
        copies: Groups of identical pictures; None finds those that checksums of an archive tell.
        near: Pairs of nearly equal pictures; None where they have not been looked for.
    """
    copies = exact_copies(placed.entries) if copies is None else copies
    leaks: list[Leak] = list(_subjects_in_two_parts(placed))
    seen: set[tuple[int, int]] = set()
    within = 0
    for group in copies:
        pairs = _across(group, placed)
        within += not pairs
        for a, b in pairs:
            seen.add((a, b))
            leaks.append(_leak("exact", a, b, placed))
        leaks += _two_names(group, placed)
    alike = set(_pairs_of(copies)) | seen
    for a, b in near or ():
        if (a, b) not in alike and _are_apart(a, b, placed):
            leaks.append(_leak("near", a, b, placed))
    if placed.has_ids:
        leaks += _ids_in_two_parts(placed)
    return LeakReport(tuple(leaks), within, placed.has_groups, near is not None)


def _pairs_of(copies: Sequence[tuple[int, ...]]) -> Iterable[tuple[int, int]]:
    for group in copies:
        if len(group) <= _MAX_SHARED:  # of more, as with empty pictures, no near pair is told
            yield from itertools.combinations(sorted(group), 2)


def exact_copies(
    entries: Sequence[Entry], reader: PictureReader | None = None
) -> list[tuple[int, ...]]:
    """Group the numbers of pictures with the same bytes.

    Members of an archive are told apart by size and CRC-32; files are read only where another
    one has the same size.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for index, entry in enumerate(entries):
        by_size.setdefault((entry.num_bytes, entry.crc), []).append(index)
    groups: list[tuple[int, ...]] = []
    for (_, crc), same in by_size.items():
        if len(same) < 2:
            continue
        if crc:
            groups.append(tuple(same))
        elif reader is not None:
            groups += _same_content(same, entries, reader)
    return groups


def _same_content(
    candidates: Sequence[int], entries: Sequence[Entry], reader: PictureReader
) -> list[tuple[int, ...]]:
    by_sum: dict[int, list[int]] = {}
    for index in candidates:
        try:
            by_sum.setdefault(zlib.crc32(reader.read_bytes(entries[index])), []).append(index)
        except DataFormatError:
            continue
    return [tuple(same) for same in by_sum.values() if len(same) > 1]


def difference_hash(pixels: Pixels) -> int:
    """Return 64 bits: whether brightness rises from each of 8 x 8 areas to its right neighbour.

    Scaling, compression and a change of brightness leave it nearly as it was; a rise of one grey
    level is none, or the noise of compression would turn every bit of a black surround.
    """
    import cv2

    grey = cv2.cvtColor(fit_square(pixels, 64), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (small[:, 1:] - small[:, :-1] > 1).reshape(-1)
    return int(np.packbits(bits).view(">u8")[0])


def near_copies(hashes: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return pairs of pictures whose hashes differ in at most `NEAR_BITS` bits.

    Two such hashes agree in at least one of four blocks of 16 bits (pigeonhole), so only pictures
    that share a block are compared.
    """
    indices = np.fromiter(hashes.keys(), np.int64, len(hashes))
    values = np.fromiter(hashes.values(), np.uint64, len(hashes))
    is_telling = np.bitwise_count(values) > 4  # an empty picture resembles every other one
    indices, values = indices[is_telling], values[is_telling]
    found: set[tuple[int, int]] = set()
    for shift in (0, 16, 32, 48):
        blocks = (values >> np.uint64(shift)) & np.uint64(0xFFFF)
        for rows in _equal_runs(blocks):
            found.update(_close_pairs(rows, indices, values))
    return sorted(found)


def _equal_runs(blocks: Hashes) -> Iterable[Array]:
    order = np.argsort(blocks, kind="stable")
    edges = np.flatnonzero(np.diff(blocks[order])) + 1
    for run in np.split(order, edges):
        if 1 < len(run) <= _MAX_SHARED * 16:
            yield run


def _close_pairs(rows: Array, indices: Array, values: Hashes) -> Iterable[tuple[int, int]]:
    some = values[rows]
    distance = np.bitwise_count(some[:, None] ^ some[None, :])
    first, second = np.nonzero(np.triu(distance <= NEAR_BITS, k=1))
    for a, b in zip(rows[first], rows[second], strict=True):
        low, high = sorted((int(indices[a]), int(indices[b])))
        yield low, high


def _across(group: Sequence[int], placed: Placed) -> list[tuple[int, int]]:
    """Pair the first copy of each part with the first copy of every other part."""
    first: dict[str, int] = {}
    for index in group:
        if placed.parts[index]:
            first.setdefault(placed.parts[index], index)
    chosen = sorted(first.values())
    return [(a, b) for i, a in enumerate(chosen) for b in chosen[i + 1 :]]


def _are_apart(a: int, b: int, placed: Placed) -> bool:
    first, second = placed.parts[a], placed.parts[b]
    return bool(first and second and first != second)


def _leak(kind: Kind, a: int, b: int, placed: Placed) -> Leak:
    return Leak(
        kind, placed.entries[a].name, placed.entries[b].name, (placed.parts[a], placed.parts[b])
    )


def _two_names(group: Sequence[int], placed: Placed) -> list[Leak]:
    """Report identical pictures that carry two subjects: one subject under two names."""
    first: dict[str, int] = {}
    for index in group:
        if placed.groups[index]:
            first.setdefault(placed.groups[index], index)
    (reference, *others) = first.items() if len(first) > 1 else (None,)
    if reference is None:
        return []
    a = placed.entries[reference[1]].name
    return [
        Leak("two_names", a, placed.entries[index].name, (reference[0], name))
        for name, index in others
    ]


def _subjects_in_two_parts(placed: Placed) -> Iterable[Leak]:
    if not placed.has_groups:
        return
    parts: dict[str, dict[str, int]] = {}
    for index, (group, part) in enumerate(zip(placed.groups, placed.parts, strict=True)):
        if group and part:
            parts.setdefault(group, {}).setdefault(part, index)
    for group, places in parts.items():
        if len(places) > 1:
            (one, first), (other, second), *_ = places.items()
            names = placed.entries[first].name, placed.entries[second].name
            yield Leak("subject", *names, (one, other), group)


def _ids_in_two_parts(placed: Placed) -> list[Leak]:
    first: dict[str, int] = {}
    leaks: list[Leak] = []
    for index, entry in enumerate(placed.entries):
        if not placed.parts[index]:
            continue
        other = first.setdefault(stem_of(entry.name), index)
        if other != index and _are_apart(other, index, placed):
            leaks.append(_leak("id", other, index, placed))
    return leaks
