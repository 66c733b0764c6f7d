"""The worker's side of a run: it writes what the work reports and reads what a person wishes."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pipelines.contract import Array, StopWish
from pipelines.core.files import disk_errors, is_disk_full
from pipelines.jobs.store import EVENTS, PICTURES, RESERVE, RESERVE_BYTES, RunState, Status
from pipelines.jobs.store import write_state as write_state_file
from pipelines.text import Text

_log = logging.getLogger(__name__)

WRITE_EVERY_S: Final = 0.5
"""Shortest time between two states on disk; a page polls about once a second."""
BEAT_EVERY_S: Final = 5.0
"""Longest time between two states on disk."""
WISH_EVERY_S: Final = 0.1
"""How often the wish files are looked for, however often the work asks."""
MAX_NOTES: Final = 50


class FolderReporter:
    """Implement `RunReporter` on a run folder.

    What the work reports is kept in memory; a thread of its own writes it, so that a slow disk
    never slows a training step, and the heartbeat goes on inside a long call.
    """

    def __init__(self, folder: Path, state: RunState) -> None:
        self._folder = folder
        self._state = state
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._listeners: list[Callable[[RunState], None]] = []
        self._clock_start = time.monotonic()
        self._worked_before_s = state.worked_s
        self._is_working = False
        self._speed = _Speed()
        self._wish: StopWish | None = None
        self._wish_read = 0.0
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    # what the work calls

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self._folder

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Keep the progress; the time left is estimated from the speed where it is not given."""
        speed = self._speed.update(done, stage.id, time.monotonic())
        if seconds_left is None and speed:
            seconds_left = max(0.0, (total - done) / speed)
        self.change(
            done=float(done), total=float(total), stage=stage,
            seconds_left=seconds_left, speed=speed,
        )  # fmt: skip

    def metrics(self, values: Mapping[str, float]) -> None:
        """Append one point of the curves."""
        point = {name: float(value) for name, value in values.items()}
        point.setdefault("seconds", round(self.worked_s, 3))
        self._append(self._folder / EVENTS, point)

    def picture(self, name: str, pixels: Array, caption: Text) -> None:
        """Keep one frame as PNG."""
        from PIL import Image

        folder = self._folder / PICTURES
        folder.mkdir(exist_ok=True)
        count = sum(1 for _ in folder.glob(f"{name}-*.png"))
        file = f"{name}-{count:05d}.png"
        with disk_errors(folder / file):
            Image.fromarray(pixels).save(folder / file, compress_level=1)
        line = {
            "name": name, "file": file, "caption": caption.to_json(),
            "seconds": round(self.worked_s, 3),
        }  # fmt: skip
        self._append(folder / "index.jsonl", line)

    def note(self, text: Text) -> None:
        """Keep a remark for the person, once."""
        with self._lock:
            notes = self._state.notes
        if text not in notes:
            self.change(notes=(*notes, text)[-MAX_NOTES:])

    def stop_wish(self) -> StopWish | None:
        """Tell whether somebody asked to pause or stop; looks at the disk ten times a second."""
        now = time.monotonic()
        if self._wish is None and now - self._wish_read >= WISH_EVERY_S:
            self._wish_read = now
            if (self._folder / "cancel").exists():
                self._wish = "stop"
            elif (self._folder / "pause").exists():
                self._wish = "pause"
        return self._wish

    # what the worker calls

    @property
    def state(self) -> RunState:
        """The state as it would be written now."""
        with self._lock:
            return self._state

    @property
    def worked_s(self) -> float:
        """Seconds of work, earlier sittings included."""
        if not self._is_working:
            return self._worked_before_s
        return self._worked_before_s + time.monotonic() - self._clock_start

    def start(self) -> None:
        """Write the first state of this sitting and start the heartbeat."""
        _reserve_space(self._folder)
        self._write()
        self._thread.start()

    def begin_work(self) -> None:
        """Leave the queue: the run works from now on."""
        self._clock_start, self._is_working = time.monotonic(), True
        with self._lock:
            started = self._state.started or time.time()
        self.change(status=Status.RUNNING, started=started, queue_position=0)
        self._write()

    def end(self, status: Status, error: Text | None = None) -> None:
        """Write the last state of this sitting."""
        self._closing.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        worked = self.worked_s
        self.change(
            status=status, error=error, ended=time.time(), seconds_left=None,
            worked_s=worked, queue_position=0,
        )  # fmt: skip
        self._write()
        (self._folder / RESERVE).unlink(missing_ok=True)

    def listen(self, listener: Callable[[RunState], None]) -> None:
        """Call `listener` with each new state, for a terminal's progress bar."""
        self._listeners.append(listener)

    def change(self, **values: Any) -> None:
        """Change fields of the state; they are written soon."""
        with self._lock:
            self._state = dataclasses.replace(self._state, **values)
            state = self._state
        self._changed.set()
        for listener in self._listeners:
            listener(state)

    # the heartbeat

    def _beat(self) -> None:
        while not self._closing.is_set():
            self._changed.wait(timeout=BEAT_EVERY_S)
            self._changed.clear()
            if self._closing.is_set():
                return
            try:
                self._write()
            except OSError as error:
                # a full disk must not end the work here: the former state stands, the work itself
                # meets the disk at its next checkpoint
                _log.warning("the state could not be written: %s", error)
            self._closing.wait(timeout=WRITE_EVERY_S)

    def _write(self) -> None:
        with self._writing:
            memory = _memory()
            with self._lock:
                self._state = dataclasses.replace(
                    self._state,
                    heartbeat=time.time(),
                    worked_s=round(self.worked_s, 3),
                    memory_bytes=memory[0],
                    memory_peak_bytes=max(memory[1], self._state.memory_peak_bytes),
                    gpu_memory_peak_bytes=max(_gpu_peak(), self._state.gpu_memory_peak_bytes),
                )
                state = self._state
            write_state_file(self._folder, state)

    def _append(self, path: Path, value: Mapping[str, Any]) -> None:
        line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
        try:
            with path.open("ab") as file:
                file.write(line)
        except OSError as error:
            if not is_disk_full(error):
                raise
            _log.warning("a point of %s was not kept, the disk is full", path.name)


