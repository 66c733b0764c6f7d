"""What stands beside what in a report, on paper and as HTML."""

import re

import numpy as np
import pytest

from pipelines.evidence.document import Document, Part, Picture, Row, lay_out, pictures
from pipelines.evidence.html import to_html
from pipelines.evidence.markdown import to_markdown
from pipelines.evidence.pdf import to_pdf
from pipelines.text import verbatim
from pipelines.views import (
    Curve,
    CurveView,
    HistogramView,
    ImageView,
    Pane,
    PixelLayer,
    PointLayer,
    TableView,
    View,
)

X = np.linspace(0.0, 1.0, 5)
WORDS = verbatim("As text between them")


def curves(title: str) -> CurveView:
    names = ("F4", "Precision", "Recall")
    drawn = tuple(Curve(verbatim(name), X, X) for name in names)
    return CurveView(verbatim(title), verbatim("Threshold"), verbatim("Score"), drawn)


def image(title: str, num_panes: int = 1) -> ImageView:
    kinds = {"true_positive": "apo-ferritin", "missed": "virus-like-particle"}
    place, radius = np.array([[3.0, 3.0]]), np.array([2.0])
    points = [
        PointLayer(place, radius, (meaning,), ("circle",), verbatim(name))
        for meaning, name in kinds.items()
    ]
    pane = Pane(verbatim("Section 1"), (PixelLayer(np.zeros((8, 8), np.uint8)), *points))
    return ImageView(verbatim(title), (pane,) * num_panes, pixel_size=10.0, unit="angstrom")


def histogram(title: str) -> HistogramView:
    return HistogramView(verbatim(title), X, np.arange(4), verbatim("Grey value"))


def document(*blocks: object) -> Document:
    title = verbatim("A report")
    return Document(title, verbatim("of a run"), (Part(verbatim("Results"), blocks),))


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ((curves("a"), curves("b")), [Row]),
        ((curves("a"), curves("b"), curves("c")), [Row, Picture]),
        ((curves("a"), WORDS, curves("b")), [Picture, Picture]),
        ((curves("a"), image("b")), [Picture, Picture]),
        ((image("a"), image("b")), [Row]),
        ((image("a", 2), image("b", 2)), [Picture, Picture]),
        ((curves("a"), histogram("b")), [Row]),
    ],
)
def test_two_small_figures_of_a_kind_stand_side_by_side(blocks, expected) -> None:
    laid = lay_out(document(*blocks), "en")
    assert [type(e) for e in laid if isinstance(e, (Picture, Row))] == expected
    figures = sum(not hasattr(block, "params") for block in blocks)
    assert len(pictures(laid)) == figures, "each is a file of the pack"


@pytest.mark.parametrize("view", [curves("a"), histogram("a"), image("a")])
def test_a_narrow_drawing_keeps_its_words_inside_and_as_large(view: View) -> None:
    """A wide one was made smaller with all its words, to less than five points."""
    (row,) = [e for e in lay_out(document(view, view), "en") if isinstance(e, Row)]
    drawing = row.pictures[0].drawing
    assert 'viewBox="0 0 320 ' in drawing
    pattern = r'<text x="([\d.]+)"[^>]*font-size="([\d.]+)" text-anchor="(\w+)"[^>]*>([^<]*)<'
    words = re.findall(pattern, drawing)
    assert words
    for x, size, anchor, letters in words:
        assert float(size) >= 11
        width = 0.5 * float(size) * len(letters)
        assert float(x) + {"start": width, "middle": width / 2, "end": 0}[anchor] <= 320


def test_figures_side_by_side_are_numbered_and_read_in_every_format() -> None:
    made = document(curves("the first"), curves("the second"), image("the third"))
    html = to_html(made, "en")
    assert html.count('<div class="row">') == 1
    assert re.findall(r"<b>([^<]*)</b> the (\w+)", html) == [
        ("Figure 1.", "first"), ("Figure 2.", "second"), ("Figure 3.", "third"),
    ]  # fmt: skip
    assert "the first" in to_markdown(made, "en")
    assert to_pdf(made, "fr").startswith(b"%PDF")


def test_a_table_and_words_stay_as_they_are() -> None:
    table = TableView(verbatim("Counts"), (verbatim("n"),), ((3,),))
    laid = lay_out(document(WORDS, table, WORDS), "en")
    assert not any(isinstance(element, (Row, Picture)) for element in laid)
