"""Use the second in which the first visitor's browser loads Streamlit: load our modules meanwhile.

Streamlit runs a script, and so imports what it needs, only when a browser has opened its socket.
`st.App` has a hook for the start of the server, so the tasks, pages and texts are there by then.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import streamlit as st

from pipelines.errors import PipelineError
from pipelines.jobs.warm import close_warm
from pipelines.settings import load_settings

_PAGES: Final = ("home", "task")  # where most visits begin
_BROWSER_AFTER_S: Final = 0.1  # the server listens as soon as the hook has returned
_TIDY_AFTER_S: Final = 30.0  # the first visitor's pages come first
_log = logging.getLogger(__name__)
_loaded = threading.Event()
_loaded.set()  # nothing is under way, as in tests, where no server starts


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:  # st.App names no public type for it
    """Load modules beside the starting server, and open a browser as `streamlit run` does."""
    _loaded.clear()
    threading.Thread(target=_load, name="load-pages", daemon=True).start()
    tidying = threading.Timer(_TIDY_AFTER_S, tidy)
    tidying.daemon = True
    tidying.start()
    if not st.get_option("server.headless"):
        asyncio.get_running_loop().call_later(_BROWSER_AFTER_S, _open_browser)
    try:
        yield
    finally:
        tidying.cancel()
        close_warm()  # here: where uvicorn ends by a signal, what is left for the exit never runs
        _end_quietly()


def _end_quietly() -> None:
    """Let Ctrl-C be the usual way to end the server: with code 0, and without "Aborted!".

    uvicorn has heard the key, shuts down in order, and then sends itself the signal once more,
    which Streamlit takes for a failure. A uvicorn that keeps no such list ends as it did before.
    """
    server = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    heard = getattr(server, "_captured_signals", None)
    if heard and set(heard) == {signal.SIGINT}:
        heard.clear()


def wait_until_loaded() -> None:
    """Let a page wait for modules under way: it needs them, and two importing threads can clash."""
    _loaded.wait()


def check_settings() -> None:
    """Read the environment once before a page is drawn: a mistake is said once, not by each part.

    Raises:
        ConfigError: A variable that should hold a number does not.
    """
    load_settings()


def tidy() -> None:
    """Give back the disk space of uploads whose page was closed before they were used."""
    from pipelines.datasets import discard_old_uploads

    try:
        discard_old_uploads(load_settings())
    except (OSError, PipelineError):  # pages say what is wrong with a folder or a variable
        _log.warning("unused uploads could not be looked through", exc_info=True)


def _load() -> None:
    try:
        from dashboard.memory import freeze_modules
        from pipelines.registry import load_tasks
        from pipelines.text import LANGUAGES, Text, render

        for page in _PAGES:
            importlib.import_module(f"dashboard.pages.{page}")
        load_tasks()
        for language in LANGUAGES:
            render(Text("pages.product"), language)
        freeze_modules()
    finally:
        _loaded.set()


def _open_browser() -> None:
    """Open the page; Streamlit does so for a plain script, and not for an `App`."""
    from streamlit import cli_util
    from streamlit.web.server import server_util

    named = st.get_option("browser.serverAddress")
    address = named if named != "localhost" else st.get_option("server.address") or named
    cli_util.open_browser(server_util.get_url(server_util.get_display_address(address)))
