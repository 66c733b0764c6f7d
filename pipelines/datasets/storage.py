"""Write files whole or not at all, and keep names from the outside inside their folder."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from pipelines.errors import DatasetNotFoundError, DiskFullError
from pipelines.settings import Settings
from pipelines.text import Text

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def dataset_folder(dataset_id: str, settings: Settings) -> Path:
    """Return the folder of a record.

    Raises:
        DatasetNotFoundError: The id is none; it may come from an address that somebody typed.
    """
    return settings.data / "datasets" / checked_name(dataset_id)


def checked_name(name: str) -> str:
    """Return a name that was given out by us, and refuse any other."""
    if not _NAME.fullmatch(name):
        raise DatasetNotFoundError(Text("data.unknown_dataset", dataset=name[:100]))
    return name


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file as one step; after a crash the old or the new content stands there.

    Raises:
        DiskFullError: There is no space; the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk_errors(path, leftover=beside):
        with beside.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)


@contextmanager
def disk_errors(path: Path, *, leftover: Path) -> Iterator[None]:
    """Turn a full disk into its sentence and remove what was half written."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            leftover.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise DiskFullError(Text("data.disk_full", folder=str(path.parent))) from error
        raise
