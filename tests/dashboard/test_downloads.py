"""A figure can be taken as SVG and PNG, in the visitor's language."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dashboard.downloads import _png, _svg
from pipelines.text import verbatim
from pipelines.views import Curve, CurveView

X = np.linspace(0.0, 1.0, 20)


@pytest.fixture
def view() -> CurveView:
    curve = Curve(verbatim("falling"), X, 1 - X)
    return CurveView(
        verbatim("It falls"), x_label=verbatim("x"), y_label=verbatim("y"), curves=(curve,)
    )


def test_the_svg_says_what_the_figure_says_with_the_visitors_decimal_mark(view: CurveView) -> None:
    english, french = _svg(view, "en"), _svg(view, "fr")

    assert "falling" in english
    assert ">0.2<" in english
    assert ">0,2<" in french


def test_the_png_shows_the_line(view: CurveView) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(_png(view, "en"))).convert("RGB")).astype(int)

    assert min(pixels.shape[:2]) > 500, "sharp enough for print"
    blue = (pixels[..., 2] > 120) & (pixels[..., 0] < 60)
    height, width = blue.shape
    left = blue[:, width // 5 : width // 3].any(axis=1).nonzero()[0].mean()
    right = blue[:, -width // 4 :].any(axis=1).nonzero()[0].mean()
    assert left < right - height / 5, "the line falls"


def test_a_figure_without_anything_to_draw_is_still_a_file(view: CurveView) -> None:
    empty = CurveView(view.title, x_label=view.x_label, y_label=view.y_label, curves=())

    assert _png(empty, "en").startswith(b"\x89PNG")
