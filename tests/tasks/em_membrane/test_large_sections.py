"""Sections of tens of thousands of pixels a side: looked at in pieces, and said to be too large."""

import dataclasses

import numpy as np
import pytest
from tifffile import imwrite

from pipelines.contract import DatasetRecord, PanelContext
from pipelines.core import images
from pipelines.core.images import open_stack, scale_to_unit, to_grey
from pipelines.tasks.em_membrane import data, data_labels
from pipelines.tasks.em_membrane.config import Config
from pipelines.tasks.em_membrane.data import inspect_source, open_label_stack
from pipelines.tasks.em_membrane.data_labels import spread_pieces
from pipelines.tasks.em_membrane.fake import generate_stack
from pipelines.tasks.em_membrane.panels import PANELS
from pipelines.text import LANGUAGES, render
from pipelines.views import TextView

IMAGES, INSIDE = generate_stack(2, 256, 7)
LABELS = INSIDE.astype(np.uint8) * 255


@pytest.fixture
def small_bounds(monkeypatch):
    """Let 256 px be large: pieces of 64 px a side, pages of 100."""
    monkeypatch.setattr(data_labels, "_TILE_PX", 16)
    monkeypatch.setattr(data, "SHOWN_SIDE_PX", 100)
    monkeypatch.setattr(data, "_unshowable", {})
    monkeypatch.setattr(images, "_BLOCK_PIXELS", 1000)


@pytest.fixture
def large(tmp_path, small_bounds):
    imwrite(tmp_path / "train-volume.tif", IMAGES, photometric="minisblack")
    imwrite(tmp_path / "train-labels.tif", LABELS, photometric="minisblack")
    return tmp_path


def record_of(found):
    return DatasetRecord(
        "large-1", "em_membrane", found.title, found.root, found.files, found.items, found.options,
        "marie", "2026-01-01",
    )  # fmt: skip


def test_a_report_on_large_sections_reads_labels_as_the_whole_would(large) -> None:
    found = inspect_source(large, {})
    whole = LABELS < 128
    facts = {text.id: value for text, value in found.facts}
    assert found.is_usable
    assert found.options["membrane_value"] == "low"
    assert facts["em_data.fact.range"].params == {"low": IMAGES.min(), "high": IMAGES.max()}
    share = facts["em_data.fact.share"].params["share"]
    assert share == pytest.approx(whole.mean(), abs=0.1), "known from 16 tiles"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_says_plainly_that_sections_are_too_large(large, language) -> None:
    (problem,) = [p for p in inspect_source(large, {}).problems if p.text.id.endswith("very_large")]
    assert problem.severity == "warning"
    assert problem.path == "train-volume.tif"
    assert "256 × 256 px" in render(problem.text, language)
    assert problem.text.params["bytes"] > 4 * 256**2


def test_usual_sections_are_not_called_large(tmp_path) -> None:
    imwrite(tmp_path / "train-volume.tif", IMAGES, photometric="minisblack")
    found = inspect_source(tmp_path, {})
    assert not [p for p in found.problems if p.text.id == "em_data.very_large"]


def test_panels_say_so_without_reading_a_section(large, monkeypatch) -> None:
    record = record_of(inspect_source(large, {}))
    files = [dataclasses.replace(f, num_bytes=10**6) for f in record.files]
    record = dataclasses.replace(record, files=tuple(files))
    monkeypatch.setattr(images.Stack, "read", None)
    context = PanelContext(record, [], 0, Config())
    for panel in PANELS:
        if panel.is_per_item:
            (view,) = panel.compute(context, None)
            assert isinstance(view, TextView)
            assert view.title.id == "em_views.too_large"


def test_labels_to_score_against_are_known_from_pieces(large) -> None:
    labels = open_label_stack(large / "train-labels.tif")
    assert labels.membrane_value == "low"
    np.testing.assert_array_equal(labels[1], INSIDE[1])


def test_a_section_of_usual_size_is_looked_at_whole() -> None:
    label, image = spread_pieces(LABELS[0], IMAGES[0])
    assert label is not None
    assert np.shares_memory(label, LABELS)
    assert np.shares_memory(image, IMAGES)


def test_pieces_of_label_and_image_are_of_the_same_places(small_bounds) -> None:
    places = np.arange(256 * 256).reshape(256, 256)
    label, image = spread_pieces(places, places * 2)
    assert label.shape == (64, 64)
    np.testing.assert_array_equal(image, label * 2)
    assert {int(label.min()), int(label.max())} == {0, 256 * 256 - 1}, "up to the corners"


def test_a_label_whose_tiles_hold_one_class_is_sampled_all_over(small_bounds) -> None:
    label = np.zeros((256, 256), np.uint8)
    label[30:60, 30:60] = 255  # between the tiles
    (piece,) = spread_pieces(label)
    assert set(np.unique(piece)) == {0, 255}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_values_are_scaled_the_same_in_blocks_of_rows(small_bounds, dtype) -> None:
    rng = np.random.default_rng(0)
    section = (rng.random((70, 50)) * 250).astype(dtype)
    if dtype is np.float32:
        section[3, 4:7] = np.nan, np.inf, -np.inf
    scaled = scale_to_unit(section, (20.0, 200.0))
    wide = np.nan_to_num(section.astype(np.float64), nan=0.0)
    expected = np.clip((wide - 20) / 180, 0, 1)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)
    assert scaled.dtype == np.float32


def test_luminance_is_the_same_in_blocks_of_rows(small_bounds) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    expected = np.rint(colours @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    found = to_grey(colours, "colours", "luminance")
    assert np.abs(found.astype(int) - expected).max() <= 1, "single precision may round a half"


def test_a_stack_keeps_no_section_that_is_too_large(tmp_path, monkeypatch) -> None:
    """Sixty files of a gigabyte each were all kept at once."""
    imwrite(tmp_path / "stack.tif", IMAGES, photometric="minisblack")
    monkeypatch.setattr(images, "_CACHED_BYTES", IMAGES[0].nbytes + 1)
    stack = open_stack(tmp_path / "stack.tif")
    assert stack.read(0) is stack.read(0)
    stack.read(1)
    assert len(stack._cache) == 1
    monkeypatch.setattr(images, "_CACHED_BYTES", IMAGES[0].nbytes - 1)
    np.testing.assert_array_equal(stack.read(1), IMAGES[1])
    stack.read(0)
    assert len(stack._cache) == 0
