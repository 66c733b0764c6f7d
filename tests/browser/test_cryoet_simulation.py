"""Simulate on the page, and train on from weights at hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.test_cryoet_journey import APP, crosshair, wait_for_planes
from tests.browser.test_em_journey import WAIT_MS, go_to_step, keyed, settle, slider, wait_until

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

SMALLEST = {"depth_vox": 32, "side_vox": 48}
COUNT = 1
KEY = "cryoet_picking-simulation"

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(serve: Callable, page, tmp_path: Path) -> sync_api.Page:
    env = {"MICROSCOPY_HOME": str(tmp_path), "MICROSCOPY_DATA_ROOTS": str(tmp_path)}
    page.goto(f"{serve(APP, env=env | {'OMP_NUM_THREADS': '1'})}/cryoet_picking")
    wait_for_planes(page)
    return page


def test_simulated_tomograms_are_chosen_called_so_and_trained_on(opened, screenshot) -> None:
    page = opened
    keyed(page, "cryoet_picking.simulation").locator("summary").first.click()
    start = page.locator(f".st-key-{KEY}-start button")
    expect(start).to_be_visible(timeout=WAIT_MS)
    settle(page)
    to_the_left(page, "count", COUNT)
    for name, least in SMALLEST.items():
        to_the_left(page, name, least)
    # a slider tells the server a moment later: what is simulated is what the form then states
    expect(start).to_contain_text(f"{COUNT} tomogram", timeout=WAIT_MS)
    form = keyed(page, "cryoet_picking.simulation")
    expect(form).to_contain_text("32 × 48 × 48 voxels", timeout=WAIT_MS)
    screenshot(page, "cryoet-simulation")
    start.click()
    expect(page).to_have_url(re.compile(r"[?&]data="), timeout=WAIT_MS)
    expect(keyed(page, "strip")).to_contain_text("Simulated", timeout=WAIT_MS)
    expect(start).to_be_hidden(timeout=WAIT_MS)
    wait_for_planes(page)
    middle = [SMALLEST["depth_vox"] // 2, *[SMALLEST["side_vox"] // 2] * 2]
    wait_until(page, lambda: crosshair(page) == middle, "the new tomogram is shown")
    # the smallest tomogram has no room for each kind
    expect(page.locator(".cloud-legend")).to_contain_text("apo-ferritin")
    screenshot(page, "cryoet-simulated")

    go_to_step(page, "Train")
    keyed(page, "cryoet_picking.start_from").locator("input").click()
    page.get_by_role("option", name="Demo model").click()
    keyed(page, "cryoet_picking.group.training").locator("summary").first.click()
    path = keyed(page, "cryoet_picking.initial_checkpoint").locator("input")
    expect(path).to_have_value(re.compile("demo$"), timeout=WAIT_MS)


def to_the_left(page, name: str, least: int) -> None:
    handle = slider(page, f"{KEY}-{name}")
    handle.focus()
    page.keyboard.press("Home")
    expect(handle).to_have_value(str(least), timeout=WAIT_MS)
    settle(page)
