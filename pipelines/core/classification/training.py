"""Train a network on labelled pictures with the shared loop, and keep the checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own pages use
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.contract import RunReporter
from pipelines.core import training as loop
from pipelines.core.checkpoints import CheckpointCard, save_checkpoint
from pipelines.core.classification.augment import (
    Augmentation,
    ColourScale,
    augment,
    measure_colours,
)
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.images import (
    LazyPicture,
    Pixels,
    decode_pictures,
    fit_square,
)
from pipelines.core.classification.networks import Classifier, NetworkPlan, build_network
from pipelines.core.classification.statistics import multiclass_auc
from pipelines.core.device import autocast, choose_device, num_usable_cores
from pipelines.core.seeding import torch_seeded
from pipelines.errors import DataError, DataFormatError
from pipelines.text import Text

HELD_BYTES: Final = 1_500_000_000
"""Pictures up to this size together are decoded once and held; more are decoded at each use."""
WORST_SHOWN: Final = 12
MOST_VALIDATED: Final = 4000
"""Validation pictures that the live curves are of; of more, as many, evenly spread."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """Name one labelled picture.

    Attributes:
        item_id: Its item.
        group: What it belongs to.
        label: Class index.
        image: The picture, decoded when it is needed.
    """

    item_id: str
    group: str
    label: int
    image: LazyPicture

    def pixels(self) -> Pixels:
        """Decode the picture."""
        return self.image.pixels()


class PictureSet:
    """Give square pictures by number: held in memory when they are few, else decoded each time."""

    def __init__(self, pictures: Sequence[Picture], side_px: int, crop_px: int) -> None:
        self.side_px, self.crop_px = side_px, crop_px
        self.problems: list[DataError] = []
        is_held = len(pictures) * side_px * side_px * 3 <= HELD_BYTES
        self._held: Array | None = None
        self.pictures = list(pictures)
        if is_held and pictures:
            self._hold()
        self.labels = np.array([p.label for p in self.pictures], np.int64)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Pixels:
        if self._held is not None:
            return cast("Pixels", self._held[index])
        picture = self.pictures[index]
        try:
            return fit_square(picture.pixels(), self.side_px, self.crop_px)
        except DataFormatError:
            # counted when it was listed; one broken file must not end hours of training
            return np.zeros((self.side_px, self.side_px, 3), np.uint8)

    def batch(self, indices: Sequence[int]) -> Array:
        """Stack pictures to `(B, H, W, 3)` uint8."""
        return np.stack([self[int(i)] for i in indices])

    def _hold(self) -> None:
        """Decode everything in parallel and drop what cannot be read."""
        held: list[Pixels] = []
        kept: list[Picture] = []
        decoded = decode_pictures([p.image for p in self.pictures])
        for picture, pixels in zip(self.pictures, decoded, strict=True):
            if isinstance(pixels, DataFormatError):
                self.problems.append(pixels)
                continue
            held.append(fit_square(pixels, self.side_px, self.crop_px))
            kept.append(picture)
        self.pictures = kept
        self._held = np.stack(held) if held else None


@dataclass(frozen=True)
class TrainingJob:
    """Hold what a training needs.

    Attributes:
        task_id: Task that it is for.
        classes: Class names.
        train: Pictures to fit.
        validation: Pictures for curves; may be empty.
        config: The options.
        has_centre: Whether the network also looks at the centre on its own.
        border: What stands outside of a picture that is moved: "mirror" or "black".
    """

    task_id: str
    classes: tuple[str, ...]
    train: PictureSet
    validation: PictureSet
    config: ClassificationConfig
    has_centre: bool = True
    border: str = "mirror"


def train_network(job: TrainingJob, run: RunReporter) -> Path:
    """Train until the epochs or the time are over, and write the checkpoint into the run's folder.

    Raises:
        DataFormatError: Fewer than two classes to learn from.
        ConfigError: A network that does not fit.
        ComputeError: No such device, no memory, or a loss that is not a number.
    """
    check_classes(job)
    config = job.config
    with torch_seeded(config.seed):
        network, note = build_network(network_plan(job))
    if note is not None:
        run.note(note)
    if config.freeze:
        freeze_backbone(network)
    device = choose_device(cast("Any", config.device))
    scale = measure_colours(job.train.batch(_some(len(job.train), 500)))
    monitor = Monitor(job, scale, device, run)
    outcome = loop.fit(
        loop.Work(
            network,
            batch_maker(job, scale),
            lambda model, batch: soft_cross_entropy(model(batch["x"]), batch["y"], monitor.weights),
            monitor.validate,
            num_threads=max(1, min(4, num_usable_cores() - 1)),
        ),
        make_plan(config, len(job.train)),
        device=device,
        run=monitor,
        state_file=run.folder / "training_state.safetensors",
    )
    model = monitor.best_model(cast("Classifier", outcome.model))
    return _save(job, model, scale, outcome, run.folder / "checkpoint", str(device))


def check_classes(job: TrainingJob) -> None:
    """Refuse to train on nothing or on one class.

    Raises:
        DataFormatError: In both cases.
    """
    present = np.unique(job.train.labels)
    if not len(present):
        raise DataFormatError(Text("classes.nothing_to_learn"))
    if len(present) < 2:
        raise DataFormatError(Text("classes.one_class", name=job.classes[int(present[0])]))


def network_plan(job: TrainingJob) -> NetworkPlan:
    """Say which network the options ask for."""
    config = job.config
    return NetworkPlan(
        config.network, config.timm_name, len(job.classes), config.image_px, config.width,
        job.has_centre, config.dropout, config.pretrained,
    )  # fmt: skip


def make_plan(config: ClassificationConfig, num_train: int) -> loop.Plan:
    """Turn the options into limits and rates of the shared loop."""
    steps_of_epoch = max(1, num_train // config.batch_size)
    total = steps_of_epoch * config.epochs
    warmup = total // 5 if config.schedule == "one_cycle" else min(50, total // 10)
    return loop.Plan(
        time_limit_s=config.time_limit_s or math.inf,
        max_steps=total,
        learning_rate=config.learning_rate,
        warmup_steps=max(1, warmup),
        weight_decay=config.weight_decay,
        ema_decay=config.averaging,
        clip_norm=1.0,
        precision="auto" if config.mixed_precision else "full",
        validate_every_s=15.0,
        optimizer=cast("Any", config.optimizer),
    )


def augmentation_of(config: ClassificationConfig, border: str) -> Augmentation:
    """Return the random changes that the options ask for."""
    return Augmentation(
        config.flip, config.rotation, config.scale, config.shift_px, config.stain,
        config.brightness, config.grey, border,
    )  # fmt: skip


def batch_maker(job: TrainingJob, scale: ColourScale) -> Callable[[int], loop.Batch]:
    """Return the function that makes batch `step`, a function of seed and step alone."""
    config, count = job.config, len(job.train)
    changes = augmentation_of(config, job.border)
    order = EpochOrder(job.train, config)
    num_classes = len(job.classes)

    def make(step: int) -> loop.Batch:
        rng = np.random.default_rng((config.seed, step))
        rows = order.rows(step)
        pictures = np.stack([augment(job.train[int(i)], changes, rng) for i in rows])
        x = scale.apply(pictures)
        y = one_hot(job.train.labels[rows], num_classes, config.label_smoothing)
        if config.mixup:
            x, y = mix(x, y, config.mixup, rng)
        return {"x": torch.from_numpy(x), "y": torch.from_numpy(y)}

    assert count
    return make


class EpochOrder:
    """Say which pictures make batch `step`: every picture once an epoch, in a new order."""

    def __init__(self, pictures: PictureSet, config: ClassificationConfig) -> None:
        self._count, self._size, self._seed = len(pictures), config.batch_size, config.seed
        self._size = min(self._size, self._count)
        self._shares = _equal_group_shares(pictures) if config.group_balance else None

    def rows(self, step: int) -> Array:
        """Return the numbers of the pictures of a batch."""
        if self._shares is not None:
            rng = np.random.default_rng((self._seed, 1, step))
            return rng.choice(self._count, self._size, p=self._shares)
        epoch, place = divmod(step, max(1, self._count // self._size))
        order = np.random.default_rng((self._seed, 2, epoch)).permutation(self._count)
        return cast("Array", order[place * self._size : (place + 1) * self._size])


def _equal_group_shares(pictures: PictureSet) -> Array:
    """Give every class the same weight, and within it every group, however many pictures it has."""
    labels = pictures.labels
    groups = np.array([p.group for p in pictures.pictures])
    shares = np.zeros(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        _, inverse, counts = np.unique(groups[members], return_inverse=True, return_counts=True)
        # the square root: a subject of five cells must not weigh as much as one of fifty
        weights = np.sqrt(counts) / counts
        shares[members] = weights[inverse] / np.sqrt(counts).sum()
    return np.asarray(shares / shares.sum())


def one_hot(labels: Array, num_classes: int, smoothing: float) -> Array:
    """Return `(B, C)` float32 targets, a share `smoothing` spread over all classes."""
    target = np.full((len(labels), num_classes), smoothing / num_classes, np.float32)
    target[np.arange(len(labels)), labels] += np.float32(1 - smoothing)
    return target


def mix(x: Array, y: Array, strength: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Blend each picture and target with another one of the batch (mixup, Zhang 2018)."""
    share = np.float32(rng.beta(strength, strength))
    other = rng.permutation(len(x))
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


