"""Chart colours follow the theme of the page, and can be seen on it."""

import tomllib
from pathlib import Path

import numpy as np
import plotly.io
import streamlit.elements.plotly_chart  # noqa: F401 - registers the template of its charts

from dashboard.charts import curve_figure
from dashboard.palette import SEQUENCE, TINTS
from pipelines.text import verbatim
from pipelines.views import Curve, CurveView

THEME = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())[
    "theme"
]


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_light_pages_have_the_colours_of_reports() -> None:
    assert tuple(THEME["light"]["chartCategoricalColors"]) == SEQUENCE


def test_every_chart_colour_is_seen_on_a_dark_page() -> None:
    """The blue of light pages had a contrast of 3.5 there."""
    dark = THEME["dark"]
    colours = dark["chartCategoricalColors"]
    assert len(colours) == len(SEQUENCE)
    assert len(set(colours)) == len(colours)
    assert min(contrast(c, dark["backgroundColor"]) for c in colours) >= 4.5


def test_a_colour_keeps_its_hue_on_a_dark_page() -> None:
    for light, dark in zip(SEQUENCE, THEME["dark"]["chartCategoricalColors"], strict=True):
        parts = [np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (light, dark)]
        assert np.argmax(parts[0]) == np.argmax(parts[1])


def test_streamlit_replaces_the_names_that_charts_use() -> None:
    known = plotly.io.templates["streamlit"].layout.colorway
    assert tuple(known[: len(TINTS)]) == TINTS


def test_curves_are_named_colours() -> None:
    curves = tuple(Curve(verbatim(n), np.arange(3.0), np.arange(3.0)) for n in "ab")
    figure = curve_figure(CurveView(verbatim("t"), verbatim("x"), verbatim("y"), curves))
    assert [trace.line.color for trace in figure.data] == list(TINTS[:2])


def test_a_value_that_was_measured_twice_at_one_step_is_seen() -> None:
    """A training that was stopped after its first step showed empty charts."""
    curves = tuple(
        Curve(verbatim("a"), np.array(x, float), np.array(y, float))
        for x, y in (([1, 1], [0.2, 0.2]), ([1, 2], [0.3, np.nan]), ([0, 0], [0, 1]))
    )
    figure = curve_figure(CurveView(verbatim("t"), verbatim("x"), verbatim("y"), curves))
    assert [trace.mode for trace in figure.data] == ["markers", "markers", "lines"]
