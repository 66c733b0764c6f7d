"""Keep the sample that each task generates, so that there is something to look at at once."""

from __future__ import annotations

import hashlib
import inspect
import secrets
import shutil
from pathlib import Path

from pipelines.contract import DatasetRecord, Task
from pipelines.datasets.records import register
from pipelines.settings import Settings


def builtin_sample(task: Task, settings: Settings) -> DatasetRecord:
    """Return the task's generated sample, written the first time that it is asked for.

    The folder carries a stamp of the generator's code, so that a changed generator makes a new
    sample and runs keep the one that they were made with.
    """
    folder = settings.data / "samples" / task.id / f"sample-{generator_stamp(task)}"
    if not folder.is_dir():
        _write(task, folder)
    return register(task, folder, {}, settings, is_generated=True)


def generator_stamp(task: Task) -> str:
    """Return a fingerprint of the code that generates the sample."""
    module = Path(inspect.getfile(type(task)))
    generator = module.parent / "fake.py"
    source = generator if generator.is_file() else module
    return hashlib.sha256(source.read_bytes()).hexdigest()[:8]


def _write(task: Task, folder: Path) -> None:
    """Write beside and rename, so that a sample is whole or not there, whoever writes first."""
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    beside.mkdir(parents=True)
    try:
        task.write_builtin_sample(beside)
        beside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
