"""Set a report as one HTML file: figures inside, no script, nothing loaded from anywhere."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

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

_STYLE: Final = Path(__file__).with_name("report.css")


def to_html(document: Document, language: Language) -> str:
    """Return a report as HTML."""
    title = escape(render(document.title, language))
    body = _Body(language).set_all(lay_out(document, language))
    style = _STYLE.read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{title}</h1>\n"
        f'<p class="subtitle">{escape(render(document.subtitle, language))}</p>\n</header>\n'
        f"{body}\n</main>\n</body>\n</html>\n"
    )


class _Body:
    """Set elements, counting figures and tables."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._counts = {"figure": 0, "table": 0}

    def set_all(self, elements: Sequence[Element]) -> str:
        """Return the elements under one another."""
        return "\n".join(self._set(element) for element in elements)

    @functools.singledispatchmethod
    def _set(self, element: Element) -> str:
        raise TypeError(type(element).__name__)

    @_set.register
    def _(self, element: Heading) -> str:
        name = f"h{element.level + 1}"
        return f"<{name}>{escape(element.words)}</{name}>"

    @_set.register
    def _(self, element: Paragraph) -> str:
        tone = "" if element.tone == "plain" else f' class="note {element.tone}"'
        return f"<p{tone}>{escape(element.words)}</p>"

    @_set.register
    def _(self, element: Bullets) -> str:
        items = "".join(f"<li>{escape(words)}</li>" for words in element.items)
        return f"<ul>{items}</ul>"

    @_set.register
    def _(self, element: Code) -> str:
        return f"<pre><code>{escape(element.lines)}</code></pre>"

    @_set.register
    def _(self, element: Picture) -> str:
        caption = self._caption("figure", element.caption)
        return f"<figure>{element.drawing}<figcaption>{caption}</figcaption></figure>"

    @_set.register
    def _(self, element: Row) -> str:
        return f'<div class="row">{self.set_all(element.pictures)}</div>'

    @_set.register
    def _(self, element: Table) -> str:
        marks = [' class="number"' if is_number else "" for is_number in element.is_number]
        head = "".join(
            f'<th scope="col"{m}>{escape(w)}</th>'
            for w, m in zip(element.header, marks, strict=True)
        )
        rows = "".join(
            "<tr>"
            + "".join(f"<td{m}>{escape(w)}</td>" for w, m in zip(row, marks, strict=True))
            + "</tr>"
            for row in element.rows
        )
        caption = self._caption("table", element.caption)
        return (
            f'<div class="table"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def _caption(self, kind: str, words: str) -> str:
        self._counts[kind] += 1
        label = render(Text(f"evidence.{kind}_number", number=self._counts[kind]), self._language)
        return f"<b>{escape(label)}</b> {escape(words)}"
