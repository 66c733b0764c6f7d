"""What a task is: the one interface that pages, command line, jobs and tests know.

The way of the data: a `DatasetRecord` says which files belong together; a `SplitManifest` says
which items train, validate and test; a task opens them as `Sample`s, trains a checkpoint, predicts
one `Prediction` an item, and keeps `ItemStatistics` of it, from which `reduce` computes every
figure at an `OperatingPoint`. Because figures come from rows that carry `item_id` and `group`,
intervals, paired tests, curves and pooled scores need no knowledge of the task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.commands import Command
from pipelines.text import Text
from pipelines.views import Pane, View

Array = NDArray[Any]
Part = Literal["train", "validation", "test"]
Step = Literal["data", "train", "predict", "evaluate", "explore"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
STEPS: tuple[Step, ...] = ("data", "train", "predict", "evaluate", "explore")
StopWish = Literal["pause", "stop"]
PairedTest = Literal["delong", "mcnemar", "resampling"]
GroupKind = Literal["group", "subject"]
ThresholdSource = Literal["default", "validation", "out_of_fold", "scored", "user"]
HONEST_FIRST = ("unseen", "test", "validation", "out_of_fold", "train")
"""Scored parts, those that the model has seen least first."""


# --- data -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceFile:
    """Name one file of a data set.

    Attributes:
        path: Relative to the record's root, with forward slashes; a member of an archive is
            written `archive.zip!member`.
        role: What the task uses it for ("image", "label", ...).
        num_bytes: Size on disk.
        sha256: Fingerprint of the content, hexadecimal.
    """

    path: str
    role: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Item:
    """Name one thing that is predicted and scored: a section, a tomogram, a patch.

    Attributes:
        item_id: Unique within the data set.
        group: What must not be split (a specimen, a subject, a tomogram); items are resampled
            together with their group.
        has_truth: Whether there is a label to score against.
    """

    item_id: str
    group: str
    has_truth: bool


@dataclass(frozen=True)
class Problem:
    """Say what is wrong with a file, and whether the data set can be used all the same.

    Attributes:
        severity: "error" makes the data set unusable, "warning" leaves a file out or asks for
            attention.
        text: The sentence, with what to do.
        path: The file that it is about, or "".
    """

    severity: Literal["error", "warning"]
    text: Text
    path: str = ""


@dataclass(frozen=True)
class Inspection:
    """Report what stands at a path before it becomes a data set.

    Attributes:
        title: Proposed name of the data set.
        root: Folder that the files lie below.
        files: What was found and is used.
        items: The items that can be opened.
        options: How the files are read (polarity, spacing, ...): what was detected, or what the
            user chose instead.
        facts: The report: what was measured, with its value (number, `Text`, or string).
        problems: What is wrong with which file.
    """

    title: str
    root: Path
    files: tuple[SourceFile, ...]
    items: tuple[Item, ...]
    options: Mapping[str, str]
    facts: tuple[tuple[Text, Any], ...]
    problems: tuple[Problem, ...]

    @property
    def is_usable(self) -> bool:
        """Whether nothing forbids its use."""
        return bool(self.items) and all(p.severity != "error" for p in self.problems)


@dataclass(frozen=True)
class DatasetRecord:
    """Record a data set: where it lies, what it holds, whose it is.

    Attributes:
        dataset_id: Unique name on this machine, `<slug>-<fingerprint start>`.
        task_id: Task that reads it.
        title: Name that people see.
        root: Folder that the files lie below.
        files: Files with their fingerprints.
        items: Items with their groups.
        options: How the files are read.
        owner: Who registered it.
        created: Time of registration, ISO 8601 in UTC.
        is_generated: Whether it was made by code of the product (and must be called so).
    """

    dataset_id: str
    task_id: str
    title: str
    root: Path
    files: tuple[SourceFile, ...]
    items: tuple[Item, ...]
    options: Mapping[str, str]
    owner: str
    created: str
    is_generated: bool = False

    def item(self, item_id: str) -> Item:
        """Return the item of that name."""
        return next(i for i in self.items if i.item_id == item_id)


@dataclass(frozen=True)
class SplitManifest:
    """Record which items train, validate and test.

    Attributes:
        split_id: Fingerprint of the content.
        dataset_id: Data set that it divides.
        method: How it was made, with its parameters ("blocks", "groups", "given", ...).
        seed: Seed of the random part of the method.
        parts: Part to its item ids; no item stands in two parts.
    """

    split_id: str
    dataset_id: str
    method: str
    seed: int
    parts: Mapping[Part, tuple[str, ...]]


@dataclass(frozen=True)
class Sample:
    """Hold one opened item.

    Attributes:
        item_id: Item that it is.
        group: Group of the item.
        image: Array, or an object read like one piece by piece; its axes, type and value range
            are the task's and stand in the task's README.
        truth: Truth in the form that `Task.statistics` takes, or None.
        meta: What else the task needs (pixel size, file, ...).
    """

    item_id: str
    group: str
    image: Any  # numpy array, or array-like of a file that is read lazily
    truth: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)


Truth = Any  # a task's own form of the truth: a mask, a class index, a table of points


@dataclass(frozen=True)
class Prediction:
    """Hold what a model says of one item.

    Attributes:
        item_id: Item that it is about.
        group: Group of the item.
        values: Name to array; names, shapes and ranges stand in the task's README.
    """

    item_id: str
    group: str
    values: Mapping[str, Array]


# --- scores ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class MetricInfo:
    """Describe a metric; its words stand under `<texts>.<name>` and `<texts>.<name>.help`.

    Attributes:
        name: Key in the result of `Task.reduce`.
        higher_is_better: Direction.
        low: Worst or lowest possible value.
        high: Highest possible value.
        is_main: Whether it is the one that is shown first.
        texts: Prefix of its message ids.
        test: How two models are compared on independent items: "delong" for the area under the ROC
            curve of `Task.ranking`, "mcnemar" for a share of items that are right (its figure of a
            single item is 0 or 1), "resampling" for anything else.
    """

    name: str
    higher_is_better: bool
    low: float
    high: float
    is_main: bool = False
    texts: str = "metrics"
    test: PairedTest = "resampling"

    @property
    def label(self) -> Text:
        """Name of the metric."""
        return Text(f"{self.texts}.{self.name}")

    @property
    def help(self) -> Text:
        """One sentence on what it measures."""
        return Text(f"{self.texts}.{self.name}.help")


@dataclass(frozen=True)
class OperatingPoint:
    """Hold the thresholds at which figures are read, and who chose them.

    Attributes:
        thresholds: Name (usually "threshold"; one a class where there are several) to value.
        source: "default" of the task, tuned on "validation" items, on the "out_of_fold"
            predictions of a study, best on the "scored" items themselves (an optimistic figure), or
            moved by the "user".
    """

    thresholds: Mapping[str, float]
    source: ThresholdSource = "default"

    @property
    def threshold(self) -> float:
        """The only threshold, or the first."""
        return next(iter(self.thresholds.values()))


@dataclass(frozen=True)
class ItemStatistics:
    """Keep what metrics need, a row per item (and per threshold, or per candidate).

    Attributes:
        columns: Name to an array of `R` entries. "item_id" and "group" (str) are always there;
            the others are the task's.
    """

    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.columns["item_id"])

    def item_ids(self) -> tuple[str, ...]:
        """List the items in the order of their first row."""
        return tuple(dict.fromkeys(self.columns["item_id"].tolist()))

    def take(self, rows: Array) -> ItemStatistics:
        """Keep the rows that a boolean or integer index array names, repeats included."""
        return ItemStatistics({name: column[rows] for name, column in self.columns.items()})

    def of_items(self, item_ids: Iterable[str]) -> ItemStatistics:
        """Keep the rows of these items."""
        return self.take(np.isin(self.columns["item_id"], list(item_ids)))

    @staticmethod
    def concatenate(parts: Sequence[ItemStatistics]) -> ItemStatistics:
        """Put the rows of several items under one another."""
        names = parts[0].columns
        return ItemStatistics({n: np.concatenate([p.columns[n] for p in parts]) for n in names})

    def save(self, path: Path) -> None:
        """Write the columns as a compressed `.npz` without pickled objects."""
        columns: dict[str, Any] = {n: np.asarray(c) for n, c in self.columns.items()}
        np.savez_compressed(path, **columns)

    @staticmethod
    def load(path: Path) -> ItemStatistics:
        """Read what `save` wrote; pickled objects are refused."""
        # opened here, because NumPy leaves a file open that turns out to be no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as columns:
            return ItemStatistics({name: columns[name] for name in columns.files})


@dataclass(frozen=True)
class ItemSums:
    """Hold additive parts of figures, so that thousands of resamplings are a matrix product.

    Attributes:
        item_ids: `(N,)` str, an item a row.
        groups: `(N,)` str.
        table: `(N, K)` float64 parts that are summed over items.
        figures: From `(..., K)` sums to figures of shape `(...)`, as `Task.reduce` names them; what
            is 0/0 is decided as there.
    """

    item_ids: Array
    groups: Array
    table: Array
    figures: Callable[[Array], Mapping[str, Array]]


@dataclass(frozen=True)
class Ranking:
    """Hold what the area under the ROC curve ranks.

    Attributes:
        item_ids: `(N,)` str, an item a row.
        groups: `(N,)` str.
        is_positive: `(N, A)` bool; the figure is the mean over the `A` areas that are defined.
        scores: `(N, A)` float, higher for positives.
    """

    item_ids: Array
    groups: Array
    is_positive: Array
    scores: Array


# --- work -----------------------------------------------------------------------------------


class RunReporter(Protocol):
    """Take what a long piece of work reports, and tell it when to stop."""

    @property
    def folder(self) -> Path:
        """Folder of the run; the work may write below it."""

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Report how far the work is, in units of its own."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Append one point of the live curves; `step` and `seconds` are among the values."""

    def picture(self, name: str, pixels: Array, caption: Text) -> None:
        """Keep one picture of a series, `(H, W)` or `(H, W, 3)` uint8, for live view and replay."""

    def note(self, text: Text) -> None:
        """Tell the person something that does not stop the work."""

    def stop_wish(self) -> StopWish | None:
        """Tell whether somebody asked to pause or stop; cheap enough for every step."""


