"""Read the runs of a study as one result: mean and spread, pooled figures, what a leak adds."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from pipelines import actions, registry
from pipelines.actions import UNSEEN, PartScores
from pipelines.contract import ItemStatistics, OperatingPoint, Task
from pipelines.core.files import write_json
from pipelines.core.intervals import (
    Units,
    choose_units,
    interval_of_difference,
    spread_figures,
    weigh_rows,
)
from pipelines.errors import PipelineError
from pipelines.jobs.store import Run, Status
from pipelines.studies.records import Study

SUMMARY: Final = "summary.json"
POINT: Final = "operating_point.json"
_log = logging.getLogger(__name__)
_ROUNDS: Final = 500
"""Resamplings for the rise, where there are many units."""
_PARTS: Final = ("test", "validation")
"""Parts that a run of seeds is read by, the more honest first."""


@dataclass(frozen=True)
class MemberScores:
    """Hold the figures of one run.

    Attributes:
        name: Member of the study.
        run_id: Its run.
        metrics: Figures; NaN where one is not defined (one class only).
        seconds: How long it worked.
        num_items: Items that they are of.
        num_groups: Groups that these belong to.
    """

    name: str
    run_id: str
    metrics: Mapping[str, float]
    seconds: float
    num_items: int
    num_groups: int


@dataclass(frozen=True)
class Arm:
    """Hold the runs under one rule of splitting.

    Attributes:
        name: "" where there is only one rule; "grouped" or "random".
        members: Runs that are finished.
        mean: Metric to the mean over the runs that define it.
        spread: Metric to the standard deviation over them; NaN for fewer than two.
        pooled: Figures of all held-out items together at one point, with intervals; folds only.
            Their names are left out, `num_items` counts them.
        point: That point.
        num_items: Items that were held out once.
        num_groups: Groups that these belong to.
    """

    name: str
    members: tuple[MemberScores, ...]
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    pooled: PartScores | None = None
    point: OperatingPoint | None = None
    num_items: int = 0
    num_groups: int = 0


@dataclass(frozen=True)
class Rise:
    """Say how much higher a metric is when the split leaks.

    Attributes:
        value: Random minus grouped, of the pooled figures on the same items.
        low: Lower bound of its 95 % interval, NaN without one.
        high: Upper bound.
        unit: What was resampled for it.
    """

    value: float
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Summary:
    """Hold what is known of a study.

    Attributes:
        arms: One, or the two of a leak.
        rise: How much the leak adds, once both arms are complete.
        num_planned: Runs in all.
        stamp: Runs that it is of; another one means that it is out of date.
    """

    arms: tuple[Arm, ...]
    rise: Rise | None
    num_planned: int
    stamp: tuple[str, ...]

    @property
    def num_finished(self) -> int:
        """Runs that have ended well."""
        return sum(len(arm.members) for arm in self.arms)

    @property
    def is_complete(self) -> bool:
        """Whether every run has ended well."""
        return self.num_finished == self.num_planned


def summarise(study: Study) -> Summary:
    """Compute the figures of the runs that are finished."""
    task = registry.get_task(study.task_id)
    names = tuple(dict.fromkeys(member.arm for member in study.members))
    found = {name: _finished(study, name) for name in names}
    arms = tuple(_arm(task, study, name, runs) for name, runs in found.items())
    sizes = [sum(m.arm == name for m in study.members) for name in names]
    is_complete = [len(found[name]) for name in names] == sizes
    rise = _rise(task, found, arms) if study.kind == "leak" and is_complete else None
    return Summary(arms, rise, len(study.members), _stamp(study))


def read_summary(study: Study) -> Summary | None:
    """Read the figures that were kept, or compute them where they are out of date.

    Returns:
        None while no run is finished.
    """
    kept = _kept(study)
    if kept is not None and kept.stamp == _stamp(study):
        return kept
    if not _stamp(study):
        return None
    if study.is_worked_on():
        return kept  # whoever works on it writes the new one in a moment
    found = summarise(study)
    write_summary(found, study)
    return found


def write_summary(summary: Summary, study: Study) -> None:
    """Keep the figures beside the study."""
    write_json(study.folder / SUMMARY, summary_to_json(summary))


def freeze(study: Study, summary: Summary) -> OperatingPoint | None:
    """Keep the thresholds that the out-of-fold predictions choose, in the study and in its models.

    Every item was predicted by a model that had not seen it, so that the choice rests on all of
    them; it is then applied to items of other data by whoever predicts with one of the models.

    Returns:
        The thresholds, or None for a study without folds or with runs that have not finished.
    """
    if study.kind != "folds":
        return None
    (arm,) = summary.arms
    if not summary.is_complete or arm.point is None:
        return None
    write_json(study.folder / POINT, {"thresholds": dict(arm.point.thresholds),
                                      "source": arm.point.source})  # fmt: skip
    for run in study.runs():
        if run is not None:
            actions.rescore(run, arm.point)
    return arm.point


# --- parts --------------------------------------------------------------------------------------


def _stamp(study: Study) -> tuple[str, ...]:
    runs = study.runs()
    return tuple(r.run_id for r in runs if r is not None and r.status is Status.FINISHED)


def _finished(study: Study, arm: str) -> dict[str, tuple[Run, ItemStatistics]]:
    """Return the runs of an arm that have rows: member name to run and rows."""
    found = {}
    for member in study.members:
        run = study.run_of(member) if member.arm == arm else None
        if run is None or run.status is not Status.FINISHED:
            continue
        try:
            rows = run.statistics()
        except PipelineError as error:
            _log.warning("%s: %s", run.run_id, error)
            continue
        if rows is not None:
            found[member.name] = (run, _held_out(rows, run))
    return found


def _held_out(rows: ItemStatistics, run: Run) -> ItemStatistics:
    """Keep the rows of the part that the run is read by."""
    split = run.split()
    parts = split.parts if split is not None else {}
    chosen = next((parts[p] for p in _PARTS if parts.get(p)), None)
    return rows if chosen is None else rows.of_items(chosen)


def _arm(
    task: Task, study: Study, name: str, found: Mapping[str, tuple[Run, ItemStatistics]]
) -> Arm:
    if study.kind == "seeds":
        return _seed_arm(task, found)
    rows = {member: part for member, (_, part) in found.items()}
    members = tuple(
        _scores(member, run, rows[member], task.reduce(rows[member], _point(task, rows, member)))
        for member, (run, _) in found.items()
    )
    mean, spread = _mean_and_spread(members)
    if not rows:
        return Arm(name, members, mean, spread)
    together = ItemStatistics.concatenate(list(rows.values()))
    best = task.best_operating_point(together)
    point = OperatingPoint(best.thresholds, source="out_of_fold")
    scored = actions.score_parts(task, together, None, chosen=point).parts[UNSEEN]
    pooled = replace(scored, item_ids=())
    num_groups = len(np.unique(together.columns["group"]))
    num_items = len(together.item_ids())
    return Arm(name, members, mean, spread, pooled, point, num_items, num_groups)


def _seed_arm(task: Task, found: Mapping[str, tuple[Run, ItemStatistics]]) -> Arm:
    """Read every run at the point that it chose itself, as it will be used."""
    members = []
    for member, (run, rows) in found.items():
        kept = (run.scores() or {}).get("operating_point", {"thresholds": {}})
        point = OperatingPoint(kept["thresholds"], source="validation")
        members.append(_scores(member, run, rows, task.reduce(rows, point)))
    mean, spread = _mean_and_spread(members)
    num = (members[0].num_items, members[0].num_groups) if members else (0, 0)
    return Arm("", tuple(members), mean, spread, None, None, *num)


def _point(task: Task, rows: Mapping[str, ItemStatistics], member: str) -> OperatingPoint:
    """Choose the thresholds for a fold on the other folds, so that its figures do not flatter."""
    others = [part for name, part in rows.items() if name != member]
    return task.best_operating_point(ItemStatistics.concatenate(others or [rows[member]]))


def _scores(
    member: str, run: Run, rows: ItemStatistics, metrics: Mapping[str, float]
) -> MemberScores:
    numbers = {name: float(value) for name, value in metrics.items()}
    num_groups = len(np.unique(rows.columns["group"]))
    return MemberScores(
        member, run.run_id, numbers, run.state.worked_s, len(rows.item_ids()), num_groups
    )


def _mean_and_spread(members: Sequence[MemberScores]) -> tuple[dict[str, float], dict[str, float]]:
    names = dict.fromkeys(name for member in members for name in member.metrics)
    mean, spread = {}, {}
    for name in names:
        values = [m.metrics.get(name, math.nan) for m in members]
        defined = [v for v in values if math.isfinite(v)]
        mean[name] = float(np.mean(defined)) if defined else math.nan
        spread[name] = float(np.std(defined, ddof=1)) if len(defined) > 1 else math.nan
    return mean, spread


def _rise(
    task: Task,
    found: Mapping[str, Mapping[str, tuple[Run, ItemStatistics]]],
    arms: Sequence[Arm],
) -> Rise | None:
    """Compare both arms on the same items, resampled together."""
    main = task.main_metric.name
    points = {arm.name: arm.point for arm in arms}
    rows = {
        name: ItemStatistics.concatenate([part for _, part in runs.values()])
        for name, runs in found.items()
    }
    grouped, drawn_at_random = rows["grouped"], rows["random"]
    both = ItemStatistics.concatenate([grouped, drawn_at_random])
    edge = len(grouped)

    def measure(chosen: Any) -> dict[str, float]:
        low, high = chosen[chosen < edge], chosen[chosen >= edge]
        values = [
            task.reduce(both.take(part), points[name] or OperatingPoint({}))[main]
            for name, part in (("grouped", low), ("random", high))
        ]
        return {main: values[1] - values[0]}

    value = measure(np.arange(len(both)))[main]
    units = _units_of_both(grouped, both)
    spreads = spread_figures(weigh_rows(measure, units), {main: value}, units, rounds=_ROUNDS)
    bounds = interval_of_difference(spreads[main]) if main in spreads else None
    if bounds is None:
        return Rise(value, math.nan, math.nan, "")
    return Rise(value, *bounds, units.kind)


def _units_of_both(grouped: ItemStatistics, both: ItemStatistics) -> Units:
    """Give an item the same unit in both arms, so that they are resampled together."""
    units = choose_units(grouped.columns["group"], grouped.columns["item_id"])
    unit_of = dict(zip(grouped.columns["item_id"].tolist(), units.index.tolist(), strict=True))
    index = np.array([unit_of[i] for i in both.columns["item_id"].tolist()], np.intp)
    return Units(units.kind, index, units.count)


# --- JSON ---------------------------------------------------------------------------------------


def summary_to_json(summary: Summary) -> dict[str, Any]:
    """Return plain JSON values, NaN as Python writes it."""
    data = asdict(summary)
    for arm, kept in zip(summary.arms, data["arms"], strict=True):
        if arm.point is not None:
            kept["point"] = {"thresholds": dict(arm.point.thresholds), "source": arm.point.source}
    return data


def _kept(study: Study) -> Summary | None:
    try:
        data = json.loads((study.folder / SUMMARY).read_bytes())
        arms = tuple(_arm_from_json(arm) for arm in data["arms"])
        rise = Rise(**data["rise"]) if data["rise"] else None
        return Summary(arms, rise, data["num_planned"], tuple(data["stamp"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # there is none, or it is of another version; it can be computed again


def _arm_from_json(data: Mapping[str, Any]) -> Arm:
    pooled, point = data["pooled"], data["point"]
    return Arm(
        data["name"],
        tuple(MemberScores(**member) for member in data["members"]),
        data["mean"],
        data["spread"],
        PartScores(**{**pooled, "item_ids": tuple(pooled["item_ids"])}) if pooled else None,
        OperatingPoint(point["thresholds"], point["source"]) if point else None,
        data["num_items"],
        data["num_groups"],
    )
