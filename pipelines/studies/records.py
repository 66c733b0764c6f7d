"""A study on disk: create, read, list, find.

<study>/
  study.json        what was asked for and its members
  dataset.json      the data set record
  splits/<id>.json  the divisions of its members
  state.json        when it was launched and when it ended
  summary.json      figures of the runs that have ended
  pause, cancel     wishes of a person
  lock              held by whoever works on it

The runs of a study that was started from a page lie beside all others, below `runs/`; those of one
that was started on the command line lie inside its folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipelines import config as configs
from pipelines import datasets
from pipelines.contract import DatasetRecord, SplitManifest, Task
from pipelines.core.files import disk_errors, write_json
from pipelines.errors import JobError, RunConflictError, RunNotFoundError
from pipelines.jobs import store
from pipelines.jobs.store import NewRun, Run, Status
from pipelines.settings import Settings, load_settings
from pipelines.studies.plan import KINDS, Kind, Planned, plan_members
from pipelines.text import Text, verbatim

STUDY: Final = "study.json"
DATASET: Final = "dataset.json"
STATE: Final = "state.json"
FOLDER: Final = ".studies"
"""Folder of studies below the folder of runs."""

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True)
class NewStudy:
    """Hold what is asked for.

    Attributes:
        task: Task that trains.
        kind: What varies between the runs.
        count: Seeds or folds; 0 folds leave one group out at a time.
        config: The recipe, of the task's configuration type.
        record: Data to work on.
        preset: Preset that the options started from, or "".
        title: Name that a person gave, or "".
    """

    task: Task
    kind: Kind
    count: int
    config: Any  # the task's own configuration type
    record: DatasetRecord
    preset: str = ""
    title: str = ""


@dataclass(frozen=True)
class Member:
    """Name one run of a study.

    Attributes:
        name: Unique within the study.
        label: What people see.
        arm: Rule of its split, where a study compares two of them.
        folder: Folder of the run, relative to the study's.
        split_id: Its division, below `splits/`.
        config: Options of the run.
        num_held_out: Items that validate.
    """

    name: str
    label: Text
    arm: str
    folder: str
    split_id: str
    config: Mapping[str, Any]
    num_held_out: int


@dataclass(frozen=True)
class Study:
    """Hold a study as it was read.

    Attributes:
        folder: Its folder.
        study_id: Name of the folder.
        task_id: Task that trains.
        kind: What varies between the runs.
        count: What was asked for.
        title: Name that a person gave, or "".
        preset: Preset that the recipe started from, or "".
        config: The recipe.
        dataset_id: Data set.
        dataset_title: Its name.
        owner: Who started it.
        created: ISO 8601 in UTC.
        members: Its runs, in the order of work.
        is_generated: Whether the data are the task's built-in sample.
    """

    folder: Path
    study_id: str
    task_id: str
    kind: Kind
    count: int
    title: str
    preset: str
    config: Mapping[str, Any]
    dataset_id: str
    dataset_title: str
    owner: str
    created: str
    members: tuple[Member, ...]
    is_generated: bool = False

    @property
    def data_name(self) -> Text:
        """What a sentence calls the data."""
        return store.data_words(self.dataset_title, is_generated=self.is_generated)

    @property
    def short_id(self) -> str:
        """The last characters of the name, enough to tell studies apart on a page."""
        return self.study_id.rsplit("-", 1)[-1]

    @property
    def label(self) -> Text:
        """The person's own title, or one made of what was asked for."""
        if self.title:
            return verbatim(self.title)
        is_each_group = self.kind == "folds" and self.count == 0
        name = "leave_one_out" if is_each_group else self.kind
        return Text(f"study.title.{name}", n=len(self.members), dataset=self.data_name)

    def run_folder(self, member: Member) -> Path:
        """Return the folder of a member's run, which may not be there yet."""
        return Path(os.path.normpath(self.folder / member.folder))

    def run_of(self, member: Member) -> Run | None:
        """Read the run of a member, or None while it was not started (or after it was deleted)."""
        try:
            return store.read_run(self.run_folder(member))
        except RunNotFoundError:
            return None

    def runs(self) -> list[Run | None]:
        """Read the runs in the order of the members."""
        return [self.run_of(member) for member in self.members]

    def dataset(self) -> DatasetRecord:
        """Read the data set record."""
        return datasets.record_from_json(json.loads((self.folder / DATASET).read_bytes()))

    def split(self, split_id: str) -> SplitManifest:
        """Read a division of its members."""
        file = self.folder / "splits" / f"{split_id}.json"
        return datasets.split_from_json(json.loads(file.read_bytes()))

    def start_run(self, member: Member) -> Run:
        """Write the run of a member, queued."""
        new = NewRun(
            task_id=self.task_id,
            action="train",
            config=member.config,
            record=self.dataset(),
            split=self.split(member.split_id),
            preset=self.preset,
            seed=int(member.config.get("seed", 0)),
            study=self.study_id,
        )
        return store.create_run(new, folder=self.run_folder(member))

    @property
    def wish(self) -> str | None:
        """What a person asked for: "cancel", "pause" or nothing."""
        return next((w for w in ("cancel", "pause") if (self.folder / w).exists()), None)

    @property
    def status(self) -> Status:
        """How it stands, concluded from its runs and from whether somebody works on it."""
        runs = self.runs()
        states = [run.status if run is not None else None for run in runs]
        if all(state is Status.FINISHED for state in states):
            return Status.FINISHED
        if self.is_worked_on():
            waits = any(r is not None and r.status is Status.QUEUED for r in runs)
            return Status.QUEUED if waits else Status.RUNNING
        if self.wish is not None:
            return Status.PAUSED if self.wish == "pause" else Status.CANCELLED
        state = self.read_state()
        if time.time() - state.get("launched", 0.0) < store.START_GRACE_S and "ended" not in state:
            return Status.QUEUED
        return Status.FAILED if "ended" in state else Status.LOST

    def is_worked_on(self) -> bool:
        """Tell whether a process of this machine works on it."""
        return store.is_worked_on(self.folder)

    def read_state(self) -> dict[str, Any]:
        """Read when it was launched and when it ended."""
        try:
            state = json.loads((self.folder / STATE).read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}


