"""Keep the sample that each task generates, so that there is something to look at at once."""

from __future__ import annotations

import hashlib
import inspect
import json
import secrets
import shutil
from pathlib import Path

from pipelines.contract import DatasetRecord, Task
from pipelines.core.files import disk_errors, write_json
from pipelines.datasets.records import load_dataset, register
from pipelines.datasets.reports import load_report
from pipelines.errors import DataError
from pipelines.settings import Settings
from pipelines.text import Text, verbatim


def builtin_sample(task: Task, settings: Settings) -> DatasetRecord:
    """Return the task's generated sample, written the first time that it is asked for.

    The folder carries a stamp of the generator's code, so that a changed generator makes a new
    sample and runs keep the one that they were made with.
    """
    folder = settings.data / "samples" / task.id / f"sample-{generator_stamp(task)}"
    known = _known(folder, settings)
    if known is not None and load_report(known.dataset_id, settings) is not None:
        return known
    if not folder.is_dir():
        _write(task, folder)
    record = register(task, folder, {}, settings, title="sample", is_generated=True)
    write_json(_marker(folder), {"dataset_id": record.dataset_id}, makes_folder=True)
    return record


def dataset_title(record: DatasetRecord) -> Text:
    """Return the name of a data set for people; what the product generated is called so."""
    return Text("data.sample") if record.is_generated else verbatim(record.title)


def generator_stamp(task: Task) -> str:
    """Return a fingerprint of the code that generates the sample."""
    module = Path(inspect.getfile(type(task)))
    generator = module.parent / "fake.py"
    source = generator if generator.is_file() else module
    return hashlib.sha256(source.read_bytes()).hexdigest()[:8]


def _known(folder: Path, settings: Settings) -> DatasetRecord | None:
    """Return the record of a sample that was registered before, without looking at its pixels."""
    try:
        named = json.loads(_marker(folder).read_text(encoding="utf-8"))["dataset_id"]
        return load_dataset(named, settings) if folder.is_dir() else None
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None


def _marker(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _write(task: Task, folder: Path) -> None:
    """Write beside and rename, so that a sample is whole or not there, whoever writes first."""
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        with disk_errors(folder):
            beside.mkdir(parents=True)
            task.write_builtin_sample(beside)
        beside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
