"""The chart of a study: one dot a run, its mean as a line, its spread as a band."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboard.charts import LEGEND
from dashboard.palette import TINTS
from dashboard.words import language, tr

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MARKS = ("circle", "diamond")


@dataclass(frozen=True)
class Dot:
    """Hold the score of one run.

    Attributes:
        label: Its name on the axis.
        value: Its score; NaN is left out.
    """

    label: str
    value: float


def strip_figure(
    arms: Sequence[tuple[str, Sequence[Dot]]], y_label: str, bounds: tuple[float, float]
) -> go.Figure:
    """Draw the scores of each arm side by side.

    Args:
        arms: Name and dots, in the order of work.
        y_label: What the scores are.
        bounds: Lowest and highest possible score; the axis does not reach beyond.
    """
    import plotly.graph_objects as go

    figure, start = go.Figure(), 0
    labels: list[str] = []
    for index, (name, dots) in enumerate(arms):
        tint = TINTS[index % len(TINTS)]
        places = list(range(start, start + len(dots)))
        values = [dot.value for dot in dots]
        _add_mean(figure, places, values, tint)
        marker = {"color": tint, "size": 11, "symbol": _MARKS[index % len(_MARKS)]}
        figure.add_scatter(
            x=places, y=values, mode="markers", name=name, marker=marker,
            text=[dot.label for dot in dots], hovertemplate="%{text}: %{y:.3f}<extra></extra>",
            showlegend=len(arms) > 1,
        )  # fmt: skip
        labels += [dot.label for dot in dots]
        start += len(dots)
    _dress(figure, labels, y_label)
    figure.update_yaxes(range=_reach(arms, bounds))
    return figure


def _reach(
    arms: Sequence[tuple[str, Sequence[Dot]]], bounds: tuple[float, float]
) -> list[float] | None:
    """Return an axis with some air around the scores, or None without any."""
    values = [d.value for _, dots in arms for d in dots if math.isfinite(d.value)]
    if not values:
        return None
    low, high = min(values), max(values)
    air = max(0.3 * (high - low), 0.02)
    return [max(low - air, bounds[0] - 0.005), min(high + air, bounds[1] + 0.005)]


def _add_mean(figure: go.Figure, places: Sequence[int], values: Sequence[float], tint: str) -> None:
    """Draw the mean over the runs and a band of one standard deviation around it."""
    defined = [v for v in values if math.isfinite(v)]
    if len(defined) < 2:
        return
    mean, spread = statistics.fmean(defined), statistics.stdev(defined)
    left, right = places[0] - 0.4, places[-1] + 0.4
    figure.add_shape(
        type="rect", x0=left, x1=right, y0=mean - spread, y1=mean + spread,
        fillcolor=tint, opacity=0.14, line_width=0, layer="below",
    )  # fmt: skip
    figure.add_shape(
        type="line", x0=left, x1=right, y0=mean, y1=mean, line={"color": tint, "width": 2}
    )


def _dress(figure: go.Figure, labels: Sequence[str], y_label: str) -> None:
    figure.update_layout(
        height=280,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend=LEGEND,
        separators=", " if language() == "fr" else ".,",
        uirevision="keep",
    )
    shown = labels if len(labels) <= 12 else ["" for _ in labels]
    title = "" if len(labels) <= 12 else tr("study_panel.axis_runs")
    figure.update_xaxes(
        tickvals=list(range(len(labels))), ticktext=list(shown), title=title, automargin=True,
        range=[-0.6, max(len(labels), 1) - 0.4], showgrid=False, zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(title=y_label, automargin=True)
