"""Open tomograms and picks: inspection, lazy samples, splits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from pipelines.config import describe, option, parse
from pipelines.contract import (
    DatasetRecord,
    Inspection,
    Item,
    Problem,
    Sample,
    SourceFile,
)
from pipelines.errors import DataFormatError, PipelineError
from pipelines.settings import load_settings
from pipelines.tasks.cryoet_picking.copick_files import (
    CopickConfig,
    PickFile,
    choose_files,
    is_config,
    parse_config,
    parse_picks,
)
from pipelines.tasks.cryoet_picking.layout import Layout, find_layout
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, Particle, names, with_overrides
from pipelines.tasks.cryoet_picking.picks import Floats, Picks
from pipelines.tasks.cryoet_picking.report import (
    describe_volumes,
    pick_facts,
    pick_problems,
    whose_problems,
)
from pipelines.tasks.cryoet_picking.sources import Tree, open_tree, tree_of_record
from pipelines.tasks.cryoet_picking.volumes import Level, Volume, open_volume
from pipelines.text import Text

# Chunks of a volume whose bytes enter the fingerprint of the data set: all would be 290 MB each.
_FINGERPRINT_CHUNKS = 8
_MAX_CONFIG_BYTES = 2_000_000


@dataclass(frozen=True)
class DataOptions:
    """Hold how the files are read."""

    texts: ClassVar[str] = "cryoet_data"

    tomogram_type: str = option(
        "auto", choices=("auto", "denoised", "isonetcorrected", "ctfdeconvolved", "wbp")
    )
    voxel_spacing_angstrom: float = option(0.0, low=0.0, high=1000.0, unit="Å")
    picks_unit: str = option("auto", choices=("auto", "angstrom", "voxel"))
    picks_user: str = option("", expert=True)
    voxel_offset: float = option(0.0, low=-2.0, high=2.0, unit="vx", step=0.5, expert=True)
    particles: str = option("", expert=True)


def changed_options(options: Mapping[str, str]) -> dict[str, str]:
    """Keep how the files are read where that is not the default."""
    usual = {info.name: str(info.default) for info in describe(DataOptions)}
    return {k: v for k, v in options.items() if v != usual.get(k, v)}


@dataclass(frozen=True)
class Truth:
    """Hold the true picks of one tomogram with the kinds that give them their radii.

    Attributes:
        picks: Picks of one tomogram.
        particles: Every kind of the data set.
    """

    picks: Picks
    particles: tuple[Particle, ...]


@dataclass(frozen=True)
class Geometry:
    """Hold how angstrom and voxels of one tomogram belong together.

    Attributes:
        shape: Z, Y, X in voxels.
        spacing_angstrom: Side of a voxel.
        offset_vox: Added to the voxel index of a pick (0 by default; some programs count from 1).
    """

    shape: tuple[int, int, int]
    spacing_angstrom: float
    offset_vox: float = 0.0

    def to_vox(self, positions: Floats) -> Floats:
        """Turn `(N, 3)` angstrom into voxel indices; a whole number is the centre of a voxel."""
        return positions / self.spacing_angstrom + self.offset_vox

    def to_angstrom(self, positions_vox: Floats) -> Floats:
        """Turn `(N, 3)` voxel indices into angstrom."""
        return (positions_vox - self.offset_vox) * self.spacing_angstrom


# --- what stands there --------------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """Hold everything that was found below a source, opened as far as headers go.

    Attributes:
        tree: Files.
        layout: Tomograms and picks among them.
        particles: Kinds, with the user's changes.
        options: How files are read.
        title: Proposed name.
        volumes: Experiment to its volume.
        picks: Experiment to its true picks, in angstrom; missing where there are none.
        problems: What is wrong with which file.
        is_simulated: Whether the files call themselves simulated.
    """

    tree: Tree
    layout: Layout
    particles: tuple[Particle, ...]
    options: DataOptions
    title: str
    volumes: Mapping[str, Volume]
    picks: Mapping[str, Picks]
    problems: tuple[Problem, ...]
    is_simulated: bool = False

    def experiments(self) -> tuple[str, ...]:
        """List the tomograms; picks without one stand for themselves where there is none at all.

        Beside tomograms they are left out: neither training nor prediction could go on at them.
        """
        held = self.volumes or self.picks
        return tuple(e for e in self.layout.experiments() if e in held)


def open_project(tree: Tree, options: Mapping[str, str], *, title: str) -> Project:
    """Open headers and picks of everything below a tree.

    Raises:
        DataError: Neither a tomogram nor picks, or a broken configuration.
    """
    chosen = parse(DataOptions, options)
    wanted = "" if chosen.tomogram_type == "auto" else chosen.tomogram_type
    layout = _named_by_place(find_layout(tree.names, preferred_type=wanted), tree.root)
    config = _find_config(tree, layout)
    if config is not None and not layout.experiments():
        _refuse_far_roots(config)
    if not layout.experiments():
        raise DataFormatError(Text("cryoet.nothing_found", path=title))
    particles = with_overrides(config.particles if config else CHALLENGE, chosen.particles)
    problems: list[Problem] = []
    volumes = _open_volumes(tree, layout, chosen, problems)
    files = _read_picks(tree, layout, chosen, particles, problems)
    spacings = {e: v.spacing_angstrom for e, v in volumes.items()}
    picks = {
        e: _to_table(e, found, particles, chosen, spacings.get(e, 0.0))
        for e, found in files.items()
        if found
    }
    name = config.name if config and config.name else title
    is_simulated = config is not None and config.is_simulated
    return Project(
        tree, layout, particles, chosen, name, volumes, picks, tuple(problems), is_simulated
    )


def _named_by_place(layout: Layout, root: Path) -> Layout:
    """Name a volume that was opened on its own out of the challenge's tree by its tomogram."""
    parts = root.resolve().parts
    if "ExperimentRuns" not in parts[:-1] or layout.picks or len(layout.volumes) != 1:
        return layout
    (places,) = layout.volumes.values()
    if places[0].tomogram_type:
        return layout
    return replace(layout, volumes={parts[parts.index("ExperimentRuns") + 1]: places})


