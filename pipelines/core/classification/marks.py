"""Labels that a person holds to be wrong: marked, undone, listed; the data stay as they are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipelines.core.files import write_json
from pipelines.errors import DataFormatError
from pipelines.text import Text

_FORMAT: Final = 1


@dataclass(frozen=True)
class Change:
    """Hold one decision.

    Attributes:
        item_id: Picture that it is about.
        is_wrong: Whether its label was marked as wrong, or the mark taken off.
        time: ISO 8601 in UTC.
    """

    item_id: str
    is_wrong: bool
    time: str


class LabelMarks:
    """Keep one person's marks on the labels of one data set, with every step back and forth.

    The file holds all decisions in their order and how many of them count, so that undo and redo
    have no limit and survive a restart.

    Attributes:
        path: JSON file that they are kept in; made with the first mark.
        owner: Who marks.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self.path, self.owner = path, owner
        self._changes: list[Change] = []
        self._num_done = 0
        if path.is_file():
            self._read()

    @property
    def wrong(self) -> tuple[str, ...]:
        """The marked pictures, in the order in which they were marked."""
        found: dict[str, None] = {}
        for change in self._changes[: self._num_done]:
            found.pop(change.item_id, None)
            if change.is_wrong:
                found[change.item_id] = None
        return tuple(found)

    @property
    def num_done(self) -> int:
        """How many decisions can be undone."""
        return self._num_done

    @property
    def num_undone(self) -> int:
        """How many undone decisions can be done again."""
        return len(self._changes) - self._num_done

    def toggle(self, item_id: str) -> None:
        """Mark a picture's label as wrong, or take the mark off; what was undone is forgotten."""
        change = Change(item_id, item_id not in self.wrong, _now())
        self._changes = [*self._changes[: self._num_done], change]
        self._move_to(len(self._changes))

    def undo(self) -> None:
        """Take the last decision back, if there is one."""
        self._move_to(max(self._num_done - 1, 0))

    def redo(self) -> None:
        """Do the decision again that was undone last, if there is one."""
        self._move_to(min(self._num_done + 1, len(self._changes)))

    def to_csv(self, labels: Mapping[str, str]) -> bytes:
        """Write the list: file, label as it stands in the data, who marked it, when.

        Args:
            labels: Item id to the name of its class.
        """
        times = {c.item_id: c.time for c in self._changes[: self._num_done]}
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(["file", "label", "marked_by", "time"])
        writer.writerows([i, labels.get(i, ""), self.owner, times[i]] for i in self.wrong)
        return buffer.getvalue().encode()

    def _move_to(self, num_done: int) -> None:
        self._num_done = num_done
        changes = [[c.item_id, c.is_wrong, c.time] for c in self._changes]
        content = {"format": _FORMAT, "owner": self.owner, "done": num_done, "changes": changes}
        write_json(self.path, content, makes_folder=True)

    def _read(self) -> None:
        try:
            content: Any = json.loads(self.path.read_bytes())
            self._changes = [Change(str(i), bool(w), str(t)) for i, w, t in content["changes"]]
            self._num_done = min(max(int(content["done"]), 0), len(self._changes))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataFormatError(Text("classes_marks.damaged", file=str(self.path))) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
