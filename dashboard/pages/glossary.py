"""Glossary: the words of the field, each in a sentence or two."""

from __future__ import annotations

import unicodedata

import streamlit as st

from dashboard.layout import draw_head
from dashboard.terms import TERMS
from dashboard.words import tr


def show() -> None:
    """Draw the page; `?term=` in the address opens one of them."""
    draw_head("menu_book", tr("pages.glossary"), tr("glossary.summary"))
    wanted = st.query_params.get("term", "")
    if wanted in TERMS:
        _draw_term(wanted)
    looked_for = st.text_input(
        tr("glossary.search"), key="glossary.search", icon=":material/search:"
    )
    words = {term: (tr(f"glossary.{term}"), tr(f"glossary.{term}.text")) for term in TERMS}
    shown = [
        (name, meaning)
        for name, meaning in sorted(words.values(), key=lambda pair: _without_accents(pair[0]))
        if looked_for.casefold() in f"{name} {meaning}".casefold()
    ]
    for start in range(0, len(shown), 2):
        columns = st.columns(2, gap="large")
        for column, (name, meaning) in zip(columns, shown[start : start + 2], strict=False):
            column.markdown(f"**{name}**  \n{meaning}")
    if not shown:
        st.caption(tr("glossary.none", words=looked_for))


def _without_accents(name: str) -> str:
    """Return what a name is sorted by: a dictionary has "époque" beside "essai"."""
    apart = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _draw_term(term: str) -> None:
    with st.container(border=True, key="glossary-term"):
        st.markdown(f"### {tr(f'glossary.{term}')}\n{tr(f'glossary.{term}.text')}")
