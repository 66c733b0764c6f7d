"""Train a picker: tomograms in memory once, patches in threads, validation as it will be scored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.config import to_json
from pipelines.contract import RunReporter, Sample, TrainingData
from pipelines.core.checkpoints import (
    RUN_SUBFOLDER,
    CheckpointCard,
    load_card,
    load_weights,
    save_checkpoint,
)
from pipelines.core.device import DeviceWish, Precision, choose_device
from pipelines.core.training import Batch, Plan, Work, fit
from pipelines.errors import CheckpointMismatchError, DataFormatError
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.baseline import STRIDE, learn_templates
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.data import Truth, require_volume
from pipelines.tasks.cryoet_picking.infer import make_ready, pick, predict_scores
from pipelines.tasks.cryoet_picking.losses import kind_weights, loss_of
from pipelines.tasks.cryoet_picking.model import build_network
from pipelines.tasks.cryoet_picking.particles import (
    CHALLENGE,
    Particle,
    names,
)
from pipelines.tasks.cryoet_picking.particles import (
    to_json as kinds_json,
)
from pipelines.tasks.cryoet_picking.patches import TrainingTomogram, cut_patch, make_tomogram
from pipelines.tasks.cryoet_picking.pictures import slab_picture
from pipelines.tasks.cryoet_picking.volumes import normalised
from pipelines.text import Text

STATE_FILE = "training_state.safetensors"
_VALIDATE_EVERY_S = 60.0
_CPU_THREADS_FOR_PATCHES = 2


def train(data: TrainingData, config: Config, run: RunReporter) -> Path:
    """Train on whole tomograms and return the checkpoint folder.

    Args:
        data: Tomograms with true picks; those to validate on may be none.
        config: Options.
        run: Takes curves, pictures and wishes.

    Raises:
        DataFormatError: No tomogram with picks.
        CheckpointMismatchError: The checkpoint to start from fits another network.
    """
    started = time.monotonic()
    device = choose_device(cast("DeviceWish", config.device))
    tomograms = [_load(s) for s in data.train if s.truth is not None]
    if not tomograms or not any(len(t.kind_index) for t in tomograms):
        raise DataFormatError(Text("cryoet.nothing_to_train"))
    particles = particles_of(data.train)
    if config.architecture == "templates":
        return _learn_baseline(tomograms, particles, config, run)
    torch.manual_seed(config.seed)  # weights only; patches draw from their own generators
    architecture = architecture_of(config, particles)
    model = build_network(architecture)
    _start_from(model, config)
    validation = _Validation.prepare(data.validation, particles, config, run)
    weights = kind_weights(particles, config).to(device)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        return loss_of(network(batch["volume"]), batch["target"], weights, config)

    work = Work(
        model=model,
        make_batch=_BatchMaker(tomograms, particles, config, int(model.stride)),
        loss_of=loss,
        validate=validation.measure if validation else None,
        num_threads=_CPU_THREADS_FOR_PATCHES,
    )
    plan = _plan(config, loaded_s=time.monotonic() - started)
    outcome = fit(work, plan, device=device, run=run, state_file=run.folder / STATE_FILE)
    card = CheckpointCard(
        task_id="cryoet_picking",
        architecture=architecture,
        config=to_json(config),
        seed=config.seed,
        num_parameters=sum(p.numel() for p in model.parameters()),
        device=str(device),
        seconds=outcome.elapsed_s,
        steps=outcome.steps,
        extra={"particles": kinds_json(particles)},
    )
    return save_checkpoint(run.folder / RUN_SUBFOLDER, outcome.model.state_dict(), card)


def _learn_baseline(
    tomograms: Sequence[TrainingTomogram],
    particles: tuple[Particle, ...],
    config: Config,
    run: RunReporter,
) -> Path:
    """Average the particles: the baseline has nothing else to learn."""
    started = time.monotonic()
    templates = torch.from_numpy(learn_templates(tomograms, particles))
    card = CheckpointCard(
        task_id="cryoet_picking",
        architecture={"name": "templates", "target": "gaussian", "stride": STRIDE},
        config=to_json(config),
        seed=config.seed,
        num_parameters=templates.numel(),
        device="cpu",
        seconds=time.monotonic() - started,
        extra={"particles": kinds_json(particles)},
    )
    return save_checkpoint(run.folder / RUN_SUBFOLDER, {"templates": templates}, card)


def particles_of(samples: Sequence[Sample]) -> tuple[Particle, ...]:
    """Return the kinds of the first sample; the challenge's where a sample names none."""
    for sample in samples:
        return cast("tuple[Particle, ...]", sample.meta.get("particles", CHALLENGE))
    return CHALLENGE


