"""Losses of two-class segmentation: cross entropy, plain or weighted, Dice, and their sum."""

from __future__ import annotations

from typing import Final, Literal, get_args

from torch import Tensor
from torch.nn import functional

from pipelines.errors import ConfigError
from pipelines.text import Text

LossName = Literal["weighted_ce", "ce", "dice", "ce_dice"]
LOSSES: Final[tuple[LossName, ...]] = get_args(LossName)
MEMBRANE, INSIDE = 0, 1  # class indices of the two channels


def segmentation_loss(
    logits: Tensor,
    inside: Tensor,
    weight: Tensor | None = None,
    *,
    kind: LossName,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the training loss of a batch.

    Args:
        logits: `(B, 2, H, W)` scores of membrane and inside, before the softmax.
        inside: `(B, H, W)` bool, True inside a cell.
        weight: `(B, H, W)` weights, at least 0; "weighted_ce" needs them, the other losses leave
            out pixels of weight 0 if weights are given, and ignore them otherwise.
        kind: Which loss.
        label_smoothing: Share of the truth that cross entropy spreads over both classes: annotators
            err by a pixel or two, and a network that is sure of that learns their hand.

    Returns:
        A scalar in float32, whatever the precision of `logits`.

    Raises:
        ConfigError: `kind` is none of the losses, or needs weights and got none.
    """
    if kind not in LOSSES:
        raise ConfigError(Text("em_train.loss_unknown", value=kind, allowed=", ".join(LOSSES)))
    if kind == "weighted_ce" and weight is None:
        raise ConfigError(Text("em_train.loss_no_weight"))
    logits = logits.float()
    counted = None if weight is None else (weight > 0).float()
    if kind == "dice":
        return dice_loss(logits, inside, counted)
    by_weight = weight if kind == "weighted_ce" else counted
    entropy = cross_entropy(logits, inside, by_weight, label_smoothing=label_smoothing)
    return entropy + dice_loss(logits, inside, counted) if kind == "ce_dice" else entropy


def cross_entropy(
    logits: Tensor, inside: Tensor, weight: Tensor | None = None, *, label_smoothing: float = 0.0
) -> Tensor:
    """Average the two-class cross entropy over the pixels, by their weights where given.

    Dividing by the sum of the weights keeps the learning rate's meaning when weights are scaled.
    """
    losses = functional.cross_entropy(
        logits, inside.long(), reduction="none", label_smoothing=label_smoothing
    )
    if weight is None:
        return losses.mean()
    return (losses * weight).sum() / weight.sum().clamp_min(1e-6)


def dice_loss(logits: Tensor, inside: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return one minus the soft Dice of the membrane class over the whole batch.

    One pixel is added above and below, so that a batch without any membrane scores 0 where the
    network rightly finds none.
    """
    found = logits.softmax(1)[:, MEMBRANE]
    wanted = (~inside.bool()).to(found.dtype)
    if counted is not None:
        found, wanted = found * counted, wanted * counted
    overlap, total = (found * wanted).sum(), found.sum() + wanted.sum()
    return 1 - (2 * overlap + 1) / (total + 1)


def inside_probability(logits: Tensor) -> Tensor:
    """Turn scores into the probability of being inside a cell.

    Args:
        logits: `(B, 2, H, W)` scores.

    Returns:
        `(B, H, W)` float32 in [0, 1].
    """
    return logits.float().softmax(1)[:, INSIDE]
