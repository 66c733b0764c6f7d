"""Pack everything that is needed to believe and to repeat a run: a folder, and a zip of it.

evidence/
  README.md                     what is here, in both languages
  report.<language>.html, .pdf  data, method, results with intervals, limits, how to repeat it
  figures/                      the report's figures as SVG
  model_card.<language>.md      what the model is for, made from, worth, and where it ends
  config.json                   every option with its value
  commands.sh, repeat.ipynb     the exact commands, and a notebook that repeats the run
  model.onnx, onnx.json         the network for other programs, and how it was checked
  run/                          the run itself: request, data fingerprints, split, scores, rows,
                                items.parquet, curves, answers in the field's formats, checkpoint
  manifest.json                 version of this form, and a fingerprint of every file

Places and names of this machine and its user stay behind.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import logging
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipelines.core.checkpoints import WEIGHTS, find_checkpoint
from pipelines.core.files import disk_errors, write_bytes, write_json
from pipelines.core.provenance import code_version
from pipelines.errors import CheckpointError, JobError
from pipelines.evidence.card import to_card
from pipelines.evidence.document import Document, lay_out, pictures
from pipelines.evidence.facts import RunFacts, gather
from pipelines.evidence.html import to_html
from pipelines.evidence.manifest import FORMAT, MANIFEST, RUN_FOLDER, VERSION
from pipelines.evidence.notebook import to_notebook
from pipelines.evidence.onnx_file import OnnxOutcome, export_network
from pipelines.evidence.pdf import to_pdf
from pipelines.evidence.report import build_report, call_of
from pipelines.jobs.store import Run, find_run
from pipelines.settings import Settings, load_settings
from pipelines.text import LANGUAGES, Language, Text, render

MOST_PREDICTION_BYTES: Final = 2_000_000_000
_NUM_CHECKED: Final = 3
_COPIED: Final = (
    "split.json", "scores.json", "environment.json", "events.jsonl", "statistics.npz",
    "items.parquet",
)  # fmt: skip
_STAGES: Final = ("run", "onnx", "report", "zip")
Progress = Callable[[Text, float], None]


@dataclass(frozen=True)
class Pack:
    """Name a written pack.

    Attributes:
        folder: Its folder.
        archive: The zip of it.
        onnx: What came of the ONNX export.
        notes: What was left out, and why.
    """

    folder: Path
    archive: Path
    onnx: OnnxOutcome
    notes: tuple[Text, ...]


def write_pack(
    run: Run,
    output: Path,
    settings: Settings | None = None,
    *,
    on_progress: Progress | None = None,
) -> Pack:
    """Write the evidence pack of a finished run.

    Args:
        run: The run.
        output: Folder that is filled; files of an earlier pack there are replaced.
        settings: Folders of this installation.
        on_progress: Told the stage and the share that is done.

    Raises:
        RunConflictError: The run is not finished.
        JobError: Something of it is damaged, or `output` is a file.
        DiskFullError: No space; what stood in `output` is untouched.
    """
    settings = settings or load_settings()
    _refuse_foreign(output)
    tell = _teller(on_progress)
    facts = gather(run)
    with _filled(output) as fresh:
        tell(0)
        notes = [*facts.notes, *_write_run(facts, fresh / RUN_FOLDER)]
        tell(1)
        onnx = _write_onnx(facts, fresh)
        tell(2)
        _write_words(facts, fresh, settings, onnx)
        tell(3)
        _write_manifest(facts, fresh)
        archive = fresh / f"{pack_name(run)}.zip"
        _zip(fresh, archive)
    return Pack(output, output / archive.name, onnx, tuple(notes))


def _refuse_foreign(output: Path) -> None:
    """Refuse a place that holds something else than an earlier pack."""
    if output.is_file():
        raise JobError(Text("evidence.output_is_file", path=str(output)))
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise JobError(Text("evidence.output_taken", path=str(output)))


@contextmanager
def _filled(output: Path) -> Iterator[Path]:
    """Fill a folder beside `output`, then move what it holds there, entry by entry."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")
    try:
        with disk_errors(output):
            beside.mkdir()
            yield beside
            output.mkdir(exist_ok=True)
            for entry in sorted(beside.iterdir()):
                target = output / entry.name
                if target.is_dir():
                    shutil.rmtree(target)
                os.replace(entry, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def pack_name(run: Run) -> str:
    """Return the name of a run's pack."""
    return f"evidence-{run.request.task_id}-{run.short_id}"


def find_pack(run: Run, settings: Settings) -> Path | None:
    """Return the folder of the pack that a page has written of a run, if it is still up to date."""
    folder = settings.data / "packs" / run.run_id
    if not (folder / f"{pack_name(run)}.zip").is_file():
        return None
    made = (folder / MANIFEST).stat().st_mtime
    changed = max((run.folder / name).stat().st_mtime for name in ("request.json", "state.json"))
    return folder if made >= changed else None


def pack_for_page(run_id: str) -> str:
    """Write the pack of a run where `find_pack` finds it, for the warm process."""
    settings = load_settings()
    run = find_run(run_id, settings)
    return str(write_pack(run, settings.data / "packs" / run.run_id, settings).folder)


def _teller(on_progress: Progress | None) -> Callable[[int], None]:
    def tell(stage: int) -> None:
        if on_progress is not None:
            name = Text(f"evidence.stage.{_STAGES[stage]}")
            on_progress(name, stage / len(_STAGES))

    return tell


# --- the run --------------------------------------------------------------------------------------


def _write_run(facts: RunFacts, folder: Path) -> Iterator[Text]:
    """Copy the run without what names this machine; yields what was left out."""
    run = facts.run
    folder.mkdir()
    request = dataclasses.replace(
        run.request, owner="", output="", checkpoint=RUN_FOLDER, run_id=run.run_id
    )
    state = dataclasses.replace(run.state, host="", pid=0, error=None)
    write_json(folder / "request.json", dataclasses.asdict(request))
    write_json(folder / "state.json", state.to_json())
    record = json.loads((run.folder / "dataset.json").read_bytes())
    write_json(folder / "dataset.json", {**record, "root": "", "owner": ""})
    for name in _COPIED:
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, folder / name)
    yield from _copy_predictions(run.prediction_folder, folder / "prediction")
    yield from _copy_checkpoint(run, folder / "checkpoint")


