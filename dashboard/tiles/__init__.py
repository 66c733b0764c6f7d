"""Rows of small pictures that can be clicked: the gallery of a matrix cell, of a lasso, of a class.

One element for all pictures: drawn singly, by the dozen, they would make a rerun wait.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st

_FRONTEND: Final = Path(__file__).parent


@dataclass(frozen=True)
class Tile:
    """Hold one small picture.

    Attributes:
        tile_id: What a click names.
        jpeg: The picture.
        caption: One short line under it.
        hint: What a pointer over it shows.
        is_marked: Whether a flag stands on it.
    """

    tile_id: str
    jpeg: bytes
    caption: str
    hint: str = ""
    is_marked: bool = False


_mount = st.components.v2.component(
    "microscopy_tiles",
    html='<div class="tiles" role="group"></div>',
    css=(_FRONTEND / "tiles.css").read_text("utf-8"),
    js=(_FRONTEND / "tiles.js").read_text("utf-8"),
)


def draw_tiles(
    tiles: Sequence[Tile],
    *,
    key: str,
    label: str,
    chosen: str | None = None,
    on_click: Callable[[str], None] | None = None,
    opens: str = "",
) -> None:
    """Draw pictures in rows.

    Args:
        tiles: Pictures in their order.
        key: Unique in the session.
        label: What the pictures are, for those who do not see them.
        chosen: Tile that is outlined.
        on_click: Called with a tile's id before the script reruns; None leaves plain pictures.
        opens: Key of the container that a click opens, which is then scrolled into sight.
    """
    data = {
        "label": label,
        "chosen": chosen,
        "opens": re.sub("[^a-zA-Z0-9_-]", "-", opens),
        "is_clickable": on_click is not None,
        "tiles": [_packed(tile) for tile in tiles],
    }
    # in a list: in a mapping Streamlit looks for tables, and loads pandas for it
    _mount(key=key, data=[data], on_picked_change=lambda: _report(key, on_click))


def _packed(tile: Tile) -> dict[str, Any]:
    return {
        "id": tile.tile_id,
        "src": "data:image/jpeg;base64," + base64.b64encode(tile.jpeg).decode(),
        "caption": tile.caption,
        "hint": tile.hint or tile.tile_id,
        "is_marked": tile.is_marked,
    }


def _report(key: str, on_click: Callable[[str], None] | None) -> None:
    state = st.session_state.get(key)
    picked = state.get("picked") if isinstance(state, Mapping) else None
    if on_click is not None and isinstance(picked, Mapping):
        on_click(str(picked["id"]))
