"""Draw views: one function a type; whatever a pipeline shows passes through here."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import canvas as cv
from dashboard.charts import (
    bar_figure,
    curve_figure,
    histogram_figure,
    interval_figure,
    mesh_figure,
    scatter_figure,
)
from dashboard.cloud import show_cloud
from dashboard.downloads import draw_downloads
from dashboard.figures import draw_figures
from dashboard.figures import value_words as value_words  # said of figures everywhere
from dashboard.palette import colour
from dashboard.planes import show_planes
from dashboard.words import language, number, say, say_plainly, tr
from pipelines import views
from pipelines.text import Language, Text, render

_FORMULA = re.compile(r"[=+\-@](?![\d.,\s]*$)")  # not a number with its sign
_MOST_STYLED = 2000  # rows of a table whose fractions are written one by one
_TONES: dict[str, Callable[..., Any]] = {
    "info": st.info,
    "success": st.success,
    "warning": st.warning,
    "error": st.error,
}
OnEvent = Callable[[cv.CanvasEvent], None]


def draw_all(shown: Sequence[views.View], key: str, on_event: OnEvent | None = None) -> None:
    """Draw views under one another; `key` names the place on the page."""
    for index, view in enumerate(shown):
        draw(view, f"{key}.{index}", on_event)


@functools.singledispatch
def draw(view: views.View, key: str, on_event: OnEvent | None = None) -> None:
    """Draw one view.

    Raises:
        TypeError: No renderer is registered for this type.
    """
    raise TypeError(f"no renderer for {type(view).__name__}")


@draw.register
def _(view: views.ImageView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    index, count = view.section or (None, 1)
    ahead = view.ahead or views.Ahead("")
    options = cv.Options(
        pixel_size=view.pixel_size,
        unit=view.unit if view.pixel_size else "px",  # type: ignore[arg-type] # units of views
        section_index=index,
        section_count=count,
        events=("step", "near") if view.section else (),
        layout="wipe" if view.wipe else "side_by_side",
        stamp=ahead.stamp,
        reach=ahead.reach,
        near={place: _panes(panes) for place, panes in ahead.panes.items()},
    )
    cv.canvas(
        _panes(view.panes),
        key=key,
        alt=view.alt or view.title,
        language=language(),
        options=options,
        on_event=on_event,
    )
    _draw_source(view)


@draw.register
def _(view: views.CurveView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    _draw_chart(curve_figure(view), view, key)
    _draw_source(view, key, lambda: _curves_csv(view))


@draw.register
def _(view: views.ScatterView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    _draw_chart(scatter_figure(view), view, key)
    _draw_source(view, key)


@draw.register
def _(view: views.HistogramView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    _draw_chart(histogram_figure(view), view, key)
    _draw_source(view, key, lambda: _histogram_csv(view))


@draw.register
def _(view: views.BarView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    _draw_chart(bar_figure(view), view, key)
    _draw_source(view, key, lambda: _bars_csv(view))


@draw.register
def _(view: views.IntervalsView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    _draw_chart(interval_figure(view), view, key)
    _draw_source(view, key, lambda: _intervals_csv(view))


@draw.register
def _(view: views.CloudView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    show_cloud(view, f"{key}.cloud")
    _draw_source(view, key)


@draw.register
def _(view: views.VolumeView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    show_planes(view, f"{key}.planes")
    _draw_source(view)


@draw.register
def _(view: views.MeshView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    _draw_chart(mesh_figure(view), view, key)
    _draw_source(view)


@draw.register
def _(view: views.FiguresView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    draw_figures(view.figures)
    _draw_source(view, key, lambda: _figures_csv(view))


@draw.register
def _(view: views.TableView, key: str, on_event: OnEvent | None = None) -> None:
    import pandas as pd

    _draw_title(view)
    names = [say(column) for column in view.columns]
    spoken = language()
    rows = [[_cell(value, spoken) for value in row] for row in view.rows]
    table = pd.DataFrame(rows, columns=names)
    st.dataframe(_as_read(table), hide_index=True, key=f"{key}.table")
    _draw_source(view, key, lambda: _table_csv(view))


def _as_read(table: Any) -> Any:  # a data frame of pandas, or its styled form
    """Write fractions as the visitor reads them; the values stay numbers, so columns sort.

    A column with a gap becomes words: the table would call the gap "None", in no language of ours.
    """
    fractions = table.columns[[dtype.kind == "f" for dtype in table.dtypes]]
    if not len(fractions) or len(table) > _MOST_STYLED or not table.columns.is_unique:
        return table
    gaps = [name for name in fractions if table[name].isna().any()]
    words = {name: ["–" if v != v else number(float(v)) for v in table[name]] for name in gaps}
    return table.assign(**words).style.format(number, subset=fractions.difference(gaps))


@draw.register
def _(view: views.GalleryView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    with st.container(horizontal=True, gap="small", key=f"{key}.gallery"):
        for pixels, caption in zip(view.pictures, view.captions, strict=True):
            st.image(pixels, caption=say_plainly(caption), width=160, alt=say(caption))
    _draw_source(view)


@draw.register
def _(view: views.TextView, key: str, on_event: OnEvent | None = None) -> None:
    words = "\n\n".join(say_plainly(text) for text in (view.title, *view.details))
    _TONES.get(view.tone, st.markdown)(words)


@draw.register
def _(view: views.FormulaView, key: str, on_event: OnEvent | None = None) -> None:
    _draw_title(view)
    st.latex(view.latex)
    st.caption(" · ".join(f"${symbol}$ {say(text)}" for symbol, text in view.symbols.items()))
    _draw_source(view)


@draw.register
def _(view: views.DownloadView, key: str, on_event: OnEvent | None = None) -> None:
    st.download_button(
        say(view.title),
        data=lambda: _content(view.make()),
        file_name=view.filename,
        mime=view.mime,
        key=f"{key}.download",
        icon=":material/download:",
        on_click="ignore",
    )


def _panes(panes: Sequence[views.Pane]) -> list[cv.Pane]:
    return [cv.Pane(_layers(pane), title=pane.title) for pane in panes]


def _layers(pane: views.Pane) -> list[Any]:  # the canvas's layer types
    """Turn the layers of a pane into the canvas's; points of each radius make one."""
    made: list[Any] = []
    for layer in pane.layers:
        if isinstance(layer, views.PointLayer):
            made += _point_layers(layer)
        else:
            made.append(_to_canvas(layer))
    return made


