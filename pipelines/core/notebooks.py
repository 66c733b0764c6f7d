"""Write Jupyter notebooks (nbformat 4.5) without a package: they are JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

Cell = tuple[Literal["markdown", "code"], str]


def write_notebook(cells: Sequence[Cell]) -> bytes:
    """Return a notebook for Python.

    Args:
        cells: Kind and source of each cell, in their order.
    """
    book = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "cells": [_cell(kind, source, number) for number, (kind, source) in enumerate(cells)],
    }
    return json.dumps(book, indent=1, ensure_ascii=False).encode()


def _cell(kind: str, source: str, number: int) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": source.splitlines(keepends=True),
    }
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}
