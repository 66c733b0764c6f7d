"""What happens while the server starts: modules are loaded, a browser opens, nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import streamlit as st
from streamlit import cli_util
from streamlit.web.server.app_discovery import discover_asgi_app

from dashboard import start
from pipelines.datasets import new_upload_folder
from pipelines.settings import load_settings

ROOT = Path(__file__).parents[2]


def live(seconds: float = 0.0) -> None:
    async def run() -> None:
        async with start.lifespan(None):
            await asyncio.sleep(seconds)

    asyncio.run(run())


def test_streamlit_finds_the_served_app_in_the_entry_file() -> None:
    found = discover_asgi_app(ROOT / "streamlit_app.py")
    assert (found.is_asgi_app, found.import_string) == (True, "streamlit_app:app")


def test_pages_are_loaded_before_a_script_goes_on() -> None:
    code = (
        "import asyncio, sys\n"
        "from dashboard import start\n"
        "async def run():\n"
        "    async with start.lifespan(None):\n"
        "        start.wait_until_loaded()\n"
        "        print('dashboard.pages.task' in sys.modules, 'torch' in sys.modules)\n"
        "asyncio.run(run())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "STREAMLIT_SERVER_HEADLESS": "true"},
    )  # fmt: skip
    assert done.stdout.split() == ["True", "False"]


def test_a_script_without_a_server_waits_for_nothing() -> None:
    start.wait_until_loaded()


@pytest.mark.parametrize("is_headless", [True, False])
def test_a_browser_opens_unless_the_server_is_headless(
    monkeypatch: pytest.MonkeyPatch, is_headless: bool
) -> None:
    opened: list[str] = []
    options = {
        "server.headless": is_headless,
        "server.address": "127.0.0.1",
        "browser.serverAddress": "localhost",
    }
    monkeypatch.setattr(st, "get_option", options.__getitem__)
    monkeypatch.setattr(cli_util, "open_browser", opened.append)
    live(0.3)
    assert [url.split(":")[1] for url in opened] == ([] if is_headless else ["//127.0.0.1"])


def test_old_uploads_go_and_a_wrong_variable_is_left_to_the_pages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    folder = new_upload_folder(load_settings())
    os.utime(folder, (0, 0))
    monkeypatch.setenv("MICROSCOPY_MAX_RUNS", "many")
    start.tidy()
    assert folder.exists()
    assert "could not be looked through" in caplog.text
    monkeypatch.delenv("MICROSCOPY_MAX_RUNS")
    start.tidy()
    assert not folder.exists()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="sends the signal that Ctrl-C sends elsewhere")
def test_ctrl_c_ends_the_server_with_nothing_to_complain_about(tmp_path: Path) -> None:
    """It printed "Aborted!" and ended with code 1, as if something had failed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    command += ["--server.port", port, "--server.headless", "true"]
    said = tmp_path / "said.txt"
    with said.open("w") as out:
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True,
            env={**os.environ, "MICROSCOPY_HOME": str(tmp_path)},
        )  # fmt: skip
    try:
        while not answers(f"http://127.0.0.1:{port}/_stcore/health"):
            assert server.poll() is None, said.read_text()
            time.sleep(0.1)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0, said.read_text()
    finally:
        server.kill()
    assert "Aborted" not in said.read_text()


def test_the_warm_process_ends_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn ends by the signal itself, and what was registered for the exit never ran."""
    closed: list[bool] = []
    monkeypatch.setattr(st, "get_option", lambda _name: True)
    monkeypatch.setattr(start, "close_warm", lambda: closed.append(True))
    live()
    assert closed == [True]


def test_the_warm_process_ends_with_a_killed_server() -> None:
    """A worker of a killed server stayed for ever, with torch in memory; here it holds the pipe."""
    code = (
        "import os\n"
        "from pipelines.jobs import warm\n"
        "if __name__ == '__main__':\n"
        "    print(warm.warm_call('pipelines.jobs.warm:process_number'), flush=True)\n"
        "    os._exit(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert int(done.stdout) > 0
