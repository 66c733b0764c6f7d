"""Read images of any task: lazily, within bounds, and saying in one sentence what is wrong.

`list_image_files` finds the files of a source, `open_stack` opens one or several of them as a
`Stack` whose sections are read when they are indexed. Names are reachable from here:
`images_files` lists, `images_tiff` and `images_pictures` read one file.
"""

from __future__ import annotations

import functools
import io
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.core.images_files import (
    ARCHIVE_SUFFIXES,
    DEFAULT_LIMITS,
    IMAGE_SUFFIXES,
    ImageFile,
    Limits,
    Listing,
    Refusal,
    copy_member,
    file_sha256,
    list_image_files,
    natural_key,
)
from pipelines.core.images_pictures import (
    Header,
    Reader,
    decode_picture,
    picture_format,
    read_picture_header,
)
from pipelines.core.images_tiff import (
    TIFF_STARTS,
    PageDecoder,
    plane_of,
    read_layout,
    read_plain,
    to_section,
)
from pipelines.errors import DataFormatError, DatasetNotFoundError
from pipelines.text import Text

__all__ = [
    "ARCHIVE_SUFFIXES",
    "DEFAULT_LIMITS",
    "IMAGE_SUFFIXES",
    "Header",
    "ImageFile",
    "Limits",
    "Listing",
    "Refusal",
    "Stack",
    "file_sha256",
    "list_image_files",
    "natural_key",
    "open_stack",
    "row_blocks",
    "scale_to_unit",
    "to_grey",
    "value_window",
]

Array = NDArray[Any]
Colour = Literal["refuse", "luminance"]

_SPOOL_BYTES: Final = 64_000_000  # an archive member above this goes to a temporary file
_CACHED_SECTIONS: Final = 4
_CACHED_BYTES: Final = 256_000_000  # of one stack; a larger section is read each time
_BLOCK_PIXELS: Final = 16_000_000  # worked on at once, so that copies stay small beside a section
_LUMINANCE: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601
_WINDOW_PERCENTILES: Final = (0.1, 99.9)
_WINDOW_SECTIONS: Final = 16
_WINDOW_PIXELS: Final = 20_000  # a section


def open_stack(
    source: Path | ImageFile | Sequence[ImageFile],
    *,
    colour: Colour = "refuse",
    limits: Limits = DEFAULT_LIMITS,
) -> Stack:
    """Open one image file, or several of equal size, as a stack of sections.

    Only headers are read; a section is read when it is indexed.

    Args:
        source: A path, a file of a listing, or files in the order of their sections.
        colour: What `stack[i]` does with colours that are not grey.
        limits: What reading may cost.

    Raises:
        DatasetNotFoundError: The file is not there.
        DataFormatError: A file cannot be read, or the files differ in size or type.
    """
    if isinstance(source, Path):
        files: tuple[ImageFile, ...] = (ImageFile(source, name=source.name),)
    else:
        files = (source,) if isinstance(source, ImageFile) else tuple(source)
    return Stack(files, colour=colour, limits=limits)


