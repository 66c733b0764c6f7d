import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

from pipelines.core.images import list_image_files, open_stack
from pipelines.errors import DataFormatError
from pipelines.tasks.em_membrane import convert
from pipelines.tasks.em_membrane.convert import WHY, convert_to_png
from pipelines.text import render
from tests.wording import assert_clear

RNG = np.random.default_rng(0)


def stack_of(tmp_path, pixels, **options):
    photometric = options.pop("photometric", "minisblack")
    imwrite(tmp_path / "a.tif", pixels, photometric=photometric, **options)
    return open_stack(tmp_path / "a.tif")


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        return [np.asarray(Image.open(io.BytesIO(archive.read(n)))) for n in archive.namelist()]


@pytest.mark.parametrize(
    "pixels",
    [
        RNG.integers(0, 256, (3, 20, 30)).astype(np.uint8),
        RNG.integers(0, 65536, (3, 20, 30)).astype(np.uint16),
        RNG.random((3, 20, 30)) > 0.5,
        RNG.integers(0, 65536, (3, 20, 30)).astype(np.int32),
    ],
    ids=["uint8", "uint16", "bool", "int32 that fits"],
)
def test_a_conversion_is_lossless_for_an_independent_reader(tmp_path, pixels):
    report = convert_to_png(stack_of(tmp_path, pixels), tmp_path / "out" / "a.zip")
    assert report.is_equal
    assert (report.num_sections, report.num_equal) == (3, 3)
    read = np.stack(read_zip(report.zip_path))  # Pillow, while imagecodecs wrote them
    np.testing.assert_array_equal(read, pixels)
    assert report.png_bytes == sum(len(c) for c in members(report.zip_path))
    assert report.source_bytes == (tmp_path / "a.tif").stat().st_size
    assert report.names == ("a_000.png", "a_001.png", "a_002.png")


def members(path):
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_colours_are_kept(tmp_path):
    pixels = RNG.integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    report = convert_to_png(stack_of(tmp_path, pixels, photometric="rgb"), tmp_path / "a.zip")
    assert report.is_equal
    np.testing.assert_array_equal(np.stack(read_zip(report.zip_path)), pixels)


def test_float_values_are_mapped_and_called_not_lossless(tmp_path):
    pixels = np.linspace(-2.0, 6.0, 1200, dtype=np.float32).reshape(2, 20, 30)
    pixels[0, 0, 5] = np.nan
    report = convert_to_png(stack_of(tmp_path, pixels), tmp_path / "a.zip")
    assert not report.is_equal
    assert not report.mapping.is_lossless
    read = np.stack(read_zip(report.zip_path)).astype(np.float64)
    back = read / report.mapping.factor + report.mapping.low
    is_number = np.isfinite(pixels)
    np.testing.assert_allclose(back[is_number], pixels[is_number], atol=8.0 / 65535)
    assert read[0, 0, 5] == 0
    assert_clear(report.text, "float32")


def test_a_stack_of_nothing_but_nan_is_refused(tmp_path):
    stack = stack_of(tmp_path, np.full((2, 4, 4), np.nan, np.float32))
    with pytest.raises(DataFormatError) as caught:
        convert_to_png(stack, tmp_path / "a.zip")
    assert_clear(caught.value.text, "a.tif")
    assert not (tmp_path / "a.zip").exists()


def test_a_pixel_that_changes_is_noticed(tmp_path, monkeypatch):
    encode = convert.encode_png

    def encode_badly(pixels):
        spoiled = pixels.copy()
        spoiled[0, 0] ^= 1
        return encode(spoiled)

    stack = stack_of(tmp_path, RNG.integers(0, 256, (2, 8, 8)).astype(np.uint8))
    monkeypatch.setattr(convert, "encode_png", encode_badly)
    report = convert_to_png(stack, tmp_path / "a.zip")
    assert not report.is_equal
    assert report.text.id == "em_data.convert.differs"


def test_progress_counts_to_its_end(tmp_path):
    seen = []
    stack = stack_of(tmp_path, np.zeros((3, 8, 8), np.uint8))
    convert_to_png(stack, tmp_path / "a.zip", lambda done, total: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]


def test_single_files_keep_their_names(tmp_path):
    for name in ("left", "right"):
        imwrite(tmp_path / f"{name}.tif", np.zeros((4, 4), np.uint8))
    report = convert_to_png(open_stack(list_image_files(tmp_path).files), tmp_path / "a.zip")
    assert report.names == ("left.png", "right.png")


def test_a_failure_leaves_the_old_zip(tmp_path):
    stack = stack_of(
        tmp_path, RNG.integers(0, 256, (3, 50, 50)).astype(np.uint8), compression="lzw"
    )
    (tmp_path / "a.zip").write_bytes(b"old")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:500])
    with pytest.raises(DataFormatError):
        convert_to_png(stack, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "a.zip"]


def test_the_sizes_are_said_in_both_languages(tmp_path):
    report = convert_to_png(stack_of(tmp_path, np.zeros((2, 99, 99), np.uint8)), tmp_path / "a.zip")
    assert report.size_ratio < 0.1
    for language in ("en", "fr"):
        assert "2" in render(report.text, language)
        assert "{" not in render(report.text, language) + render(WHY, language)
