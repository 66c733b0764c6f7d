"""Measure what a data set holds, and find what is wrong with its picks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.contract import Problem
from pipelines.errors import PipelineError
from pipelines.tasks.cryoet_picking.copick_files import CURATED_USER, PickFile
from pipelines.tasks.cryoet_picking.particles import Particle
from pipelines.tasks.cryoet_picking.picks import Floats, Picks
from pipelines.tasks.cryoet_picking.volumes import Volume, measure_normalisation
from pipelines.text import Text, verbatim

if TYPE_CHECKING:
    from pipelines.tasks.cryoet_picking.data import Project

_CHALLENGE_SHAPE_VOX = (184, 630, 630)
_MAX_MEASURED = 3  # tomograms whose values are looked at; more would make the report slow
Fact = tuple[Text, Any]


def describe_volumes(project: Project, problems: list[Problem]) -> list[Fact]:
    """List number, size, spacing and value range; volumes of NaN become problems."""
    volumes = project.volumes
    facts: list[Fact] = [(Text("cryoet.fact_tomograms"), len(project.experiments()))]
    if project.is_simulated:
        facts.append((Text("cryoet_sim.origin"), Text("cryoet_sim.origin_simulated")))
    if not volumes:  # there are none, or the problems say why they cannot be read
        picks_only = (Text("cryoet.fact_picks_only"), Text("cryoet.fact_picks_only.yes"))
        return facts if project.layout.volumes else [*facts, picks_only]
    shapes = sorted({" × ".join(map(str, v.shape)) for v in volumes.values()})
    spacings = sorted({round(v.spacing_angstrom, 6) for v in volumes.values()})
    types = sorted({p[0].tomogram_type for p in project.layout.volumes.values()} - {""})
    facts += [
        (Text("cryoet.fact_shape"), "; ".join(shapes)),
        (Text("cryoet.fact_spacing"), _spacing_words(spacings)),
        (Text("cryoet.fact_bytes"), Text("cryoet.bytes", size=_total_bytes(volumes.values()))),
    ]
    if types:
        facts.append((Text("cryoet.fact_types"), ", ".join(types)))
    if ranges := _value_ranges(list(volumes.items())[:_MAX_MEASURED], problems):
        low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        facts.append((Text("cryoet.fact_range"), Text("cryoet.range", low=low, high=high)))
    return facts


def _spacing_words(spacings: list[float]) -> Text:
    known = [spacing for spacing in spacings if spacing > 0]
    if not known:
        return Text("cryoet.fact_spacing.unknown")
    if len(known) > 1:
        return Text("cryoet.fact_spacing.between", low=known[0], high=known[-1])
    return Text("cryoet.fact_spacing.known", spacing=known[0])


def _total_bytes(volumes: Any) -> int:
    return sum(v.num_bytes for v in volumes)


def _value_ranges(
    volumes: list[tuple[str, Volume]], problems: list[Problem]
) -> list[tuple[float, float]]:
    """Measure the middle slab of each volume."""
    ranges = []
    for _, volume in volumes:
        depth = volume.shape[0]
        middle = slice(max(0, depth // 2 - 4), depth // 2 + 4)
        try:
            measure_normalisation(_Slab(volume, middle))
            part = np.asarray(volume[middle])
            ranges.append((float(part.min()), float(part.max())))
        except PipelineError as error:
            problems.append(Problem("error", error.text, volume.name))
    return ranges


class _Slab:
    """Show some sections of a volume as if they were all of it."""

    def __init__(self, volume: Volume, part: slice) -> None:
        self.name = volume.name
        self._values = np.asarray(volume[part])
        self.shape = self._values.shape

    def __getitem__(self, index: Any) -> Any:  # as numpy
        return self._values[index]


def pick_facts(project: Project) -> list[Fact]:
    """Count picks per kind, outside the volume, and nearly on one another."""
    tables = list(project.picks.values())
    if not tables:
        return [(Text("cryoet.fact_picks"), 0)]
    everything = Picks.concatenate(tables)
    counts = everything.counts()
    facts: list[Fact] = [(Text("cryoet.fact_picks"), len(everything))]
    facts += [(verbatim(kind), n) for kind, n in counts.items()]
    outside = sum(outside_volume(project, e).sum() for e in project.picks)
    close = sum(num_near_duplicates(p, project.particles) for p in tables)
    if project.volumes:
        facts.append((Text("cryoet.fact_outside"), int(outside)))
    facts.append((Text("cryoet.fact_duplicates"), close))
    return facts


def pick_problems(project: Project) -> list[Problem]:
    """Warn of picks outside, near duplicates, and ask where coordinates look like voxels."""
    found: list[Problem] = []
    suspects = [e for e in project.picks if looks_like_voxels(project, e)]
    if suspects and project.options.picks_unit == "auto":
        text = Text("cryoet.maybe_voxels", experiments=", ".join(suspects[:5]))
        found.append(Problem("error", text))
        return found
    for experiment, picks in project.picks.items():
        if n := int(outside_volume(project, experiment).sum()):
            text = Text("cryoet.picks_outside", n=n, experiment=experiment)
            found.append(Problem("warning", text))
        if n := num_near_duplicates(picks, project.particles):
            text = Text("cryoet.near_duplicates", n=n, experiment=experiment)
            found.append(Problem("warning", text))
    if not any(len(p) for p in project.picks.values()) and project.volumes:
        found.append(Problem("warning", Text("cryoet.no_picks")))
    return found


def whose_problems(
    everybody: Mapping[str, Sequence[PickFile]], taken: Mapping[str, Sequence[PickFile]], user: str
) -> list[Problem]:
    """Say whose picks are read where several people or sessions left some, or nobody is found.

    Args:
        everybody: Tomogram to all files of picks.
        taken: Tomogram to those that are read.
        user: Who was asked for, or "".
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for experiment, files in everybody.items():
        there, read = _authors(files), _authors(taken[experiment])
        if there != read and CURATED_USER not in {f.user for f in taken[experiment]}:
            alike.setdefault((there, read), []).append(experiment)
    found = []
    for (there, read), experiments in alike.items():
        name = "cryoet.several_users" if read else "cryoet.no_such_user"
        names = ", ".join(experiments[:5])
        text = Text(name, n=len(experiments), names=names, there=there, read=read, user=user)
        found.append(Problem("warning", text))
    return found


