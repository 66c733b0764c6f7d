"""The whole loop of picking in a browser: simulate, train, pick, look, correct, score, export.

One visit, told in order: each part of it needs what the one before left. Pictures of what it sees
are kept under screenshots/.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from pipelines.registry import get_task
from tests.browser.test_em_journey import (
    WAIT_MS,
    go_to_step,
    keyed,
    run_panel,
    settle,
    wait_for_state,
    wait_until,
)

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

APP = Path(__file__).parents[2] / "streamlit_app.py"
TRAINING_S = 20
SHAPE = (48, 64, 64)
TINY = ("depth_vox=48", "side_vox=64", "num_vesicles=0", "num_gold_beads=1", "crowding=10",
        "dose_electrons=400", "unlabelled_share=0")  # fmt: skip

pytestmark = pytest.mark.browser


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a home with three tiny tomograms, simulated as anybody would."""
    changes = [word for pair in TINY for word in ("--set", pair)]
    out = str(tmp_path / "czii")
    status = cli.main(
        ["simulate", "cryoet_picking", "--out", out, "--tomograms", "3", "--seed", "3", *changes]
    )
    assert status == 0
    return tmp_path


@pytest.fixture
def visit(serve: Callable, page, home: Path) -> Callable:
    def start(path: str) -> sync_api.Page:
        env = {"MICROSCOPY_HOME": str(home), "MICROSCOPY_DATA_ROOTS": str(home)}
        page.goto(f"{serve(APP, env=env | {'OMP_NUM_THREADS': '1'})}/{path}")
        keyed(page, "task.step").wait_for(timeout=WAIT_MS)
        return page

    return start


# --- parts of the page ----------------------------------------------------------------------------


def crosshair(page) -> list[int]:
    """Return the voxel z, y, x that the planes show."""
    found = page.locator(".canvas-root[data-at]").first.get_attribute("data-at", timeout=WAIT_MS)
    return [int(part) for part in found.split(",")]


def wait_for_planes(page) -> None:
    page.locator(".canvas-root[data-at]").first.wait_for(timeout=WAIT_MS)
    settle(page)


def planes(page) -> bytes:
    return bytes(page.locator(".canvas-root .stage").first.screenshot())


def score(page) -> str:
    return page.get_by_test_id("stMetricValue").first.inner_text().strip()


def spots(picture: bytes) -> list[tuple[float, float]]:
    """Return x and y of coloured blobs: the picks of a cloud, its box and page are grey."""
    from scipy import ndimage

    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    blobs, count = ndimage.label(pixels.max(2) - pixels.min(2) > 60)
    sizes = np.bincount(blobs.ravel())
    centres = ndimage.center_of_mass(blobs > 0, blobs, range(1, count + 1))
    return [(x, y) for i, (y, x) in enumerate(centres, 1) if sizes[i] > 20]


def true_places_vox(home: Path) -> np.ndarray:
    """Return z, y, x of every true pick of the first tomogram, in voxels."""
    task = get_task("cryoet_picking")
    truth = task.open_truth(home / "czii", ["TS_1"])["TS_1"]
    return truth.picks.positions / 10.012444


# --- the visit ------------------------------------------------------------------------------------


def test_the_loop_from_simulated_tomograms_to_a_submission(visit, home, screenshot) -> None:
    page = visit("cryoet_picking")
    look_at_the_tomograms(page, home, screenshot)
    run_id = train(page, home, screenshot)
    pick(page, run_id, screenshot)
    export(page, home, screenshot)
    move_a_threshold(page, screenshot)
    go_to_step(page, "Explore")
    wait_for_planes(page)
    follow_a_click_in_the_cloud(page, home, screenshot)
    step_by_keys(page)
    add_and_undo_a_pick(page, screenshot)
    see_a_surface(page, screenshot)


