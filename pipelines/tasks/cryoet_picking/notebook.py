"""Write a Jupyter notebook that makes a submission again from the challenge's files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipelines.core.notebooks import write_notebook

FILENAME: Final = "submission.ipynb"
_HEAD: Final = """from pathlib import Path

DATA = Path({data!r})  # folder with static/, a zip of it, or a copick configuration
CHECKPOINT = Path({checkpoint!r})  # run or checkpoint folder
WORK = Path("prediction")
SUBMISSION = Path("submission.csv")
OPTIONS = {options!r}  # how the files are read, where that is not the default
THRESHOLDS = {thresholds!r}  # frozen: chosen on tomograms held out of training"""
_PREDICT: Final = """from pipelines.cli import main

status = main([
    "predict", "cryoet_picking",
    "--checkpoint", str(CHECKPOINT), "--input", str(DATA), "--output", str(WORK),
    *(word for name, value in OPTIONS.items() for word in ("--set", f"{name}={value}")),
])
assert status == 0"""
_SUBMIT: Final = """from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.predictions import (
    candidates_of, open_all, particles_in, picks_at,
)
from pipelines.tasks.cryoet_picking.submission import read_submission, to_csv

predictions = list(open_all(WORK).values())
picks = Picks.concatenate([picks_at(candidates_of(p), THRESHOLDS) for p in predictions])
particles = particles_in(predictions[0])
SUBMISSION.write_bytes(to_csv(picks, particles))
written = read_submission(SUBMISSION.read_bytes(), particles, file=SUBMISSION.name)
print(len(written), "picks of", len(predictions), "tomograms:", written.counts())"""
_WORDS: Final = """# Particle picking: {title}

Finds the particles in every tomogram below `DATA` with the weights in `CHECKPOINT`, keeps the
candidates that reach the threshold of their kind, and writes `submission.csv` (id, experiment,
particle_type, x, y, z in angstrom). Set the first cell, then run all; the product must be on the
Python path."""


def to_notebook(
    *,
    data: str,
    checkpoint: str,
    thresholds: Mapping[str, float],
    title: str,
    options: Mapping[str, str],
) -> bytes:
    """Return a notebook that predicts, cuts at the thresholds and writes the CSV.

    Args:
        data: Tree of the tomograms.
        checkpoint: Folder of the weights.
        thresholds: Frozen threshold of each kind.
        title: Name of the data set, for the heading.
        options: How the files are read, where that is not the default.
    """
    frozen = {kind: round(float(value), 4) for kind, value in thresholds.items()}
    return write_notebook(
        [
            ("markdown", _WORDS.format(title=title)),
            (
                "code",
                _HEAD.format(
                    data=data, checkpoint=checkpoint, thresholds=frozen, options=dict(options)
                ),
            ),
            ("code", _PREDICT),
            ("code", _SUBMIT),
        ]
    )
