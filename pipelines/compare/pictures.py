"""Pictures of one item with what a model says of it, for models that stand side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.compare.entries import Entry
from pipelines.contract import DatasetRecord, Prediction, Sample, SourceFile, Task
from pipelines.datasets import verify_files
from pipelines.errors import DataFormatError
from pipelines.text import Text
from pipelines.views import Pane


@dataclass(frozen=True)
class Shown:
    """Hold the data and the predictions of a model, each item read when it is asked for.

    Attributes:
        task: Its task.
        entry: The model.
        record: Data that it was scored on.
        samples: All items of the data.
        places: Item to its place among the samples.
        predictions: Predictions of each run (of several for an ensemble), by item id.
    """

    task: Task
    entry: Entry
    record: DatasetRecord
    samples: Sequence[Sample]
    places: Mapping[str, int]
    predictions: tuple[Mapping[str, Prediction], ...]

    def section_to_show(self, item_id: str) -> tuple[int, int] | None:
        """Return the section of a volume that tells most and how many there are; None if flat."""
        if item_id not in self.places:
            return None
        return self.task.section_to_show(self.samples[self.places[item_id]])

    def pane(self, item_id: str, section: int | None = None) -> Pane | None:
        """Show an item with what the model says of it; None where the task has no picture.

        Raises:
            DataFormatError: The item or its prediction is not there any more.
        """
        found = [p.get(item_id) for p in self.predictions]
        known = [prediction for prediction in found if prediction is not None]
        if item_id not in self.places or len(known) < len(found):
            raise DataFormatError(Text("compare.item_gone", item=item_id))
        prediction = known[0] if len(known) == 1 else self.task.average(known)
        if prediction is None:
            return None
        sample = self.samples[self.places[item_id]]
        name = self.entry.name
        return self.task.shown(sample, prediction, self.entry.point, name, section)


def open_shown(task: Task, entry: Entry) -> Shown:
    """Open the data and predictions of a model.

    Raises:
        DataFormatError: The files of the data set changed since it was scored.
        PipelineError: They are not there any more.
    """
    record = entry.runs[0].dataset()
    _refuse_changed(record)
    return Shown(
        task,
        entry,
        record,
        task.open_dataset(record),
        {item.item_id: place for place, item in enumerate(record.items)},
        tuple(task.open_predictions(run.prediction_folder) for run in entry.runs),
    )


_HASHED_BYTES: Final = 200_000_000
"""Up to so much data the content is checked; of more, that nobody is kept waiting, the sizes."""


def _refuse_changed(record: DatasetRecord) -> None:
    if sum(file.num_bytes for file in record.files) <= _HASHED_BYTES:
        num_changed = len(verify_files(record))
    else:
        num_changed = sum(not _has_its_size(record, file) for file in record.files)
    if num_changed:
        raise DataFormatError(Text("compare.data_changed", data=record.title, n=num_changed))


def _has_its_size(record: DatasetRecord, file: SourceFile) -> bool:
    path = record.root / file.path.partition("!")[0]
    if not path.is_file() or "!" in file.path:
        return path.exists()
    return path.stat().st_size == file.num_bytes
