"""The canvas in a real browser: what is drawn, what stays, and what is reported."""

import io
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=60_000)
APP = Path(__file__).parent / "apps" / "canvas_app.py"
WHITE_PIXELS = [(57, 123), (150, 20), (10, 290)]  # row, column: as in case_points of the app

pytestmark = pytest.mark.browser


@pytest.fixture
def show(serve: Callable, page) -> Iterator[Callable]:
    """Open one case of the page and wait until its canvas is painted."""

    def open_case(case: str, **query: str):
        more = "".join(f"&{name}={value}" for name, value in query.items())
        page.goto(f"{serve(APP)}/?case={case}{more}")
        page.wait_for_selector(".canvas-root[data-painted]")
        settle(page)
        return page

    yield open_case
    assert page.get_by_test_id("stException").count() == 0


def settle(page) -> None:
    """Wait by the page's own clock until what was asked for is drawn, glides included."""
    page.evaluate(
        "() => new Promise((done) => setTimeout("
        "() => requestAnimationFrame(() => requestAnimationFrame(done)), 250))"
    )


def stage_pixels(page) -> np.ndarray:
    """Return the stage as the screen shows it: (H, W, 3) uint8, one CSS pixel each."""
    data = page.locator(".stage").screenshot()
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def stage_corner(page) -> tuple[float, float]:
    box = page.locator(".stage").bounding_box()
    return box["x"], box["y"]


def last_event(page) -> str:
    return page.locator(".st-key-report code").inner_text()


def wait_for_events(page, count: int) -> str:
    page.get_by_text(f"events: {count}", exact=True).wait_for()
    return last_event(page)


def section_slider(page):
    """Return the slider of the page, outside the canvas."""
    return page.get_by_test_id("stSlider").filter(has_text="Section").locator("input")


