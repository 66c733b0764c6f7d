"""Bring checkpoints in, hand them out, delete them and bring them back.

Whatever comes in is data: a folder or zip of ours (safetensors and card), an evidence pack, or
weights of another program, read without running code and matched with the networks known here.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from pipelines import registry
from pipelines.core.checkpoints import (
    CARD,
    RUN_SUBFOLDER,
    WEIGHTS,
    CheckpointCard,
    CheckpointEntry,
    KeyReport,
    find_checkpoint,
    import_foreign_weights,
    list_checkpoints,
    load_card,
    load_weights,
    save_checkpoint,
    verify_weights,
)
from pipelines.core.files import disk_errors, write_json
from pipelines.errors import CheckpointError, CheckpointMismatchError, JobError, PipelineError
from pipelines.evidence.manifest import MANIFEST, RUN_FOLDER, read_manifest
from pipelines.jobs.store import read_run
from pipelines.settings import Settings
from pipelines.text import Text

FOREIGN: Final = (".pth", ".pt", ".safetensors")
_OURS: Final = (WEIGHTS, CARD, "split.json", "train_features.npz")
_CODE: Final = (".pth", ".pt", ".pkl", ".pickle", ".py", ".bin", ".ckpt", ".joblib", ".exe", ".so")
_MOST_MEMBERS: Final = 200_000
_MOST_MANIFEST_BYTES: Final = 50_000_000
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Match:
    """Say how foreign weights fit a network that is known here.

    Attributes:
        template: Checkpoint whose network it is.
        report: Which names fit.
    """

    template: CheckpointEntry
    report: KeyReport

    @property
    def share(self) -> float:
        """Share of the network's weights that were found, in [0, 1]."""
        known = len(self.report.loaded) + len(self.report.missing) + len(self.report.misshapen)
        return len(self.report.loaded) / max(known, 1)


def imported_folder(settings: Settings) -> Path:
    """Return the folder of checkpoints that were brought in."""
    return settings.data / "checkpoints"


def all_checkpoints(task_id: str, settings: Settings) -> list[CheckpointEntry]:
    """List the checkpoints of a task: of the product, of runs, and brought in."""
    folder = imported_folder(settings)
    return list_checkpoints(task_id, settings.checkpoints, settings.runs, folder)


# --- out ------------------------------------------------------------------------------------------


def export_checkpoint(folder: Path, target: Path) -> Path:
    """Write a checkpoint as a zip that `import_checkpoint` reads.

    Args:
        folder: Checkpoint folder.
        target: `.zip` file.

    Raises:
        CheckpointError: Its weights are not those of its card.
    """
    verify_weights(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with disk_errors(target), zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for name in _OURS:
            if (folder / name).is_file():
                archive.write(folder / name, name)
    os.replace(beside, target)
    return target


# --- in -------------------------------------------------------------------------------------------


def import_checkpoint(source: Path, settings: Settings, *, title: str = "") -> CheckpointEntry:
    """Bring in a checkpoint folder, a zip of one, or an evidence pack.

    Args:
        source: Folder or zip.
        settings: Where it is put, and how large it may be.
        title: Name that people see; the card's own if left out.

    Raises:
        CheckpointError: It is no checkpoint, holds code, is too large or damaged, or its weights
            are not those of its card.
        JobError: It is a pack of a later version.
        UnknownTaskError: Its task is not known here.
    """
    with _unpacked(source, settings) as folder:
        card = load_card(folder)
        registry.get_task(card.task_id)
        verify_weights(folder)
        load_weights(folder)
        target = _new_place(card.task_id, title or card.title or source.stem, settings)
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder, target, ignore=_only_ours)
    if title:
        write_json(
            target / CARD, dataclasses.asdict(dataclasses.replace(load_card(target), title=title))
        )
    return CheckpointEntry(target, load_card(target), is_builtin=False, is_imported=True)


def match_foreign(path: Path, settings: Settings) -> list[Match]:
    """Compare weights of another program with every network that is known here.

    Args:
        path: `.pth`, `.pt` or `.safetensors`.
        settings: Where checkpoints lie.

    Returns:
        The networks of which at least one weight was found, the best fitting first.

    Raises:
        CheckpointError: It cannot be read without running code from it, or fits no network.
    """
    _refuse_large(path, settings)
    found, best_miss = [], None
    for entry in _templates(settings):
        try:
            _, report = import_foreign_weights(path, load_weights(entry.folder))
        except CheckpointMismatchError as error:
            best_miss = best_miss or error
            continue
        found.append(Match(entry, report))
    if not found:
        raise best_miss or CheckpointError(Text("models.no_templates"))
    return sorted(found, key=lambda match: -match.share)


