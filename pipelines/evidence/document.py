"""A report as plain data, and laid out in one language: what HTML and PDF then only set in type."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pipelines import views
from pipelines.evidence import svg
from pipelines.text import Language, Text, format_bytes, format_duration, format_number, render

_MOST_ROWS: Final = 40
_CHART_SHARE: Final = 0.75
_DECIMALS: Final = 3


@dataclass(frozen=True)
class Code:
    """Hold lines that are set as they are."""

    lines: str


Block = Text | views.View | Code


@dataclass(frozen=True)
class Part:
    """Hold a chapter, or a section of one.

    Attributes:
        title: Heading.
        blocks: What stands below it.
        level: 1 for a chapter, 2 for a section.
    """

    title: Text
    blocks: tuple[Block, ...]
    level: Literal[1, 2] = 1


@dataclass(frozen=True)
class Document:
    """Hold a report.

    Attributes:
        title: Title.
        subtitle: Line under it.
        parts: Chapters and sections in their order.
    """

    title: Text
    subtitle: Text
    parts: tuple[Part, ...]


# --- laid out -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heading:
    """Hold the words of a heading of a level."""

    words: str
    level: int


@dataclass(frozen=True)
class Paragraph:
    """Hold a paragraph; `tone` sets off what a reader must not miss."""

    words: str
    tone: views.Tone = "plain"


@dataclass(frozen=True)
class Bullets:
    """Hold short sentences under one another."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """Hold a figure as SVG with its caption; `share` is how much of the page's width it takes."""

    drawing: str
    caption: str
    alt: str
    share: float = 1.0


