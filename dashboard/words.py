"""The border where texts become words: the language of this visitor, and what is said in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import streamlit as st

from pipelines.text import (
    DEFAULT_LANGUAGE,
    LANGUAGES,
    Language,
    Text,
    add_catalogue_folder,
    format_number,
    render,
)

add_catalogue_folder(Path(__file__).parent / "locale")
_KEY = "language"
_MARKUP = re.compile(r"([\\`*\[\]<$]|(?<!\w)_|_(?!\w)|:(?=[a-z]))")
LANGUAGE_NAMES: dict[Language, str] = {"en": "English", "fr": "Français"}


def language() -> Language:
    """Return the visitor's language: the address, then the choice, then the browser's."""
    asked = st.query_params.get("lang")
    if asked in LANGUAGES:
        st.session_state[_KEY] = asked  # links of the navigation do not carry it on
    chosen = asked or st.session_state.get(_KEY) or _browser_language()
    return cast("Language", chosen) if chosen in LANGUAGES else DEFAULT_LANGUAGE


def choose_language(chosen: Language) -> None:
    """Keep the visitor's choice in the session and in the address."""
    st.session_state[_KEY] = chosen
    st.query_params["lang"] = chosen


def say(text: Text) -> str:
    """Return the words of a text in the visitor's language."""
    return render(text, language())


def say_plainly(text: Text) -> str:
    """Return the words for a place that reads Markdown, so that file names stay what they are."""
    return render(text, language(), escape=as_plain)


def as_plain(words: str) -> str:
    """Keep words of somebody else from being read as Markdown: a link, a picture, a formula."""
    return _MARKUP.sub(r"\\\1", words)


def tr(text_id: str, /, **params: Any) -> str:  # any value that a placeholder takes
    """Return the words of a message id in the visitor's language."""
    return say(Text(text_id, **params))


def capitalised(words: str) -> str:
    """Begin with a capital, as at the start of a line, and leave the rest as it is."""
    return words[:1].upper() + words[1:]


def number(value: float, digits: int = 3) -> str:
    """Write a number as the visitor's language does."""
    return format_number(value, language(), digits=digits)


def slider_format(plain: str) -> str:
    """Return a slider's format, in which the browser writes as the page does: "0,5" in French."""
    return "localized" if _browser_language() == language() else plain


def _browser_language() -> str:
    return (st.context.locale or DEFAULT_LANGUAGE)[:2]
