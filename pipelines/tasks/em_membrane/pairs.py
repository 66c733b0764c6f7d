"""Pairs of pixels: what the second head learns, and why a network that learns it merges less.

A gap of one pixel in a membrane costs cross entropy next to nothing and V_Rand two whole cells. For
a pair of pixels a few steps apart "in one cell or not" changes for all pairs across that gap, so
the same gap costs much. The head is dropped after the training (Lee 2017, Wolf 2018 predict pairs;
here they only teach).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from pipelines.tasks.em_membrane.cells import label_components

# (rows, columns): neighbours, then about one and two membrane widths away at 4 nm a pixel
OFFSETS_YX: Final = ((0, -1), (-1, 0), (0, -4), (-4, 0), (-9, 0), (0, -9), (-9, -9), (9, -9))


def pair_targets(
    inside: npt.NDArray[np.bool_], *, num_pairs: int, stem: int
) -> npt.NDArray[np.uint8]:
    """Say for each pixel whether it lies in one cell with the pixel at each offset.

    Args:
        inside: `(H, W)` bool, True inside a cell; cells are its 4-connected components.
        num_pairs: How many of `OFFSETS_YX`, from the first.
        stem: Side of the pixel blocks that become channels.

    Returns:
        `(num_pairs x stem^2, H / stem, W / stem)` uint8, 1 for "in one cell"; the pixel at row `i`
        and column `j` of a block, for offset `k`, stands in channel `(k x stem + i) x stem + j`.
        A partner beyond the edge counts as not in the cell.
    """
    cells = label_components(inside)
    H, W = cells.shape
    same = np.zeros((num_pairs, H, W), np.uint8)
    for k, (dy, dx) in enumerate(OFFSETS_YX[:num_pairs]):
        here, there = (_overlap(H, dy), _overlap(W, dx)), (_overlap(H, -dy), _overlap(W, -dx))
        same[k][here] = (cells[here] == cells[there]) & inside[here]
    blocks = same.reshape(num_pairs, H // stem, stem, W // stem, stem)
    return blocks.transpose(0, 2, 4, 1, 3).reshape(-1, H // stem, W // stem)


def pair_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Average the binary cross entropy over all pairs, in float32.

    Args:
        scores: `(B, C, h, w)` scores of "in one cell".
        targets: `(B, C, h, w)` 0 or 1.
    """
    scores = scores.float()
    return (functional.softplus(scores) - scores * targets).mean()


def _overlap(side: int, shift: int) -> slice:
    """Return where an index has a partner at `index + shift` within `side`."""
    return slice(max(0, -shift), side - max(0, shift))