def inspect_source(source: Path, options: Mapping[str, str]) -> Inspection:
    """Report what stands at a path: the challenge's tree, a zip of it, copick, or volumes.

    Args:
        source: Existing file or folder.
        options: Values of `DataOptions` that replace what is detected.

    Raises:
        DataError: Nothing there can be read.
    """
    tree, title, missing = _tree_of(source)
    whole = open_project(tree, options, title=title)
    there = whole.experiments()
    project = replace(whole, picks={e: p for e, p in whole.picks.items() if e in there})
    problems = [*missing, *project.problems, *pick_problems(project)]
    facts = [*describe_volumes(project, problems), *pick_facts(project)]
    items = tuple(
        Item(e, e, has_truth=e in project.picks and len(project.picks[e]) > 0) for e in there
    )
    if alone := sorted({*whole.picks} - {*there}):
        text = Text("cryoet.picks_alone", n=len(alone), names=alone[:5])
        problems.append(Problem("warning", text))
    return Inspection(
        title=project.title,
        root=tree.root,
        files=_fingerprints(project),
        items=items,
        options={k: str(v) for k, v in vars(project.options).items()},
        facts=tuple(facts),
        problems=tuple(problems),
    )


def _tree_of(source: Path) -> tuple[Tree, str, list[Problem]]:
    """List the files of a source; a copick configuration stands for the roots that it names.

    Returns:
        Files, a proposed name, and roots that are not here: of one alone the rest is read.
    """
    if not (source.is_file() and source.suffix.lower() == ".json"):
        return open_tree(source), source.stem if source.is_file() else source.name, []
    config = parse_config(source.read_bytes(), file=source.name)
    named = dict.fromkeys(filter(None, (config.static_root, config.overlay_root)))
    folders = {root: _root_folder(source, root) for root in named}
    there = [folder for folder in folders.values() if folder.is_dir()]
    base = Path(os.path.commonpath([source.parent.resolve(), *there]))
    listed = {(source.parent.resolve() / source.name).relative_to(base).as_posix()}
    for folder in there:
        listed.update((folder / n).relative_to(base).as_posix() for n in open_tree(folder).names)
    missing = [
        Problem("warning", Text("cryoet.root_missing", file=source.name, root=root), source.name)
        for root, folder in folders.items()
        if not folder.is_dir()
    ]
    return Tree(base, "", tuple(sorted(listed))), source.stem, missing


def _root_folder(source: Path, root: str) -> Path:
    """Find a root that a configuration names: below it, or where data may be read by path.

    Raises:
        DataFormatError: It lies elsewhere; an upload must not open what its visitor may not.
    """
    folder = (source.parent / root).resolve()
    allowed = [p.resolve() for p in (source.parent, *load_settings().data_roots)]
    if any(folder.is_relative_to(place) for place in allowed):
        return folder
    places = ", ".join(str(p) for p in dict.fromkeys(allowed))
    raise DataFormatError(Text("cryoet.far_root", root=root, file=source.name, places=places))


