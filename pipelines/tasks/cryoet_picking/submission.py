"""Write, read and check the challenge's `submission.csv`: id, experiment, particle, x, y, z."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.contract import Problem
from pipelines.core.files import write_bytes
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.particles import Particle, names
from pipelines.tasks.cryoet_picking.picks import FARTHEST_ANGSTROM, Picks
from pipelines.text import Text

COLUMNS: Final = ("id", "experiment", "particle_type", "x", "y", "z")
FILENAME: Final = "submission.csv"
_MOST_COLUMNS: Final = 100  # every row holds all of them: a header of millions fills the memory
_OTHER_MARKS: Final = {";": "cryoet.csv_semicolon", "\t": "cryoet.csv_tab"}


def to_csv(picks: Picks, particles: Sequence[Particle]) -> bytes:
    """Return the submission: one row a pick, sorted by tomogram and kind, ids counted from 0.

    Kinds of weight 0 are left out: they are not scored.
    """
    scored = {p.name for p in particles if p.weight > 0}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    order = np.lexsort((-picks.scores, picks.kind_index, picks.experiment_index))
    number = 0
    for row in order:
        kind = picks.kinds[int(picks.kind_index[row])]
        if kind not in scored:
            continue
        z, y, x = (f"{v:.3f}" for v in picks.positions[row])
        writer.writerow(
            [number, picks.experiments[int(picks.experiment_index[row])], kind, x, y, z]
        )
        number += 1
    return buffer.getvalue().encode()


def write_submission(path: Path, picks: Picks, particles: Sequence[Particle]) -> None:
    """Replace a submission file."""
    write_bytes(path, to_csv(picks, particles))


def read_submission(content: bytes, particles: Sequence[Particle], *, file: str) -> Picks:
    """Read a submission; scores are ones.

    Raises:
        DataFormatError: A missing column, an unknown particle, or a coordinate that is no number.
    """
    rows = _read_rows(content, file)
    kinds = names(particles)
    numbers = {name: k for k, name in enumerate(kinds)}
    experiments: dict[str, int] = {}
    experiment_index, kind_index, positions = [], [], []
    for line, row in enumerate(rows, start=2):
        if row["particle_type"] not in numbers:
            name, known = row["particle_type"], ", ".join(kinds)
            text = Text("cryoet.csv_particle", file=file, line=line, name=name, known=known)
            raise DataFormatError(text)
        experiment = str(row["experiment"])
        experiment_index.append(experiments.setdefault(experiment, len(experiments)))
        kind_index.append(numbers[row["particle_type"]])
        try:
            positions.append([float(row[axis]) for axis in "zyx"])
        except (TypeError, ValueError):
            raise DataFormatError(Text("cryoet.csv_number", file=file, line=line)) from None
    places = np.array(positions, np.float64).reshape(-1, 3)
    is_place = (np.abs(places) <= FARTHEST_ANGSTROM).all(1)  # NaN is none either
    if not is_place.all():
        bad = int(np.flatnonzero(~is_place)[0]) + 2
        raise DataFormatError(Text("cryoet.csv_number", file=file, line=bad))
    return Picks(
        tuple(experiments),
        kinds,
        np.array(experiment_index, np.int64),
        np.array(kind_index, np.int64),
        places,
        np.ones(len(places)),
    )


def _read_rows(content: bytes, file: str) -> list[dict[str, str]]:
    """Read a table whose rows have all columns that are needed."""
    if not content.strip():
        raise DataFormatError(Text("cryoet.csv_empty", file=file))
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        header = tuple(h.strip() for h in reader.fieldnames or ())
        if len(header) > _MOST_COLUMNS:
            raise DataFormatError(Text("cryoet.not_csv", file=file))
        reader.fieldnames = header
        rows = list(reader)  # a field without end is an error of the row that it stands in
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataFormatError(Text("cryoet.not_csv", file=file)) from error
    for mark, text_id in _OTHER_MARKS.items():
        if len(header) == 1 and mark in header[0]:
            raise DataFormatError(Text("cryoet.csv_separator", file=file, mark=Text(text_id)))
    if missing := [c for c in COLUMNS[1:] if c not in header]:
        raise DataFormatError(
            Text("cryoet.csv_columns", file=file, missing=", ".join(missing), n=len(missing))
        )
    for line, row in enumerate(rows, start=2):
        if None in row.values():
            raise DataFormatError(Text("cryoet.csv_short", file=file, line=line))
    return rows


def check_submission(
    content: bytes,
    particles: Sequence[Particle],
    geometries: Mapping[str, Geometry],
    *,
    file: str = FILENAME,
) -> list[Problem]:
    """List what is wrong with a submission: ids, names, units, axes, bounds, duplicates.

    Args:
        content: The file.
        particles: Kinds that are allowed.
        geometries: Tomograms that are expected, with their size.
        file: Its name.

    Returns:
        Errors make it invalid or surely mistaken, warnings ask for a look; empty if all is well.
    """
    try:
        picks = read_submission(content, particles, file=file)
    except DataFormatError as error:
        return [Problem("error", error.text, file)]
    found = _id_problems(content, file)
    unknown = sorted(set(picks.experiments) - set(geometries))
    missing = sorted(set(geometries) - set(picks.experiments))
    if unknown:
        found.append(
            Problem("warning", Text("cryoet.csv_unknown", n=len(unknown), names=unknown[:5]), file)
        )
    if missing:
        found.append(
            Problem("warning", Text("cryoet.csv_missing", n=len(missing), names=missing[:5]), file)
        )
    for experiment in picks.experiments:
        if experiment in geometries:
            own = picks.of_experiment(experiment)
            found += _place_problems(own, geometries[experiment], experiment, file)
    return found


def _id_problems(content: bytes, file: str) -> list[Problem]:
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    header = [h.strip() for h in reader.fieldnames or ()]
    if "id" not in header:
        return [Problem("error", Text("cryoet.csv_columns", file=file, missing="id", n=1), file)]
    reader.fieldnames = header
    for expected, row in enumerate(reader):
        if str(row["id"]).strip() != str(expected):
            text = Text("cryoet.csv_ids", line=expected + 2, got=str(row["id"]), expected=expected)
            return [Problem("error", text, file)]
    return []


def _place_problems(picks: Picks, geometry: Geometry, experiment: str, file: str) -> list[Problem]:
    """Look at one tomogram: coordinates in voxels, swapped axes, outside, on one another."""
    if not len(picks) or min(geometry.shape) < 1:
        return []
    size = np.array(geometry.shape) * geometry.spacing_angstrom
    top = picks.positions.max(0)
    if len(picks) >= 5 and (top[1:] < 0.2 * size[1:]).all() and (top <= geometry.shape).all():
        return [Problem("error", Text("cryoet.csv_voxels", experiment=experiment), file)]
    outside = ((picks.positions < 0) | (picks.positions > size)).any(1)
    fits_swapped = ((picks.positions[:, ::-1] >= 0) & (picks.positions[:, ::-1] <= size)).all()
    if outside.any() and fits_swapped:
        return [Problem("error", Text("cryoet.csv_axes", experiment=experiment), file)]
    found = []
    if n := int(outside.sum()):
        text = Text("cryoet.picks_outside", n=n, experiment=experiment)
        found.append(Problem("warning", text, file))
    rows = np.column_stack([picks.kind_index, np.round(picks.positions, 3)])
    if n := len(rows) - len(np.unique(rows, axis=0)):
        text = Text("cryoet.csv_duplicates", n=n, experiment=experiment)
        found.append(Problem("warning", text, file))
    return found