def import_foreign(
    path: Path, template: Path, settings: Settings, *, title: str = ""
) -> CheckpointEntry:
    """Bring in weights of another program as a checkpoint with the network of a known one.

    Args:
        path: `.pth`, `.pt` or `.safetensors`.
        template: Checkpoint whose network they are for.
        settings: Where it is put.
        title: Name that people see.

    Raises:
        CheckpointMismatchError: Some weight of the network is missing or of another shape.
        CheckpointError: It cannot be read without running code from it.
    """
    _refuse_large(path, settings)
    card = load_card(template)
    tensors, report = import_foreign_weights(path, load_weights(template))
    if not report.is_complete:
        raise CheckpointMismatchError(Text("models.incomplete", file=path.name, report=report.text))
    own = _foreign_card(card, title or path.stem, path.name)
    target = _new_place(card.task_id, title or path.stem, settings)
    save_checkpoint(target, tensors, own)
    return CheckpointEntry(target, load_card(target), is_builtin=False, is_imported=True)


def match_for_page(path: str) -> list[dict[str, Any]]:
    """Answer `match_foreign` in plain values, for the warm process."""
    from pipelines.settings import load_settings

    return [
        {
            "folder": str(match.template.folder),
            "task_id": match.template.card.task_id,
            "title": match.template.card.title,
            "share": match.share,
            "is_complete": match.report.is_complete,
            "report": dataclasses.asdict(match.report),
        }
        for match in match_foreign(Path(path), load_settings())
    ]


def import_for_page(path: str, template: str, title: str) -> str:
    """Bring in a file and return its new folder, for the warm process."""
    from pipelines.settings import load_settings

    settings = load_settings()
    if template:
        entry = import_foreign(Path(path), Path(template), settings, title=title)
    else:
        entry = import_checkpoint(Path(path), settings, title=title)
    return str(entry.folder)


def _foreign_card(card: CheckpointCard, title: str, file: str) -> CheckpointCard:
    """Return a card that claims nothing of what is known only of the template."""
    return CheckpointCard(
        task_id=card.task_id,
        architecture=card.architecture,
        config=card.config,
        title=title,
        num_parameters=card.num_parameters,
        notes=f"weights of {file}, network of {card.title or card.run_id or 'a known model'}",
        extra=card.extra,
    )


def _templates(settings: Settings) -> Iterator[CheckpointEntry]:
    """List one checkpoint of each network that is known here."""
    seen: set[str] = set()
    for task in registry.load_tasks()[0]:
        for entry in all_checkpoints(task.id, settings):
            mark = f"{task.id} {json.dumps(dict(entry.card.architecture), sort_keys=True)}"
            if mark not in seen and entry.card.num_parameters:
                seen.add(mark)
                yield entry


def _refuse_large(path: Path, settings: Settings) -> None:
    if path.is_file() and path.stat().st_size > settings.max_input_bytes:
        raise CheckpointError(
            Text("models.too_large", file=path.name, limit=settings.max_input_bytes)
        )


def _new_place(task_id: str, title: str, settings: Settings) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "model"
    return imported_folder(settings) / task_id / f"{slug}-{secrets.token_hex(2)}"


def _only_ours(folder: str, names: Sequence[str]) -> set[str]:
    return {name for name in names if name not in _OURS}


# --- archives -------------------------------------------------------------------------------------


