# ruff: noqa: T201 - the figures are what the run is for
"""Measure picking on the SIMULATED tomograms against a plain MONAI U-Net, same budget and machine.

    python -m tests.benchmarks.cryoet_quality --data ../shared/data/czii/simulated \
        --train TS_1,TS_2,TS_3 --score TS_4 --time-limit 600

First a fold without the last training tomogram chooses the thresholds, which are then frozen; the
scored tomogram is opened once, for prediction and score.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from pipelines import actions
from pipelines.contract import DatasetRecord, OperatingPoint, TrainingData
from pipelines.core.checkpoints import load_card, update_card
from pipelines.tasks.cryoet_picking import TASK
from pipelines.tasks.cryoet_picking.config import Config

OWN = Config(device="cpu")
# The peer of the issue: 16, 32, 64, 128 channels, spheres of half radius, Tversky + cross entropy,
# 64-voxel patches half of them on particles, flips, components with a size filter, float32.
PEER = Config(
    device="cpu",
    architecture="monai_unet",
    width=32,
    precision="full",
    ema_decay=0.0,
    learning_rate=1e-3,
    radius_share=0.5,
    tversky_beta=0.5,
    background_weight=1.0,
    batch_size=4,
    particle_share=0.5,
    hard_kind_weight=1.0,
    rotation_degrees=0.0,
    noise_std=0.0,
    contrast=0.0,
    symmetries="none",
    picking="components",
    component_threshold=0.5,
    min_component_share=0.1,
)


class Reporter:
    """Print validation scores; wish nothing."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())

    def progress(self, done: float, total: float, stage: Any, seconds_left: float | None) -> None:
        """Say nothing."""

    def metrics(self, values: Any) -> None:
        """Print scores, keep losses to itself."""
        if "f4" in values:
            print({k: round(float(v), 3) for k, v in values.items()}, flush=True)

    def picture(self, name: str, pixels: Any, caption: Any) -> None:
        """Keep nothing."""

    def note(self, text: Any) -> None:
        """Say nothing."""

    def stop_wish(self) -> None:
        """Never stop."""


def main() -> None:
    """Run the folds and print one JSON line per method."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", default="TS_1,TS_2,TS_3")
    parser.add_argument("--score", default="TS_4")
    parser.add_argument("--time-limit", type=float, default=600.0)
    parser.add_argument("--only", choices=("own", "peer", "templates"))
    parser.add_argument("--set", nargs="*", default=[])
    args = parser.parse_args()
    record = _record(args.data)
    train = args.train.split(",")
    for name, config in (("own", OWN), ("peer", PEER)):
        if args.only in (None, name):
            changes = dict(pair.split("=", 1) for pair in args.set) if name == "own" else {}
            config = _changed(config, {**changes, "time_limit_s": args.time_limit})
            print(json.dumps({"method": name, **_measure(record, train, args.score, config)}))
    if args.only in (None, "templates"):
        config = _changed(OWN, {"architecture": "templates"})
        print(json.dumps({"method": "templates", **_measure(record, train, args.score, config)}))


def _record(source: Path) -> DatasetRecord:
    found = TASK.inspect(source, {})
    return DatasetRecord(
        "", TASK.id, found.title, found.root, found.files, found.items, found.options, "", ""
    )


def _changed(config: Config, values: dict[str, Any]) -> Config:
    from pipelines.config import parse, to_json

    return parse(Config, {**to_json(config), **values})


def _measure(record: DatasetRecord, train: list[str], score: str, config: Config) -> dict[str, Any]:
    """Choose thresholds on a fold, train on everything, score the held-out tomogram once."""
    point = None
    if config.picking == "maxima":
        half = dataclasses.replace(config, time_limit_s=config.time_limit_s / 2)
        fold, _ = _train(record, train[:-1], train[-1:], half)
        rows = _rows(record, fold, train[-1:], half)
        point = TASK.best_operating_point(rows)
        print("fold", round(TASK.reduce(rows, point)["f4"], 4), dict(point.thresholds), flush=True)
    checkpoint, seconds = _train(record, train, [], config)
    if point is not None:
        update_card(checkpoint, operating_point=dict(point.thresholds))
    started = time.monotonic()
    rows = _rows(record, checkpoint, [score], config)
    point = point or OperatingPoint({"threshold": 0.01})
    card = load_card(checkpoint)
    return {
        **{k: round(v, 4) for k, v in TASK.reduce(rows, point).items()},
        "best_f4": round(TASK.reduce(rows, TASK.best_operating_point(rows))["f4"], 4),
        "train_s": round(seconds, 1),
        "predict_s": round(time.monotonic() - started, 1),
        "steps": card.steps,
        "parameters": card.num_parameters,
        "checkpoint": str(checkpoint),
    }


def _train(
    record: DatasetRecord, train: list[str], validation: list[str], config: Config
) -> tuple[Path, float]:
    started = time.monotonic()
    data = TrainingData(TASK.open_dataset(record, train), TASK.open_dataset(record, validation))
    folder = TASK.train(data, config, Reporter())
    return folder, time.monotonic() - started


def _rows(record: DatasetRecord, checkpoint: Path, items: list[str], config: Config) -> Any:
    samples = TASK.open_dataset(record, items)
    predictions = TASK.predict(checkpoint, samples, config, Reporter())
    rows = [TASK.statistics(p, samples[i].truth) for i, p in enumerate(predictions)]
    return actions.ItemStatistics.concatenate(rows)


if __name__ == "__main__":
    main()
