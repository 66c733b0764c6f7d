from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.core import checkpoints
from pipelines.core.checkpoints import (
    CheckpointCard,
    find_checkpoint,
    import_foreign_weights,
    list_checkpoints,
    load_card,
    load_weights,
    save_checkpoint,
    update_card,
    verify_weights,
)
from pipelines.errors import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    DiskFullError,
    PipelineError,
)
from pipelines.text import render

CARD = CheckpointCard("em", {"name": "unet", "width": 4}, {"seed": 1}, scores={"test": {"x": 0.5}})


def both(error: PipelineError) -> tuple[str, str]:
    return render(error.text, "en"), render(error.text, "fr")


def weights(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"a.weight": torch.full((2, 3), value), "a.bias": torch.arange(3.0)}


def test_weights_and_card_come_back_as_they_were_saved(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "run" / "checkpoint", weights(), CARD)

    card = load_card(folder)
    content = (folder / "weights.safetensors").read_bytes()
    assert card == replace(CARD, weights_sha256=sha256(content).hexdigest())
    loaded = load_weights(tmp_path / "run", task_id="em")
    assert {name: t.tolist() for name, t in loaded.items()} == {
        name: t.tolist() for name, t in weights().items()
    }


def test_tensors_that_share_memory_or_are_not_contiguous_are_saved(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    save_checkpoint(tmp_path / "c", {"a": base, "b": base, "c": base.T}, CARD)
    loaded = load_weights(tmp_path / "c")
    assert loaded["b"].tolist() == base.tolist()
    assert loaded["c"].tolist() == base.T.tolist()


def test_arrays_are_saved_without_torch_and_read_the_same(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"a": np.arange(4.0)[::2]}, CARD)
    assert load_weights(tmp_path / "c")["a"].tolist() == [0.0, 2.0]


def test_a_card_is_read_without_torch(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"a": np.zeros(2)}, CARD)
    code = (
        "import sys; from pathlib import Path; from pipelines.core import checkpoints as c;"
        "assert c.load_card(Path(sys.argv[1])).task_id == 'em';"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "c")], check=True)


def test_a_card_knows_that_its_split_leaked() -> None:
    assert not CARD.has_leak
    assert not replace(CARD, split={"method": "groups share=0.2"}).has_leak
    assert replace(CARD, split={"method": "random share=0.2 LEAK=24"}).has_leak


def test_a_checkpoint_is_found_by_run_by_folder_and_by_a_file_in_it(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "run" / "checkpoint", weights(), CARD)
    for path in (tmp_path / "run", folder, folder / "weights.safetensors"):
        assert find_checkpoint(path) == folder


def test_what_is_not_a_checkpoint_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(tmp_path / "nowhere")
    assert "There is no checkpoint" in both(caught.value)[0]
    assert "pas de modèle enregistré" in both(caught.value)[1]
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(tmp_path)
    assert "holds no checkpoint" in both(caught.value)[0]
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(tmp_path)
    assert "no weights.safetensors" in both(caught.value)[0]


