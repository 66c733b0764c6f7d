"""Measured numbers in a grid that wraps: name, value, interval in grey, count."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

import streamlit as st

from dashboard.terms import link_terms_html
from dashboard.words import language, number, say, tr
from pipelines.text import Text, format_bytes, format_duration
from pipelines.views import Figure

_NOTHING: Final = 1e-6


def draw_figures(figures: Sequence[Figure]) -> None:
    """Draw figures beside one another as far as there is room, the others below."""
    cells = "".join(_cell(figure) for figure in figures)
    st.html(f'<div class="figures" role="list">{cells}</div>')


def _cell(figure: Figure) -> str:
    spread = spread_words(figure)
    return (
        '<div class="figure" role="listitem">'
        f'<span class="figure-name">{link_terms_html(say(figure.name))}{_help(figure)}</span>'
        f'<span class="figure-value">{html.escape(_value(figure))}</span>'
        + (f'<span class="figure-spread">{html.escape(spread)}</span>' if spread else "")
        + "</div>"
    )


def _value(figure: Figure) -> str:
    """Write the value; a share of 10⁻¹¹⁰ is more digits than anybody means."""
    if not figure.unit and 0 < abs(figure.value) < _NOTHING:
        return f"≈ {number(0)}"
    return value_words(figure.value, figure.unit)


def _help(figure: Figure) -> str:
    if figure.help is None:
        return ""
    words = html.escape(say(figure.help))
    return (
        f' <span class="figure-help" tabindex="0" role="note" aria-label="{words}">?'
        f'<span class="figure-bubble" aria-hidden="true">{words}</span></span>'
    )


def value_words(value: float, unit: str = "") -> str:
    """Write a figure in its unit; NaN is said to be undefined."""
    if value != value:
        return tr("pages.undefined")
    if unit == "duration":
        return format_duration(value, language())
    if unit == "bytes":
        return format_bytes(value, language())
    if unit == "pct":
        return say(Text("pages.percent", value=value))
    return f"{number(value)} {unit}".strip()


def spread_words(figure: Figure) -> str | None:
    """Write interval and count of a figure, or None when it has neither."""
    if figure.interval is not None:
        low, high = (number(bound) for bound in figure.interval)
        return tr("pages.interval", low=low, high=high, n=figure.count or 0)
    return None if figure.count is None else tr("pages.count", n=figure.count)
