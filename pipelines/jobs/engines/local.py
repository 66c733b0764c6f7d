"""Start, stop and take up runs as processes of this machine."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from pipelines.errors import JobError, RunConflictError
from pipelines.jobs import store
from pipelines.jobs.store import Run, Status
from pipelines.settings import REPOSITORY, Settings, load_settings
from pipelines.text import Text

START_TIMEOUT_S: Final = 60.0
FORCE_GRACE_S: Final = 10.0
KILL_GRACE_S: Final = 5.0


def worker_command(folder: Path, queue: Path) -> list[str]:
    """Return the command that works on a run."""
    command = [sys.executable, "-m", "pipelines", "work", str(folder.resolve())]
    return [*command, "--queue", str(queue.resolve())]


def launch(run: Run, settings: Settings | None = None) -> Run:
    """Start a worker for a queued run, in a process that outlives this one.

    Raises:
        JobError: The process could not be started.
    """
    try:
        start_worker(run.folder, settings or load_settings())
    except (OSError, subprocess.SubprocessError) as error:
        text = Text("jobs.cannot_start", run=run.short_id, cause=str(error))
        store.write_state(run.folder, dataclasses.replace(
            run.state, status=Status.FAILED, error=text, ended=time.time()
        ))  # fmt: skip
        raise JobError(text) from error
    return run.reread()


def start_worker(folder: Path, settings: Settings) -> None:
    """Start the command that works on a folder; its words go to the log there.

    Raises:
        OSError: The process could not be started.
        subprocess.SubprocessError: It ended at once, or took too long.
    """
    command = worker_command(folder, settings.runs / ".queue")
    detach = [
        sys.executable,
        "-I",
        str(Path(__file__).with_name("detach.py")),
        str(folder / store.LOG),
    ]
    subprocess.run(
        [*detach, *command],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        timeout=START_TIMEOUT_S,
    )


def pause(run: Run) -> None:
    """Ask the run to write its state and end, to be resumed later.

    Raises:
        RunConflictError: It is not running.
    """
    _refuse_unless_active(run)
    store.wish(run.folder, "pause")


def cancel(run: Run) -> None:
    """Ask the run to end; its last checkpoint is kept.

    Raises:
        RunConflictError: It is not running.
    """
    _refuse_unless_active(run)
    store.wish(run.folder, "cancel")


def make_resumable(run: Run) -> Run:
    """Put a run that ended early back to queued, its wishes forgotten.

    Raises:
        RunConflictError: It is at work, or finished.
    """
    run = run.reread()
    if not run.status.is_resumable:
        raise RunConflictError(
            Text("jobs.cannot_resume", run=run.short_id, status=run.status.label)
        )
    store.withdraw_wishes(run.folder)
    state = dataclasses.replace(
        run.state, status=Status.QUEUED, error=None, ended=None, host="", heartbeat=time.time()
    )
    store.write_state(run.folder, state)
    return run.reread()


def resume(run: Run, settings: Settings | None = None) -> Run:
    """Start a worker for a run that was paused, stopped, lost or failed.

    Raises:
        RunConflictError: It is at work, or finished.
    """
    return launch(make_resumable(run), settings)


def force_stop(run: Run, *, grace_s: float = FORCE_GRACE_S) -> Run:
    """End a run that may not obey: the wish first, then a signal, then its end by the system.

    Args:
        run: Run to end.
        grace_s: How long the wish may take to be obeyed, in seconds.

    Returns:
        The run, cancelled with its last checkpoint kept (or finished meanwhile).

    Raises:
        RunConflictError: It is at work on another machine.
    """
    run = run.reread()
    if not run.status.is_active:
        return run
    store.wish(run.folder, "cancel")
    run = _await_end(run, grace_s)
    if run.status.is_active:
        _end_process(run)
        run = _await_end(run, KILL_GRACE_S)
    if run.status is Status.LOST:
        state = dataclasses.replace(
            run.state, status=Status.CANCELLED, error=None, ended=time.time()
        )
        store.write_state(run.folder, state)
    return run.reread()


def _refuse_unless_active(run: Run) -> None:
    run = run.reread()
    if not run.status.is_active:
        raise RunConflictError(Text("jobs.not_active", run=run.short_id, status=run.status.label))


def _await_end(run: Run, seconds: float) -> Run:
    limit = time.monotonic() + seconds
    while run.status.is_active and time.monotonic() < limit:
        time.sleep(0.1)
        run = run.reread()
    return run


def _end_process(run: Run) -> None:
    """Signal the worker and what it started, if the number is certainly still its own."""
    import psutil

    state = run.state
    if not state.host:
        return  # launched but not yet at work; it meets the wish as soon as it is
    if state.host != store.host_name():
        raise RunConflictError(Text("jobs.other_machine", run=run.short_id, host=state.host))
    try:
        worker = psutil.Process(state.pid)
        if abs(worker.create_time() - state.process_started) > 1.0 or state.pid == os.getpid():
            return
        family = [*worker.children(recursive=True), worker]
        worker.terminate()
    except psutil.NoSuchProcess:
        return
    _, left = psutil.wait_procs(family, timeout=KILL_GRACE_S)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=KILL_GRACE_S)
