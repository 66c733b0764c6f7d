"""Check a submission that somebody brings: the same remarks as for one's own, and its score."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.choices import Choices
from dashboard.errors import fragment, frame
from dashboard.renderers import draw
from dashboard.steps.panels import samples_of
from dashboard.words import tr


@fragment
def draw_check(task: Any, choices: Choices) -> None:
    """Draw the part that takes a CSV file in and says what it is worth.

    Args:
        task: The picking task (beyond the contract: `check_file`).
        choices: The data set that the file is checked against.
    """
    key = f"{task.id}.check"
    with st.expander(tr("cryoet.page_check"), icon=":material/fact_check:", key=key):
        st.caption(tr("cryoet.page_check_help"))
        file = st.file_uploader(
            tr("cryoet.page_check_file"),
            type=["csv"],
            key=f"{key}.file",
            label_visibility="collapsed",
        )
        if file is None:
            return
        with frame():
            views = task.check_file(file.getvalue(), samples_of(task, choices), file.name)
            for number, view in enumerate(views):
                draw(view, f"{key}.{number}")
