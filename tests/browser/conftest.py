"""A Streamlit server of the test's own, and a real browser that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCREENSHOTS = ROOT / "screenshots"
START_TIMEOUT_S = 120
BAD = 400  # an answer of this status or above is an error
TOLD = 8_000  # characters of a page that a failed test shows
TIMEOUT_MS = 120_000  # generous: a busy machine is slow, and a wait ends as soon as it can
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    """Say what the page showed when its test failed, and keep a picture of it."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and page is not None:
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"failed-{item.name}.png", full_page=True)
        told = "\n".join([page.url, *page.refused, page.locator("body").aria_snapshot()[-TOLD:]])
        report.sections.append(("page when it failed", told))
    return report


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start a script once a session and return its address; everything ends with the session."""
    running: dict[tuple, tuple[subprocess.Popen, str]] = {}

    def start(script: Path, *, env: dict[str, str] | None = None, theme: str = "") -> str:
        known = (script, tuple(sorted((env or {}).items())), theme)
        if known in running:
            return running[known][1]
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        log = tmp_path_factory.mktemp("server") / "log.txt"
        command = [sys.executable, "-m", "streamlit", "run", str(script)]
        command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
        command += ["--server.headless", "true", "--browser.gatherUsageStats", "false"]
        command += ["--server.fileWatcherType", "none"]
        command += ["--theme.base", theme] if theme else []
        with log.open("w") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=ROOT, env={**os.environ, **(env or {})}
            )
        running[known] = (process, url)
        wait_until_ready(url, process, log)
        return url

    yield start
    for process, _ in running.values():
        process.terminate()
    for process, _ in running.values():
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator["sync_api.Browser"]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def context(browser: "sync_api.Browser") -> Iterator["sync_api.BrowserContext"]:
    """One profile for all tests: the app's own scripts are read and compiled once."""
    opened = browser.new_context(viewport={"width": 1440, "height": 1100})
    opened.set_default_timeout(TIMEOUT_MS)
    opened.set_default_navigation_timeout(TIMEOUT_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: "sync_api.BrowserContext") -> Iterator["sync_api.Page"]:
    """A fresh page at 1440 x 1100; errors of scripts in it fail the test."""
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.refused = refused = []
    opened.on("response", lambda a: a.status < BAD or refused.append(f"{a.status} {a.url}"))
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture
def screenshot() -> Callable[..., Path]:
    """Keep a picture of the page, or of one element, under screenshots/ (not committed)."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def take(target: "sync_api.Page | sync_api.Locator", name: str) -> Path:
        path = SCREENSHOTS / f"{name}.png"
        target.screenshot(path=path)
        return path

    return take


@pytest.fixture
def open_app(serve: Callable, page, tmp_path: Path) -> Callable:
    """Open the dashboard with an empty home of the test's own."""

    def start(path: str = "") -> sync_api.Page:
        env = {"MICROSCOPY_HOME": str(tmp_path), "MICROSCOPY_USER": "ada"}
        page.goto(f"{serve(ROOT / 'streamlit_app.py', env=env | {'OMP_NUM_THREADS': '1'})}/{path}")
        return page

    return start
