"""Train and predict for any classification task: from samples to a checkpoint and back."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Prediction, RunReporter, Sample, TrainingData
from pipelines.core.arrays import read_arrays
from pipelines.core.checkpoints import (
    CARD,
    CheckpointCard,
    find_checkpoint,
    load_card,
    save_checkpoint,
    update_card,
)
from pipelines.core.classification import files
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.images import (
    LazyPicture,
    decode,
    decode_pictures,
    held_picture,
    num_decoders,
)
from pipelines.errors import DataFormatError
from pipelines.text import Text

if TYPE_CHECKING:
    from pipelines.core.classification.prediction import Average, Model
    from pipelines.core.classification.task import ImageClassification
    from pipelines.core.classification.training import PictureSet, TrainingJob

Array = NDArray[Any]

HELD_OUT: Final = "held_out.npz"
"""Probabilities of training pictures by models without their group, beside a checkpoint."""
_MOST_CALIBRATED: Final = 2000
"""Held-out pictures that a temperature is fitted on: one number needs no more."""
_PIXELS_PER_SECOND: Final = {"cpu": 1.1e6, "cuda": 60e6, "mps": 12e6}
"""Pixels a second that training goes through, per CPU core or for a GPU."""
_MEASURING_S: Final = 0.16
"""Seconds to measure a picture of 320 px, once to train and once to score."""
_USUAL_PICTURES: Final = 2700
_MEASURED_AT_ONCE: Final = 64
"""Pictures between two reports of the progress."""


def train(
    task: ImageClassification, data: TrainingData, config: ClassificationConfig, run: RunReporter
) -> Path:
    """Train what the options ask for, and remember the training pictures' features.

    Raises:
        PipelineError: Nothing to learn from, a network that does not fit, no memory, a diverging
            loss.
    """
    from pipelines.core.classification.training import TrainingJob, train_network

    folder = run.folder / "checkpoint"
    if (folder / CARD).is_file() and not (run.folder / "training_state.safetensors").is_file():
        return folder
    run.progress(0, 1, Text("classes.stage.reading"), None)
    classes = tuple(data.train[0].meta["classes"]) if len(data.train) else ()
    job = TrainingJob(
        task.id, classes, _pictures(data.train, config), _pictures(data.validation, config),
        config, task.has_centre, task.border,
    )  # fmt: skip
    for problem in [*job.train.problems, *job.validation.problems][:5]:
        run.note(problem.text)
    if config.network == "statistics":
        return _train_statistics(job, run)
    path = train_network(job, run)
    if run.stop_wish() is None:
        run.progress(1, 1, Text("classes.stage.remembering"), None)
        _remember(task, path, job.train, config)
        _calibrate_network(path, job)
    return path


def _pictures(samples: Sequence[Sample], config: ClassificationConfig) -> PictureSet:
    from pipelines.core.classification.training import Picture, PictureSet

    found = []
    for sample in samples:
        image = sample.image
        if not isinstance(image, LazyPicture):  # a sample made by code, not read from a file
            image = held_picture(np.asarray(image, np.uint8), sample.item_id)
        found.append(Picture(sample.item_id, sample.group, int(sample.truth), image))
    return PictureSet(found, config.image_px, config.crop_px)


def _train_statistics(job: Any, run: RunReporter) -> Path:
    """Fit the baseline; seconds, so it has no state to resume."""
    from pipelines.core.classification import baseline
    from pipelines.core.classification.prediction import remember
    from pipelines.core.classification.training import check_classes

    check_classes(job)
    start, config = time.monotonic(), job.config
    measured = _measure(job.train, run, "classes.stage.measuring")
    groups = np.array([picture.group for picture in job.train.pictures])
    labels = job.train.labels

    def fit(numbers: Array, of_class: Array, of_group: Array) -> baseline.LinearModel:
        return baseline.fit_model(
            numbers, of_class, of_group, len(job.classes), strength=config.strength,
            balanced=config.class_weights,
        )  # fmt: skip

    model, truth = fit(measured, labels, groups), job.validation.labels
    held_out: Array | None = None
    if len(job.validation):
        measured_held = _measure(job.validation, run, "classes.stage.measuring_held")
        held_out = model.probabilities(measured_held)
    else:  # fitting costs nothing beside measuring: every picture is held out once
        held_out = baseline.cross_fit(fit, measured, labels, groups, len(job.classes), config.seed)
        truth = labels
    num_parameters = sum(value.size for value in vars(model).values())
    card = statistics_card(job, num_parameters, seconds=time.monotonic() - start)
    folder = save_checkpoint(run.folder / "checkpoint", model.to_weights(), card)
    names = [picture.item_id for picture in job.train.pictures]
    if held_out is not None:
        calibrate(folder, truth, held_out)
        _show_held_out(job, truth, held_out, run)
        if not len(job.validation):
            _keep_held_out(folder, names, held_out)
    remember(folder, names[:5000], measured[:5000])
    return folder


def _show_held_out(job: Any, truth: Array, odds: Array, run: RunReporter) -> None:
    """Show the held-out pictures that the baseline gets most wrong: it has no curve to show."""
    from pipelines.core.classification.statistics import multiclass_auc
    from pipelines.core.classification.training import show_worst

    pictures = job.validation if len(job.validation) else job.train
    name = "classes.worst_validation" if len(job.validation) else "classes.worst_out_of_fold"
    caption = Text(name, auc=multiclass_auc(truth, odds))
    show_worst(run, pictures, range(len(truth)), odds[np.arange(len(truth)), truth], caption)


def _keep_held_out(folder: Path, names: Sequence[str], odds: Array) -> None:
    """Keep what models without a picture's group say of it, at the checkpoint's temperature."""
    from pipelines.core.classification.statistics import temper

    temperature = float(load_card(folder).extra.get("temperature", 1.0))
    np.savez_compressed(
        folder / HELD_OUT, ids=np.asarray(names, np.str_), odds=temper(odds, temperature)
    )


def held_out_ids(checkpoint: Path) -> tuple[str, ...]:
    """List the training pictures that were predicted by models without their group."""
    file = find_checkpoint(checkpoint) / HELD_OUT
    if not file.is_file():
        return ()
    return tuple(read_arrays(file)["ids"].tolist())


def predict_held_out(
    task: ImageClassification, checkpoint: Path, samples: Sequence[Sample]
) -> Iterator[Prediction]:
    """Say of training pictures what models without their group said in training."""
    from pipelines.core.classification import prediction

    model = prediction.Model(checkpoint, task.id, "cpu")
    memory = prediction.Memory.load(model.folder)
    kept = read_arrays(model.folder / HELD_OUT)
    odds = dict(zip(kept["ids"].tolist(), kept["odds"], strict=True))
    features = {} if memory is None else memory.features_by_id()
    groups = {sample.item_id: sample.group for sample in (samples[i] for i in range(len(samples)))}
    for item_id, group in groups.items():
        values: dict[str, Array] = {"probabilities": odds[item_id], **_origin(model)}
        if memory is not None and item_id in features:
            values["features"] = features[item_id]
            others = [groups.get(str(name)) != group for name in memory.ids]
            values["nearest"] = memory.nearest(features[item_id][None], among=np.array(others))[0]
        yield Prediction(item_id, group, values)


def statistics_card(job: Any, num_parameters: int, *, seconds: float) -> CheckpointCard:
    """Return the card of a baseline checkpoint."""
    from pipelines.config import to_json

    return CheckpointCard(
        task_id=job.task_id,
        architecture={"kind": "statistics", "name": "statistics"},
        config=to_json(job.config),
        seed=job.config.seed,
        num_parameters=num_parameters,
        device="cpu",
        seconds=seconds,
        steps=1,
        extra={
            "classes": list(job.classes),
            "num_train": len(job.train),
            "train_classes": np.bincount(job.train.labels, minlength=len(job.classes)).tolist(),
        },
    )


def _measure(pictures: PictureSet, run: RunReporter, stage: str) -> Array:
    from pipelines.core.classification import baseline

    found = []
    for first in range(0, len(pictures), _MEASURED_AT_ONCE):
        rows = range(first, min(first + _MEASURED_AT_ONCE, len(pictures)))
        found.append(baseline.measure_all((pictures[i] for i in rows), num_decoders()))
        run.progress(rows.stop, len(pictures), Text(stage), None)
    return np.concatenate(found)


def calibrate(folder: Path, truth: Array, odds: Array) -> None:
    """Fit the temperature on held-out pictures and keep it in the card; every answer uses it.

    The card keeps the calibration error before and after as well. Both are of the pictures that the
    temperature was fitted on.

    Args:
        folder: Checkpoint.
        truth: `(N,)` class index.
        odds: `(N, C)` probabilities as the model itself says them.
    """
    from pipelines.core.classification.statistics import calibration, fit_temperature, temper

    if len(np.unique(truth)) < 2:
        return
    temperature = fit_temperature(truth, odds)
    found = {
        "temperature": temperature,
        "ece_before": calibration(truth, odds).ece,
        "ece_after": calibration(truth, temper(odds, temperature)).ece,
    }
    update_card(folder, extra={**load_card(folder).extra, **found})


def _calibrate_network(folder: Path, job: TrainingJob) -> None:
    from pipelines.core.classification import prediction

    pictures, config = job.validation, job.config
    rows = _evenly(len(pictures), _MOST_CALIBRATED)
    if not rows:
        return
    model = prediction.Model(folder, job.task_id, config.device)
    model.temperature = 1.0
    odds = [
        model.answer_squares(
            pictures.batch(rows[s : s + 64]), has_flips=config.test_flips, has_cams=False
        ).probabilities
        for s in range(0, len(rows), 64)
    ]
    calibrate(folder, pictures.labels[rows], np.concatenate(odds))


def _evenly(count: int, most: int) -> list[int]:
    """List at most so many row numbers, evenly spread."""
    return [int(i) for i in np.linspace(0, count - 1, min(count, most)).astype(int)]


def _remember(
    task: ImageClassification, folder: Path, pictures: PictureSet, config: ClassificationConfig
) -> None:
    """Keep the features of training pictures beside the checkpoint, to find similar ones later."""
    from pipelines.core.classification import prediction

    model = prediction.Model(folder, task.id, config.device)
    chosen = _evenly(len(pictures), prediction.MOST_REMEMBERED)
    features = [
        model.answer_squares(pictures.batch(chosen[s : s + 64]), has_flips=False, has_cams=False)
        for s in range(0, len(chosen), 64)
    ]
    names = [pictures.pictures[i].item_id for i in chosen]
    prediction.remember(folder, names, np.concatenate([a.features for a in features]))


def predict(
    task: ImageClassification,
    checkpoint: Path,
    samples: Sequence[Sample],
    config: ClassificationConfig,
    run: RunReporter,
) -> Iterator[Prediction]:
    """Predict items in the order given.

    A picture that cannot be read gets the training part's class shares, with a note: a submission
    must name every id, and this is what is known of a picture that nobody saw.
    """
    from pipelines.core.classification import prediction

    folders = [checkpoint, *(Path(p) for p in config.average_with.split(os.pathsep) if p)]
    model = prediction.open_models(folders, task.id, config.device)
    memory = prediction.Memory.load(model.folder)
    answers = prediction.answers(
        model, decoded(samples), has_flips=config.test_flips, has_cams=config.explain
    )
    for index, found in enumerate(answers):
        item = samples[index]
        _check_classes(item, model)
        if found is None:
            run.note(Text("classes.not_predicted", file=item.item_id))
            values = {"probabilities": _shares(model), files.UNREAD: np.array(True)}
        else:
            values = _values(*found, memory)
        values |= _origin(model)
        yield Prediction(item.item_id, item.group, values)


def _origin(model: Model | Average) -> dict[str, Array]:
    return {"classes": np.array(model.classes), "temperature": np.array(model.temperature)}


def _check_classes(sample: Sample, model: Model | Average) -> None:
    """Refuse labelled pictures of other classes: their numbers would mean something else.

    Raises:
        DataFormatError: The classes differ.
    """
    names = tuple(sample.meta["classes"])
    if sample.truth is not None and names != model.classes:
        raise DataFormatError(
            Text("classes.other_classes", got=", ".join(names), wanted=", ".join(model.classes))
        )


def _values(answer: Any, place: int, memory: Any) -> dict[str, Array]:
    values: dict[str, Array] = {
        "probabilities": answer.probabilities[place],
        "features": answer.features[place],
    }
    if answer.cams is not None:
        values["cam"] = answer.cams[place]
    if memory is not None:
        values["nearest"] = memory.nearest(answer.features[place][None])[0]
    return values


def _shares(model: Model | Average) -> Array:
    even = np.ones(len(model.classes))
    counts = np.asarray(model.card.extra.get("train_classes", even), np.float64)
    return np.asarray(counts / counts.sum())


def decoded(samples: Sequence[Sample]) -> Iterator[Any]:
    """Decode samples ahead of their reader, in parallel; an unreadable one gives its error."""
    if not len(samples):
        return
    if not isinstance(samples[0].image, LazyPicture):
        yield from (np.asarray(s.image, np.uint8) for s in samples)
        return
    yield from decode_pictures([samples[i].image for i in range(len(samples))])


def predict_files(
    task_id: str,
    checkpoints: Sequence[str],
    files: Sequence[tuple[str, bytes]],
    device: str,
    has_flips: bool = True,  # noqa: FBT001, FBT002 - the warm process takes no keywords
) -> list[tuple[Prediction, Array] | Text]:
    """Predict pictures dropped into a page, in the warm process.

    Args:
        task_id: Task of the checkpoints.
        checkpoints: Folders; the answers of several are averaged.
        files: Name and content of each file, of any kind.
        device: Where to compute.
        has_flips: Whether turned and mirrored copies are averaged.

    Returns:
        For each file its prediction with the `(H, W, 3)` uint8 pixels that it is about, or the
        sentence that says why it cannot be read.
    """
    from pipelines.core.classification import prediction

    model = _opened(tuple(checkpoints), tuple(_stamp(f) for f in checkpoints), task_id, device)
    memory = prediction.Memory.load(model.folder)
    found: list[tuple[Prediction, Array] | Text] = []
    for name, content in files:
        try:
            pixels = decode(content, name)
        except DataFormatError as error:
            found.append(error.text)
            continue
        answer = model.answer([pixels], has_flips=has_flips, has_cams=True)
        values = {**_values(answer, 0, memory), **_origin(model)}
        found.append((Prediction(name, name, values), pixels))
    return found


def _stamp(folder: str) -> float:
    return (find_checkpoint(Path(folder)) / CARD).stat().st_mtime


@functools.lru_cache(maxsize=4)
def _opened(
    folders: tuple[str, ...], stamps: tuple[float, ...], task_id: str, device: str
) -> Model | Average:
    """Open models once: the next picture is then answered without loading them again."""
    from pipelines.core.classification import prediction

    del stamps  # part of the key alone: a checkpoint that was replaced is another one
    return prediction.open_models([Path(f) for f in folders], task_id, device)


def estimate_seconds(
    config: ClassificationConfig, device: str, num_labelled: int = _USUAL_PICTURES
) -> float:
    """Estimate the duration of a training on so many pictures, the time limit respected."""
    from pipelines.core.device import list_devices, num_usable_cores

    kind = device if device in _PIXELS_PER_SECOND else list_devices()[0].kind
    count = min(config.max_images or num_labelled, num_labelled)
    pictures = count * (1 - config.validation_share)
    if config.network == "statistics":
        return max(5.0, count * _MEASURING_S / num_usable_cores() * config.image_px**2 / 320**2)
    speed = _PIXELS_PER_SECOND[kind] * (num_usable_cores() if kind == "cpu" else 1)
    heaviness = config.width**2 if config.network == "symmetric" else 1.8
    seconds = pictures * config.epochs * config.image_px**2 * heaviness / speed
    return min(seconds, config.time_limit_s) if config.time_limit_s else seconds
