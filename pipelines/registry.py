"""Find the tasks: every folder below `pipelines/tasks` is one; nothing else lists them."""

from __future__ import annotations

import functools
import importlib
import traceback
from dataclasses import dataclass
from pathlib import Path

from pipelines.contract import Task
from pipelines.errors import TaskLoadError, UnknownTaskError
from pipelines.text import Text, has_words

_FOLDER = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class BrokenTask:
    """Say which task folder cannot be imported, and why.

    Attributes:
        task_id: Name of the folder.
        text: The sentence for a person, with what to do.
        cause: Last line of the traceback.
        details: The whole traceback.
    """

    task_id: str
    text: Text
    cause: str
    details: str


def task_ids() -> tuple[str, ...]:
    """List the task folders by name.

    A folder of modules that lacks its `__init__.py` is listed, and then found to be broken; what
    another branch left behind (`__pycache__` alone) is not.
    """
    names = {path.parent.name for path in _FOLDER.glob("*/*.py")}
    return tuple(sorted(name for name in names if not name.startswith((".", "_"))))


def cover_of(task_id: str) -> Path:
    """Return where the strip of pictures of a task lies, if it brings one."""
    return _FOLDER / task_id / "cover.webp"


@functools.cache
def get_task(task_id: str) -> Task:
    """Return the task of that folder.

    Raises:
        UnknownTaskError: No such folder.
        TaskLoadError: The folder is there and does not import, its `TASK.id` differs from it, or it
            brings no words.
    """
    if task_id not in task_ids():
        raise UnknownTaskError(
            Text("registry.unknown_task", task=task_id, known=", ".join(task_ids()))
        )
    try:
        return _load(task_id)
    except TaskLoadError:
        raise
    except (Exception, SystemExit) as error:  # some packages end the process where they are unfit
        raise TaskLoadError(
            Text("registry.broken_task", task=task_id, cause=f"{type(error).__name__}: {error}")
        ) from error


def _load(task_id: str) -> Task:
    task: Task = importlib.import_module(f"pipelines.tasks.{task_id}").TASK
    if task.id != task_id:
        raise TaskLoadError(Text("registry.wrong_id", task=task_id, named=task.id))
    for text in (task.title, task.summary):
        if not has_words(text):
            area = text.id.partition(".")[0]
            raise TaskLoadError(Text("registry.no_words", task=task_id, id=text.id, area=area))
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
            cause = str(error.__cause__ or error)
            broken.append(BrokenTask(task_id, error.text, cause, details))
    return working, broken
