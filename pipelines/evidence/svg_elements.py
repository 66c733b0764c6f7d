"""What a figure is made of, as SVG: words, lines, rectangles, circles, and the document."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from typing import Final

from pipelines import views
from pipelines.text import Language, render

FONT_SIZE: Final = 12
LETTER: Final = 0.53
"""Mean width of a letter, in heights of the font."""
INK: Final = "#1f2328"
GREY: Final = "#59636e"
RULE: Final = "#d1d9e0"
_FONTS: Final = "system-ui, 'Source Sans 3', 'Helvetica Neue', Arial, sans-serif"


def document(
    parts: Sequence[str], height: float, view: views.View, language: Language, width: int
) -> str:
    """Close a drawing; a reader that shows no pictures says what the view says of itself."""
    words = escape(render(view.alt or view.title, language))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}"'
        f' width="{width}" height="{height:.0f}" font-family="{_FONTS}" font-size="{FONT_SIZE}"'
        f' role="img" aria-label="{words}"><title>{words}</title>{"".join(parts)}</svg>'
    )


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = FONT_SIZE,
    anchor: str = "start",
    fill: str = INK,
) -> str:
    """Write words with their base line at a place; `anchor` is "start", "middle" or "end"."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
        f' fill="{fill}">{escape(words)}</text>'
    )


def line(
    start: tuple[float, float], end: tuple[float, float], tint: str, width: float, dash: str = ""
) -> str:
    """Draw a line, dashed by the lengths of strokes and gaps where they are given."""
    (x1, y1), (x2, y2) = start, end
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{tint}"'
        f' stroke-width="{width}"{pattern}/>'
    )


def rect(
    corner: tuple[float, float],
    size: tuple[float, float],
    fill: str,
    *,
    stroke: str = "none",
    opacity: float = 1.0,
) -> str:
    """Draw a rectangle.

    Args:
        corner: x and y of its upper left corner.
        size: Width and height.
        fill: Colour, or "none".
        stroke: Colour of its edge.
        opacity: Of the filling, in [0, 1].
    """
    (x, y), (width, height) = corner, size
    paler = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}" fill="{fill}"'
        f'{paler} stroke="{stroke}"/>'
    )


def circle(x: float, y: float, radius: float, stroke: str, width: float, fill: str = "none") -> str:
    """Draw a circle around a place."""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{stroke}"'
        f' stroke-width="{width}"/>'
    )


def wrapped(words: str, width: float, size: float) -> list[str]:
    """Break words into at most two lines."""
    lines = textwrap.wrap(words, max(4, int(width / (LETTER * size)))) or [""]
    return lines[:1] + ([clipped(" ".join(lines[1:]), width, size)] if lines[1:] else [])


def clipped(words: str, width: float, size: float) -> str:
    """Shorten words to a width."""
    most = max(4, int(width / (LETTER * size)))
    return words if len(words) <= most else f"{words[: most - 1]}…"
