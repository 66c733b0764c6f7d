"""What runs are at work on: nobody takes away the data or the weights that a worker still reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.errors import RunConflictError
from pipelines.jobs.store import Run, Status, list_runs
from pipelines.settings import Settings
from pipelines.text import Text


def refuse_used_dataset(dataset_id: str, settings: Settings) -> None:
    """Raise unless no run works on a data set.

    Raises:
        RunConflictError: One works on it, waits for its turn, or is paused and would go on.
    """
    _refuse(lambda run: run.request.dataset_id == dataset_id, "jobs.data_in_use", settings)


def refuse_used_checkpoint(folder: Path, settings: Settings) -> None:
    """Raise unless no run reads or writes a checkpoint.

    Raises:
        RunConflictError: One started from it, predicts with it, or is still training it.
    """
    wanted = folder.resolve()

    def uses(run: Run) -> bool:
        named = {run.request.checkpoint, *(v for v in run.request.config.values() if v)}
        folders = [Path(name).resolve() for name in named if isinstance(name, str) and name]
        return any(wanted.is_relative_to(folder) for folder in (*folders, run.folder.resolve()))

    _refuse(uses, "jobs.model_in_use", settings)


def _refuse(uses: Callable[[Run], bool], text_id: str, settings: Settings) -> None:
    for run in list_runs(settings):
        if (run.status.is_active or run.status is Status.PAUSED) and uses(run):
            words = Text(text_id, title=run.title, run=run.short_id, state=run.status.label)
            raise RunConflictError(words)
