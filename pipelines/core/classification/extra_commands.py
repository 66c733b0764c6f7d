"""What classification tasks add to the command line: `cluster`."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines import config as configs
from pipelines.commands import JSON, Argument, Command, Terminal, Values
from pipelines.contract import Sample
from pipelines.core.classification.atlas import read_aloud
from pipelines.core.files import existing_path, write_json
from pipelines.text import Text, verbatim

if TYPE_CHECKING:
    from pipelines.core.classification.task import ImageClassification

_BACKBONE: Final = "timm:"
_CLUSTER = (
    Argument("--checkpoint", Text("classes.cli.checkpoint"), "DIR|timm:NAME", is_required=True),
    Argument("--data", Text("cli.arg.data"), "PATH", is_required=True),
    Argument("--out", Text("cli.arg.output"), "DIR", is_required=True),
    Argument("--clusters", Text("classes.cli.clusters"), "NUMBER"),
    JSON,
)


def make_commands(task: ImageClassification) -> tuple[Command, ...]:
    """Return the commands of a task."""
    return (
        Command("cluster", Text("classes.cli.cluster"), _CLUSTER,
                lambda values, terminal: _cluster(task, values, terminal)),
    )  # fmt: skip


class QuietRun:
    """Take reports of a piece of work that no run stands for; progress goes to the terminal."""

    def __init__(self, folder: Path, terminal: Terminal) -> None:
        self._folder, self._terminal = folder, terminal

    @property
    def folder(self) -> Path:
        """Folder that the work may write in."""
        return self._folder

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Show the progress."""
        self._terminal.progress(done, total, stage, seconds_left)

    def metrics(self, values: Any) -> None:
        """Keep nothing."""

    def picture(self, name: str, pixels: Any, caption: Text) -> None:
        """Keep nothing."""

    def note(self, text: Text) -> None:
        """Say a remark."""
        self._terminal.say(text)

    def stop_wish(self) -> None:
        """Nobody can wish anything here; Ctrl-C breaks off."""
        return None


def _record(task: ImageClassification, path: Path) -> Any:
    from pipelines.contract import DatasetRecord

    found = task.inspect(path, {})
    return DatasetRecord(
        dataset_id=found.title, task_id=task.id, title=found.title, root=found.root,
        files=found.files, items=found.items, options=found.options, owner="", created="",
    )  # fmt: skip


def _cluster(task: ImageClassification, values: Values, terminal: Terminal) -> int:
    """Embed the pictures by a checkpoint, cluster them, and write map and scores."""
    from pipelines.core.classification import embedding

    record = _record(task, existing_path(values["data"]))
    samples = task.open_dataset(record)
    out = Path(values["out"])
    run = QuietRun(out, terminal)
    if values["checkpoint"].startswith(_BACKBONE):
        kept, features = list(samples), _backbone_features(task, record, values, terminal)
    else:
        kept, features = _model_features(task, samples, values, run)
    labels = np.array([-1 if s.truth is None else s.truth for s in kept])
    groups = np.array([s.group for s in kept])
    number = int(values.get("clusters", max(2, len(task.class_names(record)))))
    run.progress(1, 1, Text("classes.stage.mapping"), None)
    report = embedding.analyse(features, labels, groups, num_clusters=number)
    out.mkdir(parents=True, exist_ok=True)
    _write_map(out / "embedding.csv", kept, report)
    result = _plain({"clusters": report.scores, "neighbours": report.neighbours})
    write_json(out / "clusters.json", result)
    terminal.table([(verbatim(m), verbatim(_shown(s))) for m, s in report.scores.items()])
    said = read_aloud(report.neighbours)
    for text in (said.title, *said.details):
        terminal.say(text)
    terminal.result(result)
    return 0


def _model_features(
    task: ImageClassification, samples: Sequence[Sample], values: Values, run: QuietRun
) -> tuple[list[Sample], Any]:
    """Return the readable samples and `(N, D)` features of the checkpoint."""
    from pipelines.core.checkpoints import find_checkpoint, load_card

    folder = find_checkpoint(Path(values["checkpoint"]))
    card = load_card(folder, task_id=task.id)
    known = {info.name for info in configs.describe(task.config_type)}
    stored = {n: v for n, v in card.config.items() if n in known}
    config = configs.parse(task.config_type, {**stored, "explain": False, "test_flips": False})
    kept, found = [], []
    # features know no classes, so that a model serves pictures of others too
    blind = [dataclasses.replace(sample, truth=None) for sample in samples]
    for done, prediction in enumerate(task.predict(folder, blind, config, run)):
        if "features" in prediction.values:
            kept.append(samples[done])
            found.append(prediction.values["features"])
        run.progress(done + 1, len(samples), Text("jobs.stage.predicting"), None)
    return kept, np.stack(found)


def _backbone_features(
    task: ImageClassification, record: Any, values: Values, terminal: Terminal
) -> Any:
    name = values["checkpoint"].removeprefix(_BACKBONE)
    ids = [item.item_id for item in record.items]
    features, is_pretrained = task.embed_by_backbone(record, ids, name)
    if not is_pretrained:
        terminal.say(Text("classes.backbone_not_pretrained", name=name))
    return features


def _plain(value: Any) -> Any:
    """Replace NaN by None, which strict JSON can carry."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if value != value else value


def _shown(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def _write_map(path: Path, samples: Sequence[Sample], report: Any) -> None:
    """Write a row a picture; label and group stay empty where they are not known."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "group", *report.columns])
        for sample, *places in zip(samples, *report.columns.values(), strict=True):
            label = "" if sample.truth is None else sample.meta["classes"][sample.truth]
            group = "" if sample.group == sample.item_id else sample.group
            writer.writerow([sample.item_id, label, group, *places])
