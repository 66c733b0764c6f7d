"""The same on the command line and in Python, for what was just clicked."""

from __future__ import annotations

import streamlit as st

from dashboard.words import tr
from pipelines.evidence.calls import Call


def draw_same_code(call: Call, key: str, title: str = "same_code.title") -> None:
    """Draw a call in both languages of machines, each with a button that copies it.

    Args:
        call: What was clicked.
        key: Place on the page.
        title: Message id of the line that opens it.
    """
    with st.expander(tr(title), icon=":material/code:", key=f"{key}.same_code"):
        shell, python = st.tabs([tr("same_code.shell"), tr("same_code.python")])
        with shell:
            st.code(call.shell, language="bash", wrap_lines=True)
        with python:
            st.code(call.python, language="python")
        st.caption(tr("same_code.help"))
