"""Let few runs work at once, without a daemon: workers wait their turn at a folder of tickets.

A slot is a file lock; a ticket is a file whose name sorts by the time of arrival. The system gives
locks back when a process dies, and the tickets of dead workers are cleared by whoever waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from pipelines.jobs import store

POLL_S: Final = 0.3


@contextmanager
def slot(
    queue: Path,
    folder: Path,
    *,
    num_slots: int,
    waiting: Callable[[int], bool],
) -> Iterator[bool]:
    """Wait for one of the slots, first come first served, and keep it for the block.

    Args:
        queue: Folder of tickets and slots, shared by the runs of one installation.
        folder: Run that waits.
        num_slots: How many runs may work at once.
        waiting: Called with the place in the queue (1 is next) while waiting; answers whether to
            go on.

    Yields:
        True with the slot held, False when `waiting` gave up.
    """
    queue.mkdir(parents=True, exist_ok=True)
    ticket = queue / f"{time.time_ns():020d}-{folder.name}.ticket"
    ticket.write_text(str(folder), encoding="utf-8")
    held: FileLock | None = None
    try:
        while held is None:
            place = _place(queue, ticket)
            held = _take_slot(queue, num_slots) if place <= 1 else None
            if held is None and not waiting(place):
                break
            if held is None:
                time.sleep(POLL_S)
        ticket.unlink(missing_ok=True)
        yield held is not None
    finally:
        ticket.unlink(missing_ok=True)
        if held is not None:
            held.release()


def _place(queue: Path, ticket: Path) -> int:
    ahead = [t for t in sorted(queue.glob("*.ticket")) if t.name < ticket.name]
    return 1 + sum(_is_waiting(t) for t in ahead)


def _is_waiting(ticket: Path) -> bool:
    """Tell whether the ticket's worker lives; the ticket of a dead one is cleared."""
    try:
        folder = Path(ticket.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    if str(folder) == "." or store.is_worked_on(folder):
        return True  # empty: it is being written at this moment
    ticket.unlink(missing_ok=True)
    return False


def _take_slot(queue: Path, num_slots: int) -> FileLock | None:
    for index in range(num_slots):
        lock = FileLock(str(queue / f"slot{index}.lock"), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock
    return None
