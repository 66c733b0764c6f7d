"""Pair targets against a slow loop, and the pair loss against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from pipelines.tasks.em_membrane.pairs import OFFSETS_YX, pair_loss, pair_targets


def _inside():
    inside = ndimage.gaussian_filter(np.random.default_rng(2).random((24, 20)), 1.5) > 0.5
    assert ndimage.label(inside)[1] >= 3
    return inside


@pytest.mark.parametrize("stem", [1, 2])
def test_pair_targets_equal_a_loop_over_pixels(stem):
    inside = _inside()
    cells, _ = ndimage.label(inside)
    targets = pair_targets(inside, num_pairs=8, stem=stem)
    H, W = inside.shape
    assert targets.shape == (8 * stem**2, H // stem, W // stem)
    for k, (dy, dx) in enumerate(OFFSETS_YX):
        for y in range(H):
            for x in range(W):
                there = (y + dy, x + dx)
                is_within = 0 <= there[0] < H and 0 <= there[1] < W
                expected = is_within and inside[y, x] and cells[there] == cells[y, x]
                channel = (k * stem + y % stem) * stem + x % stem
                assert targets[channel, y // stem, x // stem] == expected


def test_blocks_have_the_order_that_pixel_shuffle_undoes():
    inside = _inside()
    blocks = torch.from_numpy(pair_targets(inside, num_pairs=3, stem=2)).float()[None]
    flat = pair_targets(inside, num_pairs=3, stem=1)
    torch.testing.assert_close(
        torch.nn.functional.pixel_shuffle(blocks, 2)[0], torch.from_numpy(flat).float()
    )


def test_two_cells_and_the_membrane_between_them():
    inside = np.ones((4, 20), bool)
    inside[:, 9] = False
    left = pair_targets(inside, num_pairs=3, stem=1)[2]  # four columns to the left
    np.testing.assert_array_equal(left[0], [0] * 4 + [1] * 5 + [0] * 5 + [1] * 6)


def test_pair_loss_is_torchs_binary_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 4, 5, 5, generator=generator) * 5
    targets = (torch.rand(2, 4, 5, 5, generator=generator) > 0.5).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets)
    torch.testing.assert_close(pair_loss(scores, targets), expected)
