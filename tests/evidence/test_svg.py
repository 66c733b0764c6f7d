"""Figures on paper say what their views say: read back from the SVG by their places."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.evidence.svg import NARROW, WIDTH, draw
from pipelines.settings import REPOSITORY
from pipelines.text import Text, verbatim
from pipelines.views import (
    BarView,
    Curve,
    CurveView,
    HistogramView,
    ImageView,
    IntervalsView,
    Pane,
    PixelLayer,
    PointLayer,
    View,
)

NAME = verbatim("name")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(view: View, width: int = WIDTH) -> ElementTree.Element:
    svg = draw(view, "en", width)
    assert svg is not None
    return ElementTree.fromstring(svg)


def words(root: ElementTree.Element) -> list[str]:
    return [t.text or "" for t in root.iter(f"{SVG}text")]


def bars(root: ElementTree.Element) -> list[tuple[float, float]]:
    """Return top and bottom of every rectangle."""
    found = [(float(r.get("y", 0)), float(r.get("height", 0))) for r in root.iter(f"{SVG}rect")]
    return [(y, y + height) for y, height in found]


def test_bars_of_both_signs_begin_at_nought() -> None:
    """A negative bar began at the bottom of the frame and looked like a positive one."""
    view = BarView(NAME, (verbatim("a"), verbatim("b")), ((NAME, np.array([2.0, -1.0])),), NAME)

    up, down, _ = bars(drawn(view))

    assert up[1] == pytest.approx(down[0], abs=0.2)
    assert up[1] - up[0] == pytest.approx(2 * (down[1] - down[0]), abs=0.4)


def test_the_first_series_of_bars_is_full_and_the_others_paler() -> None:
    one, two = np.array([1.0]), np.array([2.0])
    root = drawn(BarView(NAME, (NAME,), ((verbatim("a"), one), (verbatim("b"), two)), NAME))

    opacities = [r.get("fill-opacity") for r in root.iter(f"{SVG}rect")]

    assert opacities == [None, "0.35"] * 2


def test_a_histogram_says_what_it_counts() -> None:
    view = HistogramView(
        NAME, np.arange(3.0), np.array([1, 2]), verbatim("grey"), verbatim("pixels")
    )

    assert {"grey", "pixels"} <= set(words(drawn(view)))


def test_intervals_stand_around_their_value_and_rows_in_order() -> None:
    view = IntervalsView(
        NAME, (verbatim("first"), verbatim("second")), np.array([0.5, np.nan]),
        np.array([0.4, np.nan]), np.array([0.8, np.nan]), verbatim("score"), mark_x=0.5,
    )  # fmt: skip

    root = drawn(view)

    (dot,) = root.iter(f"{SVG}circle")
    x, y = float(dot.get("cx", 0)), float(dot.get("cy", 0))
    lines = [
        [float(e.get(k, 0)) for k in ("x1", "y1", "x2", "y2")] for e in root.iter(f"{SVG}line")
    ]
    (whisker,) = [ln for ln in lines if ln[1] == ln[3] == pytest.approx(y, abs=0.1)]
    assert (whisker[2] - x) / (x - whisker[0]) == pytest.approx(3.0, abs=0.05)
    upright = [ln for ln in lines if ln[0] == ln[2] == pytest.approx(x, abs=0.1)]
    assert any(ln[1] < y < ln[3] for ln in upright), "the mark crosses the row"
    names = {t.text: float(t.get("y", 0)) for t in root.iter(f"{SVG}text")}
    assert names["first"] < names["second"]


def test_intervals_of_nothing_are_no_picture() -> None:
    nothing = np.array([np.nan])
    assert draw(IntervalsView(NAME, (NAME,), nothing, nothing, nothing, NAME), "en") is None


def test_a_logarithmic_axis_within_one_decade_has_ticks() -> None:
    """Losses from 0.2 to 0.9 hold no power of ten: the axis stood there without a number."""
    curve = Curve(NAME, np.arange(3.0), np.array([0.9, 0.4, 0.2]))

    said = words(drawn(CurveView(NAME, NAME, NAME, (curve,), log_y=True)))

    assert {"0.2", "0.5"} <= set(said)


def test_undefined_values_leave_a_gap_in_a_curve() -> None:
    curve = Curve(NAME, np.arange(5.0), np.array([1.0, 2.0, np.nan, 2.0, 1.0]))

    lines = [
        p.get("points", "")
        for p in drawn(CurveView(NAME, NAME, NAME, (curve,))).iter(f"{SVG}polyline")
    ]

    assert [len(points.split()) for points in lines] == [2, 2]


def test_points_beside_a_picture_are_cut_off_at_its_edge() -> None:
    points = PointLayer(np.array([[0.0, 0.0]]), np.array([3.0]), ("truth",), ("circle",), NAME)
    layers = (PixelLayer(np.zeros((6, 8), np.uint8), (0, 255)), points)

    root = drawn(ImageView(NAME, (Pane(NAME, layers), Pane(NAME, layers))))

    clips = {c.get("id"): c[0] for c in root.iter(f"{SVG}clipPath")}
    used = [g.get("clip-path") for g in root.iter(f"{SVG}g") if g.get("clip-path")]
    assert len(clips) == 2
    assert used == [f"url(#{name})" for name in clips]
    assert all((r.get("width"), r.get("height")) == ("8", "6") for r in clips.values())


def test_the_same_picture_is_the_same_file_in_every_process() -> None:
    """An id came from `hash`, which differs by process: no pack equalled the next one."""
    code = (
        "import numpy as np\nfrom pipelines.evidence.svg import draw\n"
        "from pipelines.text import verbatim\nfrom pipelines.views import *\n"
        "layer = PixelLayer(np.zeros((2, 2), np.uint8), (0, 255))\n"
        "pane = Pane(verbatim('a'), (layer,))\nprint(draw(ImageView(verbatim('b'), (pane,)), 'en'))"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, env={"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(made) == 1


def test_a_narrow_chart_keeps_its_legend_within_its_width() -> None:
    curves = tuple(
        Curve(verbatim(f"a model with a long name {i}"), np.arange(2.0), np.ones(2) * i)
        for i in range(4)
    )

    root = drawn(CurveView(Text("core.verbatim", value="t"), NAME, NAME, curves), NARROW)

    keys = {
        t.text: float(t.get("y", 0)) for t in root.iter(f"{SVG}text") if "model" in (t.text or "")
    }
    assert len(set(keys.values())) == 4, "a line each"