def _authors(files: Sequence[PickFile]) -> str:
    return ", ".join(sorted({f"{f.user}_{f.session}".strip("_") or "?" for f in files}))


def outside_volume(project: Project, experiment: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return `(N,)` bool: picks whose centre lies outside the tomogram."""
    picks = project.picks[experiment]
    volume = project.volumes.get(experiment)
    if volume is None or volume.spacing_angstrom <= 0:
        return np.zeros(len(picks), bool)
    vox = picks.positions / volume.spacing_angstrom + project.options.voxel_offset
    is_out = (vox < -0.5) | (vox > np.array(volume.shape) - 0.5)
    return np.asarray(is_out.any(1), np.bool_)


def num_near_duplicates(picks: Picks, particles: tuple[Particle, ...]) -> int:
    """Count pairs of one kind closer than half its radius (one candidate would hit both)."""
    from scipy.spatial import KDTree  # type: ignore[import-untyped]

    num_pairs = 0
    for k, particle in enumerate(particles):
        places = picks.positions[picks.kind_index == k]
        tree = KDTree(places)  # counted, not listed: of 400,000 picks in a heap all are close
        both_ways = int(tree.count_neighbors(tree, particle.hit_radius_angstrom))
        num_pairs += (both_ways - len(places)) // 2
    return num_pairs


def nearest_distances(picks: Picks, kind: str) -> Floats:
    """Return `(N,)` the distance of each pick of a kind to the nearest other one, in angstrom."""
    from scipy.spatial import KDTree

    own = picks.of_kind(kind).positions
    if len(own) < 2:
        return np.full(len(own), np.nan)
    distances, _ = KDTree(own).query(own, k=2)
    return np.asarray(distances[:, 1], np.float64)


def looks_like_voxels(project: Project, experiment: str) -> bool:
    """Tell whether coordinates fit the voxel grid and fill a corner only if they were angstrom.

    Five picks or more must all lie within the number of voxels along each axis, and the farthest
    reach less than a fifth of the length in angstrom along y and x.
    """
    picks = project.picks[experiment]
    volume = project.volumes.get(experiment)
    shape = np.array(volume.shape if volume else _CHALLENGE_SHAPE_VOX, float)
    spacing = volume.spacing_angstrom if volume else 10.0
    if len(picks) < 5 or spacing <= 2:
        return False
    top = picks.positions.max(0)
    return bool((top <= shape * 1.02).all() and (top[1:] < 0.2 * shape[1:] * spacing).all())
