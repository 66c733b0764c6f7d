"""What every page shares: the style sheet, the page's head, empty states, the notice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.address import take_lost
from dashboard.state import take_notice
from dashboard.words import say_plainly
from pipelines.text import Text

ICON = Path(__file__).parent / "icon.svg"  # a Material symbol would be asked of Google
_STYLE = Path(__file__).parent / "style.css"
_LONGEST_NAME = 60  # characters of what somebody may have typed
CONTROLS_AND_PICTURE = (3, 7)  # the picture is the page; controls stand beside it


def apply_style() -> None:
    """Apply the product's style sheet on top of the theme."""
    st.html(_STYLE)


def draw_head(icon: str, title: str, summary: str) -> None:
    """Draw the head of a page: icon, title, one or two sentences."""
    st.markdown(f"# :material/{icon}: {title}")
    st.markdown(f":gray[{summary}]")


def draw_strip(entries: Sequence[tuple[str, str]]) -> None:
    """Draw the strip under a title: name and value of what the page is about."""
    with st.container(key="strip", horizontal=True, gap="large"):
        for name, value in entries:
            st.markdown(f":gray[{name}]  \n**{value}**")


def draw_empty(icon: str, title: str, words: str) -> None:
    """Draw an empty state; the caller adds the buttons that lead out of it."""
    st.markdown(f"### :material/{icon}: {title}")
    st.markdown(f":gray[{words}]")


def draw_lost(*names: str) -> None:
    """Say which of these a copied address names in vain: what is shown is something else.

    Args:
        names: Parameters of the address, or "page": "data", "model", "run", "open", "runs".
    """
    lost = take_lost()
    for name in names:
        if name in lost:
            words = say_plainly(Text(f"pages.lost.{name}", name=lost[name][:_LONGEST_NAME]))
            st.warning(words, icon=":material/link_off:")


def draw_notice() -> None:
    """Show the message that the previous script run left, once."""
    if (words := take_notice()) is not None:
        st.toast(words, icon=":material/check:")
