"""How long until the dashboard can be used, against an empty Streamlit app; slider to picture.

    python -m pytest -o addopts="" tests/benchmarks/test_dashboard.py -s

Both apps start in turn, so that whatever else the machine does weighs on both. The clock runs from
the command until the browser shows the page's first own element. Nothing is asserted about time
itself: a busy machine is slower, and only the ratio means something.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.conftest import CHROMIUM_ARGS, ROOT, free_port

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.benchmark_only

EMPTY = 'import streamlit as st\nst.button("ready", key="ready")\n'
ROUNDS = 5
STEPS = 12
TIMEOUT_MS = 120_000
SETTLED_MS = 2_000


@contextmanager
def server(script: Path, home: Path) -> Iterator[str]:
    """Run a script until the end of the block; yield its address at once, ready or not."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    command += ["--server.headless", "true", "--server.fileWatcherType", "none"]
    command += ["--browser.gatherUsageStats", "false"]
    env = {**os.environ, "MICROSCOPY_HOME": str(home), "OMP_NUM_THREADS": "1"}
    # as on anybody's machine: from the second start on our modules are compiled, as Streamlit's are
    env["PYTHONPYCACHEPREFIX"] = str(home.parent / "compiled")
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # a busy machine
            process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        yield started
        started.close()


def wait_for_server(url: str) -> None:
    limit = time.monotonic() + TIMEOUT_MS / 1000
    while time.monotonic() < limit:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(url)


def seconds_to_use(page: sync_api.Page, script: Path, home: Path, path: str, own: str) -> float:
    """Measure from the command to the first element of the page's own."""
    start = time.perf_counter()
    with server(script, home) as url:
        wait_for_server(url)
        page.goto(f"{url}/{path}")
        page.wait_for_selector(own, timeout=TIMEOUT_MS)
        return time.perf_counter() - start


@pytest.mark.parametrize(
    ("path", "own"),
    [("", ".st-key-home-em_membrane-predict button"), ("em_membrane", ".st-key-task-step button")],
    ids=["home", "task"],
)
def test_time_from_command_to_usable_page(browser, tmp_path, path: str, own: str) -> None:
    empty = tmp_path / "empty.py"
    empty.write_text(EMPTY)
    home = tmp_path / "home"
    context = browser.new_context()  # one profile: the app's scripts are compiled once
    page = context.new_page()
    ours: list[float] = []
    bare: list[float] = []
    for round_index in range(ROUNDS + 1):
        pair = (
            seconds_to_use(page, empty, home, "", ".st-key-ready button"),
            seconds_to_use(page, ROOT / "streamlit_app.py", home, path, own),
        )
        if round_index > 0:  # the first round writes the sample and fills the disk's cache
            bare.append(pair[0])
            ours.append(pair[1])
    context.close()

    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    print(  # noqa: T201 - a measurement for people
        f"\n{path or 'home'}: {statistics.median(ours):.2f} s against "
        f"{statistics.median(bare):.2f} s of an empty app; ratio of the medians "
        f"{statistics.median(ours) / statistics.median(bare):.2f}, of the fastest "
        f"{min(ours) / min(bare):.2f}, of each round {[round(r, 2) for r in ratios]}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    assert len(ratios) == ROUNDS


def test_time_from_opening_to_the_first_overlay(browser, tmp_path) -> None:
    """Home, "See a result now", the demo model's answer; then the threshold moves the overlay.

    The first visit is not counted: it compiles every module of torch, which pip does on a user's
    machine. The counted one has a home of its own, without sample, data set or answer.
    """
    for home in ("not-counted", "counted"):
        page = browser.new_page(viewport={"width": 1440, "height": 1100})
        with server(ROOT / "streamlit_app.py", tmp_path / home) as url:
            wait_for_server(url)
            parts = seconds_to_the_first_overlay(page, url)
            before, after = overlay_before_and_after(page)
        page.close()

    print(  # noqa: T201 - a measurement for people
        f"\nopening to overlay: {sum(parts):.1f} s, goal 10 s: home after {parts[0]:.1f} s, then "
        f"{parts[1]:.1f} s; load {os.getloadavg()[0]:.1f}"
    )
    assert before != after, "the threshold moves the overlay"


def seconds_to_the_first_overlay(page: sync_api.Page, url: str) -> tuple[float, float]:
    """Return the seconds until home can be used, and from the click until the overlay is seen."""
    start = time.perf_counter()
    page.goto(url)
    button = page.locator(".st-key-home-em_membrane-predict button")
    button.wait_for(timeout=TIMEOUT_MS)
    at_home = time.perf_counter()
    button.click(timeout=TIMEOUT_MS)
    page.locator(".canvas-root[data-painted]").first.wait_for(timeout=TIMEOUT_MS)
    return at_home - start, time.perf_counter() - at_home


def overlay_before_and_after(page: sync_api.Page) -> tuple[bytes, bytes]:
    """Return the picture, and the picture after the threshold was moved by keys."""
    picture = page.locator(".canvas-root[data-painted]").first
    page.wait_for_timeout(SETTLED_MS)
    before = picture.screenshot()
    page.locator("[class*='st-key-threshold-predict'] input[type=range]").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(SETTLED_MS)
    return before, picture.screenshot()


def test_time_from_section_slider_to_picture(browser, tmp_path) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1100})
    with server(ROOT / "streamlit_app.py", tmp_path) as url:
        wait_for_server(url)
        page.goto(f"{url}/em_membrane")
        page.wait_for_selector(".canvas-root[data-painted]", timeout=TIMEOUT_MS)
        page.wait_for_timeout(SETTLED_MS)  # as somebody would look at a section before the next
        times = [picture_after_key(page, _key(index)) for index in range(STEPS)]
    page.close()

    print(  # noqa: T201 - a measurement for people
        f"\nslider to picture: median {statistics.median(times):.0f} ms, best {min(times):.0f}, "
        f"worst {max(times):.0f} of {STEPS}, load {os.getloadavg()[0]:.1f}"
    )
    assert all(t > 0 for t in times)


def _key(index: int) -> str:
    return "ArrowRight" if index % 8 < 4 else "ArrowLeft"


WATCH = """(root) => {
    const before = root.dataset.painted;
    window.pictureAfter = new Promise((done) => {
        let start = null;
        const began = () => { start = performance.now(); };
        document.addEventListener("keydown", began, { capture: true, once: true });
        const look = () => {
            if (start !== null && root.dataset.painted !== before) {
                done(performance.now() - start);
            } else {
                requestAnimationFrame(look);
            }
        };
        look();
    });
}"""


def picture_after_key(page: sync_api.Page, key: str) -> float:
    """Press a key on the section slider; return the milliseconds until other pixels are shown."""
    page.locator(".canvas-root .stepper input[type=range]").first.focus()
    page.locator(".canvas-root[data-painted]").first.evaluate(WATCH)  # pierces the shadow root
    page.keyboard.press(key)
    return float(page.evaluate("() => window.pictureAfter"))
