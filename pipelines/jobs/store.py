"""A run on disk: create, read, list, rename, delete. The files are the truth.

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
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from zipfile import BadZipFile

from pipelines.contract import DatasetRecord, ItemStatistics, SplitManifest
from pipelines.core.files import disk_errors, parse_json, path_exists, write_bytes, write_json
from pipelines.core.provenance import code_version, package_versions
from pipelines.errors import JobError, RunConflictError, RunNotFoundError
from pipelines.settings import Settings, load_settings
from pipelines.text import Text, verbatim

if TYPE_CHECKING:
    import numpy as np
    from filelock import FileLock
    from numpy.typing import NDArray

Action = Literal["train", "predict"]
Wish = Literal["pause", "cancel"]

REQUEST: Final = "request.json"
STATE: Final = "state.json"
EVENTS: Final = "events.jsonl"
PICTURES: Final = "pictures"
LOG: Final = "log.txt"
LOCK: Final = "lock"
RESERVE: Final = "reserve"
TRASH: Final = ".trash"

START_GRACE_S: Final = 60.0
"""How long a launched worker may take until it holds its lock (a cold disk, a busy machine)."""
HEARTBEAT_FRESH_S: Final = 60.0
"""How old the heartbeat of a worker on another machine may be; there its lock proves nothing."""
TRASH_KEPT_S: Final = 24 * 3600.0
"""How long a deleted run can surely be brought back; the next deletion then takes it for good."""
RESERVE_BYTES: Final = 16_384
"""Space set aside, so that the end of a run can be recorded on a full disk."""


class Status(StrEnum):
    """Say how a run stands; `lost` is never written, it is what a reader concludes."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_active(self) -> bool:
        """Whether a worker is at it or will be."""
        return self in (Status.QUEUED, Status.RUNNING)

    @property
    def is_resumable(self) -> bool:
        """Whether `resume` can take it up again."""
        return self in (Status.PAUSED, Status.CANCELLED, Status.LOST, Status.FAILED)

    @property
    def label(self) -> Text:
        """Name of the status."""
        return Text(f"jobs.status.{self.value}")


def short_id_of(run_id: str) -> str:
    """Return the end of a run's name; a folder that a person named may have it whole."""
    return run_id.rsplit("-", 1)[-1]


def data_words(title: str, *, is_generated: bool) -> Text:
    """Return what a sentence calls data: by their name, or the built-in sample by what it is."""
    return Text("jobs.the_sample") if is_generated else verbatim(title)


@dataclass(frozen=True)
class RunRequest:
    """Hold what was asked for, with everything that is needed to do it again.

    Attributes:
        run_id: Name of the folder.
        task_id: Task that works.
        action: What is done.
        title: Name that a person gave, or "".
        config: Every option with its value.
        preset: Preset that the options started from, or "".
        dataset_title: Name of the data.
        dataset_id: Data set that it is about.
        checkpoint: Checkpoint folder that a prediction uses, or "".
        parent_run: Run that made the checkpoint, or "".
        output: Folder that a prediction writes into, or "" for the run's own.
        item_ids: Items to predict; empty for all of them.
        seed: Seed of the run.
        study: Study that it is a run of, or "".
        split_method: How its split was made, with what is wrong with it ("LEAK=2"); "" without.
        owner: Who started it.
        created: ISO 8601 in UTC.
        code_version: Commit of the code.
        versions: Package to version.
        repeats: Run that is done again, or "".
        is_generated: Whether the data are the task's built-in sample.
    """

    run_id: str
    task_id: str
    action: Action
    title: str
    config: Mapping[str, Any]
    preset: str = ""
    dataset_title: str = ""
    dataset_id: str = ""
    checkpoint: str = ""
    parent_run: str = ""
    output: str = ""
    item_ids: tuple[str, ...] = ()
    seed: int = 0
    study: str = ""
    split_method: str = ""
    owner: str = ""
    created: str = ""
    code_version: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    repeats: str = ""
    is_generated: bool = False

    @property
    def data_name(self) -> Text:
        """What a sentence calls the data."""
        return data_words(self.dataset_title, is_generated=self.is_generated)


