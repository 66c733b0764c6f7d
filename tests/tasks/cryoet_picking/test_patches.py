import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.particles import CHALLENGE
from pipelines.tasks.cryoet_picking.patches import TrainingTomogram, cut_patch
from pipelines.tasks.cryoet_picking.targets import draw_heat, draw_spheres

PLAIN = dataclasses.replace(
    Config(), patch_vox=32, noise_std=0.0, contrast=0.0, mixing=0.0, particle_share=1.0
)


def blob_tomogram(seed=0):
    """Bright balls where the picks are: the volume itself shows whether the target moved along."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(14, 50, (12, 3))
    volume = draw_heat((64, 64, 64), points, np.zeros(12, int), np.array([5.0]))[0] * 3
    return TrainingTomogram(volume.astype(np.float16), points, np.zeros(12, np.int64), 10.0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_target_moves_with_the_volume(stride, seed):
    config = dataclasses.replace(PLAIN, target="gaussian", radius_share=50 / 60)
    patch = cut_patch([blob_tomogram()], CHALLENGE, config, stride, np.random.default_rng(seed))
    side = 32 // stride
    shrunk = patch.volume.reshape(side, stride, side, stride, side, stride).mean((1, 3, 5))
    target = patch.target[0]
    inner = (slice(2, -2),) * 3
    if target[inner].max() < 0.5:
        pytest.skip("no pick well inside this patch")
    correlation = np.corrcoef(shrunk[inner].ravel(), target[inner].ravel())[0, 1]
    assert correlation > 0.97


def test_patches_repeat_with_the_generator():
    first = cut_patch([blob_tomogram()], CHALLENGE, Config(), 2, np.random.default_rng(4))
    second = cut_patch([blob_tomogram()], CHALLENGE, Config(), 2, np.random.default_rng(4))
    assert_allclose(first.volume, second.volume)
    assert_allclose(first.target, second.target)


def test_turning_back_is_the_inverse_of_cutting():
    """The brightest voxel of a cut cube lies where `to_patch` puts its pick."""
    point = np.array([[30.0, 28.0, 33.0]])
    volume = draw_heat((64, 64, 64), point, np.array([0]), np.array([5.0]))[0]
    tomogram = TrainingTomogram(volume.astype(np.float16), point, np.zeros(1, np.int64), 10.0)
    for seed in range(8):
        config = dataclasses.replace(PLAIN, target="gaussian", radius_share=50 / 60)
        patch = cut_patch([tomogram], CHALLENGE, config, 1, np.random.default_rng(seed))
        brightest = np.array(np.unravel_index(patch.volume.argmax(), patch.volume.shape))
        drawn = np.array(np.unravel_index(patch.target[0].argmax(), patch.target[0].shape))
        if min(brightest.min(), drawn.min()) > 1 and max(brightest.max(), drawn.max()) < 30:
            assert np.abs(brightest - drawn).max() <= 1


def test_spheres_have_the_right_size_and_the_nearer_centre_wins():
    labels = draw_spheres(
        (40, 40, 40), np.array([[20.0, 20, 14], [20, 20, 24]]), np.array([0, 2]),
        np.array([6.0, 1, 8]),
    )  # fmt: skip
    assert labels[20, 20, 14] == 1
    assert labels[20, 20, 24] == 3
    assert labels[20, 20, 18] == 1
    assert labels[20, 20, 19] == 3
    alone = draw_spheres((40, 40, 40), np.array([[20.0, 20, 20]]), np.array([0]), np.array([6.0]))
    assert (alone == 1).sum() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.05)


def test_points_outside_draw_only_what_reaches_in():
    heat = draw_heat((16, 16, 16), np.array([[-2.0, 8, 8]]), np.array([0]), np.array([6.0]))
    assert heat[0].max() == pytest.approx(np.exp(-0.5 * (2 / 3) ** 2), rel=1e-4)
    assert (
        draw_spheres((8, 8, 8), np.array([[99.0, 0, 0]]), np.array([0]), np.array([3.0])).max() == 0
    )


def test_a_kind_without_picks_is_never_drawn():
    patch = cut_patch([blob_tomogram()], CHALLENGE, PLAIN, 2, np.random.default_rng(1))
    assert set(np.unique(patch.target)) <= {0, 1}
