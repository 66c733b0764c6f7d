"""From samples to a checkpoint and from a checkpoint to predictions; imports torch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from pipelines.config import describe, parse, to_json
from pipelines.contract import Array, Prediction, RunReporter, Sample, TrainingData
from pipelines.core.checkpoints import (
    CheckpointCard,
    find_checkpoint,
    load_card,
    load_weights,
    save_checkpoint,
)
from pipelines.core.device import DeviceWish, choose_device
from pipelines.errors import CheckpointMismatchError, DataError
from pipelines.tasks.em_membrane.baseline import BaselineConfig, score_section
from pipelines.tasks.em_membrane.config import Config, ModelOptions
from pipelines.tasks.em_membrane.infer import predict_probabilities
from pipelines.tasks.em_membrane.model import build_model, count_parameters
from pipelines.tasks.em_membrane.train import LabelledSection, train_segmentation
from pipelines.text import Text

TASK_ID = "em_membrane"
DEFAULT_THRESHOLD = 0.5


def train_checkpoint(data: TrainingData, config: Config, run: RunReporter) -> Path:
    """Train what the options name and return the folder of its checkpoint."""
    folder = run.folder / "checkpoint"
    if config.architecture == "baseline":
        return save_checkpoint(folder, {}, _card(config, {"device": "cpu"}))
    device = choose_device(cast("DeviceWish", config.device))
    start = time.monotonic()
    outcome = train_segmentation(
        [_labelled(s) for s in data.train],
        [_labelled(s) for s in data.validation],
        config,
        device=device,
        run=run,
        folder=run.folder,
    )
    facts = {
        "device": str(device),
        "num_parameters": count_parameters(outcome.model),
        "steps": outcome.steps,
        "seconds": max(outcome.elapsed_s, time.monotonic() - start),
    }
    return save_checkpoint(folder, outcome.model.state_dict(), _card(config, facts))


def predict_samples(
    checkpoint: Path, samples: Sequence[Sample], config: Config, run: RunReporter
) -> Iterator[Prediction]:
    """Predict sections one by one; the mask is cut at the threshold that the card recommends."""
    card = load_card(checkpoint, task_id=TASK_ID)
    threshold = float(card.operating_point.get("threshold", DEFAULT_THRESHOLD))
    config = _with_architecture(config, card.architecture)
    for sample, probability in zip(
        samples, _scores(checkpoint, samples, config, run), strict=False
    ):
        values = {"probability": probability, "mask": probability > threshold}
        yield Prediction(sample.item_id, sample.group, values)


def _scores(
    checkpoint: Path, samples: Sequence[Sample], config: Config, run: RunReporter
) -> Iterator[Array]:
    if config.architecture == "baseline":
        for sample in samples:
            yield score_section(sample.image, config)
        return
    device = choose_device(cast("DeviceWish", config.device))
    model = build_model(replace(config, is_pretrained=False))
    _load(model, checkpoint)
    yield from predict_probabilities(
        model.to(device).eval(),
        _Images(samples),
        config,
        device,
        is_cancelled=lambda: run.stop_wish() is not None,
    )


class _Images(Sequence[Any]):
    """Read the image of a sample when its turn comes."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:  # one index in practice
        return self._samples[index].image


def _load(model: Any, checkpoint: Path) -> None:  # torch module
    try:
        model.load_state_dict(load_weights(checkpoint, task_id=TASK_ID))
    except RuntimeError as error:
        path = str(find_checkpoint(checkpoint))
        raise CheckpointMismatchError(Text("em.weights_do_not_fit", path=path)) from error


def _labelled(sample: Sample) -> LabelledSection:
    if sample.truth is None:
        raise DataError(Text("em.no_label", item=sample.item_id))
    return LabelledSection(sample.item_id, sample.image, np.asarray(sample.truth, bool))


def _card(config: Config, facts: Mapping[str, Any]) -> CheckpointCard:
    names = {f.name for part in (ModelOptions, BaselineConfig) for f in fields(part)}
    values = asdict(config)
    return CheckpointCard(
        task_id=TASK_ID,
        architecture={name: values[name] for name in sorted(names)},
        config=values,
        seed=config.seed,
        **facts,
    )


def _with_architecture(config: Config, architecture: Mapping[str, Any]) -> Config:
    """Take the network from the card: weights fit no other.

    Raises:
        ConfigError: The card announces a network that no option allows.
    """
    known = {info.name for info in describe(Config)}
    network = {name: value for name, value in architecture.items() if name in known}
    return parse(Config, {**to_json(config), **network})
