"""Take data in: a path on this machine, below an allowed root, or an upload that is streamed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from pipelines.contract import Inspection
from pipelines.core.files import disk_errors, path_exists, typed_path
from pipelines.errors import DataError, DatasetNotFoundError, PipelineError
from pipelines.settings import Settings
from pipelines.text import Text

_CHUNK_BYTES: Final = 1 << 20
_LONGEST_NAME: Final = 100
_SHORTEST_TITLE: Final = 3
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def resolve_source(text_path: str, settings: Settings) -> Path:
    """Turn a typed path into an existing one below an allowed root, links followed.

    Raises:
        DataError: It lies outside the allowed roots.
        DatasetNotFoundError: Nothing is there.
    """
    typed = text_path.strip().strip('"')
    roots = [root.resolve() for root in settings.data_roots]
    path = typed_path(typed)
    if path is None:
        raise DatasetNotFoundError(Text("data.no_path", path=typed[:200]))
    if not any(path.is_relative_to(root) for root in roots):
        shown = ", ".join(dict.fromkeys(str(root) for root in roots))
        raise DataError(Text("data.outside_roots", path=typed[:200], roots=shown))
    if not path_exists(path):
        raise DatasetNotFoundError(Text("data.no_path", path=typed[:200]))
    return path


def new_upload_folder(settings: Settings) -> Path:
    """Create the folder that the files of one upload lie in together."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = settings.data / "uploads" / f"{stamp}-{secrets.token_hex(3)}"
    with disk_errors(folder):
        folder.mkdir(parents=True)
    return folder


def save_upload(
    file: IO[bytes], name: str, settings: Settings, *, folder: Path | None = None
) -> Path:
    """Stream an upload to disk.

    Args:
        file: Where the bytes come from; never read whole.
        name: Name that the browser gives; only its harmless part is used.
        settings: Folders and limits.
        folder: Folder of the upload that it belongs to; None makes one.

    Returns:
        Path of the saved file.

    Raises:
        DataError: It is larger than allowed, or the folder has a file of that name.
        DiskFullError: There is no space; nothing is left behind.
    """
    target = (folder or new_upload_folder(settings)) / safe_name(name)
    if target.exists():
        raise DataError(Text("data.upload_twice", file=target.name))
    beside = target.with_name(f".{secrets.token_hex(4)}.part")
    with disk_errors(target, leftover=beside):
        with beside.open("xb") as out:
            _copy(file, out, target.name, settings.max_input_bytes)
        beside.replace(target)
    return target


def save_uploads(files: Iterable[tuple[IO[bytes], str]], settings: Settings) -> Path:
    """Stream files that were uploaded together into one folder; all of them are there, or none.

    Args:
        files: Where the bytes of each come from, and its name.
        settings: Folders and limits.

    Returns:
        The folder.

    Raises:
        DataError: As of `save_upload`.
        DiskFullError: There is no space.
    """
    folder = new_upload_folder(settings)
    try:
        for file, name in files:
            save_upload(file, name, settings, folder=folder)
    except PipelineError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def proposed_title(source: Path, found: Inspection, settings: Settings) -> str:
    """Return the name to give to what was found: the inspection's, but for an upload of several.

    Their folder is named by the time; they are named by what the names of the files begin with.
    """
    if not source.is_dir() or source.parent.resolve() != (settings.data / "uploads").resolve():
        return found.title
    stems = sorted(path.stem for path in source.iterdir() if not path.name.startswith("."))
    start = os.path.commonprefix(stems).rstrip("-_. 0123456789")  # noqa: RUF071 - of names, not paths
    return start if len(start) >= _SHORTEST_TITLE else next(iter(stems), found.title)


def safe_name(name: str) -> str:
    """Reduce a name to letters, digits and `. - _`, without folder, usable on every system."""
    base = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    plain = re.sub(r"[^\w.\-]+", "_", base).strip("._")
    if _RESERVED.fullmatch(plain):
        plain = f"file_{plain}"
    suffix = Path(plain).suffix[:10]
    stem = plain.removesuffix(suffix)[: _LONGEST_NAME - len(suffix)]
    return f"{stem or 'upload'}{suffix}"


def _copy(source: IO[bytes], target: IO[bytes], name: str, limit: int) -> None:
    written = 0
    while chunk := source.read(_CHUNK_BYTES):
        written += len(chunk)
        if written > limit:
            raise DataError(Text("data.upload_too_large", file=name, limit=limit))
        target.write(chunk)
