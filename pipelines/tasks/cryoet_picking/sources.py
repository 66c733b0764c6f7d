"""Where the files of a data set lie: a folder or a zip, read by relative names."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipelines.contract import SourceFile
from pipelines.core.images_files import open_zip, refuse_bomb, stays_below
from pipelines.errors import DataFormatError, DatasetNotFoundError, PipelineError
from pipelines.text import Text

_MAX_FILES = 400_000
_MAX_DEPTH = 40
_MAX_JSON_BYTES = 200_000_000
_DAMAGE = (OSError, KeyError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Tree:
    """Name the files below a folder or inside a zip.

    Attributes:
        root: Folder; of a zip, the folder that it stands in.
        archive: File name of the zip, or "".
        names: Relative names with forward slashes, sorted.
    """

    root: Path
    archive: str
    names: tuple[str, ...]

    @property
    def archive_path(self) -> Path:
        """Path of the zip."""
        return self.root / self.archive

    def read(self, name: str) -> bytes:
        """Read one small file.

        Raises:
            DataFormatError: It is missing, unreadable or unreasonably large.
        """
        try:
            if self.size(name) > _MAX_JSON_BYTES:
                raise DataFormatError(Text("cryoet.file_too_large", file=name))
            if self.archive:
                return _opened(self.archive_path).read(name)
            return (self.root / name).read_bytes()
        except PipelineError:
            raise
        except _DAMAGE as error:  # an encrypted member is a RuntimeError
            raise DataFormatError(Text("cryoet.unreadable", file=name)) from error

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        try:
            if self.archive:
                return _opened(self.archive_path).getinfo(name).file_size
            return (self.root / name).stat().st_size
        except _DAMAGE as error:
            raise DataFormatError(Text("cryoet.unreadable", file=name)) from error

    def source_file(self, name: str, role: str) -> SourceFile:
        """Return the fingerprint of one file.

        Raises:
            DataFormatError: It cannot be read.
        """
        digest = hashlib.sha256()
        try:
            with (
                _opened(self.archive_path).open(name)
                if self.archive
                else (self.root / name).open("rb")
            ) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except _DAMAGE as error:
            raise DataFormatError(Text("cryoet.unreadable", file=name)) from error
        path = f"{self.archive}!{name}" if self.archive else name
        return SourceFile(path, role, self.size(name), digest.hexdigest())


def _opened(archive: Path) -> zipfile.ZipFile:
    state = archive.stat()
    return _archive(archive, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _archive(path: Path, size: int, changed_ns: int) -> zipfile.ZipFile:
    """Open a zip once: its directory, parsed for each of a thousand small files, took minutes."""
    del size, changed_ns  # part of the key alone
    return zipfile.ZipFile(path)


def open_tree(source: Path) -> Tree:
    """List the files of a folder, of a zip, or of one file or Zarr folder on its own.

    Raises:
        DatasetNotFoundError: Nothing stands there.
        DataFormatError: A broken zip, a zip with unsafe names, or far too many files.
    """
    if not source.exists():
        raise DatasetNotFoundError(Text("cryoet.not_there", path=str(source)))
    if source.is_file() and source.suffix.lower() == ".zip":
        return Tree(source.parent, source.name, _zip_names(source))
    if source.is_file():
        return Tree(source.parent, "", (source.name,))
    if not source.is_dir():  # a pipe or a device
        raise DataFormatError(Text("cryoet.unreadable", file=source.name))
    if is_zarr_folder(source):
        names = tuple(f"{source.name}/{n}" for n in _folder_names(source))
        return Tree(source.parent, "", names)
    return Tree(source, "", _folder_names(source))


def is_zarr_folder(folder: Path) -> bool:
    """Tell whether a folder is a Zarr group or array itself."""
    return any((folder / n).is_file() for n in (".zgroup", ".zattrs", ".zarray", "zarr.json"))


def tree_of_record(root: Path, paths: tuple[str, ...]) -> Tree:
    """Rebuild the tree from the paths that a data set recorded (not every chunk is among them)."""
    archive = paths[0].partition("!")[0] if paths and "!" in paths[0] else ""
    names = tuple(p.partition("!")[2] if "!" in p else p for p in paths)
    return Tree(root, archive, names)


def _zip_names(source: Path) -> tuple[str, ...]:
    with open_zip(source, _MAX_FILES) as file:
        infos = [i for i in file.infolist() if not i.is_dir()]
    refuse_bomb(source, infos)
    names = [i.filename for i in infos]
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in name:
            raise DataFormatError(Text("cryoet.unsafe_zip", file=source.name, name=name))
    if not names:
        raise DataFormatError(Text("cryoet.empty_zip", file=source.name))
    return tuple(sorted(n for n in names if not n.startswith("__MACOSX/")))


def _folder_names(folder: Path) -> tuple[str, ...]:
    names = list(itertools.islice(_walk(folder, "", folder.resolve()), _MAX_FILES + 1))
    if len(names) > _MAX_FILES:
        raise DataFormatError(Text("cryoet.too_many_files", n=_MAX_FILES, path=str(folder)))
    return tuple(sorted(names))


def _walk(folder: Path, prefix: str, root: Path) -> Iterator[str]:
    """Yield the plain files below a folder; links that lead out of `root` are no part of it.

    Nor is what lies deeper than any tree of tomograms: Python ends at a thousand folders.
    """
    if prefix.count("/") > _MAX_DEPTH:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_symlink() and not stays_below(root, Path(entry.path)):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", root)
            elif entry.is_file():
                yield f"{prefix}{entry.name}"
