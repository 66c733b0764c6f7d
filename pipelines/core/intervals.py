"""Say how sure a figure is: percentile bootstrap over groups or items, for any metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["group", "item", ""]
Measure = Callable[[NDArray[np.intp]], Mapping[str, float]]

ROUNDS: Final = 500
"""Resamplings: the bounds themselves then move by about a tenth of the interval's width."""
FEWEST_UNITS: Final = 5
"""With fewer units the resamplings are too few different ones to mean anything."""


def choose_unit(groups: NDArray[Any], items: NDArray[Any]) -> Unit:
    """Return what is to be resampled: groups if there are enough of them, else items.

    Items of one group (sections of a specimen, cells of a subject) resemble one another. Where
    items have to be resampled for lack of groups, the interval holds for other items of these
    groups and not for other groups; whoever shows it says so.

    Args:
        groups: `(R,)` group of each row.
        items: `(R,)` item of each row.

    Returns:
        "" where there are too few of either, so that no interval can be given.
    """
    if len(np.unique(groups)) >= FEWEST_UNITS:
        return "group"
    return "item" if len(np.unique(items)) >= FEWEST_UNITS else ""


def bootstrap(
    units: NDArray[Any],
    measure: Measure,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    share: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Return the bounds of figures under resampling of units (percentile method).

    Args:
        units: `(R,)` unit of each row: what is drawn with replacement, with all its rows.
        measure: From row numbers, repeats included, to figures.
        rounds: Resamplings.
        seed: Seed of the draws; the same seed gives the same bounds.
        share: Share of the resamplings inside the bounds.

    Returns:
        Figure to lower and upper bound; a figure that fewer than half of the rounds define is left
        out.
    """
    rows_of = _rows_of_units(units)
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(rounds):
        chosen = rng.integers(0, len(rows_of), len(rows_of))
        for name, value in measure(np.concatenate([rows_of[i] for i in chosen])).items():
            drawn.setdefault(name, []).append(value)
    tail = 50 * (1 - share)
    bounds = {}
    for name, values in drawn.items():
        defined = [v for v in values if np.isfinite(v)]
        if 2 * len(defined) >= rounds:
            low, high = np.percentile(defined, [tail, 100 - tail])
            bounds[name] = (float(low), float(high))
    return bounds


def _rows_of_units(units: NDArray[Any]) -> list[NDArray[np.intp]]:
    _, numbers = np.unique(units, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers))[:-1])
