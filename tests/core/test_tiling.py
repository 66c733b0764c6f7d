"""Tiles cover every image and blend to exactly one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipelines.core.tiling import Tiling, pad_image, plan_tiles
from pipelines.errors import ConfigError, DataFormatError

SHAPES_2D = [(1, 1), (7, 5), (16, 16), (17, 31), (33, 64), (63, 100), (128, 40)]
SHAPES_3D = [(1, 1, 1), (5, 17, 9), (16, 16, 16), (9, 40, 33)]


def _sum_of_shares(plan) -> np.ndarray:
    total = np.zeros(plan.padded_shape)
    for tile in plan.tiles:
        total[tile.slices] += tile.share()
    return total


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("shape", SHAPES_2D + SHAPES_3D)
def test_the_shares_of_all_tiles_sum_to_one_in_every_pixel(shape, overlap) -> None:
    plan = plan_tiles(shape, Tiling((16,) * len(shape), overlap, multiple=8))
    # float32 weights of up to 5 tiles an axis: a few units in the last place
    np.testing.assert_allclose(_sum_of_shares(plan), 1, atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES_2D + SHAPES_3D)
def test_cutting_and_blending_returns_the_image(shape) -> None:
    image = np.random.default_rng(0).random((2, *shape), np.float32)
    plan = plan_tiles(shape, Tiling((16,) * len(shape), 0.3, multiple=8))
    padded = pad_image(image, plan)
    canvas = np.zeros_like(padded)
    for tile in plan.tiles:
        canvas[(slice(None), *tile.slices)] += padded[(slice(None), *tile.slices)] * tile.share()
    np.testing.assert_allclose(canvas[(slice(None), *plan.inner)], image, atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES_2D + SHAPES_3D)
def test_tiles_have_one_size_that_the_network_takes_and_lie_inside(shape) -> None:
    plan = plan_tiles(shape, Tiling((20,) * len(shape), 0.25, multiple=8))
    assert len({tile.size for tile in plan.tiles}) == 1
    for tile in plan.tiles:
        assert all(side % 8 == 0 for side in tile.size)
        for start, side, length in zip(tile.start, tile.size, plan.padded_shape, strict=True):
            assert 0 <= start <= length - side


@pytest.mark.parametrize(("length", "overlap"), [(100, 0.25), (65, 0.5), (512, 0.1), (47, 0.0)])
def test_neighbours_share_at_least_the_wished_overlap_and_no_tile_is_spare(length, overlap) -> None:
    plan = plan_tiles((length, 16), Tiling((16, 16), overlap, multiple=1))
    starts = [tile.start[0] for tile in plan.tiles]
    steps = [b - a for a, b in itertools.pairwise(starts)]
    assert all(16 - step >= 16 * overlap for step in steps)
    fewer = len(starts) - 1
    assert 16 + (fewer - 1) * int(16 * (1 - overlap)) < length  # one tile less would not reach


def test_a_mirrored_image_has_the_mirrored_grid() -> None:
    """Else averaging over flips would not make a prediction equivariant."""
    plan = plan_tiles((100, 40), Tiling((16, 16), 0.25, multiple=4))
    starts = sorted({tile.start[0] for tile in plan.tiles})
    assert starts == sorted(100 - 16 - start for start in starts)


def test_an_image_smaller_than_a_tile_is_one_padded_tile() -> None:
    plan = plan_tiles((10, 30), Tiling((64, 64), multiple=16))
    assert [tile.size for tile in plan.tiles] == [(16, 32)]
    assert plan.padding == ((3, 3), (1, 1))


def test_padding_reflects_and_an_image_that_fits_is_not_copied() -> None:
    image = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    padded = pad_image(image, plan_tiles((1, 3), Tiling((8, 8), multiple=4)))
    assert padded[0, 0].tolist() == [0, 1, 2, 2]
    exact = np.zeros((1, 16, 16), np.float32)
    assert pad_image(exact, plan_tiles((16, 16), Tiling((16, 16)))) is exact


def test_weights_fall_towards_the_border_of_a_tile() -> None:
    first, second = plan_tiles((24,), Tiling((16,), 0.5, multiple=1)).tiles
    shared = first.share()[8:]
    assert (np.diff(shared) < 0).all()
    np.testing.assert_allclose(shared, second.share()[:8][::-1], atol=1e-6)


@pytest.mark.parametrize("bad", [{"tile_px": ()}, {"tile_px": (0, 8)}, {"overlap": 1.0}])
def test_an_impossible_tiling_is_refused(bad) -> None:
    with pytest.raises(ConfigError, match="overlap from 0 to below 1"):
        Tiling(**{"tile_px": (8, 8), **bad})


def test_other_axes_and_empty_images_are_refused() -> None:
    with pytest.raises(ConfigError):
        plan_tiles((8, 8, 8), Tiling((8, 8)))
    with pytest.raises(DataFormatError, match="0 x 8"):
        plan_tiles((0, 8), Tiling((8, 8)))
