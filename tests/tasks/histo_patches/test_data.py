"""Kaggle's layout, and every way in which a table of labels can be wrong."""

import csv
import zipfile
from pathlib import Path

import pytest

from pipelines.core.classification.images import open_source
from pipelines.errors import DataFormatError
from pipelines.registry import get_task
from pipelines.tasks.histo_patches import data, fake
from tests.wording import assert_clear

TASK = get_task("histo_patches")


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("histo")
    fake.write_sample(folder)
    return folder


def _with_table(sample: Path, folder: Path, rows: list[tuple[str, str]]) -> Path:
    """Link six patches into a folder with a table of its own."""
    (folder / "train").mkdir()
    for path in sorted((sample / "train").glob("*.tif"))[:6]:
        (folder / "train" / path.name).write_bytes(path.read_bytes())
    with (folder / "train_labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *rows])
    return folder


def _ids(sample: Path) -> list[str]:
    return [p.stem for p in sorted((sample / "train").glob("*.tif"))[:6]]


def test_labels_parts_and_numbers_are_those_that_were_written(sample):
    found = TASK.inspect(sample, {})
    assert found.is_usable
    assert len(found.items) == fake.NUM_TRAIN + fake.NUM_TEST
    assert sum(i.has_truth for i in found.items) == fake.NUM_TRAIN
    labels = data.read_labels(open_source(sample), {})
    assert sum(t.label == 1 for t in labels.tags) == fake.NUM_TRAIN // 2
    assert sum(t.part == "test" for t in labels.tags) == fake.NUM_TEST


def test_the_zip_reads_as_the_folder_does(sample, tmp_path):
    path = tmp_path / "kaggle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(sample.rglob("*.*")):
            archive.write(file, file.relative_to(sample).as_posix())
    zipped, plain = (data.read_labels(open_source(p), {}) for p in (path, sample))
    assert zipped.tags == plain.tags


def _mixed(ids):
    return [(name, str(number % 2)) for number, name in enumerate(ids)]


@pytest.mark.parametrize(
    ("change", "text_id"),
    [
        (lambda ids: [(i, "2" if n == 3 else "0") for n, i in enumerate(ids)],
         "classes.strange_label"),
        (lambda ids: [(f"x{i}", "0") for i in ids], "classes.other_ids"),
        (lambda ids: [*((i, "0") for i in ids), (ids[0], "1")], "classes.contradictory_ids"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_by_one_sentence(sample, tmp_path, change, text_id):
    folder = _with_table(sample, tmp_path, change(_ids(sample)))
    found = TASK.inspect(folder, {})
    errors = [p.text for p in found.problems if p.severity == "error"]
    assert [e.id for e in errors] == [text_id]
    assert not found.is_usable
    assert_clear(errors[0], "train_labels.csv")


@pytest.mark.parametrize(
    ("change", "text_id"),
    [
        (lambda ids: _mixed(ids[:4]), "classes.missing_labels"),
        (lambda ids: [*_mixed(ids), ("gone", "1")], "classes.ids_without_picture"),
        (lambda ids: [*_mixed(ids), (ids[0], "0")], "classes.duplicate_ids"),
    ],
)
def test_a_table_with_gaps_is_used_with_a_warning(sample, tmp_path, change, text_id):
    folder = _with_table(sample, tmp_path, change(_ids(sample)))
    found = TASK.inspect(folder, {})
    assert found.is_usable
    (problem,) = found.problems
    assert (problem.severity, problem.text.id) == ("warning", text_id)
    assert_clear(problem.text, "train_labels.csv")


def test_broken_and_constant_pictures_are_listed_and_not_fatal(sample, tmp_path):
    from PIL import Image

    folder = _with_table(sample, tmp_path, _mixed(_ids(sample)))
    (folder / "train" / f"{_ids(sample)[0]}.tif").write_text("not a picture")
    Image.new("RGB", (96, 96), (9, 9, 9)).save(folder / "train" / f"{_ids(sample)[1]}.tif")
    found = TASK.inspect(folder, {})
    assert found.is_usable
    ids = {p.text.id for p in found.problems}
    assert "classes.constant" in ids
    assert ids & {"classes.damaged", "classes.no_picture"}
    for problem in found.problems:
        assert_clear(problem.text)


def test_truth_of_a_csv_must_be_covered_by_the_prediction(sample, tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("id,label\na,1\nb,0\nc,1\n")
    assert TASK.open_truth(table, ["test/a.tif", "b.tif", "c"]) == {
        "test/a.tif": 1, "b.tif": 0, "c": 1,
    }  # fmt: skip
    with pytest.raises(DataFormatError) as caught:
        TASK.open_truth(table, ["a", "b"])
    assert_clear(caught.value.text, "truth.csv", "c")


def test_a_csv_with_a_label_2_is_refused(tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("id,label\na,2\n")
    with pytest.raises(DataFormatError) as caught:
        TASK.open_truth(table, ["a"])
    assert_clear(caught.value.text, "truth.csv", "a")
