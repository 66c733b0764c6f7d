"""Train a picker: tomograms in memory once, patches in threads, validation as it will be scored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
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
from pipelines.core.files import write_bytes
from pipelines.core.training import Batch, Outcome, Plan, Work, fit
from pipelines.errors import CheckpointMismatchError, DataFormatError
from pipelines.settings import load_settings
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.baseline import (
    BASELINES,
    STRIDE,
    learn_blobs,
    learn_templates,
)
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.data import Truth, require_volume
from pipelines.tasks.cryoet_picking.infer import make_ready, pick, predict_scores
from pipelines.tasks.cryoet_picking.losses import kind_weights, loss_of
from pipelines.tasks.cryoet_picking.model import build_network, join_states, split_states
from pipelines.tasks.cryoet_picking.particles import (
    CHALLENGE,
    Particle,
    from_json,
    names,
)
from pipelines.tasks.cryoet_picking.particles import (
    to_json as kinds_json,
)
from pipelines.tasks.cryoet_picking.patches import TrainingTomogram, cut_patch, make_tomogram
from pipelines.tasks.cryoet_picking.pictures import slab_picture
from pipelines.tasks.cryoet_picking.splits import HELD_OUT, assign_folds, seen_before
from pipelines.tasks.cryoet_picking.volumes import normalised
from pipelines.text import Text

STATE_FILE = "training_state.safetensors"
BEST_FILE = "best_weights.safetensors"
_VALIDATE_EVERY_S = 20.0
_SHARE_OF_VALIDATION = 0.15  # of the time; a large tomogram is validated on less often
_CPU_THREADS_FOR_PATCHES = 2
_SECONDS_A_NETWORK = 180.0


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
    labelled = [s for s in data.train if s.truth is not None]
    tomograms = [_load(s) for s in labelled]
    if not tomograms or not any(len(t.kind_index) for t in tomograms):
        raise DataFormatError(Text("cryoet.nothing_to_train"))
    particles = particles_of(data.train)
    if config.architecture in BASELINES:
        return _learn_baseline(tomograms, particles, config, run)
    work = _Training(particles, config, device, run)
    count = 1 if data.validation else _affordable(config)
    folds = assign_folds([s.group for s in labelled], count)
    parts = [_part(tomograms, labelled, folds, k) for k in range(count) if k in folds]
    if not parts:
        parts = [(tomograms, list(data.validation))]
    elif len(parts) > 1:
        parts.append((tomograms, []))
    work.warn_of_seen([s.item_id for _, held_out in parts for s in held_out])
    outcomes = work.train_all(parts, loaded_s=time.monotonic() - started)
    pairs = zip(labelled, folds, strict=True)
    return work.save(outcomes, {s.item_id: k for s, k in pairs if 0 <= k < len(outcomes)})


def _affordable(config: Config) -> int:
    """Return how many networks the time is enough for: two half trained are worse than one fewer.

    Two remain where several are wanted, since thresholds are chosen on what a network did not see.
    """
    return min(config.networks, max(2, int(config.time_limit_s / _SECONDS_A_NETWORK)))


def _part(
    tomograms: Sequence[TrainingTomogram],
    samples: Sequence[Sample],
    folds: Sequence[int],
    fold: int,
) -> tuple[list[TrainingTomogram], list[Sample]]:
    """Return what a network trains on, and what it is validated on."""
    rest = [t for t, f in zip(tomograms, folds, strict=True) if f != fold]
    return rest, [s for s, f in zip(samples, folds, strict=True) if f == fold]


@dataclass(frozen=True)
class _Training:
    """Train one network; or one a fold and then one on everything, each in its share of the time.

    The folds say how many steps are good for tomograms that a network does not see, and where the
    thresholds belong; the last network learns from all tomograms for as many steps, grown with the
    data. All of them answer together.
    """

    particles: tuple[Particle, ...]
    config: Config
    device: torch.device
    run: RunReporter

    def warn_of_seen(self, held_out: Sequence[str]) -> None:
        """Say where the weights to start from have seen what this training is scored on."""
        if not self.config.initial_checkpoint:
            return
        seen = seen_before(Path(self.config.initial_checkpoint), self.run.folder, held_out)
        if seen:
            self.run.note(Text("cryoet.start_has_seen", names=seen))

    def train_all(
        self, parts: Sequence[tuple[Sequence[TrainingTomogram], Sequence[Sample]]], loaded_s: float
    ) -> list[Outcome]:
        """Train a network on each part; a wish to stop ends the list early.

        Args:
            parts: What each network learns from and is validated on. Without the latter it learns
                as long as those before it were good for.
            loaded_s: Time that is spent already.
        """
        limit = max(self.config.time_limit_s - loaded_s, 1.0) / len(parts)
        outcomes: list[Outcome] = []
        if len(parts) > 1:
            self.run.note(Text("cryoet.networks_in_turn", n=len(parts)))
        for number, (tomograms, validation) in enumerate(parts):
            done = sum(o.steps for o in outcomes)
            run = self.run
            if len(parts) > 1:
                run = _Share(run, number, len(parts), done, number * limit, limit)
            plan = self._plan_of(number, limit, len(validation))
            outcomes.append(self._train_one(tomograms, validation, number, plan, run))
            if outcomes[-1].ending != "finished":
                break
        return outcomes

    def _plan_of(self, number: int, limit_s: float, num_validation: int) -> Plan:
        plan = _plan(self.config, limit_s)
        best = [_Best(self._best_file(k)).step for k in range(number)]
        if num_validation or not all(best) or number < 2:
            return plan
        steps = round(sum(best) / number * number / (number - 1))
        return dataclasses.replace(plan, max_steps=min(steps, plan.max_steps or steps))

    def _best_file(self, number: int) -> Path:
        return self.run.folder / f"{number}_{BEST_FILE}"

    def _train_one(
        self,
        tomograms: Sequence[TrainingTomogram],
        validation: Sequence[Sample],
        number: int,
        plan: Plan,
        run: RunReporter,
    ) -> Outcome:
        config = dataclasses.replace(self.config, seed=self.config.seed + 1000 * number)
        torch.manual_seed(config.seed)  # weights only; patches draw from their own generators
        model = build_network(architecture_of(config, self.particles))
        _start_from(model, config, self.particles, self.run)
        best = _Best(self._best_file(number))
        check = _Validation.prepare(validation, self.particles, config, run, best)
        weights = kind_weights(self.particles, config).to(self.device)

        def loss(network: nn.Module, batch: Batch) -> Tensor:
            return loss_of(network(batch["volume"]), batch["target"], weights, config)

        work = Work(
            model=model,
            make_batch=_BatchMaker(tomograms, self.particles, config, int(model.stride)),
            loss_of=loss,
            validate=check.measure if check else None,
            num_threads=_CPU_THREADS_FOR_PATCHES,
        )
        state_file = self.run.folder / (f"{number}_{STATE_FILE}" if number else STATE_FILE)
        outcome = fit(work, plan, device=self.device, run=run, state_file=state_file)
        if check:
            check.choose(outcome)
        return outcome

    def save(self, outcomes: Sequence[Outcome], held_out: Mapping[str, int]) -> Path:
        """Write all networks into one checkpoint."""
        config = self.config
        states = [o.model.state_dict() for o in outcomes]
        architecture = architecture_of(config, self.particles)
        card = CheckpointCard(
            task_id="cryoet_picking",
            architecture={**architecture, "networks": len(states)},
            config=to_json(config),
            seed=config.seed,
            num_parameters=sum(p.numel() for o in outcomes for p in o.model.parameters()),
            device=str(self.device),
            seconds=sum(o.elapsed_s for o in outcomes),
            steps=sum(o.steps for o in outcomes),
            extra={"particles": kinds_json(self.particles), HELD_OUT: dict(held_out)},
        )
        return save_checkpoint(self.run.folder / RUN_SUBFOLDER, join_states(states), card)


@dataclass(frozen=True)
class _Share:
    """Report one network of several as a part of the whole training."""

    run: RunReporter
    number: int
    count: int
    steps_before: int
    seconds_before: float
    limit_s: float

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.run.folder

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Add the networks before and after."""
        later = (self.count - self.number - 1) * self.limit_s
        left = None if seconds_left is None else seconds_left + later
        self.run.progress(self.number * total + done, self.count * total, stage, left)

    def metrics(self, values: Mapping[str, float]) -> None:
        """Count steps and seconds on from the networks before."""
        moved = dict(values)
        moved["step"] = values["step"] + self.steps_before
        if "elapsed_s" in values:
            moved["elapsed_s"] = values["elapsed_s"] + self.seconds_before
        moved["network"] = self.number + 1
        self.run.metrics(moved)

    def picture(self, name: str, pixels: Any, caption: Text) -> None:
        """Keep it."""
        self.run.picture(name, pixels, caption)

    def note(self, text: Text) -> None:
        """Pass it on."""
        self.run.note(text)

    def stop_wish(self) -> Any:  # StopWish | None
        """Pass the wish on."""
        return self.run.stop_wish()


