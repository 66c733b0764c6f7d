"""Figures under resampling: weights of units, and measures that take many weightings at once.

A resampling is a weight for each unit (item, group, block): how often it was drawn. Figures that
are functions of sums, and areas under ROC curves, are computed for a whole block of weightings by
matrix products, so that thousands of resamplings cost about as much as a few plain evaluations.
The same seed and number of units give the same weights, whatever is measured: two models that are
measured with them are measured on the same resamplings, which is what pairs them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = NDArray[np.float32]
"""`(U, B)` weight of each of `U` units in each of `B` resamplings, 1 on average."""
Measure = Callable[[Weights], Mapping[str, Floats]]
"""From `(U, B)` weights to `(B,)` values of each figure; NaN where a figure is undefined."""

BLOCK: Final = 64
"""Resamplings that are computed together: 57,000 float32 weights of each fit a cache."""
POISSON_FROM: Final = 4096
"""From so many units on, how often each is drawn is taken from a Poisson law of mean 1.

Counts of a draw of `U` from `U` tend to it, and it needs no scatter of random numbers. Every figure
here is a ratio, to which a total that varies by 1 in sqrt(U) does not matter.
"""
MOST_CELLS: Final = 2048
"""Cells that scores are sorted into; see `RankedScores`."""
_MOST_THREADS: Final = 4


def draw_weights(num_units: int, rounds: int, seed: Sequence[int]) -> Weights:
    """Draw resamplings of units with replacement.

    Args:
        num_units: Units to draw from, and units drawn.
        rounds: Resamplings.
        seed: Words that seed the draw.

    Returns:
        `(num_units, rounds)` float32, how often each unit was drawn.
    """
    if num_units >= POISSON_FROM:
        return _poisson_counts(num_units, rounds, tuple(seed)).astype(np.float32)
    rng = np.random.default_rng(list(seed))
    drawn = rng.integers(0, num_units, (rounds, num_units))
    drawn += np.arange(rounds)[:, None] * num_units
    counts = np.bincount(drawn.ravel(), minlength=rounds * num_units)
    return np.ascontiguousarray(counts.reshape(rounds, num_units).T, np.float32)


@functools.lru_cache(maxsize=16)
def _poisson_counts(num_units: int, rounds: int, seed: tuple[int, ...]) -> NDArray[np.uint8]:
    """Draw a block of counts; one that the next model asks for as well is drawn once.

    The blocks that are kept are those of 1,000 resamplings: 50 MB for 50,000 units.
    """
    rng = np.random.default_rng(list(seed))
    chances = rng.integers(0, 1 << 16, (num_units, rounds), dtype=np.uint16)
    return _poisson_of_16_bits().take(chances)


def leave_one_out_weights(num_units: int) -> Weights:
    """Return `(U, U)` weights: in each resampling one unit is left out, the others count once."""
    return np.ones((num_units, num_units), np.float32) - np.eye(num_units, dtype=np.float32)


def resample(measure: Measure, num_units: int, rounds: int, seed: int = 0) -> dict[str, Floats]:
    """Measure figures on resamplings of units, blocks of them in parallel.

    Args:
        measure: What is measured.
        num_units: Units that it weighs.
        rounds: Resamplings.
        seed: Seed of the draws; the same one draws the same units for every measure.

    Returns:
        Figure to `(rounds,)` values.
    """
    sizes = [min(BLOCK, rounds - start) for start in range(0, rounds, BLOCK)]

    def measure_block(number: int) -> Mapping[str, Floats]:
        return measure(draw_weights(num_units, sizes[number], (seed, number)))

    if num_units < POISSON_FROM:
        blocks = [measure_block(number) for number in range(len(sizes))]
    else:
        with ThreadPoolExecutor(_num_threads()) as pool:
            blocks = list(pool.map(measure_block, range(len(sizes))))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


class SummedTable:
    """Measure figures that are functions of sums over units.

    Args:
        table: `(R, K)` additive parts, a row for each row of the data.
        units: `(R,)` unit number of each row.
        num_units: Units in all.
        figures: From `(..., K)` sums to figures of shape `(...)`.
    """

    def __init__(
        self,
        table: NDArray[Any],
        units: NDArray[np.intp],
        num_units: int,
        figures: Callable[[Floats], Mapping[str, Floats]],
    ) -> None:
        sums = np.zeros((num_units, table.shape[1]))
        np.add.at(sums, units, table) if num_units < len(units) else sums.__setitem__(units, table)
        # single precision halves the time of the product; sums of so many units are known to 1e-6
        self._sums = sums.astype(np.float32) if num_units >= POISSON_FROM else sums
        self._figures = figures

    def __call__(self, weights: Weights) -> Mapping[str, Floats]:
        """Return the figures of each weighting."""
        return self._figures((self._sums.T @ weights).T.astype(np.float64))


class RankedScores:
    """Measure the area under the ROC curve, ties counted as half.

    Scores are sorted once. Each weighting then needs the weights of positives and of negatives at
    each distinct score, which is a product with a sparse matrix. Of more than `MOST_CELLS` distinct
    scores, neighbours share a cell: pairs within a cell are counted as ties and corrected by their
    exact share to first order in the weights. What is left out are products of fluctuations within
    a cell, about 1e-6 of the area for 57,000 items, a thousandth of its standard error.

    Args:
        is_positive: `(N,)` bool.
        scores: `(N,)` float, higher for positives.
        units: `(N,)` unit number of each item.
        num_units: Units in all.
        name: Name of the figure.
    """

    def __init__(
        self,
        is_positive: NDArray[np.bool_],
        scores: NDArray[Any],
        units: NDArray[np.intp],
        num_units: int,
        name: str = "auc",
    ) -> None:
        from scipy.sparse import csr_array  # type: ignore[import-untyped]

        cells, exact = _cells_and_corrections(is_positive, scores)
        self.name = name
        shape = (int(cells.max(initial=0)) + 1, num_units)
        self._sides = [
            csr_array(
                (np.ones(int(side.sum()), np.float32), (cells[side], units[side])), shape=shape
            )
            for side in (is_positive, ~is_positive)
        ]
        self._linear = np.bincount(units, exact, num_units).astype(np.float32)
        self._constant = float(exact[is_positive].sum())

    def __call__(self, weights: Weights) -> Mapping[str, Floats]:
        """Return the area of each weighting; NaN where positives or negatives are not drawn."""
        positive, negative = ((side @ weights).astype(np.float64) for side in self._sides)
        below = np.cumsum(negative, axis=0) - negative / 2
        pairs = positive.sum(axis=0) * negative.sum(axis=0)
        ordered = np.einsum("kb,kb->b", positive, below)
        ordered += self._linear @ weights - self._constant
        area = np.full(len(pairs), np.nan)
        np.divide(ordered, pairs, out=area, where=pairs > 0)
        return {self.name: area}


def all_of(measures: Sequence[Measure]) -> Measure:
    """Join measures of the same units into one; where two give a figure, the last one counts."""

    def measure(weights: Weights) -> Mapping[str, Floats]:
        return {name: values for part in measures for name, values in part(weights).items()}

    return measure


def mean_of(measures: Sequence[Measure], name: str) -> Measure:
    """Average the figures of measures under one name, leaving out those that are undefined."""

    def measure(weights: Weights) -> Mapping[str, Floats]:
        values = np.stack([v for part in measures for v in part(weights).values()])
        defined = np.isfinite(values)
        count = defined.sum(axis=0)
        mean = np.full(values.shape[1], np.nan)
        np.divide(np.where(defined, values, 0).sum(axis=0), count, out=mean, where=count > 0)
        return {name: mean}

    return measure


def _cells_and_corrections(
    is_positive: NDArray[np.bool_], scores: NDArray[Any]
) -> tuple[NDArray[np.intp], Floats]:
    """Return the cell of each item, and what its place within the cell adds or takes away."""
    _, value = np.unique(scores, return_inverse=True)
    counts = np.bincount(value, minlength=1)
    cell_of_value = np.arange(len(counts))
    if len(counts) > MOST_CELLS:
        start = np.cumsum(counts) - counts
        _, cell_of_value = np.unique(start * MOST_CELLS // len(scores), return_inverse=True)
    cells = cell_of_value[value]
    exact = np.zeros(len(scores))
    for side, sign in ((is_positive, 1), (~is_positive, -1)):
        # how many of the other side lie below (for a positive) or above (for a negative)
        exact[side] = sign * (_middle(value, ~side)[side] - _middle(cells, ~side)[side])
    return cells, exact


def _middle(value: NDArray[np.intp], side: NDArray[np.bool_]) -> Floats:
    """Count for each item those of one side with a lower value, and half of those with the same."""
    counts = np.bincount(value[side], minlength=int(value.max(initial=0)) + 1)
    return np.asarray((np.cumsum(counts) - counts / 2)[value])


@functools.cache
def _poisson_of_16_bits() -> NDArray[np.uint8]:
    """Return a table of 65,536 draws from the Poisson law of mean 1, its mean exactly 1."""
    from scipy.special import pdtr  # type: ignore[import-untyped]

    size = 1 << 16
    table = np.searchsorted(pdtr(np.arange(20), 1.0), (np.arange(size) + 0.5) / size)
    excess = int(table.sum()) - size
    table[np.flatnonzero(table == 1)[: abs(excess)]] -= np.sign(excess)
    return table.astype(np.uint8)


def _num_threads() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(_MOST_THREADS, usable or 1))