@dataclass(frozen=True)
class TrainingData:
    """Hold the samples that a training may see.

    Attributes:
        train: Samples that the weights are fitted to.
        validation: Samples for curves and for the choice of threshold; may be empty.
    """

    train: Sequence[Sample]
    validation: Sequence[Sample]


@dataclass(frozen=True)
class PanelContext:
    """Hold what a panel may look at.

    Attributes:
        record: The chosen data set, or None.
        samples: Its items, opened when they are indexed, or an empty list.
        index: Item that the page's slider stands on.
        config: The task's configuration as the form has it.
        predictions: Predictions by item id, opened when they are asked for.
        operating_point: Thresholds that the page's sliders stand on.
        statistics: Rows of the chosen prediction, or None.
        scratch: Folder of this data set for files that a panel makes and that may vanish.
        checkpoint: Folder of the chosen model, or None.
    """

    record: DatasetRecord | None
    samples: Sequence[Sample]
    index: int
    config: Any
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    operating_point: OperatingPoint | None = None
    statistics: ItemStatistics | None = None
    scratch: Path | None = None
    checkpoint: Path | None = None

    @property
    def sample(self) -> Sample:
        """The item that the page's slider stands on."""
        return self.samples[self.index]

    @property
    def prediction(self) -> Prediction | None:
        """What the chosen model says of that item, or None."""
        return self.predictions.get(self.sample.item_id)