@dataclass(frozen=True)
class RunState:
    """Hold how a run stands, as its worker last wrote it.

    Attributes:
        status: See `Status`.
        done: Progress in the work's own units.
        total: Units in all; 0 while unknown.
        stage: What it is doing, or None.
        seconds_left: Estimate, or None.
        speed: Units a second, or None.
        started: When work began, seconds since 1970, or None.
        ended: When it ended, or None.
        worked_s: Seconds of work, pauses left out.
        heartbeat: When the worker last wrote.
        host: Machine of the worker.
        pid: Its process number there.
        process_started: When that process began, which tells it from another of the same number.
        memory_bytes: Resident memory now.
        memory_peak_bytes: Highest resident memory.
        gpu_memory_peak_bytes: Highest memory on the GPU, 0 without one.
        queue_position: Place in the queue, 1 is next; 0 when not waiting.
        error: Why it failed, or None.
        notes: What the work told the person.
    """

    status: Status = Status.QUEUED
    done: float = 0.0
    total: float = 0.0
    stage: Text | None = None
    seconds_left: float | None = None
    speed: float | None = None
    started: float | None = None
    ended: float | None = None
    worked_s: float = 0.0
    heartbeat: float = 0.0
    host: str = ""
    pid: int = 0
    process_started: float = 0.0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    gpu_memory_peak_bytes: int = 0
    queue_position: int = 0
    error: Text | None = None
    notes: tuple[Text, ...] = ()

    @property
    def fraction(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        if self.status is Status.FINISHED:
            return 1.0
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data["status"] = self.status.value
        data["stage"] = self.stage.to_json() if self.stage else None
        data["error"] = self.error.to_json() if self.error else None
        data["notes"] = [note.to_json() for note in self.notes]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunState:
        """Rebuild a state from `to_json`; keys of another version are left out."""
        values = {name: value for name, value in data.items() if name in _STATE_NAMES}
        values["status"] = Status(data["status"])
        for name in ("stage", "error"):
            values[name] = Text.from_json(data[name]) if data.get(name) else None
        values["notes"] = tuple(Text.from_json(note) for note in data.get("notes", ()))
        return cls(**values)


@dataclass(frozen=True)
class Picture:
    """Name one kept frame.

    Attributes:
        name: Series that it belongs to.
        path: PNG file.
        caption: What it shows.
        seconds: When it was made, seconds of work.
    """

    name: str
    path: Path
    caption: Text
    seconds: float

    def pixels(self) -> NDArray[np.uint8]:
        """Read it: `(H, W)` grey or `(H, W, 3)` RGB."""
        import numpy as np
        from PIL import Image

        with Image.open(self.path) as image:
            return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


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
class Run:
    """Hold a run as it was read; read it again to see what became of it.

    Attributes:
        folder: Its folder.
        request: What was asked for.
        state: How it stands, `lost` concluded where no worker is left.
    """

    folder: Path
    request: RunRequest
    state: RunState

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.request.run_id

    @property
    def short_id(self) -> str:
        """The end of the name, enough to tell runs apart on a page."""
        return short_id_of(self.run_id)

    @property
    def status(self) -> Status:
        """How it stands."""
        return self.state.status

    @property
    def has_leak(self) -> bool:
        """Whether its split puts the same thing on both sides, so that its figures flatter."""
        return "LEAK" in self.request.split_method

    @property
    def title(self) -> Text:
        """The person's own title, or one made of what was asked for."""
        if self.request.title:
            return verbatim(self.request.title)
        return Text(
            f"jobs.title.{self.request.action}",
            dataset=self.request.data_name,
            run=self.short_id,
        )

    @property
    def error(self) -> Text | None:
        """Why it failed or what is known of its loss."""
        return self.state.error

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that it wrote or that it uses, or None while there is none."""
        if self.request.action == "predict":
            return Path(self.request.checkpoint)
        folder = self.folder / "checkpoint"
        return folder if (folder / "card.json").is_file() else None

    @property
    def prediction_folder(self) -> Path:
        """Folder that a prediction writes into."""
        return Path(self.request.output) if self.request.output else self.folder / "prediction"

    def dataset(self) -> DatasetRecord:
        """Read the data set record that it works on."""
        from pipelines import datasets

        file = self.folder / "dataset.json"
        with _damage_named(file):
            return datasets.record_from_json(_read_json(file))

    def split(self) -> SplitManifest | None:
        """Read its split, or None for a prediction without one."""
        from pipelines import datasets

        file = self.folder / "split.json"
        if not file.is_file():
            return None
        with _damage_named(file):
            return datasets.split_from_json(_read_json(file))

    def events(self, since: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Read points of the curves from a byte offset on.

        Returns:
            The points, and the offset to ask from next time. A line that is still being written
            is left for the next time.
        """
        return _read_lines(self.folder / EVENTS, since)

    def metric_points(self) -> list[dict[str, Any]]:
        """Read all points of the curves; what a resumed training did again replaces what was."""
        points: list[dict[str, Any]] = []
        for point in self.events()[0]:
            while points and points[-1].get("step", 0) >= point.get("step", 0):
                if set(points[-1]) - set(point) and points[-1]["step"] == point["step"]:
                    break  # another curve's value at the same step
                points.pop()
            points.append(point)
        return points

    def pictures(self, name: str | None = None) -> list[Picture]:
        """List the kept frames, oldest first, of one series or of all."""
        lines, _ = _read_lines(self.folder / PICTURES / "index.jsonl", 0)
        return [
            Picture(
                name=line["name"],
                path=self.folder / PICTURES / line["file"],
                caption=Text.from_json(line["caption"]),
                seconds=float(line["seconds"]),
            )
            for line in lines
            if name in (None, line["name"])
        ]

    def scores(self) -> dict[str, Any] | None:
        """Read `scores.json`, or None while nothing was scored."""
        file = self.folder / "scores.json"
        if not file.is_file():
            return None
        with _damage_named(file):
            scores: dict[str, Any] = _read_json(file)
            return scores

    def statistics(self) -> ItemStatistics | None:
        """Read the rows that the scores were made of, or None."""
        file = self.folder / "statistics.npz"
        if not file.is_file():
            return None
        with _damage_named(file):
            return ItemStatistics.load(file)

    def log_tail(self, num_bytes: int = 20_000) -> str:
        """Read the end of the log."""
        file = self.folder / LOG
        if not file.is_file():
            return ""
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - num_bytes))
            return stream.read().decode("utf-8", errors="replace")

    def reread(self) -> Run:
        """Read the run again."""
        return read_run(self.folder)


