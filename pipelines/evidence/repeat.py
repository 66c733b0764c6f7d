"""Do a run again, and say where the second one differs from the first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines import actions, registry
from pipelines.contract import Array, DatasetRecord, Prediction, SourceFile, Task
from pipelines.core.checkpoints import CheckpointCard, find_checkpoint, load_card
from pipelines.core.images_files import file_sha256
from pipelines.datasets.records import INDEX_MARK, image_file
from pipelines.errors import (
    CheckpointError,
    DatasetNotFoundError,
    PipelineError,
    RunConflictError,
)
from pipelines.evidence.keep import read_environment
from pipelines.jobs.store import NewRun, Run, Status
from pipelines.text import Text, verbatim

_MOST_NAMED: Final = 4
_SAME: Final = 1e-9
"""Figures closer than this are called the same: what is left is the rounding of a sum."""


@dataclass(frozen=True)
class ScoreRow:
    """Hold a figure of both runs.

    Attributes:
        part: Part that it is of.
        metric: Name of the metric.
        first: Value of the first run; NaN where it has none.
        second: Value of the second run.
    """

    part: str
    metric: str
    first: float
    second: float

    @property
    def difference(self) -> float:
        """Second minus first; 0 where both are undefined."""
        if math.isnan(self.first) and math.isnan(self.second):
            return 0.0
        return self.second - self.first


@dataclass(frozen=True)
class PredictionChange:
    """Say how far the answers of two runs lie apart.

    Attributes:
        num_items: Items that both predicted.
        num_missing: Items that only one of them predicted.
        num_other_length: Items whose answers have another length or shape (lists of picks).
        largest: Largest absolute difference of any number, 0 where all are the same.
        name: Which of the answers it is in, or "".
    """

    num_items: int = 0
    num_missing: int = 0
    num_other_length: int = 0
    largest: float = 0.0
    name: str = ""

    @property
    def is_none(self) -> bool:
        """Whether every answer is the same to the last bit."""
        return not (self.num_missing or self.num_other_length or self.largest)


@dataclass(frozen=True)
class RepeatReport:
    """Hold what is the same and what differs between a run and its repetition.

    Attributes:
        first: Id of the run.
        second: Id of its repetition.
        causes: What was another one from the start: options, code, packages, device, data, split.
        scores: Every figure of both.
        predictions: How far the answers lie apart, or None where they cannot be compared.
        notes: What could not be compared, and why.
    """

    first: str
    second: str
    causes: tuple[Text, ...]
    scores: tuple[ScoreRow, ...]
    predictions: PredictionChange | None
    notes: tuple[Text, ...] = ()

    @property
    def largest_score_difference(self) -> float:
        """Largest absolute difference of a figure; infinite where only one run has it."""
        gaps = [abs(row.difference) for row in self.scores]
        return max((math.inf if math.isnan(gap) else gap for gap in gaps), default=0.0)

    @property
    def is_same(self) -> bool:
        """Whether figures and answers came out the same."""
        answers = self.predictions is None or self.predictions.is_none
        return answers and self.largest_score_difference <= _SAME

    @property
    def verdict(self) -> Text:
        """The outcome in one sentence."""
        if self.is_same:
            return Text("evidence.repeat.same", run=_short(self.first))
        lone = [row for row in self.scores if math.isnan(row.difference)]
        both = [row for row in self.scores if not math.isnan(row.difference)]
        worst = max(both, key=lambda row: abs(row.difference), default=None)
        if worst is None or not abs(worst.difference) > _SAME:
            kind = "other_figures" if lone else "answers_differ"
            parts = [Text(f"jobs.part.{name}") for name in dict.fromkeys(r.part for r in lone)]
            return Text(f"evidence.repeat.{kind}", run=_short(self.first), parts=parts)
        return Text(
            "evidence.repeat.differs",
            run=_short(self.first),
            metric=worst.metric,
            part=Text(f"jobs.part.{worst.part}"),
            first=worst.first,
            second=worst.second,
        )

    def sentences(self) -> tuple[Text, ...]:
        """Tell causes, answers and what could not be compared, one sentence each."""
        found = [*self.causes]
        if self.predictions is not None:
            found.append(_prediction_words(self.predictions))
        return (*found, *self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; sentences in English, as a script reads them."""
        return {
            "run": self.first,
            "repeated_as": self.second,
            "is_same": self.is_same,
            "verdict": self.verdict.to_json(),
            "sentences": [text.to_json() for text in self.sentences()],
            "scores": [
                {**dataclasses.asdict(row), "difference": row.difference} for row in self.scores
            ],
            "predictions": self.predictions and dataclasses.asdict(self.predictions),
        }