def white_spots(picture: np.ndarray) -> list[tuple[float, float]]:
    """Return the centres (y, x) of saturated white blobs, found without the code under test."""
    from scipy import ndimage

    picture = picture.copy()
    picture[-60:, : picture.shape[1] // 2] = 0  # the words of the scale bar are white too
    blobs, count = ndimage.label((picture > 250).all(axis=2))
    centres = ndimage.center_of_mass(blobs > 0, blobs, range(1, count + 1))
    boxes = ndimage.find_objects(blobs)
    squares = [
        centre
        for centre, (rows, columns) in zip(centres, boxes, strict=True)
        if abs((rows.stop - rows.start) - (columns.stop - columns.start)) <= 1
        and rows.stop - rows.start >= 2
        and (blobs[rows, columns] > 0).all()
    ]
    return [(float(y), float(x)) for y, x in squares]


def zoom_text(page) -> int:
    return int(re.sub(r"\D", "", page.locator(".zoom").inner_text()))


def test_a_click_reports_the_pixel_that_was_clicked_before_and_after_zoom(show) -> None:
    page = show("points")
    x0, y0 = stage_corner(page)
    page.locator('[data-tool="overlays"]').click()  # only the image, so white is a known pixel
    page.mouse.move(0, 0)
    settle(page)
    spots = white_spots(stage_pixels(page))
    found = set()
    for count, (y, x) in enumerate(spots, start=1):
        page.mouse.click(x0 + x, y0 + y)
        found.add(re.search(r"pixel=(\(\d+, \d+\))", wait_for_events(page, count))[1])
    assert found == {str(pixel) for pixel in WHITE_PIXELS}

    y, x = next(s for s in spots if 60 < s[0] < 250 and s[1] > 200)  # (57, 123)
    page.mouse.move(x0 + x, y0 + y)
    for _ in range(6):
        page.mouse.wheel(0, -240)
    settle(page)
    assert zoom_text(page) > 700
    page.mouse.move(x0 + x + 90, y0 + y + 70)
    page.mouse.down()
    page.mouse.move(x0 + x - 60, y0 + y + 20, steps=5)
    page.mouse.up()
    settle(page)
    ((y, x),) = white_spots(stage_pixels(page))
    page.mouse.click(x0 + x, y0 + y)
    assert "pixel=(57, 123)" in wait_for_events(page, len(spots) + 1)


def test_every_image_pixel_is_a_sharp_square_when_magnified(show) -> None:
    page = show("points")
    page.locator('[data-tool="overlays"]').click()
    settle(page)
    x0, y0 = stage_corner(page)
    y, x = min(white_spots(stage_pixels(page)), key=lambda spot: abs(spot[0] - 150))
    page.mouse.move(x0 + x, y0 + y)
    for _ in range(9):
        page.mouse.wheel(0, -240)
    settle(page)
    picture = stage_pixels(page)
    near = picture[int(y) - 40 : int(y) + 40, int(x) - 40 : int(x) + 40].reshape(-1, 3)
    shades = {tuple(colour) for colour in near.tolist()}
    assert shades == {(40, 40, 40), (255, 255, 255)}


def test_zoom_and_pan_stay_when_another_section_arrives(show) -> None:
    page = show("viewer")
    page.locator(".stage").focus()
    for _ in range(3):
        page.keyboard.press("+")
        settle(page)
    page.keyboard.press("Shift+ArrowRight")
    zoom, painted = zoom_text(page), page.locator(".canvas-root").get_attribute("data-painted")
    page.keyboard.press("j")
    page.get_by_text("Section 5 of 12").wait_for()
    page.wait_for_function(
        "before => document.querySelector('[data-testid=stBidiComponentIsolated]')"
        ".shadowRoot.querySelector('.canvas-root').dataset.painted !== before",
        arg=painted,
    )
    assert zoom_text(page) == zoom
    assert zoom > 200
    page.keyboard.press("0")
    settle(page)
    assert zoom_text(page) < 120


def test_keys_and_buttons_step_sections_and_move_the_slider_of_the_page(show) -> None:
    page = show("viewer")
    page.locator(".stage").focus()
    for key, section in [("j", 5), ("PageDown", 6), ("ArrowRight", 7), ("k", 6), ("PageUp", 5)]:
        page.keyboard.press(key)
        page.get_by_text(f"Section {section} of 12").wait_for()
        expect(section_slider(page)).to_have_value(str(section - 1))
    page.locator('[data-tool="previous"]').click()
    page.get_by_text("Section 4 of 12").wait_for()


def test_a_held_key_ends_on_the_last_section_that_was_asked_for(show) -> None:
    page = show("viewer")
    page.locator(".stage").focus()
    for _ in range(7):
        page.keyboard.press("j")
    page.get_by_text("Section 11 of 12").wait_for()
    expect(section_slider(page)).to_have_value("10")


def test_overlays_toggle_by_key_without_a_rerun(show) -> None:
    page = show("viewer")
    runs = page.get_by_text(re.compile(r"^runs: \d+$")).inner_text()
    colourful = np.ptp(stage_pixels(page).astype(int), axis=2).max()
    page.locator(".stage").focus()
    page.keyboard.press("o")
    settle(page)
    picture = stage_pixels(page)[4:-60, 300:900]
    assert colourful > 100
    assert np.ptp(picture.astype(int), axis=2).max() <= 2
    assert page.get_by_text(re.compile(r"^runs: \d+$")).inner_text() == runs


def test_a_threshold_is_drawn_while_it_is_dragged_and_sends_no_pixels(show) -> None:
    page = show("viewer")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    before = tinted(page)
    slider = page.locator(".threshold input")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=4)
    settle(page)
    assert tinted(page) > before * 1.2  # still held: no rerun has happened
    page.mouse.up()
    event = wait_for_events(page, 1)
    assert event.startswith("threshold")
    assert float(re.search(r"t=([\d.]+)", event)[1]) == pytest.approx(0.9, abs=0.05)
    assert not [url for url in requests if "/media/" in url]


def tinted(page) -> int:
    """Count the pixels of the stage that carry colour."""
    picture = stage_pixels(page)[4:-60].astype(int)
    return int((np.ptp(picture, axis=2) > 60).sum())


