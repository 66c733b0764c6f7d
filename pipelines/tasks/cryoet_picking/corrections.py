"""Correct picks by hand: add, delete, move, re-class, undo and redo without limit, save as copick.

Every change makes a new table; the history keeps all of them (a table of a thousand picks is
40 kB), so that undo cannot fail half-way. Saving writes the overlay of the person's own name and
session, never the curated picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.contract import DatasetRecord, Sample
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.copick_files import (
    CURATED_USER,
    SIMULATED,
    checked_user,
    write_picks,
)
from pipelines.tasks.cryoet_picking.data import Geometry, Truth
from pipelines.tasks.cryoet_picking.particles import Particle, names, write_copick_config
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.slices import ColourBy, Marks
from pipelines.text import Text


@dataclass
class Editor:
    """Hold the picks of one tomogram while a person corrects them.

    Attributes:
        experiment: Tomogram.
        particles: Kinds.
        geometry: Voxels and angstrom of the tomogram.
        truth: True picks to score against, or None.
        picks: The picks as they are now.
    """

    experiment: str
    particles: tuple[Particle, ...]
    geometry: Geometry
    truth: Picks | None
    picks: Picks
    _past: list[Picks] = field(default_factory=list)
    _future: list[Picks] = field(default_factory=list)

    @staticmethod
    def begin(sample: Sample, picks: Picks | None = None) -> Editor:
        """Start from given picks; without them from the true ones, or from none."""
        particles: tuple[Particle, ...] = tuple(sample.meta["particles"])
        truth: Truth | None = sample.truth
        true_picks = (
            None
            if truth is None
            else truth.picks.renumbered(truth.picks.experiments, names(particles))
        )
        start = picks if picks is not None else true_picks
        empty = Picks.empty(sample.item_id, names(particles))
        return Editor(
            sample.item_id, particles, sample.meta["geometry"], true_picks, start or empty
        )

    def add(self, kind: str, position: Sequence[float]) -> None:
        """Add a pick of a kind at z, y, x in angstrom; a person is sure, so its score is 1."""
        index = np.array([self._kind(kind)])
        place = np.array([position], np.float64)
        one = Picks.of_one(self.experiment, names(self.particles), index, place)
        self._change(Picks.concatenate([self.picks, one]))

    def delete(self, row: int) -> None:
        """Delete a pick."""
        self._check(row)
        self._change(self.picks.take(np.arange(len(self.picks)) != row))

    def move(self, row: int, position: Sequence[float]) -> None:
        """Move a pick to z, y, x in angstrom."""
        self._check(row)
        positions = self.picks.positions.copy()
        positions[row] = position
        self._replace(positions=positions)

    def reclass(self, row: int, kind: str) -> None:
        """Give a pick another kind."""
        self._check(row)
        kinds = self.picks.kind_index.copy()
        kinds[row] = self._kind(kind)
        self._replace(kind_index=kinds)

    def undo(self) -> bool:
        """Take the last change back; False when there is none."""
        if not self._past:
            return False
        self._future.append(self.picks)
        self.picks = self._past.pop()
        return True

    def redo(self) -> bool:
        """Do again what was taken back; False when there is nothing."""
        if not self._future:
            return False
        self._past.append(self.picks)
        self.picks = self._future.pop()
        return True

    @property
    def num_changes(self) -> int:
        """How many changes stand, which is how often `undo` works."""
        return len(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether `redo` has something to do."""
        return bool(self._future)

    def score(self) -> dict[str, float]:
        """Return F4, total and of each kind, of the picks as they stand; empty without a truth."""
        if self.truth is None:
            return {}
        counts = metrics.count_hits(self.picks, self.truth, self.particles)
        figures = {"f4": metrics.weighted_score(counts, self.particles)}
        return figures | {f"f4_{k}": metrics.f_beta_score(c) for k, c in counts.items()}

    def counts(self) -> metrics.Counts | None:
        """Return how many picks of all kinds are right, false and missed; None without a truth."""
        if self.truth is None:
            return None
        found = metrics.count_hits(self.picks, self.truth, self.particles).values()
        return metrics.Counts(
            sum(c.tp for c in found), sum(c.fp for c in found), sum(c.fn for c in found)
        )

    def marks(self, *, colour_by: ColourBy, compare: bool, with_truth: bool) -> Marks:
        """Return the picks for a picture, row for row, and behind them what is beside them.

        Args:
            colour_by: What colours tell.
            compare: Whether right and false picks differ, and missed ones are added.
            with_truth: Whether all true picks are added.
        """
        truth = self.truth
        found = Marks.of_kinds(self.picks, self.particles)
        if truth is None:
            return found
        if compare:
            found = Marks.compare(self.picks, truth, self.particles, colour_by=colour_by)
        if not with_truth:
            return found
        return found.joined(Marks.of_kinds(truth, self.particles, verdict="truth"))

    def nearest(self, position: Sequence[float]) -> int | None:
        """Return the pick whose sphere holds z, y, x in angstrom, the nearest one, or None."""
        if not len(self.picks):
            return None
        distances = np.linalg.norm(self.picks.positions - np.asarray(position), axis=1)
        radii = np.array([p.radius_angstrom for p in self.particles])[self.picks.kind_index]
        inside = np.flatnonzero(distances <= radii)
        return int(inside[np.argmin(distances[inside])]) if len(inside) else None

    def save(self, overlay: Path, *, user: str, session: str) -> list[Path]:
        """Write the picks as copick JSON under a person's own name.

        Raises:
            DataFormatError: A name that copick could not read, or that of the curated picks.
        """
        if user == CURATED_USER:
            raise DataFormatError(Text("cryoet.curated_is_safe", name=user))
        return write_picks(
            overlay,
            self.picks,
            user=checked_user(user),
            session=checked_user(session),
            kinds=names(self.particles),
        )

    def write_project(self, overlay: Path, record: DatasetRecord, *, user: str) -> Path | None:
        """Write the copick configuration that opens what was saved together with its tomograms.

        Args:
            overlay: Where the corrections were saved.
            record: The data set that was corrected.
            user: Whose corrections they are.

        Returns:
            The configuration beside the overlay; None where the tomograms lie in no tree of runs.
        """
        names = [f.path for f in record.files if f.role == "tomogram" and "!" not in f.path]
        heads = {
            name.partition("ExperimentRuns/")[0] for name in names if "ExperimentRuns/" in name
        }
        if len(heads) != 1:
            return None
        path = overlay.parent / "copick_config.json"
        write_copick_config(
            path,
            self.particles,
            name=f"{record.title} · {user}",
            text=SIMULATED if record.is_generated else "",
            static_root=str(record.root / heads.pop()),
        )
        return path

    def _kind(self, kind: str) -> int:
        known = names(self.particles)
        if kind not in known:
            raise DataFormatError(
                Text("cryoet.unknown_particle", name=kind, known=", ".join(known))
            )
        return known.index(kind)

    def _check(self, row: int) -> None:
        if not 0 <= row < len(self.picks):
            raise DataFormatError(Text("cryoet.no_such_pick", row=row, n=len(self.picks)))

    def _replace(self, **columns: np.ndarray) -> None:  # any column
        old = self.picks
        self._change(
            Picks.of_one(
                self.experiment,
                old.kinds,
                columns.get("kind_index", old.kind_index),
                columns.get("positions", old.positions),
                old.scores,
            )
        )

    def _change(self, picks: Picks) -> None:
        self._past.append(self.picks)
        self._future.clear()
        self.picks = picks
