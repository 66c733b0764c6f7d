"""Randomness as a function of a seed and a place, so that a resumed run draws what it would have.

No function here touches a global state for longer than its own block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def rng_at(seed: int, *place: int) -> np.random.Generator:
    """Return the generator that belongs to a seed and a place (step, item, ...).

    Args:
        seed: Seed of the run, at least 0.
        place: Numbers that name the place, at least 0. Generators of different places are
            independent of one another.
    """
    return np.random.default_rng([seed, *place])


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Seed torch within the block and put its former state back afterwards.

    torch's initialisers draw from the global generator only; this keeps the choice local.
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
