"""Laws of the augmentation: identity, symmetry, one map for all layers, chances, seeds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from pipelines.tasks.em_membrane.augment import (
    Composite,
    Section,
    apply,
    augment,
    change_grey,
    coordinate_map,
    draw,
    elastic_displacement,
    grid_overlay,
    hide_places,
    read_linear,
    read_nearest,
)
from pipelines.tasks.em_membrane.config import FILLS, AugmentOptions

SIDE = 64
MIDDLE = ((SIDE - 1) / 2, (SIDE - 1) / 2)
WHOLE = AugmentOptions(patch_px=SIDE)
NEVER = dataclasses.replace(
    WHOLE,
    **{f.name: 0.0 for f in dataclasses.fields(AugmentOptions) if f.name.endswith("_probability")},
)
ALWAYS = dataclasses.replace(
    WHOLE,
    **{f.name: 1.0 for f in dataclasses.fields(AugmentOptions) if f.name.endswith("_probability")},
)


@pytest.fixture
def section() -> Section:
    rng = np.random.default_rng(3)
    image = ndimage.gaussian_filter(rng.random((SIDE, SIDE)), 2).astype(np.float32)
    return Section.of(image, image > image.mean(), image * 2)


def test_a_composite_without_steps_returns_every_layer_unchanged(section):
    result = apply(section, Composite(centre_yx=MIDDLE), WHOLE)
    np.testing.assert_array_equal(result.image, section.image)
    np.testing.assert_array_equal(result.mask, section.mask)
    np.testing.assert_array_equal(result.weight, section.weight)


def test_all_probabilities_zero_is_the_centred_crop(section):
    options = dataclasses.replace(NEVER, patch_px=32)
    result = augment(section, options, np.random.default_rng(0))
    np.testing.assert_array_equal(result.image, section.image[16:48, 16:48])


def test_all_probabilities_one_changes_every_parameter():
    drawn = draw((100, 100), ALWAYS, np.random.default_rng(5))
    neutral = Composite(centre_yx=(49.5, 49.5))
    same = [
        f.name
        for f in dataclasses.fields(Composite)
        if getattr(drawn, f.name) == getattr(neutral, f.name)
    ]
    assert same == []


@pytest.mark.parametrize(("step", "axis"), [({"flip_y": True}, 0), ({"flip_x": True}, 1)])
def test_a_flip_mirrors_and_twice_gives_the_start(section, step, axis):
    flip = Composite(centre_yx=MIDDLE, **step)
    once = apply(section, flip, WHOLE)
    np.testing.assert_array_equal(once.image, np.flip(section.image, axis))
    twice = apply(Section.of(once.image, once.mask), flip, WHOLE)
    np.testing.assert_array_equal(twice.image, section.image)
    np.testing.assert_array_equal(twice.mask, section.mask)


def test_a_quarter_turn_is_numpys_rot90_and_four_are_none(section):
    turned = section
    for _ in range(4):
        step = apply(turned, Composite(centre_yx=MIDDLE, quarter_turns=1), WHOLE)
        assert any(np.array_equal(step.image, np.rot90(turned.image, k)) for k in (1, 3))
        turned = Section.of(step.image, step.mask)
    np.testing.assert_array_equal(turned.image, section.image)


def test_zoom_two_shows_a_structure_twice_as_large():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[24:40, 24:40] = True
    big = Section.of(mask.astype(np.float32), mask)
    result = apply(big, Composite(centre_yx=MIDDLE, zoom=2.0), WHOLE)
    assert result.mask.sum() == 4 * mask.sum()


def test_a_shift_reads_from_the_shifted_place(section):
    centre = (MIDDLE[0] + 5, MIDDLE[1] - 3)
    result = apply(section, Composite(centre_yx=centre), WHOLE)
    np.testing.assert_array_equal(result.image[:50, 5:], section.image[5:55, 2:61])


def test_a_shear_moves_rows_by_the_tangent_of_its_angle():
    places = coordinate_map(Composite(centre_yx=MIDDLE, shear_deg=30.0), SIDE)
    moved = np.diff(places.y, axis=1)
    np.testing.assert_allclose(moved, np.tan(np.pi / 6), rtol=1e-4)
    np.testing.assert_allclose(np.diff(places.x, axis=1), 1.0, rtol=1e-5)


def test_image_mask_and_weight_move_together():
    """A mask, the same mask as an image, and as a weight: after any composite they still agree."""
    rng = np.random.default_rng(1)
    mask = ndimage.gaussian_filter(rng.random((96, 96)), 4) > 0.5
    section = Section.of(mask.astype(np.float32), mask, mask.astype(np.float32))
    options = dataclasses.replace(
        ALWAYS,
        brightness=0.0,
        contrast=0.0,
        gamma=0.0,
        blur_px=0.0,
        noise=0.0,
        hide_probability=0.0,
        elastic_alpha_low=300,
    )
    result = augment(section, options, rng)
    np.testing.assert_allclose(result.image, result.weight, atol=1e-5)
    clear = np.abs(result.image - 0.5) > 0.45  # away from edges, where linear and nearest differ
    np.testing.assert_array_equal((result.image > 0.5)[clear], result.mask[clear])
    assert clear.mean() > 0.7
    assert 0.1 < result.mask.mean() < 0.9


def test_the_elastic_field_is_alpha_times_scipys_smoothed_uniform_noise():
    dy, dx = elastic_displacement(
        (80, 70), alpha=200.0, sigma_px=12.0, rng=np.random.default_rng(9)
    )
    noise = np.random.default_rng(9).random((2, 80, 70), dtype=np.float32) * 2.0 - 1.0
    expected = [200.0 * ndimage.gaussian_filter(n.astype(np.float64), 12.0) for n in noise]
    np.testing.assert_allclose(dy, expected[0], atol=1e-4)  # float32 against float64
    np.testing.assert_allclose(dx, expected[1], atol=1e-4)


def test_alpha_300_and_sigma_10_move_pixels_by_the_fields_five_pixels():
    """Theory: std = alpha x sqrt(1/3) / (2 sigma sqrt(pi)) = 4.9 px on each axis."""
    dy, _ = elastic_displacement(
        (512, 512), alpha=300.0, sigma_px=10.0, rng=np.random.default_rng(0)
    )
    assert dy.std() == pytest.approx(300 * np.sqrt(1 / 3) / (20 * np.sqrt(np.pi)), rel=0.1)


@pytest.mark.parametrize("fill", FILLS)
def test_fill_decides_what_stands_beyond_the_edge(fill):
    row = np.arange(8, dtype=np.float32)
    image = np.tile(row, (8, 1))
    section = Section.of(image, np.ones((8, 8), bool), np.ones((8, 8), np.float32))
    options = AugmentOptions(patch_px=8, fill=fill)
    result = apply(section, Composite(centre_yx=(3.5, 3.5 + 3)), options)
    expected = {
        "reflect": [7, 6, 5],
        "nearest": [7, 7, 7],
        "wrap": [0, 1, 2],
        "constant": [3.5, 3.5, 3.5],
    }[fill]
    np.testing.assert_allclose(result.image[0], [3, 4, 5, 6, 7, *expected])
    inside = fill != "constant"
    np.testing.assert_array_equal(result.mask[0, 5:], inside)
    np.testing.assert_array_equal(result.weight[0, 5:], float(inside))


def test_a_section_smaller_than_the_patch_is_filled_up(section):
    result = augment(section, dataclasses.replace(NEVER, patch_px=96), np.random.default_rng(0))
    np.testing.assert_array_equal(result.image[16:80, 16:80], section.image)
    np.testing.assert_array_equal(result.image[15, 16:80], section.image[0])


def test_a_mask_stays_a_mask(section):
    places = coordinate_map(Composite(centre_yx=MIDDLE, rotation_deg=33.0, zoom=1.3), SIDE)
    assert read_nearest(section.mask, places, "reflect").dtype == bool


def test_the_same_seed_gives_the_same_sample_and_another_seed_another(section):
    first, again, other = (augment(section, ALWAYS, np.random.default_rng(s)) for s in (7, 7, 8))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.composite == again.composite
    assert not np.array_equal(first.image, other.image)


def test_a_composite_can_be_replayed(section):
    first = augment(section, ALWAYS, np.random.default_rng(11))
    again = apply(section, first.composite, ALWAYS)
    np.testing.assert_array_equal(first.image, again.image)


def test_one_probability_leaves_the_other_steps_of_a_seed_alone():
    without = dataclasses.replace(ALWAYS, elastic_probability=0.0)
    first = draw((80, 80), ALWAYS, np.random.default_rng(2))
    second = draw((80, 80), without, np.random.default_rng(2))
    assert second.elastic_alpha == 0.0
    assert dataclasses.replace(second, elastic_alpha=first.elastic_alpha) == first


def test_draws_stay_within_their_bounds():
    rng = np.random.default_rng(0)
    drawn = [draw((100, 80), ALWAYS, rng) for _ in range(300)]
    assert max(abs(d.rotation_deg) for d in drawn) <= ALWAYS.rotation_deg
    assert max(abs(np.log(d.zoom)) for d in drawn) <= np.log1p(ALWAYS.zoom)
    alphas = [d.elastic_alpha for d in drawn]
    assert min(alphas) >= 100
    assert max(alphas) <= 300
    assert min(alphas) < 120
    assert max(alphas) > 280


def test_random_crops_reach_every_place_and_never_leave_the_section():
    options = dataclasses.replace(NEVER, crop_probability=1.0, patch_px=8)
    rng = np.random.default_rng(0)
    starts = {draw((12, 10), options, rng).centre_yx for _ in range(400)}
    assert starts == {(y + 3.5, x + 3.5) for y in range(5) for x in range(3)}


def test_brightness_and_contrast_count_in_standard_deviations(section):
    patch = section.image
    step = Composite(centre_yx=MIDDLE, brightness=0.5, contrast=2.0)
    changed = change_grey(patch, step, mean=section.mean, std=section.std)
    assert changed.mean() == pytest.approx(section.mean + 0.5 * section.std, rel=1e-4)
    assert changed.std() == pytest.approx(2 * section.std, rel=1e-4)


def test_noise_has_the_drawn_strength():
    flat = np.full((256, 256), 0.5, np.float32)
    step = Composite(centre_yx=MIDDLE, noise=0.25, seed=4)
    assert change_grey(flat, step, mean=0.5, std=0.2).std() == pytest.approx(0.05, rel=0.02)


def test_gamma_keeps_the_mean_and_the_order_of_grey_values():
    ramp = np.linspace(0, 1, 101, dtype=np.float32)[None]
    bent = change_grey(ramp, Composite(centre_yx=MIDDLE, gamma=1.3), mean=0.5, std=0.2)
    assert bent[0, 50] == pytest.approx(0.5)
    assert np.all(np.diff(bent[0]) >= 0)
    assert bent[0, 10] == pytest.approx(ramp[0, 10], abs=1e-6)  # two deviations below stays


def test_a_flat_image_passes_without_nan():
    flat = np.full((32, 32), 0.3, np.float32)
    options = dataclasses.replace(ALWAYS, patch_px=32)
    result = augment(Section.of(flat, flat > 0), options, np.random.default_rng(0))
    assert np.isfinite(result.image).all()


def test_the_grid_bends_with_the_map():
    grid = grid_overlay((SIDE, SIDE), spacing_px=16)
    straight = read_linear(
        grid, coordinate_map(Composite(centre_yx=MIDDLE), SIDE), "reflect", beyond=0
    )
    np.testing.assert_array_equal(straight, grid)
    turned = coordinate_map(Composite(centre_yx=MIDDLE, rotation_deg=45.0), SIDE)
    assert not np.array_equal(read_linear(grid, turned, "reflect", beyond=0), grid)


def test_hidden_places_are_rectangles_with_their_own_mean(section):
    step = Composite(centre_yx=MIDDLE, hidden=1, seed=3)
    covered = hide_places(section.image, step, largest_px=20, std=section.std)
    rows, columns = np.nonzero(covered != section.image)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert max(np.ptp(rows), np.ptp(columns)) < 20
    assert (covered[box] != section.image[box]).mean() > 0.99
    sides = covered[box].size
    assert covered[box].mean() == pytest.approx(
        section.image[box].mean(), abs=3 * 0.5 * section.std / np.sqrt(sides)
    )


def test_no_hidden_place_leaves_the_patch_alone(section):
    untouched = hide_places(section.image, Composite(centre_yx=MIDDLE), largest_px=20, std=1.0)
    np.testing.assert_array_equal(untouched, section.image)
