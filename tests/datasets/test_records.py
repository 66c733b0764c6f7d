import json
from dataclasses import replace

import pytest

from pipelines.core.files import write_json
from pipelines.datasets import (
    delete_dataset,
    list_datasets,
    load_dataset,
    record_from_json,
    record_to_json,
    register,
    restore_dataset,
    verify_files,
)
from pipelines.datasets.records import rename_dataset
from pipelines.datasets.reports import load_report
from pipelines.errors import DataFormatError, DatasetNotFoundError, DiskFullError
from tests.wording import assert_clear


def test_a_record_says_what_was_registered(task, source, settings):
    record = register(task, source, {}, settings)
    assert record.dataset_id.startswith("ete-2012-")
    assert (record.title, record.owner, record.root) == ("Été 2012", "marie", source)
    assert [item.item_id for item in record.items] == ["a1", "a2", "a3", "b1", "b2"]
    assert not record.is_generated
    assert load_dataset(record.dataset_id, settings) == record


def test_a_record_survives_json(task, source, settings):
    record = register(task, source, {}, settings)
    assert record_from_json(json.loads(json.dumps(record_to_json(record)))) == record


def test_the_same_content_registered_again_is_the_same_data_set(task, source, settings):
    first = register(task, source, {}, settings, title="Mine")
    again = register(task, source, {}, settings)
    assert again == first
    assert len(list_datasets(settings)) == 1


def test_other_options_bring_the_record_up_to_date(task, source, settings):
    first = register(task, source, {}, settings)
    changed = register(task, source, {"case": "upper"}, settings)
    assert changed == replace(first, options={"case": "upper"})
    assert load_dataset(first.dataset_id, settings) == changed


def test_a_moved_data_set_keeps_its_id(task, source, settings):
    first = register(task, source, {}, settings)
    moved = source.rename(source.with_name("elsewhere"))
    again = register(task, moved, {}, settings)
    assert again == replace(first, root=moved)
    assert verify_files(again) == []


def test_other_content_is_another_data_set(task, source, settings):
    first = register(task, source, {}, settings)
    (source / "a1.txt").write_text("changed")
    second = register(task, source, {}, settings)
    assert second.dataset_id != first.dataset_id
    assert list_datasets(settings)[0].dataset_id == second.dataset_id
    assert list_datasets(settings, "other_task") == []


def test_what_cannot_be_used_is_refused_with_its_reason(task, settings, tmp_path):
    empty = tmp_path / "allowed" / "empty"
    empty.mkdir()
    with pytest.raises(DataFormatError) as caught:
        register(task, empty, {}, settings)
    assert_clear(caught.value.text, "empty")
    assert list_datasets(settings) == []


def test_changed_and_vanished_files_are_named(task, source, settings):
    record = register(task, source, {}, settings)
    assert verify_files(record) == []
    (source / "a2.txt").write_text("other")
    (source / "b1.txt").unlink()
    problems = verify_files(record)
    assert [(p.path, p.text.id) for p in problems] == [
        ("a2.txt", "data.file_changed"),
        ("b1.txt", "data.file_vanished"),
    ]
    for problem in problems:
        assert_clear(problem.text, problem.path)


def test_a_deleted_data_set_can_be_had_back(task, source, settings):
    record = register(task, source, {}, settings)
    delete_dataset(record.dataset_id, settings)
    assert list_datasets(settings) == []
    with pytest.raises(DatasetNotFoundError):
        load_dataset(record.dataset_id, settings)
    assert restore_dataset(record.dataset_id, settings) == record
    assert list_datasets(settings) == [record]
    assert source.is_dir()


def test_deleting_twice_keeps_the_newest(task, source, settings):
    record = register(task, source, {}, settings)
    delete_dataset(record.dataset_id, settings)
    record = register(task, source, {"case": "upper"}, settings)
    delete_dataset(record.dataset_id, settings)
    assert restore_dataset(record.dataset_id, settings).options == {"case": "upper"}


def test_a_new_title_leaves_the_id(task, source, settings):
    record = register(task, source, {}, settings)
    assert rename_dataset(record.dataset_id, "Fly", settings) == replace(record, title="Fly")
    assert register(task, source, {}, settings).title == "Fly"


@pytest.mark.parametrize("dataset_id", ["../../etc", "", "a/b", "UPPER", "x" * 200, "unknown-1"])
def test_an_id_from_an_address_cannot_leave_the_folder(settings, dataset_id):
    for act in (load_dataset, delete_dataset, restore_dataset):
        with pytest.raises(DatasetNotFoundError) as caught:
            act(dataset_id, settings)
        assert_clear(caught.value.text)


def test_a_damaged_record_hides_no_other(task, source, settings, caplog):
    record = register(task, source, {}, settings)
    broken = settings.data / "datasets" / "broken-1" / "record.json"
    broken.parent.mkdir()
    broken.write_text("{")
    assert list_datasets(settings) == [record]
    assert "broken-1" in caplog.text
    with pytest.raises(DataFormatError) as caught:
        load_dataset("broken-1", settings)
    assert_clear(caught.value.text, "broken-1")


def test_a_damaged_record_is_replaced_when_its_content_is_registered_again(task, source, settings):
    record = register(task, source, {}, settings)
    path = settings.data / "datasets" / record.dataset_id / "record.json"
    path.write_text('{"dataset_id"')
    assert register(task, source, {}, settings).dataset_id == record.dataset_id
    assert load_dataset(record.dataset_id, settings).files == record.files


def test_a_full_disk_leaves_the_old_record(task, source, settings, monkeypatch):
    import errno
    import os

    record = register(task, source, {}, settings)
    path = settings.data / "datasets" / record.dataset_id / "record.json"

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError) as caught:
        write_json(path, {"new": 1})
    monkeypatch.undo()
    assert_clear(caught.value.text)
    assert load_dataset(record.dataset_id, settings) == record
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "record.json",
        "report.json",
    ]


def test_the_report_of_a_data_set_comes_back_as_it_was_found(task, source, settings):
    record = register(task, source, {}, settings)
    found = task.inspect(source, {})
    report = load_report(record.dataset_id, settings)
    assert report is not None
    assert report.facts == found.facts
    assert report.problems == found.problems
    assert report.source == source.resolve()


def test_a_missing_or_damaged_report_is_none(task, source, settings):
    record = register(task, source, {}, settings)
    path = settings.data / "datasets" / record.dataset_id / "report.json"
    path.write_text('{"facts": 3}')
    assert load_report(record.dataset_id, settings) is None
    path.unlink()
    assert load_report(record.dataset_id, settings) is None