@dataclass(frozen=True)
class Panel:
    """Offer one thing to look at or play with on a step of the task's page.

    Attributes:
        panel_id: Unique within the task; its words stand under `<texts>.<panel_id>`.
        step: Step that it stands on.
        compute: From the context and the panel's own controls to views; must not import torch.
        texts: Prefix of its message ids.
        controls: Config dataclass of settings that only change the view, or None.
        config_groups: Groups of the task's configuration that are edited beside this panel.
        is_per_item: Whether it shows one item, so that the page gives it an item slider.
        needs: What it shows nothing without: "dataset", "truth", "prediction". The page calls it
            all the same where an item has none of it; it then says what is missing.
        is_on_demand: Whether it works for seconds, so that the page offers a button first.
        stepping: How a panel of single items steps to the next: by a "slider" of the page, in the
            "picture" itself (its first view is an `ImageView` with `section`), or in the picture
            with items computed "ahead", where one takes milliseconds.
    """

    panel_id: str
    step: Step
    compute: Callable[[PanelContext, Any], Sequence[View]]
    texts: str
    controls: type[Any] | None = None
    config_groups: tuple[str, ...] = ()
    is_per_item: bool = True
    needs: tuple[Literal["dataset", "truth", "prediction"], ...] = ("dataset",)
    is_on_demand: bool = False
    stepping: Literal["slider", "picture", "ahead"] = "slider"

    @property
    def title(self) -> Text:
        """Name of the panel."""
        return Text(f"{self.texts}.{self.panel_id}")

    @property
    def help(self) -> Text:
        """One sentence on what can be seen here."""
        return Text(f"{self.texts}.{self.panel_id}.help")

    @property
    def verb(self) -> Text:
        """What the button of a panel on demand does, as a command."""
        return Text(f"{self.texts}.{self.panel_id}.verb")