def soft_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean cross entropy of `(B, C)` logits against soft targets."""
    losses = -target * F.log_softmax(logits.float(), dim=1)
    if weights is not None:
        losses = losses * weights.to(losses.device)
    return losses.sum(1).mean()


def class_weights(labels: Array, num_classes: int) -> Tensor:
    """Return weights that make every class count the same; 1 on average over the items."""
    counts = np.bincount(labels, minlength=num_classes).astype(np.float64)
    weights = np.where(counts > 0, len(labels) / (max(1, (counts > 0).sum()) * counts.clip(1)), 0)
    return torch.tensor(weights, dtype=torch.float32)


def freeze_backbone(network: Classifier) -> None:
    """Leave only the last linear layer trainable."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for module in list(network.modules())[::-1]:
        if isinstance(module, nn.Linear):
            module.requires_grad_(requires_grad=True)
            return


class Monitor:
    """Pass reports on, measure the validation part, keep the best weights, and stop early."""

    def __init__(
        self, job: TrainingJob, scale: ColourScale, device: torch.device, run: RunReporter
    ) -> None:
        self._job, self._scale, self._device, self._run = job, scale, device, run
        self._best: dict[str, Tensor] | None = None
        self._best_auc, self._since_best = -math.inf, 0
        self._rows = _some(len(job.validation), MOST_VALIDATED)
        config = job.config
        self.weights = (
            class_weights(job.train.labels, len(job.classes)).to(device)
            if config.class_weights
            else None
        )

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Pass the progress on."""
        self._run.progress(done, total, stage, seconds_left)

    def metrics(self, values: Mapping[str, float]) -> None:
        """Pass a point of the curves on."""
        self._run.metrics(values)

    def stop_wish(self) -> Literal["pause", "stop"] | None:
        """Tell the person's wish, or that the validation score no longer rises."""
        wish = self._run.stop_wish()
        if wish is None and 0 < self._job.config.patience <= self._since_best:
            return "stop"
        return wish

    def validate(self, model: nn.Module, step: int) -> Mapping[str, float]:
        """Measure AUC, accuracy and loss on the validation part, and show its worst pictures."""
        if not self._rows:
            return {}
        held_out = self._job.validation
        probabilities = predict_set(
            cast("Classifier", model), held_out, self._scale, self._device, self._rows
        )
        truth = held_out.labels[self._rows]
        chosen = probabilities[np.arange(len(truth)), truth].clip(1e-7)
        auc = multiclass_auc(truth, probabilities)
        self._keep_best(model, auc)
        show_worst(self._run, held_out, self._rows, chosen, Text("classes.worst", step=step))
        return {
            "auc": auc,
            "accuracy": float((probabilities.argmax(1) == truth).mean()),
            "validation_loss": float(-np.log(chosen).mean()),
        }

    def best_model(self, last: Classifier) -> Classifier:
        """Return the weights of the best validation when training stops early, else the last."""
        if self._best is not None and self._job.config.patience:
            last.load_state_dict(self._best)
        return last

    def _keep_best(self, model: nn.Module, auc: float) -> None:
        if not self._job.config.patience:
            return
        if auc > self._best_auc:
            self._best_auc, self._since_best = auc, 0
            self._best = {n: t.detach().clone() for n, t in model.state_dict().items()}
        else:
            self._since_best += 1


