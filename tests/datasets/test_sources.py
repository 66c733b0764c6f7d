import errno
import io

import pytest

from pipelines.datasets import new_upload_folder, resolve_source, save_upload
from pipelines.datasets.sources import safe_name
from pipelines.errors import DataError, DatasetNotFoundError, DiskFullError
from tests.wording import assert_clear


def test_a_path_below_a_root_is_resolved(source, settings):
    assert resolve_source(f'  "{source}/../{source.name}" ', settings) == source


def test_a_path_outside_names_the_roots_and_how_to_add_one(tmp_path, settings):
    for path in (tmp_path, "/etc/passwd", f"{settings.home}/../../x"):
        with pytest.raises(DataError) as caught:
            resolve_source(str(path), settings)
        assert_clear(caught.value.text, str(settings.home), "MICROSCOPY_DATA_ROOTS")


def test_a_link_that_leads_out_of_the_roots_is_refused(tmp_path, settings):
    secret = tmp_path / "secret"
    secret.mkdir()
    (settings.data_roots[1] / "link").symlink_to(secret)
    with pytest.raises(DataError) as caught:
        resolve_source(str(settings.data_roots[1] / "link"), settings)
    assert caught.value.text.id == "data.outside_roots"


def test_a_folder_whose_name_begins_like_a_root_lies_outside(tmp_path, settings):
    beside = tmp_path / "allowed-not"
    beside.mkdir()
    with pytest.raises(DataError):
        resolve_source(str(beside), settings)


@pytest.mark.parametrize("typed", ["", "  ", "a\0b", "~nobody_of_that_name/x", "y" * 5000])
def test_no_path_is_no_crash(settings, typed):
    with pytest.raises(DataError) as caught:
        resolve_source(typed, settings)
    assert_clear(caught.value.text)


def test_a_name_that_is_too_long_is_a_missing_one(settings):
    with pytest.raises(DatasetNotFoundError) as caught:
        resolve_source(str(settings.home / ("y" * 3000)), settings)
    assert_clear(caught.value.text)


def test_a_missing_path_below_a_root_is_told(settings):
    with pytest.raises(DatasetNotFoundError) as caught:
        resolve_source(str(settings.home / "none.tif"), settings)
    assert_clear(caught.value.text, "none.tif")


def test_an_upload_is_saved_whole(settings):
    content = bytes(range(256)) * 3000
    path = save_upload(io.BytesIO(content), "train-volume.tif", settings)
    assert path.read_bytes() == content
    assert path.is_relative_to(settings.data / "uploads")


def test_files_of_one_upload_lie_together_and_names_are_not_overwritten(settings):
    folder = new_upload_folder(settings)
    first = save_upload(io.BytesIO(b"1"), "a.tif", settings, folder=folder)
    save_upload(io.BytesIO(b"2"), "b.tif", settings, folder=folder)
    with pytest.raises(DataError) as caught:
        save_upload(io.BytesIO(b"3"), "a.tif", settings, folder=folder)
    assert_clear(caught.value.text, "a.tif")
    assert first.read_bytes() == b"1"
    assert sorted(p.name for p in folder.iterdir()) == ["a.tif", "b.tif"]


def test_an_upload_above_the_limit_leaves_nothing(settings):
    folder = new_upload_folder(settings)
    with pytest.raises(DataError) as caught:
        save_upload(io.BytesIO(bytes(1_000_001)), "a.tif", settings, folder=folder)
    assert_clear(caught.value.text, "a.tif", "MICROSCOPY_MAX_UPLOAD_MB")
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_nothing_of_an_upload(settings):
    class FullDisk(io.BytesIO):
        def read(self, size=-1):
            raise OSError(errno.ENOSPC, "No space left on device")

    folder = new_upload_folder(settings)
    with pytest.raises(DiskFullError) as caught:
        save_upload(FullDisk(), "a.tif", settings, folder=folder)
    assert_clear(caught.value.text)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.tif", "a.tif"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\a b.tif", "a_b.tif"),
        (".hidden", "hidden"),
        ("con.tif", "file_con.tif"),
        ("été é.png", "été_é.png"),
        ("", "upload"),
        ("...", "upload"),
        ("a\0b.tif", "a_b.tif"),
    ],
)
def test_only_the_harmless_part_of_a_name_is_used(name, safe):
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_suffix():
    assert len(safe_name("x" * 500 + ".tiff")) <= 100
    assert safe_name("x" * 500 + ".tiff").endswith(".tiff")
