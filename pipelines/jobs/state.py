"""What was asked of a run, and how it stands: plain values that go to JSON and come back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from pipelines.text import Text, verbatim

Action = Literal["train", "predict"]


class Status(StrEnum):
    """Say how a run stands; `lost` is never written, it is what a reader concludes."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_active(self) -> bool:
        """Whether a worker is at it or will be."""
        return self in (Status.QUEUED, Status.RUNNING)

    @property
    def is_resumable(self) -> bool:
        """Whether `resume` can take it up again."""
        return self in (Status.PAUSED, Status.CANCELLED, Status.LOST, Status.FAILED)

    @property
    def label(self) -> Text:
        """Name of the status."""
        return Text(f"jobs.status.{self.value}")


def data_words(title: str, *, is_generated: bool) -> Text:
    """Return what a sentence calls data: by their name, or the built-in sample by what it is."""
    return Text("jobs.the_sample") if is_generated else verbatim(title)


def short_id_of(run_id: str) -> str:
    """Return the end of a run's name; a folder that a person named may have it whole."""
    return run_id.rsplit("-", 1)[-1]


@dataclass(frozen=True)
class RunRequest:
    """Hold what was asked for, with everything that is needed to do it again.

    Attributes:
        run_id: Name of the folder.
        task_id: Task that works.
        action: What is done.
        title: Name that a person gave, or "".
        config: Every option with its value.
        preset: Preset that the options started from, or "".
        dataset_title: Name of the data.
        dataset_id: Data set that it is about.
        checkpoint: Checkpoint folder that a prediction uses, or "".
        parent_run: Run that made the checkpoint, or "".
        output: Folder that a prediction writes into, or "" for the run's own.
        item_ids: Items to predict; empty for all of them.
        seed: Seed of the run.
        study: Study that it is a run of, or "".
        split_method: How its split was made, with what is wrong with it ("LEAK=2"); "" without.
        owner: Who started it.
        created: ISO 8601 in UTC.
        code_version: Commit of the code.
        versions: Package to version.
        repeats: Run that is done again, or "".
        is_generated: Whether the data are the task's built-in sample.
    """

    run_id: str
    task_id: str
    action: Action
    title: str
    config: Mapping[str, Any]
    preset: str = ""
    dataset_title: str = ""
    dataset_id: str = ""
    checkpoint: str = ""
    parent_run: str = ""
    output: str = ""
    item_ids: tuple[str, ...] = ()
    seed: int = 0
    study: str = ""
    split_method: str = ""
    owner: str = ""
    created: str = ""
    code_version: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    repeats: str = ""
    is_generated: bool = False

    @property
    def data_name(self) -> Text:
        """What a sentence calls the data."""
        return data_words(self.dataset_title, is_generated=self.is_generated)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunRequest:
        """Rebuild a request from its file; keys of another version are left out."""
        values = {name: value for name, value in data.items() if name in _REQUEST_NAMES}
        values["item_ids"] = tuple(data.get("item_ids", ()))
        return cls(**values)


@dataclass(frozen=True)
class RunState:
    """Hold how a run stands, as its worker last wrote it.

    Attributes:
        status: See `Status`.
        done: Progress in the work's own units.
        total: Units in all; 0 while unknown.
        stage: What it is doing, or None.
        seconds_left: Estimate, or None.
        speed: Units a second, or None.
        started: When work began, seconds since 1970, or None.
        ended: When it ended, or None.
        worked_s: Seconds of work, pauses left out.
        heartbeat: When the worker last wrote.
        host: Machine of the worker.
        pid: Its process number there.
        process_started: When that process began, which tells it from another of the same number.
        memory_bytes: Resident memory now.
        memory_peak_bytes: Highest resident memory.
        gpu_memory_peak_bytes: Highest memory on the GPU, 0 without one.
        queue_position: Place in the queue, 1 is next; 0 when not waiting.
        error: Why it failed, or None.
        notes: What the work told the person.
    """

    status: Status = Status.QUEUED
    done: float = 0.0
    total: float = 0.0
    stage: Text | None = None
    seconds_left: float | None = None
    speed: float | None = None
    started: float | None = None
    ended: float | None = None
    worked_s: float = 0.0
    heartbeat: float = 0.0
    host: str = ""
    pid: int = 0
    process_started: float = 0.0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    gpu_memory_peak_bytes: int = 0
    queue_position: int = 0
    error: Text | None = None
    notes: tuple[Text, ...] = ()

    @property
    def fraction(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        if self.status is Status.FINISHED:
            return 1.0
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data["status"] = self.status.value
        data["stage"] = self.stage.to_json() if self.stage else None
        data["error"] = self.error.to_json() if self.error else None
        data["notes"] = [note.to_json() for note in self.notes]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunState:
        """Rebuild a state from `to_json`; keys of another version are left out."""
        values = {name: value for name, value in data.items() if name in _STATE_NAMES}
        values["status"] = Status(data["status"])
        for name in ("stage", "error"):
            values[name] = Text.from_json(data[name]) if data.get(name) else None
        values["notes"] = tuple(Text.from_json(note) for note in data.get("notes", ()))
        return cls(**values)


_STATE_NAMES: Final = frozenset(f.name for f in dataclasses.fields(RunState))
_REQUEST_NAMES: Final = frozenset(f.name for f in dataclasses.fields(RunRequest))
