"""Train a membrane network: sections to patches, patches to steps, and a look at the result.

`train_segmentation` knows neither files nor pages: sections come in as arrays, what is worth seeing
goes to a reporter.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipelines.core.device import Precision
from pipelines.core.seeding import rng_at, torch_seeded
from pipelines.core.training import Batch, Outcome, Plan, Reporter, Work, fit
from pipelines.errors import DataError
from pipelines.tasks.em_membrane import metrics
from pipelines.tasks.em_membrane.augment import Augmented, Section, augment
from pipelines.tasks.em_membrane.config import Config
from pipelines.tasks.em_membrane.infer import finish, predict_sections, standardise
from pipelines.tasks.em_membrane.loss import (
    LossName,
    cross_entropy,
    inside_probability,
    segmentation_loss,
)
from pipelines.tasks.em_membrane.model import UNet, build_model
from pipelines.tasks.em_membrane.pairs import pair_loss, pair_targets
from pipelines.tasks.em_membrane.weight_map import unet_weight_map
from pipelines.text import Text

STATE_FILE: Final = "training_state.safetensors"
_LARGEST_RESERVE: Final = 0.15  # of the time limit
_LIVE_SIDE_PX: Final = 1024  # of a larger section only the middle is validated while training


class PictureReporter(Reporter, Protocol):
    """The part of `contract.RunReporter` that the training needs."""

    def picture(self, name: str, pixels: npt.NDArray[Any], caption: Text) -> None:
        """Keep one picture of a series."""

    def note(self, text: Text) -> None:
        """Tell the person something that does not stop the work."""


@dataclass(frozen=True)
class LabelledSection:
    """Hold one section with its truth.

    Attributes:
        item_id: Its name.
        image: `(H, W)` grey values of any type and range.
        inside: `(H, W)` bool, True inside a cell.
    """

    item_id: str
    image: npt.NDArray[Any]
    inside: npt.NDArray[np.bool_]


def train_segmentation(
    sections: Sequence[LabelledSection],
    validation: Sequence[LabelledSection],
    config: Config,
    *,
    device: torch.device,
    run: PictureReporter,
    folder: Path | None = None,
) -> Outcome:
    """Train a network on sections, within a limit that counts the scoring that follows as well.

    Args:
        sections: What the weights are fitted to; at least one.
        validation: What is predicted and scored afterwards, by the caller: time is kept free for
            it. The first one gives curves and pictures; without any the first training section.
        config: How.
        device: Where to compute.
        run: Takes what is reported.
        folder: Where the state is kept; one that is there is continued. None keeps nothing.

    Raises:
        DataError: There is no section to train on.
    """
    start = time.monotonic()
    if not sections:
        raise DataError(Text("em_train.no_sections"))
    cv2.setNumThreads(1)  # its own threads would fight with torch's for the cores
    model = build_model(config, seed=config.seed, note=run.note)
    maker = BatchMaker([prepare(s, config) for s in sections], config)
    viewer = LiveView([*validation, *sections][0], config, device, run)
    reserve_s = scoring_reserve_s(model, validation, config, device)
    spent_s = time.monotonic() - start
    plan = dataclasses.replace(plan_of(config), reserve_s=reserve_s + spent_s)
    with torch_seeded(config.seed):  # dropout draws from torch's own state
        return fit(
            Work(model, maker.make, lambda m, b: batch_loss(m, b, config), viewer.validate),
            plan,
            device=device,
            run=run,
            state_file=None if folder is None else folder / STATE_FILE,
        )


class BatchMaker:
    """Make batch number `step` from prepared sections; the same step gives the same batch."""

    def __init__(self, sections: Sequence[Section], config: Config) -> None:
        self._sections = sections
        self._config = config

    def make(self, step: int) -> dict[str, Tensor]:
        """Draw the samples of a step.

        Returns:
            "image" `(B, 1, P, P)` float32 standardised, "inside" `(B, P, P)` bool, and, where the
            options ask for them, "weight" `(B, P, P)` float32 and "pairs" (see `pair_targets`).
        """
        samples = [self._sample(step, index) for index in range(self._config.batch_size)]
        batch = {
            "image": _stack([image for image, _ in samples])[:, None],
            "inside": _stack([s.mask for _, s in samples]),
        }
        weights = [s.weight for _, s in samples if s.weight is not None]
        if weights:
            batch["weight"] = _stack(weights)
        config = self._config
        if config.num_affinities and config.architecture == "unet":
            pairs = [
                pair_targets(s.mask, num_pairs=config.num_affinities, stem=config.stem)
                for _, s in samples
            ]
            batch["pairs"] = _stack(pairs).contiguous(memory_format=torch.channels_last)
        return batch

    def _sample(self, step: int, index: int) -> tuple[npt.NDArray[np.float32], Augmented]:
        rng = rng_at(self._config.seed, step, index)
        section = self._sections[int(rng.integers(len(self._sections)))]
        sample = augment(section, self._config, rng)
        return (sample.image - np.float32(section.mean)) / np.float32(section.std), sample


def prepare(section: LabelledSection, config: Config) -> Section:
    """Bring a section into the form that samples are drawn from."""
    weight = None
    if config.loss == "weighted_ce":
        weight = unet_weight_map(section.inside, w0=config.w0, sigma_px=config.sigma_px)
    elif config.fill == "constant":  # what lies beyond the edge then weighs nothing
        weight = np.ones(section.inside.shape, np.float32)
    return Section.of(standardise(section.image, config), section.inside, weight)


def batch_loss(model: nn.Module, batch: Batch, config: Config) -> Tensor:
    """Compute the loss of a batch: that of the classes and, with that head, that of the pairs."""
    pairs = None
    if isinstance(model, UNet):
        scores, pairs = model.training_scores(batch["image"])
    else:
        scores = model(batch["image"])
    loss = segmentation_loss(
        scores,
        batch["inside"],
        batch.get("weight"),
        kind=cast(LossName, config.loss),
        label_smoothing=config.label_smoothing,
    )
    return loss if pairs is None else loss + config.pair_share * pair_loss(pairs, batch["pairs"])


def plan_of(config: Config) -> Plan:
    """Say how long and how fast to train."""
    return Plan(
        time_limit_s=config.time_limit_s,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        precision=cast(Precision, config.precision),
        validate_every_s=config.validate_every_s,
    )


class LiveView:
    """Look at one fixed section while the training goes on."""

    def __init__(
        self,
        section: LabelledSection,
        config: Config,
        device: torch.device,
        run: PictureReporter,
    ) -> None:
        window = tuple(_middle(side, config.multiple) for side in section.image.shape)
        self._image = standardise(section.image, config)[window]
        self._inside = section.inside[window]
        self._item_id = section.item_id
        self._device, self._run = device, run
        self._multiple = config.multiple

    def validate(self, model: nn.Module, step: int) -> Mapping[str, float]:
        """Score the section, keep its probability as a picture, return the figures."""
        probability = self._predict(model)
        rows = metrics.measure(probability[None], self._inside[None], LIVE_THRESHOLDS)
        best = metrics.score(rows, metrics.best_threshold(rows))
        caption = Text(
            "em_train.live_picture", section=self._item_id, step=step, v_rand=best["v_rand"]
        )
        self._run.picture("validation", np.round(probability * 255).astype(np.uint8), caption)
        picked = {name: best[name] for name in ("v_rand", "v_info", "dice")}
        return {"validation_loss": self._loss(probability), **picked}

    def _predict(self, model: nn.Module) -> npt.NDArray[np.float32]:
        H, W = self._image.shape
        pad = [(0, -side % self._multiple) for side in (H, W)]
        image = np.pad(self._image, pad, mode="symmetric")
        with torch.inference_mode():
            scores = model(torch.from_numpy(image)[None, None].to(self._device))
            return np.asarray(inside_probability(scores)[0, :H, :W].cpu().numpy())

    def _loss(self, probability: npt.NDArray[np.float32]) -> float:
        inside = torch.from_numpy(probability).clamp(1e-6, 1 - 1e-6)
        scores = torch.stack([(1 - inside).log(), inside.log()])[None]
        return float(cross_entropy(scores, torch.from_numpy(self._inside)[None]))


LIVE_THRESHOLDS: Final = np.round(np.linspace(0.1, 0.98, 23), 2)


def scoring_reserve_s(
    model: nn.Module,
    validation: Sequence[LabelledSection],
    config: Config,
    device: torch.device,
) -> float:
    """Estimate how long the final look at the validation sections takes, from one of them.

    What follows the network is timed on the blurred truth: the map of a network that has not
    learnt yet is noise, whose thousands of regions take many times longer than those of cells.

    Returns:
        Seconds, at most `_LARGEST_RESERVE` of the time limit: a training must not starve for the
        sake of its measurement, however many sections were set aside.
    """
    if not validation:
        return 0.0
    section, start = validation[0], time.monotonic()
    predict_sections(model, [section.image], dataclasses.replace(config, close_gaps=False), device)
    blurred = cv2.GaussianBlur(section.inside.astype(np.float32), (0, 0), 2.0)
    metrics.measure(finish(np.clip(blurred, 0, 1), config)[None], section.inside[None])
    wanted_s = 1.1 * (time.monotonic() - start) * len(validation)
    return min(wanted_s, _LARGEST_RESERVE * config.time_limit_s)


def _middle(side: int, multiple: int) -> slice:
    """Return the middle of a side, at most `_LIVE_SIDE_PX` long."""
    length = min(side, _LIVE_SIDE_PX // multiple * multiple)
    return slice((side - length) // 2, (side - length) // 2 + length)


def _stack(arrays: Sequence[npt.NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
