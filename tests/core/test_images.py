import pickle
import struct
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tifffile import TiffFile, imwrite

from pipelines.core.images import (
    ImageFile,
    Limits,
    file_sha256,
    list_image_files,
    open_stack,
    scale_to_unit,
    to_grey,
    value_window,
)
from pipelines.errors import DataFormatError, DatasetNotFoundError, PipelineError
from tests.wording import assert_clear


def noise(*shape, dtype="uint8", seed=0):
    high = 2**16 if dtype == "uint16" else 256
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def write(path, pixels, **options):
    imwrite(path, pixels, photometric=options.pop("photometric", "minisblack"), **options)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw"},
        {"compression": "zlib"},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "packbits"},
        {"compression": "lzw", "predictor": True},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"tile": (16, 32)},
        {"rowsperstrip": 7},
        {"metadata": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_stack_is_read_back_as_it_was_written(tmp_path, options, dtype):
    pixels = noise(4, 37, 53, dtype=dtype)
    stack = open_stack(write(tmp_path / "a.tif", pixels, **options))
    assert stack.shape == pixels.shape
    assert stack.dtype == pixels.dtype
    for index in (2, 0, 3, -1, 1):
        np.testing.assert_array_equal(stack[index], pixels[index])


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_picture_is_a_stack_of_one_section(tmp_path, suffix):
    pixels = noise(20, 30)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    stack = open_stack(tmp_path / f"a.{suffix}")
    assert len(stack) == 1
    np.testing.assert_array_equal(stack[0], pixels)


def test_a_16_bit_png_keeps_its_values(tmp_path):
    pixels = noise(20, 30, dtype="uint16")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    stack = open_stack(tmp_path / "a.png")
    assert stack.dtype == np.uint16
    np.testing.assert_array_equal(stack[0], pixels)


def test_bool_sections_stay_bool(tmp_path):
    mask = noise(3, 21, 13) > 99
    Image.fromarray(mask[0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_stack(write(tmp_path / "a.tif", mask))[1], mask[1])
    np.testing.assert_array_equal(open_stack(tmp_path / "a.png")[0], mask[0])


def test_a_tiff_whose_zero_is_white_reads_as_it_looks(tmp_path):
    pixels = noise(2, 9, 11)
    stack = open_stack(write(tmp_path / "a.tif", pixels, photometric="miniswhite"))
    np.testing.assert_array_equal(stack[1], 255 - pixels[1])


def test_several_files_are_one_stack_in_natural_order(tmp_path):
    pixels = noise(12, 8, 9)
    for index, section in enumerate(pixels):
        write(tmp_path / f"slice{index}.tif", section)
    listing = list_image_files(tmp_path)
    assert [file.name for file in listing.files][1:3] == ["slice1.tif", "slice2.tif"]
    stack = open_stack(listing.files)
    np.testing.assert_array_equal(np.stack(list(stack)), pixels)


@pytest.mark.filterwarnings("ignore:.*separate component planes:DeprecationWarning")
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("count", [3, 4])
def test_few_sections_that_their_writer_took_for_colours(tmp_path, count, compression):
    """An array (4, H, W) given to `tifffile.imwrite` alone becomes one page of colour planes."""
    sections = np.random.default_rng(count).integers(0, 255, (count, 20, 30), np.uint8)
    imwrite(tmp_path / "few.tif", sections, compression=compression)
    with TiffFile(tmp_path / "few.tif") as tiff:
        assert len(tiff.pages) == 1

    stack = open_stack(tmp_path / "few.tif")

    assert len(stack) == count
    assert np.array_equal(np.stack([stack[i] for i in range(count)]), sections)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_equal_colour_channels_read_as_grey(tmp_path, planarconfig):
    grey = noise(2, 10, 12)
    axis = -1 if planarconfig == "contig" else 1
    colour = np.stack([grey] * 3, axis)
    path = write(tmp_path / "a.tif", colour, photometric="rgb", planarconfig=planarconfig)
    stack = open_stack(path)
    assert stack.num_channels == 3
    np.testing.assert_array_equal(stack[1], grey[1])
    np.testing.assert_array_equal(stack.read(1), np.stack([grey[1]] * 3, -1))


def test_luminance_weighs_green_most():
    colour = np.zeros((1, 3, 3), np.uint8)
    colour[0, 0, 0] = colour[0, 1, 1] = colour[0, 2, 2] = 255
    np.testing.assert_array_equal(to_grey(colour, "a", "luminance"), [[76, 150, 29]])


def test_imagej_stacks_state_their_pixel_size(tmp_path):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "unit": "micron"}
    imwrite(path, noise(3, 8, 8), imagej=True, resolution=(250, 250), metadata=metadata)
    assert open_stack(path).pixel_size_nm == pytest.approx(4.0)


def test_ome_stacks_state_their_pixel_size(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.0046, "PhysicalSizeXUnit": "µm"}
    imwrite(path, noise(3, 8, 8), photometric="minisblack", metadata=metadata)
    assert open_stack(path).pixel_size_nm == pytest.approx(4.6)


def test_a_resolution_for_printers_is_no_pixel_size(tmp_path):
    path = write(tmp_path / "a.tif", noise(8, 8), resolution=(72, 72), resolutionunit="INCH")
    assert open_stack(path).pixel_size_nm == 0


def test_a_stack_survives_the_way_to_another_process(tmp_path):
    pixels = noise(3, 8, 9)
    stack = open_stack(write(tmp_path / "a.tif", pixels, compression="lzw"))
    stack[0]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack))[2], pixels[2])  # noqa: S301 our own


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_threads_may_share_a_stack(tmp_path, compression):
    pixels = noise(20, 64, 64)
    stack = open_stack(write(tmp_path / "a.tif", pixels, compression=compression))
    order = np.random.default_rng(1).integers(0, 20, 200)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda i: stack[int(i)], order))
    assert all(np.array_equal(got, pixels[i]) for got, i in zip(read, order, strict=True))
    assert threading.active_count() < 50


