"""A run on disk: create, list, rename, delete; `run` reads one, `state` says what is in its files.

What those two define is reachable from here as well. The files are the truth.

runs/<run_id>/
  request.json      what was asked for: `RunRequest`
  dataset.json      the data set record and ...
  split.json        ... the split that it refers to, so that the folder is self-contained
  state.json        how it stands: `RunState`, replaced atomically
  events.jsonl      one line a point of the live curves
  pictures/         PNG frames with `index.jsonl`, for live view and replay
  log.txt           what the process wrote
  lock              held by the worker for as long as it lives
  pause, cancel     wishes of a person, read by the worker
  checkpoint/       weights and card (training)
  prediction/       the field's files (prediction); statistics.npz and scores.json beside it
  items.parquet     one row an item: part, answer, figures
  environment.json  the machine, its device, and the code that did the work
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pipelines.contract import DatasetRecord, SplitManifest
from pipelines.core.files import disk_errors, path_exists, write_bytes, write_json
from pipelines.core.provenance import code_version, package_versions
from pipelines.errors import JobError, RunConflictError, RunNotFoundError
from pipelines.jobs.run import (
    EVENTS,
    HEARTBEAT_FRESH_S,
    LOCK,
    LOG,
    PICTURES,
    REQUEST,
    START_GRACE_S,
    STATE,
    Picture,
    Run,
    host_name,
    is_worked_on,
    lock_of,
    read_run,
)
from pipelines.jobs.state import Action, RunRequest, RunState, Status, data_words, short_id_of
from pipelines.settings import Settings, load_settings
from pipelines.text import Text

__all__ = [
    "EVENTS",
    "HEARTBEAT_FRESH_S",
    "LOCK",
    "LOG",
    "PICTURES",
    "REQUEST",
    "RESERVE",
    "RESERVE_BYTES",
    "START_GRACE_S",
    "STATE",
    "TRASH",
    "TRASH_KEPT_S",
    "Action",
    "NewRun",
    "Picture",
    "Run",
    "RunListing",
    "RunRequest",
    "RunState",
    "Status",
    "Wish",
    "create_run",
    "data_words",
    "delete_run",
    "find_run",
    "host_name",
    "is_worked_on",
    "list_runs",
    "lock_of",
    "new_run_id",
    "read_run",
    "rename_run",
    "restore_run",
    "scan_runs",
    "short_id_of",
    "wish",
    "withdraw_wishes",
    "write_state",
]

Wish = Literal["pause", "cancel"]
RESERVE: Final = "reserve"
TRASH: Final = ".trash"
TRASH_KEPT_S: Final = 24 * 3600.0
"""How long a deleted run can surely be brought back; the next deletion then takes it for good."""
RESERVE_BYTES: Final = 16_384
"""Space set aside, so that the end of a run can be recorded on a full disk."""


@dataclass(frozen=True)
class NewRun:
    """Hold what `create_run` needs.

    Attributes:
        task_id: Task that works.
        action: What is done.
        config: Every option with its value, as `config.to_json` gives it.
        record: Data to work on.
        split: Parts for a training; for a prediction the split of its checkpoint, or None.
        title: Name that a person gave, or "".
        preset: Preset that the options started from, or "".
        checkpoint: Checkpoint of a prediction, or None.
        parent_run: Run that made the checkpoint, or "".
        output: Folder that a prediction writes into, or None for the run's own.
        item_ids: Items to predict; empty for all.
        seed: Seed of the run.
        study: Study that it is a run of, or "".
        repeats: Run that is done again, or "".
    """

    task_id: str
    action: Action
    config: Mapping[str, Any]
    record: DatasetRecord
    split: SplitManifest | None = None
    title: str = ""
    preset: str = ""
    checkpoint: Path | None = None
    parent_run: str = ""
    output: Path | None = None
    item_ids: Sequence[str] = ()
    seed: int = 0
    study: str = ""
    repeats: str = ""


@dataclass(frozen=True)
class RunListing:
    """Hold the runs that can be read, and what is wrong with the other folders.

    Attributes:
        runs: Newest first.
        problems: Folder and sentence.
    """

    runs: tuple[Run, ...]
    problems: tuple[tuple[Path, Text], ...]


def create_run(new: NewRun, settings: Settings | None = None, *, folder: Path | None = None) -> Run:
    """Write a new run, queued; `engines.local.launch` starts it.

    Args:
        new: What is asked for.
        settings: Where runs lie; read from the environment when left out.
        folder: Folder of the run; a fresh one below `settings.runs` when left out.

    Raises:
        RunConflictError: The folder is not empty.
        DiskFullError: No space; nothing is left behind.
    """
    settings = settings or load_settings()
    is_own = folder is None
    folder = _new_folder(settings.runs) if folder is None else folder
    existed = path_exists(folder) and not is_own
    if existed and (not folder.is_dir() or any(folder.iterdir())):
        raise RunConflictError(Text("jobs.folder_taken", folder=str(folder)))
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _write_run(folder, new, settings.owner)
    except BaseException:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return read_run(folder)


def new_run_id() -> str:
    """Make a name that sorts by time: its end counts 1/65536 s, and of two only one is made."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond * 65536 // 1_000_000:04x}"


def _new_folder(root: Path) -> Path:
    """Make the folder of a new run; of two sessions that ask at one moment one has to ask again."""
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / new_run_id()
            try:
                folder.mkdir()
            except FileExistsError:
                time.sleep(0.001)  # the clock of some systems ticks 60 times a second
            else:
                return folder


