"""Divide a data set into parts, and keep the division under the hash of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.contract import PARTS, DatasetRecord, Part, SplitManifest
from pipelines.core.dealing import deal
from pipelines.core.files import write_json
from pipelines.datasets.storage import checked_name, dataset_folder
from pipelines.errors import ConfigError, DataFormatError, DatasetNotFoundError
from pipelines.settings import Settings
from pipelines.text import Text


def block_split(record: DatasetRecord, validation_share: float, *, gap: int = 0) -> SplitManifest:
    """Set aside the last labelled items of every group as one block.

    Sections that lie beside one another resemble one another: picked at random, the validation
    sections would have near-copies in the training part, and the figures would flatter.

    Args:
        record: Data set whose items stand in their natural order.
        validation_share: Share of the labelled items, in [0, 1).
        gap: Items left out between the blocks of a group.

    Returns:
        At least one validation item when there are two labelled items and the share is not 0.
    """
    _check_share(validation_share)
    groups = _labelled_groups(record)
    sizes = {g: _block_size(len(ids), validation_share) for g, ids in groups.items()}
    if validation_share and groups and not any(sizes.values()):
        largest = max(groups, key=lambda g: len(groups[g]))
        sizes[largest] = 1 if len(groups[largest]) > 1 else 0
    train: list[str] = []
    validation: list[str] = []
    for group, ids in groups.items():
        cut = len(ids) - sizes[group]
        train += ids[: max(cut - (gap if sizes[group] else 0), 1)]
        validation += ids[cut:]
    method = f"blocks share={validation_share:g} gap={gap}"
    return _manifest(record, method, 0, {"train": train, "validation": validation})


def group_split(record: DatasetRecord, validation_share: float, seed: int) -> SplitManifest:
    """Set aside whole groups, drawn at random, until they hold the share of labelled items.

    Raises:
        ConfigError: The share is out of range, or there is a single group.
    """
    _check_share(validation_share)
    groups = _labelled_groups(record)
    if len(groups) < 2:
        raise ConfigError(Text("data.one_group", n=len(groups)))
    names = list(groups)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    wanted = validation_share * sum(len(ids) for ids in groups.values())
    chosen: set[str] = set()
    for name in order[:-1]:
        if wanted and (not chosen or sum(len(groups[g]) for g in chosen) < wanted):
            chosen.add(name)
    parts: dict[Part, list[str]] = {"train": [], "validation": []}
    for name, ids in groups.items():
        parts["validation" if name in chosen else "train"] += ids
    return _manifest(record, f"groups share={validation_share:g}", seed, parts)


def fold_splits(record: DatasetRecord, num_folds: int, seed: int = 0) -> list[SplitManifest]:
    """Divide the labelled items into folds, each of them the validation part once.

    Groups stay whole. A single group (one stack of sections) is cut into contiguous blocks: drawn
    at random, neighbours that resemble one another would stand on both sides.

    Args:
        record: Data set whose items stand in their natural order.
        num_folds: Folds; 0 leaves one group out at a time.
        seed: Seed of the draw of groups.

    Raises:
        ConfigError: Fewer groups (or items of the only group) than folds.
    """
    groups = _labelled_groups(record)
    if len(groups) == 1 and num_folds:
        (ids,) = groups.values()
        _check_folds(num_folds, len(ids), "data.too_many_blocks")
        edges = np.linspace(0, len(ids), num_folds + 1).round().astype(int)
        folds = [ids[a:b] for a, b in pairwise(edges)]
        return _fold_manifests(record, folds, "blocks", seed)
    _check_folds(num_folds or len(groups), len(groups), "data.too_many_folds")
    names = list(groups)
    if num_folds:
        names = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    dealt = deal(names, {g: len(ids) for g, ids in groups.items()}, num_folds)
    folds = [[i for g in members for i in groups[g]] for members in dealt]
    return _fold_manifests(record, folds, "groups", seed)


def random_fold_splits(record: DatasetRecord, num_folds: int, seed: int = 0) -> list[SplitManifest]:
    """Divide the labelled items into folds at random, whatever belongs together.

    The figures of such a split flatter where groups hold several items; it exists to show by how
    much, and its method says so for ever.

    Raises:
        ConfigError: Fewer items than folds.
    """
    groups = _labelled_groups(record)
    ids = [item_id for members in groups.values() for item_id in members]
    _check_folds(num_folds, len(ids), "data.too_many_blocks")
    order = np.random.default_rng((seed, 1)).permutation(len(ids))
    folds = [sorted(ids[i] for i in part) for part in np.array_split(order, num_folds)]
    leaking = sum(len(members) > 1 for members in groups.values())
    return _fold_manifests(record, folds, f"random LEAK={leaking}" if leaking else "random", seed)


def given_split(record: DatasetRecord, parts: Mapping[Part, Sequence[str]]) -> SplitManifest:
    """Keep a division that somebody chose.

    Raises:
        ConfigError: An item is unknown or stands in two parts.
    """
    known = {item.item_id for item in record.items}
    listed = [item_id for ids in parts.values() for item_id in ids]
    unknown = sorted(set(listed) - known)
    if unknown:
        raise ConfigError(Text("data.split_unknown", items=unknown[:5], n=len(unknown)))
    twice = sorted({item_id for item_id in listed if listed.count(item_id) > 1})
    if twice:
        raise ConfigError(Text("data.split_twice", items=twice[:5], n=len(twice)))
    return _manifest(record, "given", 0, parts)


def save_split(split: SplitManifest, settings: Settings) -> Path:
    """Write a manifest beside its record; the same content has one file."""
    path = _path(split.dataset_id, split.split_id, settings)
    if not path.is_file():
        write_json(path, split_to_json(split), makes_folder=True)
    return path


def load_split(dataset_id: str, split_id: str, settings: Settings) -> SplitManifest:
    """Read one manifest.

    Raises:
        DatasetNotFoundError: There is none of that id.
        DataFormatError: Its file is damaged.
    """
    path = _path(dataset_id, split_id, settings)
    if not path.is_file():
        raise DatasetNotFoundError(Text("data.unknown_split", split=split_id, dataset=dataset_id))
    try:
        return split_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFormatError(Text("data.broken_split", split=split_id)) from error


def list_splits(dataset_id: str, settings: Settings) -> list[SplitManifest]:
    """List the manifests of a data set, newest first."""
    paths = (dataset_folder(dataset_id, settings) / "splits").glob("*.json")
    newest_first = sorted(paths, key=lambda p: p.stat().st_mtime_ns, reverse=True)
    return [load_split(dataset_id, path.stem, settings) for path in newest_first]


def split_to_json(split: SplitManifest) -> dict[str, Any]:
    """Return a manifest as plain JSON values."""
    return {
        "split_id": split.split_id,
        "dataset_id": split.dataset_id,
        "method": split.method,
        "seed": split.seed,
        "parts": {part: list(ids) for part, ids in split.parts.items()},
    }


def split_from_json(data: Mapping[str, Any]) -> SplitManifest:
    """Rebuild a manifest from `split_to_json`."""
    parts = data["parts"]
    return SplitManifest(
        split_id=str(data["split_id"]),
        dataset_id=str(data["dataset_id"]),
        method=str(data["method"]),
        seed=int(data["seed"]),
        parts={part: tuple(parts[part]) for part in PARTS if part in parts},
    )


def _fold_manifests(
    record: DatasetRecord, folds: Sequence[Sequence[str]], method: str, seed: int
) -> list[SplitManifest]:
    labelled = [item.item_id for item in record.items if item.has_truth]
    found = []
    for number, held_out in enumerate(folds, start=1):
        out = set(held_out)
        parts: dict[Part, list[str]] = {
            "train": [i for i in labelled if i not in out],
            "validation": [i for i in labelled if i in out],
        }
        name = f"fold {number}/{len(folds)} {method}"
        found.append(_manifest(record, name, seed, parts))
    return found


def _check_folds(num_folds: int, most: int, text_id: str) -> None:
    if not 2 <= num_folds <= most:
        raise ConfigError(Text(text_id, got=num_folds, most=most))


def _manifest(
    record: DatasetRecord, method: str, seed: int, parts: Mapping[Part, Sequence[str]]
) -> SplitManifest:
    full = {part: tuple(parts.get(part, ())) for part in PARTS}
    content = json.dumps([record.dataset_id, method, seed, full], sort_keys=True)
    split_id = hashlib.sha256(content.encode()).hexdigest()[:12]
    return SplitManifest(split_id, record.dataset_id, method, seed, full)


def _labelled_groups(record: DatasetRecord) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for item in record.items:
        if item.has_truth:
            groups.setdefault(item.group, []).append(item.item_id)
    return groups


def _block_size(count: int, share: float) -> int:
    return min(round(count * share), count - 1)


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise ConfigError(Text("data.share", share=share))


def _path(dataset_id: str, split_id: str, settings: Settings) -> Path:
    return dataset_folder(dataset_id, settings) / "splits" / f"{checked_name(split_id)}.json"