def path_of_record(record: DatasetRecord) -> Path:
    """Return what opens a data set again, and nothing beside it.

    Its root alone would open whatever else lies there: other volumes beside the one that was
    chosen, or trees that the copick configuration does not name.
    """
    names = [file.path for file in record.files]
    if any("!" in name for name in names):
        return record.root / names[0].partition("!")[0]
    own = {name.partition("/")[0] for name in names}
    if not record.root.is_dir() or not {p.name for p in record.root.iterdir()} - own:
        return record.root
    for file in record.files:
        if file.role == "config" and _names_all(record.root / file.path, record):
            return record.root / file.path
    return record.root / own.pop() if len(own) == 1 else record.root


def _names_all(file: Path, record: DatasetRecord) -> bool:
    """Tell whether every file of a data set lies below the roots that a configuration names."""
    try:
        config = parse_config(file.read_bytes(), file=file.name)
        roots = [_root_folder(file, r) for r in (config.static_root, config.overlay_root) if r]
    except (PipelineError, OSError):
        return False
    places = [(record.root / f.path).resolve() for f in record.files if f.role != "config"]
    return all(any(p.is_relative_to(root) for root in roots) for p in places)


def _refuse_far_roots(config: CopickConfig) -> None:
    raise DataFormatError(
        Text("cryoet.config_roots", static=config.static_root, overlay=config.overlay_root)
    )


def _find_config(tree: Tree, layout: Layout) -> CopickConfig | None:
    """Read the copick configuration nearest to the root, if there is one."""
    near = sorted(layout.configs, key=lambda n: (n.count("/"), n))
    for name in near[:20]:
        if tree.size(name) <= _MAX_CONFIG_BYTES and is_config(content := tree.read(name)):
            return parse_config(content, file=name)
    return None


def _open_volumes(
    tree: Tree, layout: Layout, options: DataOptions, problems: list[Problem]
) -> dict[str, Volume]:
    """Open headers; a volume that cannot be read is reported and left out."""
    volumes = {}
    for experiment, places in layout.volumes.items():
        place = places[0]
        try:
            path = tree.archive_path if tree.archive else tree.root / place.name
            volume = open_volume(path, place.name if tree.archive else "")
        except PipelineError as error:
            problems.append(Problem("error", error.text, place.name))
            continue
        typed = options.voxel_spacing_angstrom
        spacing = typed or volume.spacing_angstrom or place.folder_spacing_angstrom
        odd = volume.problems + (() if typed else volume.side_problems)
        problems.extend(Problem("warning", text, place.name) for text in odd)
        if spacing <= 0:
            text = Text("cryoet.no_spacing", file=volume.name)
            problems.append(Problem("error", text, place.name))
        volumes[experiment] = _with_spacing(volume, spacing)
    return volumes


def _with_spacing(volume: Volume, spacing: float) -> Volume:
    factor = spacing / volume.spacing_angstrom if volume.spacing_angstrom else 0.0
    levels = tuple(
        Level(lv.path, lv.shape, lv.spacing_angstrom * factor if factor else spacing * 2**i)
        for i, lv in enumerate(volume.levels)
    )
    return replace(volume, levels=levels)


def _read_picks(
    tree: Tree,
    layout: Layout,
    options: DataOptions,
    particles: Sequence[Particle],
    problems: list[Problem],
) -> dict[str, list[PickFile]]:
    """Read the wanted user's files of every tomogram; curated ones where nobody is named."""
    known = names(particles)
    everybody: dict[str, list[PickFile]] = {}
    result: dict[str, list[PickFile]] = {}
    for experiment, paths in layout.picks.items():
        files: list[PickFile] = []
        for path in paths:
            try:
                found = parse_picks(tree.read(path), file=path)
            except PipelineError as error:
                problems.append(Problem("error", error.text, path))
                continue
            if found.kind not in known:
                text = Text("cryoet.unknown_particle", name=found.kind, known=", ".join(known))
                problems.append(Problem("warning", text, path))
                continue
            files.append(found)
        everybody[experiment] = files
        result[experiment] = choose_files(files, options.picks_user)
        is_theirs = result[experiment] or not files
        if is_theirs and not sum(len(f.positions) for f in result[experiment]):
            text = Text("cryoet.empty_overlay", experiment=experiment)
            problems.append(Problem("warning", text, str(PurePosixPath(paths[0]).parent)))
    problems.extend(whose_problems(everybody, result, options.picks_user))
    return result


def _to_table(
    experiment: str,
    files: Sequence[PickFile],
    particles: Sequence[Particle],
    options: DataOptions,
    spacing: float,
) -> Picks:
    kinds = names(particles)
    positions = np.concatenate([f.positions for f in files])
    if options.picks_unit == "voxel":
        positions = positions * (spacing or 1.0)
    index = np.concatenate([np.full(len(f.positions), kinds.index(f.kind)) for f in files])
    scores = np.concatenate([f.scores for f in files])
    return Picks.of_one(experiment, kinds, index, positions, scores)


