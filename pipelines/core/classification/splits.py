"""Divide labelled pictures so that nothing that belongs together stands on both sides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.contract import Array, DatasetRecord, Part, SplitManifest
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.labels import UNKNOWN, Labels
from pipelines.core.dealing import deal
from pipelines.errors import ConfigError
from pipelines.text import Text

NUM_FOLDS = 5


@dataclass(frozen=True)
class Divisible:
    """Hold what a split looks at, one entry a labelled picture without a part of its own.

    Attributes:
        ids: Item ids.
        labels: `(N,)` class indices.
        groups: Name of what belongs together; copies of one picture share it.
    """

    ids: tuple[str, ...]
    labels: Array
    groups: tuple[str, ...]


def joined_groups(
    groups: Sequence[str], names: Sequence[str], copies: Sequence[Sequence[int]]
) -> list[str]:
    """Give pictures without a group one of their own, and join groups that share a copy.

    One subject sometimes stands in a data set under two names; identical pictures betray it.

    Args:
        groups: Known group of each picture, or "".
        names: Name of each picture.
        copies: Numbers of identical pictures.
    """
    own = [g or f"={n}" for g, n in zip(groups, names, strict=True)]
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    for same in copies:
        first = root(own[same[0]])
        for index in same[1:]:
            parent[root(own[index])] = first
    return [root(name) for name in own]


def divide(pictures: Divisible, config: ClassificationConfig) -> tuple[list[str], list[str]]:
    """Return the ids that train and those that validate.

    Groups go to one side as a whole, class by class, so that both sides have the classes in like
    shares. `config.fold` takes one fifth of the groups, the same fifths for every run with that
    seed; 0 draws the share.
    """
    count = len(pictures.ids)
    names = pictures.groups if config.split_by == "group" else pictures.ids
    rng = np.random.default_rng(config.seed)
    held: set[str] = set()
    for members in _groups_by_class(names, pictures.labels).values():
        listed = list(members)
        order = [listed[i] for i in rng.permutation(len(listed))]
        held |= _held_groups(order, members, config)
    validation = [pictures.ids[i] for i in range(count) if names[i] in held]
    train = [pictures.ids[i] for i in range(count) if names[i] not in held]
    return train, validation


def _groups_by_class(names: Sequence[str], labels: Array) -> dict[int, dict[str, int]]:
    """Sort groups by their most frequent class: class to group to its number of pictures."""
    counts: dict[str, dict[int, int]] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        of_group = counts.setdefault(name, {})
        of_group[label] = of_group.get(label, 0) + 1
    by_class: dict[int, dict[str, int]] = {}
    for name, of_group in counts.items():
        main = max(of_group, key=lambda k: of_group[k])
        by_class.setdefault(main, {})[name] = sum(of_group.values())
    return dict(sorted(by_class.items()))


def _held_groups(
    order: Sequence[str], sizes: Mapping[str, int], config: ClassificationConfig
) -> set[str]:
    if config.fold:
        return set(deal(order, sizes, NUM_FOLDS)[config.fold - 1])
    wanted = config.validation_share * sum(sizes.values())
    held: set[str] = set()
    total = 0
    for name in order[:-1]:  # one group of each class is left to learn from
        if total >= wanted:
            break
        held.add(name)
        total += sizes[name]
    return held


def fold_ids(
    pictures: Divisible, num_folds: int, seed: int, *, by_group: bool = True
) -> list[list[str]]:
    """Return the ids that each fold holds out: every picture once, classes in like shares.

    Args:
        pictures: What is divided.
        num_folds: Folds; 0 for one a group.
        seed: Seed of the draw among groups.
        by_group: Whether groups stay whole; else pictures are drawn one by one.

    Raises:
        ConfigError: Fewer groups (or pictures) of a class than folds.
    """
    names = pictures.groups if by_group else pictures.ids
    by_class = _groups_by_class(names, pictures.labels)
    most = min((len(members) for members in by_class.values()), default=0)
    if num_folds and not 2 <= num_folds <= most:
        raise ConfigError(Text("classes.too_many_folds", got=num_folds, most=most))
    rng = np.random.default_rng(seed)
    dealt: list[list[str]] = []
    for members in by_class.values():
        listed = list(members)
        order = listed if not num_folds else [listed[i] for i in rng.permutation(len(listed))]
        found = deal(order, members, num_folds)
        if not num_folds:
            dealt += found
        else:  # the largest part of one class beside the smallest of the next
            turned = found if not dealt else found[::-1]
            dealt = [a + b for a, b in zip(dealt or [[]] * num_folds, turned, strict=True)]
    fold_of = {name: number for number, fold in enumerate(dealt) for name in fold}
    ids: list[list[str]] = [[] for _ in dealt]
    for item_id, name in zip(pictures.ids, names, strict=True):
        ids[fold_of[name]].append(item_id)
    return ids


def choose_some(pictures: Divisible, most: int, seed: int) -> Divisible:
    """Draw at most `most` pictures, classes in their shares; 0 keeps all."""
    count = len(pictures.ids)
    if not most or count <= most:
        return pictures
    rng = np.random.default_rng((seed, 3))
    chosen: list[int] = []
    for label in np.unique(pictures.labels):
        members = np.flatnonzero(pictures.labels == label)
        size = max(1, round(most * len(members) / count))
        chosen += rng.permutation(members)[:size].tolist()
    rows = sorted(chosen)[:most] if len(chosen) > most else sorted(chosen)
    return Divisible(
        tuple(pictures.ids[i] for i in rows), pictures.labels[rows],
        tuple(pictures.groups[i] for i in rows),
    )  # fmt: skip


def manifest(
    record: DatasetRecord, method: str, seed: int, parts: Mapping[Part, Sequence[str]]
) -> SplitManifest:
    """Return the manifest of parts, named by the fingerprint of its content."""
    full = {part: tuple(ids) for part, ids in parts.items()}
    content = json.dumps([record.dataset_id, method, seed, full], sort_keys=True)
    split_id = hashlib.sha256(content.encode()).hexdigest()[:12]
    return SplitManifest(split_id, record.dataset_id, method, seed, full)


def labelled_rows(labels: Labels) -> list[int]:
    """List the numbers of pictures that have a label."""
    return [i for i, tag in enumerate(labels.tags) if tag.label != UNKNOWN]