@contextmanager
def _unpacked(source: Path, settings: Settings) -> Iterator[Path]:
    """Give the checkpoint folder of a source; a zip is unpacked for the moment."""
    if source.is_dir():
        if (source / MANIFEST).is_file():
            read_manifest((source / MANIFEST).read_bytes(), source.name)
            source = source / RUN_FOLDER
        yield find_checkpoint(source)
        return
    if not zipfile.is_zipfile(source):
        raise CheckpointError(Text("models.no_zip", file=source.name))
    folder = imported_folder(settings) / f".unpacking.{secrets.token_hex(4)}"
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True)
            _unpack(source, folder, settings)
        yield find_checkpoint(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(source: Path, folder: Path, settings: Settings) -> None:
    """Take the files of one checkpoint out of an archive; anything else stays in it."""
    with opened_zip(source, settings) as archive:
        names = {name: PurePosixPath(name) for name in archive.namelist()}
        cards = [path.parent for path in names.values() if path.name == CARD]
        if MANIFEST in names:
            manifest_in(archive, source.name)
            cards = [PurePosixPath(RUN_FOLDER) / RUN_SUBFOLDER]
        elif code := [n for n, path in names.items() if path.suffix.lower() in _CODE]:
            raise CheckpointError(Text("models.holds_code", file=source.name, name=code[0][:80]))
        if len(cards) != 1:
            raise CheckpointError(Text("models.no_one_card", file=source.name, n=len(cards)))
        for name, path in names.items():
            if path.parent == cards[0] and path.name in _OURS:
                extract_member(archive, name, folder / path.name, settings.max_input_bytes)


@contextmanager
def opened_zip(source: Path, settings: Settings) -> Iterator[zipfile.ZipFile]:
    """Open an archive of somebody else within bounds.

    Raises:
        CheckpointError: It is no readable zip, lists too many files, unpacks to more than allowed,
            or names places outside of itself.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            _refuse_hostile(archive, source.name, settings)
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        if isinstance(error, PipelineError):
            raise
        raise CheckpointError(Text("models.broken_zip", file=source.name)) from error


def _refuse_hostile(archive: zipfile.ZipFile, name: str, settings: Settings) -> None:
    infos = archive.infolist()
    size = sum(info.file_size for info in infos)
    if len(infos) > _MOST_MEMBERS or size > settings.max_input_bytes:
        raise CheckpointError(Text("models.too_large", file=name, limit=settings.max_input_bytes))
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in info.filename:
            raise CheckpointError(Text("models.outside", file=name, name=info.filename[:80]))


def manifest_in(archive: zipfile.ZipFile, name: str) -> Mapping[str, Any]:
    """Read the manifest of a pack that is open.

    Raises:
        JobError: It has none, one of a later version, or one larger than any that was written.
    """
    try:
        size = archive.getinfo(MANIFEST).file_size
    except KeyError as error:
        raise JobError(Text("evidence.no_pack", file=name)) from error
    if size > _MOST_MANIFEST_BYTES:
        raise JobError(Text("evidence.no_pack", file=name))
    return read_manifest(archive.read(MANIFEST), name)


def extract_member(archive: zipfile.ZipFile, name: str, target: Path, limit: int) -> None:
    """Write one member to a file; what it claims of its size is not believed.

    Raises:
        CheckpointError: It unpacks to more than allowed.
    """
    written = 0
    with archive.open(name) as source, target.open("xb") as out:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > limit:
                raise CheckpointError(Text("models.too_large", file=name, limit=limit))
            out.write(chunk)


# --- delete ---------------------------------------------------------------------------------------


def delete_checkpoint(entry: CheckpointEntry) -> Path:
    """Put a checkpoint aside, from where `restore_checkpoint` brings it back.

    Raises:
        CheckpointError: It comes with the product, or its run is at work.
    """
    if entry.is_builtin:
        raise CheckpointError(Text("models.builtin"))
    if not entry.is_imported and read_run(entry.folder.parent).status.is_active:
        raise CheckpointError(Text("models.at_work"))
    aside = entry.folder.with_name(f".{entry.folder.name}.deleted")
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(entry.folder, aside)
    return aside


def restore_checkpoint(aside: Path) -> Path:
    """Undo `delete_checkpoint`.

    Raises:
        CheckpointError: It is not there any more, or another one has its place.
    """
    folder = aside.with_name(aside.name.removeprefix(".").removesuffix(".deleted"))
    if not aside.is_dir() or folder.exists():
        raise CheckpointError(Text("models.cannot_restore"))
    os.replace(aside, folder)
    return folder


Kind = Literal["ours", "foreign", "other"]


def kind_of(name: str) -> Kind:
    """Tell from a file's name how it can be brought in."""
    suffix = Path(name).suffix.lower()
    if suffix == ".zip":
        return "ours"
    return "foreign" if suffix in FOREIGN else "other"
