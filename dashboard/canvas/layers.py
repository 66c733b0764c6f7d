"""What the canvas draws, as plain frozen values: panes, and layers from bottom to top.

Pixels are NumPy arrays. A field that takes `Frames` takes one array, or a sequence of arrays: one
for each section, between which the browser steps alone, without a rerun of the script.
Coordinates are index coordinates in pixels, y before x: the integer (y, x) is the centre of that
pixel, so pixel (0, 0) covers -0.5 to 0.5.

In the layout `orthogonal` the panes are planes through one volume: each takes some of its sections
by their index, and the browser steps between those that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.text import Text

Pixels = NDArray[Any]  # any of the number types that packing.py knows
Frames = Pixels | Sequence[Pixels] | Mapping[int, Pixels]
Style = Literal["full", "dashed", "cross", "dotted"]
Axis = Literal["z", "y", "x"]
Colormap = Literal["viridis", "magma", "grey"]
Side = Literal["above", "below"]

ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"


@dataclass(frozen=True)
class ImageLayer:
    """Show grey or colour pixels, with contrast set in the browser.

    Attributes:
        pixels: `(Y, X)` uint8, uint16 or float32, or `(Y, X, 3 or 4)` uint8.
        window: Values shown black and white. None: 0 to 255 for uint8; else the 0.5th and 99.5th
            percentile of the first section that is shown.
    """

    pixels: Frames
    name: Text
    opacity: float = 1.0
    visible: bool = True
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class MaskLayer:
    """Tint the pixels that are not zero.

    Attributes:
        pixels: `(Y, X)` bool or integer.
        style: A tint, an outline, or both.
    """

    pixels: Frames
    name: Text
    colour: str = ORANGE
    style: Literal["fill", "outline", "both"] = "both"
    opacity: float = 0.5
    visible: bool = True


@dataclass(frozen=True)
class LabelsLayer:
    """Give each instance a colour of its own, stable over sections; 0 is background.

    Attributes:
        pixels: `(Y, X)` integer ids from 0.
    """

    pixels: Frames
    name: Text
    is_outlined: bool = True
    opacity: float = 0.45
    visible: bool = True


@dataclass(frozen=True)
class ScalarLayer:
    """Show a map of numbers in a perceptually even colour scale with its legend.

    Attributes:
        pixels: `(Y, X)` uint8, uint16 or float32. NaN stays transparent.
        low: Value at the dark end. None: the lowest value of the section.
        high: Value at the bright end. None: the highest value of the section.
    """

    pixels: Frames
    name: Text
    colormap: Colormap = "viridis"
    low: float | None = None
    high: float | None = None
    opacity: float = 0.8
    visible: bool = True


@dataclass(frozen=True)
class ThresholdLayer:
    """Cut a probability map at a threshold, in the browser: a new threshold sends no pixels.

    Attributes:
        pixels: `(Y, X)` float32 in [0, 1], or uint8 that stands for value / 255.
        threshold: In [0, 1].
        side: Which side of the threshold is tinted: `above` (value >= threshold) or `below`.
    """

    pixels: Frames
    threshold: float
    name: Text
    side: Side = "above"
    colour: str = ORANGE
    style: Literal["fill", "outline", "both"] = "both"
    opacity: float = 0.5
    visible: bool = True


@dataclass(frozen=True)
class CompareLayer:
    """Mark truth against a prediction cut at a threshold, in the browser.

    Found pixels get a plain tint, false ones dashes, missed ones small crosses, so that colour is
    never the only cue.

    Attributes:
        pixels: `(Y, X)` probability, float32 in [0, 1], or uint8 that stands for value / 255.
        truth: `(Y, X)` bool or integer, the true region where not zero.
        threshold: In [0, 1].
        side: Which side of the threshold is the predicted region.
    """

    pixels: Frames
    truth: Frames
    threshold: float
    name: Text
    side: Side = "above"
    opacity: float = 0.6
    visible: bool = True


@dataclass(frozen=True)
class PointsLayer:
    """Draw circles of a radius in the image, by class colour and by kind of hit.

    Attributes:
        centres_px: `(N, 2)` y, x in index coordinates; or one such array a section.
        radius_px: Radius of every circle, or N of them.
        colours: One colour for all, or N of them.
        styles: One for all, or N: `full` (found), `dashed` (false), `cross` (missed).
        labels: Nothing, or N short words that the read-out shows.
        is_editable: Whether a point can be dragged (event `drag`) and deleted (event `delete`).
    """

    centres_px: Frames
    name: Text
    radius_px: float | Sequence[float] = 6.0
    colours: str | Sequence[str] = ORANGE
    styles: Style | Sequence[Style] = "full"
    labels: Sequence[str] = ()
    is_editable: bool = False
    opacity: float = 1.0
    visible: bool = True


@dataclass(frozen=True)
class Look:
    """How some spheres are drawn.

    Attributes:
        colour: As `#rrggbb`.
        name: Word in the legend; looks of one name, colour and style are one entry.
        style: `full`, `dashed`, `cross` or `dotted`.
        label: Words of the read-out when the pointer is on such a sphere.
    """

    colour: str
    name: str
    style: Style = "full"
    label: str = ""


@dataclass(frozen=True)
class SpheresLayer:
    """Draw the circles in which the planes of an orthogonal layout cut spheres.

    Attributes:
        centres_vox: `(N, 3)` z, y, x in index coordinates of the volume.
        radii_vox: `(N,)`.
        looks: `(N,)` int, which of `palette` a sphere has.
        palette: At most 256 looks.
        is_editable: Whether a circle can be dragged (event `drag`) and deleted (event `delete`).
    """

    centres_vox: Pixels
    radii_vox: Pixels
    looks: Pixels
    palette: Sequence[Look]
    name: Text
    is_editable: bool = False
    opacity: float = 1.0
    visible: bool = True


@dataclass(frozen=True)
class LinesLayer:
    """Draw polylines, such as a grid that shows a deformation.

    Attributes:
        lines_px: Each `(K, 2)` y, x in index coordinates.
    """

    lines_px: Sequence[NDArray[np.floating[Any]]]  # any float width
    name: Text
    colour: str = SKY
    width_px: float = 1.0
    opacity: float = 0.8
    visible: bool = True


Layer = (
    ImageLayer
    | MaskLayer
    | LabelsLayer
    | ScalarLayer
    | ThresholdLayer
    | CompareLayer
    | PointsLayer
    | SpheresLayer
    | LinesLayer
)


@dataclass(frozen=True)
class Pane:
    """One picture: its layers from bottom to top, all of one size.

    Attributes:
        layers: At least one of them holds pixels, which give the pane its size.
        title: Words in the corner; None for none. In the orthogonal layout the browser puts index
            and length for `{index}` and `{length}`.
        axes: Axes of the volume along rows and columns; counts in the orthogonal layout only.
    """

    layers: Sequence[Layer]
    title: Text | None = None
    axes: tuple[Axis, Axis] = ("y", "x")


EventKind = Literal["click", "drag", "delete", "step", "near", "threshold"]
Unit = Literal["nm", "angstrom", "um", "px"]


@dataclass(frozen=True)
class Options:
    """How the canvas behaves, beside what it shows.

    Attributes:
        height_px: Height on the page with tools and read-out. None: from the shape of the images.
        pixel_size: Side of one pixel in `unit`. None: the scale bar counts pixels.
        section_index: The section shown, from 0; None when there is only one picture.
        section_count: How many sections there are; gives the step buttons and keys.
        events: What is reported to Python; whatever is not named causes no rerun. `threshold`
            puts a threshold slider under the picture, which moves the layers as it is dragged
            and reports when it is let go.
        layout: How two or more panes start: `side_by_side` or `wipe` (a divider between the first
            two). A single pane is wiped between with and without its overlays. `orthogonal`: three
            planes through a volume, yx, zx and yz, that share edges, scale and crosshair.
        at: Voxel z, y, x at which the planes of the orthogonal layout cut.
        volume_shape: Size of that volume along z, y, x.
        offset_vox: Index of the voxel whose place is 0 in `unit` (orthogonal layout).
        selected: Layer and index of the sphere that is set off (orthogonal layout), or None.
        stamp: What is the same in all sections that belong together. With a stamp the browser
            keeps the sections it was sent, steps to them at once, and forgets them when it changes.
        reach: How far from the section shown others are asked for ahead (event `near`).
        near: Such sections by index, with the panes of each.
    """

    height_px: int | None = None
    pixel_size: float | None = None
    unit: Unit = "nm"
    section_index: int | None = None
    section_count: int = 1
    events: Sequence[EventKind] = ()
    layout: Literal["side_by_side", "wipe", "orthogonal"] = "side_by_side"
    at: tuple[int, int, int] = (0, 0, 0)
    volume_shape: tuple[int, int, int] = (1, 1, 1)
    offset_vox: float = 0.0
    selected: tuple[int, int] | None = None
    stamp: str = ""
    reach: int = 0
    near: Mapping[int, Sequence[Pane]] = field(default_factory=dict)


@dataclass(frozen=True)
class CanvasEvent:
    """What a person did in the canvas.

    Attributes:
        kind: `click`, `drag` (a point was moved), `delete` (the Delete key on a point), `step`
            (another section is wanted or shown), `near` (others would be good to have ahead),
            `threshold` (the slider was let go).
        pane: Index of the pane.
        y_px: Where, in index coordinates; for a drag, where it began.
        x_px: See `y_px`.
        end_y_px: Where a drag ended.
        end_x_px: See `end_y_px`.
        button: Which mouse button.
        modifiers: Those held: `shift`, `ctrl`, `alt`, `meta`.
        layer: Index of the points layer that was hit in its pane, or None.
        point_index: Index of the point that was hit, or None.
        section_index: The section on the screen, or for `step` the one asked for.
        threshold: The new threshold, for `threshold`.
        at: Voxel z, y, x of the crosshair (orthogonal layout); for `step` the one asked for.
        sections: For `near`, the sections that the browser lacks, the nearest first.
    """

    kind: EventKind
    pane: int = 0
    y_px: float = float("nan")
    x_px: float = float("nan")
    end_y_px: float = float("nan")
    end_x_px: float = float("nan")
    button: Literal["left", "middle", "right"] = "left"
    modifiers: tuple[str, ...] = ()
    layer: int | None = None
    point_index: int | None = None
    section_index: int | None = None
    threshold: float | None = None
    at: tuple[int, int, int] | None = None
    sections: tuple[int, ...] = ()

    @property
    def pixel(self) -> tuple[int, int] | None:
        """Return row and column of the pixel under the event; None if it has no place."""
        if np.isnan(self.y_px + self.x_px):
            return None
        return int(np.floor(self.y_px + 0.5)), int(np.floor(self.x_px + 0.5))
