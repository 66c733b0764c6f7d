from __future__ import annotations

import json
import re
import zipfile
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.datasets import given_split
from pipelines.errors import JobError, RunConflictError
from pipelines.evidence.keep import read_items
from pipelines.evidence.manifest import MANIFEST, VERSION, read_manifest
from pipelines.evidence.pack import write_pack
from pipelines.jobs import store, worker
from pipelines.jobs.store import Run

TOP = {
    "README.md", "report.en.html", "report.en.pdf", "report.fr.html", "report.fr.pdf", "figures",
    "model_card.en.md", "model_card.fr.md", "config.json", "commands.sh", "repeat.ipynb",
    "curves.csv", "run", MANIFEST,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _a_user_with_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSCOPY_USER", "jane-doe-of-lab-7")


@pytest.fixture
def finished(new_run) -> Run:
    run = new_run(steps=3)
    return worker.work(store.rename_run(run, "My <b>run</b> #1 *bold* $x$").folder)


@pytest.fixture
def folder(finished: Run, settings, tmp_path: Path) -> Path:
    return write_pack(finished, tmp_path / "pack", settings).folder


def test_a_pack_holds_reports_card_commands_notebook_and_the_run(
    folder: Path, finished: Run
) -> None:
    found = {p.name for p in folder.iterdir()}
    assert found >= TOP
    assert (folder / "report.fr.pdf").read_bytes().startswith(b"%PDF-")
    assert json.loads((folder / "config.json").read_text()) == dict(finished.request.config)
    assert json.loads((folder / "repeat.ipynb").read_text())["nbformat"] == 4
    assert (folder / "curves.csv").read_text().splitlines()[0].startswith("step,loss")
    assert read_items(folder / "run" / "items.parquet")[0]["item_id"] == ["i4", "i5"]
    figures = {p.name for p in (folder / "figures").iterdir()}
    assert {"figure-01.en.svg", "figure-01.fr.svg"} <= figures


def test_the_zip_holds_the_same_files_as_the_folder(folder: Path) -> None:
    (archive,) = folder.glob("*.zip")
    manifest = json.loads((folder / MANIFEST).read_text())
    with zipfile.ZipFile(archive) as packed:
        assert set(packed.namelist()) == {*manifest["files"], MANIFEST}
        for name, digest in manifest["files"].items():
            assert sha256(packed.read(name)).hexdigest() == digest
            assert sha256((folder / name).read_bytes()).hexdigest() == digest


def test_nothing_in_a_pack_names_this_machine(folder: Path, settings, tmp_path: Path) -> None:
    secrets = (str(tmp_path), str(settings.home), store.host_name(), settings.owner)
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".md", ".html", ".sh", ".ipynb", ".csv"):
            text = path.read_text()
            assert not [word for word in secrets if word in text], path


def test_a_hostile_title_stays_words(folder: Path) -> None:
    page = (folder / "report.en.html").read_text()
    assert "My &lt;b&gt;run&lt;/b&gt; #1" in page
    assert "<script" not in page
    opened: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            opened.append(tag)

    Tags().feed(page)
    assert opened.count("h1") == 1
    assert opened.count("figure") == opened.count("figcaption") == opened.count("svg")


def test_both_languages_say_the_figure_with_its_words(folder: Path) -> None:
    assert "accuracy is 1 on the validation set" in (folder / "report.en.html").read_text()
    french = re.sub(r"\s", " ", (folder / "report.fr.html").read_text())  # some do not break
    assert ": 1 sur la partie « jeu de validation »" in french
    assert "Comment le refaire" in french
    assert "Ce que ces chiffres ne montrent pas" in (folder / "model_card.fr.md").read_text()


def test_a_split_that_was_given_is_told_beside_the_command(
    task, settings, new_run, tmp_path: Path
) -> None:
    words = "The split of this run was given to it"
    usual = new_run(steps=2)
    parts = {"train": ["i0", "i2"], "validation": ["i1"], "test": []}
    record = usual.dataset()
    new = store.NewRun("fake", "train", {"steps": 2}, record, given_split(record, parts))
    for run, is_told in ((usual, False), (store.create_run(new, settings), True)):
        pack = write_pack(worker.work(run.folder), tmp_path / run.run_id, settings)
        assert (words in (pack.folder / "report.en.html").read_text()) == is_told


def test_a_pack_is_written_again_over_itself_and_never_over_other_files(
    finished: Run, settings, folder: Path, tmp_path: Path
) -> None:
    (folder / "mine.txt").write_text("kept")
    write_pack(finished, folder, settings)
    assert (folder / "mine.txt").read_text() == "kept"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.docx").write_text("!")
    with pytest.raises(JobError, match="holds other files"):
        write_pack(finished, other, settings)
    with pytest.raises(JobError, match="is a file"):
        write_pack(finished, other / "thesis.docx", settings)
    assert [p.name for p in other.iterdir()] == ["thesis.docx"]


def test_an_unfinished_run_cannot_be_packed(new_run, settings, tmp_path: Path) -> None:
    with pytest.raises(RunConflictError, match="not finished"):
        write_pack(new_run(), tmp_path / "pack", settings)
    assert not (tmp_path / "pack").exists()


def test_what_is_gone_is_noted_and_the_rest_is_packed(
    finished: Run, settings, tmp_path: Path
) -> None:
    import shutil

    shutil.rmtree(finished.prediction_folder)
    (finished.folder / "checkpoint" / "weights.safetensors").unlink()
    (tmp_path / "values.json").unlink()
    pack = write_pack(finished, tmp_path / "pack", settings)
    said = " ".join(str(text.id) for text in pack.notes)
    assert "evidence.no_predictions" in said
    assert "evidence.no_checkpoint" in said
    assert (pack.folder / "report.en.pdf").is_file()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "no evidence pack"),
        (b"[]", "no evidence pack"),
        (b'{"format": "other", "version": 1, "files": {}}', "no evidence pack"),
        (
            json.dumps(
                {"format": "microscopy-evidence", "version": VERSION + 1, "files": {}}
            ).encode(),
            "later version",
        ),
    ],
)
def test_a_foreign_or_later_pack_is_one_sentence(content: bytes, words: str) -> None:
    with pytest.raises(JobError, match=words):
        read_manifest(content, "pack.zip")


def test_a_figure_that_is_not_defined_is_left_out_of_the_report(
    finished: Run, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threshold curve of a part with one class alone: it stopped the report once."""
    from tests.jobs.fake_task import FakeTask

    monkeypatch.setattr(FakeTask, "reduce", lambda *_: {"accuracy": float("nan")})
    pack = write_pack(finished, tmp_path / "pack", settings)
    assert "depends on the threshold" not in (pack.folder / "report.en.html").read_text()
