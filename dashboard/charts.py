"""Charts in the product's look: Plotly figures from plain-data views. Plotly loads on first use."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dashboard.palette import DASHES, SEQUENCE, TINTS, colour
from dashboard.words import language, number, say, tr
from pipelines.views import (
    BarView,
    Curve,
    CurveView,
    HistogramView,
    IntervalsView,
    MeshView,
    ScatterView,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

_HEIGHT = 320
_LEGEND_ROW_PX = 20
_LINE_CHARACTERS = 44
_MOST_COUNTED = 8  # steps that a narrow chart names one by one
# At the top of the chart and not above its axes: where a resized chart breaks the names anew, what
# hangs on the axes is placed by their size before, and covers the curves.
LEGEND = {"orientation": "h", "x": 0, "yref": "container", "y": 1, "yanchor": "top"}


def curve_figure(view: CurveView) -> go.Figure:
    """Draw curves, each told apart by colour and dash, with their bands and the marked value."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for index, curve in enumerate(view.curves):
        tint = TINTS[index % len(TINTS)]
        if curve.band is not None:
            _add_band(figure, curve.x, curve.band, SEQUENCE[index % len(SEQUENCE)])
        dash = "dash" if curve.is_dashed else DASHES[index % len(DASHES)]
        mode = "lines" if _is_line(curve) else "markers"
        line = {"color": tint, "width": 2.2, "dash": dash}
        name = _in_lines(say(curve.name))
        marker = {"size": 11, "color": tint}  # a single point: where a threshold stands
        figure.add_scatter(x=curve.x, y=curve.y, name=name, mode=mode, line=line, marker=marker)
    if view.mark_x is not None:
        figure.add_vline(x=view.mark_x, line={"width": 1.5, "dash": "dot", "color": "#7F7F7F"})
    _dress(figure, say(view.x_label), say(view.y_label))
    if _counts_few([curve.x for curve in view.curves]):
        figure.update_xaxes(dtick=1)  # there is no step two and a half
    if view.log_y:
        figure.update_yaxes(type="log")
    if view.y_range is not None:
        figure.update_yaxes(range=list(view.y_range))
    more_rows = max(0, len(view.curves) - 3)  # the names stand above the curves, not in their place
    figure.update_layout(height=_HEIGHT + _LEGEND_ROW_PX * more_rows)
    return figure


def _counts_few(places: Sequence[Any]) -> bool:
    """Tell whether curves stand on whole numbers alone, and on few of them."""
    import numpy as np

    known = np.concatenate([np.asarray(x, np.float64) for x in places]) if places else np.array([])
    known = known[np.isfinite(known)]
    is_whole = known.size > 0 and bool((known == np.round(known)).all())
    return is_whole and 2 <= float(np.ptp(known)) <= _MOST_COUNTED


def histogram_figure(view: HistogramView) -> go.Figure:
    """Draw counts over bins."""
    import plotly.graph_objects as go

    middles = (view.edges[:-1] + view.edges[1:]) / 2
    widths = view.edges[1:] - view.edges[:-1]
    figure = go.Figure(go.Bar(x=middles, y=view.counts, width=widths, marker_color=TINTS[0]))
    counted = tr("pages.how_many") if view.y_label is None else say(view.y_label)
    _dress(figure, say(view.x_label), counted)
    figure.update_layout(height=200, bargap=0)
    return figure


def mesh_figure(view: MeshView) -> go.Figure:
    """Draw a surface that can be turned; x to the right, y down and z up, as on the planes."""
    import plotly.graph_objects as go

    z, y, x = view.vertices.T
    i, j, k = view.faces.T
    light = {"ambient": 0.45, "diffuse": 0.8, "specular": 0.25, "roughness": 0.6}
    mesh = go.Mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k, color=colour(view.meaning), lighting=light, hoverinfo="skip"
    )  # fmt: skip
    figure = go.Figure(mesh)
    unit = {"angstrom": "Å"}.get(view.unit, view.unit)
    axes = {
        f"{a}axis": {"title": f"{a} ({unit})", "backgroundcolor": "rgba(0,0,0,0)"} for a in "xyz"
    }
    axes["yaxis"]["autorange"] = "reversed"
    figure.update_layout(
        height=460,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        scene={**axes, "aspectmode": "data"},
        uirevision="mesh",  # another surface is looked at from the same side
        paper_bgcolor="rgba(0,0,0,0)",
    )
    return figure


_MARKS = ("circle", "diamond", "square", "cross", "x", "triangle-up", "star")