def test_the_wipe_follows_its_divider(show) -> None:
    page = show("wipe")
    x0, y0 = stage_corner(page)
    before = stage_pixels(page)
    height, width = before.shape[:2]
    page.mouse.move(x0 + width / 2, y0 + height / 2)
    page.mouse.down()
    page.mouse.move(x0 + width / 2 + 150, y0 + height / 2, steps=6)
    page.mouse.up()
    page.mouse.move(x0 + 5, y0 - 30)
    settle(page)
    after = stage_pixels(page)
    rows = slice(80, 200)
    between = np.s_[rows, width // 2 + 20 : width // 2 + 120]
    # the second picture is the inverse of the first: what the divider passed over is inverted
    np.testing.assert_allclose(
        after[between].astype(int), 255 - before[between].astype(int), atol=2
    )
    beyond = np.s_[rows, width // 2 + 180 : width // 2 + 250]
    np.testing.assert_array_equal(after[beyond], before[beyond])


def test_points_are_hit_dragged_and_deleted(show) -> None:
    page = show("points")
    x0, y0 = stage_corner(page)
    scale, left, top = points_frame(page)
    at = lambda y, x: (x0 + left + (x + 0.5) * scale, y0 + top + (y + 0.5) * scale)  # noqa: E731
    page.mouse.click(*at(140, 130))
    assert re.search(r"layer=2 point=2", wait_for_events(page, 1))
    page.mouse.click(*at(100, 30))
    assert re.search(r"layer=None point=None", wait_for_events(page, 2))
    page.mouse.move(*at(60, 60))
    page.mouse.down()
    page.mouse.move(*at(80, 90), steps=5)
    page.mouse.up()
    event = wait_for_events(page, 3)
    assert event.startswith("drag")
    end = [float(v) for v in re.search(r"end=([\d.]+),([\d.]+)", event).groups()]
    assert end == pytest.approx([80, 90], abs=0.6)
    assert "point=0" in event
    page.mouse.click(*at(140, 240))
    wait_for_events(page, 4)
    page.keyboard.press("Delete")
    event = wait_for_events(page, 5)
    assert event.startswith("delete")
    assert "point=3" in event


def points_frame(page) -> tuple[float, float, float]:
    """Return scale, left and top of the 300 x 200 image of case_points, fitted to its stage."""
    box = page.locator(".stage").bounding_box()
    scale = min(box["width"] / 300, box["height"] / 200)
    return scale, (box["width"] - 300 * scale) / 2, (box["height"] - 200 * scale) / 2


def test_a_whole_stack_steps_without_a_rerun(show) -> None:
    page = show("stack")
    runs = page.get_by_text(re.compile(r"^runs: \d+$")).inner_text()
    first = page.locator(".canvas-root").get_attribute("data-painted")
    page.locator(".stage").focus()
    for _ in range(4):
        page.keyboard.press("j")
    page.locator('.canvas-root[data-section="4"]').wait_for()
    assert page.locator(".canvas-root").get_attribute("data-painted") != first
    assert page.get_by_text(re.compile(r"^runs: \d+$")).inner_text() == runs


def test_the_read_out_names_pixel_place_and_value(show) -> None:
    page = show("points")
    x0, y0 = stage_corner(page)
    scale, left, top = points_frame(page)
    page.mouse.move(x0 + left + 123.5 * scale, y0 + top + 57.5 * scale)
    settle(page)
    words = page.locator(".readout").inner_text()
    assert "x 123  y 57 px" in words
    assert "494 nm, 230 nm" in words  # 123.5 and 57.5 pixels of 4 nm
    assert "Image 255" in words


def test_the_layer_panel_hides_a_layer_in_the_browser(show) -> None:
    page = show("panes")
    page.locator('[data-tool="layers"]').click()
    page.get_by_label("Hide: Cells").click()
    assert page.get_by_label("Show: Cells").is_visible()
    page.locator('[data-tool="layers"]').click()
    settle(page)
    picture = stage_pixels(page)
    right = picture[100:300, int(picture.shape[1] * 0.7) : -20].astype(int)
    assert np.ptp(right, axis=2).max() <= 2


def test_contrast_is_set_in_the_browser_and_reset(show) -> None:
    page = show("numbers")
    page.locator('[data-tool="contrast"]').click()
    before = stage_pixels(page)[100:300, 200:500]
    page.get_by_label("White", exact=True).fill("40")
    settle(page)
    assert stage_pixels(page)[100:300, 200:500].mean() > before.mean() + 20
    page.get_by_role("button", name="Reset").click()
    settle(page)
    np.testing.assert_array_equal(stage_pixels(page)[100:300, 200:500], before)


def test_the_view_is_downloaded_as_a_png_of_what_is_seen(show, tmp_path: Path) -> None:
    page = show("panes")
    with page.expect_download() as waiting:
        page.locator('[data-tool="download"]').click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.suffix == ".png"
    page.mouse.move(0, 0)
    np.testing.assert_array_equal(
        np.asarray(Image.open(path).convert("RGB"))[20:-20, 20:-20],
        stage_pixels(page)[20:-20, 20:-20],
    )


@pytest.mark.parametrize("on_request", [True, False])
def test_a_lost_picture_says_so_and_is_fetched_again(serve: Callable, page, on_request) -> None:
    """A rerun with the same picture did not bring it back: Streamlit sends equal data once.

    The files are gone for as long as a script run that was broken off is followed by the next one.
    """
    page.route("**/media/**", lambda route: route.fulfill(status=404))
    page.goto(f"{serve(APP)}/?case=viewer")
    again = page.get_by_role("button", name="Try again")
    again.wait_for()
    page.unroute("**/media/**")
    if on_request:  # it may have come back by itself on a slow machine
        page.evaluate("document.querySelector('.message.failed button')?.click()")
    page.wait_for_selector(".canvas-root[data-painted]")
    assert again.count() == 0


def test_french_words_and_decimal_comma(show) -> None:
    page = show("viewer", language="fr")
    assert page.get_by_text("Coupe 4 sur 12").is_visible()
    assert page.locator(".threshold .value").inner_text() == "0,50"
    assert page.locator('[data-tool="wipe"]').get_attribute("aria-label").startswith("Comparer")


def test_the_stage_is_described_focusable_and_shows_its_focus(show) -> None:
    page = show("viewer")
    stage = page.locator(".stage")
    assert stage.get_attribute("aria-label") == "Synthetic cells"
    page.locator('[data-tool="download"]').focus()
    page.keyboard.press("Tab")
    assert stage.evaluate("node => node.getRootNode().activeElement === node")
    assert stage.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def test_scrolling_the_page_over_a_fitted_picture_is_not_swallowed(show) -> None:
    page = show("viewer")
    page.set_viewport_size({"width": 1440, "height": 500})
    x0, y0 = stage_corner(page)
    page.mouse.move(x0 + 400, y0 + 100)
    page.mouse.wheel(0, 200)
    settle(page)
    assert stage_corner(page)[1] < y0 - 50


def test_nothing_moves_on_the_page_while_the_picture_loads(serve: Callable, page) -> None:
    page.route("**/media/**", lambda route: (page.wait_for_timeout(400), route.continue_()))
    page.goto(f"{serve(APP)}/?case=panes")
    page.wait_for_selector(".canvas-root .stage")
    loading = page.locator(".canvas-root").bounding_box()
    page.wait_for_selector(".canvas-root[data-painted]")
    assert page.locator(".canvas-root").bounding_box()["height"] == loading["height"]


@pytest.mark.parametrize("side", [512, 630])
@pytest.mark.parametrize("control", ["page slider", "canvas slider", "whole stack"])
def test_measure_slider_to_picture(show, side: int, control: str, record_property) -> None:
    """Report, not judge: key press in a slider -> rerun -> new section on the screen.

    The slider of the page waits 200 ms by itself before it reports (Streamlit's own debounce).
    """
    page = show("stack" if control == "whole stack" else "viewer", side=str(side))
    slider = section_slider(page) if control == "page slider" else page.locator(".stepper input")
    slider.focus()
    times = []
    for _ in range(7):
        page.evaluate(WATCH_SECTION_CHANGE)
        page.keyboard.press("ArrowRight")
        times.append(float(page.evaluate("() => window.seen")))
        page.wait_for_timeout(400)
    typical = statistics.median(times)
    record_property("slider_to_picture_ms", typical)
    print(f"\n{side} px, {control}: {typical:.0f} ms ({min(times):.0f} to {max(times):.0f})")  # noqa: T201
    assert len(times) == 7


WATCH_SECTION_CHANGE = """() => {
  const host = document.querySelector('[data-testid=stBidiComponentIsolated]');
  const root = host.shadowRoot.querySelector('.canvas-root');
  window.addEventListener('keydown', () => { window.pressedAt = performance.now(); },
                          { once: true, capture: true });
  window.seen = new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      observer.disconnect();
      requestAnimationFrame(() => resolve(performance.now() - window.pressedAt));
    });
    observer.observe(root, { attributeFilter: ['data-painted'] });
  });
}"""


@pytest.mark.parametrize("case", ["viewer", "panes", "compare", "wipe", "points", "stack"])
def test_pictures_for_the_eye(show, screenshot: Callable, case: str) -> None:
    """Screenshots that a person looks at; here only: nothing is wider than the page."""
    page = show(case)
    for width in (1440, 800):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            settle(page)
            screenshot(page, f"canvas-{case}-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
