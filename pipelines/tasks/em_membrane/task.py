"""The task's side of the contract; torch is imported inside the methods that compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.commands import Command
from pipelines.contract import (
    Array,
    DatasetRecord,
    ExportableNetwork,
    Inspection,
    ItemStatistics,
    ItemSums,
    Lesson,
    MetricInfo,
    ModelFacts,
    OperatingPoint,
    Panel,
    Prediction,
    ReportContext,
    ReportSection,
    RunReporter,
    Sample,
    SplitManifest,
    Task,
    TrainingData,
    Truth,
)
from pipelines.errors import DataFormatError
from pipelines.tasks.em_membrane import config, data, fake, metrics, predictions
from pipelines.text import Text
from pipelines.views import Pane


class EmMembrane(Task):
    """Tell the inside of cells from membranes, section by section, and score it as ISBI 2012."""

    id = "em_membrane"
    texts = "em"
    icon = "grain"
    config_type = config.Config
    data_options = data.DataOptions
    presets = config.PRESETS
    metrics = tuple(
        MetricInfo(name, is_higher_better, 0.0, 1.0, is_main=name == "v_rand", texts="em_metrics")
        for name, is_higher_better in (
            ("v_rand", True),
            ("v_info", True),
            ("pixel_error", False),
            ("iou", True),
            ("dice", True),
            ("v_rand_split", True),
            ("v_rand_merge", True),
            ("v_info_split", True),
            ("v_info_merge", True),
        )
    )

    def inspect(self, source: Path, options: Mapping[str, str]) -> Inspection:
        """Report the sections and labels at a path; see `data.inspect_source`."""
        return data.inspect_source(source, options)

    def write_builtin_sample(self, folder: Path) -> None:
        """Write a generated stack with labels, as multi-page TIFFs."""
        fake.write_sample(folder)

    def fake_samples(self, count: int, seed: int) -> list[Sample]:
        """Generate small labelled sections."""
        return fake.fake_samples(count, seed)

    def open_dataset(
        self, record: DatasetRecord, item_ids: Sequence[str] | None = None
    ) -> Sequence[Sample]:
        """Open sections: image `(H, W)` float32 in [0, 1], truth `(H, W)` bool, True = inside."""
        return data.open_samples(record, item_ids)

    def split(self, record: DatasetRecord, config: Any) -> SplitManifest:
        """Set aside the last labelled sections as one block, as many as the options say."""
        num_labelled = sum(item.has_truth for item in record.items)
        wanted = min(config.validation_sections, num_labelled - 1)
        return data.split_sections(record, max(wanted, 0) / max(num_labelled, 1))

    def train(self, data: TrainingData, config: Any, run: RunReporter) -> Path:
        """Train a network, or keep the baseline's options as a checkpoint; see `train.py`."""
        from pipelines.tasks.em_membrane.learning import train_checkpoint

        return train_checkpoint(data, config, run)

    def predict(
        self, checkpoint: Path, samples: Sequence[Sample], config: Any, run: RunReporter
    ) -> Iterator[Prediction]:
        """Predict "probability" `(H, W)` float32 of being inside and "mask" `(H, W)` bool."""
        from pipelines.tasks.em_membrane.learning import predict_samples

        return predict_samples(checkpoint, samples, config, run)

    def write_predictions(
        self, predicted: Iterable[Prediction], record: DatasetRecord, folder: Path
    ) -> Iterator[Prediction]:
        """Write `probability.tif`, `mask.tif` and `png/`."""
        return predictions.write(predicted, folder)

    def open_predictions(self, folder: Path) -> Mapping[str, Prediction]:
        """Open what `write_predictions` wrote, or any folder with a `probability.tif`."""
        return predictions.StoredPredictions(folder)

    def statistics(self, prediction: Prediction, truth: Truth) -> ItemStatistics:
        """Keep the sums of one section at every threshold."""
        return metrics.measure(
            prediction.values["probability"][None],
            truth[None],
            item_ids=[prediction.item_id],
            group=prediction.group,
        )

    def reduce(self, rows: ItemStatistics, operating_point: OperatingPoint) -> dict[str, float]:
        """Compute the figures of a stack, or of any of its sections."""
        return metrics.score(rows, operating_point.threshold)

    def item_sums(self, rows: ItemStatistics, operating_point: OperatingPoint) -> ItemSums:
        """Return the parts of each section that add up to the figures of a stack."""
        from pipelines.tasks.em_membrane.sums import sums_of_rows

        return sums_of_rows(rows, operating_point.threshold)

    def shown(
        self,
        sample: Sample,
        prediction: Prediction,
        operating_point: OperatingPoint,
        name: Text,
        section: int | None = None,
    ) -> Pane:
        """Show a section with right, false and missed membrane."""
        from pipelines.tasks.em_membrane.panels import error_pane

        return error_pane(sample, prediction, operating_point.threshold, name)

    def truths(self, rows: ItemStatistics) -> Mapping[str, tuple[float, ...]]:
        """Return the pixels of cells and the sum of their squared sizes in each section."""
        names = rows.columns["item_id"].tolist()
        numbers = zip(
            rows.columns["n"].tolist(), rows.columns["squares_true"].tolist(), strict=True
        )
        return dict(zip(names, numbers, strict=True))

    def thresholds(self, rows: ItemStatistics) -> Mapping[str, Array]:
        """List the thresholds on the probability of being inside."""
        return {"threshold": metrics.thresholds(rows)}

    def best_operating_point(self, rows: ItemStatistics) -> OperatingPoint:
        """Return the middle of the plateau with the best V_Rand."""
        return OperatingPoint({"threshold": metrics.best_threshold(rows)}, source="scored")

    def point_to_keep(self, rows: ItemStatistics) -> OperatingPoint:
        """Return a threshold that one odd validation section does not carry away."""
        return OperatingPoint({"threshold": metrics.steady_threshold(rows)}, source="scored")

    def open_truth(self, source: Path, item_ids: Sequence[str]) -> Mapping[str, Truth]:
        """Match a label stack with the sections of a prediction by order."""
        labels = data.open_label_stack(source)
        chosen = _fitting_ids(item_ids, len(labels))
        if chosen is None:
            raise DataFormatError(
                Text("em.truth_count", labels=len(labels), sections=len(item_ids))
            )
        return _Lazily(chosen, labels)

    def model_facts(self) -> ModelFacts:
        """Say what models are for, the terms of the challenge's data, and the limits."""
        from pipelines.tasks.em_membrane import evidence

        return evidence.model_facts()

    def network_for_export(
        self, checkpoint: Path, samples: Sequence[Sample]
    ) -> ExportableNetwork | None:
        """Return the network with real sections; None for the baseline."""
        from pipelines.tasks.em_membrane import evidence

        return evidence.network_for_export(checkpoint, samples)

    def report_sections(self, context: ReportContext) -> Sequence[ReportSection]:
        """Add the worst and the best section, and a table of all, to a report."""
        from pipelines.tasks.em_membrane import evidence

        return evidence.report_sections(context)

    def panels(self) -> Sequence[Panel]:
        """List what can be looked at and played with."""
        from pipelines.tasks.em_membrane.panels import PANELS

        return PANELS

    def lessons(self) -> Sequence[Lesson]:
        """List what can be learned on its pages."""
        from pipelines.tasks.em_membrane.lessons import LESSONS

        return LESSONS

    def estimate_seconds(self, config: Any, device: str) -> float:
        """Return the time limit: it counts everything that a training does."""
        return 1.0 if config.architecture == "baseline" else float(config.time_limit_s)

    def commands(self) -> Sequence[Command]:
        """Add `convert em_membrane`."""
        from pipelines.tasks.em_membrane.command import CONVERT

        return (CONVERT,)


class _Lazily(Mapping[str, Truth]):
    """Read the label of a section when it is asked for."""

    def __init__(self, item_ids: Sequence[str], labels: Sequence[Array]) -> None:
        self._places = {item_id: index for index, item_id in enumerate(item_ids)}
        self._labels = labels

    def __getitem__(self, item_id: str) -> Truth:
        return np.asarray(self._labels[self._places[item_id]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _fitting_ids(item_ids: Sequence[str], num_labels: int) -> list[str] | None:
    """Return the items that a stack of so many labels is of, or None when that is not plain."""
    if len(item_ids) == num_labels:
        return list(item_ids)
    stacks: dict[str, list[str]] = {}
    for item_id in item_ids:
        stacks.setdefault(item_id.rpartition(":")[0], []).append(item_id)
    fitting = [ids for ids in stacks.values() if len(ids) == num_labels]
    return fitting[0] if len(fitting) == 1 else None
