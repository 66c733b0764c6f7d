"""Items that all models of a comparison were scored on, and what is unequal about the models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipelines import registry
from pipelines.compare.entries import Entry
from pipelines.compare.figures import ScoredItems, with_places
from pipelines.contract import Array, ItemStatistics
from pipelines.core import intervals
from pipelines.datasets.split_words import split_words
from pipelines.errors import DataFormatError
from pipelines.text import Text


@dataclass(frozen=True)
class Inequality:
    """Say in what the models of a comparison are not equal.

    Attributes:
        name: What differs.
        values: What it is for each model, in the order of the entries.
        help: Why it matters, and what to do.
    """

    name: Text
    values: tuple[Text, ...]
    help: Text


@dataclass(frozen=True)
class Common:
    """Hold the items that are compared.

    Attributes:
        items: They, and what is resampled among them.
        rows: Rows of each entry, all in the same order of items.
        inequalities: What is not equal about the entries.
        num_relabelled: Shared items that were left out because their labels differ.
        is_held_out_only: Whether thresholds may have been chosen on these very items.
        key: Fingerprint of the items.
    """

    items: ScoredItems
    rows: tuple[ItemStatistics, ...]
    inequalities: tuple[Inequality, ...]
    num_relabelled: int
    is_held_out_only: bool
    key: str


def find_common(entries: Sequence[Entry]) -> Common:
    """Restrict entries to the items that all of them were honestly scored on.

    Test items count; where the entries share none, items that were held out for validation do.
    Items of a training part never do, and items whose labels differ between entries are left out.

    Raises:
        DataFormatError: They share no such item.
    """
    shared = shared_items([entry.honest for entry in entries])
    is_held_out_only = not shared
    shared = shared or shared_items([entry.held_out for entry in entries])
    relabelled = _relabelled(entries, shared)
    kept = [item for item in shared if item not in relabelled]
    if not kept:
        raise DataFormatError(_no_common(entries, len(relabelled)))
    rows = tuple(align_rows(entry, kept) for entry in entries)
    key = hashlib.sha256("\n".join(kept).encode()).hexdigest()
    return Common(
        items=with_places(
            registry.get_task(entries[0].task_id),
            rows[0],
            _scored_items(entries[0], key, rows[0], kept),
        ),
        rows=rows,
        inequalities=_inequalities(entries, kept, len(relabelled), len(shared)),
        num_relabelled=len(relabelled),
        is_held_out_only=is_held_out_only,
        key=key,
    )


def shared_items(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return the items that stand in all lists, in the order of the first."""
    first, *others = lists
    for other in others:
        if other != first:
            known = set(other)
            first = [item for item in first if item in known]
    return list(first)


def _relabelled(entries: Sequence[Entry], shared: Sequence[str]) -> set[str]:
    """Find shared items whose truth is not the same for all entries."""
    first = entries[0].truths
    found: set[str] = set()
    for entry in entries[1:]:
        other = entry.truths
        if first is None or other is None or entry.truths_key == entries[0].truths_key:
            continue
        found |= {item for item in shared if first[item] != other[item]}
    return found


def align_rows(entry: Entry, wanted: Sequence[str]) -> ItemStatistics:
    """Bring the rows of a model into the order of the wanted items and leave the others out."""
    names = entry.row_items
    if names == wanted:
        return entry.rows
    places = {item: place for place, item in enumerate(wanted)}
    place = np.fromiter((places.get(name, -1) for name in names), np.intp, len(names))
    order = np.argsort(place, kind="stable")
    return entry.rows.take(order[np.searchsorted(place[order], 0) :])


def _scored_items(
    entry: Entry, items_key: str, rows: ItemStatistics, names: list[str]
) -> ScoredItems:
    """Take the groups of the first entry: all entries are resampled by the same units."""
    key = (entry.entry_id, entry.stamp, items_key)
    if key not in _scored:
        if len(_scored) >= _MOST_KEPT:
            _scored.pop(next(iter(_scored)))
        codes = intervals.number(rows.columns["item_id"])
        groups: Array = np.empty(len(names), rows.columns["group"].dtype)
        groups[codes] = rows.columns["group"]
        units = intervals.choose_units(groups, np.arange(len(names)))
        kind = registry.get_task(entry.task_id).group_kind
        _scored[key] = ScoredItems(tuple(names), units, len(set(groups.tolist())), kind)
    return _scored[key]


_scored: dict[tuple[str, ...], ScoredItems] = {}
_MOST_KEPT: Final = 8


def _no_common(entries: Sequence[Entry], num_relabelled: int) -> Text:
    if num_relabelled:
        return Text("compare.only_relabelled", n=num_relabelled)
    counts = [
        Text("compare.scored_on", run=e.short_name, n=len(e.held_out), data=e.origin.data_name)
        for e in entries[:4]
    ]
    return Text("compare.no_common", runs=counts)


# --- inequalities ---------------------------------------------------------------------------------


def _inequalities(
    entries: Sequence[Entry], kept: Sequence[str], num_relabelled: int, num_shared: int
) -> tuple[Inequality, ...]:
    rows = [
        _row(
            "data", [_data_words(e) for e in entries], [e.origin.data_fingerprint for e in entries]
        ),
        _row("items", [Text("compare.item_counts", n=len(e.held_out)) for e in entries]),
        _row("part", [_parts_words(e, kept) for e in entries]),
        _row("split", [_split_words(e) for e in entries], [e.origin.split for e in entries]),
        _row(
            "threshold", [_threshold_words(e) for e in entries], [e.point.source for e in entries]
        ),
    ]
    found = [row for row in rows if row is not None]
    if num_relabelled:
        words = Text("compare.relabelled", n=num_relabelled, total=num_shared)
        found.insert(0, Inequality(
            Text("compare.unequal.labels"), (words,) * len(entries),
            Text("compare.unequal.labels.help"),
        ))  # fmt: skip
    return tuple(found)


def _row(name: str, values: Sequence[Text], keys: Sequence[Any] | None = None) -> Inequality | None:
    """Return a row where the entries differ in `keys` (the values themselves by default)."""
    if len(set(keys if keys is not None else values)) < 2:
        return None
    prefix = f"compare.unequal.{name}"
    return Inequality(Text(prefix), tuple(values), Text(f"{prefix}.help"))


def _data_words(entry: Entry) -> Text:
    text_id = "compare.data_generated" if entry.origin.is_generated else "compare.data"
    return Text(
        text_id, title=entry.origin.data_name, start=entry.origin.data_fingerprint[:8] or "–"
    )


def _parts_words(entry: Entry, kept: Sequence[str]) -> Text:
    names = entry.parts if len(entry.parts) == 1 else {entry.part_of[item] for item in kept}
    return Text("compare.list", words=[Text(f"jobs.part.{name}") for name in sorted(names)])


def _split_words(entry: Entry) -> Text:
    if not entry.origin.split:
        return Text("compare.split_unknown")
    words = split_words(entry.origin.split_method)
    return Text("compare.split", start=entry.origin.split[:8], method=words)


def _threshold_words(entry: Entry) -> Text:
    values = [float(value) for value in entry.point.thresholds.values()]
    return Text(f"compare.source.{entry.point.source}", values=values[:6])
