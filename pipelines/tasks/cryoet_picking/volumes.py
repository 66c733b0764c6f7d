"""Tomograms as lazy volumes: OME-Zarr 2 and 3, MRC, TIFF and NPY behind one interface.

Axes are always z, y, x. A Zarr is read chunk by chunk, MRC and NPY are mapped from disk; nothing
is in memory before a part of it is asked for, and `normalised` holds it once, as float16. In a zip
a Zarr is read where it lies; any other volume is unpacked to a temporary file that ends with the
process, since there is no mapping of packed bytes.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.core.files import disk_errors
from pipelines.core.images_files import zlib_errors
from pipelines.core.images_streams import check_streams
from pipelines.core.images_tiff import check_page_bytes
from pipelines.errors import DataFormatError, DatasetNotFoundError, PipelineError
from pipelines.tasks.cryoet_picking.headers import (
    MRC_HEADER_BYTES,
    UNIT_ANGSTROM,
    Side,
    read_mrc_header,
    tiff_side,
    voxel_side,
)
from pipelines.text import Text

Format = Literal["zarr", "mrc", "tiff", "npy"]
SUFFIXES: dict[str, Format] = {
    ".mrc": "mrc",
    ".rec": "mrc",
    ".map": "mrc",
    ".st": "mrc",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".npy": "npy",
}
_MOST_VOXELS = 20_000_000_000  # 270 of the challenge's tomograms
_MOST_CHUNK_BYTES = 2_000_000_000
_MOST_RATIO = 200  # what a tomogram packs to; a zip that unpacks to more is no tomogram
_HARMLESS_BYTES = 64_000_000
_DAMAGE: tuple[type[Exception], ...] = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, RuntimeError,
    MemoryError, ArithmeticError, SyntaxError, AssertionError, tokenize.TokenError, struct.error,
    zipfile.BadZipFile, zlib.error, SystemError, *zlib_errors(),  # codecs raise the last two
)  # fmt: skip


@dataclass(frozen=True)
class Level:
    """Describe one resolution of a volume.

    Attributes:
        path: Path of the array inside the Zarr, "" elsewhere.
        shape: Z, Y, X.
        spacing_angstrom: Side of a voxel, 0 where the file does not say.
    """

    path: str
    shape: tuple[int, int, int]
    spacing_angstrom: float


@dataclass(frozen=True)
class Volume:
    """Read a tomogram piece by piece; indexing takes slices and numbers along z, y, x.

    Attributes:
        path: File, Zarr folder, or the zip that holds the volume.
        member: Name of the volume inside a zip, or "".
        format: How it is read.
        dtype: Type of the values on disk.
        levels: Resolutions, full size first.
        axes: Where z, y, x stand among the axes of the file.
        fixed: Axes of length one in front (time, channel), by number.
        problems: What is odd about it, as texts.
        side_problems: What is odd about the voxel spacing that it states.
    """

    path: Path
    member: str
    format: Format
    dtype: str
    levels: tuple[Level, ...]
    axes: tuple[int, int, int] = (0, 1, 2)
    num_axes: int = 3
    problems: tuple[Text, ...] = ()
    side_problems: tuple[Text, ...] = ()

    @property
    def name(self) -> str:
        """Name that people see."""
        return Path(self.member or self.path).name

    @property
    def shape(self) -> tuple[int, int, int]:
        """Z, Y, X of the full size."""
        return self.levels[0].shape

    @property
    def ndim(self) -> int:
        """Number of axes, always three."""
        return 3

    @property
    def spacing_angstrom(self) -> float:
        """Side of a voxel in angstrom, 0 where the file does not say."""
        return self.levels[0].spacing_angstrom

    @property
    def num_bytes(self) -> int:
        """Size of the full volume, unpacked."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:  # any basic index of numpy
        return self.read(index)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self.read(...), dtype=dtype)

    def read(self, index: Any, level: int = 0) -> NDArray[Any]:
        """Read a part.

        Args:
            index: Slices or numbers along z, y, x, or an ellipsis for everything.
            level: Resolution, 0 is the full size.

        Returns:
            The values as they stand in the file.

        Raises:
            DataFormatError: The file is damaged there.
        """
        wanted = [index] if not isinstance(index, tuple) else list(index)
        if any(i is Ellipsis for i in wanted):
            wanted = [i for i in wanted if i is not Ellipsis]
        wanted += [slice(None)] * (3 - len(wanted))
        array = _open_array(self.path, self.member, self.format, self.levels[level].path)
        at = [0] * self.num_axes
        for axis, part in zip(self.axes, wanted, strict=True):
            at[axis] = part
        try:
            found = np.asarray(array[tuple(at)])
        except _DAMAGE as error:
            raise DataFormatError(Text("cryoet.damaged_volume", file=self.name)) from error
        kept = [a for a, part in zip(self.axes, wanted, strict=True) if isinstance(part, slice)]
        return np.transpose(found, [sorted(kept).index(a) for a in kept])


