"""Divide tomograms into training and validation, and estimate how long a training takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from pipelines.contract import DatasetRecord, SplitManifest
from pipelines.core.files import parse_json
from pipelines.datasets.splits import given_split, group_split
from pipelines.errors import ConfigError
from pipelines.tasks.cryoet_picking.baseline import BASELINES
from pipelines.text import Text

# Key of a card's extra: tomogram to the number of the network that was trained without it.
HELD_OUT: Final = "held_out"
# Seconds for a step of eight 64-voxel patches with width 32: four cores with AMX, and a GPU.
_STEP_SECONDS = {"cpu": 0.5, "cuda": 0.06, "mps": 0.3}


def split_tomograms(record: DatasetRecord, config: Any) -> SplitManifest:
    """Keep tomograms whole; the named one validates, else a share drawn by the seed.

    Several networks need none: each is validated on what it is trained without.

    Raises:
        ConfigError: The named tomogram is not among the labelled ones.
    """
    labelled = [item.item_id for item in record.items if item.has_truth]
    wanted = [name.strip() for name in config.validation_item.split(",") if name.strip()]
    if wanted:
        if unknown := sorted(set(wanted) - set(labelled)):
            raise ConfigError(
                Text("cryoet.unknown_item", names=", ".join(unknown), known=", ".join(labelled))
            )
        train = [i for i in labelled if i not in wanted]
        return given_split(record, {"train": train, "validation": wanted})
    is_cross_fitted = config.networks > 1 and config.architecture not in BASELINES
    if len(labelled) < 2 or config.validation_share == 0 or is_cross_fitted:
        return given_split(record, {"train": labelled, "validation": []})
    return group_split(record, config.validation_share, config.seed)


def assign_folds(groups: Sequence[str], networks: int) -> list[int]:
    """Say which network is trained without which tomogram; a group stays together.

    A network leaves out a quarter of the groups, at least one. So most of the tomograms are
    learnt from several times, and enough is left out to choose thresholds on.

    Args:
        groups: Group of each tomogram.
        networks: How many are trained.

    Returns:
        Number of the network that is trained without each tomogram; -1 where all see it, as they do
        where there is one network or one group only.

    Example:
        >>> assign_folds(["a", "b", "c", "a"], 2)
        [0, 1, -1, 0]
    """
    order = list(dict.fromkeys(groups))
    if networks < 2 or len(order) < 2:
        return [-1] * len(groups)
    folds = min(len(order), max(networks, 4))
    numbers = [order.index(g) % folds for g in groups]
    return [n if n < networks else -1 for n in numbers]


def seen_before(checkpoint: Path, run_folder: Path, held_out: Collection[str]) -> list[str]:
    """Name the tomograms held out that the weights to start from were trained on already.

    Args:
        checkpoint: Weights to start from, with the split that they were trained with beside them.
        run_folder: Of the training, with the record of its data.
        held_out: Tomograms that it is scored on.

    Returns:
        Names in order; none where nothing is known of the split, or the data are others.
    """
    files = checkpoint / "split.json", run_folder / "dataset.json"
    if not all(file.is_file() for file in files):
        return []
    split, record = (parse_json(file.read_bytes()) for file in files)
    if split["dataset_id"] != record["dataset_id"]:
        return []
    return sorted(set(split["parts"].get("train", ())) & set(held_out))


def estimate_seconds(config: Any, device: str) -> float:
    """Return the time limit, or less where the number of steps ends the training before."""
    if not config.max_steps:
        return float(config.time_limit_s)
    voxels = config.batch_size * config.patch_vox**3 / (8 * 64**3)
    pace = _STEP_SECONDS.get(device, 0.5) * voxels * (config.width / 32) ** 2
    return float(min(config.time_limit_s, config.max_steps * pace))