def create_study(
    new: NewStudy, settings: Settings | None = None, *, folder: Path | None = None
) -> Study:
    """Plan the runs and write the study; nothing works yet.

    Args:
        new: What is asked for.
        settings: Where runs lie; read from the environment when left out.
        folder: Folder of the study with its runs inside; one below `settings.runs`, its runs beside
            all others, when left out.

    Raises:
        ConfigError: A count that does not fit the data.
        RunConflictError: The folder is not empty.
    """
    settings = settings or load_settings()
    planned = plan_members(new.task, new.record, new.config, new.kind, new.count)
    is_beside = folder is None
    folder = folder or settings.runs / FOLDER / store.new_run_id()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunConflictError(Text("jobs.folder_taken", folder=str(folder)))
    names = _new_run_ids(len(planned)) if is_beside else [p.name for p in planned]
    places = [f"../../{name}" if is_beside else name for name in names]
    members = [_member(p, place) for p, place in zip(planned, places, strict=True)]
    with disk_errors(folder):
        (folder / "splits").mkdir(parents=True, exist_ok=True)
        write_json(folder / DATASET, datasets.record_to_json(new.record))
        for one in planned:
            file = folder / "splits" / f"{one.split.split_id}.json"
            if not file.is_file():
                write_json(file, datasets.split_to_json(one.split))
        write_json(folder / STUDY, _study_json(new, members, settings.owner))
    return read_study(folder)


def _new_run_ids(count: int) -> list[str]:
    """Make names of runs; drawn within one second, some would else be the same."""
    names: dict[str, None] = {}
    while len(names) < count:
        names[store.new_run_id()] = None
    return list(names)


def _member(planned: Planned, folder: str) -> Member:
    return Member(
        planned.name, planned.label, planned.arm, folder, planned.split.split_id,
        configs.to_json(planned.config), len(planned.split.parts.get("validation", ())),
    )  # fmt: skip


def _study_json(new: NewStudy, members: Sequence[Member], owner: str) -> dict[str, Any]:
    return {
        "task_id": new.task.id,
        "kind": new.kind,
        "count": new.count,
        "title": new.title,
        "preset": new.preset,
        "config": configs.to_json(new.config),
        "dataset_id": new.record.dataset_id,
        "dataset_title": new.record.title,
        "is_generated": new.record.is_generated,
        "owner": owner,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "members": [
            {**dataclasses.asdict(m), "label": m.label.to_json(), "config": dict(m.config)}
            for m in members
        ],
    }


def is_study(folder: Path) -> bool:
    """Tell whether a study stands in a folder."""
    return (folder / STUDY).is_file()


def read_study(folder: Path) -> Study:
    """Read a study.

    Raises:
        RunNotFoundError: None stands there.
        JobError: Its file is damaged.
    """
    file = folder / STUDY
    try:
        data = json.loads(file.read_bytes())
        members = tuple(
            Member(**{**m, "label": Text.from_json(m["label"])}) for m in data.pop("members")
        )
        return Study(folder, folder.name, members=members, **data)
    except FileNotFoundError as error:
        raise RunNotFoundError(Text("study.none", path=str(folder))) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(Text("jobs.damaged_file", file=str(file))) from error


def list_studies(settings: Settings | None = None, task_id: str | None = None) -> list[Study]:
    """List the studies that can be read, newest first."""
    root = (settings or load_settings()).runs
    found = []
    for folder in [*_folders(root / FOLDER), *_folders(root)]:
        try:
            study = read_study(folder)
        except JobError:  # damaged, or not one
            continue
        if task_id in (None, study.task_id):
            found.append(study)
    return sorted(found, key=lambda study: (study.created, study.study_id), reverse=True)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(e.path) for e in entries if not e.name.startswith(".") and e.is_dir()]
    except FileNotFoundError:
        return []


def find_study(name: str, settings: Settings | None = None) -> Study:
    """Find a study by its folder, its id or the end of its id.

    Raises:
        RunNotFoundError: None, or several.
    """
    if is_study(Path(name)):
        return read_study(Path(name).resolve())
    found = [
        s for s in list_studies(settings) if s.study_id == name or s.study_id.endswith(f"-{name}")
    ]
    if len(found) != 1:
        raise RunNotFoundError(Text("study.none", path=name))
    return found[0]


def delete_study(study: Study) -> Path:
    """Move a study into the trash of all runs; its runs stay where they are.

    Raises:
        RunConflictError: It is at work.
    """
    if study.status.is_active:
        raise RunConflictError(Text("jobs.delete_active", run=study.short_id))
    trash = study.folder.parent / store.TRASH
    trash.mkdir(exist_ok=True)
    target = trash / study.folder.name
    shutil.rmtree(target, ignore_errors=True)
    os.replace(study.folder, target)
    return target


def restore_study(study_id: str, settings: Settings | None = None) -> Study:
    """Undo `delete_study`.

    Raises:
        RunNotFoundError: It is not in the trash any more.
    """
    root = (settings or load_settings()).runs / FOLDER
    source, target = root / store.TRASH / study_id, root / study_id
    if not re.fullmatch(r"[\w.-]+", study_id) or not is_study(source) or target.exists():
        raise RunNotFoundError(Text("jobs.not_in_trash", run=study_id))
    os.replace(source, target)
    return read_study(target)
