"""Several models that answer together: the mean of their predictions, as one more model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines import registry
from pipelines.compare.common import align_rows, shared_items
from pipelines.compare.comparison import check_entries
from pipelines.compare.cost import add_costs
from pipelines.compare.entries import JOIN, Entry, load_entry
from pipelines.contract import ItemStatistics, OperatingPoint, Task
from pipelines.errors import ConfigError, DataFormatError
from pipelines.settings import Settings
from pipelines.text import Text

Load = Callable[[str], Entry]


def load_entries(names: Sequence[str], settings: Settings | None = None) -> list[Entry]:
    """Load runs and ensembles by name; an ensemble is written as its runs joined by `JOIN`.

    Raises:
        RunNotFoundError: There is no such run.
        PipelineError: A run has no scores, is damaged, or does not fit the others.
    """
    return [load_named(name, lambda run: load_entry(run, settings)) for name in names]


def load_named(name: str, load: Load) -> Entry:
    """Load a run, or the ensemble of several, with a function that loads a run."""
    members = [load(run) for run in name.split(JOIN) if run]
    return members[0] if len(members) == 1 else join(members)


def join(members: Sequence[Entry]) -> Entry:
    """Return the ensemble of models: the mean of their predictions on their common items.

    Its thresholds are chosen anew on common validation items; without any they are the mean of the
    members' thresholds, as nothing else is known before the test.

    Raises:
        ConfigError: Fewer than two models, one twice, or of several tasks.
        DataFormatError: They share no item, or predictions that cannot be averaged.
    """
    task = registry.get_task(check_entries(members))
    shared = shared_items([list(member.part_of) for member in members])
    if not shared:
        raise DataFormatError(Text("compare.ensemble_no_items"))
    rows = _average(task, members, shared)
    part_of = {item: _part(members, item) for item in shared}
    validation = [item for item, part in part_of.items() if part == "validation"]
    names = JOIN.join(member.entry_id for member in members)
    return Entry(
        names, task.id, Text("compare.ensemble", n=len(members)), rows,
        _point(task, members, rows.of_items(validation) if validation else None), part_of,
        members[0].origin, add_costs([m.cost for m in members]),
        tuple(run for member in members for run in member.runs),
        " ".join(member.stamp for member in members),
    )  # fmt: skip


def _part(members: Sequence[Entry], item: str) -> str:
    """Return the part that honesty allows: one member that was trained on it spoils an item."""
    parts = {member.part_of[item] for member in members}
    return next(p for p in ("train", "validation", "out_of_fold", *parts) if p in parts)


def _point(
    task: Task, members: Sequence[Entry], validation: ItemStatistics | None
) -> OperatingPoint:
    if validation is not None:
        return dataclasses.replace(task.best_operating_point(validation), source="validation")
    names = members[0].point.thresholds
    means = {
        name: float(np.mean([m.point.thresholds.get(name, m.point.threshold) for m in members]))
        for name in names
    }
    return OperatingPoint(means, source="default")


def _average(task: Task, members: Sequence[Entry], shared: Sequence[str]) -> ItemStatistics:
    """Average from rows where they hold the predictions, else from the predictions on disk."""
    aligned = [align_rows(member, shared) for member in members]
    averaged = task.average_rows(aligned)
    if averaged is not None:
        return averaged
    folders = [member.runs[0].prediction_folder for member in members]
    opened = [task.open_predictions(folder) for folder in folders]
    record = members[0].runs[0].dataset()
    samples = task.open_dataset(record, list(shared))
    parts = []
    for place, item in enumerate(shared):
        prediction = task.average([predictions[item] for predictions in opened])
        if prediction is None:
            raise ConfigError(Text("compare.cannot_average", task=task.title))
        parts.append(task.statistics(prediction, samples[place].truth))
    return ItemStatistics.concatenate(parts)


# --- which ones -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """Hold one step of a greedy choice.

    Attributes:
        names: Runs that are in after it.
        value: Main figure of their ensemble on the validation items.
    """

    names: tuple[str, ...]
    value: float


def choose_greedily(entries: Sequence[Entry], most: int = 5) -> list[Step]:
    """Build an ensemble run by run, each time the one that helps most on validation items.

    Test items are not looked at: a choice made on them would flatter the ensemble there.

    Args:
        entries: Runs to choose from, no ensembles.
        most: Most runs of the ensemble.

    Returns:
        The steps up to the last one that helped; the first is the best single run.

    Raises:
        DataFormatError: They share no validation item.
    """
    task = registry.get_task(check_entries(entries))
    shared = shared_items([entry.items_of(("validation", "out_of_fold")) for entry in entries])
    if not shared:
        raise DataFormatError(Text("compare.no_validation"))
    rows = {entry.entry_id: align_rows(entry, shared) for entry in entries}
    by_id = {entry.entry_id: entry for entry in entries}
    steps: list[Step] = []
    while len(steps) < min(most, len(entries)):
        taken = steps[-1].names if steps else ()
        values = {
            name: _validation_value(task, [*taken, name], rows, by_id, shared)
            for name in rows
            if name not in taken
        }
        sign = 1 if task.main_metric.higher_is_better else -1
        best = max(values, key=lambda name: (sign * np.nan_to_num(values[name], nan=-np.inf), name))
        if steps and sign * (values[best] - steps[-1].value) <= 0:
            break
        steps.append(Step((*taken, best), values[best]))
    return steps


def _validation_value(
    task: Task,
    names: Sequence[str],
    rows: Mapping[str, ItemStatistics],
    by_id: Mapping[str, Entry],
    shared: Sequence[str],
) -> float:
    """Return the main figure of an ensemble on the validation items at their best point."""
    if len(names) == 1:
        joint = rows[names[0]]
    else:
        averaged = task.average_rows([rows[name] for name in names])
        joint = averaged or _average(task, [by_id[name] for name in names], shared)
    point = task.best_operating_point(joint)
    return float(task.reduce(joint, point)[task.main_metric.name])
