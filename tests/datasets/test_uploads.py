"""An upload goes with the last data set that uses it, comes back with it, and nothing else goes."""

import io
import json
import os

import pytest

from pipelines.datasets import (
    delete_dataset,
    discard_old_uploads,
    discard_upload,
    list_datasets,
    new_upload_folder,
    register,
    restore_dataset,
    save_upload,
    save_uploads,
)
from pipelines.datasets import uploads as uploading
from pipelines.datasets.uploads import upload_of
from pipelines.errors import DataError


def upload(settings, *names):
    folder = new_upload_folder(settings)
    for name in names:
        save_upload(io.BytesIO(name.encode()), name, settings, folder=folder)
    return folder


def test_an_upload_goes_with_its_data_set_and_comes_back_with_it(task, settings):
    folder = upload(settings, "a1.txt", "b1.txt")
    record = register(task, folder, {}, settings)
    delete_dataset(record.dataset_id, settings)
    assert not folder.exists()
    assert list((settings.data / "uploads").iterdir()) == []
    assert restore_dataset(record.dataset_id, settings) == record
    assert sorted(p.name for p in folder.iterdir()) == ["a1.txt", "b1.txt"]


def test_an_upload_that_nothing_was_made_of_goes_and_one_in_use_stays(task, settings, tmp_path):
    unused, used = upload(settings, "a1.txt"), upload(settings, "b1.txt")
    register(task, used, {}, settings)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (unused, used, elsewhere, settings.data / "uploads"):
        discard_upload(folder, settings)
    assert not unused.exists()
    assert (used / "b1.txt").exists()
    assert elsewhere.is_dir()


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (("train-volume.txt", "train-labels.txt"), "train"),
        (("cells_001.txt", "cells_002.txt"), "cells"),
        (("b1.txt", "a1.txt"), "a1"),
        (("1.txt", "12.txt"), "1"),
    ],
)
def test_files_uploaded_together_are_named_by_what_their_names_share(task, settings, names, title):
    """They were called by the time of the upload, as 20261121-154905-ce2a8c."""
    record = register(task, upload(settings, *names), {}, settings)
    assert record.title == title
    assert record.dataset_id.startswith(f"{title}-")
    again = register(task, upload(settings, *names), {}, settings)
    assert (again.dataset_id, again.title) == (record.dataset_id, title)


def test_what_lies_elsewhere_keeps_the_name_that_it_has(task, source, settings):
    assert register(task, source, {}, settings).title == source.name


def test_an_upload_whose_page_was_closed_goes_after_a_day(task, settings):
    """It stayed on disk for good; what a data set lies in stays, whatever its age."""
    closed, used, fresh = (upload(settings, f"{n}1.txt") for n in "abc")
    register(task, used, {}, settings)
    for folder in (closed, used):
        os.utime(folder, (0, 0))
    discard_old_uploads(settings)
    assert (closed.exists(), used.exists(), fresh.exists()) == (False, True, True)
    (aside,) = (settings.data / "trash" / ".uploads").iterdir()
    discard_old_uploads(settings)
    assert aside.exists(), "for a day more it can be brought back by hand"
    os.utime(aside, (0, 0))
    discard_old_uploads(settings)
    assert not aside.exists()


def test_no_old_upload_goes_while_a_record_is_unreadable(task, settings):
    folder = upload(settings, "a1.txt")
    os.utime(folder, (0, 0))
    broken = settings.data / "datasets" / "broken-1" / "record.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    discard_old_uploads(settings)
    assert folder.exists()


def test_nothing_is_tidied_where_nothing_was_ever_uploaded(settings):
    discard_old_uploads(settings)
    assert not settings.data.exists()


def test_of_files_uploaded_together_all_are_kept_or_none(settings):
    """Two files of one name left the first one behind, with each drawing of the page anew."""
    files = [(io.BytesIO(b"1"), "a.txt"), (io.BytesIO(b"2"), "a.txt")]
    with pytest.raises(DataError):
        save_uploads(files, settings)
    assert list((settings.data / "uploads").iterdir()) == []