def open_volume(path: Path, member: str = "") -> Volume:
    """Open a tomogram; only headers are read.

    Raises:
        DatasetNotFoundError: Nothing stands there.
        DataFormatError: No format that is read, a broken file, or not three-dimensional.
    """
    if not path.exists():
        raise DatasetNotFoundError(Text("cryoet.not_there", path=str(path)))
    name = Path(member or path)
    if path.is_dir() or name.suffix.lower() == ".zarr":
        return _describe_zarr(path, member)
    format = SUFFIXES.get(name.suffix.lower())
    if format is None:
        known = ", ".join(sorted({".zarr", *SUFFIXES}))
        raise DataFormatError(Text("cryoet.unknown_format", file=name.name, known=known))
    array = _open_array(path, member, format, "")
    _check_values(array, name.name)
    if array.ndim != 3 or min(array.shape) < 4:
        raise DataFormatError(
            Text("cryoet.not_3d", file=name.name, shape=" x ".join(map(str, array.shape)))
        )
    Z, Y, X = (int(n) for n in array.shape)
    side = _file_side(_plain_file(path, member), format)
    level = Level("", (Z, Y, X), side.angstrom)
    return Volume(path, member, format, str(array.dtype), (level,), side_problems=side.problems)


def _check_values(array: Any, name: str) -> None:
    """Refuse complex numbers, words, records and objects, and more than can be meant."""
    if np.dtype(array.dtype).kind not in "iufb":
        raise DataFormatError(Text("cryoet.no_grey_values", file=name, dtype=str(array.dtype)))
    if math.prod(array.shape) > _MOST_VOXELS:
        shape = " x ".join(map(str, array.shape))
        raise DataFormatError(Text("cryoet.too_large", file=name, shape=shape))


