"""Set a report as PDF with typst: no browser, no LaTeX, the same bytes on every machine."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from pipelines.errors import ComputeError
from pipelines.evidence.document import (
    Bullets,
    Code,
    Document,
    Element,
    Heading,
    Paragraph,
    Picture,
    Row,
    Table,
    lay_out,
)
from pipelines.text import Language, Text, render

_TEMPLATE: Final = Path(__file__).with_name("report.typ")
_TONES: Final = {"warning": "#b35900", "error": "#b42318"}
_ACCENT: Final = "#0b6e8f"
_LED_IN: Final = (Picture, Row, Bullets, Code)  # what the paragraph before it speaks of
_LONG_TABLE: Final = 24
"""Rows from which a table may go on to the next page."""


def to_pdf(document: Document, language: Language) -> bytes:
    """Return a report as PDF, A4.

    Raises:
        ComputeError: It cannot be set; the text names typst's reason.
    """
    import typst

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _Source(folder).set_all(lay_out(document, language))
        title, subtitle = (
            _string(render(text, language)) for text in (document.title, document.subtitle)
        )
        head = (
            f"#show: report.with(title: {title}, subtitle: {subtitle}, lang: {_string(language)})"
        )
        template = _TEMPLATE.read_text(encoding="utf-8")
        main = folder / "main.typ"
        main.write_text(f"{template}\n{head}\n{source}\n", encoding="utf-8")
        try:
            # the fonts inside the package alone: the same pages wherever they are made
            made: bytes = typst.compile(str(main), ignore_system_fonts=True)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise ComputeError(Text("evidence.pdf_failed", reason=reason)) from error
    return made


class _Source:
    """Write elements in typst's markup; every word passes as a string and is never markup."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._num_pictures = 0

    def set_all(self, elements: Sequence[Element]) -> str:
        """Return the elements under one another; words that lead to a figure stay on its page."""
        parts = []
        for element, following in zip_longest(elements, elements[1:]):
            part = self._set(element)
            if isinstance(element, Paragraph) and isinstance(following, _LED_IN):
                part = f"#block(sticky: true)[{part}]"
            parts.append(part)
        return "\n\n".join(parts)

    @functools.singledispatchmethod
    def _set(self, element: Element) -> str:
        raise TypeError(type(element).__name__)

    @_set.register
    def _(self, element: Heading) -> str:
        return f"#heading(level: {element.level}, {_string(element.words)})"

    @_set.register
    def _(self, element: Paragraph) -> str:
        if element.tone == "plain":
            return f"#par({_string(element.words)})"
        tint = _TONES.get(element.tone, _ACCENT)
        return f"#note(rgb({_string(tint)}), {_string(element.words)})"

    @_set.register
    def _(self, element: Bullets) -> str:
        return f"#list({', '.join(_string(words) for words in element.items)})"

    @_set.register
    def _(self, element: Code) -> str:
        return f"#code({_string(element.lines)})"

    @_set.register
    def _(self, element: Picture) -> str:
        return f"#{self._picture(element)}"

    @_set.register
    def _(self, element: Row) -> str:
        return f"#pair({', '.join(self._picture(picture) for picture in element.pictures)})"

    def _picture(self, element: Picture) -> str:
        self._num_pictures += 1
        file = f"figure-{self._num_pictures:02d}.svg"
        (self._folder / file).write_text(element.drawing, encoding="utf-8")
        words, caption = _string(element.alt), _string(element.caption)
        return f"picture({_string(file)}, {element.share:.0%}, {words}, {caption})"

    @_set.register
    def _(self, element: Table) -> str:
        align = ", ".join("right" if is_number else "left" for is_number in element.is_number)
        head = ", ".join(_string(words) for words in element.header)
        cells = ", ".join(_string(words) for row in element.rows for words in row)
        may_break = "true" if len(element.rows) > _LONG_TABLE else "false"
        caption = _string(element.caption)
        return f"#data-table(({align},), ({head},), ({cells},), {caption}, {may_break})"


def _string(words: str) -> str:
    """Return words as a string literal of typst, escaped as in JSON."""
    plain = "".join(c if c.isprintable() or c == "\n" else " " for c in words)
    return json.dumps(plain, ensure_ascii=False)
