"""Mount the canvas in a page, give it its words and pixels, and read back what was done in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st
from streamlit import runtime

from dashboard.canvas.layers import CanvasEvent, Options, Pane
from dashboard.canvas.packing import Json, Packer, pack
from pipelines.text import Language, Text, add_catalogue_folder, render

_FRONTEND: Final = Path(__file__).parent / "frontend"

# One module scope, in the order of use: Streamlit takes the script of a component that is not an
# installed package as a single string.
_SCRIPTS: Final = (
    "colours",
    "geometry",
    "frames",
    "raster",
    "marks",
    "icons",
    "controls",
    "viewer",
    "shelf",
    "planes",
    "main",
)

_WORDS: Final = (
    "zoom_in",
    "zoom_out",
    "fit",
    "zoom",
    "wipe",
    "wipe_divider",
    "overlays",
    "layers",
    "contrast",
    "black",
    "white",
    "reset",
    "histogram",
    "opacity",
    "show",
    "hide",
    "download",
    "previous",
    "next",
    "sections",
    "threshold",
    "true_positive",
    "false_positive",
    "missed",
    "loading",
    "failed",
    "retry",
    "keys",
    "move_hint",
    "auto",
    "viewer",
    "plane_keys",
)

add_catalogue_folder(Path(__file__).parents[1] / "locale")


def _script() -> str:
    return "\n".join((_FRONTEND / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)


_mount = st.components.v2.component(
    "microscopy_canvas",
    html='<div class="canvas-root is-loading"><div class="skeleton"></div></div>',
    css=(_FRONTEND / "canvas.css").read_text("utf-8"),
    js=_script(),
)


def canvas(
    panes: Sequence[Pane],
    *,
    key: str,
    alt: Text,
    language: Language,
    options: Options = Options(),  # noqa: B008 - frozen, so it can be shared
    on_event: Callable[[CanvasEvent], None] | None = None,
) -> CanvasEvent | None:
    """Show one to four linked pictures with layers, and return what was done in them.

    In the layout `orthogonal` these are three planes through a volume with one crosshair.

    Zoom, pan, contrast, layer visibility and opacity, and the wipe live in the browser: they cause
    no rerun, and they stay when new pixels of the same size arrive.

    Args:
        panes: Left to right; zoom and pan are linked.
        key: Unique in the session; zoom and layer settings belong to it.
        alt: What the picture shows, for those who do not see it.
        language: Of names and tools.
        options: Size on the page, scale, sections, and which events are reported.
        on_event: Called with the event before the script reruns, so it may set the state of other
            widgets.

    Returns:
        The event that caused this rerun, once; otherwise None.

    Raises:
        DataFormatError: Panes or layers do not fit together, or an array cannot be shown.
    """
    data = pack(panes, options, Packer(_store(key), language))
    data |= {"key": key, "alt": render(alt, language), "language": language}
    data["words"] = _words(language)
    result = _mount(
        key=key,
        data=[data],  # in a mapping Streamlit looks for tables: that loads pandas, 0.4 s
        height=options.height_px or "content",
        on_event_change=lambda: _report(key, on_event),
    )
    return _event(result.get("event"))


def _store(key: str) -> Callable[[bytes, str, str], str]:
    """Keep pixels where the browser can fetch them: Streamlit's own media files.

    The content id goes in as the file name because above 1 MiB Streamlit names a file after a
    sample of its bytes: two probability maps that differ elsewhere would be one file.
    """

    def keep(data: bytes, content_id: str, place: str) -> str:
        if not runtime.exists():
            return ""
        files = runtime.get_instance().media_file_mgr
        return files.add(
            data, "application/octet-stream", f"canvas.{key}.{place}", file_name=content_id
        )

    return keep


@functools.cache
def _words(language: Language) -> dict[str, str]:
    words = {word: render(Text(f"canvas.{word}"), language) for word in _WORDS}
    # Filled in by the browser, which counts the sections as they are stepped through.
    words["section"] = render(Text("canvas.section", index="{index}", count="{count}"), language)
    words["axis"] = render(Text("canvas.axis", axis="{axis}"), language)
    return words


def _report(key: str, on_event: Callable[[CanvasEvent], None] | None) -> None:
    state = st.session_state.get(key)
    event = _event(state.get("event") if isinstance(state, Mapping) else None)
    if event is not None and on_event is not None:
        on_event(event)


def _event(found: Any) -> CanvasEvent | None:  # JSON from the browser
    if not isinstance(found, Mapping):
        return None
    fields: Json = {name: found[name] for name in CanvasEvent.__dataclass_fields__ if name in found}
    for name in ("modifiers", "sections"):
        fields[name] = tuple(fields.get(name, ()))
    if fields.get("at") is not None:
        fields["at"] = tuple(int(v) for v in fields["at"])
    return CanvasEvent(**fields)