def architecture_of(config: Config, particles: Sequence[Particle]) -> dict[str, Any]:
    """Return what builds the network again."""
    return {
        "name": config.architecture,
        "width": config.width,
        "num_outputs": len(particles) + (config.target == "spheres"),
        "target": config.target,
    }


def _plan(config: Config, *, loaded_s: float) -> Plan:
    limit = max(config.time_limit_s - loaded_s, 1.0)
    return Plan(
        time_limit_s=limit,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        precision=cast("Precision", config.precision),
        validate_every_s=max(_VALIDATE_EVERY_S, limit / 8),
    )


def _load(sample: Sample) -> TrainingTomogram:
    require_volume(sample)
    truth = cast("Truth", sample.truth)
    return make_tomogram(
        normalised(sample.image),
        sample.meta["geometry"],
        truth.picks.positions,
        truth.picks.kind_index,
    )


def _start_from(model: nn.Module, config: Config) -> None:
    """Take over weights of another training (pre-training on simulated tomograms)."""
    if not config.initial_checkpoint:
        return
    folder = Path(config.initial_checkpoint)
    load_card(folder, task_id="cryoet_picking")
    try:
        model.load_state_dict(load_weights(folder))
    except RuntimeError as error:
        raise CheckpointMismatchError(
            Text("cryoet.other_network", path=str(folder), name=config.architecture)
        ) from error


@dataclass(frozen=True)
class _BatchMaker:
    """Make batch `step`: the same for the same seed, whatever was drawn before."""

    tomograms: Sequence[TrainingTomogram]
    particles: Sequence[Particle]
    config: Config
    stride: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, step))
        patches = [
            cut_patch(self.tomograms, self.particles, self.config, self.stride, rng)
            for _ in range(self.config.batch_size)
        ]
        return {
            "volume": torch.from_numpy(np.stack([p.volume for p in patches])[:, None]),
            "target": torch.from_numpy(np.stack([p.target for p in patches])),
        }


@dataclass(frozen=True)
class _Validation:
    """Pick in one validation tomogram and score it, and draw its picks in one slab."""

    sample: Sample
    volume: np.ndarray[Any, np.dtype[np.float16]]
    particles: tuple[Particle, ...]
    config: Config
    run: RunReporter

    @staticmethod
    def prepare(
        samples: Sequence[Sample],
        particles: tuple[Particle, ...],
        config: Config,
        run: RunReporter,
    ) -> _Validation | None:
        labelled = [s for s in samples if s.truth is not None]
        if not labelled:
            return None
        sample = require_volume(labelled[0])
        quick = dataclasses.replace(config, symmetries="none", overlap=0.1)
        return _Validation(sample, normalised(sample.image), particles, quick, run)

    def measure(self, model: nn.Module, step: int) -> Mapping[str, float]:
        device = next(model.parameters()).device
        ready = make_ready(model, device, is_heat=self.config.target == "gaussian")
        scores = predict_scores(
            [ready],
            self.volume,
            self.config,
            is_cancelled=lambda: self.run.stop_wish() is not None,
        )
        geometry = self.sample.meta["geometry"]
        picks = pick(scores, self.particles, geometry, self.config, experiment=self.sample.item_id)
        truth = cast("Truth", self.sample.truth)
        rows = metrics.measure(picks, truth.picks, self.particles, group=self.sample.group)
        best = metrics.best_thresholds(rows)
        point = metrics.point(best, source="scored")
        figures = metrics.reduce_rows(rows, point)
        kept = picks.take(picks.scores >= np.array([best[k] for k in picks.kind_names()]))
        picture = slab_picture(self.volume, kept, truth.picks, self.particles, geometry)
        self.run.picture("slab", picture, Text("cryoet.slab_caption", step=step, f4=figures["f4"]))
        wanted = ("f4", *(f"f4_{name}" for name in names(self.particles)))
        return {n: figures[n] for n in wanted if np.isfinite(figures.get(n, np.nan))}
