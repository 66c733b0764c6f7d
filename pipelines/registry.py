"""Find the tasks: every folder below `pipelines/tasks` is one; nothing else lists them."""

from __future__ import annotations

import functools
import importlib
import traceback
from dataclasses import dataclass
from pathlib import Path

from pipelines.contract import Task
from pipelines.errors import TaskLoadError, UnknownTaskError
from pipelines.text import Text

_FOLDER = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class BrokenTask:
    """Say which task folder cannot be imported, and why.

    Attributes:
        task_id: Name of the folder.
        cause: Last line of the traceback.
        details: The whole traceback.
    """

    task_id: str
    cause: str
    details: str


def task_ids() -> tuple[str, ...]:
    """List the task folders by name."""
    return tuple(sorted(p.parent.name for p in _FOLDER.glob("*/__init__.py")))


def cover_of(task_id: str) -> Path:
    """Return where the strip of pictures of a task lies, if it brings one."""
    return _FOLDER / task_id / "cover.webp"


@functools.cache
def get_task(task_id: str) -> Task:
    """Return the task of that folder.

    Raises:
        UnknownTaskError: No such folder.
        TaskLoadError: The folder is there and does not import, or its `TASK.id` differs from it.
    """
    if task_id not in task_ids():
        raise UnknownTaskError(
            Text("registry.unknown_task", task=task_id, known=", ".join(task_ids()))
        )
    try:
        task: Task = importlib.import_module(f"pipelines.tasks.{task_id}").TASK
    except Exception as error:
        raise TaskLoadError(
            Text("registry.broken_task", task=task_id, cause=f"{type(error).__name__}: {error}")
        ) from error
    if task.id != task_id:
        raise TaskLoadError(Text("registry.wrong_id", task=task_id, named=task.id))
    return task


def load_tasks() -> tuple[list[Task], list[BrokenTask]]:
    """Return the tasks that work, and those that do not with their cause."""
    working: list[Task] = []
    broken: list[BrokenTask] = []
    for task_id in task_ids():
        try:
            working.append(get_task(task_id))
        except TaskLoadError as error:
            details = "".join(traceback.format_exception(error))
            broken.append(BrokenTask(task_id, str(error.__cause__ or error), details))
    return working, broken
