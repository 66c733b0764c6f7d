"""Work through the runs of a study one after another, and stop, pause and take it up as a whole."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import Timeout

from pipelines.core.files import write_json
from pipelines.errors import JobError, PipelineError, RunConflictError
from pipelines.jobs import store
from pipelines.jobs.engines import local
from pipelines.jobs.store import Run, Status
from pipelines.settings import REPOSITORY, Settings, load_settings
from pipelines.studies.records import STATE, Member, Study, read_study
from pipelines.studies.summary import Summary, freeze, summarise, write_summary
from pipelines.text import Text

_log = logging.getLogger(__name__)
_POLL_S: Final = 0.5

WorkOne = Callable[[Run], Run]
"""Work on one run to its end, and return it as it ended."""


def launch(study: Study, settings: Settings | None = None) -> Study:
    """Start to work on a study, in a process that outlives this one.

    Raises:
        JobError: The process could not be started.
    """
    write_json(study.folder / STATE, {"launched": time.time()})
    try:
        local.start_worker(study.folder, settings or load_settings())
    except (OSError, subprocess.SubprocessError) as error:
        text = Text("jobs.cannot_start", run=study.short_id, cause=str(error))
        raise JobError(text) from error
    return read_study(study.folder)


def cancel(study: Study) -> None:
    """Ask the whole study to end; what its runs have reached is kept.

    Raises:
        RunConflictError: Nobody works on it.
    """
    _wish(study, "cancel")


def pause(study: Study) -> None:
    """Ask the whole study to pause: the run at work saves its state.

    Raises:
        RunConflictError: Nobody works on it.
    """
    _wish(study, "pause")


def resume(study: Study, settings: Settings | None = None) -> Study:
    """Take a study up again; runs that are finished stay as they are.

    Raises:
        RunConflictError: It is at work, or finished.
    """
    make_resumable(study)
    return launch(study, settings)


def make_resumable(study: Study) -> None:
    """Forget the wishes of a study that is not at work.

    Raises:
        RunConflictError: It is at work, or finished.
    """
    status = study.status
    if not status.is_resumable:
        text = Text("jobs.cannot_resume", run=study.short_id, status=status.label)
        raise RunConflictError(text)
    store.withdraw_wishes(study.folder)


def work(study: Study, work_one: WorkOne | None = None, *, queue: Path | None = None) -> Study:
    """Work on every run that is not finished, sum up after each, and freeze the thresholds.

    Args:
        study: What is asked for.
        work_one: Works on one run; a process of its own for each when left out.
        queue: Where runs wait for their turn, for the processes.

    Raises:
        RunConflictError: Another process is at it.
    """
    work_one = work_one or _in_a_process(queue or load_settings().runs / ".queue")
    with _held(study):
        (study.folder / STATE).unlink(missing_ok=True)
        summary: Summary | None = None
        for member in study.members:
            if study.wish is not None:
                break
            run = _work_member(study, member, work_one)
            summary = summarise(study)
            write_summary(summary, study)
            if run is not None and run.status is Status.PAUSED:
                store.wish(study.folder, "pause")
        if study.wish is None:
            if summary is not None:
                freeze(study, summary)
            write_json(study.folder / STATE, {"ended": time.time()})
    return read_study(study.folder)


def _work_member(study: Study, member: Member, work_one: WorkOne) -> Run | None:
    run = study.run_of(member) or study.start_run(member)
    while run.status.is_active and store.is_worked_on(run.folder):  # left over from before
        time.sleep(_POLL_S)
        run = run.reread()
    if run.status is Status.FINISHED:
        return run
    if run.status.is_resumable:
        run = local.make_resumable(run)
    try:
        return work_one(run)
    except PipelineError as error:  # one run that cannot be worked on does not end the others
        _log.warning("%s: %s", member.name, error)
        return None


def _in_a_process(queue: Path) -> WorkOne:
    """Give every run a process, so that neither its memory nor its crash outlives it."""

    def work_one(run: Run) -> Run:
        with (run.folder / store.LOG).open("ab") as log:
            subprocess.run(
                local.worker_command(run.folder, queue),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return run.reread()

    return work_one


def _wish(study: Study, what: store.Wish) -> None:
    if not study.status.is_active:
        text = Text("jobs.not_active", run=study.short_id, status=study.status.label)
        raise RunConflictError(text)
    store.wish(study.folder, what)
    for run in study.runs():
        if run is not None and run.status.is_active:
            store.wish(run.folder, what)


@contextmanager
def _held(study: Study) -> Iterator[None]:
    lock = store.lock_of(study.folder)
    try:
        lock.acquire(timeout=5.0, poll_interval=0.02)  # a reader probes it for a moment
    except Timeout as error:
        raise RunConflictError(Text("jobs.already_working", run=study.short_id)) from error
    try:
        yield
    finally:
        lock.release()
