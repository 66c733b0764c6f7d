"""A task that "trains" one number with numpy in milliseconds, for tests of jobs and commands."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import load_file

from pipelines import registry
from pipelines.config import option, to_json
from pipelines.contract import (
    DatasetRecord,
    Inspection,
    Item,
    ItemStatistics,
    MetricInfo,
    OperatingPoint,
    Prediction,
    RunReporter,
    Sample,
    SourceFile,
    SplitManifest,
    Task,
    TrainingData,
)
from pipelines.core.checkpoints import WEIGHTS, CheckpointCard, find_checkpoint, save_checkpoint
from pipelines.datasets import given_split
from pipelines.errors import DataFormatError
from pipelines.text import Text, add_catalogue_folder

TASK_ID = "fake"
add_catalogue_folder(Path(__file__).parent / "locale")


@dataclass(frozen=True)
class Config:
    texts: ClassVar[str] = "fake_config"
    steps: int = option(5, low=1, high=100_000)
    step_ms: float = option(0.0, low=0.0, high=10_000.0, unit="ms")
    fault: str = option("none", choices=("none", "bug", "data", "memory", "disk", "exit", "deaf"))
    fault_step: int = option(2, low=0, high=100_000)
    save_every: int = option(1, low=1, high=100)
    seed: int = option(0, low=0, high=2**31)
    device: str = option("auto", choices=("auto", "cpu", "cuda"))
    time_limit_s: float = option(0.0, low=0.0, high=1e6, unit="s")


@dataclass(frozen=True)
class DataOptions:
    texts: ClassVar[str] = "fake_data"
    inverted: bool = option(default=False)


class FakeTask(Task):
    id = TASK_ID
    texts = "fake"
    icon = "science"
    config_type = Config
    data_options = DataOptions
    metrics = (MetricInfo("accuracy", True, 0.0, 1.0, is_main=True, texts="fake"),)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"steps": 3},
        "standard": {"steps": 20},
    }

    def inspect(self, source: Path, options: Mapping[str, str]) -> Inspection:
        file = source / "values.json" if source.is_dir() else source
        try:
            rows = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise DataFormatError(Text("fake.unreadable", file=file.name)) from error
        return Inspection(
            title=source.stem,
            root=file.parent,
            files=(
                SourceFile(
                    file.name, "image", file.stat().st_size, sha256(file.read_bytes()).hexdigest()
                ),
            ),
            items=tuple(Item(r["id"], r["group"], r["truth"] is not None) for r in rows),
            options=dict(options),
            facts=(),
            problems=(),
        )

    def write_builtin_sample(self, folder: Path) -> None:
        write_values(folder / "values.json")

    def fake_samples(self, count: int, seed: int) -> list[Sample]:
        return [_sample(row) for row in make_rows(count, seed)]

    def open_dataset(
        self, record: DatasetRecord, item_ids: Sequence[str] | None = None
    ) -> Sequence[Sample]:
        rows = {r["id"]: r for r in json.loads((record.root / record.files[0].path).read_text())}
        return [_sample(rows[i]) for i in (rows if item_ids is None else item_ids)]

    def split(self, record: DatasetRecord, config: Any) -> SplitManifest:
        ids = [i.item_id for i in record.items if i.has_truth]
        return given_split(record, {"train": ids[:-2], "validation": ids[-2:]})

    def train(self, data: TrainingData, config: Config, run: RunReporter) -> Path:
        state = run.folder / "training_state.json"
        step = json.loads(state.read_text())["step"] if state.exists() else 0
        while step < config.steps:
            step += 1
            time.sleep(config.step_ms / 1000)
            if step == config.fault_step:
                _misbehave(config.fault, run)
            run.metrics({"step": step, "loss": 1 / step})
            run.progress(step, config.steps, Text("fake.training"), None)
            wish = run.stop_wish() if config.fault != "deaf" else None
            if step % config.save_every == 0 or wish:
                state.write_text(json.dumps({"step": step}))
                _save(run.folder / "checkpoint", step, config)
            if wish:
                break
        run.picture("validation", np.full((4, 4), step, np.uint8), Text("fake.picture", step=step))
        return _save(run.folder / "checkpoint", step, config)

    def predict(
        self, checkpoint: Path, samples: Sequence[Sample], config: Config, run: RunReporter
    ) -> Iterator[Prediction]:
        weight = float(load_file(find_checkpoint(checkpoint) / WEIGHTS)["weight"][0])
        for sample in samples:
            time.sleep(config.step_ms / 1000)
            probability = 1 / (1 + np.exp(-weight * (sample.image - 0.5)))
            yield Prediction(sample.item_id, sample.group, {"probability": probability})

    def write_predictions(
        self, predictions: Iterable[Prediction], record: DatasetRecord, folder: Path
    ) -> Iterator[Prediction]:
        written = []
        for prediction in predictions:
            values = prediction.values["probability"].tolist()
            written.append({"id": prediction.item_id, "group": prediction.group, "p": values})
            yield prediction
        (folder / "prediction.json").write_text(json.dumps(written))

    def open_predictions(self, folder: Path) -> Mapping[str, Prediction]:
        rows = json.loads((folder / "prediction.json").read_text())
        return {
            r["id"]: Prediction(r["id"], r["group"], {"probability": np.array(r["p"])})
            for r in rows
        }

    def statistics(self, prediction: Prediction, truth: Any) -> ItemStatistics:
        thresholds = np.array([0.25, 0.5, 0.75])
        hits = [int(((prediction.values["probability"] > t) == truth).sum()) for t in thresholds]
        return ItemStatistics(
            {
                "item_id": np.array([prediction.item_id] * 3),
                "group": np.array([prediction.group] * 3),
                "threshold": thresholds,
                "hits": np.array(hits),
                "n": np.array([len(truth)] * 3),
            }
        )

    def reduce(self, rows: ItemStatistics, operating_point: OperatingPoint) -> dict[str, float]:
        at = rows.take(rows.columns["threshold"] == operating_point.threshold)
        return {"accuracy": float(at.columns["hits"].sum() / at.columns["n"].sum())}

    def thresholds(self, rows: ItemStatistics) -> Mapping[str, Any]:
        return {"threshold": np.unique(rows.columns["threshold"])}

    def panels(self) -> tuple[()]:
        return ()

    def estimate_seconds(self, config: Config, device: str) -> float:
        return config.steps * config.step_ms / 1000


def make_rows(count: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    values = rng.random((count, 8))
    return [
        {"id": f"i{n}", "group": f"g{n // 2}", "x": x.tolist(), "truth": (x > 0.5).tolist()}
        for n, x in enumerate(values)
    ]


def write_values(file: Path, count: int = 6, seed: int = 0, *, with_truth: bool = True) -> Path:
    rows = make_rows(count, seed)
    if not with_truth:
        rows = [{**row, "truth": None} for row in rows]
    file.write_text(json.dumps(rows))
    return file


def install(patch: Any) -> None:
    """Make the fake the only task; `patch(object, name, value)` as `monkeypatch.setattr` does."""
    task = FakeTask()
    real = registry.get_task
    patch(registry, "task_ids", lambda: (TASK_ID,))
    patch(registry, "get_task", lambda name: task if name == TASK_ID else real(name))


def _sample(row: Mapping[str, Any]) -> Sample:
    truth = None if row["truth"] is None else np.array(row["truth"])
    return Sample(row["id"], row["group"], np.array(row["x"]), truth)


def _save(folder: Path, step: int, config: Config) -> Path:
    card = CheckpointCard(TASK_ID, {"name": "line"}, to_json(config), steps=step)
    return save_checkpoint(folder, {"weight": np.array([10.0 * step])}, card)


def _misbehave(fault: str, run: RunReporter) -> None:
    if fault == "bug":
        raise ZeroDivisionError("secret detail")
    if fault == "data":
        raise DataFormatError(Text("fake.unreadable", file="values.json"))
    if fault == "memory":
        raise MemoryError
    if fault == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", str(run.folder / "checkpoint"))
    if fault == "exit":
        os._exit(9)
