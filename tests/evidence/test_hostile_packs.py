"""Packs that somebody made by hand: one sentence each, and nothing is left behind."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets import record_from_json
from pipelines.errors import PipelineError
from pipelines.evidence.models import import_checkpoint
from pipelines.evidence.unpack import import_pack
from pipelines.settings import Settings
from pipelines.text import LANGUAGES, render

REQUEST = {
    "run_id": "20260101-000000-abcd", "task_id": "fake", "action": "train", "title": "",
    "config": {},
}  # fmt: skip
RECORD: dict[str, Any] = {
    "dataset_id": "x-1", "task_id": "fake", "title": "t", "root": "", "files": [], "items": [],
    "options": {}, "owner": "", "created": "",
}  # fmt: skip
FILES: dict[str, Any] = {
    "run/request.json": REQUEST,
    "run/state.json": {"status": "finished"},
    "run/dataset.json": RECORD,
}


def written(path: Path, members: Mapping[str, Any], **manifest: Any) -> Path:
    """Write a pack whose manifest fits its files."""
    contents = {
        name: content if isinstance(content, bytes) else json.dumps(content).encode()
        for name, content in members.items()
    }
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    head = {"format": "microscopy-evidence", "version": 1, "run_id": "r1", "files": listed}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
        archive.writestr("manifest.json", json.dumps({**head, **manifest}))
    return path


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in FILES.items() if key != name}


def test_a_pack_made_well_comes_in(task: object, settings: Settings, tmp_path: Path) -> None:
    assert import_pack(written(tmp_path / "p.zip", FILES), settings).run_id == "r1"


@pytest.mark.parametrize(
    ("files", "manifest"),
    [
        (without("run/dataset.json"), {}),
        (without("run/request.json"), {}),
        (without("run/state.json"), {}),
        ({**FILES, "run/request.json": b"[" * 200_000}, {}),
        ({**FILES, "run/dataset.json": b"[" * 200_000}, {}),
        ({**FILES, "run/dataset.json": [1]}, {}),
        ({**FILES, "run/dataset.json": {**RECORD, "files": [
            {"path": "../../etc/passwd", "role": "image", "num_bytes": 1, "sha256": ""}]}}, {}),
        ({**FILES, "run/./request.json": REQUEST}, {}),
        ({**FILES, "run/a": b"x", "run/a/b": b"x"}, {}),
        ({**FILES, f"run/{'n' * 300}": b"x"}, {}),
        ({**FILES, "run/state.json": {"status": "running", "host": "far", "heartbeat": 9e18}}, {}),
        (FILES, {"run_id": "../../x"}),
        (FILES, {"run_id": None}),
        (FILES, {"run_id": [1]}),
        (FILES, {"version": float("inf")}),
        (FILES, {"version": "x"}),
        (FILES, {"files": 5}),
        (FILES, {"files": {"run/\0x": ""}}),
        (FILES, {"padding": "x" * 51_000_000}),
    ],
)  # fmt: skip
def test_a_pack_may_hold_anything_and_gets_one_sentence(
    task: object,
    settings: Settings,
    tmp_path: Path,
    files: dict[str, Any],
    manifest: dict[str, Any],
) -> None:
    """One that said "running" stayed so for ever, and could not even be deleted."""
    source = written(tmp_path / "bad.zip", files, **manifest)
    with pytest.raises(PipelineError) as caught:
        import_pack(source, settings)
    said = {render(caught.value.text, language) for language in LANGUAGES}
    assert len(said) == len(LANGUAGES)
    assert not settings.runs.exists() or not list(settings.runs.iterdir())
    with pytest.raises(PipelineError):
        import_checkpoint(source, settings)


@pytest.mark.parametrize("path", ["../x.tif", "a/../../x.tif", "/etc/passwd"])
def test_a_record_never_leaves_its_root(path: str) -> None:
    file = {"path": path, "role": "image", "num_bytes": 1, "sha256": ""}
    with pytest.raises(ValueError, match="outside"):
        record_from_json({**RECORD, "files": [file]})
    kept = record_from_json({**RECORD, "files": [{**file, "path": "a..b/.x..tif"}]})
    assert kept.files[0].path == "a..b/.x..tif"
