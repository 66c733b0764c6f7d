"""The address holds the state: a copied link restores the view, and Back goes back.

A widget whose value belongs to the address is given its value before it is drawn
(`restore`) and writes it after (`keep`). Values in the address are names that no language changes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import streamlit as st

_LOST: Final = "address.lost"
_LATE_S: Final = 3.0  # how long a request may carry an address that the page has replaced since


def restore(name: str, key: str, options: Sequence[str], default: str | None) -> str | None:
    """Put the address's value into the widget's state when the address changed.

    Args:
        name: Parameter in the address.
        key: Key of the widget that shows it.
        options: Values that the widget accepts; anything else in the address is ignored, and
            remembered for `take_lost`.
        default: Value when neither address nor session has one.

    Returns:
        The value that the widget will show.
    """
    asked = st.query_params.get(name)
    if _went_back(name, asked):
        st.session_state[key] = default
    if asked and asked != st.session_state.get(_seen(name)):
        if asked in options:
            st.session_state[key] = asked
        else:
            note_lost(name, asked)
    value = st.session_state.get(key)
    if value not in options:  # also when a step without the widget dropped it
        value = asked if asked in options else default
    # Set even when unchanged: a widget that comes back to the page is told of a value only when it
    # is set in this very run; otherwise the browser shows the first option and sends that later.
    st.session_state[key] = value
    st.session_state[_seen(name)] = asked
    return value


def keep(name: str, value: str | None) -> None:
    """Write a value to the address; None removes it."""
    if st.query_params.get(name) == value:
        return
    if value is None:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = value
    st.session_state[_seen(name)] = value


def note_lost(name: str, asked: str) -> None:
    """Remember that the address names what is not here."""
    st.session_state.setdefault(_LOST, {})[name] = asked


def take_lost() -> dict[str, str]:
    """Return what the address named and is not here, by the names of its parameters, once."""
    lost: dict[str, str] = st.session_state.pop(_LOST, {})
    return lost


def note_page(path: str) -> None:
    """Remember which page is drawn: on another one, an empty address is no way back.

    Where there is no page of the name in the address, Streamlit draws the home page, whose own path
    is empty; what was asked for is remembered for `take_lost`.
    """
    base = st.get_option("server.baseUrlPath") or ""
    asked = _last_part(urlsplit(st.context.url or "").path)
    if not path and asked not in ("", _last_part(base)):
        note_lost("page", asked)
    st.session_state["address.is_other_page"] = st.session_state.get("address.page") != path
    st.session_state["address.page"] = path


def _last_part(path: str) -> str:
    return unquote(path.rstrip("/").rpartition("/")[2])


def _went_back(name: str, asked: str | None) -> bool:
    """Tell whether a value left the address while the page stayed the same."""
    was_there = st.session_state.get(_seen(name)) is not None
    return asked is None and was_there and not st.session_state.get("address.is_other_page", False)


def moved_value(name: str) -> str | None:
    """Return what the address asks of a slider, or None when the page itself wrote it.

    A slider that moves fast is drawn again before the browser has the newest address: what comes
    with that request is an older value of the page's own, and must not pull the slider back. Once
    the browser has had time to catch up, an older value is a wish: somebody went back.
    """
    asked = st.query_params.get(name)
    own = _own(name)
    is_echo = (
        asked == own.get("newest") or time.monotonic() - own["times"].get(asked, -1e9) < _LATE_S
    )
    if asked is None or is_echo:
        return None
    own["newest"] = asked
    return asked


def keep_moved(name: str, value: str | None) -> None:
    """Write what a slider stands on to the address, and remember it as the page's own."""
    own = _own(name)
    if value != own.get("newest"):
        own["times"][own.get("newest")] = time.monotonic()
        own["newest"] = value
    keep(name, value)


def _own(name: str) -> dict[str, Any]:  # the newest value, and when others stopped being it
    found: dict[str, Any] = st.session_state.setdefault(f"{_seen(name)}.own", {"times": {}})
    return found


def _seen(name: str) -> str:
    return f"address.{name}"