def test_reading_one_section_does_not_load_the_stack(tmp_path):
    path = write(tmp_path / "a.tif", noise(60, 256, 256))  # 3.9 MB
    tracemalloc.start()
    try:
        open_stack(path)[30]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_a_zip_is_read_like_the_folder_that_it_was_packed_from(tmp_path):
    import shutil

    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    pixels = noise(3, 9, 10)
    write(folder / "stack.tif", pixels, compression="lzw")
    write(folder / "plain.tif", pixels)
    Image.fromarray(pixels[0]).save(folder / "sub" / "a.png")
    archive = Path(shutil.make_archive(str(tmp_path / "set"), "zip", folder))
    before = sorted(p.name for p in tmp_path.rglob("*"))
    from_folder, from_zip = list_image_files(folder), list_image_files(archive)
    assert [f.member for f in from_zip.files] == [f.name for f in from_folder.files]
    for outside, inside in zip(from_folder.files, from_zip.files, strict=True):
        assert inside.name == f"set.zip!{outside.name}"
        assert file_sha256(inside) == file_sha256(outside)
        np.testing.assert_array_equal(open_stack(inside)[-1], open_stack(outside)[-1])
    assert sorted(p.name for p in tmp_path.rglob("*")) == before  # nothing was unpacked


def test_small_sections_of_a_zip_may_lie_in_a_temporary_file(tmp_path, monkeypatch):
    import zipfile

    monkeypatch.setattr("pipelines.core.images._SPOOL_BYTES", 100)
    pixels = noise(3, 40, 40)
    write(tmp_path / "a.tif", pixels, compression="lzw")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.tif", "a.tif")
    np.testing.assert_array_equal(
        open_stack(list_image_files(tmp_path / "a.zip").files)[2], pixels[2]
    )


# --- values -----------------------------------------------------------------------------------


def test_8_bit_values_are_scaled_by_the_range_of_their_type(tmp_path):
    stack = open_stack(write(tmp_path / "a.tif", np.full((2, 4, 4), 51, np.uint8)))
    np.testing.assert_allclose(scale_to_unit(stack[0], value_window(stack)), 0.2, atol=1e-7)


