from __future__ import annotations

import dataclasses
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import cli
from pipelines.core.checkpoints import (
    CARD,
    WEIGHTS,
    CheckpointCard,
    load_card,
    load_weights,
    save_checkpoint,
    update_card,
)
from pipelines.errors import (
    CheckpointError,
    CheckpointMismatchError,
    JobError,
    RunConflictError,
    UnknownTaskError,
)
from pipelines.evidence import models
from pipelines.evidence.models import (
    all_checkpoints,
    delete_checkpoint,
    export_checkpoint,
    import_checkpoint,
    import_foreign,
    match_foreign,
    restore_checkpoint,
)
from pipelines.evidence.pack import write_pack
from pipelines.evidence.unpack import import_pack
from pipelines.jobs import store, worker
from pipelines.jobs.store import Run
from pipelines.settings import Settings

torch = pytest.importorskip("torch")


@pytest.fixture
def trained(new_run) -> Run:
    return worker.work(new_run(steps=2).folder)


@pytest.fixture
def zipped(trained: Run, tmp_path: Path) -> Path:
    return export_checkpoint(trained.folder / "checkpoint", tmp_path / "model.zip")


def rewritten(source: Path, target: Path, **changes: bytes) -> Path:
    """Copy a zip with members replaced or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        for name, content in {**members, **changes}.items():
            new.writestr(name, content)
    return target


def nothing_came_in(settings: Settings) -> bool:
    folder = models.imported_folder(settings)
    return not folder.is_dir() or not [p for p in folder.rglob("*") if p.is_file()]


def test_a_checkpoint_comes_back_from_its_zip_as_it_was(
    trained: Run, zipped: Path, settings: Settings
) -> None:
    entry = import_checkpoint(zipped, settings, title="From Anna")

    source = trained.folder / "checkpoint"
    assert load_weights(entry.folder)["weight"].tolist() == load_weights(source)["weight"].tolist()
    assert load_card(entry.folder) == dataclasses.replace(load_card(source), title="From Anna")
    assert entry.is_imported
    listed = all_checkpoints("fake", settings)
    assert [(e.folder, e.is_imported) for e in listed] == [(source, False), (entry.folder, True)]
    assert "from-anna" in entry.folder.name


def test_a_folder_and_an_evidence_pack_bring_in_their_checkpoint(
    trained: Run, settings: Settings, tmp_path: Path
) -> None:
    pack = write_pack(trained, tmp_path / "pack", settings)
    for source in (trained.folder, pack.folder, pack.archive):
        entry = import_checkpoint(source, settings)
        assert load_card(entry.folder).run_id == trained.run_id


def test_a_deleted_checkpoint_comes_back_and_the_demo_model_stays(
    trained: Run, zipped: Path, settings: Settings
) -> None:
    import_checkpoint(zipped, settings)
    own, imported = all_checkpoints("fake", settings)
    for entry in (own, imported):
        aside = delete_checkpoint(entry)
        assert entry.folder not in [e.folder for e in all_checkpoints("fake", settings)]
        assert restore_checkpoint(aside) == entry.folder
        assert load_weights(entry.folder)
        with pytest.raises(CheckpointError, match="cannot be brought back"):
            restore_checkpoint(aside)
    with pytest.raises(CheckpointError, match="comes with the product"):
        delete_checkpoint(dataclasses.replace(own, is_builtin=True))


def test_weights_that_were_exchanged_are_refused_on_the_way_out_and_in(
    trained: Run, zipped: Path, settings: Settings, tmp_path: Path
) -> None:
    other = save_checkpoint(
        tmp_path / "other", {"weight": np.array([9.0])}, CheckpointCard("fake", {}, {})
    )
    content = (other / WEIGHTS).read_bytes()
    bad = rewritten(zipped, tmp_path / "bad.zip", **{WEIGHTS: content})
    with pytest.raises(CheckpointError, match="another fingerprint"):
        import_checkpoint(bad, settings)
    assert nothing_came_in(settings)
    (trained.folder / "checkpoint" / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match="another fingerprint"):
        export_checkpoint(trained.folder / "checkpoint", tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"../../evil.json": b"{}"}, "names a place outside"),
        ({"/etc/evil.json": b"{}"}, "names a place outside"),
        ({"C:\\evil.json": b"{}"}, "names a place outside"),
        ({"weights.pth": b"x"}, "may carry program code"),
        ({"deep/model.pkl": pickle.dumps({})}, "may carry program code"),
        ({"other/card.json": b"{}"}, "exactly one checkpoint"),
        ({CARD: b"{"}, "cannot be read"),
        ({"manifest.json": b"{}"}, "no evidence pack"),
    ],
)
def test_a_hostile_zip_is_one_sentence_and_leaves_nothing(
    zipped: Path, settings: Settings, tmp_path: Path, changes: dict[str, bytes], words: str
) -> None:
    bad = rewritten(zipped, tmp_path / "bad.zip", **changes)
    with pytest.raises((CheckpointError, JobError), match=words):
        import_checkpoint(bad, settings)
    assert nothing_came_in(settings)
    assert not list(tmp_path.parent.rglob("evil.json"))


def test_a_zip_that_unpacks_to_more_than_allowed_is_refused(
    zipped: Path, settings: Settings, tmp_path: Path
) -> None:
    small = dataclasses.replace(settings, max_input_bytes=200_000)
    bomb = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(zipped) as old,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        new.writestr(CARD, old.read(CARD))
        new.writestr(WEIGHTS, bytes(1_000_000))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match="larger than 200 kB"):
        import_checkpoint(bomb, small)
    # a header that lies about the size is found out while unpacking
    with zipfile.ZipFile(bomb) as archive, pytest.raises(CheckpointError, match="larger than"):
        models.extract_member(archive, WEIGHTS, tmp_path / "out", 200_000)


def test_what_is_no_zip_and_what_is_of_an_unknown_task_is_one_sentence(
    zipped: Path, settings: Settings, tmp_path: Path
) -> None:
    text = tmp_path / "notes.zip"
    text.write_text("hello")
    with pytest.raises(CheckpointError, match="no zip of a checkpoint"):
        import_checkpoint(text, settings)
    cut = tmp_path / "cut.zip"
    content = bytearray(zipped.read_bytes())
    content[60:90] = bytes(30)
    cut.write_bytes(content)
    with pytest.raises(CheckpointError):
        import_checkpoint(cut, settings)
    with pytest.raises(CheckpointError, match="no zip of a checkpoint"):
        import_checkpoint(tmp_path / "nothing-there.zip", settings)
    folder = save_checkpoint(
        tmp_path / "c", {"a": np.zeros(1)}, CheckpointCard("nobodys_task", {}, {})
    )
    with pytest.raises(UnknownTaskError):
        import_checkpoint(folder, settings)
    assert nothing_came_in(settings)


# --- weights of other programs


@pytest.fixture
def known(trained: Run) -> Path:
    """Make the fake task's checkpoint look like a network of two layers."""
    folder = trained.folder / "checkpoint"
    card = load_card(folder)
    weights = {"conv.weight": np.ones((2, 3), np.float32), "conv.bias": np.zeros(2, np.float32)}
    save_checkpoint(folder, weights, dataclasses.replace(card, num_parameters=8))
    return folder


