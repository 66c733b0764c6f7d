"""Read and write what copick keeps: configuration, and picks as JSON, one file a kind.

Written by ourselves because the package drags in more than a hundred others; that it opens what we
write, and that we read what it writes, is tested where it is installed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.files import parse_json, write_json
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.particles import Particle, from_copick
from pipelines.tasks.cryoet_picking.picks import FARTHEST_ANGSTROM, Floats, Picks
from pipelines.text import Text

CURATED_USER = "curation"
SIMULATED = "SIMULATED"  # first word of the description of what the product itself simulated
_SAFE = re.compile(r"[^\W_](?:[^\W_]|[.\-])*")  # letters of any language


@dataclass(frozen=True)
class PickFile:
    """Hold the content of one JSON file of picks.

    Attributes:
        kind: Name of the particle.
        user: Who picked.
        session: Session of that user.
        run_name: Tomogram that the file names.
        positions: `(N, 3)` float64, z y x, in the unit of the file (angstrom by the format).
        scores: `(N,)` float64, ones where the file has none.
    """

    kind: str
    user: str
    session: str
    run_name: str
    positions: Floats
    scores: Floats


@dataclass(frozen=True)
class CopickConfig:
    """Hold what a copick configuration says.

    Attributes:
        name: Name of the project.
        particles: Kinds of particle.
        static_root: Folder of the tomograms as written there.
        overlay_root: Folder of the picks as written there.
        is_simulated: Whether it calls its tomograms simulated.
    """

    name: str
    particles: tuple[Particle, ...]
    static_root: str
    overlay_root: str
    is_simulated: bool


def parse_picks(content: bytes, *, file: str) -> PickFile:
    """Read one JSON file of picks.

    Raises:
        DataFormatError: Cut in half, not JSON, without a particle name, or without coordinates.
    """
    data = _parse_json(content, file)
    if not isinstance(data, dict) or not data.get("pickable_object_name"):
        raise DataFormatError(Text("cryoet.no_pick_file", file=file))
    points = data.get("points") or []
    if not isinstance(points, list) or not isinstance(data["pickable_object_name"], str):
        raise DataFormatError(Text("cryoet.bad_point", file=file))
    try:
        places = [[float(p["location"][axis]) for axis in "zyx"] for p in points]
        scores = [float(p.get("score", 1.0) or 0.0) for p in points]
    except (KeyError, TypeError, ValueError):
        raise DataFormatError(Text("cryoet.bad_point", file=file)) from None
    positions = np.array(places, np.float64).reshape(-1, 3)
    if not (np.abs(positions) <= FARTHEST_ANGSTROM).all():  # NaN is none either
        raise DataFormatError(Text("cryoet.bad_point", file=file))
    return PickFile(
        kind=str(data["pickable_object_name"]),
        user=str(data.get("user_id", "")),
        session=str(data.get("session_id", "")),
        run_name=str(data.get("run_name", "")),
        positions=positions,
        scores=np.array(scores, np.float64),
    )


def choose_files(files: Sequence[PickFile], wanted: str) -> list[PickFile]:
    """Take one person's picks of one tomogram, of each kind those of the last session.

    Sessions of copick are versions of the same work: together they would hold every pick twice.

    Args:
        files: Picks of everybody.
        wanted: A user, or user and session as in file names ("ann_2"); "" takes the curated picks,
            and without them those of the first user.
    """
    users = {f.user for f in files}
    user, _, session = (wanted, "", "") if wanted in users else wanted.partition("_")
    if not user and files:
        user = CURATED_USER if CURATED_USER in users else min(users)
    own = [f for f in files if f.user == user and session in ("", f.session)]
    last = {f.kind: f for f in sorted(own, key=lambda f: _in_order(f.session))}
    return [f for f in own if last[f.kind] is f]


def _in_order(session: str) -> list[tuple[int, str]]:
    """Sort 10 behind 9, and numbers before words."""
    return [(int(p), "") if p.isdecimal() else (0, p) for p in re.split(r"(\d+)", session) if p]


def parse_config(content: bytes, *, file: str) -> CopickConfig:
    """Read a copick configuration.

    Raises:
        DataFormatError: Not JSON, or without `pickable_objects`.
    """
    data = _parse_json(content, file)
    if not isinstance(data, dict) or not isinstance(data.get("pickable_objects"), list):
        raise DataFormatError(Text("cryoet.no_config", file=file))
    return CopickConfig(
        name=str(data.get("name", "")),
        particles=from_copick(data["pickable_objects"]),
        static_root=_plain_path(data.get("static_root")),
        overlay_root=_plain_path(data.get("overlay_root")),
        is_simulated=str(data.get("description", "")).startswith(SIMULATED),
    )


def is_config(content: bytes) -> bool:
    """Tell whether a JSON file looks like a copick configuration."""
    return b'"pickable_objects"' in content


def _parse_json(content: bytes, file: str) -> Any:  # whatever JSON holds
    try:
        return parse_json(content)
    except ValueError as error:
        raise DataFormatError(Text("cryoet.broken_json", file=file)) from error


def _plain_path(value: Any) -> str:
    """Drop the scheme of a local address; other addresses are named as they are."""
    text = str(value or "")
    for scheme in ("local://", "file://"):
        text = text.removeprefix(scheme)
    return text


def checked_user(name: str) -> str:
    """Return a user or session name that is safe in a file name.

    copick separates user, session and particle by underscores, so that a name holds none.

    Raises:
        DataFormatError: Other characters than letters, digits, dots and hyphens.
    """
    if not _SAFE.fullmatch(name):
        raise DataFormatError(Text("cryoet.bad_user", name=name))
    return name


def picks_path(overlay: Path, experiment: str, kind: str, *, user: str, session: str) -> Path:
    """Return where copick keeps the picks of one kind by one user."""
    folder = overlay / "ExperimentRuns" / experiment / "Picks"
    if user == CURATED_USER:
        return folder / f"{kind}.json"
    return folder / f"{checked_user(user)}_{checked_user(session)}_{kind}.json"


def write_picks(
    overlay: Path,
    picks: Picks,
    *,
    user: str,
    session: str,
    kinds: Sequence[str] = (),
) -> list[Path]:
    """Write the picks of one or more tomograms, one file a tomogram and kind.

    Args:
        overlay: Root of the overlay tree.
        picks: What to write.
        user: Name of the person or program; "curation" stands for the true picks.
        session: Session of that user.
        kinds: Kinds that get a file even without a pick; empty for those that have picks.

    Returns:
        The files written.
    """
    written = []
    for experiment in picks.experiments:
        own = picks.of_experiment(experiment)
        for kind, count in {**dict.fromkeys(kinds, 0), **own.counts()}.items():
            if not count and kind not in kinds:
                continue
            path = picks_path(overlay, experiment, kind, user=user, session=session)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = _to_json(own.of_kind(kind), experiment, kind, user, session)
            write_json(path, content)
            written.append(path)
    return written


def _to_json(picks: Picks, experiment: str, kind: str, user: str, session: str) -> dict[str, Any]:
    identity = np.eye(4).tolist()
    points = [
        {
            "location": {"x": float(x), "y": float(y), "z": float(z)},
            "transformation_": identity,
            "instance_id": 0,
            "score": float(score),
        }
        for (z, y, x), score in zip(picks.positions, picks.scores, strict=True)
    ]
    return {
        "pickable_object_name": kind,
        "user_id": user,
        "session_id": session,
        "run_name": experiment,
        "voxel_spacing": None,
        "unit": "angstrom",
        "points": points,
        "trust_orientation": False,
    }
