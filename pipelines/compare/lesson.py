"""A simulated class that tunes on its test set: what its best figure says, and what is true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.text import Text
from pipelines.views import Curve, CurveView

Floats = NDArray[np.float64]
_CLASSES: Final = 2000


@dataclass(frozen=True)
class TunedClass:
    """Hold what many simulated classes report after each look at the test set.

    Attributes:
        reported: `(T,)` mean of the best accuracy on the test set so far.
        low: `(T,)` what 5 of 100 classes stay below.
        high: `(T,)` what 5 of 100 classes exceed.
        true: `(T,)` mean true accuracy of the model that was best so far.
    """

    reported: Floats
    low: Floats
    high: Floats
    true: Floats


def simulate_class(
    num_items: int, num_tries: int, *, skill: float = 0.8, spread: float = 0.01, seed: int = 0
) -> TunedClass:
    """Let classes try models on one test set and keep the best, again and again.

    Every try is a model of about the same true accuracy; what differs on the test set is mostly
    chance, and the best of many tries is the luckiest one.

    Args:
        num_items: Items of the test set.
        num_tries: How often the test set is opened.
        skill: True accuracy around which the tries lie, in (0, 1).
        spread: Standard deviation of the true accuracies.
        seed: Seed of the simulation.
    """
    rng = np.random.default_rng(seed)
    truth = np.clip(rng.normal(skill, spread, (_CLASSES, num_tries)), 0.01, 0.99)
    seen = rng.binomial(num_items, truth) / num_items
    best = np.maximum.accumulate(seen, axis=1)
    chosen = np.maximum.accumulate(np.where(seen == best, np.arange(num_tries), 0), axis=1)
    low, high = np.quantile(best, [0.05, 0.95], axis=0)
    true = np.take_along_axis(truth, chosen, axis=1)
    return TunedClass(best.mean(axis=0), low, high, true.mean(axis=0))


def lesson_view(num_items: int, num_tries: int) -> CurveView:
    """Draw what a class reports and what is true, over the number of looks at the test set."""
    found = simulate_class(num_items, num_tries)
    tries = np.arange(1, num_tries + 1, dtype=np.float64)
    gap = float(found.reported[-1] - found.true[-1])
    return CurveView(
        Text("compare.lesson.title", n=num_tries, gap=gap),
        x_label=Text("compare.lesson.x"),
        y_label=Text("compare.lesson.y"),
        curves=(
            Curve(Text("compare.lesson.reported"), tries, found.reported, (found.low, found.high)),
            Curve(Text("compare.lesson.true"), tries, found.true, is_dashed=True),
        ),
        source=Text("compare.lesson.source", n=num_items, classes=_CLASSES),
    )
