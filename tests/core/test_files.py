"""Writing where it is not possible, and reading what may come from anybody."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pipelines.core.files import (
    disk_errors,
    existing_path,
    new_folder,
    parse_json,
    replaced_file,
    write_json,
)
from pipelines.errors import DatasetNotFoundError, DiskFullError, NotWritableError
from pipelines.text import LANGUAGES, render


@pytest.mark.parametrize("deep", [b"[" * 200_000, b'{"a":' * 200_000, "[" * 200_000])
def test_json_nested_without_end_is_broken_json(deep: bytes | str) -> None:
    with pytest.raises(ValueError, match="deep"):
        parse_json(deep)


def test_json_cut_in_half_is_broken_json() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        parse_json(b'{"a": ')
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("place", ["file/below", "file/far/below", "n" * 300, "/proc/nowhere/x"])
def test_a_place_that_can_be_no_folder_is_named_in_both_languages(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(NotWritableError) as caught, new_folder(tmp_path / place):
        raise AssertionError("nothing can be filled there")
    said = {render(caught.value.text, language) for language in LANGUAGES}
    assert len(said) == len(LANGUAGES)
    assert all(str(tmp_path / place) in words for words in said)


def test_a_protected_place_is_told_from_a_file_that_was_to_be_read(tmp_path: Path) -> None:
    """A folder may hold a copy whose source is gone: that is no fault of the folder."""
    target = tmp_path / "folder" / "file"
    denied = PermissionError(errno.EACCES, "denied", str(target.parent))
    with pytest.raises(NotWritableError), disk_errors(target):
        raise denied
    gone = FileNotFoundError(errno.ENOENT, "gone", "/elsewhere/source")
    with pytest.raises(FileNotFoundError), disk_errors(target):
        raise gone
    with pytest.raises(DiskFullError), disk_errors(target):
        raise OSError(errno.ENOSPC, "full", str(target))


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"director|folder"):
        write_json(tmp_path / "folder", {})
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("typed", ["", "  ", "\0", "a" * 5000, "~nobody-of-that-name/x", "gone"])
def test_what_is_no_path_is_not_there(typed: str) -> None:
    with pytest.raises(DatasetNotFoundError):
        existing_path(typed)


def broken_off(path: Path, error: BaseException) -> None:
    with replaced_file(path) as beside:
        beside.write_bytes(b"tw")
        raise error


def test_a_file_is_replaced_when_it_is_whole_and_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with replaced_file(path) as beside:
        beside.write_bytes(b"one")
    assert beside.suffix == ".npz"
    with pytest.raises(KeyboardInterrupt):
        broken_off(path, KeyboardInterrupt())
    with pytest.raises(DiskFullError, match=r"a\.npz"):
        broken_off(path, OSError(errno.ENOSPC, "No space left on device"))
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]
