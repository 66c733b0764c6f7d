"""Set a document as Markdown, for cards that are read beside their weights."""

from __future__ import annotations

import functools
import re
from typing import Any

from pipelines.evidence.document import (
    Bullets,
    Code,
    Document,
    Heading,
    Paragraph,
    Picture,
    Row,
    Table,
    lay_out,
)
from pipelines.text import Language, render


def to_markdown(document: Document, language: Language) -> str:
    """Return a document as Markdown; figures are left out, their captions stay."""
    elements = lay_out(document, language)
    head = f"# {_plain(render(document.title, language))}\n\n"
    head += f"{_plain(render(document.subtitle, language))}\n\n"
    return head + "\n\n".join(_set(element) for element in elements) + "\n"


@functools.singledispatch
def _set(element: Any) -> str:  # an `Element`; singledispatch needs an open first argument
    raise TypeError(type(element).__name__)


@_set.register
def _(element: Heading) -> str:
    return f"{'#' * (element.level + 1)} {_plain(element.words)}"


@_set.register
def _(element: Paragraph) -> str:
    quote = "" if element.tone == "plain" else "> "
    return f"{quote}{_plain(element.words)}"


@_set.register
def _(element: Bullets) -> str:
    return "\n".join(f"- {_plain(words)}" for words in element.items)


@_set.register
def _(element: Code) -> str:
    return f"```\n{element.lines}\n```"


@_set.register
def _(element: Picture) -> str:
    return f"*{_plain(element.caption)}*"


@_set.register
def _(element: Row) -> str:
    return "\n\n".join(_set(picture) for picture in element.pictures)


@_set.register
def _(element: Table) -> str:
    rules = ["--:" if is_number else "---" for is_number in element.is_number]
    lines = [_row(element.header), _row(rules), *(_row(row) for row in element.rows)]
    return f"{_plain(element.caption)}\n\n" + "\n".join(lines)


def _row(cells: Any) -> str:  # words
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(words: str) -> str:
    """Keep words from being read as markup: a title may hold anything."""
    return re.sub(r"([\\`*_<>\[\]#])", r"\\\1", words).replace("\n", " ")