def _fingerprints(project: Project) -> tuple[SourceFile, ...]:
    """Fingerprint picks, configuration, headers and a few chunks of every volume."""
    tree, layout = project.tree, project.layout
    files = [tree.source_file(n, "config") for n in layout.configs if _is_small(tree, n)]
    files += [tree.source_file(n, "picks") for paths in layout.picks.values() for n in paths]
    by_zarr: dict[str, list[str]] = {}
    for name in tree.names:
        head, separator, _ = name.partition(".zarr/")
        if separator:
            by_zarr.setdefault(head + ".zarr", []).append(name)
    for experiment in project.volumes:
        place = layout.volumes[experiment][0]
        members = by_zarr.get(place.name, [place.name])
        files += [tree.source_file(n, "tomogram") for n in _standing_for(members)]
    return tuple(files)


def _is_small(tree: Tree, name: str) -> bool:
    return tree.size(name) <= _MAX_CONFIG_BYTES and is_config(tree.read(name))


def _standing_for(members: Sequence[str]) -> list[str]:
    """Choose the files of a Zarr that stand for it: all metadata, evenly spread chunks."""
    heads = [m for m in members if PurePosixPath(m).name.startswith((".z", "zarr.json"))]
    chunks = [m for m in members if m not in set(heads)]
    if len(members) == 1:
        return list(members)
    step = max(1, len(chunks) // _FINGERPRINT_CHUNKS)
    return heads + chunks[::step][:_FINGERPRINT_CHUNKS]


# --- samples --------------------------------------------------------------------------------


@dataclass(frozen=True)
class PicksOnly:
    """Stand in for the image of a tomogram of which only picks are at hand."""

    shape: tuple[int, int, int] = (0, 0, 0)


class LazySamples(Sequence[Sample]):
    """Open tomograms when they are indexed; headers and picks are read once."""

    def __init__(self, project: Project, item_ids: Sequence[str]) -> None:
        self._project = project
        self._item_ids = tuple(item_ids)

    def __len__(self) -> int:
        return len(self._item_ids)

    def __getitem__(self, index: Any) -> Any:  # Sample, or samples for a slice
        if isinstance(index, slice):
            return LazySamples(self._project, self._item_ids[index])
        return _sample(self._project, self._item_ids[index])


def open_samples(record: DatasetRecord, item_ids: Sequence[str] | None = None) -> LazySamples:
    """Open the tomograms of a data set (all of them for None)."""
    tree = tree_of_record(record.root, tuple(f.path for f in record.files))
    project = open_project(tree, record.options, title=record.title)
    wanted = [i.item_id for i in record.items] if item_ids is None else list(item_ids)
    return LazySamples(project, wanted)


def _sample(project: Project, experiment: str) -> Sample:
    volume = project.volumes.get(experiment)
    picks = project.picks.get(experiment)
    truth = None if picks is None else Truth(picks, project.particles)
    shape = volume.shape if volume else (0, 0, 0)
    spacing = volume.spacing_angstrom if volume else 0.0
    return Sample(
        item_id=experiment,
        group=experiment,
        image=volume if volume is not None else PicksOnly(),
        truth=truth,
        meta={
            "geometry": Geometry(shape, spacing, project.options.voxel_offset),
            "particles": project.particles,
            "has_volume": volume is not None,
            "file": volume.name if volume else "",
        },
    )


def open_truths(source: Path) -> dict[str, Truth]:
    """Open the true picks of every tomogram below a path; headers of tomograms are enough.

    Raises:
        DataError: Nothing there can be read, or no tomogram has picks.
    """
    tree, title, _ = _tree_of(source)
    project = open_project(tree, {}, title=title)
    truths = {e: Truth(p, project.particles) for e, p in project.picks.items()}
    if not truths:
        raise DataFormatError(Text("cryoet.no_truth", path=title))
    return truths


def open_source(source: Path) -> LazySamples:
    """Open every tomogram below a path.

    Raises:
        DataError: Nothing there can be read.
    """
    tree, title, _ = _tree_of(source)
    project = open_project(tree, {}, title=title)
    return LazySamples(project, project.experiments())


def require_volume(sample: Sample) -> Sample:
    """Return the sample, or say that only its picks are at hand.

    Raises:
        DataFormatError: The tomogram itself is missing.
    """
    if not sample.meta.get("has_volume", True):
        raise DataFormatError(Text("cryoet.picks_only", experiment=sample.item_id))
    return sample
