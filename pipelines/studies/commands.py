"""Studies on the command line: what `train` understands of them, and how one is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipelines import actions
from pipelines.commands import JSON, Argument, Command, Terminal, UsageError, Values
from pipelines.contract import DatasetRecord, Task
from pipelines.studies import summary as summaries
from pipelines.studies.plan import Kind
from pipelines.studies.records import NewStudy, Study, create_study, find_study
from pipelines.studies.summary import Arm, Summary
from pipelines.studies.words import sentences
from pipelines.studies.work import WorkOne, make_resumable, work
from pipelines.text import Text

TRAIN_ARGUMENTS: Final = (
    Argument("--folds", Text("study.arg.folds"), "NUMBER"),
    Argument("--seeds", Text("study.arg.seeds"), "NUMBER"),
    Argument("--leave-one-out", Text("study.arg.leave_one_out")),
    Argument("--leak-it", Text("study.arg.leak_it"), "NUMBER"),
)
STUDY: Final = Command(
    "study",
    Text("study.command"),
    (Argument("study", Text("study.arg.study"), is_required=True), JSON),
    lambda values, terminal: _show(values, terminal),
)
_KINDS: Final[Mapping[str, Kind]] = {"folds": "folds", "seeds": "seeds", "leak_it": "leak"}


def wanted(values: Values) -> tuple[Kind, int] | None:
    """Return the kind and count of study that a command line asks for, or None for one run.

    Raises:
        UsageError: Several kinds at once, or a count that is no number.
    """
    named = [key for key in (*_KINDS, "leave_one_out") if key in values]
    if len(named) > 1:
        words = ", ".join(f"--{key.replace('_', '-')}" for key in named)
        raise UsageError(Text("study.one_kind", words=words))
    if not named:
        return None
    if named == ["leave_one_out"]:
        return "folds", 0
    (key,) = named
    try:
        count = int(values[key])
    except ValueError as error:
        option = f"--{key.replace('_', '-')}"
        raise UsageError(Text("study.no_number", option=option, got=values[key])) from error
    return _KINDS[key], max(count, 1)


def train(
    task: Task,
    record: DatasetRecord,
    config: Any,  # the task's own configuration type
    values: Values,
    terminal: Terminal,
    work_one: WorkOne,
) -> Study:
    """Work on a study in this process, and say its figures."""
    found = wanted(values)
    assert found is not None
    kind, count = found
    new = NewStudy(
        task, kind, count, config, record, values.get("preset", ""), values.get("title", "")
    )
    study = create_study(new, folder=Path(values["run"]).resolve())
    return go_on(study, terminal, work_one)


def go_on(study: Study, terminal: Terminal, work_one: WorkOne) -> Study:
    """Work on what is left of a study in this process, and say its figures."""
    if study.status.is_resumable and study.wish is not None:
        make_resumable(study)
    labels = {study.run_folder(member): member.label for member in study.members}

    def work_and_say(run: Any) -> Any:  # a run, as `WorkOne` takes it
        terminal.say(Text("study.working", label=labels[run.folder]))
        return work_one(run)

    study = work(study, work_and_say)
    tell(study, summaries.read_summary(study), terminal)
    return study


def _show(values: Values, terminal: Terminal) -> int:
    study = find_study(values["study"])
    tell(study, summaries.read_summary(study), terminal)
    return 0


def tell(study: Study, summary: Summary | None, terminal: Terminal) -> None:
    """Print the figures of a study."""
    terminal.say(study.label)
    if summary is None:
        terminal.say(Text("study.nothing_yet"))
    else:
        for sentence in sentences(study, summary):
            terminal.say(sentence)
    terminal.result(actions.plain_numbers(to_json(study, summary)))


def to_json(study: Study, summary: Summary | None) -> dict[str, Any]:
    """Return what a program needs of a study."""
    result: dict[str, Any] = {
        "study": str(study.folder),
        "study_id": study.study_id,
        "task_id": study.task_id,
        "kind": study.kind,
        "count": study.count,
        "status": study.status.value,
        "planned": len(study.members),
        "runs": [],
        "mean": {},
        "spread": {},
    }
    if summary is None:
        return result
    folders = {member.name: str(study.run_folder(member)) for member in study.members}
    arms = {arm.name: _arm_json(arm, folders) for arm in summary.arms}
    result |= arms[""] if list(arms) == [""] else {"arms": arms}
    if summary.rise is not None:
        rise = summary.rise
        result["rise"] = {"value": rise.value, "low": rise.low, "high": rise.high,
                          "unit": rise.unit}  # fmt: skip
    return result


def _arm_json(arm: Arm, folders: Mapping[str, str]) -> dict[str, Any]:
    runs = [
        {"name": m.name, "run_id": m.run_id, "folder": folders[m.name], "metrics": m.metrics,
         "items": m.num_items, "groups": m.num_groups, "seconds": m.seconds}
        for m in arm.members
    ]  # fmt: skip
    found: dict[str, Any] = {"runs": runs, "mean": arm.mean, "spread": arm.spread}
    if arm.pooled is not None and arm.point is not None:
        found["pooled"] = {
            "metrics": arm.pooled.metrics,
            "intervals": arm.pooled.intervals,
            "interval_unit": arm.pooled.interval_unit,
            "items": arm.num_items,
            "groups": arm.num_groups,
        }
        found["operating_point"] = dict(arm.point.thresholds)
        found["threshold_source"] = arm.point.source
    return found
