"""Read everything that a report tells of a run, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines import config as configs
from pipelines import registry
from pipelines.contract import (
    DatasetRecord,
    ItemStatistics,
    OperatingPoint,
    Prediction,
    ReportContext,
    Sample,
    SplitManifest,
    Task,
)
from pipelines.core.checkpoints import CheckpointCard, load_card
from pipelines.errors import CheckpointError, PipelineError, RunConflictError
from pipelines.evidence.keep import read_environment
from pipelines.jobs.store import Run, Status
from pipelines.text import Text


@dataclass(frozen=True)
class RunFacts:
    """Hold what is known of a finished run.

    Attributes:
        run: The run.
        task: Its task.
        record: Its data set.
        split: Its split, or None.
        config: Its configuration.
        card: Card of its checkpoint, or None where it is gone.
        scores: Content of `scores.json`; {} where nothing was scored.
        statistics: Rows of the scored items, or None.
        predictions: Predictions by item id; {} where they are gone.
        samples: Predicted items that can be opened; empty where the data are gone.
        environment: Machine, device, code and packages.
        notes: What could not be read.
    """

    run: Run
    task: Task
    record: DatasetRecord
    split: SplitManifest | None
    config: Any
    card: CheckpointCard | None
    scores: Mapping[str, Any]
    statistics: ItemStatistics | None
    predictions: Mapping[str, Prediction]
    samples: Sequence[Sample]
    environment: Mapping[str, Any]
    notes: tuple[Text, ...] = ()

    @property
    def parts(self) -> dict[str, Mapping[str, Any]]:
        """Part to its scored items, figures and intervals."""
        return dict(self.scores.get("parts", {}))

    @property
    def point(self) -> OperatingPoint | None:
        """Thresholds at which the figures are read."""
        found = self.scores.get("operating_point")
        if not found:
            return None
        return OperatingPoint(dict(found["thresholds"]), source=found["source"])

    def context(self) -> ReportContext:
        """Return what the task may tell of."""
        return ReportContext(
            record=self.record,
            samples=self.samples,
            config=self.config,
            architecture={} if self.card is None else self.card.architecture,
            predictions=self.predictions,
            statistics=self.statistics,
            operating_point=self.point,
            parts={name: tuple(part["item_ids"]) for name, part in self.parts.items()},
            intervals={name: _bounds(part["intervals"]) for name, part in self.parts.items()},
        )


def _bounds(intervals: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {metric: (float(low), float(high)) for metric, (low, high) in intervals.items()}


def gather(run: Run) -> RunFacts:
    """Read a run; what is gone (data, answers, checkpoint) is noted and left out.

    Raises:
        RunConflictError: The run is not finished.
        JobError: A file of the run is damaged.
    """
    if run.status is not Status.FINISHED:
        text = Text("evidence.unfinished", run=run.short_id, status=run.status.label)
        raise RunConflictError(text)
    task = registry.get_task(run.request.task_id)
    known = {info.name for info in configs.describe(task.config_type)}
    kept = {name: value for name, value in run.request.config.items() if name in known}
    notes: list[Text] = []
    predictions = _predictions(run, task, notes)
    return RunFacts(
        run=run,
        task=task,
        record=run.dataset(),
        split=run.split(),
        config=configs.parse(task.config_type, kept),
        card=_card(run, notes),
        scores=run.scores() or {},
        statistics=run.statistics(),
        predictions=predictions,
        samples=_samples(run, task, list(predictions), notes),
        environment=read_environment(run.folder),
        notes=tuple(notes),
    )


def _predictions(run: Run, task: Task, notes: list[Text]) -> Mapping[str, Prediction]:
    try:
        return task.open_predictions(run.prediction_folder)
    except (PipelineError, OSError):
        notes.append(Text("evidence.no_predictions"))
        return {}


def _samples(run: Run, task: Task, item_ids: Sequence[str], notes: list[Text]) -> Sequence[Sample]:
    try:
        return task.open_dataset(run.dataset(), item_ids)
    except (PipelineError, OSError):
        notes.append(Text("evidence.no_data", root=str(run.dataset().root.name)))
        return []


def _card(run: Run, notes: list[Text]) -> CheckpointCard | None:
    try:
        return None if run.checkpoint is None else load_card(run.checkpoint)
    except CheckpointError:
        notes.append(Text("evidence.no_checkpoint"))
        return None
