"""Give the disk space of an upload back once no data set uses it any more, with a way back."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipelines.settings import Settings

TRASH_KEPT_S: Final = 24 * 3600.0
"""How long a deleted upload can surely be brought back; whatever tidies up next then takes it."""
UNUSED_KEPT_S: Final = 24 * 3600.0
"""How long an upload may lie that no data set was made of: its page may still be open."""


def upload_of(root: Path, settings: Settings) -> Path | None:
    """Return the folder of the upload that a data set lies in; None if it lies anywhere else.

    Links are followed first: a data set whose folder leads out of the uploads is no upload, and
    the folder of all uploads is none either.
    """
    uploads = (settings.data / "uploads").resolve()
    place = root.resolve()
    if not place.is_relative_to(uploads) or place == uploads:
        return None
    folder = uploads / place.relative_to(uploads).parts[0]
    return folder if folder.is_dir() and not folder.is_symlink() else None


def set_upload_aside(root: Path, others: Iterable[Path], settings: Settings) -> Path | None:
    """Move the upload of a deleted data set to the trash, unless another data set needs it.

    Args:
        root: Folder of the deleted data set.
        others: Folders of the data sets that stay.
        settings: Folders of this installation.

    Returns:
        Where it lies now, or None where nothing was moved.
    """
    folder = upload_of(root, settings)
    if folder is None or any(_touch(folder, other.resolve()) for other in others):
        return None
    trash = _trash(settings)
    trash.mkdir(parents=True, exist_ok=True)
    target = trash / folder.name
    if target.exists():
        return None
    folder.replace(target)
    os.utime(target)
    empty_trash(settings)  # whoever deletes wants the space
    return target


def old_uploads(settings: Settings) -> list[Path]:
    """Return the folders of uploads that were last added to long ago, whether used or not."""
    limit = time.time() - UNUSED_KEPT_S
    return [folder for folder in _folders(settings.data / "uploads") if _changed(folder) <= limit]


def empty_trash(settings: Settings) -> None:
    """Delete for good what was thrown away long ago."""
    limit = time.time() - TRASH_KEPT_S
    for folder in _folders(_trash(settings)):
        if _changed(folder) <= limit:
            shutil.rmtree(folder, ignore_errors=True)


def bring_upload_back(root: Path, settings: Settings) -> None:
    """Undo `set_upload_aside` for a data set that is restored; nothing happens to any other."""
    uploads = (settings.data / "uploads").resolve()
    place = root.resolve()
    if place.exists() or not place.is_relative_to(uploads) or place == uploads:
        return
    name = place.relative_to(uploads).parts[0]
    aside = _trash(settings) / name
    if aside.is_dir() and not (uploads / name).exists():
        uploads.mkdir(parents=True, exist_ok=True)
        aside.replace(uploads / name)


def _touch(folder: Path, other: Path) -> bool:
    """Tell whether a data set lies in the folder, or the folder in the data set."""
    return other.is_relative_to(folder) or folder.is_relative_to(other)


def _trash(settings: Settings) -> Path:
    return settings.data / "trash" / ".uploads"  # no data set can be called so


def _folders(place: Path) -> list[Path]:
    """Return the folders in a place that need not exist; links are none."""
    if not place.is_dir():
        return []
    return [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]


def _changed(folder: Path) -> float:
    """Return when a folder was last changed; one that another process took is never old."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return math.inf
