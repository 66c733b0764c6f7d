"""Draw charts and pictures as SVG: what a report shows on paper, from the same plain-data views.

Words stay words (searchable, in the reader's language, with its decimal mark), lines stay lines,
and every series differs by colour and by dash or mark, as on the pages. Images lie inside as PNG
with their points and scale bar drawn over them.
"""

from __future__ import annotations

import base64
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipelines import views
from pipelines.evidence import svg_elements as element
from pipelines.evidence.pixels import encode_png, flatten_pane
from pipelines.evidence.svg_frame import Frame, span_of
from pipelines.palette import DASHES, SEQUENCE, colour
from pipelines.text import Language, Text, format_number, render

WIDTH: Final = 640
NARROW: Final = 320
_HEIGHT: Final = 232
_HEIGHT_OF_NARROW: Final = 200
_SHARE_OF_NARROW: Final = 0.8  # of its column, for one image: two rows of charts have its height
_PATTERNS: Final = {
    "solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "12 4",
    "longdashdot": "12 3 2 3",
}  # fmt: skip
_FLAT_STYLES: Final[Mapping[views.SphereStyle, views.PointStyle]] = {
    "full": "circle", "dashed": "dashed", "dotted": "dashed", "cross": "cross",
}  # fmt: skip
_UNITS: Final = {"angstrom": "Å", "um": "µm"}


@functools.singledispatch
def draw(view: views.View, language: Language, width: int = WIDTH) -> str | None:
    """Return a view as an SVG document of a width, or None for one that is no picture."""
    return None


@draw.register
def _(view: views.CurveView, language: Language, width: int = WIDTH) -> str | None:
    curves = [c for c in view.curves if len(c.x) and np.isfinite(c.y).any()]
    if not curves:
        return None
    names = [(render(c.name, language), *_look(i, c)) for i, c in enumerate(curves)]
    frame = _frame_of_curves(view, curves, names, language, width)
    parts = [frame.axes(render(view.x_label, language), render(view.y_label, language))]
    for index, curve in enumerate(curves):
        parts.append(_curve(frame, curve, index))
    if view.mark_x is not None and frame.x_low <= view.mark_x <= frame.x_high:
        x = frame.x(view.mark_x)
        parts.append(element.line((x, frame.top), (x, frame.bottom), element.GREY, 1.2, "2 3"))
    parts.append(_legend(frame, names))
    return frame.document(parts, view)


@draw.register
def _(view: views.BarView, language: Language, width: int = WIDTH) -> str | None:
    if not view.categories or not view.series:
        return None
    values = np.array([np.asarray(v, float) for _, v in view.series])
    shown = np.append(values[np.isfinite(values)], 0.0)
    low, high = view.y_range or span_of(shown, margin=0.1)  # room for the numbers at the bars
    names = [
        (render(name, language), SEQUENCE[i % len(SEQUENCE)], "block")
        for i, (name, _) in enumerate(view.series)
    ]
    x_range = (0.0, float(len(view.categories)))
    frame = Frame(language, x_range, (low, high), width, _height(width), _names_of(names))
    parts = [frame.axes("", render(view.y_label, language), has_x=False)]
    for place, category in enumerate(view.categories):
        parts.append(_bars(frame, place, values[:, place]))
        x = frame.x(place + 0.5)
        parts.append(
            element.text(x, frame.bottom + 16, render(category, language), anchor="middle")
        )
    parts.append(_legend(frame, names))
    return frame.document(parts, view)


@draw.register
def _(view: views.HistogramView, language: Language, width: int = WIDTH) -> str | None:
    if not len(view.counts):
        return None
    high = float(max(view.counts.max(), 1))
    x_range = (float(view.edges[0]), float(view.edges[-1]))
    frame = Frame(language, x_range, (0.0, high * 1.05), width, min(220, _height(width)))
    counted = render(view.y_label, language) if view.y_label is not None else ""
    parts = [frame.axes(render(view.x_label, language), counted)]
    for left, right, count in zip(view.edges[:-1], view.edges[1:], view.counts, strict=True):
        x, across = frame.x(float(left)), frame.x(float(right)) - frame.x(float(left))
        y = frame.y(float(count))
        size = (max(across - 0.6, 0.4), frame.bottom - y)
        parts.append(element.rect((x, y), size, SEQUENCE[0]))
    return frame.document(parts, view)


