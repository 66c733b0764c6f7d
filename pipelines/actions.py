"""What a run does from end to end: train and score, predict and score, evaluate.

The worker, the command line and tests call the same functions; a task supplies the parts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipelines import config as configs
from pipelines import datasets, registry
from pipelines.compare.figures import measure_figures
from pipelines.contract import (
    PARTS,
    DatasetRecord,
    ItemStatistics,
    OperatingPoint,
    Prediction,
    RunReporter,
    SplitManifest,
    Task,
    ThresholdSource,
    TrainingData,
)
from pipelines.core.checkpoints import CARD, CheckpointCard, find_checkpoint, load_card, update_card
from pipelines.core.files import disk_errors, write_json
from pipelines.core.intervals import Unit
from pipelines.datasets import locked
from pipelines.errors import (
    CheckpointError,
    CheckpointMismatchError,
    DataFormatError,
    DatasetNotFoundError,
)
from pipelines.evidence.keep import ITEMS, ItemTable, keep_environment
from pipelines.jobs.store import Run
from pipelines.settings import load_settings
from pipelines.text import DEFAULT_LANGUAGE, Text, render

SPLIT: Final = "split.json"
UNSEEN: Final = "unseen"
"""Part of items that the checkpoint's split does not name."""
OUT_OF_FOLD: Final = "out_of_fold"
"""Part of training items that each were answered by a model which had not seen their group."""


class StoppedOnWishError(Exception):
    """Unwind the work because somebody asked to pause or to stop."""


