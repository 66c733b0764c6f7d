"""Charts and galleries in a real browser, at widths that pages have."""

from collections.abc import Callable
from pathlib import Path

import pytest

APP = Path(__file__).parent / "apps" / "charts_app.py"
TITLES_FREE_PX = """() => {
  const axes = document.querySelector(".js-plotly-plot .nsewdrag").getBoundingClientRect();
  const names = document.querySelector(".js-plotly-plot .legend").getBoundingClientRect();
  const chart = document.querySelector(".js-plotly-plot").getBoundingClientRect();
  return {
    width: Math.round(chart.width), above: Math.round(axes.top - names.bottom),
    left: Math.round(chart.right - names.right), top: Math.round(names.top - chart.top),
    height: Math.round(axes.height),
  };
}"""

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("count", [2, 7, 12])
def test_the_names_of_curves_stand_above_them_at_every_width(
    serve: Callable, page, count: int
) -> None:
    """A chart made wider or narrower broke its names into other rows, over the curves."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{serve(APP)}/?curves={count}")
    page.wait_for_selector(".js-plotly-plot .nsewdrag", state="attached")
    for width in (1440, 800, 520, 1440, 640, 800):
        page.set_viewport_size({"width": width, "height": 900})
        free = _settled(page)
        assert free["above"] >= 0, (width, free)
        assert min(free["left"], free["top"]) >= 0, (width, free)
        assert free["height"] >= 150, (width, free)


def test_small_pictures_stand_three_in_a_row_on_a_narrow_screen(serve: Callable, page) -> None:
    """Their fixed width left room for two, and a wall of examples was as long as five screens."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{serve(APP)}/?pictures=8")
    pictures = page.get_by_test_id("stImage")
    pictures.nth(7).wait_for()
    for width, expected in ((1440, 5), (800, 3)):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)
        boxes = [pictures.nth(i).bounding_box() for i in range(8)]
        assert sum(box["y"] == boxes[0]["y"] for box in boxes) == expected, (width, boxes)
        assert max(box["width"] for box in boxes) <= 165, (width, boxes)


def _settled(page) -> dict[str, int]:
    """Return what is free around the names once the chart has stayed the same for a while."""
    seen: list[dict[str, int]] = []
    while len(seen) < 4 or seen[-1] != seen[-4]:
        page.wait_for_timeout(250)
        seen.append(page.evaluate(TITLES_FREE_PX))
    return seen[-1]
