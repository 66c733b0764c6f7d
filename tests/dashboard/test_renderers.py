"""What a table becomes when it leaves the page."""

from __future__ import annotations

import csv
import io

import pytest

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
