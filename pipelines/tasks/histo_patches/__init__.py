"""Tumour in the centre of histopathology patches (PatchCamelyon, Kaggle's challenge of 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipelines.commands import JSON, Argument, Command, Terminal, Values
from pipelines.contract import DatasetRecord, Prediction, Sample
from pipelines.core.classification import files
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.images import Source, stem_of, table_words
from pipelines.core.classification.labels import Labels, Options
from pipelines.core.classification.task import ImageClassification
from pipelines.core.files import existing_path
from pipelines.errors import DataFormatError
from pipelines.tasks.histo_patches import data, fake
from pipelines.text import Text

_CHECK = (
    Argument("--submission", Text("histo.cli.submission"), "CSV", is_required=True),
    Argument("--sample", Text("histo.cli.sample"), "CSV|ZIP|DIR", is_required=True),
    JSON,
)


@dataclass(frozen=True)
class Config(ClassificationConfig):
    """The shared options; their defaults are made for these patches."""


@dataclass(frozen=True)
class DataOptions:
    """Nothing has to be chosen: ids, labels and parts stand in the files."""

    texts: ClassVar[str] = "histo_data"


class HistoPatches(ImageClassification):
    """Tell patches with tumour in the central 32 x 32 px from those without."""

    id = "histo_patches"
    texts = "histo"
    icon = "biotech"
    config_type = Config
    data_options = DataOptions
    has_centre = True
    centre_px = 32

    def read_labels(self, source: Source, options: Options) -> Labels:
        """Read Kaggle's table of labels, or folders 0 and 1."""
        return data.read_labels(source, options)

    def label_numbers(self, values: Mapping[str, str], table: str) -> dict[str, int]:
        """Turn "0" and "1" into class indices."""
        found, problems = data.numbers_of(values, table)
        if problems:
            raise DataFormatError(problems[0].text)
        return found

    def write_predictions(
        self, predictions: Iterable[Prediction], record: DatasetRecord, folder: Path
    ) -> Iterator[Prediction]:
        """Write `submission.csv` beside the shared files, in the order of the sample submission."""
        odds: dict[str, float] = {}
        for prediction in super().write_predictions(predictions, record, folder):
            odds[stem_of(prediction.item_id)] = float(prediction.values["probabilities"][1])
            yield prediction
        if odds:
            wanted = data.sample_ids(self.index_of(record).source)
            order = wanted if wanted and all(i in odds for i in wanted) else list(odds)
            files.write_submission(folder / files.SUBMISSION, odds, order)

    def check_submission(self, record: DatasetRecord, folder: Path) -> list[Text] | None:
        """Say what is wrong with the submission of a prediction; None without one or a sample.

        Args:
            record: Data with `sample_submission.csv`.
            folder: Prediction folder.
        """
        file = folder / files.SUBMISSION
        wanted = data.sample_ids(self.index_of(record).source)
        if not wanted or not file.is_file():
            return None
        return files.check_submission(file.read_text(encoding="utf-8"), wanted, file.name)

    def commands(self) -> Sequence[Command]:
        """Add `check` to what every classification has."""
        check = Command("check", Text("histo.cli.check"), _CHECK, self._check)
        return (*super().commands(), check)

    def _check(self, values: Values, terminal: Terminal) -> int:
        """Compare a submission with the sample; the first thing that is wrong is the error."""
        mine, sample = (existing_path(values[name]) for name in ("submission", "sample"))
        wanted = data.ids_of_sample(sample, self)
        text = table_words(mine.read_bytes())
        for problem in files.check_submission(text, wanted, mine.name):
            raise DataFormatError(problem)
        terminal.say(Text("histo.submission_fits", file=mine.name, n=len(wanted)))
        terminal.result({"submission": str(mine), "ids": len(wanted)})
        return 0

    def class_names(self, record: DatasetRecord) -> tuple[str, ...]:
        """The classes are known without labels too."""
        return data.CLASSES

    def class_text(self, name: str) -> Text:
        """Name a class in words."""
        return Text(f"histo.class.{name}") if name in data.CLASSES else super().class_text(name)

    def write_builtin_sample(self, folder: Path) -> None:
        """Write generated patches in Kaggle's layout."""
        fake.write_sample(folder)

    def fake_samples(self, count: int, seed: int) -> list[Sample]:
        """Generate labelled patches."""
        pictures, labels = fake.make_patches(count, np.random.default_rng(seed))
        return [
            Sample(f"patch-{i:04d}", f"patch-{i:04d}", p, int(y), {"classes": data.CLASSES})
            for i, (p, y) in enumerate(zip(pictures, labels, strict=True))
        ]


TASK = HistoPatches()