def _learn_baseline(
    tomograms: Sequence[TrainingTomogram],
    particles: tuple[Particle, ...],
    config: Config,
    run: RunReporter,
) -> Path:
    """Average particles, or what blobs answer at them: a baseline has nothing else to learn."""
    started = time.monotonic()
    name = config.architecture
    learn = learn_templates if name == "templates" else learn_blobs
    learned = torch.from_numpy(learn(tomograms, particles))
    card = CheckpointCard(
        task_id="cryoet_picking",
        architecture={"name": name, "target": "gaussian", "stride": STRIDE},
        config=to_json(config),
        seed=config.seed,
        num_parameters=learned.numel(),
        device="cpu",
        seconds=time.monotonic() - started,
        extra={"particles": kinds_json(particles)},
    )
    return save_checkpoint(run.folder / RUN_SUBFOLDER, {name: learned}, card)


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


def _plan(config: Config, limit_s: float) -> Plan:
    return Plan(
        time_limit_s=limit_s,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        precision=cast("Precision", config.precision),
        validate_every_s=max(_VALIDATE_EVERY_S, limit_s / 10),
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


def _start_from(
    model: nn.Module, config: Config, particles: Sequence[Particle], run: RunReporter
) -> None:
    """Take over weights: those that were chosen, else the built-in ones where they fit."""
    if config.initial_checkpoint:
        folder = Path(config.initial_checkpoint)
        card = load_card(folder, task_id="cryoet_picking")
        run.note(Text("cryoet.starts_from", path=str(folder), title=card.title or folder.name))
    elif config.pretrained and config.architecture == "light":
        folder = load_settings().checkpoints / "cryoet_picking" / "demo"
        if not folder.is_dir() or not _fits(card := load_card(folder), config, particles):
            run.note(Text("cryoet.from_scratch"))
            return
        run.note(Text("cryoet.starts_built_in"))
    else:
        return
    try:
        model.load_state_dict(split_states(load_weights(folder), card.architecture)[0])
    except RuntimeError as error:
        raise CheckpointMismatchError(
            Text("cryoet.other_network", path=str(folder), name=config.architecture)
        ) from error


def _fits(card: CheckpointCard, config: Config, particles: Sequence[Particle]) -> bool:
    """Tell whether a checkpoint has the network wanted, for the same kinds in the same order."""
    same_kinds = names(from_json(str(card.extra.get("particles", "")))) == names(particles)
    wanted = architecture_of(config, particles)
    return same_kinds and all(card.architecture.get(k) == v for k, v in wanted.items())


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


@dataclass
class _Spent:
    """Count what validation takes, and note the step that was scored last."""

    started: float = field(default_factory=time.monotonic)
    total_s: float = 0.0
    step: int = 0


class _Best:
    """Keep the weights that did best on the tomogram that the network does not learn from.

    With a handful of tomograms a network begins to know their noise by heart after some hundred
    steps, which costs most on the faintest particles.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._score = -1.0
        self.step = 0
        if path.is_file():
            with safe_open(path, "pt") as file:
                kept = file.metadata()
            self._score, self.step = float(kept["score"]), int(kept["step"])

    def offer(self, model: nn.Module, score: float, step: int) -> None:
        """Keep the weights of a step if none before were better."""
        if score >= self._score:
            self._score, self.step = score, step
            state = {n: t.detach().cpu().contiguous() for n, t in model.state_dict().items()}
            about = {"score": repr(score), "step": str(step)}
            write_bytes(self._path, to_bytes(state, metadata=about))

    def restore(self, model: nn.Module) -> None:
        """Load the best weights, if any were offered."""
        if self._path.is_file():
            model.load_state_dict(load_file(self._path))


@dataclass(frozen=True)
class _Validation:
    """Pick in one validation tomogram and score it, and draw its picks in one slab."""

    sample: Sample
    volume: np.ndarray[Any, np.dtype[np.float16]]
    particles: tuple[Particle, ...]
    config: Config
    run: RunReporter
    best: _Best
    spent: _Spent = field(default_factory=_Spent)

    def choose(self, outcome: Outcome) -> None:
        """Give a finished network its best weights.

        The last ones are scored whatever that takes: where scoring is slow, those of the first
        step were the only ones that had been scored, and came out as the best.
        """
        if outcome.ending == "finished" and self.spent.step != outcome.steps:
            figures = self._score(outcome.model, outcome.steps)
            place = {"step": outcome.steps, "elapsed_s": outcome.elapsed_s}
            self.run.metrics({**place, **figures})
        if self.spent.step * 2 >= outcome.steps:  # else nothing is known of what came after
            self.best.restore(outcome.model)

    @staticmethod
    def prepare(
        samples: Sequence[Sample],
        particles: tuple[Particle, ...],
        config: Config,
        run: RunReporter,
        best: _Best,
    ) -> _Validation | None:
        labelled = [s for s in samples if s.truth is not None]
        if not labelled:
            return None
        sample = require_volume(labelled[0])
        quick = dataclasses.replace(config, symmetries="none", overlap=0.1)
        return _Validation(sample, normalised(sample.image), particles, quick, run, best)

    def measure(self, model: nn.Module, step: int) -> Mapping[str, float]:
        """Score the weights of a step; nothing where scoring takes too much of the time."""
        started = time.monotonic()
        if self.spent.total_s > _SHARE_OF_VALIDATION * (started - self.spent.started):
            return {}
        figures = self._score(model, step)
        self.spent.total_s += time.monotonic() - started
        return figures

    def _score(self, model: nn.Module, step: int) -> Mapping[str, float]:
        device = next(model.parameters()).device
        ready = make_ready(model, device, is_heat=self.config.target == "gaussian")
        scores = predict_scores(
            [ready],
            self.volume,
            self.config,
            is_cancelled=lambda: self.run.stop_wish() is not None,
        )
        if self.run.stop_wish() is not None:
            return {}
        geometry = self.sample.meta["geometry"]
        picks = pick(scores, self.particles, geometry, self.config, experiment=self.sample.item_id)
        truth = cast("Truth", self.sample.truth)
        rows = metrics.measure(picks, truth.picks, self.particles, group=self.sample.group)
        self.best.offer(model, metrics.expected_score(rows), step)
        self.spent.step = step
        best = metrics.best_thresholds(rows)
        point = metrics.point(best, source="scored")
        figures = metrics.reduce_rows(rows, point)
        kept = picks.take(picks.scores >= np.array([best[k] for k in picks.kind_names()]))
        picture = slab_picture(self.volume, kept, truth.picks, self.particles, geometry)
        self.run.picture("slab", picture, Text("cryoet.slab_caption", step=step, f4=figures["f4"]))
        wanted = ("f4", *(f"f4_{name}" for name in names(self.particles)))
        return {n: figures[n] for n in wanted if np.isfinite(figures.get(n, np.nan))}
