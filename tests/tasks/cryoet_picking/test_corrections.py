import dataclasses
import json
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking import TASK, volumes
from pipelines.tasks.cryoet_picking.corrections import Editor
from pipelines.tasks.cryoet_picking.metrics import Counts
from tests.tasks.cryoet_picking.conftest import record_of
from tests.wording import assert_clear


@pytest.fixture
def editor(tree):
    return Editor.begin(TASK.open_dataset(record_of(tree))[0])


def test_truth_scores_and_deleting_lowers_the_score(editor):
    before = editor.score()["f4"]
    row = int(np.flatnonzero(editor.picks.kind_names() == "ribosome")[0])
    editor.delete(row)
    assert editor.score()["f4"] < before


def test_undo_and_redo_walk_the_whole_history(editor):
    states = [editor.picks]
    editor.add("ribosome", (100.0, 100.0, 100.0))
    states.append(editor.picks)
    editor.move(0, (1.0, 2.0, 3.0))
    states.append(editor.picks)
    editor.reclass(1, "thyroglobulin")
    states.append(editor.picks)
    editor.delete(2)
    states.append(editor.picks)
    for state in states[-2::-1]:
        assert editor.undo()
        assert_allclose(editor.picks.positions, state.positions)
        assert (editor.picks.kind_index == state.kind_index).all()
    assert not editor.undo()
    for state in states[1:]:
        assert editor.redo()
        assert_allclose(editor.picks.positions, state.positions)
    assert not editor.redo()


def test_a_new_change_forgets_what_was_taken_back(editor):
    editor.add("ribosome", (1.0, 1.0, 1.0))
    editor.undo()
    editor.add("ribosome", (2.0, 2.0, 2.0))
    assert not editor.can_redo
    assert_allclose(editor.picks.positions[-1], [2, 2, 2])


def test_saving_writes_the_persons_own_files_and_keeps_the_curated_ones(editor, tmp_path):
    with pytest.raises(DataFormatError) as caught:
        editor.save(tmp_path, user="curation", session="1")
    assert_clear(caught.value.text)
    files = editor.save(tmp_path, user="ada", session="3")
    assert {p.name for p in files} >= {"ada_3_ribosome.json"}
    stored = json.loads(next(p for p in files if "ribosome" in p.name).read_text())
    assert stored["user_id"] == "ada"
    assert len(stored["points"]) == editor.picks.counts()["ribosome"]


def test_counts_tell_what_one_pick_changes(editor):
    """One false pick among many moves F4 by less than is shown."""
    right = len(editor.picks)
    assert editor.counts() == Counts(right, 0, 0)
    editor.add("ribosome", (2.0, 2.0, 2.0))
    assert editor.counts() == Counts(right, 1, 0)
    editor.delete(0)
    assert editor.counts() == Counts(right - 1, 1, 1)


def test_saved_corrections_open_with_their_tomograms(tree, editor, tmp_path):
    """The picks opened alone: they could neither be trained on nor be corrected further."""
    editor.delete(0)
    record, overlay = record_of(tree), tmp_path / "overlay"
    editor.save(overlay, user="Éva", session="1")
    shutil.copytree(tree / "static", tmp_path / "data" / "static")
    moved = dataclasses.replace(record, root=tmp_path / "data")
    project = editor.write_project(overlay, moved, user="Éva")
    first, second = TASK.open_dataset(record_of(project))
    assert first.meta["has_volume"]
    assert_allclose(first.truth.picks.positions, editor.picks.positions)
    assert first.meta["particles"] == editor.particles
    assert second.truth is None, "nobody corrected the other tomogram"


def test_volumes_outside_a_tree_of_runs_make_no_project(tmp_path, editor, volume):
    volumes.write_mrc(tmp_path / "a.mrc", volume, spacing_angstrom=10.0)
    record = record_of(tmp_path / "a.mrc")
    assert editor.write_project(tmp_path / "overlay", record, user="ada") is None


def test_a_click_names_the_pick_whose_sphere_it_hits(editor):
    assert editor.nearest(editor.picks.positions[3] + 5.0) == 3
    assert editor.nearest((-9e5, 0, 0)) is None


def test_wrong_rows_and_kinds_are_refused(editor):
    for action in (lambda: editor.delete(999), lambda: editor.reclass(0, "ribosom")):
        with pytest.raises(DataFormatError) as caught:
            action()
        assert_clear(caught.value.text)
