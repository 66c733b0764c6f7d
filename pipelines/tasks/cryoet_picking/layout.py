"""Find tomograms and picks among file names: the challenge's tree, copick, or single volumes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.tasks.cryoet_picking.volumes import SUFFIXES

_VOLUME = re.compile(
    r"(?:^|.*/)ExperimentRuns/([^/]+)/VoxelSpacing([0-9]+(?:[.][0-9]+)?)/([^/]+)\.zarr/(.+)$"
)
_OTHERS = re.compile(r"(?:^|.*/)ExperimentRuns/[^/]+/(?:Segmentations|Meshes|Picks)/")
_PICKS = re.compile(r"(?:^|.*/)ExperimentRuns/([^/]+)/Picks/([^/]+)\.json$")
_ZARR_HEAD = re.compile(r"(.+\.zarr)/(?:\.zgroup|\.zattrs|\.zarray|zarr\.json)$")
# The type that most entrants used comes first.
TOMOGRAM_TYPES = ("denoised", "isonetcorrected", "ctfdeconvolved", "wbp")


@dataclass(frozen=True)
class Place:
    """Name one tomogram.

    Attributes:
        name: Relative name of the file or Zarr folder.
        tomogram_type: "denoised", "wbp", ... or "" for a single volume.
        folder_spacing_angstrom: Spacing that the folder's name states, 0 without one.
    """

    name: str
    tomogram_type: str
    folder_spacing_angstrom: float


@dataclass(frozen=True)
class Layout:
    """Hold what stands where.

    Attributes:
        volumes: Experiment to its tomograms, the preferred type first.
        picks: Experiment to its JSON files.
        configs: JSON files that may be a copick configuration.
    """

    volumes: Mapping[str, tuple[Place, ...]]
    picks: Mapping[str, tuple[str, ...]]
    configs: tuple[str, ...]

    def experiments(self) -> tuple[str, ...]:
        """List every tomogram that has a volume or picks."""
        return tuple(sorted({*self.volumes, *self.picks}))


def find_layout(names: Iterable[str], *, preferred_type: str = "") -> Layout:
    """Sort relative file names into tomograms, picks and configurations.

    Args:
        names: Relative names with forward slashes.
        preferred_type: Tomogram type to use where there are several; "" takes the first of
            `TOMOGRAM_TYPES`.
    """
    volumes: dict[str, dict[str, Place]] = {}
    picks: dict[str, list[str]] = {}
    configs = []
    listed = sorted(names)
    for name in listed:
        if match := _PICKS.match(name):
            picks.setdefault(match[1], []).append(name)
        elif match := _VOLUME.match(name):
            zarr = name[: -len(match[4]) - 1]
            place = Place(zarr, match[3], float(match[2]))
            volumes.setdefault(match[1], {}).setdefault(zarr, place)
        elif name.endswith(".json") and ".zarr/" not in name:
            configs.append(name)
    if not volumes:
        volumes = _single_volumes(listed)
    order = [preferred_type, *TOMOGRAM_TYPES]
    return Layout(
        {e: tuple(sorted(p.values(), key=lambda q: _rank(q, order))) for e, p in volumes.items()},
        {e: tuple(files) for e, files in picks.items()},
        tuple(configs),
    )


def _rank(place: Place, order: list[str]) -> tuple[int, str]:
    known = place.tomogram_type in order
    return (order.index(place.tomogram_type) if known else len(order), place.name)


def _single_volumes(names: Iterable[str]) -> dict[str, dict[str, Place]]:
    """Take every volume file, and every Zarr folder that lies in no other, by its stem."""
    found: dict[str, dict[str, Place]] = {}
    for name in names:
        path = PurePosixPath(name)
        if _OTHERS.match(name):
            continue  # masks that copick keeps as Zarr too
        if _ZARR_HEAD.match(name):
            zarr = name[: name.index(".zarr/") + 5]
            found.setdefault(PurePosixPath(zarr).stem, {}).setdefault(zarr, Place(zarr, "", 0.0))
        elif ".zarr/" not in name and path.suffix.lower() in SUFFIXES:
            found.setdefault(path.stem, {}).setdefault(name, Place(name, "", 0.0))
    return found
