"""Marks on wrong labels: every step back and forth, and nothing lost by a restart."""

import csv
import io

import pytest

from pipelines.core.classification.marks import LabelMarks
from pipelines.errors import DataFormatError


def test_undo_and_redo_walk_the_whole_history_and_survive_a_restart(tmp_path):
    path = tmp_path / "labels.me.json"
    marks = LabelMarks(path, "me")
    states = [marks.wrong]
    for name in ("a", "b", "a", "c", "b", "d"):
        marks.toggle(name)
        states.append(marks.wrong)
    assert states == [(), ("a",), ("a", "b"), ("b",), ("b", "c"), ("c",), ("c", "d")]
    for state in reversed(states[:-1]):
        LabelMarks(path, "me").undo()
        assert LabelMarks(path, "me").wrong == state
    for state in states[1:]:
        LabelMarks(path, "me").redo()
        assert LabelMarks(path, "me").wrong == state
    again = LabelMarks(path, "me")
    again.redo()
    assert (again.wrong, again.num_undone) == (("c", "d"), 0)


def test_a_new_mark_forgets_what_was_undone(tmp_path):
    marks = LabelMarks(tmp_path / "m.json", "me")
    marks.toggle("a")
    marks.undo()
    marks.toggle("b")
    assert (marks.wrong, marks.num_done, marks.num_undone) == (("b",), 1, 0)


def test_nothing_is_written_before_the_first_mark_and_undo_of_nothing_changes_nothing(tmp_path):
    marks = LabelMarks(tmp_path / "deep" / "m.json", "me")
    assert not marks.path.exists()
    marks.undo()
    assert marks.wrong == ()


def test_the_list_names_file_label_person_and_time(tmp_path):
    marks = LabelMarks(tmp_path / "m.json", "Ada")
    marks.toggle("b/2.png")
    marks.toggle("a,1.png")
    rows = list(csv.DictReader(io.StringIO(marks.to_csv({"b/2.png": "ill"}).decode())))
    assert [(r["file"], r["label"], r["marked_by"]) for r in rows] == [
        ("b/2.png", "ill", "Ada"),
        ("a,1.png", "", "Ada"),
    ]
    assert rows[0]["time"].endswith("+00:00")


def test_a_damaged_list_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "m.json"
    path.write_text("{")
    with pytest.raises(DataFormatError) as caught:
        LabelMarks(path, "me")
    assert caught.value.text.params["file"] == str(path)
