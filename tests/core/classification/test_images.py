"""Pictures from zips and folders: the same pixels as plain readers give, and every bad file."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipelines.core.classification.images import (
    MAX_PIXELS,
    PictureReader,
    decode,
    decode_all,
    fit_square,
    open_source,
    to_rgb,
)
from pipelines.core.classification.plain_bmp import read_plain_bmp
from pipelines.core.classification.plain_tiff import read_plain_tiff
from pipelines.errors import DataFormatError
from tests.wording import assert_clear


def _picture(seed: int = 0, side: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "BMP"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_member_of_a_zip_has_the_pixels_that_were_written(tmp_path, kind, method):
    pixels = _picture()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr(f"train/x.{kind.lower()}", _encoded(pixels, kind))
        archive.writestr(f"train/y.{kind.lower()}", _encoded(_picture(1), kind))
    source = open_source(tmp_path / "a.zip")
    reader = PictureReader(source.path)
    np.testing.assert_array_equal(reader.read(source.entries[0]), pixels)


def test_parallel_decoding_keeps_the_order_and_puts_errors_in_their_place(tmp_path):
    for i in range(150):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i:03d}.png")
    (tmp_path / "040.png").write_bytes(b"no picture")
    source = open_source(tmp_path)
    found = list(decode_all(PictureReader(source.path), source.entries, num_threads=3))
    assert isinstance(found[40], DataFormatError)
    assert [int(p[0, 0, 0]) for i, p in enumerate(found) if i != 40] == [
        i for i in range(150) if i != 40
    ]


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.bmp", _encoded(_picture(), "BMP"))
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(bytes(content))
    source = open_source(path)
    with pytest.raises(DataFormatError) as caught:
        PictureReader(path).read(source.entries[0])
    assert_clear(caught.value.text, "x.bmp")


def _png_header(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    body = b"IDAT" + zlib.compress(b"\0")
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    )  # fmt: skip


def test_a_picture_of_30000_by_30000_is_refused_from_its_header():
    with pytest.raises(DataFormatError) as caught:
        decode(_png_header(30_000, 30_000), "bomb.png")
    assert caught.value.text.id == "classes.too_large"
    assert_clear(caught.value.text, "bomb.png")
    assert MAX_PIXELS < 30_000**2


def test_a_tiff_that_declares_too_much_is_refused_from_its_header(tmp_path):
    path = tmp_path / "big.tif"
    tifffile.memmap(path, shape=(8, 8, 3), dtype=np.uint8, photometric="rgb")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for name in ("ImageWidth", "ImageLength"):
            content[tiff.pages[0].tags[name].valueoffset :][:0] = b""
            offset = tiff.pages[0].tags[name].valueoffset
            content[offset : offset + 2] = struct.pack("<H", 30_000)
    with pytest.raises(DataFormatError) as caught:
        decode(bytes(content), "big.tif")
    assert caught.value.text.id == "classes.too_large"


@pytest.mark.parametrize("name", ["notes.tif", "notes.png"])
def test_a_text_file_with_the_name_of_a_picture_is_no_picture(name):
    with pytest.raises(DataFormatError) as caught:
        decode(b"id,label\n1,0\n", name)
    assert_clear(caught.value.text, name)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG", "BMP"])
def test_a_truncated_picture_is_refused_by_name(kind):
    content = _encoded(_picture(side=64), kind)
    with pytest.raises(DataFormatError) as caught:
        decode(content[: len(content) // 2], "half")
    assert_clear(caught.value.text, "half")


def test_a_zip_with_a_name_that_leaves_the_folder_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../x.png", _encoded(_picture(), "PNG"))
    with pytest.raises(DataFormatError) as caught:
        open_source(path)
    assert_clear(caught.value.text, "a.zip")


def test_a_zip_of_zips_says_so(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.zip", b"PK\x03\x04")
    with pytest.raises(DataFormatError) as caught:
        open_source(path)
    assert "inner.zip" in str(caught.value)


def test_sixteen_bit_and_grey_pictures_become_eight_bit_colour():
    ramp = np.linspace(100, 5000, 64).reshape(8, 8).astype(np.uint16)
    rgb = to_rgb(ramp)
    assert rgb.shape == (8, 8, 3)
    assert (int(rgb.min()), int(rgb.max())) == (0, 255)
    assert np.array_equal(rgb[..., 0], rgb[..., 2])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_four_inks_become_the_colours_that_a_viewer_shows(kind):
    """Of a TIFF in CMYK cyan, magenta and yellow were taken for red, green and blue."""
    red = Image.new("RGB", (32, 32), (220, 30, 40)).convert("CMYK")
    buffer = io.BytesIO()
    red.save(buffer, format=kind)
    found = decode(buffer.getvalue(), "a")
    np.testing.assert_allclose(found.reshape(-1, 3).mean(axis=0), (220, 30, 40), atol=3)


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_photograph_is_turned_as_its_camera_says(turned):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :16] = 255
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = turned
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", exif=exif, quality=95)
    across, down = pixels[:, ::-1], pixels[::-1]
    shown = [pixels, across, down[:, ::-1], down]
    shown += [np.swapaxes(p, 0, 1) for p in (pixels, down, down[:, ::-1], across)]
    np.testing.assert_allclose(decode(buffer.getvalue(), "a"), shown[turned - 1], atol=24)


def test_a_picture_of_another_kind_is_called_one():
    with pytest.raises(DataFormatError) as caught:
        decode(b"GIF89a" + bytes(20), "a.GIF")
    assert caught.value.text.id == "images.other_kind"
    assert_clear(caught.value.text, "a.GIF", ".gif")


def test_fitting_keeps_the_centre():
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[15:25, 25:35] = 200
    np.testing.assert_array_equal(fit_square(pixels, 10, crop_px=10), pixels[15:25, 25:35])
    assert fit_square(pixels[:5, :5], 10, crop_px=10).shape == (10, 10, 3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("rows", [None, 5, 96])
def test_a_plain_tiff_read_by_hand_is_what_tifffile_reads(order, rows):
    pixels = _picture(3, side=96)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", byteorder=order, rowsperstrip=rows)
    found = read_plain_tiff(buffer.getvalue())
    assert found is not None
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"planarconfig": "separate"},
        {"photometric": "ycbcr", "compression": "jpeg"},
    ],
)
def test_a_tiff_that_is_not_plain_is_left_to_the_general_readers(options):
    pixels = _picture(3, side=96)
    buffer = io.BytesIO()
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(buffer, stored, **{"photometric": "rgb", **options})
    assert read_plain_tiff(buffer.getvalue()) is None
    assert decode(buffer.getvalue(), "x.tif").shape == pixels.shape


def test_a_plain_tiff_cut_anywhere_is_refused_and_never_invented():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, _picture(3, side=96), photometric="rgb")
    content = buffer.getvalue()
    for length in range(0, len(content), 997):
        assert read_plain_tiff(content[:length]) is None


def bitmap(width=7, height=5, mode="RGB"):
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "BMP")
    return pixels, buffer.getvalue()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 450])
def test_a_plain_bitmap_read_by_hand_is_what_was_written(width):
    """Lines end at a multiple of four bytes, and the last line comes first."""
    pixels, content = bitmap(width)
    np.testing.assert_array_equal(read_plain_bmp(content), pixels)
    assert read_plain_bmp(content[:-1]) is None, "a cut file is left to the general reader"


def test_a_bitmap_that_is_written_from_the_top_is_not_turned():
    pixels, content = bitmap(4, 5)
    turned = content[:22] + (-5).to_bytes(4, "little", signed=True) + content[26:]
    np.testing.assert_array_equal(read_plain_bmp(turned), pixels[::-1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(turned))), pixels[::-1])


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA"])
def test_other_bitmaps_are_left_to_the_general_reader(mode):
    _, content = bitmap(mode=mode)
    assert read_plain_bmp(content) is None
    assert decode(content, "a.bmp").shape == (5, 7, 3)


@pytest.mark.parametrize(("place", "size"), [(18, 2**31 - 1), (22, 2**31 - 1), (22, 0), (18, 0)])
def test_a_bitmap_that_lies_about_its_size_is_not_read_by_hand(place, size):
    _, content = bitmap()
    assert (
        read_plain_bmp(content[:place] + size.to_bytes(4, "little") + content[place + 4 :]) is None
    )