def _copy_predictions(source: Path, target: Path) -> Iterator[Text]:
    """Copy the field's files, the small ones first, as long as they stay within bounds."""
    files = sorted(
        (p for p in source.rglob("*") if p.is_file()), key=lambda path: path.stat().st_size
    )
    left = MOST_PREDICTION_BYTES
    num_left_out = 0
    for path in files:
        left -= path.stat().st_size
        if left < 0:
            num_left_out += 1
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    if num_left_out:
        yield Text("evidence.left_out", n=num_left_out, limit=MOST_PREDICTION_BYTES)


def _copy_checkpoint(run: Run, target: Path) -> Iterator[Text]:
    try:
        source = None if run.checkpoint is None else find_checkpoint(run.checkpoint)
    except CheckpointError:
        return  # noted when the run was read
    if source is None:
        return
    target.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file():
            shutil.copyfile(path, target / path.name)
    yield from ()


# --- the network ----------------------------------------------------------------------------------


def _write_onnx(facts: RunFacts, folder: Path) -> OnnxOutcome:
    """Export the network; a failure is told in the pack and does not prevent it."""
    if facts.card is None or facts.run.checkpoint is None or not len(facts.samples):
        return OnnxOutcome(None, Text("evidence.onnx.nothing_to_check"))
    checkpoint = facts.run.checkpoint
    samples = [facts.samples[i] for i in range(min(_NUM_CHECKED, len(facts.samples)))]
    outcome = export_network(
        lambda: facts.task.network_for_export(checkpoint, samples), folder / "model.onnx"
    )
    found: dict[str, Any] = {"is_made": (folder / "model.onnx").is_file()}
    found["words"] = {language: render(outcome.text, language) for language in LANGUAGES}
    if outcome.note is not None:
        found["note"] = {language: render(outcome.note, language) for language in LANGUAGES}
    if outcome.check is not None:
        found |= outcome.check.to_json()
    write_json(folder / "onnx.json", found)
    return outcome


