"""What the headers of MRC and TIFF volumes say: how values lie there, and the side of a voxel."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import DataFormatError
from pipelines.text import Text

_UNITS = {
    1.0: ("", "angstrom", "angstroms", "\u00e5"),  # written small, as all are compared
    10.0: ("nanometer", "nanometre", "nm"),
    1e4: ("micrometer", "micrometre", "micron", "microns", "um", "\u00b5m", "\u03bcm"),
}
UNIT_ANGSTROM = {unit: factor for factor, units in _UNITS.items() for unit in units}
_CUBE_TOLERANCE = 0.02  # how far the sides of a voxel differ by rounding in headers

MRC_HEADER_BYTES = 1024
_MRC_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_LAST_MODE = 101  # of the format; a larger number is none, read in the wrong byte order say
_LONGEST_SIDE = 1 << 20
_IMOD_STAMP = 1146047817
_SIGNED_BYTES = 1  # bit of IMOD's flags
_LARGEST_SIGNED = 127

_OME_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_OME_SIZE = re.compile(r'\bPhysicalSize([XYZ])(Unit)?="([^"]*)"')


@dataclass(frozen=True)
class Side:
    """Hold the side of a voxel as a file states it.

    Attributes:
        angstrom: Geometric mean of the three sides; 0 where the file does not say.
        problems: What is odd about it.
    """

    angstrom: float = 0.0
    problems: tuple[Text, ...] = ()


def voxel_side(sides_angstrom: Sequence[float], *, file: str) -> Side:
    """Take z, y and x of a voxel together; sizes that are no lengths state nothing."""
    if len(sides_angstrom) < 3 or not all(0 < side < math.inf for side in sides_angstrom):
        return Side()
    mean = math.prod(sides_angstrom) ** (1 / 3)
    if max(sides_angstrom) <= min(sides_angstrom) * (1 + _CUBE_TOLERANCE):
        return Side(mean)
    z, y, x = sides_angstrom
    return Side(mean, (Text("cryoet.no_cube", file=file, z=z, y=y, x=x, mean=mean),))


# --- MRC ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MrcHeader:
    """Describe the values of an MRC file.

    Attributes:
        shape: Z, Y, X as stored, slowest first.
        dtype: Type of the values, with their byte order.
        offset: Where they begin, in bytes.
        axes: Where z, y, x stand among the stored axes.
        sides_angstrom: Of a voxel, z y x; empty where the header does not say.
    """

    shape: tuple[int, int, int]
    dtype: str
    offset: int
    axes: tuple[int, int, int]
    sides_angstrom: tuple[float, ...]


def read_mrc_header(path: Path) -> MrcHeader:
    """Read the 1024 byte header of the MRC2014 format (words of 4 bytes, either byte order).

    Raises:
        DataFormatError: Values of a kind that no tomogram has.
        ValueError: No such header, or fewer values than it says.
    """
    with path.open("rb") as file:
        head = file.read(MRC_HEADER_BYTES)
    if len(head) < MRC_HEADER_BYTES:
        raise ValueError("shorter than a header")
    order = _byte_order(head)
    nx, ny, nz, mode = struct.unpack(f"{order}4i", head[:16])
    if min(nx, ny, nz) < 1 or not 0 <= mode <= _LAST_MODE:
        raise ValueError("no MRC header that is known")
    if mode not in _MRC_MODES:
        raise DataFormatError(Text("cryoet.mrc_mode", file=path.name, mode=mode))
    columns = struct.unpack(f"{order}3i", head[64:76])  # which axis runs fastest: 1 x, 2 y, 3 z
    (extended,) = struct.unpack(f"{order}i", head[92:96])
    dtype = np.dtype("u1" if _is_unsigned(head, mode, order) else order + _MRC_MODES[mode])
    offset = MRC_HEADER_BYTES + max(0, extended)
    if path.stat().st_size < offset + nx * ny * nz * dtype.itemsize:
        raise ValueError("fewer values than the header says")
    stored = tuple(reversed(columns)) if sorted(columns) == [1, 2, 3] else (3, 2, 1)
    z, y, x = (stored.index(axis) for axis in (3, 2, 1))
    return MrcHeader((nz, ny, nx), dtype.str, offset, (z, y, x), _mrc_sides(head, order))


def _byte_order(head: bytes) -> str:
    """Believe the machine stamp; older files are read the way that gives a size and a mode."""
    if head[212:214] == b"\x11\x11":
        return ">"
    *sizes, mode = struct.unpack("<4i", head[:16])
    is_likely = 0 <= mode <= _LAST_MODE and all(0 < n <= _LONGEST_SIDE for n in sizes)
    return "<" if head[212:213] == b"\x44" or is_likely else ">"


def _is_unsigned(head: bytes, mode: int, order: str) -> bool:
    """Tell whether bytes are 0 to 255, as older programs wrote them and IMOD still says."""
    if mode != 0:
        return False
    stamp, flags = struct.unpack(f"{order}2i", head[152:160])
    (largest,) = struct.unpack(f"{order}f", head[80:84])
    if stamp == _IMOD_STAMP:
        return not flags & _SIGNED_BYTES
    return bool(largest > _LARGEST_SIGNED)


def _mrc_sides(head: bytes, order: str) -> tuple[float, ...]:
    intervals = struct.unpack(f"{order}3i", head[28:40])
    cell = struct.unpack(f"{order}3f", head[40:52])
    sides = [c / n for c, n in zip(cell, intervals, strict=True) if n > 0]
    return tuple(reversed(sides))


# --- TIFF -----------------------------------------------------------------------------------


def tiff_side(path: Path) -> Side:
    """Read the voxel size that ImageJ or OME wrote into the description."""
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as file:
        notes, ome = file.imagej_metadata or {}, file.ome_metadata or ""
    sides = _ome_sides(ome) if ome else _imagej_sides(notes)
    return voxel_side(sides, file=path.name)


def _imagej_sides(notes: dict[str, Any]) -> list[float]:
    """Take the distance of the sections, in the unit of the picture."""
    unit = str(notes.get("unit", "")).replace("\\u00B5", "\u00b5").lower()
    spacing = float(notes.get("spacing", 0.0)) * (UNIT_ANGSTROM.get(unit, 0.0) if unit else 0.0)
    return [spacing] * 3


def _ome_sides(ome: str) -> list[float]:
    """Read z, y, x of the first picture; OME's own unit is the micrometer."""
    found = _OME_PIXELS.search(ome)
    sizes: dict[str, str] = {}
    units = dict.fromkeys("ZYX", "um")
    for axis, is_unit, value in _OME_SIZE.findall(found[0] if found else ""):
        (units if is_unit else sizes)[axis] = value
    if len(sizes) < 3:
        return []
    return [float(sizes[a]) * UNIT_ANGSTROM.get(units[a].lower(), 0.0) for a in "ZYX"]
