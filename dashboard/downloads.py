"""What can be taken of a figure: its numbers as CSV, the figure as SVG and PNG."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.words import language
from pipelines.text import Language
from pipelines.views import (
    BarView,
    CloudView,
    CurveView,
    HistogramView,
    IntervalsView,
    ScatterView,
    View,
)

_DRAWN = (BarView, CloudView, CurveView, HistogramView, IntervalsView, ScatterView)
_MIMES = {"csv": "text/csv", "svg": "image/svg+xml", "png": "image/png"}


def draw_downloads(view: View, key: str, table: Callable[[], bytes] | None) -> None:
    """Draw a button for each format; a file is made only when somebody asks for it."""
    spoken = language()  # a file is made outside the script, which knows no visitor
    if table is not None:
        _button("csv", table, getattr(view, "filename", "figures.csv"), key)
    if isinstance(view, _DRAWN):
        _button("svg", lambda: _svg(view, spoken).encode(), "figure.svg", key)
        _button("png", lambda: _png(view, spoken), "figure.png", key)


def _button(kind: str, make: Callable[[], bytes], name: str, key: str) -> None:
    st.download_button(
        kind.upper(),
        data=make,
        file_name=name,
        mime=_MIMES[kind],
        key=f"{key}.{kind}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def _svg(view: View, spoken: Language) -> str:
    from pipelines.evidence.svg import draw

    return draw(view, spoken) or '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


def _png(view: View, spoken: Language) -> bytes:
    from pipelines.evidence.raster import to_png

    return to_png(_svg(view, spoken))
