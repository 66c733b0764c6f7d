"""The baseline without learning."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from pipelines.config import describe
from pipelines.tasks.em_membrane import metrics
from pipelines.tasks.em_membrane.baseline import BaselineConfig, score_section
from pipelines.text import LANGUAGES, render


def _cells(size: int = 96, pitch: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Draw bright squares between dark lines, with noise and a slope of brightness across."""
    rng = np.random.default_rng(0)
    at = np.arange(size) % pitch
    inside = (at[:, None] > 3) & (at[None, :] > 3)
    image = 60 + 80 * inside + np.linspace(0, 100, size)[None, :] + rng.normal(0, 15, (size, size))
    return np.clip(image, 0, 255).astype(np.uint8), inside


def test_clear_cells_are_found_in_spite_of_noise_and_uneven_light() -> None:
    image, inside = _cells()
    scores = score_section(image, BaselineConfig())
    assert metrics.score(metrics.measure(scores[None], inside[None], [0.5]), 0.5)["v_rand"] > 0.99


def test_the_neighbourhood_forgives_uneven_light_and_otsu_does_not() -> None:
    image, inside = _cells()
    figures = {}
    for method in ("local", "otsu"):
        scores = score_section(image, BaselineConfig(method=method))
        figures[method] = metrics.score(metrics.measure(scores[None], inside[None], [0.5]), 0.5)[
            "dice"
        ]
    assert figures["local"] > figures["otsu"] + 0.1


def test_half_is_otsus_threshold() -> None:
    rng = np.random.default_rng(1)
    image = np.where(rng.random((64, 64)) < 0.3, 50, 180) + rng.normal(0, 5, (64, 64))
    scores = score_section(image, BaselineConfig(method="otsu", smoothing_px=0))
    inside = image > threshold_otsu(image)
    assert np.mean((scores > 0.5) == inside) > 0.999


@pytest.mark.parametrize("method", ["local", "otsu"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_scores_are_float32_from_0_to_1_whatever_the_images_type(method, dtype) -> None:
    image = (gaussian_filter(np.random.default_rng(2).random((40, 50)), 2) * 200).astype(dtype)
    scores = score_section(image, BaselineConfig(method=method))
    assert scores.dtype == np.float32
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.parametrize("method", ["local", "otsu"])
def test_brightness_and_contrast_do_not_matter(method) -> None:
    image, _ = _cells()
    config = BaselineConfig(method=method)
    other = 3.0 * image + 1000
    # Otsu works on 256 grey levels, so a level may fall either way
    np.testing.assert_allclose(
        score_section(other, config), score_section(image, config), atol=0.01
    )


@pytest.mark.parametrize("method", ["local", "otsu"])
def test_bright_membranes_are_the_negative_of_dark_ones(method) -> None:
    image, _ = _cells()
    dark = score_section(image, BaselineConfig(method=method))
    bright = score_section(255 - image, BaselineConfig(method=method, is_membrane_dark=False))
    np.testing.assert_allclose(bright, dark, atol=0.01)


@pytest.mark.parametrize("method", ["local", "otsu"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (30, 30)])
def test_a_flat_section_scores_half_everywhere(method, shape) -> None:
    scores = score_section(np.full(shape, 77, np.uint8), BaselineConfig(method=method))
    np.testing.assert_allclose(scores, 0.5)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np;"
        "from pipelines.tasks.em_membrane.baseline import BaselineConfig, score_section;"
        "score_section(np.zeros((8, 8), np.uint8), BaselineConfig());"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_has_its_words(language) -> None:
    for info in describe(BaselineConfig):
        texts = [info.label, info.help, *map(info.choice_label, info.choices)]
        assert not [t.id for t in texts if render(t, language) == t.id]
