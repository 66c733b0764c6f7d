"""Find image files in a folder or a zip, without unpacking and without trusting any name in it."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final, Protocol

from pipelines.errors import DataFormatError, DatasetNotFoundError
from pipelines.text import Text

TIFF_SUFFIXES: Final = frozenset({".tif", ".tiff", ".btf", ".tf8", ".tf2"})
PICTURE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
IMAGE_SUFFIXES: Final = TIFF_SUFFIXES | PICTURE_SUFFIXES
ARCHIVE_SUFFIXES: Final = frozenset({".zip"})
_OTHER_ARCHIVES: Final = ARCHIVE_SUFFIXES | {".7z", ".gz", ".tar", ".tgz", ".rar", ".bz2", ".xz"}
_LITTER: Final = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
OTHER_PICTURES: Final = frozenset(
    {".gif", ".webp", ".heic", ".heif", ".avif", ".jp2", ".svs", ".ndpi", ".czi", ".nd2", ".lif"}
)
"""Endings of pictures that are not read; who has them must be told, or they seem forgotten."""
_OTHER_ENDINGS: Final = tuple(OTHER_PICTURES)
# A member this small can do no harm, however well it is packed (a constant mask packs 1000 to 1).
_HARMLESS_BYTES: Final = 64_000_000


MOST_MEMBERS: Final = 600_000
"""Most members of any archive that is opened; the largest public set holds 277,485."""
_MOST_PACKED_WELL: Final = 1_000_000_000  # what an archive may unpack to, however well it is packed
_ZIP_END: Final = struct.Struct("<12xI")  # record at the end: size of the directory
_ZIP64_END: Final = struct.Struct("<40xQ")
_ZIP_IS_64: Final = 0xFFFFFFFF
_ZIP64_ENDS_BYTES: Final = 76  # two records between the directory and the end of a large archive
_ZIP_TAIL_BYTES: Final = 66_000  # the end, with the longest comment behind it
_ZIP_BLOCK_BYTES: Final = 1 << 24


@dataclass(frozen=True)
class Limits:
    """Bound what reading may cost.

    Attributes:
        max_section_bytes: Largest decoded section, and largest archive member held in memory.
        max_total_bytes: Largest content of an archive.
        max_ratio: Largest packing ratio of an archive member that is not small.
        max_files: Most files in a folder or an archive.
        max_depth: Deepest folder below the source.
    """

    max_section_bytes: int = 2_000_000_000
    max_total_bytes: int = 40_000_000_000
    max_ratio: int = 200
    max_files: int = 100_000
    max_depth: int = 8


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True)
class ImageFile:
    """Name one image file, on disk or inside a zip.

    Attributes:
        path: The file on disk; for a member, the archive.
        member: Name inside the archive, or "".
        name: Name that people see and that records keep: relative to the source's root, with
            forward slashes, `archive.zip!member` for a member.
    """

    path: Path
    member: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        """Name that people see."""
        return self.name or (f"{self.path.name}!{self.member}" if self.member else self.path.name)

    @property
    def inner(self) -> PurePosixPath:
        """Path below the source, without the archive's own name."""
        return PurePosixPath(self.member or self.name or self.path.name)

    @property
    def stem(self) -> str:
        """File name without folder and suffix."""
        return self.inner.stem

    def num_bytes(self) -> int:
        """Return its size, for a member the unpacked one."""
        if not self.member:
            return self.path.stat().st_size
        with open_zip(self.path) as archive:
            return archive.getinfo(self.member).file_size


@dataclass(frozen=True)
class Refusal:
    """Say why a file is left out.

    Attributes:
        name: The file.
        text: The sentence, with what to do.
    """

    name: str
    text: Text


