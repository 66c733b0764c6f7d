"""The weight map against a slow reference that follows the paper's formula pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipelines.tasks.em_membrane.weight_map import (
    class_balance,
    two_nearest_cells,
    unet_weight_map,
)


def _slow_map(inside, w0, sigma):
    cells, count = ndimage.label(inside)
    places = [np.argwhere(cells == k) for k in range(1, count + 1)]
    share = inside.mean()
    weights = np.zeros(inside.shape)
    for pixel in np.ndindex(*inside.shape):
        nearest = sorted(np.sqrt(((p - pixel) ** 2).sum(1).min()) for p in places)
        gap = np.exp(-((nearest[0] + nearest[1]) ** 2) / (2 * sigma**2))
        weights[pixel] = (0.5 / share if inside[pixel] else 0.5 / (1 - share)) + w0 * gap
    return weights


@pytest.mark.parametrize(("w0", "sigma"), [(10.0, 5.0), (3.0, 2.0)])
def test_weight_map_equals_the_formula_pixel_by_pixel(w0, sigma):
    rng = np.random.default_rng(0)
    inside = ndimage.gaussian_filter(rng.random((48, 44)), 2) > 0.51
    assert ndimage.label(inside)[1] > 3
    expected = _slow_map(inside, w0, sigma)
    np.testing.assert_allclose(
        unet_weight_map(inside, w0=w0, sigma_px=sigma), expected, atol=w0 * 5e-6, rtol=1e-5
    )


def test_a_gap_of_one_pixel_weighs_more_than_a_gap_of_five():
    inside = np.ones((9, 40), bool)
    inside[:, 10] = False
    inside[:, 25:30] = False
    weights = unet_weight_map(inside)
    assert weights[4, 10] == weights.max()
    # distances 1 + 1 and, in the middle of five, 3 + 3 (4 to the wall of the first cell)
    gap = 10 * (np.exp(-4 / 50) - np.exp(-36 / 50))
    assert weights[4, 10] - weights[4, 27] == pytest.approx(gap, rel=1e-5)


def test_one_cell_alone_has_no_gap_term():
    inside = np.zeros((20, 20), bool)
    inside[5:10, 5:10] = True
    np.testing.assert_array_equal(unet_weight_map(inside), class_balance(inside))


@pytest.mark.parametrize("value", [True, False])
def test_a_section_of_one_class_weighs_one_everywhere(value):
    np.testing.assert_array_equal(unet_weight_map(np.full((8, 8), value)), 1.0)


def test_class_balance_gives_both_classes_the_same_sum():
    inside = np.zeros((10, 10), bool)
    inside[:3] = True
    weights = class_balance(inside)
    assert weights[inside].sum() == pytest.approx(weights[~inside].sum())
    assert weights.mean() == pytest.approx(1.0)


def test_distances_equal_the_exact_transform_of_each_cell():
    inside = np.zeros((30, 30), bool)
    inside[3:8, 3:8] = inside[20:25, 4:9] = inside[10:13, 20:28] = True
    cells, _ = ndimage.label(inside)
    each = np.sort([ndimage.distance_transform_edt(cells != k) for k in (1, 2, 3)], axis=0)
    first, second = two_nearest_cells(inside, reach_px=60)
    np.testing.assert_allclose(first, each[0], rtol=1e-6)
    np.testing.assert_allclose(second, each[1], rtol=1e-6)
