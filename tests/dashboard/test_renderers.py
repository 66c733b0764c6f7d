"""What figures and tables say on the page, and what a table becomes when it leaves it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import renderers
from pipelines.text import verbatim
from pipelines.views import Curve, CurveView, TableView


@pytest.mark.parametrize("name", ["=1+1", "=HYPERLINK(A1)", "@SUM(A1)", "+cmd|' /C calc'!A0", "-a"])
def test_a_class_named_like_a_formula_stays_a_name_in_a_spreadsheet(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderers, "say", lambda text: text.params["value"])
    table = TableView(verbatim("t"), (verbatim("a"),), ((verbatim(name),), (-0.5,), ("-0.5",)))
    assert read(renderers._table_csv(table)) == [["a"], [f"'{name}"], ["-0.5"], ["-0.5"]]


def test_a_curve_leaves_the_page_with_its_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file had the middle of a bootstrap alone; a gap was the word "nan" in it."""
    monkeypatch.setattr(renderers, "say", lambda text: text.params["value"])
    monkeypatch.setattr(renderers, "tr", lambda text_id: text_id.partition(".")[2])
    x, y = np.array([0.0, 1.0]), np.array([0.5, np.nan])
    banded = Curve(verbatim("a"), x, y, (y - 0.25, y + 0.25))
    view = CurveView(
        verbatim("t"), verbatim("x"), verbatim("y"), (banded, Curve(verbatim("b"), x, x))
    )
    assert read(renderers._curves_csv(view)) == [
        ["curve", "x", "y", "low", "high"],
        ["a", "0.0", "0.5", "0.25", "0.75"],
        ["a", "1.0", "", "", ""],
        ["b", "0.0", "0.0"],
        ["b", "1.0", "1.0"],
    ]
    plain = dataclasses.replace(view, curves=view.curves[1:])
    assert read(renderers._curves_csv(plain))[0] == ["curve", "x", "y"]


@pytest.mark.parametrize(
    ("x", "step"),
    [([1, 2, 5], 1), ([0, 1], None), ([0, 0.5, 3], None), ([1, 40], None), ([], None)],
)
def test_few_steps_are_counted_whole_on_their_axis(x: list[float], step: int | None) -> None:
    """The axis of a training of five steps named step 2.5."""
    app = AppTest.from_function(_draw_curve, kwargs={"x": x}).run()
    assert not app.exception
    spec = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert spec["layout"]["xaxis"].get("dtick") == step


def _draw_curve(x: list[float]) -> None:
    import numpy as np

    from dashboard.renderers import draw
    from pipelines.text import verbatim
    from pipelines.views import Curve, CurveView

    places = np.array(x, float)
    words = verbatim("a")
    draw(CurveView(words, words, words, (Curve(words, places, places),)), "chart")


def read(table: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.decode("utf-8-sig"))))


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (2.94e-110, "", "≈ 0"),
        (-2.3e-18, "", "≈ 0"),
        (0.0, "", "0"),
        (0.000012, "", "1.20 × 10⁻⁵"),
        (1e-9, "J", "1.00 × 10⁻⁹ J"),
        (float("nan"), "", "undefined"),
    ],
)
def test_what_is_left_of_rounding_is_no_figure(value: float, unit: str, expected: str) -> None:
    app = AppTest.from_function(_draw_figure, kwargs={"value": value, "unit": unit}).run()
    assert not app.exception
    assert f'figure-value">{expected}<' in app.get("html")[0].proto.body


def _draw_figure(value: float, unit: str) -> None:
    from dashboard.figures import draw_figures
    from pipelines.text import verbatim
    from pipelines.views import Figure

    draw_figures([Figure(verbatim("a"), value, unit=unit)])