@dataclass(frozen=True)
class RunListing:
    """Hold the runs that can be read, and what is wrong with the other folders.

    Attributes:
        runs: Newest first.
        problems: Folder and sentence.
    """

    runs: tuple[Run, ...]
    problems: tuple[tuple[Path, Text], ...]


# --- create -----------------------------------------------------------------------------------


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


# --- read -------------------------------------------------------------------------------------


def read_run(folder: Path) -> Run:
    """Read one run.

    A state that cannot be read does not hide the run: it reads as lost, and its error says what is
    wrong with the file.

    Raises:
        RunNotFoundError: No run stands there.
        JobError: Its request is damaged, so that nothing is known of it.
    """
    file = folder / REQUEST
    try:
        request = _read_cached(file, _request_from_json)
    except FileNotFoundError as error:
        raise RunNotFoundError(Text("jobs.no_run", path=str(folder))) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(Text("jobs.damaged_request", file=str(file))) from error
    return Run(folder, request, _read_state(folder))


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


def lock_of(folder: Path) -> FileLock:
    """Return the lock that a worker holds for its life (not taken yet)."""
    from filelock import FileLock  # 50 ms that a page without runs need not wait for

    return FileLock(str(folder / LOCK), thread_local=False)


def is_worked_on(folder: Path) -> bool:
    """Tell whether a process on this machine holds the lock of the run, or of the study, there."""
    if not (folder / LOCK).exists():
        return False
    from filelock import Timeout

    probe = lock_of(folder)
    try:
        probe.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    probe.release()
    return False


def _run_folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(e.path) for e in entries if not e.name.startswith(".") and e.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_state(folder: Path) -> RunState:
    file = folder / STATE
    try:
        state = _read_cached(file, RunState.from_json)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        state = RunState(
            Status.RUNNING, error=Text("jobs.damaged_state", file=str(file)), host=host_name()
        )
    return state if _is_alive(folder, state) else _as_lost(state)


def _is_alive(folder: Path, state: RunState) -> bool:
    """Tell whether the state's claim holds: settled states always, active ones with a worker."""
    if not state.status.is_active:
        return True
    age_s = abs(time.time() - state.heartbeat)  # a clock may have been set back since
    if state.host not in ("", host_name()):
        return age_s < HEARTBEAT_FRESH_S
    if state.status is Status.QUEUED and not state.host and age_s < START_GRACE_S:
        return True
    return is_worked_on(folder)


def _as_lost(state: RunState) -> RunState:
    error = state.error or Text("jobs.lost")
    return dataclasses.replace(state, status=Status.LOST, error=error, seconds_left=None)


def host_name() -> str:
    """Return the name of this machine, as states record it."""
    return socket.gethostname()


# --- change -----------------------------------------------------------------------------------


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


# --- small files, read once -------------------------------------------------------------------

_cache: dict[Path, tuple[tuple[int, int, int], Any]] = {}


def _read_cached(path: Path, parse: Any) -> Any:  # `parse` is one of two functions of this module
    """Read a small JSON file again only when it is another one than last time."""
    stat = path.stat()
    # a file that was replaced has another inode, even within one tick of the clock
    stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    known = _cache.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    value = parse(_read_json(path))
    if len(_cache) > 20_000:
        _cache.clear()
    _cache[path] = (stamp, value)
    return value


def _request_from_json(data: Mapping[str, Any]) -> RunRequest:
    values = {name: value for name, value in data.items() if name in _REQUEST_NAMES}
    values["item_ids"] = tuple(data.get("item_ids", ()))
    return RunRequest(**values)


_REQUEST_NAMES: Final = frozenset(f.name for f in dataclasses.fields(RunRequest))
_STATE_NAMES: Final = frozenset(f.name for f in dataclasses.fields(RunState))


def _read_json(path: Path) -> Any:
    return parse_json(path.read_bytes())


@contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Turn whatever a damaged file causes into one sentence that names it."""
    try:
        yield
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        EOFError,
        BadZipFile,
    ) as error:
        raise JobError(Text("jobs.damaged_file", file=str(file))) from error


def _read_lines(path: Path, since: int) -> tuple[list[dict[str, Any]], int]:
    try:
        with path.open("rb") as file:
            file.seek(since)
            content = file.read()
    except FileNotFoundError:
        return [], since
    complete = content[: content.rfind(b"\n") + 1]
    lines = [parsed for line in complete.splitlines() if (parsed := _parse_line(line)) is not None]
    return lines, since + len(complete)


def _parse_line(line: bytes) -> dict[str, Any] | None:
    try:
        value = parse_json(line)
    except ValueError:
        return None  # cut short by a crash; the next line is whole again
    return value if isinstance(value, dict) else None
