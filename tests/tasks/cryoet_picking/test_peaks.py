import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipelines.tasks.cryoet_picking.particles import CHALLENGE
from pipelines.tasks.cryoet_picking.peaks import (
    Maxima,
    find_components,
    find_maxima,
    suppress_near,
)
from pipelines.tasks.cryoet_picking.targets import draw_heat

RIBOSOME = CHALLENGE[3]  # radius 150 angstrom: 7.5 voxels of 20


def heat_of(points, heights):
    total = np.zeros((48, 48, 48), np.float32)
    for point, height in zip(points, heights, strict=True):
        one = draw_heat(total.shape, np.array([point]), np.array([0]), np.array([4.0]))[0]
        total = np.maximum(total, one * height)
    return total


def test_maxima_are_found_below_the_voxel_and_ordered_by_score():
    points = np.array([[12.3, 14.6, 30.2], [33.7, 20.4, 12.1]])
    found, scores = find_maxima(
        heat_of(points, [0.5, 0.9]), RIBOSOME, Maxima(0.1, 0.0), spacing_angstrom=20.0, share=0.5
    )
    assert_allclose(found, points[::-1], atol=0.12)
    assert_allclose(scores, [0.9, 0.5], atol=0.06)


def test_a_pick_is_the_middle_of_a_plateau_wherever_its_maximum_stands():
    scores = np.zeros((48, 48, 48), np.float32)
    grid = np.indices(scores.shape)
    ball = ((grid - np.array([20.0, 24, 25])[:, None, None, None]) ** 2).sum(0) <= 3.75**2
    scores[ball] = 0.9
    scores[20, 24, 28] = 0.95  # at the rim
    found, _ = find_maxima(scores, RIBOSOME, Maxima(0.1, 0.0), spacing_angstrom=20.0, share=0.5)
    assert_allclose(found, [[20, 24, 25]], atol=0.2)


def test_two_maxima_within_the_exclusion_become_one():
    points = np.array([[20.0, 20, 20], [20, 20, 25]])
    options = Maxima(0.1, 0.0, exclusion_share=0.9)
    found, _ = find_maxima(
        heat_of(points, [0.9, 0.8]), RIBOSOME, options, spacing_angstrom=20.0, share=0.5
    )
    assert len(found) == 1
    assert_allclose(found[0], points.mean(0), atol=1.0)  # the middle of what is one pick


def test_picks_of_a_higher_threshold_are_those_of_a_lower_one_that_score_enough():
    scores = np.random.default_rng(0).random((40, 40, 40)).astype(np.float32)
    low, low_scores = find_maxima(scores, RIBOSOME, Maxima(0.02), spacing_angstrom=20.0, share=0.5)
    high, _ = find_maxima(scores, RIBOSOME, Maxima(0.53), spacing_angstrom=20.0, share=0.5)
    assert_allclose(high, low[low_scores >= 0.53])


def test_greedy_suppression_agrees_with_a_loop():
    points = np.random.default_rng(1).random((200, 3)) * 20
    kept = []
    for index, point in enumerate(points):
        if all(np.linalg.norm(point - points[k]) >= 3.0 for k in kept):
            kept.append(index)
    assert suppress_near(points, 3.0).tolist() == kept


def test_components_drop_what_is_small():
    scores = np.zeros((48, 48, 48), np.float32)
    scores[10:18, 10:18, 10:18] = 0.8
    scores[30:32, 30:32, 30:32] = 0.9
    found, values = find_components(
        scores, RIBOSOME, threshold=0.5, min_share=0.5, spacing_angstrom=20.0, share=0.5
    )
    assert_allclose(found, [[13.5, 13.5, 13.5]])
    assert values[0] == pytest.approx(0.8)


def test_nothing_is_found_in_an_empty_volume():
    empty = np.zeros((16, 16, 16), np.float32)
    found, scores = find_maxima(empty, RIBOSOME, Maxima(), spacing_angstrom=20.0, share=0.5)
    assert found.shape == (0, 3)
    assert scores.shape == (0,)
