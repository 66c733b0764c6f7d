"""The task that all classifications share; a folder below `tasks` adds its data and its words."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.commands import Command
from pipelines.config import parse, to_json
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
    Part,
    Prediction,
    Ranking,
    ReportContext,
    ReportSection,
    RunReporter,
    Sample,
    SplitManifest,
    Task,
    TrainingData,
    Truth,
)
from pipelines.core.classification import files, leakage, splits, statistics, sums
from pipelines.core.classification.config import (
    OF_THE_PICTURES,
    PRESETS,
    ClassificationConfig,
)
from pipelines.core.classification.images import (
    LazyPicture,
    Source,
    fit_square,
    stem_of,
    table_words,
)
from pipelines.core.classification.index import (
    Index,
    inspect_index,
    open_index,
    source_path,
    what_is_wrong,
)
from pipelines.core.classification.labels import (
    ID_COLUMNS,
    LABEL_COLUMNS,
    UNKNOWN,
    Labels,
    Options,
    column_like,
    parse_table,
    values_by_id,
)
from pipelines.errors import DataFormatError, LeakError
from pipelines.text import Text, verbatim
from pipelines.views import Pane, View

if TYPE_CHECKING:
    from pipelines.core.classification.atlas import Atlas
    from pipelines.core.classification.evaluation import Evaluation
    from pipelines.core.classification.marks import LabelMarks

METRICS = (
    MetricInfo("auc", True, 0.0, 1.0, is_main=True, texts="classes_metrics", test="delong"),
    MetricInfo("accuracy", True, 0.0, 1.0, texts="classes_metrics", test="mcnemar"),
    MetricInfo("balanced_accuracy", True, 0.0, 1.0, texts="classes_metrics"),
    MetricInfo("weighted_f1", True, 0.0, 1.0, texts="classes_metrics"),
    MetricInfo("sensitivity", True, 0.0, 1.0, texts="classes_metrics"),
    MetricInfo("specificity", True, 0.0, 1.0, texts="classes_metrics"),
    MetricInfo("ece", False, 0.0, 1.0, texts="classes_metrics"),
)
_THRESHOLDS = np.round(np.linspace(0.01, 0.99, 99), 2)


class ImageClassification(Task):
    """Classify small pictures.

    Attributes:
        has_centre: Whether the label speaks of the centre of the picture.
        border: What stands outside of a picture that is moved: "mirror" or "black".
        centre_px: Side of the box that the label speaks of, 0 for the whole picture.
    """

    config_type: ClassVar[type[ClassificationConfig]] = ClassificationConfig
    metrics = METRICS
    presets = PRESETS
    has_centre: ClassVar[bool] = False
    border: ClassVar[str] = "mirror"
    centre_px: ClassVar[int] = 0

    @abstractmethod
    def read_labels(self, source: Source, options: Options) -> Labels:
        """Read classes, groups and parts of the pictures of a source."""

    # data

    def inspect(self, source: Path, options: Mapping[str, str]) -> Inspection:
        """Report what stands at a path."""
        index = self.open(source, options)
        return inspect_index(index, source, options, self.class_text)

    def open(self, path: Path, options: Mapping[str, str]) -> Index:
        """List the pictures at a path with their labels."""
        return open_index(path, self.read_labels, _kept(options))

    def index_of(self, record: DatasetRecord) -> Index:
        """List the pictures of a data set with their labels."""
        return self.open(source_path(record), record.options)

    def open_dataset(
        self, record: DatasetRecord, item_ids: Sequence[str] | None = None
    ) -> Sequence[Sample]:
        """Open items; a picture is decoded when somebody looks at it."""
        index = self.index_of(record)
        names = list(index.places) if item_ids is None else list(item_ids)
        missing = [n for n in names if n not in index.places]
        if missing:
            raise DataFormatError(Text("classes.items_gone", ids=missing[:3], n=len(missing)))
        return SampleList(index, names)

    def split(self, record: DatasetRecord, config: ClassificationConfig) -> SplitManifest:
        """Divide the labelled pictures; one that leaks is refused unless it was asked for.

        Raises:
            LeakError: A leak that nobody allowed.
        """
        index = self.index_of(record)
        parts = self.split_parts(index, config)
        method = f"{config.split_by} share={config.validation_share:g} fold={config.fold}"
        return self._manifest(record, parts, method, config)

    def folds(
        self,
        record: DatasetRecord,
        config: ClassificationConfig,
        count: int,
        *,
        by_group: bool = True,
    ) -> Sequence[SplitManifest]:
        """Hold every labelled picture out once, classes in like shares.

        Raises:
            ConfigError: More folds than a class has groups.
            LeakError: A leak that nobody allowed.
        """
        index = self.index_of(record)
        pictures = self._divisible(index, config, (None, "train", "validation"))
        found = splits.fold_ids(pictures, count, config.seed, by_group=by_group)
        allowed = dataclasses.replace(config, allow_leak=config.allow_leak or not by_group)
        manifests = []
        for number, held_out in enumerate(found, start=1):
            out = set(held_out)
            train = [i for i in pictures.ids if i not in out]
            parts: dict[Part, list[str]] = {"train": train, "validation": held_out, "test": []}
            method = f"fold {number}/{len(found)} {'group' if by_group else 'random'}"
            manifests.append(self._manifest(record, parts, method, allowed))
        return manifests

    def _manifest(
        self,
        record: DatasetRecord,
        parts: Mapping[Part, Sequence[str]],
        method: str,
        config: ClassificationConfig,
    ) -> SplitManifest:
        """Keep a division; one that leaks says so in its method, and must have been asked for."""
        index = self.index_of(record)
        report = leak_report(index, parts)
        if not report.is_clean:
            if not config.allow_leak:
                found = report.sentences()[0]
                raise LeakError(Text("classes.leak_refused", found=found))
            method += f" LEAK={sum(leak.kind != 'two_names' for leak in report.leaks)}"
        if not index.labels.has_groups:
            method += " groups-unknown"
        if not report.is_near_checked:
            method += " near-unchecked"
        return splits.manifest(record, method, config.seed, parts)

    def split_parts(self, index: Index, config: ClassificationConfig) -> dict[Part, list[str]]:
        """Return the parts: as the layout gives them, else drawn."""
        tags, names = index.labels.tags, [e.name for e in index.source.entries]
        rows = splits.labelled_rows(index.labels)
        given: dict[Part, list[str]] = {"train": [], "validation": [], "test": []}
        for i in rows:
            if (part := tags[i].part) is not None:
                given[part].append(names[i])
        train, validation = splits.divide(self._divisible(index, config, (None, "train")), config)
        if given["validation"]:
            train, validation = train + validation, given["validation"]
        test = given["test"] if config.score_test else []
        return {"train": train, "validation": validation, "test": test}

    @staticmethod
    def _divisible(
        index: Index, config: ClassificationConfig, parts: Sequence[Part | None]
    ) -> splits.Divisible:
        """List the labelled pictures of these parts, at most as many as the options ask for."""
        tags, names = index.labels.tags, [e.name for e in index.source.entries]
        free = [i for i in splits.labelled_rows(index.labels) if tags[i].part in parts]
        # of a large set they are known at some later time: a split must not depend on when
        near = index.near.result() if index.near.is_at_once else None
        alike = [*index.copies, *(near or ())]
        groups = splits.joined_groups([t.group for t in tags], names, alike)
        pictures = splits.Divisible(
            tuple(names[i] for i in free), np.array([tags[i].label for i in free], np.int64),
            tuple(groups[i] for i in free),
        )  # fmt: skip
        return splits.choose_some(pictures, config.max_images, config.seed)

    def default_items(self, record: DatasetRecord) -> Sequence[str]:
        """List what a prediction is of: the test part of a known layout, else everything."""
        index = self.index_of(record)
        names = [
            e.name
            for e, tag in zip(index.source.entries, index.labels.tags, strict=True)
            if tag.part == "test" and tag.label == UNKNOWN
        ]
        return names or list(index.places)

    # work

    def train(self, data: TrainingData, config: ClassificationConfig, run: RunReporter) -> Path:
        """Train and return the checkpoint folder."""
        from pipelines.core.classification.work import train

        return train(self, data, config, run)

    def predict(
        self,
        checkpoint: Path,
        samples: Sequence[Sample],
        config: ClassificationConfig,
        run: RunReporter,
    ) -> Iterator[Prediction]:
        """Predict items in the order given, decoded in parallel, memory bounded."""
        from pipelines.core.classification.work import predict

        return predict(self, checkpoint, samples, config, run)

    def baseline_beside(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the options of the baseline on the pictures that a network was trained on.

        Args:
            config: Every option of the network's training.

        Returns:
            Every option, or None where that training is the baseline itself.
        """
        if config.get("network") == "statistics":
            return None
        kept = {name: config[name] for name in OF_THE_PICTURES if name in config}
        return to_json(parse(self.config_type, {**kept, "network": "statistics"}))

    def cross_fitted_items(self, checkpoint: Path) -> Sequence[str]:
        """List the pictures that a baseline without a validation part held out once."""
        from pipelines.core.classification.work import held_out_ids

        return held_out_ids(checkpoint)

    def predict_cross_fitted(
        self,
        checkpoint: Path,
        samples: Sequence[Sample],
        config: ClassificationConfig,
        run: RunReporter,
    ) -> Iterator[Prediction]:
        """Say of training pictures what models without their group said."""
        from pipelines.core.classification.work import predict_held_out

        return predict_held_out(self, checkpoint, samples)

    def write_predictions(
        self, predictions: Iterable[Prediction], record: DatasetRecord, folder: Path
    ) -> Iterator[Prediction]:
        """Write `predictions.csv`, and what the pages need of each item."""
        yield from files.write(predictions, self.class_names(record), folder)

    def class_names(self, record: DatasetRecord) -> tuple[str, ...]:
        """Return the names of the classes of a data set."""
        return self.index_of(record).labels.classes

    def class_text(self, name: str) -> Text:
        """Name a class for people; files and the command line keep `name` itself."""
        return verbatim(name)

    def open_predictions(self, folder: Path) -> Mapping[str, Prediction]:
        """Open a prediction folder or a CSV of probabilities, which itself knows no groups."""
        found = dict(files.read(folder))
        for name, prediction in found.items():
            if prediction.group == name and (group := self.group_of(name)):
                found[name] = dataclasses.replace(prediction, group=group)
        return found

    def group_of(self, name: str) -> str:
        """Return the group (subject, slide) that a file name tells, or "": nothing by default."""
        return ""

    def open_truth(self, source: Path, item_ids: Sequence[str]) -> Mapping[str, Truth]:
        """Open labels for items: of a CSV, or of a data set, matched by path or by file name."""
        labels = self._truths_of(source)
        by_stem = {stem_of(name): label for name, label in labels.items()}
        found = {i: labels.get(i, by_stem.get(stem_of(i), UNKNOWN)) for i in item_ids}
        truths = {i: label for i, label in found.items() if label != UNKNOWN}
        if source.suffix.lower() == ".csv":
            files.refuse_gaps(labels, item_ids, source.name)
        if not truths:
            example = next(iter(labels), "-")
            raise DataFormatError(
                Text("classes.other_ids", file=source.name, example=example,
                     picture=item_ids[0] if item_ids else "-")
            )  # fmt: skip
        return truths

    def recorded_point(self, folder: Path) -> OperatingPoint:
        """Return the even threshold: files of predictions name the most probable class."""
        return OperatingPoint({"threshold": 0.5}, source="default")

    def _truths_of(self, source: Path) -> dict[str, int]:
        if source.suffix.lower() == ".csv":
            return self.truths_of_table(source)
        index = self.open(source, {})
        return {
            e.name: tag.label
            for e, tag in zip(index.source.entries, index.labels.tags, strict=True)
            if tag.label != UNKNOWN
        }

    def truths_of_table(self, path: Path) -> dict[str, int]:
        """Read a CSV of labels by the usual names of its columns."""
        table = parse_table(table_words(path.read_bytes()), path.name)
        key = column_like(table, ID_COLUMNS)
        label = column_like(table, LABEL_COLUMNS)
        if key is None or label is None:
            raise DataFormatError(
                Text("classes.no_columns", file=path.name, columns=", ".join(table.columns))
            )
        values, problems = values_by_id(table, key, label)
        for problem in problems:
            if problem.severity == "error":
                raise DataFormatError(problem.text)
        return self.label_numbers(values, path.name)

    @abstractmethod
    def label_numbers(self, values: Mapping[str, str], table: str) -> dict[str, int]:
        """Turn written labels into class indices.

        Raises:
            DataFormatError: A label that is not one of the task's.
        """

    # scores

    def statistics(self, prediction: Prediction, truth: Truth) -> ItemStatistics:
        """Keep truth and probabilities of one item."""
        return statistics.make_rows(
            [prediction.item_id], [prediction.group], np.array([truth]),
            prediction.values["probabilities"][None],
            temperature=float(prediction.values.get("temperature", 1.0)),
        )  # fmt: skip

    def reduce(self, rows: ItemStatistics, operating_point: OperatingPoint) -> dict[str, float]:
        """Compute every figure at a threshold."""
        return statistics.score_rows(rows, operating_point.threshold)

    def item_sums(self, rows: ItemStatistics, operating_point: OperatingPoint) -> ItemSums:
        """Return the cells of the confusion matrix and the bins of the calibration."""
        return sums.sums_of_rows(rows, operating_point.threshold)

    def ranking(self, rows: ItemStatistics) -> Ranking:
        """Return the classes against their probabilities."""
        return sums.ranking_of_rows(rows)

    def shown(
        self,
        sample: Sample,
        prediction: Prediction,
        operating_point: OperatingPoint,
        name: Text,
        section: int | None = None,
    ) -> Pane:
        """Show a picture with the model's answer and, where it has one, its heat map."""
        from pipelines.core.classification.panels import answer_pane

        return answer_pane(sample, prediction, operating_point.threshold, name, self.class_text)

    def truths(self, rows: ItemStatistics) -> Mapping[str, tuple[float, ...]]:
        """Return the class of each item."""
        classes = ((float(label),) for label in rows.columns[statistics.TRUTH].tolist())
        return dict(zip(rows.columns["item_id"].tolist(), classes, strict=True))

    def average_rows(self, rows: Sequence[ItemStatistics]) -> ItemStatistics:
        """Average the probabilities of several models."""
        return sums.average_rows(rows)

    def thresholds(self, rows: ItemStatistics) -> Mapping[str, Array]:
        """List the thresholds that a slider offers."""
        return {"threshold": _THRESHOLDS}

    def best_operating_point(self, rows: ItemStatistics) -> OperatingPoint:
        """Return Youden's threshold: best sum of sensitivity and specificity.

        The area under the ROC curve, the main figure, is the same at every threshold.
        """
        return OperatingPoint({"threshold": statistics.best_threshold(rows)}, source="scored")

    # what the pages ask beyond the contract

    def evaluation(self, rows: ItemStatistics, classes: Sequence[str]) -> Evaluation:
        """Answer what the Evaluate step asks of rows at any threshold."""
        from pipelines.core.classification.evaluation import Evaluation

        return Evaluation(rows, classes, self.group_kind, self.class_text)

    def label_marks(self, path: Path, owner: str) -> LabelMarks:
        """Open a person's marks on wrong labels, kept in a file of their own."""
        from pipelines.core.classification.marks import LabelMarks

        return LabelMarks(path, owner)

    def thumbnails(self, record: DatasetRecord, item_ids: Sequence[str]) -> list[bytes]:
        """Return a small square JPEG of each item."""
        from pipelines.core.classification.thumbnails import thumbnails

        return thumbnails(self.index_of(record), item_ids)

    def labels_of(self, record: DatasetRecord, item_ids: Iterable[str]) -> dict[str, str]:
        """Return the name of the class of each labelled item that is in the data set."""
        index = self.index_of(record)
        tags = {i: index.labels.tags[index.places[i]] for i in item_ids if i in index.places}
        names = index.labels.classes
        return {i: names[tag.label] for i, tag in tags.items() if tag.label != UNKNOWN}

    def explain(
        self, record: DatasetRecord, item_id: str, prediction: Prediction
    ) -> Sequence[View]:
        """Show the probabilities of an item and where the model looked."""
        from pipelines.core.classification.panels import explain

        sample = self.open_dataset(record, [item_id])[0]
        classes = self.class_names(record)
        return explain(np.asarray(sample.image), prediction, classes, name_of=self.class_text)

    def explain_pixels(self, pixels: Array, prediction: Prediction) -> Sequence[View]:
        """Show the probabilities of a picture that is in no data set, as `explain` does."""
        from pipelines.core.classification.panels import explain

        return explain(pixels, prediction, (), name_of=self.class_text)

    def doubt(self, name: str, pixels: Array) -> Text | None:
        """Say why an answer on a picture means nothing: it is tiny, or of one single colour."""
        wrong = what_is_wrong(pixels, pixels.shape)
        return Text(wrong, file=name) if wrong else None

    def jpeg(self, pixels: Array) -> bytes:
        """Pack `(H, W, 3)` uint8 pixels as a small square JPEG."""
        from pipelines.core.classification.thumbnails import SIDE_PX, jpeg

        return jpeg(fit_square(pixels, SIDE_PX))

    def atlas(self, record: DatasetRecord, predictions: Mapping[str, Prediction]) -> Atlas | None:
        """Gather what a map of predicted pictures shows; None for too few of them."""
        from pipelines.core.classification.atlas import make_atlas

        found = make_atlas(self.index_of(record), predictions, self.class_names(record))
        return found and dataclasses.replace(found, name_of=self.class_text)

    def embed_by_backbone(
        self, record: DatasetRecord, item_ids: Sequence[str], name: str
    ) -> tuple[Array, bool]:
        """Return `(N, D)` features of a timm model, and whether its pretrained weights were had."""
        from pipelines.core.classification.prediction import embed_by_backbone

        return embed_by_backbone(self.open_dataset(record, item_ids), name)

    def read_neighbours(self, shares: Mapping[str, float]) -> View:
        """Say what the nearest neighbours in a map share."""
        from pipelines.core.classification.atlas import read_aloud

        return read_aloud(shares)

    @property
    def map_controls(self) -> type[Any]:
        """Options of the map."""
        from pipelines.core.classification.atlas import MapControls

        return MapControls

    def model_facts(self) -> ModelFacts:
        """Say what models are for, the licence of the data, and the limits."""
        from pipelines.core.classification import evidence

        return evidence.model_facts(self)

    def network_for_export(
        self, checkpoint: Path, samples: Sequence[Sample]
    ) -> ExportableNetwork | None:
        """Return the network with real pictures; None for measured features."""
        from pipelines.core.classification import evidence

        return evidence.network_for_export(self, checkpoint, samples)

    def report_sections(self, context: ReportContext) -> Sequence[ReportSection]:
        """Add curves, calibration, the matrix and the worst errors to a report."""
        from pipelines.core.classification import evidence

        return evidence.report_sections(self, context)

    def panels(self) -> Sequence[Panel]:
        """List what the steps of the page offer."""
        from pipelines.core.classification.panels import make_panels

        return make_panels(self)

    def lessons(self) -> Sequence[Lesson]:
        """List what can be learned on its pages."""
        from pipelines.core.classification.lessons import LESSONS

        return LESSONS

    def estimate_seconds(self, config: ClassificationConfig, device: str) -> float:
        """Estimate the duration of a training from the pictures that it goes through."""
        from pipelines.core.classification.work import estimate_seconds

        return estimate_seconds(config, device)

    def estimate_for(
        self, record: DatasetRecord, config: ClassificationConfig, device: str
    ) -> float:
        """Estimate the duration from the number of labelled pictures that train."""
        from pipelines.core.classification.work import estimate_seconds

        count = sum(item.has_truth for item in record.items)
        return estimate_seconds(config, device, count)

    def commands(self) -> Sequence[Command]:
        """Add `cluster`."""
        from pipelines.core.classification.extra_commands import make_commands

        return make_commands(self)