# --- do it again ----------------------------------------------------------------------------------


def plan_repeat(run: Run) -> NewRun:
    """Return what must be asked for to do a run again: same options, seeds, split and device.

    Args:
        run: A finished run.

    Raises:
        RunConflictError: It is not finished, so that there is nothing to compare with.
        DatasetNotFoundError: A file of its data is not there any more.
        CheckpointError: The checkpoint that it predicted with is gone.
    """
    if run.status is not Status.FINISHED:
        text = Text("evidence.repeat.unfinished", run=run.short_id, status=run.status.label)
        raise RunConflictError(text)
    request = run.request
    checkpoint = Path(request.checkpoint) if request.action == "predict" else None
    if checkpoint is not None:
        load_card(checkpoint, task_id=request.task_id)
    return NewRun(
        task_id=request.task_id,
        action=request.action,
        config=request.config,
        record=record_as_it_is(run.dataset()),
        split=run.split(),
        title=request.title,
        preset=request.preset,
        checkpoint=checkpoint,
        parent_run=request.parent_run,
        item_ids=request.item_ids,
        seed=request.seed,
        repeats=run.run_id,
    )


def record_as_it_is(record: DatasetRecord) -> DatasetRecord:
    """Return a record with the fingerprints that its files have now.

    Raises:
        DatasetNotFoundError: A file is not there any more.
    """
    files = tuple(_file_as_it_is(record, file) for file in record.files)
    return dataclasses.replace(record, files=files)


def _file_as_it_is(record: DatasetRecord, file: SourceFile) -> SourceFile:
    path = record.root / file.path
    if file.sha256.startswith(INDEX_MARK) and path.exists():
        return file  # it stands for many small files, of which the task keeps an index
    try:
        sha256 = file_sha256(image_file(record, file))
    except (OSError, KeyError, PipelineError) as error:
        text = Text("evidence.repeat.data_gone", file=file.path, root=str(record.root))
        raise DatasetNotFoundError(text) from error
    return dataclasses.replace(file, sha256=sha256)


# --- compare --------------------------------------------------------------------------------------


def compare_runs(first: Run, second: Run) -> RepeatReport:
    """Say where two finished runs of one request differ.

    Raises:
        RunConflictError: They are of two tasks, or one is not finished.
        JobError: A file of one of them is damaged.
    """
    if first.request.task_id != second.request.task_id:
        raise RunConflictError(
            Text(
                "evidence.repeat.two_tasks",
                first=first.request.task_id,
                second=second.request.task_id,
            )
        )
    for run in (first, second):
        if run.status is not Status.FINISHED:
            text = Text("evidence.repeat.unfinished", run=run.short_id, status=run.status.label)
            raise RunConflictError(text)
    task = registry.get_task(first.request.task_id)
    predictions, notes = _compare_predictions(task, first, second)
    return RepeatReport(
        first.run_id,
        second.run_id,
        causes=tuple(_causes(first, second)),
        scores=tuple(_score_rows(first, second)),
        predictions=predictions,
        notes=notes,
    )


def _causes(first: Run, second: Run) -> Iterator[Text]:
    yield from _config_causes(first.request.config, second.request.config)
    if first.request.seed != second.request.seed:
        yield Text("evidence.repeat.seed", first=first.request.seed, second=second.request.seed)
    yield from _code_causes(first, second)
    yield from _data_causes(first.dataset(), second.dataset())
    splits = [
        None if split is None else split.split_id for split in (first.split(), second.split())
    ]
    if splits[0] != splits[1]:
        yield Text("evidence.repeat.split", first=splits[0] or "–", second=splits[1] or "–")
    cards = [_card(first), _card(second)]
    if cards[0] and cards[1] and cards[0].steps != cards[1].steps:
        yield Text("evidence.repeat.steps", first=cards[0].steps, second=cards[1].steps)


def _config_causes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Text]:
    for name in dict.fromkeys((*first, *second)):
        one, two = first.get(name), second.get(name)
        if one != two:
            yield Text("evidence.repeat.option", name=name, first=str(one), second=str(two))


