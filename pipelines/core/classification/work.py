"""Train and predict for any classification task: from samples to a checkpoint and back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Prediction, RunReporter, Sample, TrainingData
from pipelines.core.checkpoints import CARD, CheckpointCard, find_checkpoint, save_checkpoint
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.images import (
    LazyPicture,
    held_picture,
    num_decoders,
)
from pipelines.errors import DataFormatError
from pipelines.text import Text

if TYPE_CHECKING:
    from pipelines.core.classification.prediction import Model
    from pipelines.core.classification.task import ImageClassification
    from pipelines.core.classification.training import PictureSet

Array = NDArray[Any]

_PIXELS_PER_SECOND: Final = {"cpu": 1.1e6, "cuda": 60e6, "mps": 12e6}
"""Pixels a second that training goes through, per CPU core or for a GPU."""


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
        _remember(task, path, job.train, config)
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
    from pipelines.core.classification.statistics import multiclass_auc
    from pipelines.core.classification.training import check_classes

    check_classes(job)
    start, config = time.monotonic(), job.config
    measured = _measure(job.train, run, "classes.stage.measuring")
    model = baseline.fit_linear(
        measured, job.train.labels, len(job.classes), strength=config.strength,
        balanced=config.class_weights,
    )  # fmt: skip
    if len(job.validation):
        held_out = _measure(job.validation, run, "classes.stage.measuring_held")
        auc = multiclass_auc(job.validation.labels, model.probabilities(held_out))
        run.metrics({"step": 1, "auc": auc})
    card = statistics_card(job, seconds=time.monotonic() - start)
    folder = save_checkpoint(run.folder / "checkpoint", model.to_weights(), card)
    remember(folder, [p.item_id for p in job.train.pictures][:5000], measured[:5000])
    return folder


def statistics_card(job: Any, *, seconds: float) -> CheckpointCard:
    """Return the card of a baseline checkpoint."""
    from pipelines.config import to_json

    return CheckpointCard(
        task_id=job.task_id,
        architecture={"kind": "statistics", "name": "statistics"},
        config=to_json(job.config),
        seed=job.config.seed,
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
    for start in range(0, len(pictures), 256):
        rows = range(start, min(start + 256, len(pictures)))
        found.append(baseline.measure_all((pictures[i] for i in rows), num_decoders()))
        run.progress(rows.stop, len(pictures), Text(stage), None)
    return np.concatenate(found)


def _remember(
    task: ImageClassification, folder: Path, pictures: PictureSet, config: ClassificationConfig
) -> None:
    """Keep the features of training pictures beside the checkpoint, to find similar ones later."""
    from pipelines.core.classification import prediction

    model = prediction.Model(folder, task.id, config.device)
    rows = np.linspace(0, len(pictures) - 1, min(len(pictures), prediction.MOST_REMEMBERED))
    chosen = [int(i) for i in rows.astype(int)]
    features = [
        model.answer([pictures[i] for i in chosen[s : s + 64]], has_flips=False, has_cams=False)
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

    model = prediction.Model(checkpoint, task.id, config.device)
    memory = prediction.Memory.load(find_checkpoint(checkpoint))
    answers = prediction.answers(
        model, prediction.decoded(samples), has_flips=config.test_flips, has_cams=config.explain
    )
    for index, found in enumerate(answers):
        item = samples[index]
        _check_classes(item, model)
        if found is None:
            run.note(Text("classes.not_predicted", file=item.item_id))
            values = {"probabilities": _shares(model)}
        else:
            values = _values(*found, memory)
        values["classes"] = np.array(model.classes)
        yield Prediction(item.item_id, item.group, values)


def _check_classes(sample: Sample, model: Model) -> None:
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


def _shares(model: Model) -> Array:
    counts = np.asarray(model.card.extra["train_classes"], np.float64)
    return np.asarray(counts / counts.sum())


def predict_picture(
    task: ImageClassification, checkpoint: Path, pixels: Array, device: str = "auto"
) -> Prediction:
    """Predict one picture dropped in: probabilities, where the model looked, what resembles it."""
    from pipelines.core.classification import prediction

    model = prediction.Model(checkpoint, task.id, device)
    if pixels.ndim != 3:
        raise DataFormatError(Text("classes.no_picture", file="-"))
    answer = model.answer([pixels], has_flips=True, has_cams=True)
    memory = prediction.Memory.load(model.folder)
    return Prediction("picture", "picture", _values(answer, 0, memory))


def estimate_seconds(config: ClassificationConfig, device: str) -> float:
    """Estimate the duration of a training, the time limit respected."""
    from pipelines.core.device import list_devices, num_usable_cores

    kind = device if device in _PIXELS_PER_SECOND else list_devices()[0].kind
    if config.network == "statistics":
        return 60.0
    speed = _PIXELS_PER_SECOND[kind] * (num_usable_cores() if kind == "cpu" else 1)
    heaviness = config.width**2 if config.network == "symmetric" else 1.8
    pictures = config.max_images or 2700
    seconds = pictures * config.epochs * config.image_px**2 * heaviness / speed
    return min(seconds, config.time_limit_s) if config.time_limit_s else seconds
