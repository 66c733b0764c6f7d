"""What an evidence pack is called inside, and its list of files.

Apart from what writes packs, so that a page that asks does not load the typesetting of reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipelines.core.files import parse_json
from pipelines.errors import JobError
from pipelines.text import Text

MANIFEST: Final = "manifest.json"
FORMAT: Final = "microscopy-evidence"
VERSION: Final = 1
RUN_FOLDER: Final = "run"


def read_manifest(content: bytes, name: str) -> Mapping[str, Any]:
    """Read the manifest of a pack.

    Raises:
        JobError: It is none, or one of a later version than this program knows.
    """
    try:
        manifest = parse_json(content)
        is_ours = manifest["format"] == FORMAT
        version = int(manifest["version"])
        dict(manifest["files"])
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise JobError(Text("evidence.no_pack", file=name)) from error
    if not is_ours:
        raise JobError(Text("evidence.no_pack", file=name))
    if version > VERSION:
        raise JobError(Text("evidence.later_pack", file=name, got=version, known=VERSION))
    return dict(manifest)