@dataclass(frozen=True)
class Listing:
    """Hold the image files of a source, in natural order.

    Attributes:
        root: Folder that the names are relative to.
        files: What can be opened.
        refusals: What was left out, and why.
    """

    root: Path
    files: tuple[ImageFile, ...]
    refusals: tuple[Refusal, ...] = ()


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which "slice2" comes before "slice10"."""
    pieces = re.findall(r"\d+|\D+", name.casefold())
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces)


def list_image_files(source: Path, limits: Limits = DEFAULT_LIMITS) -> Listing:
    """List the images of a file, a folder (with its subfolders) or a zip.

    A folder that holds no image but one zip, as an upload does, stands for that zip.

    Args:
        source: Existing path.
        limits: What reading may cost.

    Raises:
        DatasetNotFoundError: Nothing is there.
        DataFormatError: No image can be read from it; the text says why.
    """
    if source.is_dir():
        listing = _list_folder(source, limits)
        packed = _only_zip(source) if not listing.files else None
        listing = _list_zip(packed, limits) if packed else listing
    elif not source.is_file():
        raise DatasetNotFoundError(Text("images.not_found", path=str(source)))
    elif source.suffix.lower() in ARCHIVE_SUFFIXES or _starts_like_zip(source):
        listing = _list_zip(source, limits)
    else:
        listing = Listing(source.parent, (ImageFile(source, name=source.name),))
    if not listing.files:
        raise DataFormatError(_why_nothing(source, listing.refusals))
    return listing


def _why_nothing(source: Path, refusals: Sequence[Refusal]) -> Text:
    if refusals:
        return refusals[0].text
    kind = "folder" if source.is_dir() else "zip"
    return Text(f"images.empty_{kind}", file=source.name)


def file_sha256(file: ImageFile) -> str:
    """Return the SHA-256 of a file's content, hexadecimal.

    It is remembered for as long as size and time of the file stay the same, so that a page that
    asks again does not read the file again.
    """
    state = file.path.stat()
    return _sha256(file, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _sha256(file: ImageFile, size: int, changed_ns: int) -> str:
    if not file.member:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    sink = _HashSink()
    copy_member(file, sink)
    return sink.digest.hexdigest()


class _Sink(Protocol):
    """Take bytes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