# --- words ----------------------------------------------------------------------------------------


def _write_words(facts: RunFacts, folder: Path, settings: Settings, onnx: OnnxOutcome) -> None:
    report = build_report(facts, settings)
    weights = folder / RUN_FOLDER / "checkpoint" / WEIGHTS
    sha256 = _sha256(weights) if weights.is_file() else ""
    for language in LANGUAGES:
        _write_report(report, language, folder)
        card = to_card(facts, language, weights_sha256=sha256, onnx=onnx.text)
        write_bytes(folder / f"model_card.{language}.md", card.encode())
    write_json(folder / "config.json", dict(facts.run.request.config))
    write_bytes(folder / "commands.sh", _commands(facts).encode())
    write_bytes(folder / "repeat.ipynb", to_notebook(facts, "en"))
    write_bytes(folder / "curves.csv", _curves_csv(facts).encode())
    write_bytes(folder / "README.md", _readme(facts).encode())
    for name, content in facts.task.pack_files(facts.context()).items():
        write_bytes(folder / name, content)


def _write_report(report: Document, language: Language, folder: Path) -> None:
    write_bytes(folder / f"report.{language}.html", to_html(report, language).encode())
    write_bytes(folder / f"report.{language}.pdf", to_pdf(report, language))
    (folder / "figures").mkdir(exist_ok=True)
    for number, picture in enumerate(pictures(lay_out(report, language)), start=1):
        file = folder / "figures" / f"figure-{number:02d}.{language}.svg"
        write_bytes(file, picture.drawing.encode())


def _commands(facts: RunFacts) -> str:
    lines = ["#!/bin/sh", "# " + render(Text("evidence.commands_words"), "en")]
    lines += ["# " + render(Text("evidence.commands_words"), "fr"), "set -eu", ""]
    if not facts.record.is_generated:
        lines += ["# DATA: the file or folder of the data; RUN and the like: folders to write"]
    return "\n".join([*lines, call_of(facts).shell, ""])


def _curves_csv(facts: RunFacts) -> str:
    points = facts.run.metric_points()
    names = list(dict.fromkeys(name for point in points for name in point))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(points)
    return buffer.getvalue()


def _readme(facts: RunFacts) -> str:
    chapters = []
    for language in LANGUAGES:
        title = render(Text("evidence.readme.title", task=facts.task.title), language)
        words = render(Text("evidence.readme.words", run=facts.run.run_id), language)
        names = ("report", "figures", "card", "commands", "onnx", "run", "manifest")
        lines = [render(Text(f"evidence.readme.{name}"), language) for name in names]
        chapters.append("\n".join([f"# {title}", "", words, "", *(f"- {line}" for line in lines)]))
    return "\n\n".join(chapters) + "\n"


# --- manifest and zip -----------------------------------------------------------------------------


def _write_manifest(facts: RunFacts, folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "task_id": facts.task.id,
        "run_id": facts.run.run_id,
        "packed": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": code_version(),
        "files": {p.relative_to(folder).as_posix(): _sha256(p) for p in files},
    }
    write_json(folder / MANIFEST, manifest)


def _zip(folder: Path, archive: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != archive)
    logging.getLogger(__name__).info("packing %d files", len(files))
    with disk_errors(archive), zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in files:
            target.write(path, path.relative_to(folder).as_posix())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