def _plain_file(path: Path, member: str) -> Path:
    """Return the file itself, or what was unpacked of a zip."""
    if not member:
        return path
    return _unpacked(path, member, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _unpacked(archive: Path, member: str, stamp: int) -> Path:
    """Unpack one file of a zip, once a process; `stamp` tells a replaced zip from the former."""
    folder = Path(tempfile.mkdtemp(dir=_scratch().name))
    target = folder / PurePosixPath(member).name
    try:
        with zipfile.ZipFile(archive) as file:
            _refuse_bomb(archive, file.getinfo(member))
            with file.open(member) as source, disk_errors(target), target.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
    except PipelineError:
        raise
    except _DAMAGE as error:
        name = PurePosixPath(member).name
        raise DataFormatError(Text("cryoet.damaged_volume", file=name)) from error
    return target


def _refuse_bomb(archive: Path, info: zipfile.ZipInfo) -> None:
    if _is_bomb(info.file_size, info.compress_size):
        ratio = round(info.file_size / max(info.compress_size, 1))
        raise DataFormatError(
            Text("images.zip_bomb", file=archive.name, member=info.filename, ratio=ratio)
        )


def _is_bomb(num_bytes: int, num_packed: int) -> bool:
    return num_bytes > max(_HARMLESS_BYTES, _MOST_RATIO * num_packed)


@functools.lru_cache(maxsize=1)
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tomograms-")


def _file_side(path: Path, format: Format) -> Side:
    if format == "mrc":
        return voxel_side(read_mrc_header(path).sides_angstrom, file=path.name)
    return tiff_side(path) if format == "tiff" else Side()


@functools.lru_cache(maxsize=16)
def _open_array(path: Path, member: str, format: Format, level: str) -> Any:
    """Open the array-like behind a volume; it is kept open for the next slice."""
    try:
        if format == "zarr":
            return _open_zarr(path, member)[level] if level else _open_zarr(path, member)
        plain = _plain_file(path, member)
        if format == "mrc":
            return _map_mrc(plain)
        if format == "npy":
            return np.load(plain, mmap_mode="r", allow_pickle=False)
        return _read_tiff(plain)
    except PipelineError:
        raise
    except _DAMAGE as error:
        raise DataFormatError(Text("cryoet.damaged_volume", file=member or path.name)) from error


def forget_opened() -> None:
    """Close the arrays that are kept open (before a folder is removed or replaced)."""
    _open_array.cache_clear()


# --- Zarr -----------------------------------------------------------------------------------


def _open_zarr(path: Path, member: str) -> Any:
    import zarr
    from zarr.storage import ZipStore

    if not member:
        return zarr.open(str(path), mode="r")
    return zarr.open(ZipStore(path, mode="r"), path=member, mode="r")


def _describe_zarr(path: Path, member: str) -> Volume:
    import zarr

    name = Path(member or path).name
    try:
        node = _open_zarr(path, member)
        if isinstance(node, zarr.Array):
            return _describe_bare_array(path, member, node)
        attributes = dict(node.attrs)
        scales = attributes.get("ome", attributes).get("multiscales")
        if not scales:
            raise DataFormatError(Text("cryoet.no_multiscales", file=name))
        return _describe_multiscale(path, member, node, scales[0])
    except PipelineError:
        raise
    except _DAMAGE as error:  # its metadata may say anything
        raise DataFormatError(Text("cryoet.damaged_volume", file=name)) from error


def _describe_bare_array(path: Path, member: str, array: Any) -> Volume:
    name = Path(member or path).name
    if array.ndim != 3:
        raise DataFormatError(
            Text("cryoet.not_3d", file=name, shape=" x ".join(map(str, array.shape)))
        )
    _check_array(array, name)
    Z, Y, X = array.shape
    return Volume(path, member, "zarr", str(array.dtype), (Level("", (Z, Y, X), 0.0),))


def _describe_multiscale(path: Path, member: str, node: Any, scale: dict[str, Any]) -> Volume:
    name = Path(member or path).name
    places, unit = _axes(scale, name)
    levels: list[Level] = []
    problems: list[Text] = []
    sides: list[Side] = []
    full: Any = None
    for entry in scale.get("datasets", []):
        key = str(entry.get("path", ""))
        if key not in node:
            if full is None:
                raise DataFormatError(Text("cryoet.full_level_missing", file=name, level=key))
            problems.append(Text("cryoet.level_missing", file=name, level=key))
            continue
        array = node[key]
        _check_array(array, name)
        full = array if full is None else full
        _check_axes(array.shape, places, name)
        Z, Y, X = (int(array.shape[a]) for a in places)
        sides.append(_side_of(entry, scale, places, unit, name))
        levels.append(Level(key, (Z, Y, X), sides[-1].angstrom))
    if full is None:
        raise DataFormatError(Text("cryoet.no_multiscales", file=name))
    problems.extend(_missing_chunks(full, name))
    return Volume(
        path, member, "zarr", str(full.dtype), tuple(levels), places, full.ndim, tuple(problems),
        sides[0].problems,
    )  # fmt: skip


def _check_array(array: Any, name: str) -> None:
    """Refuse what would run code, or fill the memory, when its first chunk is read."""
    if "pickle" in json.dumps(array.metadata.to_dict(), default=str):
        raise DataFormatError(Text("cryoet.holds_code", file=name))
    _check_values(array, name)
    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    if size > _MOST_CHUNK_BYTES:
        raise DataFormatError(
            Text("cryoet.chunk_too_large", file=name, size=size, limit=_MOST_CHUNK_BYTES)
        )


def _axes(scale: dict[str, Any], name: str) -> tuple[tuple[int, int, int], str]:
    """Find z, y, x among the axes, and the unit; early files list bare names."""
    listed = scale.get("axes") or ["z", "y", "x"]
    entries = [a if isinstance(a, dict) else {"name": a} for a in listed]
    found = [str(a.get("name", "")).lower() for a in entries]
    if not {"z", "y", "x"} <= set(found):
        raise DataFormatError(Text("cryoet.axes", file=name, axes=", ".join(found)))
    z, y, x = (found.index(axis) for axis in "zyx")
    return (z, y, x), str(entries[z].get("unit") or "")


def _check_axes(shape: tuple[int, ...], places: tuple[int, int, int], name: str) -> None:
    others = [n for axis, n in enumerate(shape) if axis not in places]
    if len(shape) < 3 or any(n != 1 for n in others):
        raise DataFormatError(Text("cryoet.not_3d", file=name, shape=" x ".join(map(str, shape))))


def _side_of(
    entry: dict[str, Any], scale: dict[str, Any], places: tuple[int, int, int], unit: str, name: str
) -> Side:
    """Multiply the scales of a level and of the whole."""
    sides = np.ones(3)
    is_known = False
    for holder in (entry, scale):
        for step in holder.get("coordinateTransformations") or []:
            if step.get("type") == "scale":
                sides *= np.array([float(step["scale"][a]) for a in places])
                is_known = True
    factor = UNIT_ANGSTROM.get(unit.lower())
    if factor is None:
        return Side(0.0, (Text("cryoet.unit", file=name, unit=unit),))
    return voxel_side((sides * factor).tolist(), file=name) if is_known else Side()


def _missing_chunks(array: Any, name: str) -> list[Text]:
    try:
        missing = int(array.nchunks) - int(array.nchunks_initialized)
    except (AttributeError, NotImplementedError, OSError, ValueError):  # a store that cannot list
        return []
    if missing <= 0:
        return []
    return [Text("cryoet.chunks_missing", file=name, n=missing, total=int(array.nchunks))]


def write_zarr(
    path: Path,
    volume: NDArray[np.float32],
    *,
    spacing_angstrom: float,
    zarr_format: Literal[2, 3] = 2,
    num_levels: int = 3,
) -> None:
    """Write an OME-Zarr as the challenge releases them: float32, mean-pooled levels, zstd.

    Args:
        path: Folder ending in `.zarr`; must not exist.
        volume: `(Z, Y, X)` float32.
        spacing_angstrom: Side of a voxel.
        zarr_format: 2 (OME-Zarr 0.4, as released) or 3 (OME-Zarr 0.5).
        num_levels: Resolutions, each half of the former.
    """
    import zarr

    group = zarr.open_group(str(path), mode="w-", zarr_format=zarr_format)
    datasets = []
    for level in range(num_levels):
        _write_level(group, str(level), volume, zarr_format)
        side = spacing_angstrom * 2**level
        transform = {"type": "scale", "scale": [side] * 3}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
        volume = _halve(volume)
    axes = [{"name": a, "type": "space", "unit": "angstrom"} for a in "zyx"]
    scale: dict[str, Any] = {"name": "/", "axes": axes, "datasets": datasets}
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **scale}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [scale]}


