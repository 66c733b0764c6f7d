"""Work on one run in this process: wait for a slot, do the action, record how it ended."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from filelock import Timeout

from pipelines import actions
from pipelines.core.energy import metered
from pipelines.core.files import disk_full, is_disk_full, no_access
from pipelines.errors import (
    DeviceMemoryError,
    PipelineError,
    RunConflictError,
    missing_package,
)
from pipelines.jobs import queue as queues
from pipelines.jobs import store
from pipelines.jobs.reporter import FolderReporter, fresh_state
from pipelines.jobs.store import Run, RunState, Status
from pipelines.text import Text

_log = logging.getLogger(__name__)

LOCK_TIMEOUT_S: Final = 5.0
"""A reader holds the lock for the moment of its probe; a worker holds it for good."""

Listener = Callable[[RunState], None]


class EndedBySignal(BaseException):
    """Unwind the work when the system or a person ends this process."""


def work(
    folder: Path,
    *,
    queue: Path | None = None,
    num_slots: int = 1,
    listener: Listener | None = None,
) -> Run:
    """Do what the run asks for, and record its end.

    Args:
        folder: Folder of the run.
        queue: Where runs wait for their turn; None works at once.
        num_slots: How many runs of that queue may work at once.
        listener: Called with each new state.

    Returns:
        The run as it ended.

    Raises:
        RunNotFoundError: No run stands there.
        RunConflictError: Another process is at it, or it is finished.
    """
    run = store.read_run(folder)
    with _held(run):
        if run.status is Status.FINISHED:
            text = Text("jobs.cannot_resume", run=run.short_id, status=run.status.label)
            raise RunConflictError(text)
        reporter = FolderReporter(folder, fresh_state(run.state))
        if listener is not None:
            reporter.listen(listener)
        with _signals():
            _sit(run, reporter, queue, num_slots)
    return store.read_run(folder)


@contextmanager
def _held(run: Run) -> Iterator[None]:
    lock = store.lock_of(run.folder)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT_S, poll_interval=0.02)
    except Timeout as error:
        raise RunConflictError(Text("jobs.already_working", run=run.short_id)) from error
    try:
        yield
    finally:
        lock.release()


def _sit(run: Run, reporter: FolderReporter, queue: Path | None, num_slots: int) -> None:
    """Wait, work and record the end of one sitting; the one place that catches everything."""
    status, error_text = Status.FINISHED, None
    try:
        reporter.start()
        if queue is None:
            _perform(run, reporter)
        else:
            _perform_in_turn(run, reporter, queue, num_slots)
    except actions.StoppedOnWishError:
        is_pause = reporter.stop_wish() == "pause"
        status = Status.PAUSED if is_pause else Status.CANCELLED
    except (EndedBySignal, KeyboardInterrupt):
        status = Status.CANCELLED
    except Exception as error:  # noqa: BLE001 - a run records every end
        # for a bug the log holds the traceback; for a wrong file the sentence says it all
        if not isinstance(error, PipelineError):
            _log.exception("run %s failed", run.run_id)
        status, error_text = Status.FAILED, explain(error, run.folder)
    reporter.end(status, error_text)


def _perform_in_turn(run: Run, reporter: FolderReporter, queue: Path, num_slots: int) -> None:
    def waiting(place: int) -> bool:
        if reporter.state.queue_position != place:
            reporter.change(queue_position=place, stage=Text("jobs.stage.queued", n=place))
        return reporter.stop_wish() is None

    with queues.slot(queue, run.folder, num_slots=num_slots, waiting=waiting) as has_slot:
        if not has_slot:
            raise actions.StoppedOnWishError
        _perform(run, reporter)


def _perform(run: Run, reporter: FolderReporter) -> None:
    reporter.begin_work()
    with metered(run.folder):
        actions.perform(run, reporter)


def explain(error: BaseException, folder: Path) -> Text:
    """Say in one sentence why a run failed."""
    if isinstance(error, PipelineError):
        return error.text
    if is_disk_full(error):
        return disk_full(Path(getattr(error, "filename", None) or folder)).text
    if is_out_of_memory(error):
        return DeviceMemoryError(Text("jobs.out_of_memory")).text
    bug = Text("jobs.bug", kind=type(error).__name__, log=str(folder / store.LOG))
    return no_access(error) or missing_package(error) or bug


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is numpy's, Python's or torch's way to say that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, RuntimeError) and any(w in str(error) for w in words)


@contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM unwind the work, so that the run's end is recorded; main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def unwind(number: int, frame: FrameType | None) -> None:
        raise EndedBySignal

    former = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
