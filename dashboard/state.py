"""Every key of the session state that is no widget's own, as typed getters and setters."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st


def option_key(task_id: str, name: str) -> str:
    """Return the widget key of a task's option."""
    return f"{task_id}.{name}"


def option_values(task_id: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return a task's options as the forms have them, defaults where nothing was touched."""
    return {n: st.session_state.get(option_key(task_id, n), d) for n, d in defaults.items()}


def set_options(task_id: str, values: dict[str, Any]) -> None:
    """Set a task's options; must run before their widgets are drawn."""
    for name, value in values.items():
        st.session_state[option_key(task_id, name)] = value


def watched_run(task_id: str, action: str) -> str | None:
    """Return the run that the step's panel follows."""
    return cast("str | None", st.session_state.get(f"{task_id}.{action}.run"))


def watch_run(task_id: str, action: str, run_id: str | None) -> None:
    """Let the step's panel follow a run."""
    st.session_state[f"{task_id}.{action}.run"] = run_id


def take_notice() -> str | None:
    """Return a message left by the previous script run, once."""
    return cast("str | None", st.session_state.pop("notice", None))


def leave_notice(words: str) -> None:
    """Leave a message for the next script run."""
    st.session_state["notice"] = words