@draw.register
def _(view: views.IntervalsView, language: Language, width: int = WIDTH) -> str | None:
    if not np.isfinite(view.values).any():
        return None
    most = 0.42 * width  # for the names; the rest is for the numbers
    names = [element.clipped(render(n, language), most, element.FONT_SIZE) for n in view.names]
    left = 16 + element.LETTER * element.FONT_SIZE * max(map(len, names))
    marked = [] if view.mark_x is None else [view.mark_x]
    x_range = view.x_range or span_of(np.concatenate([view.values, view.low, view.high, marked]))
    y_range, height = (float(len(names)), 0.0), 76.0 + 24 * len(names)
    frame = Frame(language, x_range, y_range, width, height, left=left)
    parts = [frame.axes(render(view.x_label, language), "", has_y=False)]
    if view.mark_x is not None:
        x = frame.x(view.mark_x)
        parts.append(element.line((x, frame.top), (x, frame.bottom), element.GREY, 1.2, "2 3"))
    for row, name in enumerate(names):
        parts.append(element.text(left - 8, frame.y(row + 0.5) + 4, name, anchor="end"))
        parts.append(_whisker(frame, row, view))
    return frame.document(parts, view)


def _whisker(frame: Frame, row: int, view: views.IntervalsView) -> str:
    """Draw the value of a row with its interval; nothing where it is undefined."""
    value, low, high = (float(v[row]) for v in (view.values, view.low, view.high))
    if not math.isfinite(value):
        return ""
    y, tint = frame.y(row + 0.5), SEQUENCE[0]
    dot = element.circle(frame.x(value), y, 4.5, tint, 1, fill=tint)
    if not (math.isfinite(low) and math.isfinite(high)):
        return dot
    ends = [frame.x(min(max(end, frame.x_low), frame.x_high)) for end in (low, high)]
    caps = [element.line((x, y - 4), (x, y + 4), tint, 1.6) for x in ends]
    return "".join([element.line((ends[0], y), (ends[1], y), tint, 1.6), *caps, dot])


@draw.register
def _(view: views.ScatterView, language: Language, width: int = WIDTH) -> str | None:
    if not len(view.points):
        return None
    x, y = view.points[:, 0], view.points[:, 1]
    names = [
        (render(name, language), SEQUENCE[i % len(SEQUENCE)], f"mark{i}")
        for i, name in enumerate(view.names)
    ]
    frame = Frame(language, span_of(x), span_of(y), width, 380, _names_of(names))
    parts = [frame.axes(render(view.x_label, language), render(view.y_label, language))]
    for (px, py), number in zip(view.points, view.series, strict=True):
        parts.append(_mark(frame.x(float(px)), frame.y(float(py)), int(number)))
    parts.append(_legend(frame, names))
    return frame.document(parts, view)


@draw.register
def _(view: views.CloudView, language: Language, width: int = WIDTH) -> str | None:
    """Seen along z, as on a slice: y down, x to the right."""
    if not len(view.points):
        return None
    _, depth, across = view.box
    scale = width * 0.62 / max(across, depth)
    height = depth * scale + 26
    left = (width - across * scale) / 2
    box = (across * scale, depth * scale)
    parts = [element.rect((left, 4), box, "none", stroke=element.RULE)]
    for (_, y, x), size, meaning in zip(view.points, view.sizes, view.meanings, strict=True):
        parts.append(
            element.circle(
                left + x * scale, 4 + y * scale, max(size * scale, 1.5), colour(meaning), 1.2
            )
        )
    bar = _Bar(scale, 1.0, view.unit, _longest_bar(width))
    parts.append(bar.draw(left, 4 + depth * scale + 14, language))
    return element.document(parts, height, view, language, width)