@dataclass(frozen=True)
class Scores:
    """Hold the figures of a run or of an evaluation.

    Attributes:
        operating_point: Thresholds at which they are read, and who chose them.
        parts: Part to its figures.
    """

    operating_point: OperatingPoint
    parts: Mapping[str, PartScores]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `scores.json` holds them."""
        point = self.operating_point
        return {
            "operating_point": {"thresholds": dict(point.thresholds), "source": point.source},
            "parts": {name: dataclasses.asdict(part) for name, part in self.parts.items()},
        }


@dataclass(frozen=True)
class PartScores:
    """Hold the figures of some items.

    Attributes:
        item_ids: Items that they are of.
        metrics: Metric to value; NaN where it is not defined.
        intervals: Metric to the bounds of its 95 % interval; empty where none can be given.
        interval_unit: What was resampled for them: "group", "item", "block" of neighbouring items,
            or "" without intervals.
    """

    item_ids: tuple[str, ...]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    interval_unit: Unit = ""


def perform(run: Run, reporter: RunReporter) -> None:
    """Do what a run asks for.

    Raises:
        PipelineError: Something that the person can mend.
        StoppedOnWishError: Somebody asked to pause or to stop.
    """
    wish = str(run.request.config.get("device", "auto"))
    keep_environment(run.folder, wish)
    if run.request.action == "train":
        run_training(run, reporter)
    else:
        run_prediction(run, reporter)
    keep_environment(run.folder, wish)  # once more: now it is known which device was taken


def run_training(run: Run, reporter: RunReporter) -> Path:
    """Train, predict the held-out parts, choose the operating point, and write card and scores.

    Returns:
        The checkpoint folder.
    """
    task, record, split = registry.get_task(run.request.task_id), run.dataset(), run.split()
    if split is None:
        raise DataFormatError(Text("jobs.no_split", run=run.short_id))
    split = locked.keep_out(record, split, _locked_of(record))
    config = configs.parse(task.config_type, run.request.config)
    data = TrainingData(
        train=task.open_dataset(record, split.parts.get("train", ())),
        validation=task.open_dataset(record, split.parts.get("validation", ())),
    )
    checkpoint = task.train(data, config, reporter)
    if reporter.stop_wish() is None or (checkpoint / CARD).is_file():  # none before the first step
        complete_card(checkpoint, run, record, split)
    _obey_wish(reporter)
    held_out = [i for part in ("validation", "test") for i in split.parts.get(part, ())]
    predict = task.predict
    if not held_out:  # perhaps parts of the checkpoint were trained without some items
        held_out, predict = list(task.cross_fitted_items(checkpoint)), task.predict_cross_fitted
        split = None
    if not held_out:
        return checkpoint
    items, rows = _predict_and_measure(run, reporter, checkpoint, held_out, predict)
    scores = None
    if rows is not None:
        rest = UNSEEN if split is not None else OUT_OF_FOLD
        scores = score_parts(task, rows, split, chosen=None, rest=rest)
        _write_scores(run.folder, rows, scores)
        _write_scores_into_card(checkpoint, scores)
        _count_opening(run, scores)
    _keep_items(run, items, rows, scores)
    return checkpoint


def run_prediction(run: Run, reporter: RunReporter) -> Path:
    """Predict items, write them in the field's formats, and score those that have a truth.

    Returns:
        The prediction folder.
    """
    task = registry.get_task(run.request.task_id)
    checkpoint, record = Path(run.request.checkpoint), run.dataset()
    card = load_card(checkpoint, task_id=task.id)
    item_ids = run.request.item_ids or tuple(task.default_items(record))
    lock, split = _locked_of(record), split_of_checkpoint(checkpoint, record)
    item_ids = locked.without_locked(item_ids, lock)
    if lock is not None and split is not None and locked.is_opening(item_ids, lock):
        locked.refuse_seen(split.parts.get("train", ()), lock, card.title or run.short_id)
    items, rows = _predict_and_measure(run, reporter, checkpoint, item_ids, task.predict)
    scores = None
    if rows is not None:
        scores = score_parts(task, rows, split, chosen=point_of_card(card))
        _write_scores(run.folder, rows, scores)
        _count_opening(run, scores)
    _keep_items(run, items, rows, scores)
    return run.prediction_folder


def run_evaluation(task: Task, prediction: Path, truth: Path) -> tuple[ItemStatistics, Scores]:
    """Score what `write_predictions` wrote against reference labels at a path.

    The operating point is the one that the prediction was written with, if its task records one,
    else the best over thresholds on the scored items themselves, as the challenges do; its source
    says which.

    Args:
        task: Task that made the prediction.
        prediction: Folder of the prediction, or a run folder with one.
        truth: Reference labels in any layout that the task reads.

    Raises:
        DataError: One of the two is not there, or they do not fit together.
    """
    folder = find_prediction(prediction)
    if not truth.exists():
        raise DatasetNotFoundError(Text("jobs.no_such_path", path=str(truth)))
    predictions = task.open_predictions(folder)
    truths = task.open_truth(truth, tuple(predictions))
    predictions = task.complete_predictions(predictions, truths)
    parts = [task.statistics(predictions[i], truths[i]) for i in predictions if i in truths]
    if not parts:
        raise DataFormatError(Text("jobs.nothing_to_score", path=str(truth)))
    rows = ItemStatistics.concatenate(parts)
    return rows, score_parts(task, rows, None, chosen=task.recorded_point(folder))


def find_prediction(path: Path) -> Path:
    """Return the prediction folder for a run folder or a prediction folder; a file stays itself.

    Raises:
        DatasetNotFoundError: Nothing stands there.
    """
    if path.is_file():  # a table of predictions, for the tasks that read one
        return path
    if not path.is_dir():
        raise DatasetNotFoundError(Text("jobs.no_prediction", path=str(path)))
    return path / "prediction" if (path / "prediction").is_dir() else path


def score_parts(
    task: Task,
    rows: ItemStatistics,
    split: SplitManifest | None,
    *,
    chosen: OperatingPoint | None,
    rest: str = UNSEEN,
) -> Scores:
    """Compute the figures of each part at one operating point.

    Args:
        task: Task whose rows they are.
        rows: Rows of all items.
        split: Says which item is in which part; None puts all of them in one.
        chosen: Operating point; None takes the best on the validation part, and without one the
            best on all rows (an optimistic figure, and called so).
        rest: Part of items that no split names.
    """
    parts = _parts(rows.item_ids(), split, rest)
    point = chosen or _choose_point(task, rows, parts)
    return Scores(point, {name: _score(task, rows.of_items(i), point) for name, i in parts.items()})


def rescore(run: Run, point: OperatingPoint) -> None:
    """Read the figures of a finished training at another point, and keep it in the card.

    Raises:
        JobError: The rows of the run cannot be read.
        CheckpointError: Its card cannot.
    """
    rows = run.statistics()
    if rows is None or run.checkpoint is None:
        return
    task, known = registry.get_task(run.request.task_id), run.scores() or {"parts": {}}
    is_crossed = OUT_OF_FOLD in known["parts"]
    split, rest = (None, OUT_OF_FOLD) if is_crossed else (run.split(), UNSEEN)
    scores = score_parts(task, rows, split, chosen=point, rest=rest)
    write_json(run.folder / "scores.json", scores.to_json())
    _write_scores_into_card(run.checkpoint, scores)


def complete_card(
    checkpoint: Path, run: Run, record: DatasetRecord, split: SplitManifest
) -> CheckpointCard:
    """Write into the card what the task does not know: the run, the data and the split.

    The split itself stands beside the card, which so stays small with many thousand items.
    """
    write_json(find_checkpoint(checkpoint) / SPLIT, datasets.split_to_json(split))
    return update_card(
        checkpoint,
        run_id=run.run_id,
        title=run.request.title,
        dataset_title=record.title,
        dataset_id=record.dataset_id,
        data_fingerprint=data_fingerprint(record),
        is_generated_data=record.is_generated,
        split={
            "split_id": split.split_id,
            "method": split.method,
            "seed": split.seed,
            "num_items": {part: len(items) for part, items in split.parts.items()},
        },
    )


def data_fingerprint(record: DatasetRecord) -> str:
    """Return one SHA-256 over the fingerprints of all files, whatever their order."""
    lines = sorted(f"{file.path} {file.sha256}" for file in record.files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def split_of_checkpoint(checkpoint: Path, record: DatasetRecord) -> SplitManifest | None:
    """Return the split that a checkpoint was trained with, if it was trained on these files.

    Raises:
        CheckpointError: Card or split cannot be read.
    """
    file = find_checkpoint(checkpoint) / SPLIT
    if load_card(checkpoint).data_fingerprint != data_fingerprint(record) or not file.is_file():
        return None
    try:
        return datasets.split_from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = Text("checkpoints.damaged_card", file=str(file), cause=type(error).__name__)
        raise CheckpointError(text) from error


def point_of_card(card: CheckpointCard) -> OperatingPoint | None:
    """Return the operating point that the card recommends, or None."""
    if not card.operating_point:
        return None
    frozen = card.threshold_source == "out_of_fold"
    source: ThresholdSource = "out_of_fold" if frozen else "validation"
    return OperatingPoint(dict(card.operating_point), source=source)


def prediction_config(task: Task, card: CheckpointCard, values: Mapping[str, Any]) -> Any:
    """Return the configuration to predict with: the training's, with some options replaced.

    Raises:
        ConfigError: An option that does not fit.
        CheckpointMismatchError: The checkpoint is of another task.
    """
    if card.task_id != task.id:
        raise CheckpointMismatchError(
            Text("checkpoints.other_task", path="", got=card.task_id, wanted=task.id)
        )
    known = {info.name for info in configs.describe(task.config_type)}
    kept = {name: value for name, value in card.config.items() if name in known}
    return configs.parse(task.config_type, {**kept, **values})


def plain_numbers(value: Any) -> Any:  # any JSON value, returned with NaN as null
    """Replace NaN and infinity by None, which strict JSON can carry."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain_numbers(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_numbers(item) for item in value]
    return value