def _write_level(
    group: Any, name: str, volume: NDArray[np.float32], zarr_format: Literal[2, 3]
) -> None:
    chunks = tuple(min(c, n) for c, n in zip((64, 128, 128), volume.shape, strict=True))
    encoding = {"name": "v2", "separator": "/"} if zarr_format == 2 else None
    array = group.create_array(
        name, shape=volume.shape, chunks=chunks, dtype="float32", chunk_key_encoding=encoding
    )  # zarr's own compression: zstd in both formats
    array[...] = volume


def _halve(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    Z, Y, X = (n - n % 2 for n in volume.shape)
    if min(Z, Y, X) < 2:
        return volume
    parts = volume[:Z, :Y, :X].reshape(Z // 2, 2, Y // 2, 2, X // 2, 2)
    halved: NDArray[np.float32] = parts.mean((1, 3, 5), dtype=np.float32)
    return halved


# --- MRC ------------------------------------------------------------------------------------


def _map_mrc(path: Path) -> NDArray[Any]:
    head = read_mrc_header(path)
    mapped = np.memmap(path, head.dtype, "r", head.offset, head.shape)
    return np.transpose(mapped, head.axes)


def write_mrc(path: Path, volume: NDArray[np.float32], *, spacing_angstrom: float) -> None:
    """Write a float32 MRC2014 file; `volume` is `(Z, Y, X)`."""
    Z, Y, X = volume.shape
    cell = [n * spacing_angstrom for n in (X, Y, Z)]
    head = bytearray(MRC_HEADER_BYTES)
    struct.pack_into("<4i", head, 0, X, Y, Z, 2)
    struct.pack_into("<3i3f3f3i", head, 28, X, Y, Z, *cell, 90.0, 90.0, 90.0, 1, 2, 3)
    low, high, mean = float(volume.min()), float(volume.max()), float(volume.mean())
    struct.pack_into("<3fi", head, 76, low, high, mean, 1)
    head[208:216] = b"MAP \x44\x44\x00\x00"
    with path.open("wb") as file:
        file.write(head)
        file.write(np.ascontiguousarray(volume, "<f4").tobytes())


# --- TIFF -----------------------------------------------------------------------------------


def _read_tiff(path: Path) -> NDArray[Any]:
    import tifffile

    # OME names further files that belong to it; they are not read, since they may be anybody's
    with suppress(ValueError):  # raised where values are compressed, or pages lie apart
        return np.asarray(tifffile.memmap(path, mode="r", _multifile=False))
    with tifffile.TiffFile(path, _multifile=False) as file:
        series = file.series[0]
        num_bytes = path.stat().st_size
        if _is_bomb(series.nbytes, num_bytes):
            raise DataFormatError(Text("cryoet.damaged_volume", file=path.name))
        for page in file.pages:
            check_page_bytes(page, path.name, num_bytes, _MOST_CHUNK_BYTES)
            check_streams(page, file.filehandle, path.name)
        return np.asarray(series.asarray())


# --- in memory --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normalisation:
    """Hold what makes a tomogram zero-mean and of unit spread; outliers (gold) are cut.

    Attributes:
        mean: Mean of the values between the 1st and 99th percentile.
        std: Standard deviation of the same.
    """

    mean: float
    std: float


CLIP_STD = 5.0  # gold beads stand at 20 and more; particles stay within 4


def measure_normalisation(volume: Any) -> Normalisation:
    """Estimate mean and spread from at most 24 sections.

    Args:
        volume: A `Volume` or `(Z, Y, X)` array.

    Raises:
        DataFormatError: The volume holds NaN, infinity or one value only.
    """
    depth = volume.shape[0]
    indices = np.unique(np.linspace(0, depth - 1, min(24, depth)).astype(int))
    low, high = int(indices[0]), int(indices[-1]) + 1
    if high - low <= 64:
        values = np.asarray(volume[low:high])[indices - low]
    else:
        values = np.stack([np.asarray(volume[int(z)]) for z in indices])
    values = values.astype(np.float32).ravel()
    if not np.isfinite(values).all():
        raise DataFormatError(Text("cryoet.not_finite", file=getattr(volume, "name", "?")))
    first, last = np.percentile(values[:: max(1, values.size // 2_000_000)], [1, 99])
    inner = values[(values >= first) & (values <= last)].astype(np.float64)
    if not inner.std() > 0:
        raise DataFormatError(Text("cryoet.constant", file=getattr(volume, "name", "?")))
    return Normalisation(float(inner.mean()), float(inner.std()))


def normalised(volume: Any, *, slab: int = 64) -> NDArray[np.float16]:
    """Read a tomogram once, in slabs, as float16 of zero mean and unit spread.

    Args:
        volume: A `Volume` or `(Z, Y, X)` array.
        slab: Sections read together (the depth of a chunk), so that the tomogram is never in
            memory twice: at full size 146 MB of float16 and 101 MB of one slab.

    Returns:
        `(Z, Y, X)` float16 within -5 and 5.

    Raises:
        DataFormatError: The volume holds NaN, infinity or one value only.
    """
    scale = measure_normalisation(volume)
    result = np.empty(volume.shape, np.float16)
    for start in range(0, volume.shape[0], slab):
        part = np.asarray(volume[start : start + slab]).astype(np.float32)
        if not np.isfinite(part).all():
            raise DataFormatError(Text("cryoet.not_finite", file=getattr(volume, "name", "?")))
        part -= scale.mean
        part /= scale.std
        result[start : start + slab] = np.clip(part, -CLIP_STD, CLIP_STD, out=part)
    return result