class SampleList(Sequence[Sample]):
    """Make samples when they are asked for, so that a list of 220,025 costs nothing."""

    def __init__(self, index: Index, names: Sequence[str]) -> None:
        self._index, self._names = index, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, place: Any) -> Any:  # int to Sample, slice to list, as a sequence does
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        name = self._names[place]
        number = self._index.places[name]
        tag = self._index.labels.tags[number]
        return Sample(
            item_id=name,
            group=tag.group or name,
            image=LazyPicture(self._index.reader, self._index.source.entries[number]),
            truth=None if tag.label == UNKNOWN else tag.label,
            meta={"file": name, "classes": self._index.labels.classes},
        )


def leak_report(index: Index, parts: Mapping[Part, Sequence[str]]) -> leakage.LeakReport:
    """Look for what stands in two parts of a split, near copies as far as they are known yet."""
    part_of = {name: part for part, names in parts.items() for name in names}
    entries = index.source.entries
    placed = leakage.Placed(
        entries,
        [part_of.get(e.name, "") for e in entries],
        [tag.group for tag in index.labels.tags],
        index.labels.has_groups,
        index.labels.layout != "folders",
    )
    return leakage.find_leaks(placed, index.copies, index.near.result())


def _kept(options: Mapping[str, str]) -> dict[str, str]:
    """Leave out what the inspection itself wrote into the options."""
    return {n: v for n, v in options.items() if n not in ("classes", "layout")}
