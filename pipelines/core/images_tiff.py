"""Read TIFF and BigTIFF stacks section by section, believing no header before it is checked.

Uncompressed sections are read straight from their place in the file, so that opening a stack of
any size costs nothing. They are read, not memory-mapped: when a mapped file is cut short by
somebody else the whole process dies of SIGBUS, while a read only comes back short.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.images_pictures import Header
from pipelines.core.images_streams import check_streams
from pipelines.errors import DataFormatError
from pipelines.text import Text

Array = NDArray[Any]

TIFF_STARTS: Final = (b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b")
_MAX_PAGES: Final = 100_000
# Deflate packs at most 1032 to 1; more is possible with zstd and LZW for an empty section, so
# sections that are small anyway are not asked.
_MAX_RATIO: Final = 1100
_ALWAYS_ALLOWED_BYTES: Final = 256_000_000
# What parsing a damaged TIFF raises in tifffile and in its codecs; there is no common base class.
_DAMAGE: Final = (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, EOFError,
                  OverflowError, MemoryError, RuntimeError, ZeroDivisionError, struct.error,
                  AssertionError)  # fmt: skip
_NM_PER: Final = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "microns": 1e3,
                  "mm": 1e6, "cm": 1e7, "m": 1e9, "inch": 2.54e7, "in": 2.54e7, "pm": 1e-3,
                  "Å": 0.1, "å": 0.1, "angstrom": 0.1, "a": 0.1}  # fmt: skip


@dataclass(frozen=True)
class TiffLayout:
    """Hold where the sections of a TIFF lie.

    Attributes:
        header: What the file declares.
        pages: Page number of each section, for sections that must be decoded.
        offsets: Byte offset of each section when all are plain bytes in the file, else empty.
        stored_dtype: Type of a value as stored, with its byte order.
        is_inverted: Whether 0 stands for white.
        is_planar: Whether the channels of a page lie behind one another.
        is_stacked: Whether the planes of the only page are the sections.
    """

    header: Header
    pages: tuple[int, ...]
    offsets: tuple[int, ...]
    stored_dtype: np.dtype[Any]
    is_inverted: bool
    is_planar: bool
    is_stacked: bool = False


def read_layout(file: IO[bytes], label: str, num_bytes: int, max_section_bytes: int) -> TiffLayout:
    """Read and check every header of a TIFF; no pixel is read or allocated.

    Args:
        file: Seekable, open for reading.
        label: Name for messages.
        num_bytes: Size of the file.
        max_section_bytes: Largest decoded section allowed.

    Raises:
        DataFormatError: It is no whole TIFF of equal grey or colour sections.
    """
    from tifffile import TiffFile

    _check_chain(file, label, num_bytes)
    file.seek(0)
    try:
        with TiffFile(file, name=label, _multifile=False) as tiff:
            return _layout(tiff, label, num_bytes, max_section_bytes)
    except DataFormatError:
        raise
    except _DAMAGE as error:
        raise DataFormatError(Text("images.damaged", file=label)) from error


class PageDecoder:
    """Decode pages of one open TIFF; the caller lets in one thread at a time."""

    def __init__(self, file: IO[bytes], label: str) -> None:
        self._file = file
        self._label = label
        self._tiff: Any = None  # tifffile's own class, opened at the first page

    def decode(self, page_index: int) -> Array:
        """Decode one page as it is stored.

        Raises:
            DataFormatError: The pixels are damaged.
        """
        from tifffile import TiffFile

        try:
            if self._tiff is None:
                self._file.seek(0)
                self._tiff = TiffFile(self._file, name=self._label, _multifile=False)
            return np.asarray(self._tiff.pages[page_index].asarray(maxworkers=1))
        except _DAMAGE as error:
            raise DataFormatError(Text("images.truncated", file=self._label)) from error


def read_plain(source: Path | IO[bytes], layout: TiffLayout, index: int, label: str) -> Array:
    """Read an uncompressed section from its place in the file.

    Raises:
        DataFormatError: The file has become shorter than its header says.
    """
    header = layout.header
    count = header.height * header.width * header.num_channels
    try:
        if isinstance(source, Path):
            flat = np.fromfile(source, layout.stored_dtype, count, offset=layout.offsets[index])
        else:
            source.seek(layout.offsets[index])
            flat = np.frombuffer(
                source.read(count * layout.stored_dtype.itemsize), layout.stored_dtype
            )
    except (OSError, ValueError) as error:
        raise DataFormatError(Text("images.truncated", file=label)) from error
    if flat.size != count:
        raise DataFormatError(Text("images.truncated", file=label))
    return flat.reshape(_stored_shape(layout)).astype(header.dtype, copy=False)


def plane_of(pixels: Array, layout: TiffLayout, index: int) -> Array:
    """Return the pixels of section `index` of a decoded page, which may hold all sections."""
    if not layout.is_stacked:
        return pixels
    shape = (layout.header.num_sections, *_stored_shape(layout))
    section: Array = pixels.reshape(shape)[index]
    return section


def to_section(pixels: Array, layout: TiffLayout) -> Array:
    """Bring decoded pixels into `(H, W)` or `(H, W, C)`, 0 = black."""
    section = pixels.reshape(_stored_shape(layout))
    if layout.is_planar:
        section = np.moveaxis(section, 0, -1)
    if layout.is_inverted:
        section = ~section
    return section


def _stored_shape(layout: TiffLayout) -> tuple[int, ...]:
    header = layout.header
    plane = (header.height, header.width)
    if header.num_channels == 1:
        return plane
    return (header.num_channels, *plane) if layout.is_planar else (*plane, header.num_channels)


# --- checks ---------------------------------------------------------------------------------


def _check_chain(file: IO[bytes], label: str, num_bytes: int) -> None:
    """Follow the chain of page headers and refuse one that leaves the file or runs in a circle.

    The reader behind it would quietly return the pages before the break, as if the stack were
    that short.
    """
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"\x2b\x00", b"\x00\x2b")
    count_format, count_size, entry_size = ("Q", 8, 20) if is_big else ("H", 2, 12)
    offset_format, offset_size = ("Q", 8) if is_big else ("I", 4)
    start = 8 if is_big else 4
    try:
        (offset,) = struct.unpack_from(order + offset_format, head, start)
        seen: set[int] = set()
        while offset:
            if offset in seen or len(seen) >= _MAX_PAGES or offset + count_size > num_bytes:
                raise DataFormatError(Text("images.truncated", file=label))
            seen.add(offset)
            file.seek(offset)
            (count,) = struct.unpack(order + count_format, file.read(count_size))
            if offset + count_size + count * entry_size + offset_size > num_bytes:
                raise DataFormatError(Text("images.truncated", file=label))
            file.seek(count * entry_size, 1)
            (offset,) = struct.unpack(order + offset_format, file.read(offset_size))
    except struct.error as error:
        raise DataFormatError(Text("images.truncated", file=label)) from error
    if not seen:
        raise DataFormatError(Text("images.truncated", file=label))


def _layout(tiff: Any, label: str, num_bytes: int, max_section_bytes: int) -> TiffLayout:
    # `tiff` and its pages are tifffile's, which are typed loosely.
    numbers = [i for i, page in enumerate(tiff.pages) if not page.is_reduced]
    pages = [tiff.pages[i] for i in numbers]
    if not pages:
        raise DataFormatError(Text("images.damaged", file=label))
    first = pages[0]
    _check_channels(tiff, label)
    for page in pages:
        _check_page(page, first, label)
        check_page_bytes(page, label, num_bytes, max_section_bytes)
        check_streams(page, tiff.filehandle, label)
    is_stacked = _has_planes_as_sections(tiff, pages)
    if is_stacked:
        numbers *= int(first.samplesperpixel)
    repeats = 1 if is_stacked else _repeats_behind_one_page(tiff, pages)
    channels, is_planar = (1, False) if is_stacked else _channels(first, label)
    header = Header(
        num_sections=len(numbers) * repeats,
        height=int(first.imagelength),
        width=int(first.imagewidth),
        num_channels=channels,
        dtype=np.dtype(first.dtype).newbyteorder("="),
        pixel_size_nm=_pixel_size_nm(tiff, first),
        compression=str(first.compression.name).lower(),
        num_bytes=num_bytes,
    )
    offsets = _plain_offsets(pages, header, len(numbers) if is_stacked else repeats)
    if offsets and offsets[-1] + header.section_bytes > num_bytes:
        raise _too_short(label, header, num_bytes)
    return TiffLayout(
        header=header,
        pages=tuple(numbers),
        offsets=offsets,
        stored_dtype=np.dtype(first.dtype).newbyteorder(tiff.byteorder),
        is_inverted=first.photometric == 0 and np.dtype(first.dtype).kind in "bu",
        is_planar=is_planar,
        is_stacked=is_stacked,
    )


def _too_short(label: str, header: Header, num_bytes: int) -> DataFormatError:
    declared = header.section_bytes * header.num_sections
    return DataFormatError(
        Text("images.too_short", file=label, declared=declared, actual=num_bytes)
    )


def _check_page(page: Any, first: Any, label: str) -> None:
    if page.dtype is None or np.dtype(page.dtype).kind not in "buif":
        raise DataFormatError(Text("images.dtype", file=label, dtype=str(page.dtype)))
    if page.shape != first.shape or page.dtype != first.dtype:
        raise DataFormatError(
            Text(
                "images.mixed_pages",
                file=label,
                first=_describe(first),
                other=_describe(page),
                page=page.index + 1,
            )
        )
    if page.imagedepth != 1 or page.imagelength < 1 or page.imagewidth < 1:
        raise DataFormatError(Text("images.damaged", file=label))


def _describe(page: Any) -> str:
    return f"{page.imagewidth} × {page.imagelength} {page.dtype}"


def check_page_bytes(page: Any, label: str, num_bytes: int, max_section_bytes: int) -> None:
    """Compare what a page declares with what the file holds, before anything is allocated.

    Raises:
        DataFormatError: It declares more, or more than is allowed.
    """
    declared = int(page.imagelength) * int(page.imagewidth) * int(page.samplesperpixel)
    declared *= max(int(page.imagedepth), 1)
    declared *= max(np.dtype(page.dtype).itemsize, 1)
    if int(page.samplesperpixel) == 0:
        raise DataFormatError(Text("images.damaged", file=label))
    stored = sum(page.databytecounts)
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    is_plain = page.compression == 1
    bits = max(int(page.bitspersample), 1) if isinstance(page.bitspersample, int) else 8
    packed = declared * min(bits, 8) // 8 if is_plain else declared // _MAX_RATIO
    is_large = declared > _ALWAYS_ALLOWED_BYTES
    if packed > num_bytes and (is_plain or is_large):
        text = Text("images.too_short", file=label, declared=declared, actual=num_bytes)
        raise DataFormatError(text)
    if declared > max_section_bytes:
        raise DataFormatError(
            Text("images.section_too_large", file=label, size=declared, limit=max_section_bytes)
        )
    if not ends or max(ends) > num_bytes or stored == 0:
        raise DataFormatError(Text("images.truncated", file=label))
    tile = int(np.prod([int(side) for side in page.chunks], dtype=np.float64))
    if tile * np.dtype(page.dtype).itemsize > max(16 * declared, 16_000_000):
        raise DataFormatError(Text("images.damaged", file=label))


def _check_channels(tiff: Any, label: str) -> None:
    channels = 1
    if tiff.is_imagej and isinstance(tiff.imagej_metadata, dict):
        channels = int(tiff.imagej_metadata.get("channels", 1))
    elif tiff.is_ome and tiff.ome_metadata:
        found = re.search(r'\bSizeC="(\d{1,6})"', tiff.ome_metadata[:100_000])
        samples = int(tiff.pages[0].samplesperpixel)
        channels = int(found.group(1)) // max(samples, 1) if found else 1
    if channels > 1:
        raise DataFormatError(Text("images.channels", file=label, n=channels))


def _channels(page: Any, label: str) -> tuple[int, bool]:
    channels = int(page.samplesperpixel)
    if channels == 1:
        return 1, False
    if channels in (3, 4):
        return channels, page.planarconfig == 2
    raise DataFormatError(Text("images.channels", file=label, n=channels))


def _has_planes_as_sections(tiff: Any, pages: list[Any]) -> bool:
    """Tell a stack of three or four sections from colours.

    `tifffile.imwrite` writes an array `(3, H, W)` or `(4, H, W)` as the colour planes of one page
    unless it is told otherwise; the shape that it notes beside them tells where they come from.
    """
    page = pages[0]
    if len(pages) != 1 or not tiff.is_shaped or page.planarconfig != 2:
        return False
    noted = tiff.shaped_metadata[0].get("shape", ()) if tiff.shaped_metadata else ()
    planes = (int(page.samplesperpixel), int(page.imagelength), int(page.imagewidth))
    return planes[0] in (3, 4) and tuple(noted) == planes


def _repeats_behind_one_page(tiff: Any, pages: list[Any]) -> int:
    """Count sections that lie behind a single header, as ImageJ writes stacks above 4 GB."""
    if len(pages) != 1 or not (tiff.is_imagej or tiff.is_shaped) or not pages[0].is_contiguous:
        return 1
    series = tiff.series[0]
    behind = int(np.prod(series.shape, dtype=np.float64) // np.prod(pages[0].shape))
    return max(behind, 1) if series.dataoffset is not None else 1


def _plain_offsets(pages: list[Any], header: Header, repeats: int) -> tuple[int, ...]:
    if not all(page.is_contiguous and page.compression == 1 for page in pages):
        return ()
    if int(pages[0].bitspersample) % 8 or pages[0].predictor != 1:
        return ()
    starts = [int(page.dataoffsets[0]) for page in pages]
    return tuple(start + i * header.section_bytes for start in starts for i in range(repeats))


# --- pixel size -----------------------------------------------------------------------------


def _pixel_size_nm(tiff: Any, page: Any) -> float:
    """Return the size of a pixel when the file states a believable one, else 0."""
    for read in (_ome_size_nm, _imagej_size_nm, _tag_size_nm):
        try:
            size_nm = read(tiff, page)
        except (ValueError, TypeError, KeyError, ZeroDivisionError, IndexError, OverflowError):
            continue
        # 72 or 300 dots an inch (85 000 nm and more) is what writers put in without knowing.
        if 0.001 <= size_nm <= 20_000:
            return float(f"{size_nm:.6g}")
    return 0.0


def _ome_size_nm(tiff: Any, page: Any) -> float:
    xml = (tiff.ome_metadata or "")[:100_000] if tiff.is_ome else ""
    size = re.search(r'\bPhysicalSizeX="([^"]{1,40})"', xml)
    unit = re.search(r'\bPhysicalSizeXUnit="([^"]{1,20})"', xml)
    return float(size.group(1)) * _NM_PER[unit.group(1) if unit else "µm"] if size else 0.0


def _imagej_size_nm(tiff: Any, page: Any) -> float:
    if not tiff.is_imagej:
        return 0.0
    unit = str((tiff.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ").strip()
    return _per_resolution(page, _NM_PER[unit])


def _tag_size_nm(tiff: Any, page: Any) -> float:
    unit = {2: "inch", 3: "cm"}.get(int(page.tags["ResolutionUnit"].value))
    return _per_resolution(page, _NM_PER[unit]) if unit else 0.0


def _per_resolution(page: Any, nm_per_unit: float) -> float:
    above, below = page.tags["XResolution"].value
    return nm_per_unit * int(below) / int(above)
