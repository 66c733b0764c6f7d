"""What a student does with two recipes in a browser: train, compare, look, hand the evidence on.

One visit, told in order. Pictures of what is seen are kept under screenshots/.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest

from tests.browser.test_em_journey import (
    WAIT_MS,
    go_to_step,
    keyed,
    settle,
    wait_for_picture,
    wait_until,
)

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

TASK = "histo_patches"
EPOCHS = (1, 3)

pytestmark = pytest.mark.browser


def test_two_recipes_from_training_to_the_report(open_app, context, tmp_path, screenshot) -> None:
    page = open_app(f"{TASK}?lang=en")
    page.locator("[data-testid=stImage] img").first.wait_for(timeout=WAIT_MS)
    settle(page)
    for number, epochs in enumerate(EPOCHS, start=1):
        train(page, epochs, tmp_path, number)
    read_the_sentence(page, screenshot)
    see_where_they_differ(page, screenshot)
    lay_the_curves_over(page, screenshot)
    average_the_two(page, screenshot)
    run_id = scored_runs(tmp_path)[-1]
    make_the_pack(page, run_id, tmp_path)
    open_the_report(page, context, run_id, tmp_path, screenshot)


# --- the visit ------------------------------------------------------------------------------------


def train(page, epochs: int, home: Path, number: int) -> None:
    go_to_step(page, "Train")
    settle(page)
    field = keyed(page, f"{TASK}.epochs").locator("input").first
    if not field.is_visible():
        keyed(page, f"{TASK}.group.training").locator("summary").first.click()
    field.wait_for(timeout=WAIT_MS)
    set_number(page, field, epochs)
    keyed(page, f"{TASK}.train").get_by_role("button").click()
    wait_until(page, lambda: len(scored_runs(home)) == number, "the run is scored")
    request = json.loads((home / "runs" / scored_runs(home)[-1] / "request.json").read_bytes())
    assert request["config"]["epochs"] == epochs
    badge = page.locator("[class*='st-key-run-2']").first.locator(".stMarkdownBadge")
    expect(badge).to_contain_text("finished", timeout=WAIT_MS)
    settle(page)


def read_the_sentence(page, screenshot) -> None:
    """The two newest runs are compared without a further click, on the patches set aside."""
    page.get_by_role("button", name="Models").click()
    page.get_by_role("menuitem", name="Compare").click()
    sentence = keyed(page, "compare-sentences")
    expect(sentence).to_contain_text("on these 48 patches", timeout=WAIT_MS)
    expect(sentence).to_contain_text(re.compile("is better than|cannot be told apart|answer alike"))
    expect(sentence).to_contain_text("95% interval")
    expect(page.get_by_text("Test: DeLong")).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "compare-sentence")


def see_where_they_differ(page, screenshot) -> None:
    look_at(page, "Where they differ")
    expect(page.get_by_text("Both right:")).to_be_visible(timeout=WAIT_MS)
    wait_for_picture(page)
    assert page.locator(".canvas-root .pane-title, .canvas-root canvas").count() > 0
    keyed(page, "compare.wipe").locator("label").first.click()
    expect(page.locator(".canvas-root [role=slider][aria-orientation], .canvas-root .divider")
           .first).to_be_visible(timeout=WAIT_MS)  # fmt: skip
    settle(page)
    screenshot(page, "compare-differences")


def lay_the_curves_over(page, screenshot) -> None:
    look_at(page, "Curves")
    names = page.locator(".js-plotly-plot").first.locator(".legendtext")
    expect(names).to_have_count(2, timeout=WAIT_MS)
    settle(page)
    screenshot(page, "compare-curves")


def average_the_two(page, screenshot) -> None:
    look_at(page, "Ensembles")
    keyed(page, "compare.average").get_by_role("button").click()
    expect(page.get_by_role("heading", name="Ensemble of 2 runs")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("2 answers an item")).to_be_visible()
    settle(page)
    screenshot(page, "compare-ensemble")


def make_the_pack(page, run_id: str, home: Path) -> None:
    page.goto(page.url.partition("/compare")[0] + f"/runs?open={run_id}&lang=en")
    keyed(page, f"pack.{run_id}").get_by_role("button").click()
    archive = keyed(page, f"pack.{run_id}..zip").get_by_role("button")
    archive.wait_for(timeout=WAIT_MS)
    with page.expect_download(timeout=WAIT_MS) as download:
        archive.click()
    target = home / "pack.zip"
    download.value.save_as(target)
    with zipfile.ZipFile(target) as file:
        inside = {Path(name).name for name in file.namelist()}
    assert {"report.en.html", "report.fr.html", "report.en.pdf"} <= inside


def open_the_report(page, context, run_id: str, home: Path, screenshot) -> None:
    """The report opens without the dashboard, from the file alone."""
    with page.expect_download(timeout=WAIT_MS) as download:
        keyed(page, f"pack.{run_id}..html").get_by_role("button").click()
    report = home / "report.html"
    download.value.save_as(report)
    opened = context.new_page()
    opened.goto(report.as_uri())
    expect(opened.get_by_role("heading").first).to_be_visible()
    expect(opened.get_by_text("Area under the ROC curve").first).to_be_visible()
    screenshot(opened, "compare-report")
    opened.close()


# --- parts of the page ----------------------------------------------------------------------------


def set_number(page, field, value: int) -> None:
    """Set a slider that starts at 1, or a field of numbers."""
    if field.get_attribute("type") == "range":
        field.focus()
        page.keyboard.press("Home")
        for _ in range(value - 1):
            page.keyboard.press("ArrowRight")
        expect(field).to_have_value(str(value))
    else:
        field.fill(str(value))
        field.press("Enter")
    settle(page)


def look_at(page, name: str) -> None:
    choice = keyed(page, "compare.view").get_by_role("radio", name=re.compile(name))
    choice.click()
    expect(choice).to_be_checked(timeout=WAIT_MS)


def scored_runs(home: Path) -> list[str]:
    return sorted(p.parent.name for p in (home / "runs").glob("2*/scores.json"))
