"""Tiny simulated tomograms for tests and examples."""

from __future__ import annotations

from pipelines.contract import Sample
from pipelines.tasks.cryoet_picking.data import Geometry, Truth
from pipelines.tasks.cryoet_picking.particles import CHALLENGE
from pipelines.tasks.cryoet_picking.simulate import SimulationConfig, simulate_tomogram

_TINY = SimulationConfig(
    depth_vox=48,
    side_vox=64,
    dose_electrons=400.0,
    num_vesicles=0,
    num_gold_beads=1,
    crowding=10.0,
    unlabelled_share=0.0,
)


def fake_samples(count: int, seed: int) -> list[Sample]:
    """Simulate tomograms of 48 x 64 x 64 voxels; the same seed gives the same ones."""
    samples = []
    for index in range(count):
        name = f"fake_{index}"
        made = simulate_tomogram(_TINY, seed * 1000 + index, experiment=name)
        samples.append(
            Sample(
                item_id=name,
                group=name,
                image=made.volume,
                truth=Truth(made.picks, CHALLENGE),
                meta={
                    "geometry": Geometry(_TINY.shape, made.spacing_angstrom),
                    "particles": CHALLENGE,
                    "has_volume": True,
                    "file": "",
                },
            )
        )
    return samples
