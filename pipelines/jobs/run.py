"""Read a run from its folder: request, state, curves, pictures, scores. The files are the truth."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import BadZipFile

from pipelines.contract import DatasetRecord, ItemStatistics, SplitManifest
from pipelines.core.files import parse_json
from pipelines.errors import JobError, RunNotFoundError
from pipelines.jobs.state import RunRequest, RunState, Status, short_id_of
from pipelines.text import Text, verbatim

if TYPE_CHECKING:
    import numpy as np
    from filelock import FileLock
    from numpy.typing import NDArray

REQUEST: Final = "request.json"
STATE: Final = "state.json"
EVENTS: Final = "events.jsonl"
PICTURES: Final = "pictures"
LOG: Final = "log.txt"
LOCK: Final = "lock"
START_GRACE_S: Final = 60.0
"""How long a launched worker may take until it holds its lock (a cold disk, a busy machine)."""
HEARTBEAT_FRESH_S: Final = 60.0
"""How old the heartbeat of a worker on another machine may be; there its lock proves nothing."""


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
        request = _read_cached(file, RunRequest.from_json)
    except FileNotFoundError as error:
        raise RunNotFoundError(Text("jobs.no_run", path=str(folder))) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(Text("jobs.damaged_request", file=str(file))) from error
    return Run(folder, request, _read_state(folder))


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


def host_name() -> str:
    """Return the name of this machine, as states record it."""
    return socket.gethostname()


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


_cache: dict[Path, tuple[tuple[int, int, int], Any]] = {}


def _read_cached(path: Path, parse: Any) -> Any:  # a `from_json` of `state`
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
