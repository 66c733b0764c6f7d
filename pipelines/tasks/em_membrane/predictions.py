"""Predictions on disk: `probability.tif`, `mask.tif`, PNGs, and an index of the sections.

`probability.tif` is `(N, H, W)` float32, the probability of lying inside a cell, whatever the
polarity of the training labels; `mask.tif` is `(N, H, W)` uint8, 255 inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.contract import Prediction
from pipelines.core.files import (
    new_folder,
    parse_json,
    replaced_file,
    write_bytes,
    write_json,
)
from pipelines.core.images import open_stack
from pipelines.errors import DataFormatError, DatasetNotFoundError
from pipelines.tasks.em_membrane.cells import colour_cells, label_components
from pipelines.tasks.em_membrane.convert import encode_png
from pipelines.text import Text

PROBABILITY = "probability.tif"
MASK = "mask.tif"
INDEX = "prediction.json"
PNG = "png"
PNG_KINDS = ("probability", "mask", "cells")


def write(predictions: Iterable[Prediction], folder: Path) -> Iterator[Prediction]:
    """Write sections as they come, and pass each one on; memory holds one of them.

    Args:
        predictions: With "probability" `(H, W)` float32 in [0, 1] and "mask" `(H, W)` bool.
        folder: Existing folder; an earlier prediction is replaced once this one is whole.
    """
    import tifffile

    index: list[dict[str, str]] = []
    with (
        new_folder(folder / PNG) as pictures,
        replaced_file(folder / PROBABILITY) as probability_file,
        replaced_file(folder / MASK) as mask_file,
        tifffile.TiffWriter(probability_file, bigtiff=True) as probabilities,
        tifffile.TiffWriter(mask_file, bigtiff=True) as masks,
    ):
        for kind in PNG_KINDS:
            (pictures / kind).mkdir()
        for prediction in predictions:
            probability = np.asarray(prediction.values["probability"], np.float32)
            mask = np.asarray(prediction.values["mask"], bool)
            probabilities.write(probability, contiguous=True, photometric="minisblack")
            masks.write(mask.astype(np.uint8) * 255, contiguous=True, photometric="minisblack")
            _write_pngs(probability, mask, pictures, len(index))
            index.append({"item_id": prediction.item_id, "group": prediction.group})
            yield prediction
    write_json(folder / INDEX, {"sections": index})


class StoredPredictions(Mapping[str, Prediction]):
    """Read predicted sections when they are asked for.

    Raises:
        DatasetNotFoundError: The folder holds no `probability.tif`.
        DataFormatError: It holds something else than probabilities.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / PROBABILITY).is_file():
            raise DatasetNotFoundError(Text("em.no_probability", folder=str(folder)))
        self._stack = open_stack(folder / PROBABILITY)
        self._groups = _read_index(folder, len(self._stack))
        self._places = {item_id: place for place, item_id in enumerate(self._groups)}
        self._mask = open_stack(folder / MASK) if (folder / MASK).is_file() else None

    def __getitem__(self, item_id: str) -> Prediction:
        place = self._places[item_id]
        probability = np.asarray(self._stack[place], np.float32)
        if not (probability.min() >= 0 and probability.max() <= 1):  # NaN fails here too
            raise DataFormatError(Text("em.not_a_probability", section=place))
        mask = probability > 0.5 if self._mask is None else self._mask[place] > 0
        return Prediction(
            item_id, self._groups[item_id], {"probability": probability, "mask": mask}
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _read_index(folder: Path, num_sections: int) -> dict[str, str]:
    """Return item id to group; sections of a foreign `probability.tif` are numbered."""
    numbered = {f"probability:{index:03d}": "probability" for index in range(num_sections)}
    if not (folder / INDEX).is_file():
        return numbered
    try:
        rows: list[dict[str, Any]] = parse_json((folder / INDEX).read_bytes())["sections"]
        found = {str(row["item_id"]): str(row["group"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return numbered
    return found if len(found) == num_sections else numbered


def _write_pngs(
    probability: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], folder: Path, index: int
) -> None:
    pictures = {
        "probability": np.round(probability * 255).astype(np.uint8),
        "mask": mask.astype(np.uint8) * 255,
        "cells": colour_cells(label_components(mask)),
    }
    for kind, pixels in pictures.items():
        write_bytes(folder / kind / f"{index:04d}.png", encode_png(pixels))
