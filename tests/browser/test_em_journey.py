"""What a person does with the membrane task in a browser, from a path on the server to a download.

One visit, told in order: each part of it needs what the one before left. A second test opens the
real stack, and both keep pictures of what they see under screenshots/.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pipelines.tasks.em_membrane import fake
from pipelines.text import format_duration

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=60_000)  # a busy machine is slow, and a wait ends as soon as it can

ROOT = Path(__file__).parents[2]
APP = ROOT / "streamlit_app.py"
REAL_STACK = ROOT.parent / "shared" / "data" / "isbi2012"
SECTIONS, SIDE_PX = 6, 128
TRAINING_S = 80  # long enough to be stopped in the middle on a busy machine
REST_MS = 1_000  # between an act and the next, as a person takes at least
WAIT_MS = 180_000  # a training competes with whatever else this machine does

pytestmark = pytest.mark.browser


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a home with a small labelled stack, as a microscope's export would lie there."""
    images, inside = fake.generate_stack(SECTIONS, SIDE_PX, seed=3)
    folder = tmp_path / "stack"
    folder.mkdir()
    tifffile.imwrite(folder / "train-volume.tif", images)
    tifffile.imwrite(folder / "train-labels.tif", inside.astype(np.uint8) * 255)
    return tmp_path


@pytest.fixture
def open_app(serve: Callable, page) -> Callable:
    def start(home: Path, roots: Path, path: str = "") -> sync_api.Page:
        env = {"MICROSCOPY_HOME": str(home), "MICROSCOPY_DATA_ROOTS": str(roots)}
        page.goto(f"{serve(APP, env=env | {'OMP_NUM_THREADS': '1'})}/{path}")
        return page

    return start


# --- parts of the page ----------------------------------------------------------------------------


def keyed(page, key: str):
    """Find the widget or container with this key."""
    return page.locator(f".st-key-{re.sub(r'[^a-zA-Z0-9_-]', '-', key)}")


def wait_until(page, claim: Callable[[], bool], what: str, timeout_ms: int = WAIT_MS) -> None:
    """Ask again and again, by the page's own clock, until the claim holds."""
    deadline = time.monotonic() + timeout_ms / 1000
    while not claim():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_ms / 1000:.0f} s"
        page.wait_for_timeout(100)


def settle(page) -> None:
    """Wait until the server has nothing more to draw."""
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=WAIT_MS)
    assert page.get_by_test_id("stException").count() == 0


def go_to_step(page, name: str) -> None:
    keyed(page, "task.step").get_by_role("radio", name=name).click()
    expect(keyed(page, "task.step").get_by_role("radio", name=name)).to_be_checked()


def open_path(page, path: Path) -> None:
    wait_for_picture(page)  # the last that a first visit brings
    settle(page)
    keyed(page, "em_membrane.adding").locator("summary").click()
    field = keyed(page, "em_membrane.path").locator("input")
    expect(field).to_be_visible()
    page.wait_for_timeout(REST_MS)
    settle(page)
    field.fill(str(path))
    field.press("Enter")


def wait_for_picture(page) -> None:
    page.locator(".canvas-root[data-painted]").first.wait_for(timeout=WAIT_MS)


def run_panel(page):
    return page.locator("[class*='st-key-run-2']").first


def wait_for_state(page, word: str) -> None:
    """Wait until the run panel's badge says so."""
    expect(run_panel(page).locator(".stMarkdownBadge")).to_contain_text(word, timeout=WAIT_MS)


def num_points(page) -> int:
    """Count the points of the live curve as the browser holds them."""
    script = """() => {
        const chart = document.querySelector("[class*='st-key-run-2'] .js-plotly-plot");
        return Math.max(0, ...(chart?.calcdata ?? []).map((curve) => curve.length));
    }"""
    return int(page.evaluate(script))


def figures(page) -> list[str]:
    return [words.strip() for words in page.locator(".figure-value").all_inner_texts()]


def slider(page, key: str):
    return page.locator(f"[class*='st-key-{key}'] input[type=range]")


def stepper(page):
    """Find the section slider inside the picture."""
    return page.locator(".canvas-root .stepper input[type=range]").first


def stage(page) -> bytes:
    return bytes(page.locator(".canvas-root .stage").first.screenshot())


# --- the visit ------------------------------------------------------------------------------------


def test_a_visit_from_the_stack_to_the_download(open_app, home, screenshot, context) -> None:
    page = open_app(home, home)
    keyed(page, "home.em_membrane.data").wait_for(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "em-home")
    keyed(page, "home.em_membrane.data").get_by_role("button").click()

    look_at_the_stack(page, home, screenshot)
    run_id = start_training(page, home, screenshot)
    reload_stop_and_resume(page, run_id, screenshot)
    predict_and_download(page, home, run_id, screenshot)
    move_the_threshold(page, screenshot)
    read_it_in_french(page, screenshot)
    open_the_copied_address(page, context)