# --- parts --------------------------------------------------------------------------------------


def _predict_and_measure(
    run: Run,
    reporter: RunReporter,
    checkpoint: Path,
    item_ids: Sequence[str],
    predict: Callable[..., Iterator[Prediction]],
) -> tuple[ItemTable, ItemStatistics | None]:
    """Predict and write items one by one; return a row an item, and the rows that are scored."""
    task, record = registry.get_task(run.request.task_id), run.dataset()
    config = configs.parse(task.config_type, run.request.config)
    samples = task.open_dataset(record, item_ids)
    folder = run.prediction_folder
    rows: list[ItemStatistics] = []
    items = ItemTable()
    stage = Text("jobs.stage.predicting")
    reporter.progress(0, len(samples), stage, None)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        predictions = _all_or_stopped(predict(checkpoint, samples, config, reporter), len(samples))
        written = task.write_predictions(predictions, record, folder)
        for index, prediction in enumerate(written):
            truth = samples[index].truth
            if truth is not None:
                rows.append(task.statistics(prediction, truth))
            items.add(prediction)
            reporter.progress(index + 1, len(samples), stage, None)
            if index + 1 < len(samples):
                _obey_wish(reporter)
    return items, ItemStatistics.concatenate(rows) if rows else None


def _all_or_stopped(predictions: Iterator[Prediction], count: int) -> Iterator[Prediction]:
    """Pass predictions on; whoever writes them learns of a task that saw the wish and ended early.

    Raises:
        StoppedOnWishError: Fewer came than there are items.
    """
    num_done = 0
    for prediction in predictions:
        num_done += 1
        yield prediction
    if num_done < count:
        raise StoppedOnWishError


def _locked_of(record: DatasetRecord) -> locked.Locked | None:
    return locked.locked_of(data_fingerprint(record), load_settings())


