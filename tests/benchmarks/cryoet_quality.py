# ruff: noqa: T201 - the figures are what the run is for
"""Measure picking on the SIMULATED tomograms against a plain MONAI U-Net, same budget and machine.

    python -m tests.benchmarks.cryoet_quality --data ../shared/data/czii/simulated \
        --train TS_1,TS_2,TS_3 --score TS_4 --time-limit 600

Our thresholds are those that the training freezes: chosen on what each network did not see. The
scored tomogram is opened once, for prediction and score. The peer, which has no thresholds, is
given the best of several levels of its components for each kind on the scored tomogram itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines import actions
from pipelines.contract import DatasetRecord, OperatingPoint, TrainingData
from pipelines.core.checkpoints import load_card, update_card
from pipelines.tasks.cryoet_picking import TASK
from pipelines.tasks.cryoet_picking.baseline import BASELINES
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.particles import CHALLENGE

OWN = Config(device="cpu")
# The peer of the issue: 16, 32, 64, 128 channels, spheres of half radius, Tversky + cross entropy,
# 64-voxel patches half of them on particles, flips, components with a size filter, float32.
PEER = Config(
    device="cpu",
    architecture="monai_unet",
    width=32,
    networks=1,
    precision="full",
    ema_decay=0.0,
    learning_rate=1e-3,
    radius_share=0.5,
    tversky_beta=0.7,
    background_weight=0.1,
    batch_size=4,
    particle_share=0.5,
    hard_kind_weight=1.0,
    rotation_degrees=0.0,
    noise_std=0.0,
    contrast=0.0,
    mixing=0.0,
    symmetries="none",
    picking="components",
    min_component_share=0.1,
)
PEER_LEVELS = (0.15, 0.3, 0.5, 0.7)


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
    parser.add_argument("--only", choices=("own", "peer", "baselines"))
    parser.add_argument("--set", nargs="*", default=[])
    args = parser.parse_args()
    record = _record(args.data)
    train = args.train.split(",")
    for name, config in (("own", OWN), ("peer", PEER)):
        if args.only in (None, name):
            changes = dict(pair.split("=", 1) for pair in args.set) if name == "own" else {}
            config = _changed(config, {**changes, "time_limit_s": args.time_limit})
            print(json.dumps({"method": name, **_measure(record, train, args.score, config)}))
    if args.only in (None, "baselines"):
        for name in BASELINES:
            config = _changed(OWN, {"architecture": name})
            print(
                json.dumps({"method": name, **_measure_baseline(record, train, args.score, config)})
            )


def _record(source: Path) -> DatasetRecord:
    found = TASK.inspect(source, {})
    return DatasetRecord(
        "", TASK.id, found.title, found.root, found.files, found.items, found.options, "", ""
    )


def _changed(config: Config, values: dict[str, Any]) -> Config:
    from pipelines.config import parse, to_json

    return parse(Config, {**to_json(config), **values})


def _measure(record: DatasetRecord, train: list[str], score: str, config: Config) -> dict[str, Any]:
    """Train, freeze thresholds, score the held-out tomogram once."""
    checkpoint, seconds = _train(record, train, [], config)
    point = OperatingPoint({"threshold": 0.01})
    if crossed := TASK.cross_fitted_items(checkpoint):
        rows = _rows(record, checkpoint, crossed, config, TASK.predict_cross_fitted)
        point = TASK.best_operating_point(rows)
        figures = {k: round(v, 4) for k, v in TASK.reduce(rows, point).items()}
        print("unseen", json.dumps({"thresholds": dict(point.thresholds), **figures}), flush=True)
        update_card(checkpoint, operating_point=dict(point.thresholds))
    started = time.monotonic()
    if config.picking == "components":
        found = _best_components(record, checkpoint, score, config)
    else:
        rows = _rows(record, checkpoint, [score], config, TASK.predict)
        found = TASK.reduce(rows, point)
        best = TASK.reduce(rows, TASK.best_operating_point(rows))
        found = {**found, "f4_if_tuned_on_it": best["f4"]}
    card = load_card(checkpoint)
    return {
        **{k: round(v, 4) for k, v in found.items()},
        "train_s": round(seconds, 1),
        "predict_s": round(time.monotonic() - started, 1),
        "steps": card.steps,
        "parameters": card.num_parameters,
        "checkpoint": str(checkpoint),
    }


def _measure_baseline(
    record: DatasetRecord, train: list[str], score: str, config: Config
) -> dict[str, Any]:
    """Choose thresholds on the last training tomogram, then learn from all."""
    fold, _ = _train(record, train[:-1], train[-1:], config)
    point = TASK.best_operating_point(_rows(record, fold, train[-1:], config, TASK.predict))
    checkpoint, seconds = _train(record, train, [], config)
    rows = _rows(record, checkpoint, [score], config, TASK.predict)
    found = {k: round(v, 4) for k, v in TASK.reduce(rows, point).items()}
    return {**found, "train_s": round(seconds, 1)}


def _best_components(
    record: DatasetRecord, checkpoint: Path, score: str, config: Config
) -> dict[str, float]:
    """Take for each kind the best of several levels."""
    point = OperatingPoint({"threshold": 0.01})
    tries = []
    for level in PEER_LEVELS:
        changed = dataclasses.replace(config, component_threshold=level)
        rows = _rows(record, checkpoint, [score], changed, TASK.predict)
        tries.append(TASK.reduce(rows, point))
        print("peer", level, json.dumps({k: round(v, 4) for k, v in tries[-1].items()}), flush=True)
    kinds = {p.name: p.weight for p in CHALLENGE if p.weight > 0}
    best = {f"f4_{k}": max(t[f"f4_{k}"] for t in tries) for k in kinds}
    total = sum(w * best[f"f4_{k}"] for k, w in kinds.items()) / sum(kinds.values())
    return {"f4": total, **best}


def _train(
    record: DatasetRecord, train: list[str], validation: list[str], config: Config
) -> tuple[Path, float]:
    started = time.monotonic()
    data = TrainingData(TASK.open_dataset(record, train), TASK.open_dataset(record, validation))
    folder = TASK.train(data, config, Reporter())
    return folder, time.monotonic() - started


def _rows(
    record: DatasetRecord, checkpoint: Path, items: Sequence[str], config: Config, predict: Any
) -> Any:
    samples = TASK.open_dataset(record, items)
    predictions = predict(checkpoint, samples, config, Reporter())
    rows = [TASK.statistics(p, samples[i].truth) for i, p in enumerate(predictions)]
    return actions.ItemStatistics.concatenate(rows)


if __name__ == "__main__":
    main()
