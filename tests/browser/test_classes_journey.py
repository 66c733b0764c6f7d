"""What a student does with patches in a browser: train light, move the threshold, see why, export.

One visit, told in order. Pictures of what is seen are kept under screenshots/.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.browser.test_em_journey import (
    WAIT_MS,
    figures,
    go_to_step,
    keyed,
    settle,
    slider,
    wait_for_state,
    wait_until,
)

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

TASK = "histo_patches"
EPOCHS = 3

pytestmark = pytest.mark.browser


# --- parts of the page ----------------------------------------------------------------------------


def cells(page) -> list[list[int]]:
    """Read the counts of the confusion matrix from its buttons."""
    words = [
        [keyed(page, f"{TASK}.cell.{row}.{column}").inner_text() for column in (0, 1)]
        for row in (0, 1)
    ]
    return [[int(re.match(r"\D*(\d+)", w).group(1)) for w in row] for row in words]


def tiles(page, key: str):
    return keyed(page, key).locator("button.tile")


def point(page) -> tuple[float, float]:
    """Return where the threshold stands on the ROC curve, as the browser holds it."""
    found = page.evaluate(
        """(selector) => {
            const chart = document.querySelector(selector + " .js-plotly-plot");
            const mark = chart.calcdata.find((curve) => curve[0].trace.mode === "markers");
            return [mark[0].x, mark[0].y];
        }""",
        f".st-key-{TASK}-curve-0-chart",
    )
    return found[0], found[1]


# --- the visit ------------------------------------------------------------------------------------


def test_a_visit_from_the_sample_to_the_list_of_doubtful_labels(
    open_app, tmp_path, screenshot
) -> None:
    page = open_app(TASK)
    page.locator("[data-testid=stImage] img").first.wait_for(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "classes-data")

    train_light(page, screenshot)
    move_the_threshold(page, screenshot)
    open_cells_of_the_matrix(page)
    see_why(page, screenshot)
    mark_labels(page, tmp_path, screenshot)
    lasso_a_group(page, screenshot)
    drop_a_picture(page, tmp_path, screenshot)


def train_light(page, screenshot) -> None:
    go_to_step(page, "Train")
    settle(page)
    keyed(page, f"{TASK}.group.training").locator("summary").first.click()
    epochs = keyed(page, f"{TASK}.epochs").locator("input").first
    epochs.wait_for(timeout=WAIT_MS)
    if epochs.get_attribute("type") == "range":
        epochs.focus()
        page.keyboard.press("Home")
    else:
        epochs.fill(str(EPOCHS))
        epochs.press("Enter")
    settle(page)
    keyed(page, f"{TASK}.train").get_by_role("button").click()
    wait_for_state(page, "finished")
    settle(page)
    screenshot(page, "classes-trained")


def move_the_threshold(page, screenshot) -> None:
    """One slider moves figures, matrix, and the points on both curves."""
    go_to_step(page, "Evaluate")
    expect(page.locator(".figure-value").first).to_be_visible(timeout=WAIT_MS)
    keyed(page, f"{TASK}.cell.1.0").wait_for(timeout=WAIT_MS)
    settle(page)
    before, matrix = figures(page), cells(page)
    assert sum(map(sum, matrix)) == 48, "the held-out fifth of the sample"
    handle = slider(page, "threshold-evaluate")
    handle.focus()
    page.keyboard.press("Home")
    wait_until(page, lambda: cells(page) == [[0, 24], [0, 24]], "everything is called tumour")
    wait_until(page, lambda: figures(page) != before, "the figures follow")
    wait_until(page, lambda: point(page) == (1.0, 1.0), "the point stands at the corner")
    expect(page).to_have_url(re.compile(r"threshold=0(&|$)"), timeout=WAIT_MS)
    command = keyed(page, "evaluate.same_code").locator("code").first
    expect(command).to_contain_text("--threshold threshold=0", timeout=WAIT_MS)
    page.locator("[class*='-youden'] button").first.click()
    wait_until(page, lambda: cells(page) != [[0, 24], [0, 24]], "Youden's threshold")
    (right, false), (missed, found) = cells(page)
    wait_until(
        page,
        lambda: point(page) == pytest.approx((false / (right + false), found / (missed + found))),
        "the point is the matrix",
    )
    settle(page)
    screenshot(page, "classes-evaluate")


def open_cells_of_the_matrix(page) -> None:
    counts = cells(page)
    for row, column in ((1, 1), (0, 0)):
        keyed(page, f"{TASK}.cell.{row}.{column}").get_by_role("button").click()
        wanted = min(counts[row][column], 24)
        expect(tiles(page, f"{TASK}.cell.gallery")).to_have_count(wanted, timeout=WAIT_MS)
        expect(page).to_have_url(re.compile(f"cell={row}-{column}"), timeout=WAIT_MS)
        settle(page)
        shares = keyed(page, f"{TASK}.cell.gallery").locator(".caption").all_inner_texts()
        assert [float(s) for s in shares] == sorted(float(s) for s in shares), "worst first"


def see_why(page, screenshot) -> None:
    tiles(page, f"{TASK}.cell.gallery").first.click()
    expect(tiles(page, f"{TASK}.cell.gallery").first).to_have_attribute(
        "aria-pressed", "true", timeout=WAIT_MS
    )
    page.locator(".canvas-root[data-painted]").first.wait_for(timeout=WAIT_MS)
    expect(page.locator(".st-key-histo_patches-cell-nearest .tile")).to_have_count(6)
    expect(page.get_by_text("Grad-CAM").first).to_be_visible()
    # it stands below the gallery, where nobody would have seen that a click opened it
    expect(keyed(page, f"{TASK}.cell.why_box")).to_be_in_viewport(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "classes-why")


def mark_labels(page, home: Path, screenshot) -> None:
    """Mark two labels, undo, redo, leave them out, export the list."""
    gallery = f"{TASK}.cell.gallery"
    keyed(page, f"{TASK}.cell.mark").get_by_role("button").click()
    expect(keyed(page, gallery).locator(".flag")).to_have_count(1, timeout=WAIT_MS)
    tiles(page, gallery).nth(1).click()
    expect(tiles(page, gallery).nth(1)).to_have_attribute("aria-pressed", "true", timeout=WAIT_MS)
    settle(page)
    keyed(page, f"{TASK}.cell.mark").get_by_role("button").click()
    expect(keyed(page, gallery).locator(".flag")).to_have_count(2, timeout=WAIT_MS)
    for name, count in (("undo", 1), ("undo", 0), ("redo", 1), ("redo", 2)):
        keyed(page, f"{TASK}.marks.{name}").get_by_role("button").click()
        expect(keyed(page, gallery).locator(".flag")).to_have_count(count, timeout=WAIT_MS)
        settle(page)
    (file,) = (home / "data" / "corrections").glob("*/labels.ada.json")
    assert json.loads(file.read_bytes())["done"] == 2

    total = sum(map(sum, cells(page)))
    keyed(page, f"{TASK}.leave_out").locator("label").first.click()
    wait_until(page, lambda: sum(map(sum, cells(page))) == total - 2, "two are left out")
    expect(page.get_by_text("Figures with and without")).to_be_visible(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "classes-marked")
    with page.expect_download(timeout=WAIT_MS) as download:
        keyed(page, f"{TASK}.marks.export").get_by_role("button").click()
    target = home / "wrong.csv"
    download.value.save_as(target)
    rows = list(csv.DictReader(target.open()))
    assert [(r["label"], r["marked_by"]) for r in rows] == [("normal", "ada")] * 2


def lasso_a_group(page, screenshot) -> None:
    go_to_step(page, "Explore")
    chart = keyed(page, f"{TASK}.map.points")
    chart.locator(".nsewdrag").wait_for(timeout=WAIT_MS)
    settle(page)
    box = chart.locator(".nsewdrag").bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.05)]
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    expect(tiles(page, f"{TASK}.map.gallery").first).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("pictures in the lasso")).to_be_visible()
    tiles(page, f"{TASK}.map.gallery").first.click()
    page.locator(".canvas-root[data-painted]").first.wait_for(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "classes-map")


def drop_a_picture(page, home: Path, screenshot) -> None:
    pictures = sorted((home / "data" / "samples").rglob("train/*.tif"))
    go_to_step(page, "Predict")
    keyed(page, f"{TASK}.predict.part").get_by_role("radio", name="Pictures of mine").click()
    chosen = page.locator("input[type=file]")
    chosen.wait_for(state="attached", timeout=WAIT_MS)
    words = home / "words.png"
    words.write_text("no picture")
    chosen.set_input_files([pictures[0], pictures[1], words])
    expect(tiles(page, f"{TASK}.dropped.picture.tiles")).to_have_count(2, timeout=WAIT_MS)
    expect(page.get_by_text("words.png is no picture")).to_be_visible()
    page.locator(".canvas-root[data-painted]").first.wait_for(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "classes-dropped")
