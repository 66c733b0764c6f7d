"""Measure the quality of the membrane task on ISBI 2012, and that of its peer in the same run.

    python -m tests.benchmarks.em_quality --data DIR [--time-limit 600] [--seed 0]
        [--train 0-19] [--score 20-23] [--only best|peer] [--set NAME=VALUE ...]

`DIR` holds `train-volume.tif` and `train-labels.tif`. Preset "best" trains on sections 0-19, one
of them for the curves, within the limit. It is scored on sections 20-23, which nothing was
tuned to. To try something, hold out sections inside 0-19 instead: `--train 0-14 --score 15-19`.

The peer is a plain U-Net (16 channels, 4 levels, cross entropy, 8 patches of 256 px a step, quarter
turns, flips, elastic deformation, float32, 8-fold averaging, 394 steps, no gap closing).

Run it on a quiet machine: the limit is wall-clock time. Prints one line of JSON for each.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
import torch

from pipelines.config import parse
from pipelines.tasks.em_membrane import metrics
from pipelines.tasks.em_membrane.config import PRESETS, Config
from pipelines.tasks.em_membrane.train import (
    LabelledSection,
    train_segmentation,
)
from tests.tasks.em_membrane.scoring import measure_sections

PEER: Final = {
    "architecture": "unet", "base_channels": 16, "depth": 4, "stem": 1, "num_affinities": 0,
    "dropout": 0.0, "label_smoothing": 0.0, "learning_rate": 1e-3, "max_steps": 394,
    "precision": "full", "close_gaps": False, "validation_sections": 1, "fill": "reflect",
    "rotation_probability": 0.0, "shear_probability": 0.0, "zoom_probability": 0.0,
    "elastic_probability": 0.7, "brightness_probability": 0.0, "contrast_probability": 0.0,
    "gamma_probability": 0.0, "blur_probability": 0.0, "noise_probability": 0.0,
    "hide_probability": 0.0,
}  # fmt: skip


class _Silent:
    """Show the course of the training on stderr, keep nothing."""

    def progress(self, done: float, total: float, stage: Any, seconds_left: float | None) -> None:
        pass

    def metrics(self, values: Any) -> None:
        if "v_rand" in values or int(values["step"]) % 100 == 0:
            sys.stderr.write(json.dumps({k: round(v, 4) for k, v in values.items()}) + "\n")

    def picture(self, name: str, pixels: Any, caption: Any) -> None:
        pass

    def note(self, text: Any) -> None:
        sys.stderr.write(f"{text}\n")

    def stop_wish(self) -> None:
        return None


def main() -> None:
    """Train, score, print."""
    options = _arguments()
    sections = read_sections(options.data)
    changes = dict(pair.split("=", 1) for pair in options.set)
    limits = {"time_limit_s": options.time_limit, "seed": options.seed}
    presets = {"best": {**PRESETS["best"], **limits, **changes}, "peer": {**PEER, **limits}}
    for name, values in presets.items():
        if options.only in (None, name):
            train = [sections[i] for i in _indices(options.train)]
            scored = [sections[i] for i in _indices(options.score)]
            found = measure(parse(Config, values), train, scored)
            sys.stdout.write(json.dumps({"name": name, "train": options.train, **found}) + "\n")
            sys.stdout.flush()


def measure(
    config: Config, train: list[LabelledSection], scored: list[LabelledSection]
) -> dict[str, Any]:
    """Train on some sections and score others."""
    start = time.monotonic()
    num_fitted = len(train) - config.validation_sections  # the last ones, as `Task.split` does
    fitted, held = train[:num_fitted], train[num_fitted:]
    device = torch.device("cpu")
    outcome = train_segmentation(fitted, held, config, device=device, run=_Silent())
    seconds = time.monotonic() - start
    rows = measure_sections(outcome.model, scored, config, device)
    threshold = metrics.best_threshold(rows)
    best = metrics.score(rows, threshold)
    each = metrics.section_scores(metrics.at_threshold(rows, threshold).columns)["v_rand"]
    found = {
        "v_rand": best["v_rand"],
        "v_info": float(np.nanmax(metrics.curves(rows)["v_info"])),
        "threshold": threshold,
        "v_rand_at_half": metrics.score(rows, 0.5)["v_rand"],
        "pixel_error": best["pixel_error"],
    }
    return {
        **{name: round(value, 4) for name, value in found.items()},
        "sections": dict(zip(rows.item_ids(), np.round(each, 4).tolist(), strict=True)),
        "steps": outcome.steps,
        "training_s": round(seconds, 1),
        "config": {k: v for k, v in dataclasses.asdict(config).items() if v != _default(k)},
    }


def read_sections(folder: Path) -> list[LabelledSection]:
    """Read the labelled stack."""
    images = tifffile.imread(folder / "train-volume.tif")
    labels = tifffile.imread(folder / "train-labels.tif") > 127
    return [
        LabelledSection(f"{i:02d}", image, inside)
        for i, (image, inside) in enumerate(zip(images, labels, strict=True))
    ]


def _default(name: str) -> Any:  # whatever the option's type is
    return getattr(Config(), name)


def _indices(words: str) -> range:
    first, last = words.split("-")
    return range(int(first), int(last) + 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--time-limit", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", default="0-19")
    parser.add_argument("--score", default="20-23")
    parser.add_argument("--only", choices=("best", "peer"))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
