"""Open the locked test set with the model of a run, and tell how often that was done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines import config as configs
from pipelines import registry
from pipelines.actions import data_fingerprint, prediction_config
from pipelines.compare.comparison import Comparison
from pipelines.compare.entries import Entry
from pipelines.contract import DatasetRecord
from pipelines.core.checkpoints import load_card
from pipelines.datasets import locked
from pipelines.errors import ConfigError
from pipelines.jobs import store
from pipelines.jobs.engines import local
from pipelines.jobs.store import NewRun, Run
from pipelines.settings import Settings
from pipelines.text import Text


def records_of(comparison: Comparison) -> list[DatasetRecord]:
    """List the data sets of a comparison, each content once."""
    runs = [run for standing in comparison.standings for run in standing.entry.runs]
    found = {data_fingerprint(record): record for record in (run.dataset() for run in runs)}
    return list(found.values())


def num_openings(entries: Sequence[Entry], settings: Settings) -> int:
    """Count the runs that were scored on test items of the data of some models."""
    fingerprints = {entry.origin.data_fingerprint for entry in entries}
    return sum(len(locked.openings_of(f, settings)) for f in fingerprints if f)


def open_locked(run: Run, record: DatasetRecord, settings: Settings) -> Run:
    """Start a run that scores a model on the locked items; that is counted.

    Raises:
        ConfigError: Nothing is locked, or the run has no model.
        PipelineError: The model is of another task or damaged.
    """
    lock = locked.locked_of(data_fingerprint(record), settings)
    if lock is None:
        raise ConfigError(Text("locked.nothing", data=record.title))
    if run.checkpoint is None:
        raise ConfigError(Text("locked.no_model", run=run.short_id))
    task = registry.get_task(run.request.task_id)
    card = load_card(Path(run.checkpoint), task_id=task.id)
    new = NewRun(
        task_id=task.id,
        action="predict",
        config=configs.to_json(prediction_config(task, card, {})),
        record=record,
        split=None,
        title=run.request.title,
        checkpoint=run.checkpoint,
        parent_run=card.run_id,
        item_ids=tuple(i.item_id for i in record.items if i.item_id in lock.item_ids),
    )
    opened = store.create_run(new, settings)
    local.launch(opened, settings)
    return opened.reread()
