"""Pictures as plain data: what a panel shows, said without saying how it is drawn.

The dashboard turns every `View` into widgets (`dashboard/renderers.py`, one function a type); a
report or a notebook may turn the same data into something else. Arrays are numpy, rows before
columns; colours are named by meaning, not by value, so that every picture uses one palette.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from pipelines.text import Text

Array = NDArray[Any]
Tone = Literal["plain", "info", "success", "warning", "error"]
PointStyle = Literal["circle", "dashed", "cross"]
SphereStyle = Literal["full", "dashed", "cross", "dotted"]


# --- layers of an image ---------------------------------------------------------------------


@dataclass(frozen=True)
class PixelLayer:
    """Show pixels as they are.

    Attributes:
        pixels: `(H, W)` grey, any real dtype, or `(H, W, 3)` uint8 RGB.
        window: Values shown black and white; None fits the 0.5 and 99.5 percentiles (grey only).
    """

    pixels: Array
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class MaskLayer:
    """Colour the true pixels of a mask.

    Attributes:
        mask: `(H, W)` bool.
        meaning: What the colour stands for, a key of the palette ("membrane", "truth", ...).
        name: Name in the layer list.
        opacity: In [0, 1].
    """

    mask: Array
    meaning: str
    name: Text
    opacity: float = 0.5


@dataclass(frozen=True)
class LabelLayer:
    """Colour instances, each in a colour that its number keeps.

    Attributes:
        labels: `(H, W)` int, 0 = background.
        name: Name in the layer list.
        opacity: In [0, 1].
    """

    labels: Array
    name: Text
    opacity: float = 0.5


@dataclass(frozen=True)
class ScalarLayer:
    """Show a map of numbers in a perceptually even colour scale.

    Attributes:
        values: `(H, W)` float or uint8.
        name: Name in the layer list.
        low: Value at the dark end.
        high: Value at the bright end.
        scale: Colour scale.
        opacity: In [0, 1].
    """

    values: Array
    name: Text
    low: float
    high: float
    scale: Literal["viridis", "magma"] = "viridis"
    opacity: float = 1.0


@dataclass(frozen=True)
class ThresholdLayer:
    """Outline and fill where a probability passes a threshold; the browser draws the cut itself.

    Attributes:
        probability: `(H, W)` float32 in [0, 1].
        threshold: In [0, 1].
        above: Whether the part above the threshold is coloured, or the part below it.
        meaning: Key of the palette.
        name: Name in the layer list.
        truth: `(H, W)` bool of the coloured class; then right, false and missed parts differ.
        opacity: In [0, 1].
    """

    probability: Array
    threshold: float
    meaning: str
    name: Text
    above: bool = True
    truth: Array | None = None
    opacity: float = 0.55


@dataclass(frozen=True)
class PointLayer:
    """Draw circles, dashed circles or crosses.

    Attributes:
        points: `(N, 2)` float, rows then columns, in pixels.
        radii_px: `(N,)` float.
        meanings: `N` keys of the palette.
        styles: `N` styles: full circle, dashed circle, cross.
        name: Name in the layer list.
    """

    points: Array
    radii_px: Array
    meanings: tuple[str, ...]
    styles: tuple[PointStyle, ...]
    name: Text


@dataclass(frozen=True)
class GridLayer:
    """Draw lines, such as a grid that shows a deformation.

    Attributes:
        lines: Each `(M, 2)` float, rows then columns, in pixels.
        name: Name in the layer list.
    """

    lines: tuple[Array, ...]
    name: Text


Layer = PixelLayer | MaskLayer | LabelLayer | ScalarLayer | ThresholdLayer | PointLayer | GridLayer


@dataclass(frozen=True)
class Pane:
    """Show layers over one another, the first at the bottom.

    Attributes:
        title: What it shows.
        layers: The layers.
        pixel_size: Size of a pixel in `unit` where the data say it; panes of an `ImageView` have
            that of the view.
        unit: Unit of it.
    """

    title: Text
    layers: tuple[Layer, ...]
    pixel_size: float | None = None
    unit: str = "nm"


# --- views ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Hold what every view has.

    Attributes:
        title: The message of the picture, as a short sentence.
        source: Which data and model it was computed from, or None.
        alt: What a person who cannot see it is told; defaults to the title.
    """

    title: Text
    source: Text | None = field(default=None, kw_only=True)
    alt: Text | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Ahead:
    """Hold sections beside the one that an `ImageView` shows, so that nobody waits for a step.

    Attributes:
        stamp: The same for all views that belong to one stack and differ by the section alone.
        reach: How far from the section shown others are worth having.
        panes: Section index, from 0, to its panes.
    """

    stamp: str
    reach: int = 0
    panes: Mapping[int, tuple[Pane, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageView(View):
    """Show images side by side, zoomed and moved together, or wiped over one another.

    Attributes:
        panes: One to four panes of the same height and width.
        pixel_size: Size of a pixel in `unit`, or None when the data do not say.
        unit: Unit of the scale bar.
        wipe: Whether the first two panes lie over one another with a divider.
        section: `(index, count)` of the section shown, or None.
        ahead: Other sections; the page adds it for a panel that says how it steps.
    """

    panes: tuple[Pane, ...]
    pixel_size: float | None = None
    unit: str = "nm"
    wipe: bool = False
    section: tuple[int, int] | None = None
    ahead: Ahead | None = None


@dataclass(frozen=True)
class Curve:
    """Hold one line of a chart.

    Attributes:
        name: Name in the legend.
        x: `(N,)` float.
        y: `(N,)` float; NaN leaves a gap.
        band: `(N,)` lower and upper bound, or None.
        is_dashed: Second cue beside the colour.
    """

    name: Text
    x: Array
    y: Array
    band: tuple[Array, Array] | None = None
    is_dashed: bool = False


@dataclass(frozen=True)
class CurveView(View):
    """Draw curves over one axis.

    Attributes:
        x_label: Axis with its unit.
        y_label: Axis with its unit.
        curves: The lines.
        mark_x: Where a vertical line stands (a threshold), or None.
        log_y: Whether the y axis is logarithmic.
        y_range: Bounds of the y axis, or None to fit.
    """

    x_label: Text
    y_label: Text
    curves: tuple[Curve, ...]
    mark_x: float | None = None
    log_y: bool = False
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class ScatterView(View):
    """Draw a map of points, each series in a colour and a mark of its own.

    Attributes:
        points: `(N, 2)` float, x then y.
        series: `(N,)` int, the series of each point.
        names: Name of each series.
        hover: `N` words shown over a point.
        x_label: Axis with its unit.
        y_label: Axis with its unit.
    """

    points: Array
    series: Array
    names: tuple[Text, ...]
    hover: tuple[str, ...]
    x_label: Text
    y_label: Text


@dataclass(frozen=True)
class HistogramView(View):
    """Draw counts over bins.

    Attributes:
        edges: `(N + 1,)` float bin edges.
        counts: `(N,)` counts.
        x_label: Axis with its unit.
        y_label: What is counted, or None.
    """

    edges: Array
    counts: Array
    x_label: Text
    y_label: Text | None = None


@dataclass(frozen=True)
class Figure:
    """Hold one measured number.

    Attributes:
        name: What was measured.
        value: The number; NaN is shown as undefined.
        help: One sentence on what it means, or None.
        interval: Lower and upper bound of the 95 % interval, or None.
        count: How many items it was measured on, or None.
        unit: Unit, a format of `text.py` ("pct", "duration", "bytes") or "".
        higher_is_better: Direction, or None when there is none.
    """

    name: Text
    value: float
    help: Text | None = None
    interval: tuple[float, float] | None = None
    count: int | None = None
    unit: str = ""
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class FiguresView(View):
    """Show a row of measured numbers."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class TableView(View):
    """Show rows under named columns.

    Attributes:
        columns: Names with their units.
        rows: Values: numbers, texts or strings; one row as long as `columns`.
        filename: Name of the CSV that a reader may download.
    """

    columns: tuple[Text, ...]
    rows: tuple[tuple[Any, ...], ...]
    filename: str = "table.csv"


@dataclass(frozen=True)
class GalleryView(View):
    """Show small pictures with a caption each.

    Attributes:
        pictures: Each `(H, W)` uint8 or `(H, W, 3)` uint8.
        captions: One a picture.
    """

    pictures: tuple[Array, ...]
    captions: tuple[Text, ...]


@dataclass(frozen=True)
class TextView(View):
    """Say something; the title is the sentence.

    Attributes:
        tone: How it is set off.
        details: Further sentences, one a line.
    """

    tone: Tone = "plain"
    details: tuple[Text, ...] = ()


@dataclass(frozen=True)
class FormulaView(View):
    """Show a formula with the meaning of its symbols.

    Attributes:
        latex: The formula.
        symbols: Symbol in LaTeX to its meaning.
    """

    latex: str
    symbols: Mapping[str, Text] = field(default_factory=dict)


@dataclass(frozen=True)
class DownloadView(View):
    """Offer a file; it is made only when somebody asks for it.

    Attributes:
        filename: Name of the saved file.
        make: Returns the content, or the path of a file that holds it.
        mime: Media type.
    """

    filename: str
    make: Callable[[], bytes | Path]
    mime: str = "application/octet-stream"


@dataclass(frozen=True)
class CloudView(View):
    """Show points in a box that can be turned; a click names a point.

    Attributes:
        points: `(N, 3)` float, z y x, in `unit`.
        sizes: `(N,)` float radii, in `unit`.
        meanings: `N` keys of the palette.
        labels: `N` words shown when a point is pointed at, before its place and score.
        box: Size of the box along z, y, x, in `unit`.
        unit: Unit of the axes.
        place: Name of the volume whose planes a click moves, as a `VolumeView` has it; "" for none.
        places_vox: `(N, 3)` z y x, where in that volume each point stands.
        small: `(N,)` bool, points drawn small (what others are compared with); None for none.
        scores: `(N,)` float in [0, 1], shown with the labels; None for none.
        legend: Name of each meaning, in the order of the legend; empty for none.
    """

    points: Array
    sizes: Array
    meanings: tuple[str, ...]
    labels: tuple[Text, ...]
    box: tuple[float, float, float]
    unit: str = "angstrom"
    place: str = ""
    places_vox: Array | None = None
    small: Array | None = None
    scores: Array | None = None
    legend: tuple[tuple[str, Text], ...] = ()


@dataclass(frozen=True)
class SphereLook:
    """Say how some spheres are drawn.

    Attributes:
        meaning: Key of the palette.
        name: Word in the legend.
        style: Full, dashed or dotted circle, or cross.
        label: What the read-out says when the pointer is on such a sphere.
    """

    meaning: str
    name: Text
    style: SphereStyle
    label: Text


@dataclass(frozen=True)
class Spheres:
    """Hold spheres in a volume.

    Attributes:
        centres_vox: `(N, 3)` z y x.
        radii_vox: `(N,)`.
        looks: `(N,)` int into `palette`.
        palette: The looks.
        name: Name in the layer list.
    """

    centres_vox: Array
    radii_vox: Array
    looks: Array
    palette: tuple[SphereLook, ...]
    name: Text


@dataclass(frozen=True)
class VolumeView(View):
    """Show three planes through a volume that share a crosshair, and the spheres that they cut.

    Attributes:
        shape: Z, Y, X of the volume.
        section: Returns the section `(axis, index)`: `(Y, X)` across z, `(Z, X)` across y,
            `(Y, Z)` across x, all uint8.
        place: Name of the volume; views of one name share the crosshair.
        plane_titles: Words over the planes across z, y and x, with `{index}` and `{length}`.
        spheres: What is marked, or None.
        window: Values shown black and white.
        pixel_size: Side of a voxel in `unit`, or None when the data do not say.
        unit: Unit of the scale bar.
        offset_vox: Index of the voxel whose place is 0.
    """

    shape: tuple[int, int, int]
    section: Callable[[int, int], Array]
    place: str
    plane_titles: tuple[Text, Text, Text]
    spheres: Spheres | None = None
    window: tuple[float, float] = (0.0, 255.0)
    pixel_size: float | None = None
    unit: str = "angstrom"
    offset_vox: float = 0.0


@dataclass(frozen=True)
class MeshView(View):
    """Show a closed or open surface that can be turned.

    Attributes:
        vertices: `(V, 3)` float z y x, in `unit`.
        faces: `(F, 3)` int into `vertices`.
        meaning: Key of the palette.
        unit: Unit of the axes.
    """

    vertices: Array
    faces: Array
    meaning: str = "prediction"
    unit: str = "angstrom"


@dataclass(frozen=True)
class IntervalsView(View):
    """Compare numbers with their intervals, a dot with a whisker in each row.

    Attributes:
        names: Name of each row, the first one on top.
        values: `(N,)` float; NaN leaves the row empty.
        low: `(N,)` lower bounds; NaN where no interval can be given.
        high: `(N,)` upper bounds.
        x_label: Axis with its unit.
        mark_x: Where a vertical line stands (no difference), or None.
        x_range: Bounds of the axis, or None to fit.
    """

    names: tuple[Text, ...]
    values: Array
    low: Array
    high: Array
    x_label: Text
    mark_x: float | None = None
    x_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class BarView(View):
    """Compare groups of numbers as bars.

    Attributes:
        categories: Words under the groups.
        series: Name of each series to its `(N,)` values, one a category; NaN leaves a gap.
        y_label: Axis with its unit.
        y_range: Bounds of the y axis, or None to fit.
    """

    categories: tuple[Text, ...]
    series: tuple[tuple[Text, Array], ...]
    y_label: Text
    y_range: tuple[float, float] | None = None