def look_at_the_stack(page, home: Path, screenshot) -> None:
    keyed(page, "task.step").wait_for()
    open_path(page, home / "stack")
    use = keyed(page, "em_membrane.use").get_by_role("button")
    expect(use).to_be_enabled(timeout=WAIT_MS)
    expect(keyed(page, "em_membrane.adding")).to_contain_text(str(SIDE_PX), timeout=WAIT_MS)
    screenshot(page, "em-data-report")
    use.click()
    expect(keyed(page, "strip")).not_to_contain_text("Built-in", timeout=WAIT_MS)
    expect(page).to_have_url(re.compile(r"[?&]data="))
    wait_for_picture(page)
    settle(page)
    screenshot(page, "em-data")


def start_training(page, home: Path, screenshot) -> str:
    go_to_step(page, "Train")
    settle(page)
    expect(keyed(page, "strip")).to_contain_text("stack")
    keyed(page, "em_membrane.group.training").locator("summary").first.click()
    limit = keyed(page, "em_membrane.time_limit_s").locator("input")
    limit.fill(str(TRAINING_S))
    limit.press("Enter")
    start = keyed(page, "em_membrane.train").get_by_role("button")
    expect(start).to_contain_text(format_duration(TRAINING_S, "en"), timeout=WAIT_MS)
    screenshot(page, "em-train-form")
    start.click()
    run_panel(page).wait_for(timeout=WAIT_MS)
    (folder,) = [f for f in (home / "runs").iterdir() if not f.name.startswith(".")]
    wait_until(page, lambda: num_points(page) >= 1, "the curve begins")
    before = num_points(page)
    wait_until(page, lambda: num_points(page) > before, "the curve grows")
    screenshot(page, "em-train-running")
    return folder.name


def reload_stop_and_resume(page, run_id: str, screenshot) -> None:
    page.reload()
    expect(keyed(page, "task.step").get_by_role("radio", name="Train")).to_be_checked()
    expect(keyed(page, f"run-{run_id}")).to_be_visible(timeout=WAIT_MS)
    keyed(page, f"run.{run_id}.stop").get_by_role("button").click()
    wait_for_state(page, "stopped")
    settle(page)
    screenshot(page, "em-train-stopped")
    assert num_points(page) >= 1, "what was learned is still shown"
    keyed(page, f"run.{run_id}.resume").get_by_role("button").click()
    wait_for_state(page, "finished")
    settle(page)
    screenshot(page, "em-train-finished")


def predict_and_download(page, home: Path, run_id: str, screenshot) -> None:
    go_to_step(page, "Predict")
    keyed(page, "choice.model").locator("input").click()
    page.get_by_role("option", name=re.compile(run_id[-4:])).click()
    expect(keyed(page, "strip")).to_contain_text(run_id[-4:], timeout=WAIT_MS)
    wait_for_picture(page)
    keyed(page, "em_membrane.predict").get_by_role("button").click()
    wait_for_state(page, "finished")
    link = page.get_by_role("button", name="probability.tif")
    expect(link).to_be_visible(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "em-predict")
    with page.expect_download(timeout=WAIT_MS) as download:
        link.click()
    target = home / "downloaded.tif"
    download.value.save_as(target)
    probability = tifffile.imread(target)
    assert probability.shape == (SECTIONS, SIDE_PX, SIDE_PX)
    assert probability.min() >= 0
    assert probability.max() <= 1

    before = stage(page)
    slider(page, "threshold-predict").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    wait_until(page, lambda: stage(page) != before, "the picture follows the threshold")


def move_the_threshold(page, screenshot) -> None:
    go_to_step(page, "Evaluate")
    expect(page.locator(".figure-value").first).to_be_visible(timeout=WAIT_MS)
    wait_for_picture(page)
    settle(page)
    before, handle = figures(page), slider(page, "threshold-evaluate")
    assert len(before) >= 5
    start = float(handle.input_value())
    key = "ArrowLeft" if start > 0.5 else "ArrowRight"
    handle.focus()
    for _ in range(30):
        page.keyboard.press(key)
    wait_until(page, lambda: figures(page) != before, "the figures follow the threshold")
    settle(page)
    moved = float(handle.input_value())
    assert abs(moved - start) == pytest.approx(0.15, abs=1e-6)
    expect(page).to_have_url(re.compile(rf"threshold={moved:g}(&|$)"), timeout=WAIT_MS)
    screenshot(page, "em-evaluate")


