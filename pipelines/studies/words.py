"""Say what a study found; pages and the terminal say the same."""

from __future__ import annotations

from pipelines import registry
from pipelines.contract import Task
from pipelines.studies.records import Study
from pipelines.studies.summary import Arm, Summary
from pipelines.text import Text, verbatim


def sentences(study: Study, summary: Summary) -> list[Text]:
    """Say what a study found, a sentence a fact."""
    task = registry.get_task(study.task_id)
    found = [s for arm in summary.arms for s in _arm_sentences(task, study, arm)]
    rise = summary.rise
    if rise is not None:
        text_id = "study.rise" if rise.unit else "study.rise_alone"
        if rise.unit and rise.low <= 0 <= rise.high:
            text_id = "study.rise_unclear"
        found.append(
            Text(text_id, metric=task.main_metric.label, value=rise.value, low=rise.low,
                 high=rise.high)
        )  # fmt: skip
    (first, *_) = summary.arms
    if study.kind == "folds" and summary.is_complete and first.point is not None:
        thresholds = [
            Text("study.threshold", name=_threshold_name(name), value=value)
            for name, value in first.point.thresholds.items()
        ]
        found.append(Text("study.frozen", thresholds=thresholds))
    return found


def _threshold_name(name: str) -> Text:
    """Return the name of a threshold: the only one's, or that of its kind."""
    return Text("cli.threshold_name") if name == "threshold" else verbatim(name)


def _arm_sentences(task: Task, study: Study, arm: Arm) -> list[Text]:
    if not arm.members:
        return []
    name = task.main_metric.name
    values = [m.metrics[name] for m in arm.members if m.metrics[name] == m.metrics[name]]
    found = []
    if len(values) > 1:
        is_one_group = study.kind == "folds" and arm.num_groups == 1
        rule = "blocks" if is_one_group else arm.name or study.kind
        found.append(
            Text(f"study.mean.{rule}", metric=task.main_metric.label,
                 mean=arm.mean[name], spread=arm.spread[name], low=min(values), high=max(values),
                 n=len(values))
        )  # fmt: skip
    if arm.pooled is not None and len(arm.members) > 1:
        found.append(_pooled_sentence(task, arm))
    return found


def _pooled_sentence(task: Task, arm: Arm) -> Text:
    assert arm.pooled is not None
    name = task.main_metric.name
    value = Text("cli.number", value=arm.pooled.metrics[name])
    interval = arm.pooled.intervals.get(name)
    if interval is not None:
        value = Text("cli.interval", value=arm.pooled.metrics[name], low=interval[0],
                     high=interval[1])  # fmt: skip
    unit = arm.pooled.interval_unit or "none"
    return Text(f"study.pooled.{unit}", metric=task.main_metric.label, value=value,
                n=arm.num_items,
                groups=Text(f"metrics.unit.{task.group_kind}", n=arm.num_groups))  # fmt: skip