@dataclass(frozen=True)
class Table:
    """Hold a table of words.

    Attributes:
        header: Names of the columns.
        rows: Cells.
        is_number: For each column whether it is set flush right.
        caption: What it shows.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_number: tuple[bool, ...]
    caption: str


@dataclass(frozen=True)
class Row:
    """Hold two narrow figures that stand beside one another."""

    pictures: tuple[Picture, Picture]


Element = Heading | Paragraph | Bullets | Picture | Row | Table | Code


def lay_out(document: Document, language: Language) -> list[Element]:
    """Return what stands under the title, in words of a language."""
    elements: list[Element] = []
    for part in document.parts:
        elements.append(Heading(render(part.title, language), part.level))
        elements += _lay_blocks(part.blocks, language)
    return elements


def _lay_blocks(blocks: Sequence[Block], language: Language) -> Iterator[Element]:
    """Lay blocks under one another; two small figures in a row stand side by side."""
    rest = list(blocks)
    while rest:
        first, *others = rest
        row = _row(first, others[0], language) if others else None
        if row is not None:
            yield row
        else:
            yield from _lay_block(first, language)
        rest = others[1:] if row is not None else others


def _row(first: Block, second: Block, language: Language) -> Row | None:
    if isinstance(first, views.ImageView) != isinstance(second, views.ImageView):
        return None  # a photograph beside a curve: neither has its size
    narrow = [_narrow(block, language) for block in (first, second)]
    if narrow[0] is None or narrow[1] is None:
        return None
    return Row((narrow[0], narrow[1]))


def _narrow(block: Block, language: Language) -> Picture | None:
    """Draw what can be read at half the width: curves, histograms, one image with its marks."""
    if isinstance(block, views.ImageView):
        is_small = len(block.panes) == 1
    else:
        is_small = isinstance(block, (views.CurveView, views.HistogramView))
    if isinstance(block, (Text, Code)) or not is_small:
        return None
    drawing = svg.draw(block, language, svg.NARROW)
    if drawing is None:
        return None
    return Picture(drawing, _caption(block, language), render(block.alt or block.title, language))


def _lay_block(block: Block, language: Language) -> Iterator[Element]:
    if isinstance(block, Code):
        yield block
    elif isinstance(block, Text):
        yield Paragraph(render(block, language))
    else:
        yield from _lay_view(block, language)


@functools.singledispatch
def _lay_view(view: views.View, language: Language) -> Iterator[Element]:
    drawing = svg.draw(view, language)
    if drawing is not None:
        caption = _caption(view, language)
        is_wide = isinstance(view, views.GalleryView) or (
            isinstance(view, views.ImageView) and len(view.panes) > 1
        )
        share = 1.0 if is_wide else _CHART_SHARE
        yield Picture(drawing, caption, render(view.alt or view.title, language), share)


@_lay_view.register
def _(view: views.TextView, language: Language) -> Iterator[Element]:
    yield Paragraph(render(view.title, language), view.tone)
    if view.details:
        yield Bullets(tuple(render(text, language) for text in view.details))


@_lay_view.register
def _(view: views.TableView, language: Language) -> Iterator[Element]:
    shown = view.rows[:_MOST_ROWS]
    cells = [_column(values, language) for values in zip(*shown, strict=True)]
    rows = list(zip(*cells, strict=True))
    if len(view.rows) > _MOST_ROWS:
        rows.append(("…", *[""] * (len(view.columns) - 1)))
    columns = list(zip(*view.rows, strict=True)) if view.rows else [()] * len(view.columns)
    yield Table(
        tuple(render(name, language) for name in view.columns),
        tuple(rows),
        tuple(all(isinstance(v, (int, float)) for v in column) for column in columns),
        _caption(view, language),
    )


@_lay_view.register
def _(view: views.FiguresView, language: Language) -> Iterator[Element]:
    header = ("figure", "value", "interval", "count")
    rows = tuple(
        (
            render(figure.name, language),
            value_words(figure.value, figure.unit, language),
            interval_words(figure.interval, language),
            "" if figure.count is None else format_number(figure.count, language),
        )
        for figure in view.figures
    )
    names = tuple(render(Text(f"evidence.column.{name}"), language) for name in header)
    yield Table(names, rows, (False, True, True, True), render(view.title, language))


@_lay_view.register
def _(view: views.FormulaView, language: Language) -> Iterator[Element]:
    yield Paragraph(render(view.title, language))
    yield Code(view.latex)
    if view.symbols:
        yield Bullets(tuple(f"{name}: {render(t, language)}" for name, t in view.symbols.items()))


@_lay_view.register
def _(view: views.DownloadView, language: Language) -> Iterator[Element]:
    return iter(())  # a file to take away has no place on paper


def pictures(elements: Sequence[Element]) -> list[Picture]:
    """List the figures in their order."""
    rows = [e.pictures if isinstance(e, Row) else (e,) for e in elements]
    return [element for row in rows for element in row if isinstance(element, Picture)]


def value_words(value: float, unit: str, language: Language) -> str:
    """Write a figure in its unit; undefined is a dash."""
    if value != value:
        return "–"
    if unit == "duration":
        return format_duration(value, language)
    if unit == "bytes":
        return format_bytes(value, language)
    if unit == "pct":
        return render(Text("evidence.percent", value=value), language)
    return f"{format_number(value, language)} {unit}".strip()


def interval_words(interval: tuple[float, float] | None, language: Language) -> str:
    """Write the bounds of an interval, "" without one."""
    if interval is None:
        return ""
    low, high = (format_number(float(bound), language) for bound in interval)
    return render(Text("evidence.interval", low=low, high=high), language)


def _cell(value: Any, language: Language) -> str:  # number, Text, None or words
    if isinstance(value, Text):
        return render(value, language)
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, (int, float)):
        return format_number(value, language)
    return str(value)


def _column(values: Sequence[Any], language: Language) -> list[str]:
    """Write the cells of a column; figures with decimals get as many, three at most."""
    words = [_cell(value, language) for value in values]
    mark = "," if language == "fr" else "."
    places = [_decimals(v, w, mark) for v, w in zip(values, words, strict=True)]
    wanted = min(max((n for n in places if n is not None), default=0), _DECIMALS)
    return [w if n is None else _padded(w, wanted, mark)
            for w, n in zip(words, places, strict=True)]  # fmt: skip


def _decimals(value: Any, words: str, mark: str) -> int | None:
    """Count the decimals of a figure; None for what is no plain figure."""
    if not isinstance(value, float) or not math.isfinite(value) or "×" in words:
        return None
    return len(words.partition(mark)[2])


def _padded(words: str, decimals: int, mark: str) -> str:
    """Fill a number up with zeros to a number of decimals."""
    whole, _, rest = words.partition(mark)
    return f"{whole}{mark}{rest:0<{decimals}}" if decimals else words


def _caption(view: views.View, language: Language) -> str:
    """Write what a figure or a table shows, as sentences."""
    caption = _ended(render(view.title, language))
    if view.source is not None:
        caption = f"{caption} {_ended(render(view.source, language))}"
    return caption


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!", "…")) else f"{sentence}."