def read_it_in_french(page, screenshot) -> None:
    english = figures(page)
    keyed(page, "language-switch").get_by_role("radio", name="Français").click()
    expect(keyed(page, "task.step").get_by_role("radio", name="Évaluer")).to_be_checked()
    french = [words.replace(".", ",") for words in english]
    wait_until(page, lambda: figures(page) == french, "figures with a decimal comma")
    assert any("," in words for words in french)
    expect(page.get_by_text("Seuil", exact=True).first).to_be_visible()
    settle(page)
    screenshot(page, "em-evaluate-french")


def open_the_copied_address(page, context) -> None:
    settle(page)
    wanted, value = figures(page), slider(page, "threshold-evaluate").input_value()
    other = context.new_page()
    other.goto(page.url)
    expect(keyed(other, "task.step").get_by_role("radio", name="Évaluer")).to_be_checked()
    expect(slider(other, "threshold-evaluate")).to_have_value(value, timeout=WAIT_MS)
    wait_until(other, lambda: figures(other) == wanted, "the same figures")
    assert keyed(other, "strip").inner_text() == keyed(page, "strip").inner_text()
    other.close()


# --- stepping through sections -------------------------------------------------------------------


def test_sections_beside_the_one_shown_are_stepped_to_without_the_server(
    open_app, home, screenshot
) -> None:
    page = open_app(home, home, "em_membrane")
    wait_for_picture(page)
    names = page.locator("[data-testid=stCaptionContainer]")
    expect(names.filter(has_text=":000")).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(3_000)  # what lies beside it arrives
    page.wait_for_load_state("networkidle")
    settle(page)
    page.route("**/media/**", lambda route: route.abort())  # from now on no pixels come
    sections = [painted(page)]
    for _ in range(4):
        slider_to_picture_ms(page, "ArrowRight")
        sections.append(painted(page))
    assert len(set(sections)) == 5, "each section has pixels of its own"

    expect(names.filter(has_text=":004")).to_be_visible(timeout=WAIT_MS)  # figures follow
    expect(page).to_have_url(re.compile(r"item=5(&|$)"), timeout=WAIT_MS)
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(names.filter(has_text=":000")).to_be_visible(timeout=WAIT_MS)
    settle(page)
    assert painted(page) == sections[0], "late answers do not pull the picture back"


def painted(page) -> str:
    picture = page.locator(".canvas-root[data-painted]").first
    return str(picture.get_attribute("data-painted"))


# --- the real stack -------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.skipif(not REAL_STACK.is_dir(), reason="the real stack is not on this machine")
def test_the_real_stack_is_opened_by_its_path_and_a_section_is_seen(
    open_app, tmp_path, screenshot
) -> None:
    page = open_app(tmp_path, REAL_STACK, "em_membrane")
    keyed(page, "task.step").wait_for()
    open_path(page, REAL_STACK)
    use = keyed(page, "em_membrane.use").get_by_role("button")
    expect(use).to_be_enabled(timeout=WAIT_MS)
    use.click()
    expect(keyed(page, "strip")).not_to_contain_text("Built-in", timeout=WAIT_MS)
    wait_for_picture(page)
    settle(page)
    page.goto(f"{page.url}&item=25" if "?" in page.url else f"{page.url}?item=25")
    expect(stepper(page)).to_have_value("24", timeout=WAIT_MS)
    wait_for_picture(page)
    settle(page)
    screenshot(page, "em-real-section-24")
    page.wait_for_timeout(2_000)  # the sections beside it arrive
    times = [slider_to_picture_ms(page) for _ in range(8)]
    print(  # noqa: T201 - a measurement for people
        f"\nslider to picture: {sorted(times)[len(times) // 2]:.0f} ms median, {times}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def slider_to_picture_ms(page, key: str = "ArrowLeft") -> float:
    """Press the slider's key once, and measure in the browser until other pixels are painted."""
    stepper(page).focus()
    picture = page.locator(".canvas-root[data-painted]").first  # pierces the shadow root
    picture.evaluate("""(root) => {
        const before = root.dataset.painted;
        window.pictureAfter = new Promise((done) => {
            let start = null;
            document.addEventListener("keydown", () => { start = performance.now(); },
                { capture: true, once: true });
            const look = () => {
                if (start !== null && root.dataset.painted !== before) {
                    done(performance.now() - start);
                } else {
                    requestAnimationFrame(look);
                }
            };
            look();
        });
    }""")
    page.keyboard.press(key)
    return round(float(page.evaluate("() => window.pictureAfter")), 1)
