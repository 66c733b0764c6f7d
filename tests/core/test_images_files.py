import os
import stat
import struct
import warnings
import zipfile

import numpy as np
import pytest
from tifffile import imwrite

from pipelines.core import images_files
from pipelines.core.images_files import Limits, list_image_files, natural_key, open_zip
from pipelines.errors import DataFormatError, DatasetNotFoundError
from tests.wording import assert_clear


@pytest.fixture
def tiff_bytes(tmp_path):
    path = tmp_path / "source.tif"
    imwrite(path, np.zeros((4, 4), np.uint8))
    content = path.read_bytes()
    path.unlink()
    return content


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def refused(path, *names, **options):
    with pytest.raises(DataFormatError) as caught:
        list_image_files(path, **options)
    assert_clear(caught.value.text, path.name, *names)


def test_numbers_in_names_sort_by_value():
    names = ["s10", "s2", "S1", "s02b", "t"]
    assert sorted(names, key=natural_key) == ["S1", "s2", "s02b", "s10", "t"]


def test_a_missing_path_is_told_apart_from_an_empty_folder(tmp_path):
    with pytest.raises(DatasetNotFoundError):
        list_image_files(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("no image")
    refused(tmp_path)


def test_hidden_files_and_litter_are_no_images(tmp_path, tiff_bytes):
    for name in (".hidden.tif", "__MACOSX/._a.tif", "sub/a.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(tiff_bytes)
    assert [f.name for f in list_image_files(tmp_path).files] == ["sub/a.tif"]


def test_a_link_that_leads_out_is_left_out_and_the_rest_stays(tmp_path, tiff_bytes):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.tif").write_bytes(tiff_bytes)
    (inside / "a.tif").write_bytes(tiff_bytes)
    (inside / "b.tif").symlink_to(outside / "secret.tif")
    (inside / "folder").symlink_to(outside)
    (inside / "c.tif").symlink_to(inside / "a.tif")
    listing = list_image_files(inside)
    assert [f.name for f in listing.files] == ["a.tif", "c.tif"]
    assert [r.name for r in listing.refusals] == ["b.tif"]
    assert_clear(listing.refusals[0].text, "b.tif")


def test_a_zip_packed_on_windows_has_folders(tmp_path, tiff_bytes):
    """Backslashes stood in one long file name, so class folders and with them labels were lost."""
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("p\\", "p\\cats\\", "p\\cats\\1.tif", "p\\dogs\\1.tif", "p\\Thumbs.db"):
            info = zipfile.ZipInfo("x")
            info.filename = name  # the constructor would turn it on Windows
            archive.writestr(info, b"" if name.endswith("\\") else tiff_bytes)
    found = list_image_files(packed)
    assert [f.member for f in found.files] == ["p/cats/1.tif", "p/dogs/1.tif"]
    with open_zip(packed) as archive:
        assert archive.read("p/cats/1.tif") == tiff_bytes


def test_pictures_of_other_kinds_are_named_once_a_kind(tmp_path, tiff_bytes):
    """They vanished without a word."""
    names = ("a.tif", "b.webp", "c.webp", "d.GIF", "notes.txt")
    for name in names:
        (tmp_path / name).write_bytes(tiff_bytes)
    packed = make_zip(tmp_path / "a.zip", [(name, tiff_bytes) for name in names])
    for source in (tmp_path, packed):
        found = list_image_files(source)
        assert len(found.files) == 1
        assert [(r.name, r.text.params["n"]) for r in found.refusals] == [
            ("d.GIF", 1),
            ("b.webp", 2),
        ]
        assert_clear(found.refusals[1].text, "b.webp")
    with pytest.raises(DataFormatError) as caught:
        list_image_files(make_zip(tmp_path / "b.zip", [("b.webp", tiff_bytes)]))
    assert_clear(caught.value.text, "b.webp")


def test_too_many_files_are_refused_before_they_are_opened(tmp_path, tiff_bytes):
    for index in range(5):
        (tmp_path / f"{index}.tif").write_bytes(tiff_bytes)
    refused(tmp_path, limits=Limits(max_files=4))


def test_a_folder_with_nothing_but_a_zip_stands_for_it(tmp_path, tiff_bytes):
    make_zip(tmp_path / "a.zip", [("sub/a.tif", tiff_bytes)])
    listing = list_image_files(tmp_path)
    assert (listing.root, [f.name for f in listing.files]) == (tmp_path, ["a.zip!sub/a.tif"])
    make_zip(tmp_path / "b.zip", [("sub/a.tif", tiff_bytes)])
    refused(tmp_path)


def test_an_empty_zip_is_refused(tmp_path):
    refused(make_zip(tmp_path / "a.zip", []))


def test_a_zip_without_images_is_refused(tmp_path):
    refused(make_zip(tmp_path / "a.zip", [("notes.txt", b"none")]))


def test_something_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and then nothing that fits")
    refused(tmp_path / "a.zip")


@pytest.mark.parametrize(
    "name",
    ["../a.tif", "x/../../a.tif", "/etc/a.tif", "C:/a.tif", "..\\a.tif", "\\\\host\\share\\a.tif"],
)
def test_a_zip_with_a_name_that_leaves_its_folder_is_refused(tmp_path, tiff_bytes, name):
    refused(make_zip(tmp_path / "a.zip", [("good.tif", tiff_bytes), (name, tiff_bytes)]))


def test_a_link_in_a_zip_is_left_out(tmp_path, tiff_bytes):
    link = zipfile.ZipInfo("link.tif")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = make_zip(tmp_path / "a.zip", [("good.tif", tiff_bytes), (link, b"/etc/passwd")])
    listing = list_image_files(path)
    assert [f.member for f in listing.files] == ["good.tif"]
    assert_clear(listing.refusals[0].text, "link.tif")


def test_an_archive_in_an_archive_is_left_out(tmp_path, tiff_bytes):
    inner = make_zip(tmp_path / "inner.zip", [("a.tif", tiff_bytes)]).read_bytes()
    path = make_zip(tmp_path / "a.zip", [("inner.zip", inner), ("good.tif", tiff_bytes)])
    listing = list_image_files(path)
    assert [f.member for f in listing.files] == ["good.tif"]
    assert_clear(listing.refusals[0].text, "inner.zip")
    refused(make_zip(tmp_path / "b.zip", [("inner.zip", inner)]), "inner.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["a.tif", "A.tif", "./a.tif"])
def test_two_files_of_one_name_are_left_out_and_the_rest_stays(tmp_path, tiff_bytes, other):
    members = [("a.tif", tiff_bytes), (other, tiff_bytes), ("good.tif", tiff_bytes)]
    listing = list_image_files(make_zip(tmp_path / "a.zip", members))
    assert [f.member for f in listing.files] == ["good.tif"]
    assert_clear(listing.refusals[0].text, "tif")


def test_a_zip_bomb_is_refused_without_being_unpacked(tmp_path):
    bomb = make_zip(tmp_path / "a.zip", [("a.tif", b"\0" * 80_000_000)])
    assert bomb.stat().st_size < 100_000
    refused(bomb, "a.tif")


def test_a_zip_above_the_limit_in_total_is_refused(tmp_path):
    content = np.random.default_rng(0).bytes(1000)
    path = make_zip(tmp_path / "a.zip", [("a.tif", content), ("b.tif", content)])
    refused(path, limits=Limits(max_total_bytes=1500))


def test_an_encrypted_zip_is_refused(tmp_path, tiff_bytes):
    path = make_zip(tmp_path / "a.zip", [("a.tif", tiff_bytes)])
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1  # flag of the central directory
    path.write_bytes(content)
    refused(path)


def test_a_damaged_member_is_refused_when_it_is_read(tmp_path, tiff_bytes):
    from pipelines.core.images import open_stack

    path = make_zip(tmp_path / "a.zip", [("a.tif", np.random.default_rng(0).bytes(3000))])
    content = bytearray(path.read_bytes())
    content[200:260] = b"\xff" * 60
    path.write_bytes(content)
    with pytest.raises(DataFormatError) as caught:
        open_stack(list_image_files(path).files)
    assert_clear(caught.value.text, "a.tif")


def directory(path, count, *, claimed=None, num_bytes=0, packed_bytes=0):
    """Write a zip whose directory names `count` members, all of them at its beginning."""
    sizes = struct.pack("<III", 0, packed_bytes, num_bytes)
    head = struct.pack("<4sHHHHHH", b"PK\x01\x02", 20, 20, 0, 0, 0, 0) + sizes
    head += struct.pack("<HHHHHII", 9, 0, 0, 0, 0, 0, 0)
    entries = b"".join(head + b"%05d.tif" % i for i in range(count))
    local = (
        struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 9, 0) + b"00000.tif"
    )
    said = count if claimed is None else claimed
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, said, said, len(entries), len(local), 0)
    path.write_bytes(local + entries + end)
    return path


@pytest.mark.parametrize("claimed", [None, 1])
def test_a_zip_of_too_many_members_is_refused_before_they_are_parsed(
    tmp_path, monkeypatch, claimed
):
    """A million of them took half a gigabyte, and twenty seconds until they were refused."""
    path = directory(tmp_path / "many.zip", 101, claimed=claimed)
    assert images_files.most_members(path) == 101
    monkeypatch.setattr(zipfile, "ZipFile", None)
    refused(path, "many.zip", limits=Limits(max_files=100))


def test_members_are_counted_across_blocks_and_behind_zip64_records(tmp_path, monkeypatch):
    monkeypatch.setattr(images_files, "_ZIP_BLOCK_BYTES", 7)
    assert images_files.most_members(directory(tmp_path / "a.zip", 31)) == 31
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = make_zip(tmp_path / "b.zip", [(f"{i}.txt", b"x") for i in range(5)])
    assert b"PK\x06\x06" in path.read_bytes()
    assert images_files.most_members(path) == 5


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """2,000 names of one body of 60 kB were read as 126 GB of pictures."""
    path = directory(tmp_path / "a.zip", 50, num_bytes=63_000_000, packed_bytes=60_000)
    refused(path, "a.zip")


def test_members_that_unpack_to_far_too_much_together_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images_files, "_MOST_PACKED_WELL", 1_000_000)
    path = make_zip(tmp_path / "a.zip", [(f"{i}.png", bytes(400_000)) for i in range(4)])
    refused(path, "a.zip", ".png")
    make_zip(path, [("0.png", bytes(400_000))])
    assert [f.member for f in list_image_files(path).files] == ["0.png"]


def test_one_windows_name_that_stands_twice_in_a_zip_is_left_out(tmp_path, tiff_bytes):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("a\\b.tif", "a\\b.tif", "a\\c.tif"):
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, tiff_bytes)
    listing = list_image_files(path)
    assert [f.member for f in listing.files] == ["a/c.tif"]
    assert len(listing.refusals) == 1


@pytest.mark.skipif(os.name == "nt", reason="names are always text there")
def test_a_name_that_is_no_text_is_left_out_and_the_rest_stays(tmp_path, tiff_bytes):
    """It could not be written into a record, which ended as a bug."""
    (tmp_path / "good.tif").write_bytes(tiff_bytes)
    try:
        (tmp_path / "caf\udce9.tif").write_bytes(tiff_bytes)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    listing = list_image_files(tmp_path)
    assert [f.name for f in listing.files] == ["good.tif"]
    assert [r.name for r in listing.refusals] == ["caf?.tif"]
    assert_clear(listing.refusals[0].text, "caf?.tif")