def scatter_figure(view: ScatterView) -> go.Figure:
    """Draw points by WebGL, each series told apart by colour and mark."""
    import numpy as np
    import plotly.graph_objects as go

    figure = go.Figure()
    for index, name in enumerate(view.names):
        rows = np.flatnonzero(view.series == index)
        marker = {
            "color": TINTS[index % len(TINTS)],
            "symbol": _MARKS[(index // len(TINTS) + index) % len(_MARKS)],
            "size": 6,
            "opacity": 0.85,
            "line": {"width": 0.5, "color": "rgba(150, 150, 150, 0.8)"},  # seen on dark as well
        }
        words = [view.hover[i] for i in rows]
        x, y = view.points[rows, 0], view.points[rows, 1]
        figure.add_trace(
            go.Scattergl(
                x=x, y=y, mode="markers", name=say(name), marker=marker, text=words,
                customdata=rows, hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
    _dress(figure, say(view.x_label), say(view.y_label))
    figure.update_layout(height=480, hovermode="closest")
    return figure


_ROW_PX = 34


def interval_figure(view: IntervalsView) -> go.Figure:
    """Draw a dot with a whisker in each row, the first row on top."""
    import numpy as np
    import plotly.graph_objects as go

    rows = np.arange(len(view.names))
    error = {
        "type": "data",
        "array": np.nan_to_num(view.high - view.values),
        "arrayminus": np.nan_to_num(view.values - view.low),
        "thickness": 1.8,
        "width": 5,
        "color": TINTS[0],
    }
    said = [
        number(v) if not np.isfinite(low) else f"{number(v)} ({number(low)} – {number(high)})"
        for v, low, high in zip(view.values, view.low, view.high, strict=True)
    ]
    dots = go.Scatter(
        x=view.values, y=rows, mode="markers", error_x=error, text=said,
        showlegend=False, cliponaxis=False,
        marker={"size": 10, "color": TINTS[0]}, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(dots)
    if view.mark_x is not None:
        line = {"width": 1.5, "dash": "dot", "color": "#7F7F7F"}
        figure.add_vline(x=view.mark_x, line=line)
    _dress(figure, say(view.x_label), "")
    figure.update_layout(height=90 + _ROW_PX * len(rows), hovermode="closest")
    names = [_shortened(say(name)) for name in view.names]
    figure.update_yaxes(
        tickvals=rows, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False, zeroline=False
    )
    if view.x_range is not None:
        figure.update_xaxes(range=list(view.x_range))
    return figure


def _shortened(words: str, most: int = 44) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def bar_figure(view: BarView) -> go.Figure:
    """Draw groups of bars, a colour a series."""
    import plotly.graph_objects as go

    figure = go.Figure()
    names = [say(category) for category in view.categories]
    for index, (name, values) in enumerate(view.series):
        tint = TINTS[index % len(TINTS)]
        pattern = "" if index == 0 else "/"
        marker = {"color": tint, "pattern": {"shape": pattern}}
        figure.add_bar(x=names, y=values, name=say(name), marker=marker)
    _dress(figure, "", say(view.y_label))
    if view.y_range is not None:
        figure.update_yaxes(range=list(view.y_range))
    return figure


def _is_line(curve: Curve) -> bool:
    """Tell whether a curve has two places to draw a line between; one alone would not be seen."""
    import numpy as np

    places = np.column_stack([np.asarray(curve.x, float), np.asarray(curve.y, float)])
    return len(np.unique(places[np.isfinite(places).all(axis=1)], axis=0)) > 1


def _add_band(figure: go.Figure, x: object, band: tuple[object, object], tint: str) -> None:
    hidden = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    red, green, blue = (int(tint[i : i + 2], 16) for i in (1, 3, 5))
    figure.add_scatter(x=x, y=band[0], **hidden)
    figure.add_scatter(
        x=x, y=band[1], fill="tonexty", fillcolor=f"rgba({red},{green},{blue},0.18)", **hidden
    )


def _dress(figure: go.Figure, x_label: str, y_label: str) -> None:
    figure.update_layout(
        height=_HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend=LEGEND,
        separators=", " if language() == "fr" else ".,",
        hovermode="x unified",
        uirevision="keep",
    )
    figure.update_xaxes(title=_in_lines(x_label), automargin=True)
    figure.update_yaxes(title=_in_lines(y_label), automargin=True)


def _in_lines(words: str) -> str:
    """Break a long title or name: Plotly would cut it off at the edge of a narrow chart."""
    return "<br>".join(textwrap.wrap(words, _LINE_CHARACTERS)) if words else words
