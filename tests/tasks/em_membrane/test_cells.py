"""Cells of a section at every threshold, from one watershed."""

from __future__ import annotations

import heapq
import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.metrics import adapted_rand_error
from skimage.segmentation import watershed

from pipelines.tasks.em_membrane.cells import grow_hierarchy, label_cells, label_components


def _smooth_noise(shape: tuple[int, int], seed: int, sigma: float = 2.0) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return noise.astype(np.float32)


def _same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def _neighbours(y: int, x: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return [(j, i) for j, i in around if 0 <= j < shape[0] and 0 <= i < shape[1]]


def _widest_way(height: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """For each pixel the best lowest point of any 4-connected way to a seed, by Dijkstra."""
    best = np.full(height.shape, -np.inf)
    queue = [(-float(height[y, x]), y, x) for y, x in np.argwhere(seeds)]
    heapq.heapify(queue)
    while queue:
        level, y, x = heapq.heappop(queue)
        if best[y, x] > -np.inf:
            continue
        best[y, x] = -level
        for j, i in _neighbours(y, x, height.shape):
            if best[j, i] == -np.inf:
                heapq.heappush(queue, (-min(-level, float(height[j, i])), j, i))
    return best


@pytest.mark.parametrize("threshold", [0.2, 0.45, 0.6, 0.8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_above_the_threshold_cells_are_the_four_connected_components(
    seed: int, threshold: float
) -> None:
    height = _smooth_noise((61, 47), seed, sigma=1.2)
    above = height > threshold

    cells = label_cells(grow_hierarchy(height), threshold)

    assert _same_partition(cells[above], label(above, connectivity=1)[above])


@pytest.mark.parametrize("threshold", [0.45, 0.6, 0.8])
def test_a_cell_reaches_each_of_its_pixels_by_the_highest_way_there_is(threshold: float) -> None:
    """The law of a watershed: no other seed could have flooded the pixel at a higher level."""
    height = _smooth_noise((40, 33), 5)
    seeds = height > threshold
    cells = label_cells(grow_hierarchy(height), threshold)

    from_any = _widest_way(height, seeds)

    for cell in np.unique(cells):
        own = cells == cell
        from_own = _widest_way(height, seeds & own)
        np.testing.assert_array_equal(from_own[own], from_any[own])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cells_agree_with_a_watershed_from_the_seeds_of_each_threshold(seed: int) -> None:
    height = _smooth_noise((128, 128), seed, sigma=3)
    hierarchy = grow_hierarchy(height)
    for threshold in (0.3, 0.5, 0.7):
        direct = watershed(-height, label(height > threshold, connectivity=1))
        error, _, _ = adapted_rand_error(direct, label_cells(hierarchy, threshold))
        # which of two fronts takes a pixel in the valley between them is open: 0.0005 measured
        assert error < 0.005


def test_every_cell_is_connected_and_nothing_is_left_over() -> None:
    height = _smooth_noise((50, 50), 3)
    cells = label_cells(grow_hierarchy(height), 0.6)
    assert cells.min() > 0
    for cell in np.unique(cells):
        assert label(cells == cell, connectivity=1).max() == 1


def test_a_wide_border_of_equal_values_is_shared_by_distance() -> None:
    """A mask of zeros and ones has one flat border; flooding in index order would lean over."""
    section = np.zeros((9, 11), np.float32)
    section[:, :2] = section[:, 9:] = 1
    cells = label_cells(grow_hierarchy(section), 0.5)
    assert (cells[:, :5] == cells[0, 0]).all()
    assert (cells[:, 6:] == cells[0, -1]).all()


def test_nothing_above_the_threshold_gives_no_cell() -> None:
    hierarchy = grow_hierarchy(np.full((5, 6), 0.3, np.float32))
    assert not label_cells(hierarchy, 0.3).any()
    assert (label_cells(hierarchy, 0.29) == 1).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 5), (3, 3)])
def test_tiny_sections_have_cells_too(shape: tuple[int, int]) -> None:
    height = np.random.default_rng(0).random(shape, np.float32)
    cells = label_cells(grow_hierarchy(height), 0.5)
    above = height > 0.5
    assert _same_partition(cells[above], label(above, connectivity=1)[above])


def test_a_lone_cell_keeps_its_number_while_the_threshold_moves() -> None:
    height = np.zeros((20, 40), np.float32)
    height[5:15, 5:15] = 0.9
    height[5:15, 25:35] = 0.8
    hierarchy = grow_hierarchy(height)
    numbers = {int(label_cells(hierarchy, t)[10, 10]) for t in (0.1, 0.3, 0.5, 0.7, 0.85)}
    assert len(numbers) == 1


def test_diagonal_contact_does_not_connect() -> None:
    assert label_components(np.eye(3, dtype=bool)).max() == 3


@pytest.mark.slow
def test_ten_moves_of_the_threshold_cost_less_than_growing_the_cells_once() -> None:
    """Growing took 110 ms and a move 2 ms of a section of 512 x 512."""
    section = _smooth_noise((512, 512), 0)
    hierarchy = grow_hierarchy(section)
    start = time.process_time()
    grow_hierarchy(section)
    between = time.process_time()
    for threshold in np.linspace(0.2, 0.8, 10):
        label_cells(hierarchy, float(threshold))
    assert time.process_time() - between < between - start