def test_an_upload_stays_as_long_as_another_data_set_uses_it(task, settings):
    folder = upload(settings, "a1.txt")
    (folder / "part").mkdir()
    (folder / "part" / "c1.txt").write_text("c1")
    first = register(task, folder, {}, settings)
    second = register(task, folder / "part", {}, settings)
    delete_dataset(first.dataset_id, settings)
    assert (folder / "a1.txt").exists()
    delete_dataset(second.dataset_id, settings)
    assert not folder.exists()
    restore_dataset(first.dataset_id, settings)
    assert (folder / "part" / "c1.txt").exists()
    assert restore_dataset(second.dataset_id, settings) == second
    assert {r.dataset_id for r in list_datasets(settings)} == {first.dataset_id, second.dataset_id}


def test_an_unreadable_record_keeps_every_upload(task, settings):
    record = register(task, upload(settings, "a1.txt"), {}, settings)
    broken = settings.data / "datasets" / "broken-1" / "record.json"
    broken.parent.mkdir()
    broken.write_text("{")
    delete_dataset(record.dataset_id, settings)
    assert (record.root / "a1.txt").exists()


def test_files_that_were_opened_by_path_are_not_touched(task, source, settings):
    record = register(task, source, {}, settings)
    delete_dataset(record.dataset_id, settings)
    assert sorted(p.name for p in source.iterdir()) == [
        f"{n}.txt" for n in ("a1", "a2", "a3", "b1", "b2")
    ]


@pytest.mark.parametrize("escape", ["..", "../..", "x/../..", ".", "", "../uploads-of-another"])
def test_a_record_that_points_out_of_the_uploads_removes_nothing(task, source, settings, escape):
    """A record is a file that somebody may have written by hand."""
    folder = upload(settings, "a1.txt")
    other = settings.data / "uploads-of-another"
    other.mkdir()
    record = register(task, source, {}, settings)
    file = settings.data / "datasets" / record.dataset_id / "record.json"
    root = f"{settings.data}/uploads/{escape}"
    file.write_text(json.dumps({**json.loads(file.read_text()), "root": root}))
    delete_dataset(record.dataset_id, settings)
    assert (folder / "a1.txt").exists()
    assert other.exists()
    assert source.exists()
    assert settings.data.exists()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_link_among_the_uploads_is_not_followed(task, source, settings):
    uploads = settings.data / "uploads"
    uploads.mkdir(parents=True)
    (uploads / "link").symlink_to(source, target_is_directory=True)
    assert upload_of(uploads / "link", settings) is None
    record = register(task, uploads / "link", {}, settings)
    delete_dataset(record.dataset_id, settings)
    assert (source / "a1.txt").exists()
    assert (uploads / "link").is_symlink()


def test_a_data_set_of_all_uploads_keeps_each_of_them(task, settings):
    folder = upload(settings, "a1.txt")
    (settings.data / "uploads" / "z1.txt").write_text("z")
    whole = register(task, settings.data / "uploads", {}, settings)
    own = register(task, folder, {}, settings)
    delete_dataset(own.dataset_id, settings)
    assert folder.exists()
    delete_dataset(whole.dataset_id, settings)
    assert folder.exists(), "it was not the upload of that data set"


def test_the_space_comes_back_after_a_while(task, settings, monkeypatch):
    old = register(task, upload(settings, "a1.txt"), {}, settings)
    delete_dataset(old.dataset_id, settings)
    (aside,) = (settings.data / "trash" / ".uploads").iterdir()
    os.utime(aside, (0, 0))
    new = register(task, upload(settings, "b1.txt"), {}, settings)
    delete_dataset(new.dataset_id, settings)
    assert not aside.exists()
    assert len(list((settings.data / "trash" / ".uploads").iterdir())) == 1
    assert uploading.TRASH_KEPT_S > 3600
