"""Losses against values worked out by hand and against their own laws."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.tasks.em_membrane.loss import (
    LOSSES,
    cross_entropy,
    dice_loss,
    inside_probability,
    segmentation_loss,
)


def _logits(*probabilities: float) -> torch.Tensor:
    """Return `(1, 2, 1, W)` scores whose softmax gives these probabilities of being inside."""
    p = torch.tensor(probabilities).reshape(1, 1, 1, -1)
    return torch.cat([(1 - p).log(), p.log()], 1)


INSIDE = torch.tensor([[[True, False]]])


def test_cross_entropy_is_minus_the_log_of_the_right_class():
    loss = cross_entropy(_logits(0.8, 0.4), INSIDE)
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, rel=1e-6)


def test_weights_shift_cross_entropy_to_the_heavy_pixel_and_their_scale_does_not_matter():
    weight = torch.tensor([[[3.0, 1.0]]])
    expected = -(3 * math.log(0.8) + math.log(0.6)) / 4
    for scale in (1, 7):
        loss = segmentation_loss(_logits(0.8, 0.4), INSIDE, weight * scale, kind="weighted_ce")
        assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_dice_by_hand():
    # membrane found 0.2 and 0.6, wanted 0 and 1
    loss = dice_loss(_logits(0.8, 0.4), INSIDE)
    assert loss.item() == pytest.approx(1 - (2 * 0.6 + 1) / (0.8 + 1 + 1), rel=1e-6)


def test_ce_dice_is_the_sum_of_its_parts():
    logits = _logits(0.7, 0.1)
    parts = cross_entropy(logits, INSIDE) + dice_loss(logits, INSIDE)
    assert torch.equal(segmentation_loss(logits, INSIDE, kind="ce_dice"), parts)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_perfect_answer_costs_nothing_and_a_wrong_one_does(kind):
    weight = torch.ones(1, 1, 2)
    right = segmentation_loss(_logits(1 - 1e-6, 1e-6), INSIDE, weight, kind=kind)
    wrong = segmentation_loss(_logits(0.3, 0.7), INSIDE, weight, kind=kind)
    assert right.item() == pytest.approx(0, abs=1e-5)
    assert wrong.item() > 0.3


@pytest.mark.parametrize("kind", LOSSES)
def test_a_pixel_of_weight_zero_has_no_say(kind):
    weight = torch.tensor([[[1.0, 0.0]]])
    losses = [
        segmentation_loss(_logits(0.8, p), INSIDE, weight, kind=kind).item() for p in (0.1, 0.9)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_are_finite_when_a_class_is_absent_and_when_nothing_counts(kind):
    for inside, weight in ((torch.ones(1, 4, 4), 1.0), (torch.zeros(1, 4, 4), 0.0)):
        logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
        weights = torch.full((1, 4, 4), weight)
        segmentation_loss(logits, inside.bool(), weights, kind=kind).backward()
        assert torch.isfinite(logits.grad).all()


def test_half_precision_scores_are_summed_in_float32():
    logits = _logits(0.8, 0.4).bfloat16()
    assert segmentation_loss(logits, INSIDE, kind="ce_dice").dtype == torch.float32


def test_unknown_loss_is_refused_with_the_allowed_names():
    with pytest.raises(ConfigError, match="weighted_ce"):
        segmentation_loss(_logits(0.5, 0.5), INSIDE, kind="focal")


def test_weighted_loss_without_weights_is_refused():
    with pytest.raises(ConfigError):
        segmentation_loss(_logits(0.5, 0.5), INSIDE, kind="weighted_ce")


def test_probability_is_that_of_the_second_channel():
    torch.testing.assert_close(inside_probability(_logits(0.8, 0.4)), torch.tensor([[[0.8, 0.4]]]))


def test_label_smoothing_spreads_that_share_over_both_classes():
    loss = segmentation_loss(_logits(0.8, 0.4), INSIDE, kind="ce", label_smoothing=0.1)
    first = -(0.95 * math.log(0.8) + 0.05 * math.log(0.2))
    second = -(0.95 * math.log(0.6) + 0.05 * math.log(0.4))
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)