class _HashSink:
    """Take bytes and keep their hash alone."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self.digest.update(data)


# --- folders --------------------------------------------------------------------------------


def _list_folder(folder: Path, limits: Limits) -> Listing:
    root = folder.resolve()
    files: list[ImageFile] = []
    refusals: list[Refusal] = []
    others: list[str] = []
    for path in _walk(root, limits):
        name = path.relative_to(root).as_posix()
        shown = name.encode("utf-8", "replace").decode()
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            others.append(shown)
        elif shown != name:  # an old system need not write names in UTF-8
            refusals.append(Refusal(shown, Text("images.name_no_text", file=shown)))
        elif path.is_symlink() and not stays_below(root, path):
            refusals.append(Refusal(name, Text("images.link_outside", file=name)))
        elif not path.is_file() or not os.access(path, os.R_OK):
            refusals.append(Refusal(name, Text("images.unreadable", file=name)))
        else:
            files.append(ImageFile(path, name=name))
    files.sort(key=lambda file: natural_key(file.name))
    return Listing(root, tuple(files), (*refusals, *_other_kinds(others)))


def _other_kinds(names: Sequence[str]) -> Iterator[Refusal]:
    """Say once a kind that pictures of it are left out."""
    for ending in sorted(OTHER_PICTURES):
        found = [name for name in names if name.lower().endswith(ending)]
        if found:
            text = Text("images.other_kind", ending=ending, file=found[0], n=len(found))
            yield Refusal(found[0], text)


def stays_below(root: Path, link: Path) -> bool:
    """Tell whether a link leads to something below a resolved folder."""
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a circle of links
        return False


def _only_zip(folder: Path) -> Path | None:
    found = [p for p in folder.iterdir() if p.suffix.lower() in ARCHIVE_SUFFIXES and p.is_file()]
    is_single = len(found) == 1 and not found[0].is_symlink()
    return found[0].resolve() if is_single else None


def _walk(root: Path, limits: Limits) -> Iterator[Path]:
    """Yield the files below `root`, not following linked folders, within the limits."""
    seen = 0
    for folder, subfolders, names in os.walk(root, followlinks=False):
        depth = len(Path(folder).relative_to(root).parts)
        keep = [n for n in subfolders if not _is_litter(n)] if depth < limits.max_depth else []
        subfolders[:] = sorted(keep)
        seen += len(names)
        if seen > limits.max_files:
            raise DataFormatError(
                Text("images.too_many_files", file=root.name, limit=limits.max_files)
            )
        yield from (Path(folder, name) for name in sorted(names) if not _is_litter(name))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


# --- archives -------------------------------------------------------------------------------


def open_zip(path: Path, most_files: int = MOST_MEMBERS) -> zipfile.ZipFile:
    """Open an archive for reading; folders are parted by "/", whatever system packed it.

    Args:
        path: The archive.
        most_files: Most members that it may list; more are refused before they are parsed.

    Raises:
        DataFormatError: It is no readable zip, or lists more than is allowed.
    """
    try:
        if most_members(path) > most_files:
            raise DataFormatError(Text("images.too_many_files", file=path.name, limit=most_files))
        archive = zipfile.ZipFile(path)
    except DataFormatError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataFormatError(Text("images.zip_broken", file=path.name)) from error
    # some packers of Windows write backslashes; `zipfile` turns them on Windows alone
    for info in (i for i in archive.infolist() if "\\" in i.filename):
        archive.NameToInfo.pop(info.filename, None)  # one name may stand there twice
        info.filename = info.filename.replace("\\", "/")
        archive.NameToInfo[info.filename] = info
    return archive


def most_members(path: Path) -> int:
    """Count the marks of members in the directory of a zip, without parsing it.

    A million members take half a gigabyte and ten seconds when they are parsed. What the archive
    claims of their number is not believed.

    Returns:
        At least the number of members; 0 where no directory is found.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _ZIP_TAIL_BYTES))
        tail = file.read()
        end = tail.rfind(b"PK\x05\x06")
        if not 0 <= end <= len(tail) - _ZIP_END.size:
            return 0
        (num_bytes,) = _ZIP_END.unpack_from(tail, end)
        far = tail.rfind(b"PK\x06\x06", 0, end)
        if num_bytes == _ZIP_IS_64 and 0 <= far <= len(tail) - _ZIP64_END.size:
            (num_bytes,) = _ZIP64_END.unpack_from(tail, far)
        begin = max(0, size - len(tail) + end - num_bytes - _ZIP64_ENDS_BYTES)
        file.seek(begin)
        return _count(file, b"PK\x01\x02", size - begin)


def _count(file: IO[bytes], mark: bytes, num_bytes: int) -> int:
    found, rest = 0, b""
    for start in range(0, num_bytes, _ZIP_BLOCK_BYTES):
        block = rest + file.read(min(_ZIP_BLOCK_BYTES, num_bytes - start))
        found += block.count(mark)
        rest = block[1 - len(mark) :]
    return found


def copy_member(file: ImageFile, target: _Sink, limits: Limits = DEFAULT_LIMITS) -> None:
    """Copy the unpacked bytes of an archive member, at most as many as its header declares.

    Raises:
        DataFormatError: The member is damaged, encrypted, or larger than allowed.
    """
    with open_zip(file.path) as archive:
        info = archive.getinfo(file.member)
        _check_size(file.path.name, info, limits)
        try:
            with archive.open(info) as packed:
                while chunk := packed.read(1 << 20):
                    target.write(chunk)
        except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as e:
            raise DataFormatError(Text("images.zip_member_broken", file=file.label)) from e
        except zlib_errors() as e:
            raise DataFormatError(Text("images.zip_member_broken", file=file.label)) from e


@functools.cache
def zlib_errors() -> tuple[type[Exception], ...]:
    """Return what the decompressors raise for damaged data."""
    import lzma
    import zlib

    return (zlib.error, lzma.LZMAError)


def _starts_like_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise DataFormatError(Text("images.unreadable", file=path.name)) from error