@draw.register
def _(view: views.ImageView, language: Language, width: int = WIDTH) -> str | None:
    count = len(view.panes)
    columns = min(count, 3)
    gap = 10
    is_alone = count == 1 and width == WIDTH  # half as wide, its legend beside it
    side = (width - gap * (columns - 1)) / columns
    if count == 1:
        side *= 0.5 if is_alone else _SHARE_OF_NARROW
    parts, y, tallest = [], 0.0, 0.0
    for index, pane in enumerate(view.panes):
        if index and index % columns == 0:
            y, tallest = y + tallest + 10, 0.0
        x = (index % columns) * (side + gap)
        drawn, height = _pane(pane, x, y, side, language)
        parts.append(drawn)
        tallest = max(tallest, height)
    bottom = y + tallest
    if view.pixel_size:
        shape = _shape_of(view.panes[0])
        bar = _Bar(side / shape[1], view.pixel_size, view.unit, _longest_bar(width))
        parts.append(bar.draw(0.0, bottom + 12, language))
    names = _layer_names(view, language)
    if is_alone:
        parts.append(_layer_column(names, (side + 18, 28)))
        return element.document(
            parts, bottom + (26 if view.pixel_size else 2), view, language, width
        )
    first_x = 70.0 + _longest_bar(width) if view.pixel_size else 0.0
    lines, num_lines = _layer_lines(names, bottom + 16, first_x, width)
    parts.append(lines)
    num_lines = max(num_lines, int(bool(view.pixel_size)))
    return element.document(parts, bottom + 2 + 20 * num_lines, view, language, width)


def _layer_names(view: views.ImageView, language: Language) -> list[tuple[str, str]]:
    """Return what the colours of a picture mean, as words and tint; nothing where one is used."""
    layers = [layer for pane in view.panes for layer in pane.layers]
    if any(isinstance(one, views.ThresholdLayer) and one.truth is not None for one in layers):
        meanings = ("true_positive", "false_positive", "missed")
        return [(render(Text(f"evidence.legend.{m}"), language), colour(m)) for m in meanings]
    points = [one for one in layers if isinstance(one, views.PointLayer) and one.meanings]
    if len(points) < 2:
        return []
    return [(render(one.name, language), colour(one.meanings[0])) for one in points]


def _layer_column(names: Sequence[tuple[str, str]], at: tuple[float, float]) -> str:
    """Draw names with their colours under one another."""
    x, y = at
    return "".join(_layer_name(name, x, y + 18 * i) for i, name in enumerate(names))


