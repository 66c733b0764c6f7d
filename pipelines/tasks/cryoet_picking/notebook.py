"""Export a prediction as a Jupyter notebook that makes the submission again from the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PREDICT = """from pipelines.cli import main

status = main([
    "predict", "cryoet_picking",
    "--checkpoint", str(CHECKPOINT), "--input", str(DATA), "--output", str(WORK),
])
assert status == 0"""
_SUBMIT = """from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.predictions import (
    candidates_of, open_all, particles_in, picks_at,
)
from pipelines.tasks.cryoet_picking.submission import to_csv

predictions = list(open_all(WORK).values())
picks = Picks.concatenate([picks_at(candidates_of(p), THRESHOLDS) for p in predictions])
SUBMISSION.write_bytes(to_csv(picks, particles_in(predictions[0])))
print(len(picks), "picks of", len(predictions), "tomograms:", picks.counts())"""


def to_notebook(
    *, data: Path, checkpoint: Path, thresholds: Mapping[str, float], title: str
) -> bytes:
    """Return a notebook (nbformat 4.5) that predicts, cuts at the thresholds and writes the CSV.

    Args:
        data: Tree of the tomograms.
        checkpoint: Folder of the weights.
        thresholds: Frozen threshold of each kind.
        title: Name of the data set, for the heading.
    """
    frozen = {kind: round(float(value), 4) for kind, value in thresholds.items()}
    settings = "\n".join(
        (
            "from pathlib import Path",
            "",
            f"DATA = Path({str(data)!r})  # folder with static/",
            f"CHECKPOINT = Path({str(checkpoint)!r})  # run or checkpoint folder",
            'WORK = Path("prediction")',
            'SUBMISSION = Path("submission.csv")',
            f"THRESHOLDS = {frozen!r}",
        )
    )
    cells = [
        _cell("markdown", f"# Particle picking: {title}\n\nSet the first cell, then run all.", 0),
        _cell("code", settings, 1),
        _cell("code", _PREDICT, 2),
        _cell("code", _SUBMIT, 3),
    ]
    book = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "cells": cells,
    }
    return json.dumps(book, indent=1).encode()


def _cell(kind: str, source: str, number: int) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": source.splitlines(keepends=True),
    }
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}