def _code_causes(first: Run, second: Run) -> Iterator[Text]:
    one, two = (_made_with(run) for run in (first, second))
    if one["code_version"] != two["code_version"]:
        yield Text(
            "evidence.repeat.code", first=one["code_version"] or "?", second=two["code_version"]
        )
    names = [n for n in {**one["versions"], **two["versions"]}]
    other = [
        f"{n} {one['versions'].get(n, '–')} → {two['versions'].get(n, '–')}"
        for n in names
        if one["versions"].get(n) != two["versions"].get(n)
    ]
    if other:
        yield Text("evidence.repeat.packages", names=_some(other), n=len(other))
    devices = [run.get("device", {}).get("name", "") for run in (one, two)]
    if all(devices) and devices[0] != devices[1]:
        yield Text("evidence.repeat.device", first=devices[0], second=devices[1])


def _made_with(run: Run) -> dict[str, Any]:
    """Return code, packages and device of a run; the request's for a run of an earlier version."""
    request = {"code_version": run.request.code_version, "versions": dict(run.request.versions)}
    return {**request, **read_environment(run.folder)}


def _data_causes(first: DatasetRecord, second: DatasetRecord) -> Iterator[Text]:
    if actions.data_fingerprint(first) == actions.data_fingerprint(second):
        return
    known = {file.path: file.sha256 for file in first.files}
    now = {file.path: file.sha256 for file in second.files}
    other = [p for p in {**known, **now} if known.get(p) != now.get(p)]
    yield Text("evidence.repeat.data", files=_some(other), n=len(other))


def _card(run: Run) -> CheckpointCard | None:
    if run.request.action != "train" or run.checkpoint is None:
        return None
    try:
        return load_card(find_checkpoint(run.checkpoint))
    except CheckpointError:
        return None


def _score_rows(first: Run, second: Run) -> Iterator[ScoreRow]:
    one, two = (_figures(run) for run in (first, second))
    for part, metric in dict.fromkeys((*one, *two)):
        key = (part, metric)
        yield ScoreRow(part, metric, one.get(key, math.nan), two.get(key, math.nan))


def _figures(run: Run) -> dict[tuple[str, str], float]:
    parts = (run.scores() or {"parts": {}})["parts"]
    return {
        (part, name): math.nan if value is None else float(value)
        for part, found in parts.items()
        for name, value in found["metrics"].items()
    }


def _compare_predictions(
    task: Task, first: Run, second: Run
) -> tuple[PredictionChange | None, tuple[Text, ...]]:
    opened = []
    for run in (first, second):
        try:
            opened.append(task.open_predictions(run.prediction_folder))
        except (PipelineError, OSError):
            return None, (Text("evidence.repeat.no_predictions", run=run.short_id),)
    return compare_predictions(*opened), ()


def compare_predictions(
    first: Mapping[str, Prediction], second: Mapping[str, Prediction]
) -> PredictionChange:
    """Return how far the answers for the same items lie apart; every number of them counts."""
    shared = [item_id for item_id in first if item_id in second]
    missing = len(set(first) ^ set(second))
    largest, where, num_other = 0.0, "", 0
    for item_id in shared:
        gap, name, is_other = _answer_gap(first[item_id].values, second[item_id].values)
        num_other += is_other
        if gap > largest:
            largest, where = gap, name
    return PredictionChange(len(shared), missing, num_other, largest, where)


def _answer_gap(first: Mapping[str, Array], second: Mapping[str, Array]) -> tuple[float, str, bool]:
    largest, where, is_other = 0.0, "", set(first) != set(second)
    for name in first.keys() & second.keys():
        one, two = np.asarray(first[name]), np.asarray(second[name])
        if one.shape != two.shape:
            is_other = True
        elif not np.issubdtype(one.dtype, np.number) and one.dtype != np.bool_:
            is_other |= not np.array_equal(one, two)
        elif one.size:
            gaps = np.abs(one.astype(np.float64) - two.astype(np.float64))
            gap = float(np.nanmax(gaps, initial=0.0))
            if gap > largest:
                largest, where = gap, name
    return largest, where, is_other


def _prediction_words(change: PredictionChange) -> Text:
    if change.is_none:
        return Text("evidence.repeat.answers_same", n=change.num_items)
    if change.num_missing:
        return Text("evidence.repeat.other_items", n=change.num_missing)
    if change.num_other_length:
        return Text(
            "evidence.repeat.other_length", n=change.num_other_length, count=change.num_items
        )
    return Text("evidence.repeat.gap", gap=change.largest, name=change.name, n=change.num_items)


def _short(run_id: str) -> str:
    return run_id.rsplit("-", 1)[-1]


def _some(names: list[str]) -> Text:
    more = ", …" if len(names) > _MOST_NAMED else ""
    return verbatim(", ".join(names[:_MOST_NAMED]) + more)