@dataclass(frozen=True)
class Lesson:
    """Teach one idea on a task's own pages: each step says what to do there and what to see.

    Its words stand under `<texts>.<lesson_id>`: title, `.summary`, and for step 1 and on `.1`
    (what to do) and `.1.see` (what there is to see, unfolded on request).

    Attributes:
        lesson_id: Unique within the task.
        texts: Prefix of its message ids.
        steps: Where each step leads: parameters of the address of the task's page ("step",
            "panel", ...).
    """

    lesson_id: str
    texts: str
    steps: tuple[Mapping[str, str], ...]

    @property
    def title(self) -> Text:
        """The idea, as a short sentence."""
        return Text(f"{self.texts}.{self.lesson_id}")

    @property
    def summary(self) -> Text:
        """Why it matters, in a sentence or two."""
        return Text(f"{self.texts}.{self.lesson_id}.summary")

    def doing(self, step: int) -> Text:
        """What to do in a step, counted from 1."""
        return Text(f"{self.texts}.{self.lesson_id}.{step}")

    def seeing(self, step: int) -> Text:
        """What there is to see then."""
        return Text(f"{self.texts}.{self.lesson_id}.{step}.see")


# --- evidence -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportableNetwork:
    """Hold a network as it can be handed to another program, with real inputs to check it on.

    Attributes:
        module: `torch.nn.Module` in evaluation mode on the CPU, one tensor in, one tensor out.
        inputs: `(N, ...)` float32, real items brought to the form that the network takes.
        axes: Name of each axis of the input; those that may have another length are in `free`.
        free: Axes whose length may differ from that of `inputs`.
        note: What is done before and after the network, in a sentence or two.
    """

    module: Any  # torch is not imported to describe a task
    inputs: Array
    axes: tuple[str, ...]
    free: tuple[str, ...]
    note: Text


@dataclass(frozen=True)
class ModelFacts:
    """Say for people what models of a task are for, and where they end.

    Attributes:
        purpose: What the model is for, and what not.
        licence: Terms of the data that it is usually trained on.
        limits: What its figures do not show, one sentence each.
    """

    purpose: Text
    licence: Text
    limits: tuple[Text, ...]


@dataclass(frozen=True)
class ReportContext:
    """Hold what a task may tell of in the report of a run.

    Attributes:
        record: Data set of the run.
        samples: Items that were predicted, opened when they are indexed.
        config: Configuration of the run.
        architecture: What the card says of the network.
        predictions: Predictions by item id, opened when they are asked for.
        statistics: Rows of the scored items, or None.
        operating_point: Thresholds at which the figures are read, or None.
        parts: Part to the ids of its scored items.
        intervals: Part to metric to the bounds of its 95 % interval.
    """

    record: DatasetRecord
    samples: Sequence[Sample]
    config: Any
    architecture: Mapping[str, Any]
    predictions: Mapping[str, Prediction]
    statistics: ItemStatistics | None
    operating_point: OperatingPoint | None
    parts: Mapping[str, tuple[str, ...]]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)

    @property
    def honest_part(self) -> str | None:
        """The scored part that was seen least: new items, else test, validation, training."""
        return next((part for part in HONEST_FIRST if part in self.parts), None)


@dataclass(frozen=True)
class ReportSection:
    """Add to one chapter of a report.

    Attributes:
        chapter: Chapter that it belongs to.
        blocks: Paragraphs and pictures in their order.
        title: Heading below the chapter's, or None.
    """

    chapter: Literal["data", "method", "results", "limits"]
    blocks: tuple[Text | View, ...]
    title: Text | None = None