def test_wide_values_are_scaled_by_percentiles_of_the_whole_stack(tmp_path):
    """Stretching each section by itself would hide that one is darker than the next."""
    dark = np.linspace(1000, 2000, 10_000).reshape(100, 100)
    stack = open_stack(write(tmp_path / "a.tif", np.stack([dark, dark + 1000]).astype(np.uint16)))
    window = value_window(stack)
    assert window == pytest.approx((1000, 3000), abs=10)
    means = [scale_to_unit(section, window).mean() for section in stack]
    assert means == pytest.approx([0.25, 0.75], abs=0.01)


def test_nan_reads_as_black_and_does_not_move_the_window(tmp_path):
    pixels = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(1, 100, 100)
    pixels[0, 50] = np.nan
    stack = open_stack(write(tmp_path / "a.tif", pixels))
    scaled = scale_to_unit(stack[0], value_window(stack))
    assert np.isfinite(scaled).all()
    assert (scaled[50] == 0).all()
    assert 0.99 < scaled.max() <= 1.0


@pytest.mark.parametrize("value", [7.5, 0.0, -3e30, 1e30])
def test_a_constant_section_is_scaled_without_dividing_by_zero(tmp_path, value):
    """One more than a huge value is the same value again."""
    stack = open_stack(write(tmp_path / "a.tif", np.full((4, 4), value, np.float32)))
    assert (scale_to_unit(stack[0], value_window(stack)) == 0).all()


# --- hostile and broken -----------------------------------------------------------------------


def tiff_header(width, height, *, strip_bytes, compression=1, pad_to=1000):
    """Build a little-endian TIFF of one 8-bit page that declares what it is told to."""
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1),
        (273, 4, 200), (277, 3, 1), (278, 4, height), (279, 4, strip_bytes),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II\x2a\x00" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return head.ljust(pad_to, b"\0")


@pytest.mark.parametrize("compression", [1, 5, 8, 50000])
def test_a_40_gb_header_in_a_1_kb_file_allocates_nothing(tmp_path, compression):
    path = tmp_path / "huge.tif"
    path.write_bytes(tiff_header(200_000, 200_000, strip_bytes=700, compression=compression))
    tracemalloc.start()
    try:
        with pytest.raises(DataFormatError) as caught:
            open_stack(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert_clear(caught.value.text, "huge.tif", "40")


def test_a_section_above_the_limit_is_refused_with_its_size(tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((1000, 1000), np.uint8), compression="zlib")
    with pytest.raises(DataFormatError) as caught:
        open_stack(path, limits=Limits(max_section_bytes=999_999))
    assert_clear(caught.value.text, "a.tif")


@pytest.mark.parametrize("kept", [0.999, 0.9, 0.5, 0.1, 0.02])
@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("metadata", [None, {}])
def test_a_truncated_stack_is_never_taken_for_a_shorter_one(tmp_path, kept, compression, metadata):
    pixels = noise(5, 40, 40)
    path = write(tmp_path / "a.tif", pixels, compression=compression, metadata=metadata)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    try:
        read = np.stack(list(open_stack(path)))
    except DataFormatError as error:
        assert_clear(error.text, "a.tif")
    else:  # only words behind the pixels were cut off
        assert kept == 0.999
        np.testing.assert_array_equal(read, pixels)


def test_a_stack_that_shrinks_while_it_is_open_is_reported(tmp_path):
    path = write(tmp_path / "a.tif", noise(5, 40, 40))
    stack = open_stack(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataFormatError) as caught:
        stack[4]
    assert_clear(caught.value.text, "a.tif")


@pytest.mark.parametrize(
    "content",
    [b"just some words\n" * 9, b"PK", b"II\x2a\x00", b"MM\x00\x2b\x00\x08\x00\x00", b"\0"],
)
def test_a_text_named_tif_is_refused(tmp_path, content):
    path = tmp_path / "words.tif"
    path.write_bytes(content)
    with pytest.raises(DataFormatError) as caught:
        open_stack(path)
    assert_clear(caught.value.text, "words.tif")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.tif").touch()
    with pytest.raises(DataFormatError) as caught:
        open_stack(tmp_path / "a.tif")
    assert_clear(caught.value.text, "a.tif", "0")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DatasetNotFoundError) as caught:
        open_stack(tmp_path / "a.tif")
    assert_clear(caught.value.text, "a.tif")