def _write_run(folder: Path, new: NewRun, owner: str) -> None:
    from pipelines import datasets

    write_json(folder / "dataset.json", datasets.record_to_json(new.record))
    if new.split is not None:
        write_json(folder / "split.json", datasets.split_to_json(new.split))
    request = RunRequest(
        run_id=folder.name,
        task_id=new.task_id,
        action=new.action,
        title=new.title,
        config=dict(new.config),
        preset=new.preset,
        dataset_title=new.record.title,
        dataset_id=new.record.dataset_id,
        checkpoint=str(new.checkpoint.resolve()) if new.checkpoint else "",
        parent_run=new.parent_run,
        output=str(new.output.resolve()) if new.output else "",
        item_ids=tuple(new.item_ids),
        seed=new.seed,
        study=new.study,
        split_method=new.split.method if new.split is not None else "",
        owner=owner,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        versions=package_versions(),
        repeats=new.repeats,
        is_generated=new.record.is_generated,
    )
    write_json(folder / REQUEST, dataclasses.asdict(request))
    write_state(folder, RunState(heartbeat=time.time()))


def scan_runs(settings: Settings | None = None, task_id: str | None = None) -> RunListing:
    """Read all runs, newest first; a folder that cannot be read does not hide the others."""
    root = (settings or load_settings()).runs
    runs: list[Run] = []
    problems: list[tuple[Path, Text]] = []
    for folder in _run_folders(root):
        try:
            run = read_run(folder)
        except RunNotFoundError:
            continue  # another folder, or one that is being made or deleted at this moment
        except JobError as error:
            problems.append((folder, error.text))
            continue
        if task_id in (None, run.request.task_id):
            runs.append(run)
    runs.sort(key=lambda run: (run.request.created, run.run_id), reverse=True)
    return RunListing(tuple(runs), tuple(problems))


def list_runs(settings: Settings | None = None, task_id: str | None = None) -> list[Run]:
    """List the runs that can be read, newest first."""
    return list(scan_runs(settings, task_id).runs)


def find_run(name: str, settings: Settings | None = None) -> Run:
    """Find a run by its folder, its id or the end of its id.

    Raises:
        RunNotFoundError: None, one that was deleted, or several whose ids end so.
    """
    if (Path(name) / REQUEST).is_file():
        return read_run(Path(name).resolve())
    root = (settings or load_settings()).runs
    found = _named(root, name)
    if len(found) == 1:
        return read_run(found[0])
    if found:
        raise RunNotFoundError(Text("jobs.unknown_run", name=name, n=len(found), folder=str(root)))
    if _named(root / TRASH, name):
        raise RunNotFoundError(Text("jobs.run_deleted", name=name))
    raise RunNotFoundError(Text("jobs.no_run_named", name=name, folder=str(root)))


def _named(root: Path, name: str) -> list[Path]:
    return [f for f in _run_folders(root) if f.name == name or f.name.endswith(f"-{name}")]


def _run_folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(e.path) for e in entries if not e.name.startswith(".") and e.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def write_state(folder: Path, state: RunState) -> None:
    """Replace the state; on a full disk the space set aside at the start is given up for it."""
    content = json.dumps(state.to_json(), ensure_ascii=False).encode()
    try:
        write_bytes(folder / STATE, content)
    except OSError:
        if state.status.is_active:
            raise
        (folder / RESERVE).unlink(missing_ok=True)
        write_bytes(folder / STATE, content)


def wish(folder: Path, what: Wish) -> None:
    """Ask the worker to pause or to stop; it answers at its next step."""
    (folder / what).touch()


def withdraw_wishes(folder: Path) -> None:
    """Forget that anybody asked to pause or to stop."""
    for name in ("pause", "cancel"):
        (folder / name).unlink(missing_ok=True)


def rename_run(run: Run, title: str) -> Run:
    """Give the run another title; "" returns to the one made of what was asked for."""
    request = dataclasses.replace(run.request, title=title.strip())
    write_json(run.folder / REQUEST, dataclasses.asdict(request))
    return run.reread()


def delete_run(run: Run) -> Path:
    """Move a run into the trash beside it, from where `restore_run` brings it back.

    Raises:
        RunConflictError: A worker is at it.
    """
    if run.reread().status.is_active:
        raise RunConflictError(Text("jobs.delete_active", run=run.short_id))
    trash = run.folder.parent / TRASH
    trash.mkdir(exist_ok=True)
    target = trash / run.folder.name
    if target.exists():
        shutil.rmtree(target)
    os.replace(run.folder, target)
    os.utime(target)
    _empty_trash(trash)
    return target


def restore_run(run_id: str, settings: Settings | None = None) -> Run:
    """Undo `delete_run`.

    Raises:
        RunNotFoundError: It is not in the trash any more.
        RunConflictError: Another run has its place.
    """
    root = (settings or load_settings()).runs
    source, target = root / TRASH / run_id, root / run_id
    if not re.fullmatch(r"[\w.-]+", run_id) or not (source / REQUEST).is_file():
        raise RunNotFoundError(Text("jobs.not_in_trash", run=run_id))
    if target.exists():
        raise RunConflictError(Text("jobs.folder_taken", folder=str(target)))
    os.replace(source, target)
    return read_run(target)


def _empty_trash(trash: Path) -> None:
    """Delete for good what was thrown away long ago: whoever deletes wants the space."""
    limit = time.time() - TRASH_KEPT_S
    for folder in _run_folders(trash):
        if folder.stat().st_mtime <= limit:
            shutil.rmtree(folder, ignore_errors=True)