def test_foreign_weights_become_a_checkpoint_of_the_network_that_they_fit(
    known: Path, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "theirs.pth"
    state = {"module.conv.weight": torch.full((2, 3), 5.0), "module.conv.bias": torch.ones(2)}
    torch.save({"state_dict": state, "epoch": 3}, file)

    (match,) = match_foreign(file, settings)
    assert match.template.folder == known
    assert match.share == 1.0
    entry = import_foreign(file, match.template.folder, settings)

    assert load_weights(entry.folder)["conv.weight"].tolist() == [[5.0] * 3] * 2
    card = load_card(entry.folder)
    assert card.title == "theirs"
    assert card.architecture == load_card(known).architecture
    # what is known of the template alone is not claimed
    assert (card.scores, card.run_id, card.data_fingerprint) == ({}, "", "")


def test_keys_that_do_not_fit_are_named_and_half_a_network_is_not_taken_in(
    known: Path, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "half.pth"
    torch.save(
        {"conv.weight": torch.ones(2, 3), "conv.bias": torch.ones(4), "x": torch.ones(1)}, file
    )
    (match,) = match_foreign(file, settings)
    assert match.share == 0.5
    assert match.report.misshapen == ("conv.bias",)
    assert match.report.unexpected == ("x",)
    with pytest.raises(CheckpointMismatchError) as caught:
        import_foreign(file, known, settings)
    assert "Of another shape: 1 (conv.bias)" in str(caught.value)
    assert nothing_came_in(settings)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def test_a_pth_that_carries_code_is_refused_and_never_run(
    known: Path, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "evil.pth"
    torch.save({"conv.weight": Evil()}, file)
    for read in (
        lambda: match_foreign(file, settings),
        lambda: import_foreign(file, known, settings),
    ):
        with pytest.raises(CheckpointError, match="program code"):
            read()
    assert nothing_came_in(settings)


def test_weights_of_no_known_network_and_too_large_ones_are_one_sentence(
    known: Path, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "other.pth"
    torch.save({"lstm": torch.ones(2)}, file)
    with pytest.raises(CheckpointMismatchError, match="None of the weights"):
        match_foreign(file, settings)
    with pytest.raises(CheckpointError, match="larger than"):
        match_foreign(file, dataclasses.replace(settings, max_input_bytes=10))
    update_card(known, num_parameters=0)
    with pytest.raises(CheckpointError, match="No network is known"):
        match_foreign(file, settings)


# --- packs as runs


def test_a_pack_comes_in_as_a_run_that_reads_as_it_did(
    trained: Run, settings: Settings, tmp_path: Path
) -> None:
    pack = write_pack(trained, tmp_path / "pack", settings)
    with pytest.raises(RunConflictError, match="already"):
        import_pack(pack.archive, settings)
    scores = trained.scores()
    store.delete_run(trained)
    run = import_pack(pack.archive, settings)

    assert run.run_id == trained.run_id
    assert run.scores() == scores
    assert run.statistics().item_ids() == ("i4", "i5")
    assert load_weights(run.checkpoint)
    assert run.dataset().root.is_absolute()
    assert [r.run_id for r in store.list_runs(settings)] == [run.run_id]


@pytest.mark.parametrize("name", ["run/scores.json", "run/checkpoint/weights.safetensors"])
def test_a_pack_that_was_changed_is_refused_by_the_name_of_the_file(
    trained: Run, settings: Settings, tmp_path: Path, name: str
) -> None:
    pack = write_pack(trained, tmp_path / "pack", settings)
    store.delete_run(trained)
    bad = rewritten(pack.archive, tmp_path / "bad.zip", **{name: b"{}"})
    with pytest.raises(JobError, match=name):
        import_pack(bad, settings)
    assert store.list_runs(settings) == []


def test_a_later_pack_and_a_foreign_zip_are_one_sentence(
    trained: Run, zipped: Path, settings: Settings, tmp_path: Path
) -> None:
    pack = write_pack(trained, tmp_path / "pack", settings)
    store.delete_run(trained)
    manifest = json.loads((pack.folder / "manifest.json").read_text())
    later = json.dumps({**manifest, "version": 99}).encode()
    for read in (import_pack, import_checkpoint):
        bad = rewritten(pack.archive, tmp_path / "later.zip", **{"manifest.json": later})
        with pytest.raises(JobError, match="later version"):
            read(bad, settings)
    with pytest.raises(JobError, match="no evidence pack"):
        import_pack(zipped, settings)
    hostile = json.dumps({**manifest, "run_id": "../../x"}).encode()
    bad = rewritten(pack.archive, tmp_path / "hostile.zip", **{"manifest.json": hostile})
    with pytest.raises(JobError, match="no evidence pack"):
        import_pack(bad, settings)


# --- as typed


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert cli.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_checkpoints_are_handed_out_brought_in_deleted_and_restored_as_typed(
    trained: Run, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = str(trained.folder / "checkpoint")
    assert own in [e["folder"] for e in said(["checkpoints", "list"], capsys)]
    assert said(["checkpoints", "verify", own], capsys) == {"has_fingerprint": True}
    zipped = str(tmp_path / "model.zip")
    said(["checkpoints", "export", own, "--output", zipped], capsys)
    brought = said(["checkpoints", "import", zipped, "--title", "Again"], capsys)
    assert brought["title"] == "Again"
    assert brought["is_imported"]
    aside = said(["checkpoints", "delete", own], capsys)["restore"]
    assert not Path(own).exists()
    assert said(["checkpoints", "restore", aside], capsys) == {"folder": own}
    assert Path(own).is_dir()


def test_weights_of_another_program_are_brought_in_as_typed(
    known: Path, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "theirs.pth"
    torch.save({"conv.weight": torch.ones(2, 3), "conv.bias": torch.ones(2)}, file)
    for like in ([], ["--like", str(known)]):
        assert said(["checkpoints", "import", str(file), *like], capsys)["task_id"] == "fake"


def test_a_pack_is_unpacked_as_typed_and_only_once(
    trained: Run, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = str(write_pack(trained, tmp_path / "pack", settings).archive)
    store.delete_run(trained)
    assert said(["unpack", archive], capsys)["run_id"] == trained.run_id
    assert cli.main(["unpack", archive]) == 2
    assert "already" in capsys.readouterr().err


def test_each_mistake_with_checkpoints_is_one_sentence_in_both_languages(
    known: Path, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"conv.weight": Evil()}, tmp_path / "evil.pth")
    torch.save({"conv.weight": torch.ones(2, 3), "conv.bias": torch.ones(4)}, tmp_path / "half.pth")
    later = tmp_path / "later.zip"
    with zipfile.ZipFile(later, "w") as archive:
        manifest = {"format": "microscopy-evidence", "version": 99, "files": {}, "run_id": "r"}
        archive.writestr("manifest.json", json.dumps(manifest))
    cases = [
        (["checkpoints", "burn"], "no action “burn”", "pas d’action « burn »"),
        (["checkpoints", "delete"], "which checkpoint", "de quel modèle"),
        (["checkpoints", "export", str(known)], "--output", "--output"),
        (["checkpoints", "import", str(tmp_path / "evil.pth")], "program code", "du code"),
        (["checkpoints", "import", str(tmp_path / "half.pth")], "conv.bias", "conv.bias"),
        (["checkpoints", "delete", str(tmp_path / "no")], "no", "no"),
        (["unpack", str(later)], "99", "99"),
        (["checkpoints", "import", str(later)], "99", "99"),
    ]
    for words, english, french in cases:
        for language, expected in (("en", english), ("fr", french)):
            assert cli.main(["--language", language, *words]) == 2, words
            error = capsys.readouterr().err.replace("\N{NO-BREAK SPACE}", " ")
            assert expected in error, words
            assert error.count("\n") == 1, words
    assert nothing_came_in(settings)
