"""Write files so that a reader, a crash or a full disk never meets half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.errors import DiskFullError
from pipelines.text import Text

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_REPLACE_TRIES = 20


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error, or what caused it, says that the disk or the quota is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DiskFullError) or (isinstance(seen, OSError) and seen.errno in _FULL):
            return True
        # safetensors reports the system's error as a message only
        if "No space left on device" in str(seen) or f"os error {errno.ENOSPC}" in str(seen):
            return True
        seen = seen.__cause__
    return False


def disk_full(path: Path) -> DiskFullError:
    """Say which file could not be written, how much space is left, and what to do."""
    try:
        free = shutil.disk_usage(_existing(path)).free
    except OSError:
        free = 0
    return DiskFullError(Text("jobs.disk_full", file=path.name, folder=str(path.parent), free=free))


@contextmanager
def disk_errors(path: Path, *, leftover: Path | None = None) -> Iterator[None]:
    """Turn "no space left" inside the block into a `DiskFullError` that names `path`.

    Args:
        path: What is written.
        leftover: File that is removed when the block fails, however it fails.
    """
    try:
        yield
    except BaseException as error:
        if leftover is not None:
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
        if is_disk_full(error) and not isinstance(error, DiskFullError):
            raise disk_full(path) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step: written beside it, flushed to the disk, then renamed.

    Raises:
        DiskFullError: No space; the previous file is untouched and nothing is left beside it.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with disk_errors(path):
            _write_through(beside, content)
            replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:  # any JSON value
    """Replace a JSON file in one step; NaN is written as Python writes and reads it."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def replace(source: Path, target: Path) -> None:
    """Rename over a file; on Windows wait for a reader that holds it open for a moment."""
    for attempt in range(_REPLACE_TRIES):
        try:
            os.replace(source, target)
        except PermissionError:
            if os.name != "nt" or attempt == _REPLACE_TRIES - 1:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Fill a folder beside `target` and put it in its place when the block ends well.

    Yields:
        An empty folder; what is written there becomes `target`, whose former content goes.

    Raises:
        DiskFullError: No space; the former `target` is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    beside = target.with_name(f".{target.name}.{mark}.part")
    former = target.with_name(f".{target.name}.{mark}.former")
    try:
        with disk_errors(target):
            beside.mkdir()
            yield beside
        if target.exists():
            os.replace(target, former)
        os.replace(beside, target)
    except BaseException:
        if former.exists() and not target.exists():
            os.replace(former, target)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
