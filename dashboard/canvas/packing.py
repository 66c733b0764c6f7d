"""From panes to what travels to the browser: a small JSON tree, and raw pixels named by content.

The tree never holds pixels. Each array is handed to `store`, which keeps the bytes and returns the
address under which the browser fetches them, so an array that did not change is not sent again.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dashboard.canvas.layers import (
    CompareLayer,
    Frames,
    ImageLayer,
    LabelsLayer,
    Layer,
    LinesLayer,
    MaskLayer,
    Options,
    Pane,
    Pixels,
    PointsLayer,
    ScalarLayer,
    SpheresLayer,
    ThresholdLayer,
)
from pipelines.errors import DataFormatError
from pipelines.text import Language, Text, render

Json = dict[str, Any]  # plain JSON values
Store = Callable[[bytes, str, str], str]  # (pixels, content id, place in the picture) -> address
MAX_PANES: Final = 4
_NEAR_PLACES: Final = 64  # sections ahead whose pixels the server keeps for the browser at a time

_TYPES: Final = {"uint8": "u1", "uint16": "u2", "int32": "i4", "float32": "f4"}


@dataclass(frozen=True)
class Packer:
    """Turn layers into JSON, storing their pixels on the way.

    Attributes:
        store: Keeps bytes and returns the address to fetch them from.
        language: Of the names.
    """

    store: Store
    language: Language
    # One array often stands in several panes. Its address is kept beside the array itself, so
    # that the id of a freed array cannot be taken for it.
    _kept: dict[int, tuple[Pixels, str]] = field(default_factory=dict)

    def frames(self, pixels: Frames, place: str, prepare: Callable[[Pixels], Pixels]) -> Json:
        """Store each section of `pixels` and describe them: addresses, number type, shape."""
        arrays = [prepare(array) for array in _as_list(pixels)]
        first = _check_alike(arrays)
        indices = list(pixels) if isinstance(pixels, Mapping) else range(len(arrays))
        kept = {i: self.keep(a, f"{place}.{i}") for i, a in zip(indices, arrays, strict=True)}
        urls = kept if isinstance(pixels, Mapping) else list(kept.values())
        return {"urls": urls, "type": _TYPES[first.dtype.name], "shape": list(first.shape)}

    def keep(self, array: Pixels, place: str) -> str:
        """Store one array and return its address."""
        if id(array) not in self._kept:
            data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
            content_id = hashlib.blake2b(data, digest_size=16).hexdigest()
            self._kept[id(array)] = array, self.store(data, content_id, place)
        return self._kept[id(array)][1]

    def words(self, text: Text | None) -> str:
        """Return `text` in the language of the page."""
        return "" if text is None else render(text, self.language)


def pack(panes: Sequence[Pane], options: Options, packer: Packer) -> Json:
    """Describe everything that is shown, and the sections near it, as JSON.

    Raises:
        DataFormatError: Panes or layers do not fit together, or an array cannot be shown.
    """
    if not 1 <= len(panes) <= MAX_PANES:
        raise DataFormatError(Text("canvas.error_panes", n=len(panes), allowed=MAX_PANES))
    _check_options(options)
    packed = [_pack_pane(pane, f"{i}", packer) for i, pane in enumerate(panes)]
    _check_stacks(packed, options)
    others = {
        str(index): [
            _pack_pane(pane, f"near{index % _NEAR_PLACES}.{i}", packer)
            for i, pane in enumerate(section)
        ]
        for index, section in options.near.items()
    }
    return {"panes": packed, "near": others, "options": _pack_options(options)}


def _pack_pane(pane: Pane, place: str, packer: Packer) -> Json:
    layers = [_pack_named(lay, f"{place}.{i}", packer) for i, lay in enumerate(pane.layers)]
    shapes = {
        tuple(layer[field]["shape"][:2])
        for layer in layers
        for field in ("pixels", "truth")
        if field in layer
    }
    if len(shapes) != 1:
        got = sorted(" × ".join(map(str, shape)) for shape in shapes)
        raise DataFormatError(Text("canvas.error_layer_sizes", n=len(shapes), got=got))
    title = packer.words(pane.title)
    return {
        "title": title,
        "layers": layers,
        "size": list(shapes.pop()),
        "axes": list(pane.axes),
    }


def _pack_named(layer: Layer, place: str, packer: Packer) -> Json:
    if not 0 <= layer.opacity <= 1:
        raise DataFormatError(Text("canvas.error_opacity", got=layer.opacity))
    common = {
        "name": packer.words(layer.name),
        "opacity": layer.opacity,
        "visible": layer.visible,
    }
    return common | _pack_layer(layer, place, packer)


@functools.singledispatch
def _pack_layer(layer: Layer, place: str, packer: Packer) -> Json:
    raise TypeError(f"no layer of the canvas: {type(layer).__name__}")


@_pack_layer.register
def _(layer: ImageLayer, place: str, packer: Packer) -> Json:
    pixels = packer.frames(layer.pixels, place, _image)
    window = None if layer.window is None else [float(v) for v in layer.window]
    return {"kind": "image", "pixels": pixels, "window": window}


@_pack_layer.register
def _(layer: MaskLayer, place: str, packer: Packer) -> Json:
    pixels = packer.frames(layer.pixels, place, _mask)
    return {"kind": "mask", "pixels": pixels, "colour": layer.colour, "style": layer.style}


@_pack_layer.register
def _(layer: LabelsLayer, place: str, packer: Packer) -> Json:
    pixels = packer.frames(layer.pixels, place, _labels)
    return {"kind": "labels", "pixels": pixels, "outlined": layer.is_outlined}


@_pack_layer.register
def _(layer: ScalarLayer, place: str, packer: Packer) -> Json:
    pixels = packer.frames(layer.pixels, place, _numbers)
    found = {"low": layer.low, "high": layer.high}
    return {"kind": "scalar", "pixels": pixels, "colormap": layer.colormap} | found


@_pack_layer.register
def _(layer: ThresholdLayer, place: str, packer: Packer) -> Json:
    return {
        "kind": "threshold",
        "pixels": packer.frames(layer.pixels, place, _probability),
        "threshold": _threshold(layer.threshold),
        "side": layer.side,
        "colour": layer.colour,
        "style": layer.style,
    }


@_pack_layer.register
def _(layer: CompareLayer, place: str, packer: Packer) -> Json:
    return {
        "kind": "compare",
        "pixels": packer.frames(layer.pixels, place, _probability),
        "truth": packer.frames(layer.truth, f"{place}.truth", _mask),
        "threshold": _threshold(layer.threshold),
        "side": layer.side,
    }


@_pack_layer.register
def _(layer: PointsLayer, place: str, packer: Packer) -> Json:
    arrays = [_points(array) for array in _as_list(layer.centres_px)]
    longest = max((len(array) for array in arrays), default=0)
    for name, values in (
        ("colours", layer.colours),
        ("styles", layer.styles),
        ("radius_px", layer.radius_px),
    ):
        if not isinstance(values, (str, float, int)) and len(values) < longest:
            raise DataFormatError(
                Text("canvas.error_points_fields", field=name, got=len(values), n=longest)
            )
    return {
        "kind": "points",
        "centres": [np.round(array, 3).tolist() for array in arrays],
        "radius": _radius(layer.radius_px),
        "colours": layer.colours if isinstance(layer.colours, str) else list(layer.colours),
        "styles": layer.styles if isinstance(layer.styles, str) else list(layer.styles),
        "labels": list(layer.labels),
        "editable": layer.is_editable,
    }


def _radius(radius: float | Sequence[float]) -> float | list[float]:
    values = np.round(np.asarray(radius, np.float64), 2)
    return float(values) if values.ndim == 0 else [float(v) for v in values]


@_pack_layer.register
def _(layer: SpheresLayer, place: str, packer: Packer) -> Json:
    """Pack `(N, 5)` float32: z, y, x, radius, look; thousands of rows stay out of the JSON."""
    table = np.empty((len(layer.centres_vox), 5), np.float32)
    table[:, :3] = np.asarray(layer.centres_vox, np.float64).reshape(-1, 3)
    table[:, 3], table[:, 4] = layer.radii_vox, layer.looks
    if not np.isfinite(table).all():
        raise DataFormatError(Text("canvas.error_points", got=" × ".join(map(str, table.shape))))
    return {
        "kind": "spheres",
        "spheres": packer.keep(table, place) if len(table) else None,
        "palette": [vars(look) for look in layer.palette],
        "editable": layer.is_editable,
    }


@_pack_layer.register
def _(layer: LinesLayer, place: str, packer: Packer) -> Json:
    lines = [np.round(_points(line), 2).tolist() for line in layer.lines_px]
    return {"kind": "lines", "lines": lines, "colour": layer.colour, "width": layer.width_px}


def _pack_options(options: Options) -> Json:
    return {
        "height": options.height_px,
        "pixelSize": options.pixel_size,
        "unit": options.unit,
        "section": options.section_index,
        "sections": options.section_count,
        "events": list(options.events),
        "layout": options.layout,
        "at": list(options.at),
        "shape": list(options.volume_shape),
        "offset": options.offset_vox,
        "stamp": options.stamp,
        "reach": options.reach,
        "selected": options.selected
        and dict(zip(("layer", "index"), options.selected, strict=True)),
    }


def _check_options(options: Options) -> None:
    size = options.pixel_size
    if size is not None and not (math.isfinite(size) and size > 0):
        raise DataFormatError(Text("canvas.error_pixel_size", got=size))
    index, count = options.section_index, options.section_count
    if index is not None and not 0 <= index < count:
        raise DataFormatError(Text("canvas.error_section", got=index, n=count))


def _check_stacks(panes: Sequence[Json], options: Options) -> None:
    lengths = {
        len(layer[field]["urls"])
        for pane in panes
        for layer in pane["layers"]
        for field in ("pixels", "truth")
        if field in layer and isinstance(layer[field]["urls"], list)
    }
    if lengths - {1, options.section_count}:
        got = sorted(lengths - {1})
        raise DataFormatError(Text("canvas.error_stacks", got=got, n=options.section_count))


def _as_list(frames: Frames) -> list[Pixels]:
    if isinstance(frames, np.ndarray):
        return [frames]
    arrays = frames.values() if isinstance(frames, Mapping) else frames
    return [np.asarray(f) for f in arrays]


def _check_alike(arrays: Sequence[Pixels]) -> Pixels:
    if not arrays or arrays[0].size == 0:
        raise DataFormatError(Text("canvas.error_empty"))
    first = arrays[0]
    if any(a.shape != first.shape or a.dtype != first.dtype for a in arrays):
        raise DataFormatError(Text("canvas.error_frames_differ"))
    return first


def _image(pixels: Pixels) -> Pixels:
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8:
        return pixels
    return _numbers(pixels)


def _numbers(pixels: Pixels) -> Pixels:
    """Return `(Y, X)` uint8, uint16 or float32 of the same values."""
    pixels = _flat(pixels)
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind in "iuf":
        return pixels.astype(np.float32, copy=False)
    raise _type_error(pixels)


def _mask(pixels: Pixels) -> Pixels:
    pixels = _flat(pixels)
    if pixels.dtype.kind not in "biu":
        raise _type_error(pixels)
    region: Pixels = (pixels != 0).view(np.uint8)
    return region


def _labels(pixels: Pixels) -> Pixels:
    pixels = _flat(pixels)
    if pixels.dtype.kind not in "biu" or int(pixels.max(initial=0)) > np.iinfo(np.int32).max:
        raise _type_error(pixels)
    return pixels.astype(np.int32, copy=False)


def _probability(pixels: Pixels) -> Pixels:
    """Return `(Y, X)` uint8 or float32; values are not searched for strays, to stay fast."""
    pixels = _flat(pixels)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    raise _type_error(pixels)


def _flat(pixels: Pixels) -> Pixels:
    if pixels.ndim != 2:
        raise DataFormatError(Text("canvas.error_shape", got=" × ".join(map(str, pixels.shape))))
    return pixels


def _points(points: Pixels) -> NDArray[np.float64]:
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        raise DataFormatError(Text("canvas.error_points", got=" × ".join(map(str, array.shape))))
    return array


def _threshold(value: float) -> float:
    if not 0 <= value <= 1:
        raise DataFormatError(Text("canvas.error_threshold", got=value))
    return float(value)


def _type_error(pixels: Pixels) -> DataFormatError:
    return DataFormatError(Text("canvas.error_type", got=str(pixels.dtype)))
