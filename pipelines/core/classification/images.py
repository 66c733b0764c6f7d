"""Many small pictures behind one list: where each lies, and how it is decoded, in parallel.

A member of a zip is read from its place in the archive: the directory of the archive is parsed
once, and threads read without a common lock. Nothing is believed before it is checked: a picture
is decoded only when its header declares a size within bounds.
"""

from __future__ import annotations

import codecs
import io
import os
import struct
import threading
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.plain_bmp import read_plain_bmp
from pipelines.core.classification.plain_tiff import read_plain_tiff
from pipelines.core.images_files import (
    IMAGE_SUFFIXES,
    MOST_MEMBERS,
    OTHER_PICTURES,
    Limits,
    list_image_files,
    natural_key,
    open_zip,
    refuse_bomb,
)
from pipelines.core.images_pictures import decode_picture, picture_format, read_picture_header
from pipelines.core.images_streams import check_streams
from pipelines.core.images_tiff import check_page_bytes
from pipelines.errors import DataFormatError
from pipelines.text import Text

Pixels = NDArray[np.uint8]

MAX_IMAGES: Final = MOST_MEMBERS
MAX_PIXELS: Final = 36_000_000
"""Largest picture decoded: 6000 x 6000. A larger one is refused from its header."""
_MOST_FILE_BYTES: Final = 500_000_000
"""Largest file that is read into memory for one picture; the largest picture is 144 MB plain."""
_CHUNK: Final = 8
_PLAIN: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NATURAL: Final = 20_000
"""Pictures up to which they are put in natural order; more are sorted by their plain names."""
_EASY_BYTES: Final = 64_000_000
_SUFFIXES: Final = tuple(IMAGE_SUFFIXES)
_NEEDS_WORDS: Final = (".zip", ".7z", ".gz", ".tar", ".tgz", ".rar", ".bz2", ".xz", *OTHER_PICTURES)
"""Endings of members that are left out with a sentence."""
_LIMITS: Final = Limits(max_files=MAX_IMAGES, max_total_bytes=400_000_000_000)
_TIFF_MARKS: Final = (b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b")
_DAMAGE: Final = (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, EOFError,
                  OverflowError, MemoryError, RuntimeError, AttributeError, struct.error,
                  zlib.error, AssertionError, ZeroDivisionError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """Name one picture of a source.

    Attributes:
        name: Path inside the source, with forward slashes.
        num_bytes: Unpacked size.
        crc: CRC-32 of the content for a member of a zip, else 0.
        offset: Where the member's local header lies in the archive, or -1 for a file.
        packed_bytes: Packed size of the member.
        method: Compression method of the member.
    """

    name: str
    num_bytes: int
    crc: int = 0
    offset: int = -1
    packed_bytes: int = 0
    method: int = 0


@dataclass(frozen=True)
class Source:
    """Hold what stands at a path: pictures, tables, and what was refused.

    Attributes:
        path: Zip, folder or single file.
        entries: The pictures, in natural order.
        tables: Names of the CSV files.
        refusals: (file, sentence) of what was left out.
        table_entries: Where tables lie in a large archive, whose directory is parsed only once.
    """

    path: Path
    entries: tuple[Entry, ...]
    tables: tuple[str, ...]
    refusals: tuple[tuple[str, Text], ...]
    table_entries: tuple[Entry, ...] = ()

    def read_table(self, name: str, max_bytes: int = 200_000_000) -> str:
        """Return the text of a CSV file in UTF-8, UTF-16 or, from an older Excel, Windows-1252."""
        known = next((e for e in self.table_entries if e.name == name), None)
        if known is not None and known.method in _PLAIN and known.num_bytes <= max_bytes:
            content = self._read_known(known)
        elif self.path.is_dir():
            content = (self.path / name).read_bytes()[: max_bytes + 1]
        elif self.path.suffix.lower() == ".csv":
            content = self.path.read_bytes()[: max_bytes + 1]
        else:
            with open_zip(self.path) as archive, archive.open(name) as file:
                content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise DataFormatError(Text("classes.table_too_big", file=name, limit=max_bytes))
        return table_words(content)

    def _read_known(self, table: Entry) -> bytes:
        try:
            with self.path.open("rb") as file:
                return _read_member(file, table)
        except _DAMAGE as error:
            raise DataFormatError(Text("classes.unreadable", file=table.name)) from error


def table_words(content: bytes) -> str:
    """Return the text of a CSV file in UTF-8, UTF-16 or, from an older Excel, Windows-1252."""
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def open_source(path: Path) -> Source:
    """List pictures and tables of a zip, a folder or a single picture, without decoding any.

    Raises:
        DataError: Nothing there can be read; the text says why.
    """
    if (plain := _plain_archive(path)) is not None:
        return plain
    listing = list_image_files(path, _LIMITS)
    refusals = tuple((r.name, r.text) for r in listing.refusals)
    if path.is_dir():
        names = [f.path.relative_to(listing.root).as_posix() for f in listing.files]
        sizes = [os.stat(f.path).st_size for f in listing.files]
        entries = tuple(Entry(n, s) for n, s in zip(names, sizes, strict=True))
        return Source(listing.root, entries, _tables_of_folder(listing.root), refusals)
    if not listing.files[0].member:
        entry = Entry(path.name, path.stat().st_size)
        return Source(path.parent, (entry,), (), refusals)
    with open_zip(path) as archive:
        infos = {i.filename: i for i in archive.infolist()}
    entries = tuple(_entry(infos[f.member]) for f in listing.files)
    tables = tuple(n for n in infos if n.lower().endswith(".csv") and "__MACOSX" not in n)
    return Source(path, entries, tables, refusals)


def _plain_archive(path: Path) -> Source | None:
    """List a zip in which nothing is suspicious, in a fraction of the time of the careful way.

    Returns:
        None for anything else; the careful way then says what is wrong. Measured on the names of
        the full histopathology set (277,483 members): 4 s instead of 45 s on one core.
    """
    if path.suffix.lower() != ".zip" or not path.is_file():
        return None
    with open_zip(path) as archive:
        infos = [i for i in archive.infolist() if not i.is_dir()]
    refuse_bomb(path, infos, _LIMITS)
    names = [i.filename for i in infos]
    is_plain = (
        len(infos) <= MAX_IMAGES
        and not any(map(_is_suspicious, infos))
        and len({n.casefold() for n in names}) == len(names)
    )
    entries = [_entry(i) for i in infos if i.filename.lower().endswith(_SUFFIXES)]
    if not is_plain or not entries:
        return None
    is_large = len(entries) >= _NATURAL  # asked before: while a list is sorted it reads as empty
    entries.sort(key=lambda e: e.name if is_large else natural_key(e.name))
    tables = tuple(_entry(i) for i in infos if i.filename.lower().endswith(".csv"))
    return Source(path, tuple(entries), tuple(t.name for t in tables), (), tables)


def _is_suspicious(info: zipfile.ZipInfo) -> bool:
    """Tell whether a member needs a closer look: its name, its kind, its size."""
    name = info.orig_filename
    return (
        ".." in name
        or "\\" in name
        or ":" in name
        or "\0" in name
        or name.startswith((".", "/"))
        or "/." in name
        or "__MACOSX" in name
        or info.file_size > _EASY_BYTES
        or info.flag_bits & 0x1 != 0
        or (info.external_attr >> 16) & 0o170000 == 0o120000
        or name.lower().endswith(_NEEDS_WORDS)
    )


def _entry(info: zipfile.ZipInfo) -> Entry:
    return Entry(
        info.filename, info.file_size, info.CRC, info.header_offset, info.compress_size,
        info.compress_type,
    )  # fmt: skip


def _tables_of_folder(root: Path) -> tuple[str, ...]:
    """Find CSV files at most two folders deep; labels lie near the top."""
    found = [*root.glob("*.csv"), *root.glob("*/*.csv"), *root.glob("*/*/*.csv")]
    return tuple(p.relative_to(root).as_posix() for p in sorted(found) if p.is_file())


# --- reading ------------------------------------------------------------------------------------


class PictureReader:
    """Read pictures of one source from any number of threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_archive = not path.is_dir()
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def read_bytes(self, entry: Entry) -> bytes:
        """Return the unpacked content of a picture's file.

        Raises:
            DataFormatError: The file is gone, damaged or not what the directory says.
        """
        if entry.num_bytes > _MOST_FILE_BYTES:
            raise DataFormatError(
                Text("classes.file_too_big", file=entry.name, size=entry.num_bytes,
                     limit=_MOST_FILE_BYTES)
            )  # fmt: skip
        try:
            if not self._is_archive:
                return (self._path / entry.name).read_bytes()
            return self._read_member(entry)
        except (*_DAMAGE, zipfile.BadZipFile, NotImplementedError) as error:
            raise DataFormatError(Text("classes.unreadable", file=entry.name)) from error

    def read(self, entry: Entry) -> Pixels:
        """Decode a picture to `(H, W, 3)` uint8 RGB.

        Raises:
            DataFormatError: It is damaged, too large, or no picture.
        """
        content = self.read_bytes(entry)
        try:
            return decode(content, entry.name)
        except DataFormatError:
            raise
        except _DAMAGE as error:
            raise DataFormatError(Text("classes.damaged", file=entry.name)) from error

    def _read_member(self, entry: Entry) -> bytes:
        if entry.method not in _PLAIN:
            with open_zip(self._path) as archive:
                return archive.read(entry.name)
        return _read_member(self._handle(), entry)

    def _handle(self) -> IO[bytes]:
        file: IO[bytes] | None = getattr(self._local, "file", None)
        if file is None:
            file = self._path.open("rb")
            self._local.file = file
        return file


def _read_member(file: IO[bytes], entry: Entry) -> bytes:
    """Unpack a stored or deflated member; one that is not what the directory says is refused."""
    file.seek(entry.offset)
    head = file.read(30)
    name_length, extra_length = struct.unpack("<HH", head[26:30])
    file.seek(name_length + extra_length, os.SEEK_CUR)
    packed = file.read(entry.packed_bytes)
    if entry.method == zipfile.ZIP_STORED:
        content = packed
    else:
        # at most as many bytes as declared, whatever the stream would give
        content = zlib.decompressobj(-15).decompress(packed, entry.num_bytes + 1)
    if len(content) != entry.num_bytes or zlib.crc32(content) != entry.crc:
        raise ValueError("content differs from the directory")
    return content


def decode(content: bytes, name: str) -> Pixels:
    """Decode the bytes of a TIFF, PNG, JPEG or BMP to `(H, W, 3)` uint8 RGB.

    16-bit and float pictures are scaled by their own range; alpha is left out. A photograph is
    turned as its camera says (EXIF), as every viewer shows it.

    Raises:
        DataFormatError: One sentence on what is wrong.
    """
    file = io.BytesIO(content)
    if content[:4] in _TIFF_MARKS:
        plain = read_plain_tiff(content)
        if plain is not None and plain.shape[0] * plain.shape[1] <= MAX_PIXELS:
            return plain
        return _decode_tiff(file, name)
    plain = read_plain_bmp(content)
    if plain is not None and plain.shape[0] * plain.shape[1] <= MAX_PIXELS:
        return plain
    if picture_format(content[:16]) is None:
        raise DataFormatError(_why_no_picture(name))
    header = read_picture_header(file, name, len(content))
    _check_size(header.height, header.width, name)
    return to_rgb(decode_picture(file, name, is_upright=True))


def _why_no_picture(name: str) -> Text:
    ending = f".{name.rpartition('.')[2].lower()}"
    if ending in OTHER_PICTURES:
        return Text("images.other_kind", ending=ending, file=name, n=1)
    return Text("classes.no_picture", file=name)


def _decode_tiff(file: io.BytesIO, name: str) -> Pixels:
    """Decode the first page: by Pillow what it knows, which is faster, else by tifffile."""
    from PIL import Image, TiffImagePlugin

    try:
        picture = TiffImagePlugin.TiffImageFile(file)
        _check_size(picture.height, picture.width, name)
        if picture.mode in (
            "RGB",
            "L",
            "RGBA",
            "P",
            "1",
            "CMYK",
        ):  # four inks are no colour + alpha
            rgb: Image.Image = picture if picture.mode == "RGB" else picture.convert("RGB")
            return np.asarray(rgb)
    except DataFormatError:
        raise
    except _DAMAGE:
        pass  # a compression or layout that Pillow does not know
    return _decode_rare_tiff(file, name)


def _decode_rare_tiff(file: io.BytesIO, name: str) -> Pixels:
    from tifffile import TiffFile, TiffFileError

    file.seek(0)
    try:
        with TiffFile(file) as tiff:
            page = tiff.pages[0]
            _check_size(int(page.imagelength), int(page.imagewidth), name)  # type: ignore[union-attr]
            check_page_bytes(page, name, len(file.getbuffer()), _MOST_FILE_BYTES)
            check_streams(page, file, name)
            return to_rgb(np.asarray(page.asarray(maxworkers=1)))
    except DataFormatError:
        raise
    except (*_DAMAGE, TiffFileError) as error:
        raise DataFormatError(Text("classes.damaged", file=name)) from error


def _check_size(height: int, width: int, name: str) -> None:
    if height * width > MAX_PIXELS:
        raise DataFormatError(
            Text("classes.too_large", file=name, height=height, width=width, limit=MAX_PIXELS)
        )
    if height < 1 or width < 1:
        raise DataFormatError(Text("classes.damaged", file=name))


def to_rgb(pixels: NDArray[Any]) -> Pixels:
    """Bring `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)` of any type to uint8 RGB."""
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"a picture of shape {pixels.shape}")
    pixels = pixels[..., :1] if pixels.shape[2] <= 2 else pixels[..., :3]
    if pixels.dtype != np.uint8:
        pixels = _to_uint8(pixels)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _to_uint8(pixels: NDArray[Any]) -> Pixels:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    values = np.nan_to_num(pixels.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    return ((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


# --- parallel -----------------------------------------------------------------------------------


def num_decoders() -> int:
    """Return how many threads decode: one a usable core."""
    from pipelines.core.device import num_usable_cores

    return max(1, num_usable_cores())


def decode_all(
    reader: PictureReader, entries: Sequence[Entry], *, num_threads: int | None = None
) -> Iterator[Pixels | DataFormatError]:
    """Decode pictures in the order given, ahead of the reader of this iterator, memory bounded.

    A picture that cannot be read gives its error in its place.
    """
    return _in_parallel(lambda entry: _or_error(reader, entry), entries, num_threads)


def decode_pictures(pictures: Sequence[LazyPicture]) -> Iterator[Pixels | DataFormatError]:
    """Decode pictures of any sources in the order given, as `decode_all` does."""
    return _in_parallel(_picture_or_error, pictures, None)


def _in_parallel(
    read: Callable[[Any], Pixels | DataFormatError],
    things: Sequence[Any],
    num_threads: int | None,
) -> Iterator[Pixels | DataFormatError]:
    workers = num_threads or num_decoders()

    def run(start: int) -> list[Pixels | DataFormatError]:
        return [read(thing) for thing in things[start : start + _CHUNK]]

    starts = list(range(0, len(things), _CHUNK))
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        window = deque(pool.submit(run, s) for s in starts[: 2 * workers])
        for start in starts[2 * workers :]:
            done = window.popleft().result()
            window.append(pool.submit(run, start))
            yield from done
        while window:
            yield from window.popleft().result()


def _or_error(reader: PictureReader, entry: Entry) -> Pixels | DataFormatError:
    try:
        return reader.read(entry)
    except DataFormatError as error:
        # a new one: its traceback would hold the bytes of every unreadable file in memory
        return DataFormatError(error.text)


def _picture_or_error(picture: LazyPicture) -> Pixels | DataFormatError:
    if picture.held is not None:
        return picture.held
    return _or_error(picture.reader, picture.entry)


def fit_square(pixels: Pixels, side_px: int, crop_px: int = 0) -> Pixels:
    """Crop the centre and bring it to a square of a given side.

    Args:
        pixels: `(H, W, 3)` uint8.
        side_px: Side of the result.
        crop_px: Side of the centre that is kept; 0 keeps the largest centred square. A smaller
            picture is surrounded by black.

    Returns:
        `(side_px, side_px, 3)` uint8; averaged over areas where it becomes smaller.
    """
    import cv2

    side = crop_px or min(pixels.shape[:2])
    square = centre_square(pixels, side)
    if side == side_px:
        return square
    method = cv2.INTER_AREA if side > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=method), np.uint8)


def centre_square(pixels: Pixels, side: int) -> Pixels:
    """Cut the centred square of a side out of `(H, W, 3)`, padding with black where it ends."""
    height, width = pixels.shape[:2]
    if height < side or width < side:
        grown = np.zeros((max(height, side), max(width, side), 3), np.uint8)
        top, left = (grown.shape[0] - height) // 2, (grown.shape[1] - width) // 2
        grown[top : top + height, left : left + width] = pixels
        pixels, (height, width) = grown, grown.shape[:2]
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def stem_of(name: str) -> str:
    """Return the file name without folder and ending."""
    # by hand: pathlib takes seconds for the names of a full data set
    last = name.rsplit("/", 1)[-1]
    stem, dot, _ = last.rpartition(".")
    return stem if dot and stem else last


@dataclass(frozen=True)
class LazyPicture:
    """Stand for a picture that is decoded when somebody looks at it.

    `np.asarray(picture)` gives `(H, W, 3)` uint8 RGB. Nothing is remembered: a page or a training
    that goes through 220,025 of them would fill the memory.

    Attributes:
        reader: Reads its source.
        entry: Where it lies.
        held: The pixels of a picture that was made by code, or None.
    """

    reader: PictureReader
    entry: Entry
    held: Pixels | None = field(default=None, compare=False, repr=False)

    def pixels(self) -> Pixels:
        """Decode the picture to `(H, W, 3)` uint8."""
        return self.reader.read(self.entry) if self.held is None else self.held

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001
        return np.asarray(self.pixels(), dtype=dtype)


def held_picture(pixels: Pixels, name: str) -> LazyPicture:
    """Return a picture that is in memory already, in the form of one that is read."""
    return LazyPicture(PictureReader(Path()), Entry(name, pixels.nbytes), pixels)
