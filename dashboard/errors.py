"""What a page shows when something fails: one sentence and what to do, never a traceback."""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import streamlit as st
from streamlit.errors import FragmentHandledException

from dashboard.words import say_plainly, tr
from pipelines.core.files import no_access
from pipelines.errors import PipelineError, missing_package

_Args = ParamSpec("_Args")
_log = logging.getLogger(__name__)


@contextmanager
def frame() -> Iterator[None]:
    """Draw what is inside; an error becomes a message and the rest of the page stays."""
    try:
        yield
    except PipelineError as error:
        show(error)
    except FragmentHandledException:
        raise  # Streamlit has shown it already; stop and rerun are no `Exception`s
    except Exception as error:  # noqa: BLE001 - the page frame: a bug must not take the page with it
        if (known := no_access(error) or missing_package(error)) is not None:
            st.error(say_plainly(known), icon=":material/error:")
            return
        mark = uuid.uuid4().hex[:8]
        _log.exception("page failed, mark %s", mark)
        st.error(tr("pages.bug", mark=mark), icon=":material/bug_report:")


def fragment(draw: Callable[_Args, None]) -> Callable[_Args, None]:
    """Make a part of a page rerun by itself, with errors said as in `frame`.

    What fails in a plain fragment is shown by Streamlit, in English and before any frame around it
    hears of it.
    """

    @functools.wraps(draw)
    def framed(*args: _Args.args, **kwargs: _Args.kwargs) -> None:
        with frame():
            draw(*args, **kwargs)

    return st.fragment(framed)


def show(error: PipelineError) -> None:
    """Show an error that the user can understand and mend."""
    st.error(say_plainly(error.text), icon=":material/error:")