class Task(ABC):
    """Serve one kind of images, from the files that its users have to a scored prediction.

    A subclass is one folder below `pipelines/tasks`; `TASK` in its `__init__.py` is the instance
    and the folder's name its id. Heavy modules are imported inside the methods only. How to write
    one, step by step: `docs/adding_a_task.md`.

    Attributes:
        id: Name of the folder.
        texts: Prefix of its message ids: `<texts>.title`, `<texts>.summary`, `<texts>.accepts` and
            `<texts>_items.count`.
        icon: Name of a Material symbol.
        config_type: Frozen dataclass of the options. Named as everywhere, `device`, `time_limit_s`
            and `seed` work with `--device`, `--time-limit`, the page's estimate and studies.
        metrics: What `reduce` returns; exactly one has `is_main`.
        presets: Name ("quick", "standard", "best") to the options that it changes.
        data_options: Config dataclass of how files are read (polarity, spacing), edited on the
            data step; keys match `Inspection.options`.
        group_kind: What a group of items is, where the task knows it of all its data.
    """

    id: ClassVar[str]
    texts: ClassVar[str]
    icon: ClassVar[str]
    config_type: ClassVar[type[Any]]
    data_options: ClassVar[type[Any]]
    metrics: ClassVar[tuple[MetricInfo, ...]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    group_kind: ClassVar[GroupKind] = "group"

    @property
    def title(self) -> Text:
        """Name of the task."""
        return Text(f"{self.texts}.title")

    @property
    def summary(self) -> Text:
        """One or two sentences on what it does and for whom."""
        return Text(f"{self.texts}.summary")

    @property
    def accepts(self) -> Text:
        """What files it reads, in a sentence, where data are added."""
        return Text(f"{self.texts}.accepts")

    def items_text(self, count: int) -> Text:
        """Say how many items, in the word that the field has for them ("190 cells")."""
        return Text(f"{self.texts}_items.count", n=count)

    def preset_label(self, name: str) -> Text:
        """Name a preset."""
        return Text(f"{self.config_type.texts}.preset.{name}")

    def preset_help(self, name: str) -> Text:
        """Say what a preset does, and what it costs."""
        return Text(f"{self.config_type.texts}.preset.{name}.help")

    @property
    def main_metric(self) -> MetricInfo:
        """The metric that is shown first."""
        return next(m for m in self.metrics if m.is_main)

    # data

    @abstractmethod
    def inspect(self, source: Path, options: Mapping[str, str]) -> Inspection:
        """Report what stands at a path: a file, a folder or an archive.

        Args:
            source: Existing path; whether it may be read was decided by the caller.
            options: Choices of the user that replace what is detected; may be empty.

        Raises:
            DataError: Nothing there can be read by this task.
        """

    @abstractmethod
    def write_builtin_sample(self, folder: Path) -> None:
        """Write the built-in generated sample in a layout that `inspect` reads."""

    @abstractmethod
    def fake_samples(self, count: int, seed: int) -> list[Sample]:
        """Generate small labelled samples by code; the same seed gives the same samples."""

    @abstractmethod
    def open_dataset(
        self, record: DatasetRecord, item_ids: Sequence[str] | None = None
    ) -> Sequence[Sample]:
        """Open items (all of them for None); each is read when it is indexed."""

    def default_items(self, record: DatasetRecord) -> Sequence[str]:
        """List the items that a prediction is of when nobody names any: all of them."""
        return [item.item_id for item in record.items]

    @abstractmethod
    def split(self, record: DatasetRecord, config: Any) -> SplitManifest:
        """Divide the labelled items into training and validation parts, groups kept together."""

    def folds(
        self, record: DatasetRecord, config: Any, count: int, *, by_group: bool = True
    ) -> Sequence[SplitManifest] | None:
        """Divide the labelled items so that each validates once; None leaves it to the product.

        Args:
            record: Data set.
            config: Options that a split looks at.
            count: Number of folds; 0 for one a group.
            by_group: False draws items at random, whatever belongs together, to show what such a
                leak does to the score.
        """
        return None

    # work

    @abstractmethod
    def train(self, data: TrainingData, config: Any, run: RunReporter) -> Path:
        """Train and return the checkpoint folder, which is `run.folder / "checkpoint"`.

        It goes on from where it was when the run folder holds a state, and ends with a checkpoint
        as well when `run.stop_wish` asks for it; see `core.training.fit`.
        """

    @abstractmethod
    def predict(
        self, checkpoint: Path, samples: Sequence[Sample], config: Any, run: RunReporter
    ) -> Iterator[Prediction]:
        """Predict items one by one, in the order given, memory bounded."""

    def cross_fitted_items(self, checkpoint: Path) -> Sequence[str]:
        """List training items that a part of the checkpoint was trained without: none."""
        return ()

    def predict_cross_fitted(
        self, checkpoint: Path, samples: Sequence[Sample], config: Any, run: RunReporter
    ) -> Iterator[Prediction]:
        """Predict `cross_fitted_items` with the parts that did not see them."""
        return self.predict(checkpoint, samples, config, run)

    @abstractmethod
    def write_predictions(
        self, predictions: Iterable[Prediction], record: DatasetRecord, folder: Path
    ) -> Iterator[Prediction]:
        """Write predictions in the formats that the field uses, passing each one on."""

    @abstractmethod
    def open_predictions(self, folder: Path) -> Mapping[str, Prediction]:
        """Open what `write_predictions` wrote; each item is read when it is asked for."""

    # scores

    def open_truth(self, source: Path, item_ids: Sequence[str]) -> Mapping[str, Truth]:
        """Open reference labels at a path for items of a prediction, matched by name or order.

        By default the path is one of a data set with labels; a task whose labels are read alone (a
        stack, a table) says so itself.

        Args:
            source: Existing path of labels alone, or of a data set with labels.
            item_ids: Items of the prediction, in its order.

        Raises:
            DataError: They cannot be read, or do not fit those items.
        """
        found = self.inspect(source, {})
        labelled = [item.item_id for item in found.items if item.has_truth]
        record = DatasetRecord(
            dataset_id="", task_id=self.id, title=found.title, root=found.root, files=found.files,
            items=found.items, options=found.options, owner="", created="",
        )  # fmt: skip
        samples = self.open_dataset(record, labelled)
        if len(labelled) == len(item_ids) and not set(labelled) & set(item_ids):
            return {i: samples[index].truth for index, i in enumerate(item_ids)}
        places = {item_id: index for index, item_id in enumerate(labelled)}
        return {i: samples[places[i]].truth for i in item_ids if i in places}

    @abstractmethod
    def statistics(self, prediction: Prediction, truth: Truth) -> ItemStatistics:
        """Keep what the metrics need of one item, at every threshold that may be asked for."""

    @abstractmethod
    def reduce(self, rows: ItemStatistics, operating_point: OperatingPoint) -> dict[str, float]:
        """Compute every metric from rows of any items, repeats included."""

    def item_sums(self, rows: ItemStatistics, operating_point: OperatingPoint) -> ItemSums | None:
        """Return the additive parts of the figures at a point; None leaves resampling to `reduce`.

        Figures that are no function of sums (areas under curves) may be missing from it.
        """
        return None

    def place_sums(self, rows: ItemStatistics, operating_point: OperatingPoint) -> ItemSums | None:
        """Return the additive parts by place within the items, the same places for every model.

        They stand in for items where these are too few to be resampled: one tomogram, one section.
        """
        return None

    def ranking(self, rows: ItemStatistics) -> Ranking | None:
        """Return what the metric whose test is "delong" ranks, or None without such a metric."""
        return None

    def truths(self, rows: ItemStatistics) -> Mapping[str, tuple[float, ...]] | None:
        """Return numbers of each item that follow from its truth alone, or None where rows lack it.

        Two runs with other numbers for an item were scored against other labels.
        """
        return None

    def average_rows(self, rows: Sequence[ItemStatistics]) -> ItemStatistics | None:
        """Average several models' predictions of the same items, where their rows hold them.

        Args:
            rows: Of each model, items in the same order.

        Returns:
            None where the predictions themselves are needed; see `average`.
        """
        return None

    def average(self, predictions: Sequence[Prediction]) -> Prediction | None:
        """Average several models' predictions of one item, or None where that has no meaning.

        By default arrays of numbers that all models give in one shape are averaged; anything else
        has to be said by the task.
        """
        first = predictions[0]
        values: dict[str, Array] = {}
        for name in first.values:
            arrays = [np.asarray(p.values.get(name)) for p in predictions]
            is_number = all(np.issubdtype(a.dtype, np.floating) for a in arrays)
            if not is_number or len({a.shape for a in arrays}) > 1:
                continue
            values[name] = np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype)
        return Prediction(first.item_id, first.group, values) if values else None

    def section_to_show(self, sample: Sample) -> tuple[int, int] | None:
        """Return which section of a volume tells most, and how many there are; None if flat."""
        return None

    def shown(
        self,
        sample: Sample,
        prediction: Prediction,
        operating_point: OperatingPoint,
        name: Text,
        section: int | None = None,
    ) -> Pane | None:
        """Show one item with what a model says of it, to stand beside other models' panes.

        All panes of one sample have the same height and width. None where the task has no picture.

        Args:
            sample: The item, with its truth where there is one.
            prediction: What the model says of it.
            operating_point: Thresholds at which the model is read.
            name: Title of the pane: the model's name.
            section: Section of a volume, from 0; None takes that of `section_to_show`.
        """
        return None

    @abstractmethod
    def thresholds(self, rows: ItemStatistics) -> Mapping[str, Array]:
        """List the threshold values that `reduce` can be asked for, per threshold name."""

    @abstractmethod
    def panels(self) -> Sequence[Panel]:
        """List what the steps of the page offer beside the standard parts."""

    def lessons(self) -> Sequence[Lesson]:
        """List what can be learned on the task's own pages: nothing, unless a task teaches."""
        return ()

    @abstractmethod
    def estimate_seconds(self, config: Any, device: str) -> float:
        """Estimate how long a training takes on a device, for the words on the button."""

    def estimate_for(self, record: DatasetRecord, config: Any, device: str) -> float:
        """Estimate how long a training on these data takes; by the options alone unless known."""
        return self.estimate_seconds(config, device)

    def complete_predictions(
        self, predictions: Mapping[str, Prediction], truths: Mapping[str, Truth]
    ) -> Mapping[str, Prediction]:
        """Add what a prediction says by leaving an item out (nothing, unless a task knows better).

        Args:
            predictions: From `open_predictions`.
            truths: From `open_truth`; may hold more items.
        """
        return predictions

    def recorded_point(self, folder: Path) -> OperatingPoint | None:
        """Return the thresholds that a prediction was written with, where they were frozen.

        None lets an evaluation take the best thresholds on the scored items themselves.
        """
        return None

    # evidence

    def model_facts(self) -> ModelFacts:
        """Say what models are for, the licence of the data, and the limits; general by default."""
        return ModelFacts(
            Text("evidence.purpose"), Text("evidence.licence"), (Text("evidence.limit_data"),)
        )

    def network_for_export(
        self, checkpoint: Path, samples: Sequence[Sample]
    ) -> ExportableNetwork | None:
        """Return the network of a checkpoint with real inputs; None where there is none to export.

        Without it an evidence pack holds no ONNX file, and says so.
        """
        return None

    def report_sections(self, context: ReportContext) -> Sequence[ReportSection]:
        """Add to the report of a run what only the task knows: pictures, tables, its method."""
        return ()

    def pack_files(self, context: ReportContext) -> Mapping[str, bytes]:
        """Add files to the evidence pack, by name: what only this field knows (nothing here)."""
        return {}

    def path_of(self, record: DatasetRecord) -> Path | None:
        """Return what a person would type to open a data set again (None: its file or folder)."""
        return None

    def commands(self) -> Sequence[Command]:
        """List what the task adds to the command line, called `NAME TASK ...`."""
        return ()

    def point_to_keep(self, rows: ItemStatistics) -> OperatingPoint:
        """Return the point to store with a model, chosen on validation items: the best there.

        A task whose best threshold jumps between a few validation items chooses more steadily.
        """
        return self.best_operating_point(rows)

    def best_operating_point(self, rows: ItemStatistics) -> OperatingPoint:
        """Return the threshold with the best main metric on `rows` (single threshold tasks)."""
        (name, values), *_ = self.thresholds(rows).items()
        sign = 1.0 if self.main_metric.higher_is_better else -1.0
        scores = [
            sign * self.reduce(rows, OperatingPoint({name: float(v)}))[self.main_metric.name]
            for v in values
        ]
        best = int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))
        return OperatingPoint({name: float(values[best])}, source="scored")
