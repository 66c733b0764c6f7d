"""Work on a run in this process, and say how it ended and what it scored."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pipelines.commands import Terminal
from pipelines.contract import DatasetRecord, Task
from pipelines.jobs import store
from pipelines.jobs.store import Run, RunState, Status
from pipelines.settings import load_settings
from pipelines.terminal import ConsoleTerminal
from pipelines.text import DEFAULT_LANGUAGE, Text, render, verbatim

OK: Final = 0
BUG: Final = 1
MISTAKE: Final = 2
INTERRUPTED: Final = 130


def work_here(run: Run, terminal: Terminal) -> Run:
    """Work on a run in this process; the first Ctrl-C pauses, the second one breaks off."""
    from pipelines.jobs import worker

    def show(state: RunState) -> None:
        if state.stage is not None:
            terminal.progress(state.done, state.total, state.stage, state.seconds_left)

    with _log_into(run.folder / store.LOG), _pause_on_interrupt(run.folder):
        done = worker.work(run.folder, listener=show)
    for note in done.state.notes:
        terminal.say(note)
    return done


def end_code(run: Run, terminal: Terminal) -> int:
    """Say how the work ended where it did not finish, and return the exit status."""
    if run.status is Status.FINISHED:
        return OK
    assert isinstance(terminal, ConsoleTerminal)
    if run.status is Status.FAILED and run.error is not None:
        terminal.fail(run.error)
        return BUG if run.error.id == "jobs.bug" else MISTAKE
    text_id = "cli.left_resumable" if run.request.action == "train" else "cli.interrupted"
    terminal.fail(Text(text_id, folder=str(run.folder)))
    return INTERRUPTED


def show_scores(
    task: Task, scores: Mapping[str, Any] | None, record: DatasetRecord, terminal: Terminal
) -> None:
    """Say the main metric of each scored part, how often test items were opened, and thresholds."""
    from pipelines.actions import data_fingerprint
    from pipelines.datasets import locked

    if scores is None:
        return
    for name, part in scores["parts"].items():
        name_of_main = task.main_metric.name
        value = figure(part["metrics"][name_of_main], part["intervals"].get(name_of_main))
        terminal.say(
            Text(
                "cli.score",
                part=Text(f"jobs.part.{name}"),
                metric=task.main_metric.label,
                value=value,
                items=task.items_text(len(part["item_ids"])),
            )
        )
    opened = locked.count_beside(scores["parts"], data_fingerprint(record), load_settings())
    if opened is not None:
        terminal.say(opened)
    point = scores["operating_point"]
    for name, value in point["thresholds"].items():
        shown = Text("cli.threshold_name") if name == "threshold" else verbatim(name)
        terminal.say(Text("cli.threshold", name=shown, value=value))


def figure(value: float, interval: Sequence[float] | None) -> Text:
    """Return a value with its interval, where there is one."""
    if interval is None:
        return Text("cli.number", value=value)
    return Text("cli.interval", value=value, low=interval[0], high=interval[1])


def words_of(text: Text, terminal: Terminal) -> str:
    """Return a text in the language of the terminal, for JSON."""
    return render(text, getattr(terminal, "language", DEFAULT_LANGUAGE))


def run_json(run: Run) -> dict[str, Any]:
    """Return what `--json` says of a run."""
    return {
        "run_id": run.run_id,
        "task_id": run.request.task_id,
        "action": run.request.action,
        "status": run.status.value,
        "folder": str(run.folder),
        "done": run.state.done,
        "total": run.state.total,
        "created": run.request.created,
        "study": run.request.study,
        "has_leak": run.has_leak,
    }


@contextlib.contextmanager
def _pause_on_interrupt(folder: Path) -> Iterator[None]:
    """Turn the first Ctrl-C into the wish to pause, so that a resumable state is left."""

    def handle(number: int, frame: FrameType | None) -> None:
        if (folder / "pause").exists():
            raise KeyboardInterrupt
        store.wish(folder, "pause")

    former = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


@contextlib.contextmanager
def _log_into(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
