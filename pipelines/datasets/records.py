"""Register, find, check and remove data sets."""

from __future__ import annotations

import functools
import hashlib
import logging
import re
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipelines.contract import DatasetRecord, Inspection, Item, Problem, SourceFile, Task
from pipelines.core.files import parse_json, write_json
from pipelines.core.images_files import ImageFile, file_sha256
from pipelines.datasets.reports import save_report
from pipelines.datasets.sources import proposed_title
from pipelines.datasets.storage import checked_name, dataset_folder
from pipelines.datasets.uploads import (
    bring_upload_back,
    empty_trash,
    old_uploads,
    set_upload_aside,
)
from pipelines.errors import DataFormatError, DatasetNotFoundError, PipelineError
from pipelines.settings import Settings
from pipelines.text import Text

INDEX_MARK: Final = "index:"
"""Begins the fingerprint of a source that stands for many files: a hash over their directory."""
_FINGERPRINT_DIGITS: Final = 10
_log = logging.getLogger(__name__)


def register(
    task: Task,
    source: Path,
    options: Mapping[str, str],
    settings: Settings,
    *,
    title: str | None = None,
    is_generated: bool = False,
) -> DatasetRecord:
    """Inspect what stands at a path and record it as a data set.

    The same content registered again gives the same data set: place and options are brought up to
    date, its name, owner and date stay. A copy of the built-in sample is the built-in sample, which
    stays where the product keeps it: the copy may be thrown away.

    Args:
        task: Task that will read it.
        source: Existing path that may be read (see `resolve_source`).
        options: Choices that replace what is detected.
        settings: Folders of this installation.
        title: Name that people see; None takes that of `proposed_title`.
        is_generated: Whether the product's own code made the files.

    Raises:
        DataError: The source cannot be used; the text is the first reason.
    """
    found = task.inspect(source, options)
    _refuse_unusable(found, source)
    proposed = proposed_title(source, found, settings)
    fingerprint = content_fingerprint(task.id, found)
    known = _find(fingerprint, settings)
    root = found.root
    if known is not None and known.is_generated and not is_generated and known.root.exists():
        source = root = known.root
    record = DatasetRecord(
        dataset_id=known.dataset_id if known else f"{_slug(title or proposed)}-{fingerprint}",
        task_id=task.id,
        title=title or (known.title if known else proposed),
        root=root,
        files=found.files,
        items=found.items,
        options=dict(found.options),
        owner=known.owner if known else settings.owner,
        created=known.created if known else datetime.now(UTC).isoformat(timespec="milliseconds"),
        is_generated=is_generated or (known is not None and known.is_generated),
    )
    if record != known:
        write_json(_path(record.dataset_id, settings), record_to_json(record), makes_folder=True)
    save_report(record.dataset_id, source, options, found, settings)
    return record


def content_fingerprint(task_id: str, found: Inspection) -> str:
    """Return the fingerprint of a data set's content: names, roles and bytes, not its place."""
    digest = hashlib.sha256(task_id.encode())
    for file in found.files:
        digest.update(f"\n{file.role} {file.sha256} {file.path}".encode())
    return digest.hexdigest()[:_FINGERPRINT_DIGITS]


def list_datasets(settings: Settings, task_id: str | None = None) -> list[DatasetRecord]:
    """List the registered data sets (of one task), newest first; unreadable ones are logged."""
    records = []
    for path in (settings.data / "datasets").glob("*/record.json"):
        try:
            records.append(load_dataset(path.parent.name, settings))
        except PipelineError as error:
            _log.warning("data set %s cannot be read: %s", path.parent.name, error)
    wanted = [r for r in records if task_id in (None, r.task_id)]
    return sorted(wanted, key=lambda r: (r.created, r.dataset_id), reverse=True)


def load_dataset(dataset_id: str, settings: Settings) -> DatasetRecord:
    """Read one record.

    Raises:
        DatasetNotFoundError: No data set has that id.
        DataFormatError: Its file is damaged.
    """
    path = _path(dataset_id, settings)
    if not path.is_file():
        raise DatasetNotFoundError(Text("data.unknown_dataset", dataset=dataset_id))
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFormatError(Text("data.broken_record", dataset=dataset_id)) from error


@functools.lru_cache(maxsize=32)
def _read(path: Path, stamp: int) -> DatasetRecord:
    """Read a record once while its file stays: that of 220,025 pictures takes over a second."""
    del stamp  # part of the key alone
    return record_from_json(parse_json(path.read_bytes()))


def delete_dataset(dataset_id: str, settings: Settings) -> None:
    """Move a record with its splits to the trash, and an upload that nothing else uses.

    Files that were opened by their path are not touched.
    """
    folder = dataset_folder(dataset_id, settings)
    if not folder.is_dir():
        raise DatasetNotFoundError(Text("data.unknown_dataset", dataset=dataset_id))
    root = _root_of(folder)
    trash = _trash(dataset_id, settings)
    if trash.exists():
        shutil.rmtree(trash)
    trash.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(trash)
    if root is not None:
        discard_upload(root, settings)


