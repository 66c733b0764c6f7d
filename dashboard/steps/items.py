"""Which item is shown, by slider, address or the picture's own stepper; and those beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import streamlit as st

from dashboard.address import keep_moved, moved_value
from dashboard.canvas import CanvasEvent
from dashboard.words import tr
from pipelines.errors import PipelineError
from pipelines.views import Ahead, ImageView, Pane, View

_SHOWN: Final = "item.shown"  # counted from 1; outlives panels that draw no slider
_NEAR: Final = "item.near"
_SLIDER: Final = "choice.item"
_AHEAD_BYTES: Final = 64 << 20  # of sections sent ahead; the browser keeps 256 MiB in all
_AHEAD_S: Final = 0.12  # work for one answer: whoever steps meanwhile must not wait long
_FARTHEST: Final = 32


def pick_item(names: Sequence[str], *, has_slider: bool = True) -> int:
    """Return the index of the item that is shown; draw a slider, counted from 1, and its name."""
    count = len(names)
    asked = moved_value("item")
    if asked is not None and asked.isdecimal():
        st.session_state[_SHOWN] = int(asked)
    number = min(max(int(st.session_state.get(_SHOWN, 1)), 1), count)
    if has_slider and count > 1:
        st.session_state[_SLIDER] = number
        st.slider(tr("pages.item", n=count), 1, count, key=_SLIDER, on_change=_take_slider)
    st.session_state[_SHOWN] = number
    keep_moved("item", str(number) if number > 1 else None)
    st.caption(names[number - 1])
    return number - 1


def on_canvas(event: CanvasEvent) -> None:
    """Follow the stepper inside a picture, and note what it would like to have ahead."""
    if event.kind == "step" and event.section_index is not None:
        st.session_state[_SHOWN] = event.section_index + 1
    if event.kind == "near":
        st.session_state[_NEAR] = event.sections


def add_ahead(
    views: Sequence[View],
    compute: Callable[[int], Sequence[View]],
    *,
    stamp: Sequence[Any],
    ready: Collection[int] | None,
) -> Sequence[View]:
    """Let the first picture step by itself, with the sections that the browser asked for.

    Args:
        views: Views of the item shown.
        compute: From the index of another item to its views.
        stamp: Everything but the item that the views depend on.
        ready: Items that cost no more than milliseconds; None for all of them.

    Returns:
        `views`, unchanged if the first is no picture with sections.
    """
    first = views[0] if views else None
    if not isinstance(first, ImageView) or first.section is None:
        return views
    mark = hashlib.blake2b(repr(stamp).encode(), digest_size=8).hexdigest()
    wanted = st.session_state.pop(_NEAR, ())
    count = first.section[1]
    chosen = [i for i in wanted if 0 <= i < count and (ready is None or i in ready)]
    has_more = ready is None or len(ready) > 1
    reach = min(_FARTHEST, _AHEAD_BYTES // _num_bytes(first.panes) // 2) if has_more else 0
    ahead = Ahead(mark, reach, dict(_compute_some(chosen, compute)))
    return [dataclasses.replace(first, ahead=ahead), *views[1:]]


def _compute_some(
    wanted: Sequence[int], compute: Callable[[int], Sequence[View]]
) -> Iterator[tuple[int, tuple[Pane, ...]]]:
    """Compute as many as fit into one answer, one at least; the browser asks for the rest."""
    end = time.monotonic() + _AHEAD_S
    for index in wanted:
        with suppress(PipelineError):  # a damaged section says so once it is looked at
            views = compute(index)
            if isinstance(views[0], ImageView):
                yield index, views[0].panes
        if time.monotonic() > end:
            return


def _num_bytes(panes: Sequence[Pane]) -> int:
    """Return how much the arrays of a section take, those in several panes counted once."""
    arrays = {
        id(value): int(value.nbytes)
        for pane in panes
        for layer in pane.layers
        for value in vars(layer).values()
        if hasattr(value, "nbytes")
    }
    return sum(arrays.values()) or 1


def _take_slider() -> None:
    st.session_state[_SHOWN] = st.session_state[_SLIDER]