def _point_layers(layer: views.PointLayer) -> list[Any]:  # the canvas's layer types
    styles = ["full" if style == "circle" else style for style in layer.styles]
    made = []
    for radius in sorted({float(r) for r in layer.radii_px}):
        chosen = [i for i, r in enumerate(layer.radii_px) if float(r) == radius]
        made.append(
            cv.PointsLayer(
                layer.points[chosen],
                name=layer.name,
                radius_px=radius,
                colours=[colour(layer.meanings[i]) for i in chosen],
                styles=[styles[i] for i in chosen],  # type: ignore[misc] # words of `PointStyle`
            )
        )
    return made


@functools.singledispatch
def _to_canvas(layer: Any) -> Any:  # singledispatch needs an open first argument
    raise TypeError(f"no canvas layer for {type(layer).__name__}")


@_to_canvas.register
def _(layer: views.PixelLayer) -> Any:
    return cv.ImageLayer(layer.pixels, name=Text("pages.layer_image"), window=layer.window)


@_to_canvas.register
def _(layer: views.MaskLayer) -> Any:
    tint = colour(layer.meaning)
    return cv.MaskLayer(layer.mask, name=layer.name, colour=tint, opacity=layer.opacity)


@_to_canvas.register
def _(layer: views.LabelLayer) -> Any:
    return cv.LabelsLayer(layer.labels, name=layer.name, opacity=layer.opacity)


@_to_canvas.register
def _(layer: views.ScalarLayer) -> Any:
    return cv.ScalarLayer(
        layer.values,
        name=layer.name,
        colormap=layer.scale,
        low=layer.low,
        high=layer.high,
        opacity=layer.opacity,
    )


@_to_canvas.register
def _(layer: views.ThresholdLayer) -> Any:
    side = "above" if layer.above else "below"
    if layer.truth is not None:
        return cv.CompareLayer(
            layer.probability,
            layer.truth,
            layer.threshold,
            name=layer.name,
            side=side,  # type: ignore[arg-type] # one of the two words above
            opacity=layer.opacity,
        )
    return cv.ThresholdLayer(
        layer.probability,
        layer.threshold,
        name=layer.name,
        side=side,  # type: ignore[arg-type] # one of the two words above
        colour=colour(layer.meaning),
        opacity=layer.opacity,
    )