def discard_upload(folder: Path, settings: Settings) -> None:
    """Move the upload that a folder lies in to the trash, unless a data set uses it.

    Args:
        folder: Folder of the upload or inside it; any other place is left alone.
        settings: Folders of this installation.
    """
    used = _roots(settings)
    if used is not None:
        set_upload_aside(folder, used, settings)


def discard_old_uploads(settings: Settings) -> None:
    """Move uploads to the trash that nothing was made of for long, and empty it of what is old.

    Their page was closed before they were used, or showed an import that was given up.
    """
    old = old_uploads(settings)
    used = _roots(settings) if old else None
    for folder in old if used is not None else ():
        try:
            set_upload_aside(folder, used or (), settings)
        except OSError:  # another server on the same folders was first, or a file of it is open
            _log.warning("the unused upload %s stays", folder, exc_info=True)
    empty_trash(settings)


def _roots(settings: Settings) -> list[Path] | None:
    """Return where the files of all data sets lie; None if one, unreadable, may use any upload."""
    records = (settings.data / "datasets").glob("*/record.json")
    roots = [_root_of(path.parent) for path in records]
    known = [root for root in roots if root is not None]
    return known if len(known) == len(roots) else None


def _root_of(folder: Path) -> Path | None:
    """Return where the files of a record lie, or None where the record cannot be read."""
    try:
        return Path(parse_json((folder / "record.json").read_bytes())["root"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def restore_dataset(dataset_id: str, settings: Settings) -> DatasetRecord:
    """Take a record back out of the trash; one registered anew in the meantime stays."""
    folder, trash = dataset_folder(dataset_id, settings), _trash(dataset_id, settings)
    if trash.is_dir() and not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        trash.replace(folder)
    record = load_dataset(dataset_id, settings)
    bring_upload_back(record.root, settings)
    return record


def verify_files(record: DatasetRecord) -> list[Problem]:
    """Compare the files with their fingerprints and name those that changed or vanished."""
    problems = []
    for file in record.files:
        image = image_file(record, file)
        if file.sha256.startswith(INDEX_MARK) and (record.root / file.path).exists():
            continue  # of many small files the task keeps an index, and reads what it says
        try:
            is_same = file_sha256(image) == file.sha256
        except (OSError, KeyError, PipelineError):
            text = Text("data.file_vanished", file=file.path, root=str(record.root))
            problems.append(Problem("error", text, file.path))
            continue
        if not is_same:
            problems.append(Problem("error", Text("data.file_changed", file=file.path), file.path))
    return problems


def image_file(record: DatasetRecord, file: SourceFile) -> ImageFile:
    """Return where a file of a record lies."""
    outer, _, member = file.path.partition("!")
    if member and not (record.root / file.path).exists():
        return ImageFile(record.root / outer, member, file.path)
    return ImageFile(record.root / file.path, name=file.path)


def record_to_json(record: DatasetRecord) -> dict[str, Any]:
    """Return a record as plain JSON values."""
    return {**asdict(record), "root": str(record.root), "options": dict(record.options)}


def record_from_json(data: Mapping[str, Any]) -> DatasetRecord:
    """Rebuild a record from `record_to_json`.

    Raises:
        ValueError: A file lies outside of the record's root.
    """
    if any(f["path"][:1] == "/" or ".." in f["path"].split("/") for f in data["files"]):
        raise ValueError("a file lies outside of the root")
    return DatasetRecord(
        dataset_id=checked_name(data["dataset_id"]),
        task_id=str(data["task_id"]),
        title=str(data["title"]),
        root=Path(data["root"]),
        files=tuple(SourceFile(**file) for file in data["files"]),
        items=tuple(Item(**item) for item in data["items"]),
        options={str(k): str(v) for k, v in data["options"].items()},
        owner=str(data["owner"]),
        created=str(data["created"]),
        is_generated=bool(data.get("is_generated", False)),
    )


def rename_dataset(dataset_id: str, title: str, settings: Settings) -> DatasetRecord:
    """Give a data set another name for people; its id stays."""
    record = replace(load_dataset(dataset_id, settings), title=title.strip() or dataset_id)
    write_json(_path(dataset_id, settings), record_to_json(record), makes_folder=True)
    return record


def _refuse_unusable(found: Inspection, source: Path) -> None:
    if found.is_usable:
        return
    reasons = [p.text for p in found.problems if p.severity == "error"]
    raise DataFormatError(reasons[0] if reasons else Text("data.no_items", path=source.name))


def _find(fingerprint: str, settings: Settings) -> DatasetRecord | None:
    for path in (settings.data / "datasets").glob(f"*-{fingerprint}/record.json"):
        try:
            return load_dataset(path.parent.name, settings)
        except PipelineError:
            _log.warning("replacing the damaged record %s", path)
    return None


def _slug(title: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")[:40].strip("-") or "data"


def _path(dataset_id: str, settings: Settings) -> Path:
    return dataset_folder(dataset_id, settings) / "record.json"


def _trash(dataset_id: str, settings: Settings) -> Path:
    return settings.data / "trash" / checked_name(dataset_id)
