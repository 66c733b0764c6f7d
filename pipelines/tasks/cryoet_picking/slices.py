"""Picks in a tomogram as spheres: what they mean, and the three planes that cut them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipelines.contract import Sample
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.display import PLANES, section_of
from pipelines.tasks.cryoet_picking.metrics import hit_flags
from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.picks import Floats, Picks
from pipelines.text import Text, verbatim
from pipelines.views import SphereLook, Spheres, SphereStyle, VolumeView

Verdict = Literal["true_positive", "false_positive", "missed", "truth", "none"]
ColourBy = Literal["kind", "verdict"]
_STYLES: dict[str, SphereStyle] = {
    "false_positive": "dashed",
    "missed": "cross",
    "truth": "dotted",
}
_WINDOW = (16.0, 240.0)
_NUM_COLOURS = 8
_UNKNOWN_RADIUS = 50.0


@dataclass(frozen=True)
class Marks:
    """Hold picks with what they mean: their kind, and right, false or missed.

    Attributes:
        positions: `(N, 3)` z y x, angstrom.
        radii: `(N,)` angstrom.
        meanings: `N` keys of the palette.
        kinds: `N` names.
        verdicts: `N` verdicts; "none" where nothing is compared, "truth" for a reference.
        scores: `(N,)`.
    """

    positions: Floats
    radii: Floats
    meanings: tuple[str, ...]
    kinds: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    scores: Floats

    def __len__(self) -> int:
        return len(self.meanings)

    @staticmethod
    def none() -> Marks:
        """Make an empty list."""
        return Marks(np.zeros((0, 3)), np.zeros(0), (), (), (), np.zeros(0))

    @staticmethod
    def of_kinds(
        picks: Picks, particles: Sequence[Particle], *, verdict: Verdict = "none"
    ) -> Marks:
        """Colour picks by kind; the n-th kind has the palette's n-th colour."""
        kinds = tuple(picks.kind_names().tolist())
        verdicts = (verdict,) * len(kinds)
        meanings = _meanings(kinds, verdicts, particles, "kind")
        return Marks(
            picks.positions, _radii(kinds, particles), meanings, kinds, verdicts, picks.scores
        )

    @staticmethod
    def compare(
        picks: Picks,
        truth: Picks | None,
        particles: Sequence[Particle],
        *,
        colour_by: ColourBy = "verdict",
    ) -> Marks:
        """Tell right and false picks, and add true picks that nothing found as missed."""
        if truth is None:
            return Marks.of_kinds(picks, particles)
        is_hit, is_found = hit_flags(picks, truth, particles)
        missed = truth.take(~is_found)
        kinds = (*picks.kind_names().tolist(), *missed.kind_names().tolist())
        verdicts: list[Verdict] = ["true_positive" if hit else "false_positive" for hit in is_hit]
        verdicts += ["missed"] * len(missed)
        return Marks(
            np.concatenate([picks.positions, missed.positions]),
            _radii(kinds, particles),
            _meanings(kinds, verdicts, particles, colour_by),
            kinds,
            tuple(verdicts),
            np.concatenate([picks.scores, np.zeros(len(missed))]),
        )

    def take(self, rows: Any) -> Marks:  # boolean or integer index
        """Keep the rows of an index."""
        kept = np.arange(len(self))[rows]
        return Marks(
            self.positions[kept],
            self.radii[kept],
            tuple(self.meanings[r] for r in kept),
            tuple(self.kinds[r] for r in kept),
            tuple(self.verdicts[r] for r in kept),
            self.scores[kept],
        )

    def joined(self, other: Marks) -> Marks:
        """Put others behind these."""
        return Marks(
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.radii, other.radii]),
            self.meanings + other.meanings,
            self.kinds + other.kinds,
            self.verdicts + other.verdicts,
            np.concatenate([self.scores, other.scores]),
        )


def volume_view(sample: Sample, marks: Marks, *, thickness: int, title: Text) -> VolumeView:
    """Show three planes through a tomogram with the picks that they cut.

    Args:
        sample: Tomogram whose volume is at hand.
        marks: Picks.
        thickness: Each plane is the mean of so many sections.
        title: The message of the picture.
    """
    geometry: Geometry = sample.meta["geometry"]
    is_known = geometry.spacing_angstrom > 0
    return VolumeView(
        title,
        shape=geometry.shape,
        section=section_of(sample, thickness),
        place=place_of(sample),
        plane_titles=(_title(PLANES[0]), _title(PLANES[1]), _title(PLANES[2])),
        spheres=spheres_of(marks, geometry) if is_known else None,
        window=_WINDOW,
        pixel_size=geometry.spacing_angstrom if is_known else None,
        offset_vox=geometry.offset_vox,
        source=Text("cryoet.source_item", item=sample.item_id),
    )


def place_of(sample: Sample) -> str:
    """Name a tomogram: planes and clouds of this name share a crosshair."""
    file = getattr(sample.image, "path", "")
    return f"cryoet_picking.{file}.{sample.item_id}"


def spheres_of(marks: Marks, geometry: Geometry) -> Spheres:
    """Turn marks into spheres in voxels; picks that look alike share a look."""
    looks: dict[tuple[str, str, Verdict], int] = {}
    keys = zip(marks.meanings, marks.kinds, marks.verdicts, strict=True)
    index = np.array([looks.setdefault(key, len(looks)) for key in keys], np.int64)
    palette = tuple(_look(meaning, kind, verdict) for meaning, kind, verdict in looks)
    return Spheres(
        geometry.to_vox(marks.positions),
        marks.radii / geometry.spacing_angstrom,
        index,
        palette,
        Text("cryoet.layer_picks"),
    )


def _look(meaning: str, kind: str, verdict: Verdict) -> SphereLook:
    is_by_kind = meaning.startswith("kind_")
    said = Text(f"cryoet.verdict.{verdict}", kind=kind)
    name = verbatim(kind) if is_by_kind and verdict == "none" else said
    if not is_by_kind:
        name = Text(f"cryoet.verdict_name.{verdict}")
    return SphereLook(meaning, name, _STYLES.get(verdict, "full"), said)


def _title(plane: str) -> Text:
    return Text(f"cryoet.plane_{plane}", index="{index}", length="{length}")


def _meanings(
    kinds: Sequence[str],
    verdicts: Sequence[Verdict],
    particles: Sequence[Particle],
    colour_by: ColourBy,
) -> tuple[str, ...]:
    if colour_by == "verdict":
        return tuple(verdicts)
    order = {p.name: k for k, p in enumerate(particles)}
    return tuple(f"kind_{order.get(kind, 0) % _NUM_COLOURS + 1}" for kind in kinds)


def _radii(kinds: Sequence[str], particles: Sequence[Particle]) -> Floats:
    radius = {p.name: p.radius_angstrom for p in particles}
    return np.array([radius.get(kind, _UNKNOWN_RADIUS) for kind in kinds], np.float64)