def test_a_truncated_png_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataFormatError) as caught:
        open_stack(path)[0]
    assert_clear(caught.value.text, "a.png")


def test_a_png_that_declares_a_huge_size_is_refused(tmp_path):
    import zlib

    body = b"IHDR" + struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    idat = b"IDAT" + zlib.compress(b"\0" * 100)
    chunk += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(DataFormatError) as caught:
        open_stack(tmp_path / "a.png")
    assert_clear(caught.value.text, "a.png")


def test_differing_colours_are_refused_where_grey_is_expected(tmp_path):
    path = write(tmp_path / "a.tif", noise(6, 7, 3), photometric="rgb")
    with pytest.raises(DataFormatError) as caught:
        open_stack(path)[0]
    assert_clear(caught.value.text, "a.tif")
    assert open_stack(path, colour="luminance")[0].shape == (6, 7)


def test_pages_of_different_size_are_named(tmp_path):
    from tifffile import TiffWriter

    with TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(noise(8, 9), photometric="minisblack")
        tiff.write(noise(10, 9), photometric="minisblack")
    with pytest.raises(DataFormatError) as caught:
        open_stack(tmp_path / "a.tif")
    assert_clear(caught.value.text, "a.tif", "9 × 8", "9 × 10")


def test_files_of_different_size_are_named(tmp_path):
    a, b = write(tmp_path / "a.tif", noise(8, 9)), write(tmp_path / "b.tif", noise(8, 10))
    with pytest.raises(DataFormatError) as caught:
        open_stack([ImageFile(a, name="a.tif"), ImageFile(b, name="b.tif")])
    assert_clear(caught.value.text, "a.tif", "b.tif")


def test_channels_are_not_taken_for_sections(tmp_path):
    path = tmp_path / "a.tif"
    imwrite(path, noise(2, 2, 8, 8), imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(DataFormatError) as caught:
        open_stack(path)
    assert_clear(caught.value.text, "a.tif", "2")


def test_complex_values_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((4, 4), np.complex64))
    with pytest.raises(DataFormatError) as caught:
        open_stack(path)
    assert_clear(caught.value.text, "a.tif")


def test_a_page_chain_that_runs_in_a_circle_ends(tmp_path):
    content = bytearray(tiff_header(4, 4, strip_bytes=16))
    content[8 + 2 + 9 * 12 : 8 + 2 + 9 * 12 + 4] = struct.pack("<I", 8)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataFormatError) as caught:
        open_stack(tmp_path / "a.tif")
    assert_clear(caught.value.text, "a.tif")


@pytest.mark.parametrize("kind", ["plain", "lzw", "tiled", "big", "png"])
def test_damage_anywhere_ends_in_a_sentence_or_an_image(tmp_path, kind):
    """Whatever bytes are overwritten, nothing but a PipelineError may come out."""
    options = {
        "plain": {}, "lzw": {"compression": "lzw"}, "big": {"bigtiff": True},
        "tiled": {"tile": (16, 16), "compression": "zlib"},
    }  # fmt: skip
    path = tmp_path / ("a.png" if kind == "png" else "a.tif")
    if kind == "png":
        Image.fromarray(noise(30, 30)).save(path)
    else:
        write(path, noise(2, 30, 30), **options[kind])
    content = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(120):
        broken = bytearray(content)
        for place in rng.integers(0, min(len(broken), 600), 4):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            stack = open_stack(path, limits=Limits(max_section_bytes=50_000_000))
            [stack.read(i) for i in range(min(len(stack), 3))]
        except PipelineError as error:
            assert_clear(error.text)
