"""Picks as one table of columns: where, of which kind, in which tomogram, how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FARTHEST_ANGSTROM = 1e9
"""No coordinate lies farther (10 cm); squares of much larger ones are no numbers any more."""


@dataclass(frozen=True)
class Picks:
    """Hold picks of any number of tomograms.

    Attributes:
        experiments: Names of the tomograms.
        kinds: Names of the particles.
        experiment_index: `(N,)` int64 into `experiments`.
        kind_index: `(N,)` int64 into `kinds`.
        positions: `(N, 3)` float64, z y x, angstrom.
        scores: `(N,)` float64, the more the surer; ones where nothing is known.
    """

    experiments: tuple[str, ...]
    kinds: tuple[str, ...]
    experiment_index: Integers
    kind_index: Integers
    positions: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.kind_index)

    @staticmethod
    def of_one(
        experiment: str,
        kinds: Sequence[str],
        kind_index: NDArray[np.integer],
        positions: NDArray[np.floating],
        scores: NDArray[np.floating] | None = None,
    ) -> Picks:
        """Make the picks of one tomogram; arrays as in the class."""
        count = len(kind_index)
        return Picks(
            (experiment,),
            tuple(kinds),
            np.zeros(count, np.int64),
            np.asarray(kind_index, np.int64),
            np.asarray(positions, np.float64).reshape(count, 3),
            np.ones(count) if scores is None else np.asarray(scores, np.float64),
        )

    @staticmethod
    def empty(experiment: str, kinds: Sequence[str]) -> Picks:
        """Make a table without picks."""
        return Picks.of_one(experiment, kinds, np.zeros(0, np.int64), np.zeros((0, 3)))

    @staticmethod
    def concatenate(tables: Sequence[Picks]) -> Picks:
        """Put tables under one another; names are matched, numbers of kinds may differ."""
        experiments = tuple(dict.fromkeys(e for t in tables for e in t.experiments))
        kinds = tuple(dict.fromkeys(k for t in tables for k in t.kinds))
        renamed = [t.renumbered(experiments, kinds) for t in tables]
        return Picks(
            experiments,
            kinds,
            np.concatenate([t.experiment_index for t in renamed] or [np.zeros(0, np.int64)]),
            np.concatenate([t.kind_index for t in renamed] or [np.zeros(0, np.int64)]),
            np.concatenate([t.positions for t in renamed] or [np.zeros((0, 3))]),
            np.concatenate([t.scores for t in renamed] or [np.zeros(0)]),
        )

    def renumbered(self, experiments: Sequence[str], kinds: Sequence[str]) -> Picks:
        """Refer to longer lists of names that hold all of this table's."""
        experiment_map = np.array([experiments.index(e) for e in self.experiments], np.int64)
        kind_map = np.array([kinds.index(k) for k in self.kinds], np.int64)
        return Picks(
            tuple(experiments),
            tuple(kinds),
            experiment_map[self.experiment_index] if len(self) else self.experiment_index,
            kind_map[self.kind_index] if len(self) else self.kind_index,
            self.positions,
            self.scores,
        )

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Picks:
        """Keep the rows that a boolean or integer index names."""
        return Picks(
            self.experiments,
            self.kinds,
            self.experiment_index[rows],
            self.kind_index[rows],
            self.positions[rows],
            self.scores[rows],
        )

    def of_experiment(self, experiment: str) -> Picks:
        """Keep the picks of one tomogram, which becomes the only one of the table."""
        if experiment not in self.experiments:
            return Picks.empty(experiment, self.kinds)
        rows = self.experiment_index == self.experiments.index(experiment)
        kept = self.take(rows)
        return Picks.of_one(experiment, self.kinds, kept.kind_index, kept.positions, kept.scores)

    def of_kind(self, kind: str) -> Picks:
        """Keep the picks of one kind."""
        if kind not in self.kinds:
            return self.take(np.zeros(len(self), bool))
        return self.take(self.kind_index == self.kinds.index(kind))

    def kind_names(self) -> NDArray[np.str_]:
        """Return the kind of each pick as `(N,)` strings."""
        return np.array(self.kinds or ("",))[self.kind_index]

    def experiment_names(self) -> NDArray[np.str_]:
        """Return the tomogram of each pick as `(N,)` strings."""
        return np.array(self.experiments or ("",))[self.experiment_index]

    def counts(self) -> dict[str, int]:
        """Count the picks of each kind."""
        found = np.bincount(self.kind_index, minlength=len(self.kinds))
        return {kind: int(n) for kind, n in zip(self.kinds, found, strict=True)}
