"""Commands that steer work under way: pause, stop, resume, and the worker itself."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines import studies
from pipelines.cli.ending import BUG, OK
from pipelines.commands import Terminal, UsageError, Values
from pipelines.errors import RunNotFoundError
from pipelines.jobs import store
from pipelines.jobs.store import Status
from pipelines.settings import load_settings
from pipelines.text import Text


def work_on(values: Values, terminal: Terminal) -> int:
    """Work on a run or a study that stands in a folder; the dashboard starts this."""
    from pipelines.jobs import worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_settings()
    queue = Path(values["queue"]) if "queue" in values else settings.runs / ".queue"
    if studies.is_study(Path(values["folder"])):
        studies.work(studies.read_study(Path(values["folder"]).resolve()), queue=queue)
        return OK
    run = worker.work(Path(values["folder"]).resolve(), queue=queue, num_slots=settings.max_runs)
    if run.error is not None:
        terminal.say(run.error)  # the log of a failed run ends with its sentence
    return OK if run.status is not Status.FAILED else BUG


def _study_named(name: str) -> studies.Study | None:
    """Find the study of that name, where it is one and no run."""
    try:
        return studies.find_study(name)
    except RunNotFoundError:
        return None


def pause(values: Values, terminal: Terminal) -> int:
    """Ask a run or a study to pause."""
    from pipelines.jobs.engines import local

    if (study := _study_named(values["run"])) is not None:
        studies.pause(study)
        terminal.say(Text("cli.pausing", run=study.short_id))
        return OK
    run = store.find_run(values["run"])
    local.pause(run)
    terminal.say(Text("cli.pausing", run=run.short_id))
    return OK


def cancel(values: Values, terminal: Terminal) -> int:
    """Ask a run or a study to stop; with `--force` end the process of a run."""
    from pipelines.jobs.engines import local

    if (study := _study_named(values["run"])) is not None:
        if values.get("force"):
            raise UsageError(Text("cli.force_one", study=study.short_id))
        studies.cancel(study)
        terminal.say(Text("cli.cancelling", run=study.short_id))
        return OK
    run = store.find_run(values["run"])
    if values.get("force"):
        local.force_stop(run)
        terminal.say(Text("cli.cancelled", run=run.short_id))
        return OK
    local.cancel(run)
    terminal.say(Text("cli.cancelling", run=run.short_id))
    return OK


def resume(values: Values, terminal: Terminal) -> int:
    """Take a run or a study up again, in the background."""
    from pipelines.jobs.engines import local

    if (study := _study_named(values["run"])) is not None:
        studies.resume(study)
        terminal.say(Text("cli.resumed", run=study.short_id))
        return OK
    run = local.resume(store.find_run(values["run"]))
    terminal.say(Text("cli.resumed", run=run.short_id))
    return OK
