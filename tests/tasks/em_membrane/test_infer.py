"""Prediction of sections: units, sizes, and what follows the network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from pipelines.tasks.em_membrane.config import Config
from pipelines.tasks.em_membrane.gaps import close_gaps
from pipelines.tasks.em_membrane.infer import (
    SIZES,
    inference_of,
    predict_probabilities,
    predict_sections,
    standardise,
)
from pipelines.tasks.em_membrane.model import build_model

CPU = torch.device("cpu")
OPTIONS = Config(base_channels=4, depth=2, stem=2, num_affinities=2)
PLAIN = dataclasses.replace(
    OPTIONS, symmetries="none", close_gaps=False, precision="full", grey_scale="section"
)


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(72, 60)), 3)
    return np.uint8(np.clip(128 + 300 * smooth, 0, 255))


class Brightness(nn.Module):
    """Say that bright pixels are inside: a network whose answer is known at every size."""

    def __init__(self) -> None:
        super().__init__()
        self.steepness = nn.Parameter(torch.tensor(1.0))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(image.shape))
        return torch.cat([torch.zeros_like(image), self.steepness * image], 1)


def test_prediction_does_not_depend_on_the_units_of_the_grey_values(image):
    model = build_model(OPTIONS).eval()
    as_16_bit = image.astype(np.uint16) * 200 + 1000
    as_float = image.astype(np.float64) / 255
    found = predict_sections(model, [image, as_16_bit, as_float], OPTIONS, CPU)
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, atol=2e-2)  # the network runs in bfloat16
    assert found[0].shape == image.shape


def test_standardised_sections_have_mean_zero_and_deviation_one(image):
    values = standardise(image, PLAIN)
    assert values.mean() == pytest.approx(0, abs=1e-5)
    assert values.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("grey_scale", ["section", "local"])
def test_an_empty_section_stays_empty(grey_scale):
    options = dataclasses.replace(OPTIONS, grey_scale=grey_scale)
    np.testing.assert_array_equal(standardise(np.full((4, 4), 7, np.uint8), options), 0.0)


def test_seen_against_what_is_around_uneven_stain_hardly_matters():
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(400, 400)), 2)
    ramp = np.linspace(-1, 1, 400)
    shaded = image * (1 + 0.6 * ramp[:, None]) + 3 * image.std() * ramp
    locally, wholly = (
        [standardise(i, dataclasses.replace(OPTIONS, grey_scale=scale)) for i in (image, shaded)]
        for scale in ("local", "section")
    )
    assert np.corrcoef(locally[0].ravel(), locally[1].ravel())[0, 1] > 0.97
    assert np.corrcoef(wholly[0].ravel(), wholly[1].ravel())[0, 1] < 0.6


def test_the_neighbourhood_is_a_gaussian_one():
    rng = np.random.default_rng(1)
    image = rng.normal(size=(300, 300)).astype(np.float32)
    whole = (image - image.mean()) / image.std()
    away = whole - ndimage.gaussian_filter(whole, 40)
    expected = away / np.sqrt(ndimage.gaussian_filter(away**2, 40) + 0.22**2)
    np.testing.assert_allclose(standardise(image, OPTIONS), expected, atol=2e-3)


def test_several_sizes_are_the_mean_of_each_size_alone(image):
    four = predict_sections(Brightness(), [image], dataclasses.replace(PLAIN, sizes="four"), CPU)
    expected = np.mean([_slowly(image, size) for size in SIZES["four"]], axis=0)
    # between pixels OpenCV and SciPy differ; at the rim they mirror differently
    np.testing.assert_allclose(four[0][4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.05)
    one = predict_sections(Brightness(), [image], PLAIN, CPU)[0]
    assert np.abs(four[0] - one).max() > 0.01


def test_one_size_is_what_the_network_says(image):
    found = predict_sections(Brightness(), [image], PLAIN, CPU)[0]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-standardise(image, PLAIN))), atol=1e-6)


def test_tiles_grow_with_the_size_so_that_a_section_stays_in_one():
    for size in SIZES["four"]:
        side = inference_of(PLAIN, size).tiling.tile_px[0]
        assert side >= PLAIN.tile_px * size


def test_gaps_are_closed_after_the_sizes_are_averaged(image):
    options = dataclasses.replace(PLAIN, sizes="four")
    before = predict_sections(Brightness(), [image], options, CPU)[0]
    after = predict_sections(
        Brightness(), [image], dataclasses.replace(options, close_gaps=True), CPU
    )[0]
    np.testing.assert_array_equal(after, close_gaps(before))


def test_sections_of_different_shapes_come_in_order_and_with_their_shapes(image):
    images = [image, image[:40], image[:, :33]]
    found = predict_sections(Brightness(), images, dataclasses.replace(PLAIN, sizes="four"), CPU)
    assert [p.shape for p in found] == [i.shape for i in images]
    assert all(p.dtype == np.float32 and p.min() >= 0 and p.max() <= 1 for p in found)


def test_a_wish_to_stop_ends_the_walk_between_sections(image):
    wishes = iter([False] * 4 + [True] * 100)
    found = predict_probabilities(
        Brightness(),
        [image] * 5,
        dataclasses.replace(PLAIN, sizes="four"),
        CPU,
        is_cancelled=lambda: next(wishes),
    )
    assert len(list(found)) == 1


def _slowly(image: np.ndarray, size: float) -> np.ndarray:
    shape = [round(side * size) for side in image.shape]
    scaled = _zoom(image.astype(float), shape)
    inside = 1 / (1 + np.exp(-(scaled - scaled.mean()) / scaled.std()))
    return _zoom(inside, image.shape)


def _zoom(image: np.ndarray, shape: tuple[int, ...] | list[int]) -> np.ndarray:
    factors = [new / old for new, old in zip(shape, image.shape, strict=True)]
    return ndimage.zoom(image, factors, order=1, grid_mode=True, mode="nearest")
