"""Random changes: identities, black stays black, the same seed gives the same picture."""

import numpy as np

from pipelines.core.classification.augment import Augmentation, augment, measure_colours

_NOTHING = Augmentation(False, False, 0.0, 0.0, 0.0, 0.0, 0.0)


def _picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)


def test_no_change_gives_the_picture_back():
    changed = augment(_picture(), _NOTHING, np.random.default_rng(1))
    np.testing.assert_array_equal(changed, _picture())


def test_the_same_seed_gives_the_same_variant_and_another_seed_another():
    settings = Augmentation()
    first = augment(_picture(), settings, np.random.default_rng(1))
    np.testing.assert_array_equal(first, augment(_picture(), settings, np.random.default_rng(1)))
    assert (first != augment(_picture(), settings, np.random.default_rng(2))).any()


def test_a_stain_of_strength_zero_and_no_brightness_keep_the_colours_within_rounding():
    settings = Augmentation(False, False, 0.0, 0.0, 1e-9, 0.0, 0.0)
    changed = augment(_picture(), settings, np.random.default_rng(1)).astype(int)
    assert np.abs(changed - _picture()).max() <= 1


def test_black_around_a_cell_stays_black():
    pixels = np.zeros((30, 30, 3), np.uint8)
    pixels[10:20, 10:20] = (120, 40, 130)
    settings = Augmentation(stain=0.5, brightness=0.3, rotation=False, shift_px=0, scale=0)
    changed = augment(pixels, settings, np.random.default_rng(3))
    assert changed[:8].max() == 0
    assert changed[12:18, 12:18].min() > 0


def test_normalised_training_pictures_have_mean_0_and_spread_1():
    batch = np.stack([_picture(), 255 - _picture() // 3])
    x = measure_colours(batch).apply(batch)
    np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 2, 3)), 1, atol=1e-4)
