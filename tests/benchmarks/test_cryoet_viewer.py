"""How long until other planes of a full-size tomogram stand on the screen, and how a cloud turns.

    python -m pytest -o addopts="" tests/benchmarks/test_cryoet_viewer.py -s

A simulated tomogram of 184 x 630 x 630 voxels in a real browser, from the key or the click until
other pixels are painted; and 5,000 picks in its box. Targets on a quiet machine: 150 ms for a step
of one plane, 300 ms for a click that moves all three.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines import datasets
from pipelines.registry import get_task
from pipelines.settings import load_settings
from pipelines.tasks.cryoet_picking.copick_files import CURATED_USER, write_picks
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, names
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.simulate import (
    SPACING_ANGSTROM,
    SimulationConfig,
    write_tree,
)
from tests.benchmarks.test_dashboard import ROOT, TIMEOUT_MS, server, wait_for_server
from tests.browser.conftest import CHROMIUM_ARGS

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.benchmark_only

FULL = SimulationConfig(depth_vox=184, side_vox=630, crowding=0.1, unlabelled_share=0.0)
NUM_PICKS = 5000
STEPS = 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a home with one full-size tomogram, and many picks without one."""
    home = tmp_path_factory.mktemp("home")
    write_tree(home / "full", num_tomograms=1, seed=5, config=FULL)
    rng = np.random.default_rng(0)
    places = rng.random((NUM_PICKS, 3)) * FULL.shape * SPACING_ANGSTROM
    kinds = names(CHALLENGE)
    picks = Picks.of_one("TS_1", kinds, rng.integers(0, len(kinds), NUM_PICKS), places)
    overlay = home / "many" / "overlay"
    write_picks(overlay, picks, user=CURATED_USER, session="0", kinds=kinds)
    return home


@pytest.fixture(scope="module")
def explore(home: Path) -> Iterator[Callable[[str], sync_api.Page]]:
    """Return the function that opens the step Explore on one of the two data sets."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    before = {**os.environ}
    os.environ |= {"MICROSCOPY_HOME": str(home), "MICROSCOPY_DATA_ROOTS": str(home)}
    try:
        task, settings = get_task("cryoet_picking"), load_settings()
        ids = {
            name: datasets.register(task, home / name, {}, settings).dataset_id
            for name in ("full", "many")
        }
    finally:
        os.environ.clear()
        os.environ.update(before)
    with server(ROOT / "streamlit_app.py", home) as url, sync_api.sync_playwright() as playwright:
        wait_for_server(url)
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1400})

        def open_one(name: str) -> sync_api.Page:
            page.goto(f"{url}/cryoet_picking?data={ids[name]}&step=explore")
            own = ".canvas-root[data-at]" if name == "full" else "[data-testid=stDeckGlJsonChart]"
            page.wait_for_selector(own, timeout=TIMEOUT_MS)
            page.wait_for_timeout(2000)
            return page

        yield open_one
        browser.close()


WATCH = """(root) => {
    const seen = () => root.dataset.at + root.dataset.painted;
    const before = seen();
    window.pictureAfter = new Promise((done) => {
        let start = null;
        const began = () => { start ??= performance.now(); };
        for (const type of ["keydown", "pointerup"]) {
            document.addEventListener(type, began, { capture: true, once: true });
        }
        const look = () => {
            if (start !== null && seen() !== before) done(performance.now() - start);
            else requestAnimationFrame(look);
        };
        look();
    });
}"""


def picture_after(page: sync_api.Page, act: Callable[[], None]) -> float:
    """Do something; return the milliseconds until other planes are painted."""
    page.locator(".canvas-root[data-at]").evaluate(WATCH)  # pierces the shadow root
    act()
    return float(page.evaluate("() => window.pictureAfter"))


def report(what: str, times: list[float]) -> None:
    print(  # noqa: T201 - a measurement for people
        f"\n{what}: median {statistics.median(times):.0f} ms, best {min(times):.0f}, "
        f"worst {max(times):.0f} of {len(times)}, load {os.getloadavg()[0]:.1f}"
    )


def test_time_from_key_to_one_plane(explore) -> None:
    page = explore("full")
    page.locator(".canvas-root .stage").hover(position={"x": 200, "y": 200})
    page.locator(".canvas-root .stage").click(position={"x": 200, "y": 200})
    page.wait_for_timeout(1000)
    times = []
    for _ in range(STEPS):
        times.append(picture_after(page, lambda: page.keyboard.press("PageDown")))
        page.wait_for_timeout(150)
    report("key to one plane", times)
    assert len(times) == STEPS, "every key brought another plane"


def test_time_from_click_to_three_planes(explore) -> None:
    page = explore("full")
    stage = page.locator(".canvas-root .stage")
    times = []
    for step in range(STEPS):
        place = {"x": 80.0 + 29 * step, "y": 620.0 - 27 * step}
        times.append(picture_after(page, lambda place=place: stage.click(position=place)))
        page.wait_for_timeout(400)
    report("click to three planes", times)
    assert len(times) == STEPS


def test_a_cloud_of_thousands_of_picks_turns(explore) -> None:
    """Without a graphics card the browser draws by the processor: the figure is a lower bound."""
    page = explore("many")
    cloud = page.get_by_test_id("stDeckGlJsonChart")
    cloud.scroll_into_view_if_needed()
    before = cloud.screenshot()
    box = cloud.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("""() => {
        window.frameTimes = [];
        const tick = (now) => { window.frameTimes.push(now); requestAnimationFrame(tick); };
        requestAnimationFrame(tick);
    }""")
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(60):
        page.mouse.move(x + 2 * step, y + step)
    page.mouse.up()
    assert cloud.screenshot() != before, "it turned"
    frames = np.diff(page.evaluate("() => window.frameTimes"))
    print(  # noqa: T201 - a measurement for people
        f"\n{NUM_PICKS} picks turned: {1000 / np.median(frames):.0f} pictures a second in the "
        f"median of {len(frames)}, longest {frames.max():.0f} ms, load {os.getloadavg()[0]:.1f}"
    )
