"""What figures and tables say on the page, and what a table becomes when it leaves it."""

from __future__ import annotations

import csv
import io

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import renderers
from pipelines.text import verbatim
from pipelines.views import TableView


@pytest.mark.parametrize("name", ["=1+1", "=HYPERLINK(A1)", "@SUM(A1)", "+cmd|' /C calc'!A0", "-a"])
def test_a_class_named_like_a_formula_stays_a_name_in_a_spreadsheet(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderers, "say", lambda text: text.params["value"])
    table = TableView(verbatim("t"), (verbatim("a"),), ((verbatim(name),), (-0.5,), ("-0.5",)))
    rows = list(csv.reader(io.StringIO(renderers._table_csv(table).decode("utf-8-sig"))))
    assert rows == [["a"], [f"'{name}"], ["-0.5"], ["-0.5"]]


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
