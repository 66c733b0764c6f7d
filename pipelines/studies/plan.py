"""Say which runs a study is made of: which seed, which items are held out, under which rule."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pipelines import datasets
from pipelines.contract import DatasetRecord, SplitManifest, Task
from pipelines.errors import ConfigError
from pipelines.text import Text, verbatim

Kind = Literal["seeds", "folds", "leak"]
ArmName = Literal["", "grouped", "random"]
KINDS: Final[tuple[Kind, ...]] = ("seeds", "folds", "leak")
MOST_RUNS: Final = 200
"""Runs of one study; leaving one of more groups out is a matter of folds."""


@dataclass(frozen=True)
class Planned:
    """Hold one run of a study before it exists.

    Attributes:
        name: File name of the run, unique within the study.
        label: What people see.
        arm: Rule of its split, where a study compares two of them.
        config: Options of the run.
        split: Its division of the data.
    """

    name: str
    label: Text
    arm: ArmName
    config: Any  # the task's own configuration type
    split: SplitManifest


def plan_members(
    task: Task, record: DatasetRecord, config: Any, kind: Kind, count: int
) -> list[Planned]:
    """List the runs of a study.

    Args:
        task: Task that trains.
        record: Data set.
        config: The recipe.
        kind: "seeds" (one split, other random numbers), "folds" (every item held out once, groups
            whole), "leak" (folds by group beside folds drawn at random).
        count: Seeds or folds; 0 folds leave one group out at a time.

    Raises:
        ConfigError: A count that does not fit the data, or nothing that could leak.
    """
    check_count(kind, count)
    if kind == "seeds":
        return _seeds(task, record, config, count)
    if kind == "folds":
        return _folds(task, record, config, count, arm="")
    if "leak" not in available_kinds(record):
        raise ConfigError(Text("study.nothing_leaks"))
    grouped = _folds(task, record, config, count, arm="grouped")
    return grouped + _folds(task, record, config, count, arm="random")


def check_count(kind: Kind, count: int) -> None:
    """Refuse a number of runs that makes no study.

    Raises:
        ConfigError: Too few or too many.
    """
    is_each_group = kind == "folds" and count == 0
    if not is_each_group and not 2 <= count <= MOST_RUNS:
        raise ConfigError(Text("study.bad_count", got=count, most=MOST_RUNS))


def available_kinds(record: DatasetRecord) -> tuple[str, ...]:
    """List what makes sense with these data: "seeds", "folds", "leave_one_out", "leak"."""
    sizes = group_sizes(record)
    num_items = sum(sizes.values())
    found = ["seeds"]
    if num_items > 1:
        found.append("folds")
    if 2 <= len(sizes) <= MOST_RUNS and len(sizes) < max(num_items, 13):
        found.append("leave_one_out")
    if any(size > 1 for size in sizes.values()):
        found.append("leak")
    return tuple(found)


def group_sizes(record: DatasetRecord) -> dict[str, int]:
    """Count the labelled items of each group."""
    return dict(Counter(item.group for item in record.items if item.has_truth))


def _seeds(task: Task, record: DatasetRecord, config: Any, count: int) -> list[Planned]:
    if not hasattr(config, "seed"):
        raise ConfigError(Text("study.no_seed"))
    split = task.split(record, config)
    found = []
    for seed in range(config.seed, config.seed + count):
        label = Text("study.member.seed", seed=seed)
        options = dataclasses.replace(config, seed=seed)
        found.append(Planned(f"seed_{seed}", label, "", options, split))
    return found


def _folds(
    task: Task, record: DatasetRecord, config: Any, count: int, *, arm: ArmName
) -> list[Planned]:
    by_group, seed = arm != "random", int(getattr(config, "seed", 0))
    splits = task.folds(record, config, count, by_group=by_group)
    if splits is None:
        divide = datasets.fold_splits if by_group else datasets.random_fold_splits
        splits = divide(record, count, seed)
    if len(splits) > MOST_RUNS:
        raise ConfigError(Text("study.bad_count", got=len(splits), most=MOST_RUNS))
    group_of = {item.item_id: item.group for item in record.items}
    found = []
    for number, split in enumerate(splits, start=1):
        name = f"{arm}_{number}" if arm else f"fold_{number}"
        label = _label(number, split, group_of, arm)
        found.append(Planned(name, label, arm, config, split))
    return found


def _label(number: int, split: SplitManifest, group_of: dict[str, str], arm: ArmName) -> Text:
    """Name a fold by the group that it holds out, where it is a single one."""
    groups: Sequence[str] = tuple({group_of[i] for i in split.parts.get("validation", ())})
    if arm:
        return Text(f"study.member.{arm}", number=number)
    if len(groups) == 1 and len(set(group_of.values())) > 1:
        return Text("study.member.group", name=verbatim(groups[0]))
    return Text("study.member.fold", number=number)
