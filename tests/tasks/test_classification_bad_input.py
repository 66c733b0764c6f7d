"""What people hand in by mistake, from the command line: exit status 2 and one clear sentence."""

import csv
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from pipelines.registry import get_task
from pipelines.settings import REPOSITORY
from tests.wording import assert_clear


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call a command in a home of its own; return exit status and what it said on stderr."""
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))

    def call(*words):
        status = cli.main([str(w) for w in words])
        return status, capsys.readouterr().err.strip().splitlines()[-1]

    return call


def _picture(path, seed, suffix="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, suffix)


def _patches(folder, labels):
    """Write Kaggle's layout with these lines below the header of the table of labels."""
    for name in "abcdefgh":
        _picture(folder / "train" / f"{name}.tif", ord(name), "TIFF")
    (folder / "train_labels.csv").write_text("id,label\n" + "\n".join(labels))
    return folder


def _train(run, tmp_path, task, data):
    return run("train", task, "--data", data, "--run", tmp_path / "run", "--preset", "quick")


GOOD = [f"{name},{i % 2}" for i, name in enumerate("abcdefgh")]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["x,0", "y,1", "z,1"], ("train_labels.csv", "x")),
        ([*GOOD, "a,1"], ("train_labels.csv", "a")),
        ([*GOOD[:-1], "h,2"], ("train_labels.csv", "h", "2")),
        ([f"{name}," for name in "abcdefgh"], ()),
        ([f"{name},1" for name in "abcdefgh"], ("tumour",)),
    ],
    ids=["other ids", "duplicate ids", "a label 2", "missing labels", "one class only"],
)
def test_a_table_that_cannot_be_trained_on(run, tmp_path, labels, words):
    data = _patches(tmp_path / "patches", labels)
    status, said = _train(run, tmp_path, "histo_patches", data)
    assert status == 2, said
    assert all(word in said for word in words), said


def test_a_line_without_a_label_is_a_missing_label(tmp_path):
    """Only pictures without a line were counted: two empty labels went unsaid."""
    data = _patches(tmp_path / "patches", [*GOOD[:5], "f,", "g, "])
    found = get_task("histo_patches").inspect(data, {})
    (problem,) = found.problems
    assert problem.text.id == "classes.missing_labels"
    assert problem.text.params["n"] == 3
    assert problem.text.params["ids"] == ["f", "g", "h"]


def test_labels_of_one_class_are_told_before_anybody_waits_for_a_training(tmp_path):
    data = _patches(tmp_path / "patches", [f"{name},1" for name in "abcdefgh"])
    found = get_task("histo_patches").inspect(data, {})
    (problem,) = found.problems
    assert problem.severity == "warning", "it can be predicted and scored"
    assert_clear(problem.text, "tum")  # tumour, tumeur


def _zip_of_zips(path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("a.png", b"x")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("first.zip", inner.getvalue())
        file.writestr("second.zip", inner.getvalue())


def _leaving_zip(path):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "PNG")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../evil.png", buffer.getvalue())


@pytest.mark.parametrize(
    ("write", "word"), [(_zip_of_zips, "zip"), (_leaving_zip, "evil.png")],
    ids=["a zip of zips", "a path that leaves the folder"],
)  # fmt: skip
def test_an_archive_that_is_refused(run, tmp_path, write, word):
    write(tmp_path / "data.zip")
    status, said = _train(run, tmp_path, "own_images", tmp_path / "data.zip")
    assert status == 2
    assert word in said
    assert not (tmp_path.parent / "evil.png").exists()


def _bomb():
    """A PNG that declares 30,000 x 30,000 pixels, 2.7 GB unpacked, in a hundred bytes."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("name", "content"), [("bomb.png", _bomb()), ("words.tif", b"only words")],
    ids=["a decompression bomb", "a text file named .tif"],
)  # fmt: skip
def test_a_file_that_is_no_picture_is_listed_and_the_others_are_used(tmp_path, name, content):
    _picture(tmp_path / "good.png", 1)
    (tmp_path / name).write_bytes(content)
    found = get_task("own_images").inspect(tmp_path, {})
    (problem,) = [p for p in found.problems if p.path == name]
    assert problem.severity == "warning"
    assert_clear(problem.text, name)
    assert found.is_usable


def test_subjects_in_both_parts_of_a_given_split_are_refused(run, tmp_path):
    rows = ["image,label,patient,split"]
    for i in range(12):
        _picture(tmp_path / "data" / f"p{i}.png", i)
        part = "validation" if i % 3 == 0 else "train"
        rows.append(f"p{i}.png,{'ill' if i % 2 else 'well'},P{i // 4},{part}")
    (tmp_path / "data" / "table.csv").write_text("\n".join(rows))
    status, said = _train(run, tmp_path, "own_images", tmp_path / "data")
    assert status == 2
    assert "3 subjects" in said


def test_a_submission_that_leaves_ids_out(run, tmp_path):
    truth, mine = tmp_path / "truth.csv", tmp_path / "submission.csv"
    truth.write_text("id,label\n" + "\n".join(GOOD))
    mine.write_text("id,label\na,0.1\nb,0.9\nc,0.2\n")
    status, said = run("evaluate", "histo_patches", "--prediction", mine, "--truth", truth)
    assert status == 2
    assert "truth.csv" in said
    assert "d" in said


def test_a_checkpoint_that_is_averaged_with_one_that_is_not_there(run, tmp_path):
    _picture(tmp_path / "data" / "a.png", 0)
    demo = REPOSITORY / "checkpoints" / "own_images" / "demo"
    status, said = run(
        "predict", "own_images", "--checkpoint", demo, "--input", tmp_path / "data",
        "--output", tmp_path / "out", "--set", f"average_with={tmp_path / 'gone'}",
    )  # fmt: skip
    assert status == 2
    assert "gone" in said


def test_predictions_of_a_folder_name_each_file_with_class_confidence_and_shares(run, tmp_path):
    for i in range(3):
        _picture(tmp_path / "data" / "deep" / f"{i}.png", i)
    demo = REPOSITORY / "checkpoints" / "own_images" / "demo"
    words = ("--input", tmp_path / "data", "--output", tmp_path / "out")
    assert cli.main([str(w) for w in ("predict", "own_images", "--checkpoint", demo, *words)]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert [r["file"] for r in rows] == [f"deep/{i}.png" for i in range(3)]
    shares = [n for n in rows[0] if n.startswith("p_")]
    for row in rows:
        odds = {n: float(row[n]) for n in shares}
        assert sum(odds.values()) == pytest.approx(1, abs=1e-5)
        assert odds[f"p_{row['class']}"] == max(odds.values()) == float(row["confidence"])


def test_a_submission_is_checked_against_the_sample(run, tmp_path):
    sample, mine = tmp_path / "sample_submission.csv", tmp_path / "submission.csv"
    sample.write_text("id,label\na,0\nb,0\n")
    words = ("check", "histo_patches", "--submission", mine, "--sample", sample)
    mine.write_text("id,label\na,0.25\nb,0.5\n")
    assert cli.main([str(w) for w in words]) == 0
    for wrong in ("b,0.5\na,0.25", "a,0.25", "a,0.25\nb,1.5"):
        mine.write_text(f"id,label\n{wrong}\n")
        status, said = run(*words)
        assert status == 2
        assert "submission.csv" in said
