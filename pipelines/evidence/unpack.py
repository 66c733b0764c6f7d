"""Bring in the run of an evidence pack, to look at it here and to compare with it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines import datasets
from pipelines.core.files import disk_errors, is_disk_full, parse_json, write_json
from pipelines.errors import DataError, JobError, RunConflictError
from pipelines.evidence.manifest import RUN_FOLDER
from pipelines.evidence.models import extract_member, manifest_in, opened_zip
from pipelines.jobs.store import REQUEST, Run, Status, read_run
from pipelines.settings import Settings
from pipelines.text import Text


def import_pack(source: Path, settings: Settings) -> Run:
    """Bring in the run of a pack; every file is compared with its fingerprint.

    Args:
        source: Zip that `pack` or the page wrote.
        settings: Where runs lie, and how large a pack may be.

    Raises:
        JobError: It is no pack, one of a later version, or a file of it was changed.
        RunConflictError: The run is here already.
        CheckpointError: The zip is hostile, too large or damaged.
    """
    if not zipfile.is_zipfile(source):
        raise JobError(Text("evidence.no_pack", file=source.name))
    with opened_zip(source, settings) as archive:
        manifest = manifest_in(archive, source.name)
        target = settings.runs / _checked_name(manifest.get("run_id"), source)
        if target.exists():
            raise RunConflictError(Text("evidence.run_is_here", run=target.name))
        beside = settings.runs / f".{target.name}.{secrets.token_hex(4)}.part"
        try:
            with disk_errors(target):
                _extract(archive, manifest, beside, settings)
            _settle(beside, target, settings)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return read_run(target)


def _extract(
    archive: zipfile.ZipFile, manifest: Mapping[str, Any], folder: Path, settings: Settings
) -> None:
    """Write the run's files, each as large and as it was when it was packed."""
    folder.mkdir(parents=True)
    for name, sha256 in dict(manifest["files"]).items():
        path = PurePosixPath(name)
        if path.parts[:1] != (RUN_FOLDER,) or ".." in path.parts:
            continue
        place = folder.joinpath(*path.parts[1:])
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            extract_member(archive, name, place, settings.max_input_bytes)
        except (KeyError, ValueError, OSError) as error:  # one name twice, a name too long
            if is_disk_full(error):
                raise
            raise JobError(Text("evidence.changed_pack", file=name)) from error
        with place.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise JobError(Text("evidence.changed_pack", file=name))


def _settle(folder: Path, target: Path, settings: Settings) -> None:
    """Point the run at its places here, and put it among the others."""
    run = read_run(folder)
    if run.status is not Status.FINISHED:  # only finished ones are packed; no worker stands by it
        raise JobError(Text("evidence.changed_pack", file=f"{RUN_FOLDER}/state.json"))
    checkpoint = str(target / "checkpoint") if run.request.action == "predict" else ""
    request = dataclasses.replace(
        run.request, run_id=target.name, checkpoint=checkpoint, output="", owner=settings.owner
    )
    write_json(folder / REQUEST, dataclasses.asdict(request))
    record = _checked_record(folder / "dataset.json")
    write_json(folder / "dataset.json", {**record, "root": str(_root(record, settings))})
    os.replace(folder, target)


def _checked_record(file: Path) -> Mapping[str, Any]:
    """Read the record of the data that the run was made from, as plain JSON."""
    try:
        return datasets.record_to_json(datasets.record_from_json(parse_json(file.read_bytes())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(Text("evidence.changed_pack", file=f"{RUN_FOLDER}/{file.name}")) from error


def _root(record: Mapping[str, Any], settings: Settings) -> Path:
    """Return where the same data lie here, or a place where nothing lies."""
    try:
        known = datasets.load_dataset(str(record["dataset_id"]), settings)
    except (DataError, KeyError):
        return settings.data / "not-here"
    return known.root


def _checked_name(name: Any, source: Path) -> str:  # whatever the manifest says
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name):
        raise JobError(Text("evidence.no_pack", file=source.name))
    return name
