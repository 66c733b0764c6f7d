"""How often the test items of a run's data were opened, to stand beside test figures."""

from __future__ import annotations

import streamlit as st

from dashboard.words import tr
from pipelines.actions import data_fingerprint
from pipelines.datasets import locked
from pipelines.jobs.store import Run
from pipelines.settings import load_settings

_TEST = ("test", "unseen")


def with_openings(words: str, run: Run | None) -> str:
    """Add the count to the words of a score that was read on test items."""
    if run is None or not set((run.scores() or {}).get("parts", ())) & set(_TEST):
        return words
    fingerprint = _fingerprint(run.run_id, run)
    count = len(locked.openings_of(fingerprint, load_settings()))
    return f"{words} · {tr('compare.opened_short', n=count)}" if count else words


@st.cache_data(show_spinner=False, max_entries=256)
def _fingerprint(run_id: str, _run: Run) -> str:
    return data_fingerprint(_run.dataset())
