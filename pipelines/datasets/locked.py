"""A locked test set: items that training and tuning never see, and a count of who opened it.

data/locked/<fingerprint>.json           which items of which files are locked
data/locked/<fingerprint>.openings.jsonl one line a run that was scored on test items

The fingerprint is that of the files, so that registering them again under another name opens
nothing. Openings are counted for the test part of any split as well: whoever reads a test figure
learns how often it was looked at before.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.contract import DatasetRecord, SplitManifest
from pipelines.core.files import disk_errors, write_json
from pipelines.datasets.splits import given_split
from pipelines.errors import ConfigError, DataFormatError
from pipelines.settings import Settings
from pipelines.text import Text

_KEY_LETTERS: Final = 16


@dataclass(frozen=True)
class Locked:
    """Hold the locked items of a data set.

    Attributes:
        item_ids: Items that no training sees.
        num_groups: Groups that they belong to; groups are locked whole.
        created: When, ISO 8601 in UTC.
        owner: Who locked them.
    """

    item_ids: frozenset[str]
    num_groups: int
    created: str
    owner: str


@dataclass(frozen=True)
class Opening:
    """Record that a run was scored on test items.

    Attributes:
        run_id: The run.
        title: Its title as people saw it.
        when: ISO 8601 in UTC.
        num_items: Test items that it was scored on.
        is_locked: Whether they are those of a lock, else of the test part of a split.
    """

    run_id: str
    title: str
    when: str
    num_items: int
    is_locked: bool


def lock_items(
    record: DatasetRecord, fingerprint: str, share: float, seed: int, settings: Settings
) -> Locked:
    """Lock a share of the labelled items, whole groups drawn at random.

    Raises:
        ConfigError: Some are locked already, or too few groups to lock some and keep some.
    """
    if locked_of(fingerprint, settings) is not None:
        raise ConfigError(Text("locked.already", data=record.title))
    groups: dict[str, list[str]] = {}
    for item in record.items:
        if item.has_truth:
            groups.setdefault(item.group, []).append(item.item_id)
    if len(groups) < 2:
        raise ConfigError(Text("locked.one_group", data=record.title, n=len(groups)))
    chosen = _draw(groups, share, seed)
    items = frozenset(item for group in chosen for item in groups[group])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    locked = Locked(items, len(chosen), now, settings.owner)
    path = _path(fingerprint, settings)
    content = {**dataclasses.asdict(locked), "item_ids": sorted(items)}
    write_json(path, content, makes_folder=True)
    return locked


def _draw(groups: dict[str, list[str]], share: float, seed: int) -> list[str]:
    """Draw groups until they hold the share of the items; at least one stays, one is drawn."""
    names = sorted(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    wanted = share * sum(len(items) for items in groups.values())
    chosen: list[str] = []
    for place in order[: len(names) - 1]:
        if chosen and sum(len(groups[g]) for g in chosen) >= wanted:
            break
        chosen.append(names[place])
    return chosen


def locked_of(fingerprint: str, settings: Settings) -> Locked | None:
    """Return what is locked of the files with this fingerprint, or None.

    Raises:
        DataFormatError: The lock is damaged; nothing may be trained before that is mended.
    """
    path = _path(fingerprint, settings)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
        return Locked(
            frozenset(found["item_ids"]), int(found["num_groups"]), str(found["created"]),
            str(found["owner"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataFormatError(Text("locked.damaged", file=str(path))) from error


def unlock(fingerprint: str, settings: Settings) -> None:
    """Give the items back to training; the count of openings stays."""
    _path(fingerprint, settings).unlink(missing_ok=True)


def keep_out(record: DatasetRecord, split: SplitManifest, locked: Locked | None) -> SplitManifest:
    """Return a split without the locked items."""
    if locked is None or not any(locked.item_ids & set(ids) for ids in split.parts.values()):
        return split
    parts = {
        part: [item for item in ids if item not in locked.item_ids]
        for part, ids in split.parts.items()
    }
    method = f"{split.method} locked={len(locked.item_ids)}"
    return dataclasses.replace(given_split(record, parts), method=method, seed=split.seed)


def without_locked(item_ids: Sequence[str], locked: Locked | None) -> tuple[str, ...]:
    """Leave locked items out, unless nothing but locked ones is asked for: that opens the lock."""
    if locked is None or is_opening(item_ids, locked):
        return tuple(item_ids)
    return tuple(item for item in item_ids if item not in locked.item_ids)


def is_opening(item_ids: Collection[str], locked: Locked | None) -> bool:
    """Tell whether items are asked for that are all locked."""
    return locked is not None and bool(item_ids) and locked.item_ids.issuperset(item_ids)


def refuse_seen(trained_on: Iterable[str], locked: Locked, title: str) -> None:
    """Refuse to open the lock for a model that was trained before it was there.

    Raises:
        DataFormatError: The model was fitted to some of the locked items.
    """
    seen = locked.item_ids & set(trained_on)
    if seen:
        raise DataFormatError(Text("locked.seen", model=title, n=len(seen)))


def note_opening(fingerprint: str, opening: Opening, settings: Settings) -> None:
    """Count that a run was scored on test items; a run counts once."""
    path = _openings_path(fingerprint, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock

    with FileLock(f"{path}.lock", timeout=30), disk_errors(path):
        if any(known.run_id == opening.run_id for known in openings_of(fingerprint, settings)):
            return
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(opening), ensure_ascii=False) + "\n")


def openings_of(fingerprint: str, settings: Settings) -> list[Opening]:
    """List the runs that were scored on test items of these files, oldest first."""
    path = _openings_path(fingerprint, settings)
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(Opening(**json.loads(line)))
        except (ValueError, TypeError):
            continue  # cut short by a crash; the count of the others still stands
    return found


def count_beside(parts: Iterable[str], fingerprint: str, settings: Settings) -> Text | None:
    """Return the words that stand beside figures of these parts: how often test items were opened.

    None where none of the parts is a test part.
    """
    if not {"test", "unseen"} & set(parts):
        return None
    count = len(openings_of(fingerprint, settings))
    return Text("compare.opened_line", n=count) if count else None


def _path(fingerprint: str, settings: Settings) -> Path:
    return settings.data / "locked" / f"{fingerprint[:_KEY_LETTERS]}.json"


def _openings_path(fingerprint: str, settings: Settings) -> Path:
    return settings.data / "locked" / f"{fingerprint[:_KEY_LETTERS]}.openings.jsonl"