@_to_canvas.register
def _(layer: views.GridLayer) -> Any:
    return cv.LinesLayer(list(layer.lines), name=layer.name, colour=colour("grid"))


def _draw_title(view: views.View) -> None:
    st.markdown(f"**{say_plainly(view.title)}**")


def _draw_source(view: views.View, key: str = "", table: Callable[[], bytes] | None = None) -> None:
    """Draw the line that says where a figure comes from; with a `key`, what can be taken of it."""
    if view.source is None and not key:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if view.source is not None:
            st.caption(say_plainly(view.source))
        if key:
            # together on this line or the next
            with st.container(horizontal=True, width="content", gap="small"):
                draw_downloads(view, key, table)


def _draw_chart(figure: Any, view: views.View, key: str) -> None:  # plotly figure, loaded lazily
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toImage"],
    }
    alt = say(view.alt or view.title)
    st.plotly_chart(figure, key=f"{key}.chart", config=config, alt=alt)


def _cell(value: Any, spoken: Language) -> Any:  # a table cell: number, text or string
    if isinstance(value, Text):
        return render(value, spoken)
    return round(value, 4) if isinstance(value, float) else value


def _curves_csv(view: views.CurveView) -> bytes:
    """Write a row a point; where any curve has a band, its bounds stand behind the value."""
    header = [tr("pages.curve"), say(view.x_label), say(view.y_label)]
    if any(curve.band is not None for curve in view.curves):
        header += [tr("compare_page.low"), tr("compare_page.high")]
    rows = []
    for curve in view.curves:
        columns = (curve.x, curve.y, *(curve.band or ()))
        rows += [(say(curve.name), *map(float, point)) for point in zip(*columns, strict=True)]
    return _csv(header, rows)


def _histogram_csv(view: views.HistogramView) -> bytes:
    rows = zip(view.edges[:-1].tolist(), view.edges[1:].tolist(), view.counts.tolist(), strict=True)
    header = (say(view.x_label), tr("pages.high"), tr("pages.number"))
    return _csv(header, list(rows))


def _bars_csv(view: views.BarView) -> bytes:
    rows = [
        (say(category), say(name), float(value))
        for name, values in view.series
        for category, value in zip(view.categories, values, strict=True)
    ]
    return _csv((tr("pages.category"), tr("pages.curve"), say(view.y_label)), rows)


def _intervals_csv(view: views.IntervalsView) -> bytes:
    names = [say(name) for name in view.names]
    columns = (names, view.values.tolist(), view.low.tolist(), view.high.tolist())
    header = (
        tr("pages.category"),
        say(view.x_label),
        tr("compare_page.low"),
        tr("compare_page.high"),
    )
    return _csv(header, list(zip(*columns, strict=True)))


def _figures_csv(view: views.FiguresView) -> bytes:
    rows = [
        (say(f.name), f.value, *(f.interval or ("", "")), "" if f.count is None else f.count)
        for f in view.figures
    ]
    header = ("pages.figure", "pages.value", "pages.low", "pages.high", "pages.number")
    return _csv([tr(name) for name in header], rows)


def _table_csv(view: views.TableView) -> bytes:
    rows = [[say(v) if isinstance(v, Text) else v for v in row] for row in view.rows]
    return _csv([say(column) for column in view.columns], rows)


def _harmless(row: Sequence[Any]) -> list[Any]:
    """Keep a spreadsheet from running a name as a formula: `=HYPERLINK(...)` gets an apostrophe.

    What is undefined is an empty cell: a column of numbers with a word in it cannot be drawn there.
    """
    kept = ["" if isinstance(v, float) and v != v else v for v in row]
    return [f"'{v}" if isinstance(v, str) and _FORMULA.match(v) else v for v in kept]


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([_harmless(row) for row in (header, *rows)])
    return buffer.getvalue().encode("utf-8-sig")  # a spreadsheet then reads the accents


def _content(made: bytes | Path) -> bytes:
    return made if isinstance(made, bytes) else made.read_bytes()
