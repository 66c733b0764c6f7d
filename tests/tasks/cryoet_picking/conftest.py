from pathlib import Path

import numpy as np
import pytest

from pipelines.contract import DatasetRecord
from pipelines.tasks.cryoet_picking.data import inspect_source
from pipelines.tasks.cryoet_picking.simulate import SimulationConfig, write_tree

TINY = SimulationConfig(
    depth_vox=48, side_vox=64, num_vesicles=0, num_gold_beads=1, crowding=10.0,
    dose_electrons=400.0, unlabelled_share=0.0,
)  # fmt: skip


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Two tiny simulated tomograms in the challenge's layout; tests must not change them."""
    root = tmp_path_factory.mktemp("czii")
    write_tree(root, num_tomograms=2, seed=3, config=TINY)
    return root


def record_of(source: Path, options=None) -> DatasetRecord:
    found = inspect_source(source, options or {})
    return DatasetRecord(
        "test", "cryoet_picking", found.title, found.root, found.files, found.items,
        found.options, "tester", "",
    )  # fmt: skip


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1e-5, (20, 24, 28)).astype(np.float32)
