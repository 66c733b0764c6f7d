"""Write files so that a reader, a crash or a full disk never meets half of one.

And meet paths and JSON that may come from anybody.
"""

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

from pipelines.errors import (
    DatasetNotFoundError,
    DiskFullError,
    NotWritableError,
    PipelineError,
)
from pipelines.text import Text

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_DENIED = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOENT, errno.ENOTDIR,
        errno.ENAMETOOLONG,
    }
)  # fmt: skip
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
    free = free_bytes(path)
    return DiskFullError(Text("jobs.disk_full", file=path.name, folder=str(path.parent), free=free))


def free_bytes(path: Path) -> int:
    """Return the free space where a path lies or would lie; 0 when nobody can tell."""
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return 0


def _is_denied(error: BaseException, path: Path) -> bool:
    """Tell whether the system refused to write at `path`, and not to read something else."""
    if not isinstance(error, OSError) or error.errno not in _DENIED or error.filename is None:
        return False
    named = Path(os.fsdecode(error.filename))
    is_above = path == named or named in path.parents
    return is_above or named.parent == path.parent or path in named.parents


def no_access(error: BaseException) -> Text | None:
    """Return the sentence for a place that the system refuses, or None for any other error."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    if error.errno not in _DENIED - {errno.ENOENT, errno.EEXIST}:
        return None
    return Text("files.no_access", path=os.fsdecode(error.filename))


@contextmanager
def disk_errors(path: Path, *, leftover: Path | None = None) -> Iterator[None]:
    """Turn what the system has against writing into one sentence that names `path`.

    Args:
        path: What is written.
        leftover: File that is removed when the block fails, however it fails.

    Raises:
        DiskFullError: There is no space.
        NotWritableError: The place may not be written to, or cannot be one.
    """
    try:
        yield
    except BaseException as error:
        if leftover is not None:
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
        if is_disk_full(error) and not isinstance(error, DiskFullError):
            raise disk_full(path) from error
        if _is_denied(error, path) and not isinstance(error, PipelineError):
            raise NotWritableError(Text("files.not_writable", path=str(path))) from error
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


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Write a file beside its place and put it there when the block ends well.

    Yields:
        Where to write; its name ends as that of `path` does.

    Raises:
        DiskFullError: No space; the former file is untouched and nothing is left beside it.
    """
    beside = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        with disk_errors(path):
            yield beside
            replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(
    path: Path,
    value: Any,  # any JSON value
    *,
    makes_folder: bool = False,
) -> None:
    """Replace a JSON file in one step; NaN is written as Python writes and reads it.

    Args:
        path: The file.
        value: Its content.
        makes_folder: Whether a missing folder is made. By default it is not, so that what somebody
            deleted does not come back in part.
    """
    if makes_folder:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def parse_json(content: bytes | str) -> Any:  # whatever JSON holds
    """Read JSON that may come from anybody.

    Raises:
        ValueError: It is no JSON, or nested deeper than anything that is meant well.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


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
    with disk_errors(target):
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
        if path_exists(former) and not target.exists():
            os.replace(former, target)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def typed_path(words: str) -> Path | None:
    """Return the path that somebody typed, links followed, or None for what can be none."""
    try:
        words.encode()  # what is no text could not be written into a record
        return Path(words).expanduser().resolve() if words.strip() else None
    except (OSError, ValueError, RuntimeError):  # NUL, too long, an unknown home, a circle of links
        return None


def existing_path(words: str) -> Path:
    """Return the existing path that somebody typed in a terminal, where any may be read.

    Raises:
        DatasetNotFoundError: Nothing is there.
    """
    path = typed_path(words)
    if path is None or not path_exists(path):
        raise DatasetNotFoundError(Text("jobs.no_such_path", path=words[:200]))
    return path


def path_exists(path: Path) -> bool:
    """Tell whether something stands at a path; what cannot be looked at is not there."""
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _existing(path: Path) -> Path:
    while not path_exists(path) and path != path.parent:
        path = path.parent
    return path