class _Speed:
    """Measure units a second over the last seconds of one stage.

    The first unit carries what is loaded for all of them: it counts only where units are slow.
    """

    WINDOW_S: Final = 10.0
    SHORTEST_S: Final = 0.2
    SHORTEST_FIRST_S: Final = 15.0

    def __init__(self) -> None:
        self._stage = ""
        self._points: list[tuple[float, float]] = []
        self._is_first = True

    def update(self, done: float, stage: str, now: float) -> float | None:
        if stage != self._stage or (self._points and done < self._points[-1][1]):
            self._stage, self._points, self._is_first = stage, [], True
        self._points.append((now, done))
        if self._is_first and len(self._points) > 2:
            self._points.pop(0)
            self._is_first = False
        while len(self._points) > 2 and self._points[0][0] < now - self.WINDOW_S:
            self._points.pop(0)
        (first_time, first_done), (last_time, last_done) = self._points[0], self._points[-1]
        elapsed = last_time - first_time
        shortest = self.SHORTEST_FIRST_S if self._is_first else self.SHORTEST_S
        return (last_done - first_done) / elapsed if elapsed > shortest else None


def fresh_state(former: RunState) -> RunState:
    """Return the state of a sitting that begins: work done so far is kept, its end is not."""
    import psutil

    me = psutil.Process()
    return dataclasses.replace(
        former,
        status=Status.QUEUED,
        error=None,
        ended=None,
        seconds_left=None,
        host=socket.gethostname(),
        pid=me.pid,
        process_started=me.create_time(),
        heartbeat=time.time(),
    )


def _reserve_space(folder: Path) -> None:
    try:
        (folder / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))
    except OSError:
        (folder / RESERVE).unlink(missing_ok=True)


def _memory() -> tuple[int, int]:
    import psutil

    info = psutil.Process().memory_info()
    peak = getattr(info, "peak_wset", 0)
    if not peak and sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(info.rss), int(max(peak, info.rss))


def _gpu_peak() -> int:
    torch = sys.modules.get("torch")  # never imported for this
    if torch is None:
        return 0
    try:
        is_used = torch.cuda.is_available() and torch.cuda.is_initialized()
        return int(torch.cuda.max_memory_allocated()) if is_used else 0
    except (AttributeError, RuntimeError):  # the main thread is in the middle of importing it
        return 0
