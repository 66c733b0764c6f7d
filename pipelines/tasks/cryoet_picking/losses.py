"""Losses for sparse particles: weighted cross entropy, Tversky, and a focal loss of heat maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.patches import IGNORED

_EPSILON = 1e-4


def kind_weights(particles: Sequence[Particle], config: Config) -> Tensor:
    """Return `(K,)` weights of the kinds: hard ones (weight above 1) count `hard_kind_weight`."""
    return torch.tensor([config.hard_kind_weight if p.weight > 1 else 1.0 for p in particles])


def loss_of(logits: Tensor, target: Tensor, weights: Tensor, config: Config) -> Tensor:
    """Compute the loss that the configuration names.

    Args:
        logits: `(B, K + 1, Z, Y, X)` for spheres, `(B, K, Z, Y, X)` for Gaussian targets.
        target: `(B, Z, Y, X)` int64 labels, or `(B, K, Z, Y, X)` float32 heat.
        weights: `(K,)` weights of the kinds.
        config: Kind of loss and its numbers.
    """
    logits = logits.float()
    if config.target == "gaussian":
        return heat_loss(logits, target, weights)
    classes = torch.cat([weights.new_tensor([config.background_weight]), weights])
    total = logits.new_zeros(())
    if config.loss != "tversky":
        total = total + functional.cross_entropy(logits, target, classes, ignore_index=IGNORED)
    if config.loss != "ce":
        total = total + tversky_loss(logits, target, weights, beta=config.tversky_beta)
    return total


def tversky_loss(logits: Tensor, target: Tensor, weights: Tensor, *, beta: float) -> Tensor:
    """Return 1 - the weighted mean Tversky index of the kinds, summed over the batch.

    The index is `TP / (TP + (1 - beta) FP + beta FN)` on soft counts; `beta` above one half
    punishes what is missed more than what is invented, as F4 does. A kind that the batch lacks is
    left out: its index would be 0 whatever the network says.
    """
    probabilities = logits.softmax(1)
    num_kinds = len(weights)
    is_known = (target != IGNORED).unsqueeze(1)
    is_kind = functional.one_hot(target.clamp_min(0), num_kinds + 1)[..., 1:].movedim(-1, 1)
    probabilities = probabilities[:, 1:] * is_known
    axes = (0, 2, 3, 4)
    size = is_kind.sum(axes).float()
    hit = (probabilities * is_kind).sum(axes)
    false = probabilities.sum(axes) - hit
    missed = size - hit
    index = (hit + _EPSILON) / (hit + (1 - beta) * false + beta * missed + _EPSILON)
    present = weights * (size > 0)
    return ((1 - index) * present).sum() / present.sum().clamp_min(_EPSILON)


def heat_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the focal loss of heat maps (CornerNet, Law and Deng 2018, equation 1).

    Voxels near a centre are punished less for a high answer, by `(1 - heat) ** 4`. Summed and
    divided by the number of centres, so that empty patches add only what they invent.
    """
    probability = logits.sigmoid().clamp(_EPSILON, 1 - _EPSILON)
    is_known = target >= 0
    is_top = target >= 0.8  # the top seldom lies on a voxel's centre
    hit = (1 - probability) ** 2 * probability.log() * is_top
    other = (1 - target) ** 4 * probability**2 * (1 - probability).log() * ~is_top * is_known
    per_kind = -(hit + other).sum((0, 2, 3, 4))
    total: Tensor = (per_kind * weights).sum() / is_top.sum().clamp_min(8)
    return total