def test_a_checkpoint_of_another_task_is_refused_by_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", weights(), CARD)
    for read in (load_card, load_weights):
        with pytest.raises(CheckpointMismatchError) as caught:
            read(tmp_path / "c", task_id="cells")
        english, french = both(caught.value)
        assert "made for the task “em”, not for “cells”" in english
        assert "créé pour la tâche « em », pas pour « cells »" in french


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", weights(), CARD)
    (folder / "weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError) as caught:
        load_weights(folder)
    assert "are not those that their card is about" in both(caught.value)[0]
    update_card(folder, weights_sha256="")  # as a card of an earlier version
    with pytest.raises(CheckpointError) as caught:
        load_weights(folder)
    assert "cannot be read" in both(caught.value)[0]
    assert "illisibles" in both(caught.value)[1]
    for content in ("{", "[]", "[" * 200_000):
        (folder / "card.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"card\.json cannot be read"):
            load_card(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": None}, "architecture"),
        ({"architecture": {"depth": 10**9}}, "architecture"),
        ({"architecture": {"width": float("inf")}}, "architecture"),
        ({"config": [1]}, "config"),
        ({"scores": 5}, "scores"),
        ({"scores": {"test": 1.0}}, "scores"),
        ({"operating_point": {"threshold": "a"}}, "operating_point"),
        ({"title": 5, "notes": []}, "title, notes"),
    ],
)
def test_a_card_with_something_impossible_is_refused_before_it_is_used(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    """A depth of a thousand million once filled the memory while the network was built."""
    folder = save_checkpoint(tmp_path / "c", weights(), CARD)
    data = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(CheckpointError) as caught:
        load_card(folder)
    english, french = both(caught.value)
    assert f"impossible in {words};" in english
    assert f"impossible ({words})" in french


def test_a_card_names_what_it_lacks(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", weights(), CARD)
    (folder / "card.json").write_text('{"task_id": "em"}')
    with pytest.raises(CheckpointError, match=r"card\.json lacks architecture, config"):
        load_card(folder)


def test_a_card_of_a_later_version_is_read_without_its_new_fields(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", weights(), CARD)
    data = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**data, "later": 1}))
    assert load_card(folder) == replace(CARD, weights_sha256=data["weights_sha256"])


def test_scores_are_added_to_a_card_and_the_rest_stays(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "run" / "checkpoint", weights(), CARD)
    update_card(tmp_path / "run", operating_point={"threshold": 0.4})
    card = load_card(folder)
    assert (card.operating_point, card.scores) == ({"threshold": 0.4}, CARD.scores)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # what safetensors raises: no OSError, only its words
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_while_saving_leaves_the_former_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = save_checkpoint(tmp_path / "c", weights(1.0), CARD)

    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoints, "_save_weights", full)
    with pytest.raises(DiskFullError) as caught:
        save_checkpoint(folder, weights(2.0), CARD)
    assert "disk is full" in both(caught.value)[0]
    assert "disque est plein" in both(caught.value)[1]
    assert load_weights(folder)["a.weight"][0, 0] == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_built_in_checkpoints_come_first_and_other_tasks_and_damaged_cards_are_left_out(
    tmp_path: Path,
) -> None:
    builtin, runs = tmp_path / "checkpoints", tmp_path / "runs"
    first = save_checkpoint(builtin / "em" / "v1", weights(), CARD)
    other = CheckpointCard("cells", {}, {})
    save_checkpoint(runs / "a" / "checkpoint", weights(), other)
    older = save_checkpoint(runs / "b" / "checkpoint", weights(), CARD)
    newer = save_checkpoint(runs / "c" / "checkpoint", weights(), CARD)
    broken = save_checkpoint(runs / "d" / "checkpoint", weights(), CARD)
    (broken / "card.json").write_text("{")

    entries = list_checkpoints("em", builtin, runs)

    assert [e.folder for e in entries] == [first, newer, older]
    assert [e.is_builtin for e in entries] == [True, False, False]


def test_other_weights_than_the_card_is_about_are_refused(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", weights(), CARD)
    other = save_checkpoint(tmp_path / "d", weights(2.0), CARD)
    assert verify_weights(folder)
    (folder / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="another fingerprint"):
        load_weights(folder)
    update_card(folder, weights_sha256="")
    assert not verify_weights(folder)


def test_imported_checkpoints_come_last_and_deleted_ones_not_at_all(tmp_path: Path) -> None:
    runs, imported = tmp_path / "runs", tmp_path / "imported"
    own = save_checkpoint(runs / "a" / "checkpoint", weights(), CARD)
    save_checkpoint(runs / "b" / ".checkpoint.deleted", weights(), CARD)
    mine = save_checkpoint(imported / "em" / "other-lab", weights(), CARD)
    save_checkpoint(imported / "em" / ".gone.deleted", weights(), CARD)

    entries = list_checkpoints("em", tmp_path / "none", runs, imported)

    assert [(e.folder, e.is_imported) for e in entries] == [(own, False), (mine, True)]


# --- foreign weights


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_foreign_weights_are_taken_over_by_name_and_shape(tmp_path: Path, wrap, prefix) -> None:
    found = {"a.weight": torch.ones(2, 3), "a.bias": torch.ones(4), "head": torch.ones(1)}
    torch.save(wrap({prefix + k: v for k, v in found.items()}), tmp_path / "foreign.pth")
    wanted = {**weights(), "b.weight": torch.zeros(1)}

    tensors, report = import_foreign_weights(tmp_path / "foreign.pth", wanted)

    assert list(tensors) == ["a.weight"]
    assert report.missing == ("b.weight",)
    assert report.unexpected == ("head",)
    assert report.misshapen == ("a.bias",)
    assert not report.is_complete
    assert "b.weight" in render(report.text, "fr")


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def test_foreign_weights_with_code_in_them_are_refused_and_never_run(tmp_path: Path) -> None:
    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError) as caught:
        import_foreign_weights(tmp_path / "evil.pth", weights())
    assert "program code" in both(caught.value)[0]
    assert "contient du code" in both(caught.value)[1]
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(CheckpointError):
        import_foreign_weights(tmp_path / "plain.pth", weights())


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors"])
def test_foreign_weights_that_are_something_else_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises(CheckpointError):
        import_foreign_weights(tmp_path / name, weights())


def test_foreign_weights_of_which_nothing_fits_are_refused_with_the_names(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointMismatchError) as caught:
        import_foreign_weights(tmp_path / "x.pth", weights())
    assert "a.weight" in both(caught.value)[0]
    with pytest.raises(CheckpointNotFoundError):
        import_foreign_weights(tmp_path / "none.pth", weights())
