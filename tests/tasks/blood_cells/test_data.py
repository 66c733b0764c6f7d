"""C-NMC's layout: classes and subjects from names, validation cells from their table."""

import numpy as np
import pytest
from PIL import Image

from pipelines import actions
from pipelines.core.classification.images import open_source
from pipelines.core.classification.labels import Tag
from pipelines.registry import get_task
from pipelines.tasks.blood_cells import data

TASK = get_task("blood_cells")


def _write(folder, name):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (90, 30, 90)).save(path)


@pytest.fixture
def tree(tmp_path):
    for name in (
        "training_data/fold_0/all/UID_11_1_1_all.bmp",
        "training_data/fold_0/hem/UID_H12_4_2_hem.bmp",
        "validation_data/C-NMC_test_prelim_phase_data/1.bmp",
        "validation_data/C-NMC_test_prelim_phase_data/2.bmp",
        "testing_data/C-NMC_test_final_phase_data/1.bmp",
    ):
        _write(tmp_path, name)
    (tmp_path / "validation_data" / "C-NMC_test_prelim_phase_data_labels.csv").write_text(
        "Patient_ID,new_names,labels\nUID_H10_131_2_hem.bmp,1.bmp,0\nUID_23_6_1_all.bmp,2.bmp,1\n"
    )
    return tmp_path


def test_every_part_is_read_as_the_data_say(tree):
    source = open_source(tree)
    labels = data.read_labels(source, {})
    tags = {e.name: t for e, t in zip(source.entries, labels.tags, strict=True)}
    assert tags["training_data/fold_0/all/UID_11_1_1_all.bmp"] == Tag(1, "11", None)
    assert tags["training_data/fold_0/hem/UID_H12_4_2_hem.bmp"] == Tag(0, "H12", None)
    prelim = "validation_data/C-NMC_test_prelim_phase_data"
    assert tags[f"{prelim}/1.bmp"] == Tag(0, "H10", "test")
    assert tags[f"{prelim}/2.bmp"] == Tag(1, "23", "test")
    assert tags["testing_data/C-NMC_test_final_phase_data/1.bmp"] == Tag(-1, "", "test")


def test_validation_cells_have_their_labels_where_their_folder_alone_is_given(tree):
    """`--truth validation_data` was a set of pictures without labels."""
    labels = data.read_labels(open_source(tree / "validation_data"), {})
    assert labels.tags == (Tag(0, "H10", "test"), Tag(1, "23", "test"))
    testing = data.read_labels(open_source(tree / "testing_data"), {})
    assert testing.tags == (Tag(-1, "", "test"),)


def test_a_strange_label_in_the_validation_table_is_an_error(tree):
    table = tree / "validation_data" / "C-NMC_test_prelim_phase_data_labels.csv"
    table.write_text(table.read_text().replace(",0", ",7"))
    labels = data.read_labels(open_source(tree), {})
    assert [p.severity for p in labels.problems] == ["error"]


def test_predictions_are_of_the_testing_cells_where_there_are_some(tree):
    from pipelines.core.classification.extra_commands import _record

    record = _record(TASK, tree)
    assert TASK.default_items(record) == ["testing_data/C-NMC_test_final_phase_data/1.bmp"]


def test_numbers_of_validation_and_testing_cells_are_no_ids(tree):
    """The official tree counts from 1 in both folders; renaming them would be the mistake."""
    texts = [problem.text.id for problem in TASK.inspect(tree, {}).problems]
    assert "classes.id_twice" not in texts
    _write(tree, "training_data/fold_1/all/UID_11_1_1_all.bmp")
    texts = [problem.text.id for problem in TASK.inspect(tree, {}).problems]
    assert "classes.id_twice" in texts


def test_a_table_of_predictions_is_scored_with_intervals_over_its_subjects(tmp_path):
    """Cells of one subject counted as independent, so that the interval came out too narrow."""
    names = [
        f"fold_0/{kind}/UID_{subject}_1_{cell}_{kind}.bmp"
        for subject, kind in [
            *((f"H{i}", "hem") for i in range(4)),
            *((i, "all") for i in range(4)),
        ]
        for cell in range(3)
    ]
    odds = np.random.default_rng(0).random(len(names))
    rows = [f"{name},{p}" for name, p in zip(names, odds, strict=True)]
    (tmp_path / "predictions.csv").write_text("file,p_all\n" + "\n".join(rows))
    labels = [f"{name},{int(name.endswith('all.bmp'))}" for name in names]
    (tmp_path / "truth.csv").write_text("file,label\n" + "\n".join(labels))
    rows, scores = actions.run_evaluation(
        get_task("blood_cells"), tmp_path / "predictions.csv", tmp_path / "truth.csv"
    )
    assert len(set(rows.columns["group"].tolist())) == 8
    (part,) = scores.parts.values()
    assert part.interval_unit == "group"
