"""Scored runs made by hand: rows and scores as a worker would have written them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import registry
from pipelines.actions import score_parts
from pipelines.contract import (
    DatasetRecord,
    Item,
    ItemStatistics,
    OperatingPoint,
    SourceFile,
    SplitManifest,
)
from pipelines.core.classification.statistics import make_rows
from pipelines.jobs import store
from pipelines.jobs.store import NewRun, Run, RunState, Status
from pipelines.settings import Settings

TASK = "blood_cells"
_numbers = itertools.count()
POINT = OperatingPoint({"threshold": 0.5}, source="validation")


def names_of(count: int) -> list[str]:
    return [f"c{n:05d}" for n in range(count)]


def odds(count: int, skill: float, seed: int) -> np.ndarray:
    """Return probabilities of the second class; the truth alternates."""
    rng = np.random.default_rng(seed)
    logits = skill * (2 * (np.arange(count) % 2) - 1) + rng.normal(size=count)
    return 1 / (1 + np.exp(-logits))


def cells(
    probabilities: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    truth: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> ItemStatistics:
    count = len(probabilities)
    names = names or names_of(count)
    truth = np.arange(count) % 2 if truth is None else truth
    both = np.stack([1 - probabilities, probabilities], axis=1)
    return make_rows(names, groups or names, truth, both)


def record(names: Sequence[str], content: str = "same") -> DatasetRecord:
    return DatasetRecord(
        dataset_id=f"cells-{content}", task_id=TASK, title=f"cells {content}",
        root=Path("/nowhere"),
        files=(SourceFile("cells.zip", "pictures", 10, content),),
        items=tuple(Item(n, n, has_truth=True) for n in names), options={}, owner="", created="",
    )  # fmt: skip


def add_run(
    settings: Settings,
    rows: ItemStatistics,
    title: str,
    *,
    part: str | Mapping[str, str] = "test",
    point: OperatingPoint = POINT,
    content: str = "same",
    task_id: str = TASK,
    **config: Any,
) -> Run:
    """Write a finished run with these rows; `part` is that of all items, or of each."""
    names = rows.item_ids()
    part_of = dict.fromkeys(names, part) if isinstance(part, str) else part
    parts: dict[Any, list[str]] = {}
    for name in names:
        parts.setdefault(part_of[name], []).append(name)
    held = {part: tuple(items) for part, items in parts.items()}
    split = SplitManifest(f"split-{content}", "d", "groups", 0, held)
    new = NewRun(task_id, "train", config, record(names, content), split, title=title)
    folder = settings.runs / f"20260101-000000-{next(_numbers):04x}"
    run = store.create_run(new, settings, folder=folder)
    store.write_state(run.folder, RunState(Status.FINISHED, worked_s=10.0))
    write_scores(run, rows, split, point)
    return run.reread()


def write_scores(
    run: Run, rows: ItemStatistics, split: SplitManifest, point: OperatingPoint = POINT
) -> None:
    scores = score_parts(registry.get_task(run.request.task_id), rows, split, chosen=point)
    rows.save(run.folder / "statistics.npz")
    (run.folder / "scores.json").write_text(json.dumps(scores.to_json()))