def look_at_the_tomograms(page, home: Path, screenshot) -> None:
    wait_for_planes(page)  # of the sample: what is typed while the page is drawn gets lost
    keyed(page, "cryoet_picking.adding").locator("summary").click()
    field = keyed(page, "cryoet_picking.path").locator("input")
    field.fill(str(home / "czii"))
    field.press("Enter")
    use = keyed(page, "cryoet_picking.use").get_by_role("button")
    expect(use).to_be_enabled(timeout=WAIT_MS)
    expect(keyed(page, "cryoet_picking.adding")).to_contain_text("48 × 64 × 64")
    screenshot(page, "cryoet-data-report")
    use.click()
    expect(page).to_have_url(re.compile(r"[?&]data="), timeout=WAIT_MS)
    wait_for_planes(page)
    wait_until(page, lambda: crosshair(page) == [n // 2 for n in SHAPE], "the middle is shown")
    screenshot(page, "cryoet-data")


def train(page, home: Path, screenshot) -> str:
    go_to_step(page, "Train")
    settle(page)
    keyed(page, "cryoet_picking.preset").get_by_role("radio").first.click()
    settle(page)
    keyed(page, "cryoet_picking.group.training").locator("summary").first.click()
    limit = keyed(page, "cryoet_picking.time_limit_s").locator("input")
    limit.fill(str(TRAINING_S))
    limit.press("Enter")
    start = keyed(page, "cryoet_picking.train").get_by_role("button")
    expect(start).to_contain_text(f"{TRAINING_S} s", timeout=WAIT_MS)
    start.click()
    run_panel(page).wait_for(timeout=WAIT_MS)
    wait_for_state(page, "finished")
    settle(page)
    screenshot(page, "cryoet-train")
    (folder,) = [f for f in (home / "runs").iterdir() if not f.name.startswith(".")]
    return folder.name


def pick(page, run_id: str, screenshot) -> None:
    go_to_step(page, "Predict")
    for name, words in (("data", "simulated"), ("model", run_id[-4:])):
        chosen = keyed(page, f"choice.{name}").locator("input")
        expect(chosen).to_have_value(re.compile(words), timeout=WAIT_MS)
        expect(keyed(page, "strip")).to_contain_text(words, timeout=WAIT_MS)
    wait_for_planes(page)
    keyed(page, "cryoet_picking.predict").get_by_role("button").click()
    wait_for_state(page, "finished")
    settle(page)
    screenshot(page, "cryoet-predict")


def export(page, home: Path, screenshot) -> None:
    page.get_by_role("radio", name="Submission").click()
    page.locator("[class*='st-key-cryoet_panel-submission'][class*='-button'] button").click()
    link = page.locator("[class*='st-key-cryoet_picking-submission'] button").filter(
        has_text="pick"
    )
    expect(link.first).to_be_visible(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "cryoet-submission")
    with page.expect_download(timeout=WAIT_MS) as download:
        link.first.click()
    target = home / "submission.csv"
    download.value.save_as(target)
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert {"id", "experiment", "particle_type", "x", "y", "z"} <= set(rows[0] if rows else ())
    assert [row["id"] for row in rows] == [str(i) for i in range(len(rows))]
    status = cli.main(
        ["evaluate", "cryoet_picking", "--prediction", str(target), "--truth", str(home / "czii")]
    )
    assert status == 0, "the downloaded file is read and scored again"


def move_a_threshold(page, screenshot) -> None:
    go_to_step(page, "Evaluate")
    page.get_by_role("radio", name="All together").click()
    wait_for_planes(page)
    handle = page.locator("[class*='st-key-threshold-evaluate'] input[type=range]").first
    expect(handle).to_be_visible(timeout=WAIT_MS)
    table = page.get_by_test_id("stDataFrame").first
    shown = table.screenshot()
    start = float(handle.input_value())
    handle.focus()
    for _ in range(25):
        page.keyboard.press("ArrowLeft" if start > 0.3 else "ArrowRight")
    wait_until(page, lambda: table.screenshot() != shown, "the table follows the threshold")
    settle(page)
    screenshot(page, "cryoet-evaluate")


def follow_a_click_in_the_cloud(page, home: Path, screenshot) -> None:
    cloud = page.get_by_test_id("stDeckGlJsonChart").first
    cloud.wait_for(timeout=WAIT_MS)
    cloud.evaluate("(node) => node.scrollIntoView({block: 'center'})")
    wait_until(page, lambda: len(spots(cloud.screenshot())) > 0, "the cloud is drawn")
    before, seen = crosshair(page), planes(page)
    for x, y in spots(cloud.screenshot()):
        cloud.click(position={"x": x, "y": y})
        page.wait_for_timeout(700)
        if crosshair(page) != before:
            break
    at = crosshair(page)
    assert at != before, "a click on a pick moves the planes"
    candidates = [*true_places_vox(home), *picked_places_vox(home)]
    assert min(np.abs(np.array(candidates) - at).max(1)) <= 0.51, "they stand at a pick"
    settle(page)
    assert planes(page) != seen
    screenshot(page, "cryoet-cloud")


def picked_places_vox(home: Path) -> np.ndarray:
    """Return z, y, x of every candidate of the first tomogram, in voxels."""
    folders = sorted((home / "runs").glob("*/prediction"))
    found = get_task("cryoet_picking").open_predictions(folders[-1])["TS_1"]
    return found.values["positions"] / 10.012444


def step_by_keys(page) -> None:
    z, y, x = crosshair(page)
    stage = page.locator(".canvas-root .stage").first
    stage.scroll_into_view_if_needed()
    stage.focus()
    stage.hover(position={"x": 60, "y": 60})
    key, by = ("PageUp", -1) if z > SHAPE[0] // 2 else ("PageDown", 1)
    for _ in range(3):
        page.keyboard.press(key)
    wait_until(page, lambda: crosshair(page) == [z + 3 * by, y, x], "three steps along z")


def add_and_undo_a_pick(page, screenshot) -> None:
    settle(page)
    before = score(page)
    undo = page.locator("[class*='viewer'][class*='undo'] button")
    expect(undo).to_be_disabled()
    page.get_by_role("radio", name="adds a pick").click()
    settle(page)
    stage = page.locator(".canvas-root .stage").first
    # near the corner of the xy plane: particles keep a distance from the border
    box = stage.bounding_box()
    side = (box["height"] - 8) / (SHAPE[0] + SHAPE[1]) * SHAPE[2]
    left = (box["width"] - 8 - side * (1 + SHAPE[0] / SHAPE[2])) / 2
    stage.click(position={"x": left + 4, "y": 4})
    expect(undo).to_be_enabled(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "cryoet-added")
    undo.click()
    expect(undo).to_be_disabled(timeout=WAIT_MS)
    wait_until(page, lambda: score(page) == before, "the score is that of before")
    redo = page.locator("[class*='viewer'][class*='redo'] button")
    expect(redo).to_be_enabled()


def see_a_surface(page, screenshot) -> None:
    page.get_by_text("Surface around the crosshair").click()
    chart = page.get_by_test_id("stPlotlyChart").first
    message = page.get_by_text("Nothing around the crosshair")
    expect(chart.or_(message).first).to_be_visible(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "cryoet-surface")