def _list_zip(path: Path, limits: Limits) -> Listing:
    with open_zip(path, limits.max_files) as archive:
        everything = archive.infolist()
    if len(everything) > limits.max_files:
        raise DataFormatError(Text("images.too_many_files", file=path.name, limit=limits.max_files))
    _check_archive(path, everything, limits)
    infos = [i for i in everything if not i.is_dir() and not _is_litter_path(i)]
    counts = Counter(_plain(info) for info in infos)
    files: list[ImageFile] = []
    refusals: list[Refusal] = []
    others = [info.filename for info in infos if info.filename.lower().endswith(_OTHER_ENDINGS)]
    for info in infos:
        name = f"{path.name}!{info.filename}"
        refusal = _refuse_member(info, name, counts)
        if refusal is not None:
            if name not in {r.name for r in refusals}:
                refusals.append(Refusal(name, refusal))
        elif PurePosixPath(info.filename).suffix.lower() in IMAGE_SUFFIXES:
            files.append(ImageFile(path, info.filename, name))
    files.sort(key=lambda file: natural_key(file.member))
    return Listing(path.parent, tuple(files), (*refusals, *_other_kinds(others)))


def _check_archive(path: Path, infos: Sequence[zipfile.ZipInfo], limits: Limits) -> None:
    """Refuse the whole archive when it looks like an attack or cannot be opened at all."""
    for info in infos:
        if _leaves_the_folder(info):
            raise DataFormatError(
                Text("images.zip_unsafe_name", file=path.name, member=info.filename)
            )
        if info.flag_bits & 0x1:
            raise DataFormatError(Text("images.zip_encrypted", file=path.name))
    refuse_bomb(path, infos, limits)
    total = sum(info.file_size for info in infos)
    if total > limits.max_total_bytes:
        raise DataFormatError(
            Text("images.zip_too_big", file=path.name, size=total, limit=limits.max_total_bytes)
        )


def refuse_bomb(
    path: Path, infos: Sequence[zipfile.ZipInfo], limits: Limits = DEFAULT_LIMITS
) -> None:
    """Refuse an archive whose members share their bytes, or unpack to far too much.

    Raises:
        DataFormatError: It is one.
    """
    for info in infos:
        _check_size(path.name, info, limits)
    size = max(path.stat().st_size, 1)
    if sum(info.compress_size for info in infos) > size:
        raise DataFormatError(Text("images.zip_broken", file=path.name))
    total = sum(info.file_size for info in infos)
    if total > max(_MOST_PACKED_WELL, limits.max_ratio * size):
        largest = max(infos, key=lambda info: info.file_size).filename
        raise DataFormatError(
            Text("images.zip_bomb", file=path.name, member=largest, ratio=round(total / size))
        )


def _check_size(archive: str, info: zipfile.ZipInfo, limits: Limits) -> None:
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > _HARMLESS_BYTES and ratio > limits.max_ratio:
        raise DataFormatError(
            Text("images.zip_bomb", file=archive, member=info.filename, ratio=round(ratio))
        )


def _refuse_member(info: zipfile.ZipInfo, name: str, counts: Counter[str]) -> Text | None:
    suffix = PurePosixPath(info.filename).suffix.lower()
    if stat.S_ISLNK(info.external_attr >> 16):
        return Text("images.zip_link", file=name)
    if suffix in _OTHER_ARCHIVES:
        return Text("images.zip_nested", file=name)
    if counts[_plain(info)] > 1:
        return Text("images.zip_twice", file=name)
    return None


def _plain(info: zipfile.ZipInfo) -> str:
    # Two names that differ in case alone are one file on Windows and macOS.
    return str(PurePosixPath(info.filename)).casefold()


def _is_litter_path(info: zipfile.ZipInfo) -> bool:
    return any(_is_litter(part) for part in PurePosixPath(info.filename).parts if part != "..")


def _leaves_the_folder(info: zipfile.ZipInfo) -> bool:
    # `orig_filename` still has the backslashes and the bytes behind a NUL.
    name = info.orig_filename
    windows = PureWindowsPath(name)
    is_absolute = name.startswith(("/", "\\")) or bool(windows.drive)
    return is_absolute or ".." in windows.parts or "\0" in name