class Stack:
    """Give the sections of one or several files by their index.

    Threads may share it, and it can be sent to another process, which opens the files anew.

    Attributes:
        files: The files, in the order of their sections.
        header: What they declare together.
        colour: What `stack[i]` does with colours that are not grey.
    """

    def __init__(
        self,
        files: tuple[ImageFile, ...],
        *,
        colour: Colour = "refuse",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if not files:
            raise ValueError("a stack needs a file")
        self.files = files
        self.colour = colour
        self._limits = limits
        self._readers = [_open_reader(file, limits) for file in files]
        self.header = _common_header(self._readers, files)
        self._places = [
            (r, i) for r in range(len(files)) for i in range(self._readers[r].header.num_sections)
        ]
        self._cache: OrderedDict[int, Array] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild = functools.partial(Stack, colour=self.colour, limits=self._limits)
        return rebuild, (self.files,)

    @property
    def name(self) -> str:
        """Name of the first file."""
        return self.files[0].label

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sections, height and width."""
        return len(self), self.header.height, self.header.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value."""
        return self.header.dtype

    @property
    def num_channels(self) -> int:
        """1 for grey, 3 or 4 for colour."""
        return self.header.num_channels

    @property
    def pixel_size_nm(self) -> float:
        """Size of a pixel, 0 when the file does not say."""
        return self.header.pixel_size_nm

    @property
    def num_bytes(self) -> int:
        """Size of the files on disk."""
        return self.header.num_bytes

    @property
    def compression(self) -> str:
        """Name of the compression, "none" without."""
        return self.header.compression

    def __len__(self) -> int:
        return self.header.num_sections

    def __getitem__(self, index: int) -> Array:
        """Return a section as `(H, W)` grey in the file's own type.

        Raises:
            DataFormatError: The pixels cannot be read, or are colours and `colour` is "refuse".
        """
        section = self.read(index)
        return section if section.ndim == 2 else to_grey(section, self.name, self.colour)

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def read(self, index: int) -> Array:
        """Return a section as the file has it, `(H, W)` or `(H, W, C)`; do not write into it."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"section {index} of {len(self)}")
        index %= len(self)
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
        reader, inner = self._places[index]
        section = self._readers[reader].read(inner)
        section.flags.writeable = False
        with self._lock:
            self._cache[index] = section
            most = min(_CACHED_SECTIONS, _CACHED_BYTES // max(section.nbytes, 1))
            while len(self._cache) > most:
                self._cache.popitem(last=False)
        return section


def to_grey(section: Array, label: str, colour: Colour) -> Array:
    """Reduce `(H, W, C)` to `(H, W)`: one channel when all are equal, luminance when allowed.

    Raises:
        DataFormatError: The channels differ and `colour` is "refuse".
    """
    first = section[..., 0]
    if all(np.array_equal(first, section[..., c]) for c in (1, 2)):
        return np.ascontiguousarray(first)
    if colour == "refuse":
        raise DataFormatError(Text("images.colour", file=label))
    grey = np.empty(section.shape[:2], np.float32 if section.dtype.kind == "f" else section.dtype)
    for rows in row_blocks(section):
        bright = section[rows, :, :3].astype(np.float32) @ np.array(_LUMINANCE, np.float32)
        grey[rows] = bright if section.dtype.kind == "f" else np.rint(bright)
    return grey


def row_blocks(section: Array) -> Iterator[slice]:
    """Cut a section into blocks of rows: copies of a block stay small where a section is large."""
    height, width = section.shape[:2]
    step = max(1, _BLOCK_PIXELS // max(width, 1))
    return (slice(start, start + step) for start in range(0, height, step))


def value_window(stack: Stack) -> tuple[float, float]:
    """Return the values that become 0 and 1.

    They are the whole range for uint8 and bool. Wider types rarely use theirs, so there they are
    the 0.1 and 99.9 percentiles of up to 16 evenly spaced sections, the same for every section of
    the stack so that sections stay comparable. NaN and infinite values do not count.
    """
    if stack.dtype == bool:
        return 0.0, 1.0
    if stack.dtype == np.uint8:
        return 0.0, 255.0
    chosen = np.unique(np.linspace(0, len(stack) - 1, _WINDOW_SECTIONS).astype(int))
    values = np.concatenate([_some_values(stack[int(i)]) for i in chosen])
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, _WINDOW_PERCENTILES))
    # twice a huge value is another number, one more is not
    return (low, high) if high > low else (low, low + max(1.0, abs(low)))


def scale_to_unit(section: Array, window: tuple[float, float]) -> NDArray[np.float32]:
    """Map the window to [0, 1] and clip; NaN becomes 0.

    Args:
        section: `(H, W)`, any real type.
        window: Values that become 0 and 1.

    Returns:
        `(H, W)` float32 in [0, 1].
    """
    low, high = window
    scaled = np.empty(section.shape, np.float32)
    for rows in row_blocks(section):
        block = scaled[rows]
        np.subtract(section[rows], np.float32(low), out=block, dtype=np.float32, casting="unsafe")
        block *= np.float32(1.0 / (high - low))
        if section.dtype.kind == "f":
            np.nan_to_num(block, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        np.clip(block, 0.0, 1.0, out=block)
    return scaled


def _some_values(section: Array) -> Array:
    flat = section.reshape(-1)
    step = max(1, flat.size // _WINDOW_PIXELS) | 1  # odd, so that columns are not hit alone
    values = flat[::step].astype(np.float64)
    return values[np.isfinite(values)]


# --- one file -------------------------------------------------------------------------------


class _TiffReader:
    """Read a TIFF: plain sections from their offset, packed ones through the decoder.

    A file of several sections stays open once it had to be decoded or unpacked; one of a single
    section is opened for each read, so that a folder of thousands holds no handles and no memory.
    """

    def __init__(self, file: ImageFile, stream: IO[bytes], num_bytes: int, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._layout = read_layout(stream, file.label, num_bytes, limits.max_section_bytes)
        self._stream: IO[bytes] | None = None
        self._decoder: PageDecoder | None = None
        self._lock = threading.Lock()

    @property
    def header(self) -> Header:
        return self._layout.header

    def read(self, index: int) -> Array:
        if self._layout.offsets and not self._file.member:
            pixels = read_plain(self._file.path, self._layout, index, self._file.label)
        elif len(self._layout.pages) == 1 and self.header.num_sections == 1:
            with _open_stream(self._file, self._limits) as stream:
                pixels = self._read_from(stream, PageDecoder(stream, self._file.label), index)
        else:
            with self._lock:
                if self._stream is None or self._decoder is None:
                    self._stream = _open_stream(self._file, self._limits)
                    weakref.finalize(self, self._stream.close)
                    self._decoder = PageDecoder(self._stream, self._file.label)
                pixels = self._read_from(self._stream, self._decoder, index)
        return to_section(pixels, self._layout)

    def _read_from(self, stream: IO[bytes], decoder: PageDecoder, index: int) -> Array:
        if self._layout.offsets:
            return read_plain(stream, self._layout, index, self._file.label)
        return plane_of(decoder.decode(self._layout.pages[index]), self._layout, index)


class _PictureReader:
    """Read a PNG, JPEG or BMP; the file is open only while it is read."""

    def __init__(self, file: ImageFile, stream: IO[bytes], num_bytes: int, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self.header = read_picture_header(stream, file.label, num_bytes)
        size = self.header.section_bytes
        if size > limits.max_section_bytes or size > max(256_000_000, 1100 * num_bytes):
            raise DataFormatError(
                Text("images.too_short", file=file.label, declared=size, actual=num_bytes)
            )

    def read(self, index: int) -> Array:
        with _open_stream(self._file, self._limits) as stream:
            return decode_picture(stream, self._file.label)


def _open_reader(file: ImageFile, limits: Limits) -> Reader:
    with _open_stream(file, limits) as stream:
        num_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        start = stream.read(16)
        if num_bytes == 0:
            raise DataFormatError(Text("images.empty_file", file=file.label))
        if start.startswith(TIFF_STARTS):
            return _TiffReader(file, stream, num_bytes, limits)
        if picture_format(start) is None:
            raise DataFormatError(Text("images.not_an_image", file=file.label))
        return _PictureReader(file, stream, num_bytes, limits)


def _open_stream(file: ImageFile, limits: Limits) -> IO[bytes]:
    """Open a file, or unpack an archive member into memory or, when large, a temporary file."""
    if not file.member:
        try:
            return file.path.open("rb")
        except FileNotFoundError as error:
            raise DatasetNotFoundError(Text("images.not_found", path=file.label)) from error
        except OSError as error:
            raise DataFormatError(Text("images.unreadable", file=file.label)) from error
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 it is returned
    try:
        copy_member(file, spool, limits)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


def _common_header(readers: Sequence[Reader], files: Sequence[ImageFile]) -> Header:
    first = readers[0].header
    for reader, file in zip(readers, files, strict=True):
        if _form(reader.header) != _form(first):
            raise DataFormatError(
                Text(
                    "images.mixed_files",
                    file=file.label,
                    size=_words(reader.header),
                    first=files[0].label,
                    first_size=_words(first),
                )
            )
    return replace(
        first,
        num_sections=sum(r.header.num_sections for r in readers),
        num_bytes=sum(r.header.num_bytes for r in readers),
    )


def _form(header: Header) -> tuple[int, int, int, np.dtype[Any]]:
    return header.height, header.width, header.num_channels, header.dtype


def _words(header: Header) -> str:
    colour = "" if header.num_channels == 1 else " RGB"
    return f"{header.width} × {header.height} {header.dtype}{colour}"