def _layer_lines(
    names: Sequence[tuple[str, str]], y: float, first_x: float, width: float
) -> tuple[str, int]:
    """Draw names with their colours in columns; the first line begins right of the scale bar."""
    if not names:
        return "", 0
    cell = max(element.LETTER * 11 * len(words) for words, _ in names) + 40
    columns = max(1, int(width // cell))
    first = min(math.ceil(first_x / cell), columns)
    parts = []
    for place, name in enumerate(names, start=first):
        parts.append(_layer_name(name, place % columns * cell, y + 20 * (place // columns)))
    return "".join(parts), (first + len(names) - 1) // columns + 1


def _layer_name(name: tuple[str, str], x: float, y: float) -> str:
    words, tint = name
    return element.rect((x, y - 9), (13, 10), tint) + element.text(x + 19, y, words, size=11)


@draw.register
def _(view: views.VolumeView, language: Language, width: int = WIDTH) -> str | None:
    """Draw the three planes through the middle, with the spheres that they cut."""
    panes = tuple(_plane(view, axis) for axis in range(3))
    planes = views.ImageView(view.title, panes, pixel_size=view.pixel_size, unit=view.unit)
    return draw(planes, language, width)


def _plane(view: views.VolumeView, axis: int) -> views.Pane:
    index, length = view.shape[axis] // 2, view.shape[axis]
    pixels = np.asarray(view.section(axis, index))
    layers: list[Any] = [views.PixelLayer(pixels, window=view.window)]
    if view.spheres is not None and len(view.spheres.centres_vox):
        layers.append(_cut_spheres(view.spheres, axis, index))
    title = view.plane_titles[axis]
    words = {**title.params, "index": index + 1, "length": length}
    return views.Pane(Text(title.id, **words), tuple(layers))


def _cut_spheres(spheres: views.Spheres, axis: int, index: int) -> views.PointLayer:
    """Return the circles in which a plane cuts spheres."""
    centres, radii = np.asarray(spheres.centres_vox), np.asarray(spheres.radii_vox)
    squares = radii**2 - (centres[:, axis] - index) ** 2
    rows = np.flatnonzero(squares > 0)
    # across x the plane lies as (Y, Z), so that z runs to the right beside the plane across z
    order = ((1, 2), (0, 2), (1, 0))[axis]
    looks = [spheres.palette[int(look)] for look in np.asarray(spheres.looks)[rows]]
    return views.PointLayer(
        centres[rows][:, order],
        np.sqrt(squares[rows]),
        tuple(look.meaning for look in looks),
        tuple(_FLAT_STYLES[look.style] for look in looks),
        spheres.name,
    )


@draw.register
def _(view: views.GalleryView, language: Language, width: int = WIDTH) -> str | None:
    if not view.pictures:
        return None
    columns, gap = min(len(view.pictures), 5), 12
    side = min((width - gap * (columns - 1)) / columns, 150)
    parts, y = [], 0.0
    for start in range(0, len(view.pictures), columns):
        tallest = 0.0
        row = list(zip(view.pictures, view.captions, strict=True))[start : start + columns]
        for index, (pixels, caption) in enumerate(row):
            x = index * (side + gap)
            height = side * pixels.shape[0] / pixels.shape[1]
            parts.append(_image(np.asarray(pixels), x, y, side, height))
            for line, words in enumerate(element.wrapped(render(caption, language), side, 10.5)):
                low = y + height + 13 + 12 * line
                parts.append(element.text(x, low, words, size=10.5, fill=element.GREY))
            tallest = max(tallest, height)
        y += tallest + 36
    return element.document(parts, y, view, language, width)


def _frame_of_curves(
    view: views.CurveView,
    curves: Sequence[views.Curve],
    names: Sequence[tuple[str, str, str]],
    language: Language,
    width: int,
) -> Frame:
    bounds = [np.asarray(edge, float) for c in curves for edge in (c.band or ())]
    ys = np.concatenate([np.asarray(c.y, float) for c in curves] + bounds)
    ys = ys[np.isfinite(ys) & ((ys > 0) if view.log_y else True)]
    xs = np.concatenate([np.asarray(c.x, float) for c in curves])
    y_range = view.y_range or span_of(ys)
    x_range = span_of(xs, margin=0.0)
    return Frame(
        language, x_range, y_range, width, _height(width), _names_of(names), is_log=view.log_y
    )


def _height(width: int) -> float:
    return _HEIGHT if width > NARROW else _HEIGHT_OF_NARROW


def _names_of(entries: Sequence[tuple[str, str, str]]) -> list[str]:
    return [words for words, _, _ in entries]


# --- marks --------------------------------------------------------------------------------------


def _look(index: int, curve: views.Curve) -> tuple[str, str]:
    dash = "dash" if curve.is_dashed else DASHES[index % len(DASHES)]
    return SEQUENCE[index % len(SEQUENCE)], _PATTERNS[dash] or "solid"


def _curve(frame: Frame, curve: views.Curve, index: int) -> str:
    tint, pattern = _look(index, curve)
    x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
    parts = []
    if curve.band is not None:
        parts.append(_band(frame, x, curve.band, tint))
    if len(x) == 1:
        return "".join(
            [*parts, element.circle(frame.x(x[0]), frame.y(y[0]), 4, tint, 1, fill=tint)]
        )
    for has_value, run in itertools.groupby(range(len(x)), key=lambda i: bool(np.isfinite(y[i]))):
        if has_value:
            places = " ".join(f"{frame.x(x[i]):.1f},{frame.y(y[i]):.1f}" for i in run)
            dash = "" if pattern == "solid" else f' stroke-dasharray="{pattern}"'
            parts.append(
                f'<polyline points="{places}" fill="none" stroke="{tint}" stroke-width="1.8"'
                f' stroke-linejoin="round"{dash}/>'
            )
    return "".join(parts)


def _band(frame: Frame, x: Any, band: Any, tint: str) -> str:  # arrays of one length
    low, high = (np.asarray(edge, float) for edge in band)
    known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    there = [f"{frame.x(x[i]):.1f},{frame.y(low[i]):.1f}" for i in known]
    back = [f"{frame.x(x[i]):.1f},{frame.y(high[i]):.1f}" for i in known[::-1]]
    return f'<polygon points="{" ".join(there + back)}" fill="{tint}" fill-opacity="0.16"/>'


def _bars(frame: Frame, place: int, values: Any) -> str:  # `(S,)` float
    """Draw the bars of one category, from 0 upwards or downwards."""
    zero = frame.y(min(max(0.0, frame.y_range[0]), frame.y_range[1]))
    # few categories would make slabs of bars
    share = min(0.72, 0.16 * len(values) * (frame.x_high - frame.x_low))
    width, first = share / len(values), (1 - share) / 2
    parts = []
    for index, value in enumerate(values):
        if not math.isfinite(value):
            continue
        x = frame.x(place + first + index * width)
        across = (frame.x(1) - frame.x(0)) * width
        y, tint = frame.y(float(value)), SEQUENCE[index % len(SEQUENCE)]
        size = (max(across - 1.5, 1), abs(zero - y))
        opacity = _opacity_of_bars(index)
        parts.append(element.rect((x, min(y, zero)), size, tint, stroke=tint, opacity=opacity))
        words = format_number(float(value), frame.language)
        beside = y - 4 if value >= 0 else y + 11
        middle = x + across / 2
        parts.append(
            element.text(middle, beside, words, size=9.5, anchor="middle", fill=element.GREY)
        )
    return "".join(parts)


def _opacity_of_bars(index: int) -> float:
    """The first series is full, the others paler with an edge: a second cue beside the colour."""
    return 1.0 if index == 0 else 0.35


def _mark(x: float, y: float, number: int) -> str:
    tint = SEQUENCE[number % len(SEQUENCE)]
    kind = number % 4
    if kind == 0:
        return element.circle(x, y, 2.6, "none", 0, fill=tint)
    if kind == 1:
        return f'<path d="M{x:.1f} {y - 3.6:.1f}l3.4 6.4h-6.8z" fill="{tint}"/>'
    if kind == 2:
        return element.rect((x - 2.5, y - 2.5), (5, 5), tint)
    return f'<path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6" stroke="{tint}" stroke-width="1.6"/>'


def _legend(frame: Frame, names: Sequence[tuple[str, str, str]]) -> str:
    """Draw name, colour and dash of each series above the frame."""
    parts = []
    places = zip(names, frame.places_of_names, strict=True)
    for index, ((words, tint, look), (x, y)) in enumerate(places):
        if look == "block":
            opacity = _opacity_of_bars(index)
            parts.append(element.rect((x, y - 8), (16, 9), tint, stroke=tint, opacity=opacity))
        elif look.startswith("mark"):
            parts.append(_mark(x + 8, y - 4, int(look[4:])))
        else:
            dash = "" if look == "solid" else look
            parts.append(element.line((x, y - 4), (x + 20, y - 4), tint, 2.0, dash))
        parts.append(element.text(x + 25, y, words))
    return "".join(parts)


# --- pictures -----------------------------------------------------------------------------------


def _pane(
    pane: views.Pane, x: float, y: float, side: float, language: Language
) -> tuple[str, float]:
    """Draw one pane at a place; returns its height with its title too."""
    height, width = _shape_of(pane)
    scale = side / width
    title = element.clipped(render(pane.title, language), side, 11)
    top = y + 16
    parts = [
        element.text(x, y + 11, title, size=11),
        _image(flatten_pane(pane), x, top, side, height * scale),
    ]
    shift = f'<g transform="translate({x:.2f} {top:.2f}) scale({scale:.5f})">'
    # drawings stand together in one page: the same id always cuts to the same size
    clip = f"clip-{x:.0f}-{y:.0f}-{width}x{height}"
    parts.append(
        f'<clipPath id="{clip}"><rect width="{width}" height="{height}"/></clipPath>'
        f'{shift}<g clip-path="url(#{clip})">'
    )
    for layer in pane.layers:
        if isinstance(layer, views.PointLayer):
            parts.append(_points(layer, 1 / scale))
        elif isinstance(layer, views.GridLayer):
            parts += [_path(line, 1 / scale) for line in layer.lines]
    return "".join([*parts, "</g></g>"]), 16 + height * scale


def _shape_of(pane: views.Pane) -> tuple[int, int]:
    for layer in pane.layers:
        for name in ("pixels", "mask", "labels", "values", "probability"):
            if (array := getattr(layer, name, None)) is not None:
                return int(array.shape[0]), int(array.shape[1])
    return 1, 1


def _points(layer: views.PointLayer, unit: float) -> str:
    parts = []
    for (row, column), radius, meaning, style in zip(
        layer.points, layer.radii_px, layer.meanings, layer.styles, strict=True
    ):
        x, y, r, tint = column + 0.5, row + 0.5, max(float(radius), 2 * unit), colour(meaning)
        if style == "cross":
            d = r * 0.7
            path = f"M{x - d:.2f} {y - d:.2f}l{2 * d:.2f} {2 * d:.2f}m0 {-2 * d:.2f}"
            path += f"l{-2 * d:.2f} {2 * d:.2f}"
            parts.append(f'<path d="{path}" stroke="{tint}" stroke-width="{1.6 * unit:.3f}"/>')
            continue
        dash = f' stroke-dasharray="{3 * unit:.2f} {2.4 * unit:.2f}"' if style == "dashed" else ""
        parts.append(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="none" stroke="{tint}"'
            f' stroke-width="{1.6 * unit:.3f}"{dash}/>'
        )
    return "".join(parts)


def _path(line: Any, unit: float) -> str:  # `(M, 2)` float, rows then columns
    places = " ".join(f"{column + 0.5:.2f},{row + 0.5:.2f}" for row, column in line)
    tint = colour("grid")
    return (
        f'<polyline points="{places}" fill="none" stroke="{tint}" stroke-width="{unit:.3f}"'
        ' stroke-opacity="0.7"/>'
    )


def _image(pixels: Any, x: float, y: float, width: float, height: float) -> str:
    # `(H, W)` or `(H, W, 3)` uint8
    content = base64.b64encode(encode_png(pixels)).decode()
    return (
        f'<image x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
        f' preserveAspectRatio="none" href="data:image/png;base64,{content}"/>'
    )


def _longest_bar(width: int) -> float:
    return min(150.0, width / 4)


@dataclass(frozen=True)
class _Bar:
    """Draw a scale bar of a round length.

    Attributes:
        scale: Picture units a pixel.
        pixel_size: Length of a pixel in its unit.
        unit: That unit.
        longest: Longest bar, in picture units.
    """

    scale: float
    pixel_size: float
    unit: str
    longest: float

    def draw(self, x: float, y: float, language: Language) -> str:
        """Draw the bar with its length in words."""
        longest = self.longest / self.scale * self.pixel_size
        power = 10.0 ** math.floor(math.log10(longest))
        length = max(s * power for s in (1, 2, 5) if s * power <= longest)
        across = length / self.pixel_size * self.scale
        words = f"{format_number(float(length), language)} {_UNITS.get(self.unit, self.unit)}"
        end = x + across
        return element.line((x, y), (end, y), element.INK, 3) + element.text(
            end + 8, y + 4, words, size=11
        )