def show_worst(
    run: RunReporter, pictures: PictureSet, rows: Sequence[int], chosen: Array, caption: Text
) -> None:
    """Report the pictures whose true class got the least probability.

    Args:
        run: Takes the picture.
        pictures: Where they are from.
        rows: Numbers of the pictures that were predicted.
        chosen: Probability of the true class of each of them.
        caption: What stands under the picture.
    """
    tiles = pictures.batch([rows[int(i)] for i in np.argsort(chosen)[:WORST_SHOWN]])
    lines = [np.concatenate(list(row), axis=1) for row in np.array_split(tiles, 2) if len(row)]
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0))) for line in lines]
    run.picture("worst", np.concatenate(padded), caption)


@torch.no_grad()
def predict_set(
    model: Classifier,
    pictures: PictureSet,
    scale: ColourScale,
    device: torch.device,
    rows: Sequence[int] | None = None,
) -> Array:
    """Return `(N, C)` float64 probabilities of pictures, all or some, without test-time changes."""
    chosen = list(range(len(pictures)) if rows is None else rows)
    found: list[Array] = []
    for start in range(0, len(chosen), 64):
        x = torch.from_numpy(scale.apply(pictures.batch(chosen[start : start + 64]))).to(device)
        x = x.contiguous(memory_format=torch.channels_last)
        with autocast(device):
            logits = model(x)
        found.append(logits.float().softmax(1).cpu().numpy().astype(np.float64))
    return np.concatenate(found)


def _some(count: int, most: int) -> list[int]:
    return [int(i) for i in np.linspace(0, count - 1, min(count, most)).astype(int)]


def _save(
    job: TrainingJob,
    model: Classifier,
    scale: ColourScale,
    outcome: loop.Outcome,
    folder: Path,
    device: str,
) -> Path:
    plan = dataclasses.replace(network_plan(job), is_pretrained=False)
    card = CheckpointCard(
        task_id=job.task_id,
        architecture={"kind": "network", **dataclasses.asdict(plan)},
        config=_plain(job.config),
        seed=job.config.seed,
        num_parameters=sum(p.numel() for p in model.parameters()),
        device=device,
        seconds=outcome.elapsed_s,
        steps=outcome.steps,
        extra={
            "classes": list(job.classes),
            "colour_mean": list(scale.mean),
            "colour_spread": list(scale.spread),
            "crop_px": job.config.crop_px,
            "num_train": len(job.train),
            "train_classes": np.bincount(job.train.labels, minlength=len(job.classes)).tolist(),
        },
    )
    return save_checkpoint(folder, model.state_dict(), card)


def _plain(config: ClassificationConfig) -> dict[str, Any]:
    from pipelines.config import to_json

    return to_json(config)
