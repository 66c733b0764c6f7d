"""Where records lie, and how names from the outside are kept inside their folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pipelines.errors import DatasetNotFoundError
from pipelines.settings import Settings
from pipelines.text import Text

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


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
