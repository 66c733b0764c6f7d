"""Cryo-ET particle picking: six kinds of complexes in tomograms, judged by F4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

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
from pipelines.tasks.cryoet_picking.config import PRESETS, Config
from pipelines.tasks.cryoet_picking.data import DataOptions
from pipelines.text import Text
from pipelines.views import Pane, View

_SCORED = ("apo-ferritin", "beta-galactosidase", "ribosome", "thyroglobulin", "virus-like-particle")


def _metric(name: str, *, is_main: bool = False) -> MetricInfo:
    return MetricInfo(
        name, higher_is_better=True, low=0.0, high=1.0, is_main=is_main, texts="cryoet_metric"
    )


class CryoetPicking(Task):
    """Find particles in tomograms, from the challenge's tree to its submission."""

    id = "cryoet_picking"
    texts = "cryoet"
    icon = "bubble_chart"
    config_type = Config
    data_options = DataOptions
    metrics: ClassVar[tuple[MetricInfo, ...]] = (
        _metric("f4", is_main=True),
        _metric("precision"),
        _metric("recall"),
        *(_metric(f"f4_{kind}") for kind in _SCORED),
    )
    presets = PRESETS

    def inspect(self, source: Path, options: Mapping[str, str]) -> Inspection:
        """Report on the challenge's tree, a zip of it, a copick project or single volumes."""
        from pipelines.tasks.cryoet_picking.data import inspect_source

        return inspect_source(source, options)

    def write_builtin_sample(self, folder: Path) -> None:
        """Simulate three small tomograms in the challenge's layout."""
        from pipelines.tasks.cryoet_picking.simulate import SMALL, write_tree

        write_tree(folder, num_tomograms=3, seed=11, config=SMALL)

    def fake_samples(self, count: int, seed: int) -> list[Sample]:
        """Simulate tiny tomograms in memory."""
        from pipelines.tasks.cryoet_picking.fake import fake_samples

        return fake_samples(count, seed)

    def open_dataset(
        self, record: DatasetRecord, item_ids: Sequence[str] | None = None
    ) -> Sequence[Sample]:
        """Open tomograms lazily, with their true picks where there are some."""
        from pipelines.tasks.cryoet_picking.data import open_samples

        return open_samples(record, item_ids)

    def split(self, record: DatasetRecord, config: Any) -> SplitManifest:
        """Set whole tomograms aside: the one that is named, or a share drawn by the seed."""
        from pipelines.tasks.cryoet_picking.splits import split_tomograms

        return split_tomograms(record, config)

    def train(self, data: TrainingData, config: Any, run: RunReporter) -> Path:
        """Train a network, or learn templates for the baseline."""
        from pipelines.tasks.cryoet_picking.train import train

        return train(data, config, run)

    def predict(
        self, checkpoint: Path, samples: Sequence[Sample], config: Any, run: RunReporter
    ) -> Iterator[Prediction]:
        """Find candidates of every kind with their scores."""
        from pipelines.tasks.cryoet_picking.predictions import predict_samples

        return predict_samples(checkpoint, samples, config, run)

    def cross_fitted_items(self, checkpoint: Path) -> Sequence[str]:
        """List the training tomograms that one of the networks was trained without."""
        from pipelines.core.checkpoints import load_card
        from pipelines.tasks.cryoet_picking.predictions import held_out_by

        return tuple(held_out_by(load_card(checkpoint)))

    def predict_cross_fitted(
        self, checkpoint: Path, samples: Sequence[Sample], config: Any, run: RunReporter
    ) -> Iterator[Prediction]:
        """Find candidates in training tomograms with the network that did not see each."""
        from pipelines.tasks.cryoet_picking.predictions import predict_samples

        return predict_samples(checkpoint, samples, config, run, is_cross_fitted=True)

    def write_predictions(
        self, predictions: Iterable[Prediction], record: DatasetRecord, folder: Path
    ) -> Iterator[Prediction]:
        """Write `submission.csv`, copick JSON and all candidates."""
        from pipelines.tasks.cryoet_picking.predictions import write_all

        return write_all(predictions, record, folder)

    def open_predictions(self, folder: Path) -> Mapping[str, Prediction]:
        """Open a prediction folder or a `submission.csv`."""
        from pipelines.tasks.cryoet_picking.predictions import open_all

        return open_all(folder)

    def open_truth(self, source: Path, item_ids: Sequence[str]) -> Mapping[str, Truth]:
        """Open the true picks of every tomogram; those that nobody predicted are wanted too."""
        from pipelines.tasks.cryoet_picking.data import open_truths

        return open_truths(source)

    def complete_predictions(
        self, predictions: Mapping[str, Prediction], truths: Mapping[str, Truth]
    ) -> Mapping[str, Prediction]:
        """Let tomograms that a submission leaves out count as missed, as in the challenge."""
        from pipelines.tasks.cryoet_picking.predictions import complete_submission

        return complete_submission(predictions, truths)

    def recorded_point(self, folder: Path) -> OperatingPoint | None:
        """Return the thresholds that a prediction was written with."""
        from pipelines.tasks.cryoet_picking.predictions import frozen_point

        return frozen_point(folder)

    def statistics(self, prediction: Prediction, truth: Truth) -> ItemStatistics:
        """Count TP, FP and FN of every kind at every threshold."""
        from pipelines.tasks.cryoet_picking import metrics
        from pipelines.tasks.cryoet_picking.predictions import candidates_of

        return metrics.measure(
            candidates_of(prediction), truth.picks, truth.particles, group=prediction.group
        )

    def reduce(self, rows: ItemStatistics, operating_point: OperatingPoint) -> dict[str, float]:
        """Pool the counts and compute the challenge's F4, total and per kind."""
        from pipelines.tasks.cryoet_picking import metrics

        return metrics.reduce_rows(rows, operating_point)

    def item_sums(self, rows: ItemStatistics, operating_point: OperatingPoint) -> ItemSums:
        """Return the counts of each tomogram that add up to the challenge's score."""
        from pipelines.tasks.cryoet_picking.sums import sums_of_rows

        return sums_of_rows(rows, operating_point)

    def place_sums(self, rows: ItemStatistics, operating_point: OperatingPoint) -> ItemSums | None:
        """Return the counts of nine parts of each tomogram, for intervals where these are few."""
        from pipelines.tasks.cryoet_picking.sums import sums_by_place

        return sums_by_place(rows, operating_point)

    def section_to_show(self, sample: Sample) -> tuple[int, int] | None:
        """Return the section along z with most true picks, and how many there are."""
        from pipelines.tasks.cryoet_picking.compared import section_to_show

        return section_to_show(sample)

    def shown(
        self,
        sample: Sample,
        prediction: Prediction,
        operating_point: OperatingPoint,
        name: Text,
        section: int | None = None,
    ) -> Pane | None:
        """Show a section, that with most true picks by default, with right, false and missed."""
        from pipelines.tasks.cryoet_picking.compared import section_pane

        return section_pane(sample, prediction, operating_point, name, section)

    def truths(self, rows: ItemStatistics) -> Mapping[str, tuple[float, ...]]:
        """Return the number of true picks of each kind in each tomogram."""
        from pipelines.tasks.cryoet_picking.sums import references_of_rows

        return references_of_rows(rows)

    def thresholds(self, rows: ItemStatistics) -> Mapping[str, Array]:
        """List the thresholds of every kind."""
        from pipelines.tasks.cryoet_picking import metrics

        return {str(kind): metrics.THRESHOLDS for kind in dict.fromkeys(rows.columns["kind"])}

    def best_operating_point(self, rows: ItemStatistics) -> OperatingPoint:
        """Choose the threshold of each kind on its own: kinds add up in the score."""
        from pipelines.tasks.cryoet_picking import metrics

        return metrics.point(metrics.best_thresholds(rows), source="scored")

    def model_facts(self) -> ModelFacts:
        """Say what models are for, the terms of the challenge's data, and the limits."""
        from pipelines.tasks.cryoet_picking import evidence

        return evidence.model_facts()

    def network_for_export(
        self, checkpoint: Path, samples: Sequence[Sample]
    ) -> ExportableNetwork | None:
        """Return the network with windows of real tomograms; None for the baselines."""
        from pipelines.tasks.cryoet_picking import evidence

        return evidence.network_for_export(checkpoint, samples)

    def report_sections(self, context: ReportContext) -> Sequence[ReportSection]:
        """Add tomograms, method and every kind: the technical report that the contest asks for."""
        from pipelines.tasks.cryoet_picking import evidence

        return evidence.report_sections(context)

    def pack_files(self, context: ReportContext) -> Mapping[str, bytes]:
        """Add the notebook that makes the submission again."""
        from pipelines.tasks.cryoet_picking import evidence

        return evidence.pack_files(context)

    def panels(self) -> Sequence[Panel]:
        """List viewer, clouds, curves, self-check, submission and lessons."""
        from pipelines.tasks.cryoet_picking.panels import list_panels

        return list_panels()

    def lessons(self) -> Sequence[Lesson]:
        """List what can be learned on its pages."""
        from pipelines.tasks.cryoet_picking.teaching import LESSONS

        return LESSONS

    def estimate_seconds(self, config: Any, device: str) -> float:
        """Return the time limit, or the steps at the pace measured on four cores."""
        from pipelines.tasks.cryoet_picking.splits import estimate_seconds

        return estimate_seconds(config, device)

    def editor(
        self,
        sample: Sample,
        prediction: Prediction | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> Any:
        """Start to correct a prediction at thresholds, else the true picks (an `Editor`)."""
        from pipelines.tasks.cryoet_picking.corrections import Editor
        from pipelines.tasks.cryoet_picking.predictions import candidates_of, picks_at

        if prediction is None:
            return Editor.begin(sample)
        return Editor.begin(sample, picks_at(candidates_of(prediction), thresholds or {}))

    def check_file(self, content: bytes, samples: Sequence[Sample], name: str) -> Sequence[View]:
        """Say what a submission that somebody brings is worth."""
        from pipelines.tasks.cryoet_picking.checking import check_file, check_views

        return check_views(check_file(content, samples, file=name))

    def place(self, sample: Sample) -> str:
        """Return the name under which the pictures of a tomogram share a crosshair."""
        from pipelines.tasks.cryoet_picking.slices import place_of

        return place_of(sample)

    def volume(self, sample: Sample, marks: Any, thickness: int) -> Any:
        """Show three planes of a tomogram with marks (a `VolumeView`)."""
        from pipelines.tasks.cryoet_picking.slices import volume_view

        title = Text("cryoet.slices_title", item=sample.item_id)
        return volume_view(sample, marks, thickness=thickness, title=title)

    def cloud(self, sample: Sample, marks: Any) -> Any:
        """Show marks in the box of the tomogram (a `CloudView`)."""
        from pipelines.tasks.cryoet_picking.clouds import cloud_view

        has_planes = sample.meta["has_volume"] and sample.meta["geometry"].spacing_angstrom > 0
        name = "cryoet.cloud_now" if has_planes else "cryoet.cloud_alone"
        return cloud_view(sample, marks, Text(name, n=len(marks)))

    def surface(self, sample: Sample, at: Sequence[int], side_vox: int, level_std: float) -> Any:
        """Show what is dense in a box around a voxel as a surface (a `MeshView`)."""
        from pipelines.tasks.cryoet_picking.surfaces import surface_view

        return surface_view(sample, at, side_vox=side_vox, level_std=level_std)

    def simulation_options(self) -> type[Any]:
        """Return the options of simulated tomograms, for a form."""
        from pipelines.tasks.cryoet_picking.simulate import SimulationConfig

        return SimulationConfig

    def path_of(self, record: DatasetRecord) -> Path:
        """Return the zip, volume, configuration or folder that a data set was opened from."""
        from pipelines.tasks.cryoet_picking.data import path_of_record

        return path_of_record(record)

    def commands(self) -> Sequence[Command]:
        """Add `simulate` and `check` to the command line."""
        from pipelines.tasks.cryoet_picking.checking import check_command
        from pipelines.tasks.cryoet_picking.simulate_command import simulate_command

        return (simulate_command(), check_command())


TASK = CryoetPicking()
