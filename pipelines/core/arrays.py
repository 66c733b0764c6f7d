"""Read arrays that may come from anybody: named, within bounds, and never unpickled."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.images_files import zlib_errors
from pipelines.errors import DataFormatError
from pipelines.text import Text

_MOST_BYTES: Final = 8_000_000_000
"""What all arrays of a file may take; the features of 220,025 pictures take 0.5 GB."""
_DAMAGE: Final[tuple[type[Exception], ...]] = (
                  OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError,
                  MemoryError, OverflowError, SyntaxError, tokenize.TokenError, struct.error,
                  zipfile.BadZipFile, zlib.error)  # fmt: skip


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read every array of an `.npz`.

    Raises:
        DataFormatError: It is none, damaged, holds objects, or unpacks to more than is allowed.
    """
    try:
        # opened here, because NumPy leaves a file open that turns out to be no archive
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_BYTES:
                raise ValueError("more than any prediction holds")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: np.asarray(arrays[name]) for name in arrays.files}
    except _DAMAGE + zlib_errors() as error:
        raise DataFormatError(Text("files.damaged_arrays", file=path.name)) from error