def _count_opening(run: Run, scores: Scores) -> None:
    """Count that a run was scored on locked items, or on the test part of its split."""
    record = run.dataset()
    lock = _locked_of(record)
    scored = {item for part in scores.parts.values() for item in part.item_ids}
    opened = scored & lock.item_ids if lock is not None else set()
    test = scores.parts["test"].item_ids if "test" in scores.parts else ()
    if not opened and not test:
        return
    opening = locked.Opening(
        run.run_id, render(run.title, DEFAULT_LANGUAGE),
        datetime.now(UTC).isoformat(timespec="seconds"), len(opened) or len(test), bool(opened),
    )  # fmt: skip
    locked.note_opening(data_fingerprint(record), opening, load_settings())


def _obey_wish(reporter: RunReporter) -> None:
    if reporter.stop_wish() is not None:
        raise StoppedOnWishError


def _parts(item_ids: Sequence[str], split: SplitManifest | None, rest: str) -> dict[str, list[str]]:
    part_of = {i: part for part in PARTS for i in (split.parts.get(part, ()) if split else ())}
    parts: dict[str, list[str]] = {}
    for item_id in item_ids:
        parts.setdefault(part_of.get(item_id, rest), []).append(item_id)
    return parts


def _choose_point(
    task: Task, rows: ItemStatistics, parts: Mapping[str, Sequence[str]]
) -> OperatingPoint:
    sources: tuple[ThresholdSource, ...] = ("validation", OUT_OF_FOLD)
    for source in sources:
        if source in parts:
            best = task.point_to_keep(rows.of_items(parts[source]))
            return dataclasses.replace(best, source=source)
    return dataclasses.replace(task.best_operating_point(rows), source="scored")


def _score(task: Task, rows: ItemStatistics, point: OperatingPoint) -> PartScores:
    found = measure_figures(task, rows, point)
    return PartScores(found.items.item_ids, found.values, found.intervals, found.items.units.kind)


def _write_scores(folder: Path, rows: ItemStatistics, scores: Scores) -> None:
    with disk_errors(folder / "statistics.npz"):
        rows.save(folder / "statistics.npz")
    write_json(folder / "scores.json", scores.to_json())


def _keep_items(
    run: Run, items: ItemTable, rows: ItemStatistics | None, scores: Scores | None
) -> None:
    """Write one row an item with its part, its answer and its own figures."""
    task = registry.get_task(run.request.task_id)
    facts: dict[str, Any] = {
        "task_id": task.id,
        "run_id": run.run_id,
        "data_fingerprint": data_fingerprint(run.dataset()),
    }
    point = OperatingPoint({}) if scores is None else scores.operating_point
    parts = {} if scores is None else scores.parts
    facts["thresholds"] = dict(point.thresholds)
    items.write(
        run.folder / ITEMS,
        part_of={i: name for name, part in parts.items() for i in part.item_ids},
        rows=rows,
        reduce=lambda taken: task.reduce(taken, point),
        facts=facts,
    )


def _write_scores_into_card(checkpoint: Path, scores: Scores) -> None:
    update_card(
        checkpoint,
        scores={name: dict(part.metrics) for name, part in scores.parts.items()},
        operating_point=dict(scores.operating_point.thresholds),
        threshold_source=scores.operating_point.source,
    )


class _Quiet:
    """Take reports of a short prediction that nobody watches."""

    folder = Path()

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Forget it."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Forget them."""

    def picture(self, name: str, pixels: Any, caption: Text) -> None:
        """Forget it."""

    def note(self, text: Text) -> None:
        """Forget it."""

    def stop_wish(self) -> None:
        """Say that nobody asks to stop."""


def ask_task(task_id: str, method: str, record: Mapping[str, Any], *arguments: Any) -> Any:
    """Call what a task offers beyond the contract, for the warm process.

    Args:
        task_id: Task.
        method: Name of its method; it comes from the code of pages, never from a user.
        record: Data set, as `record_to_json` writes it.
        *arguments: Further arguments of the method.
    """
    call = getattr(registry.get_task(task_id), method)
    return call(datasets.record_from_json(record), *arguments)


def predict_one(
    task_id: str, checkpoint: str, record: Mapping[str, Any], item_id: str
) -> Prediction:
    """Predict one item, for the warm process: plain values in, arrays out.

    Args:
        task_id: Task of the checkpoint.
        checkpoint: Folder of the checkpoint.
        record: Data set, as `record_to_json` writes it.
        item_id: Item of it.
    """
    task, folder = registry.get_task(task_id), Path(checkpoint)
    config = prediction_config(task, load_card(folder, task_id=task.id), {})
    samples = task.open_dataset(datasets.record_from_json(record), [item_id])
    return next(iter(task.predict(folder, samples, config, _Quiet())))
