"""Packed pieces of a TIFF that claim to be larger than their place."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from tifffile import imwrite

from pipelines.core.classification.images import decode
from pipelines.core.images import open_stack
from pipelines.core.images_streams import num_pixels
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking.volumes import open_volume

JPEG, JPEG_2000, PNG, WEBP, LERC = 7, 34712, 34933, 50001, 34887
GREY = np.random.default_rng(0).integers(0, 255, (77, 123), np.uint8)
COLOUR = np.repeat(GREY[..., None], 3, 2)


def packed(code: int) -> bytes:
    encode = {
        JPEG: lambda: imagecodecs.jpeg8_encode(GREY),
        JPEG_2000: lambda: imagecodecs.jpeg2k_encode(GREY, codecformat="j2k"),
        PNG: lambda: imagecodecs.png_encode(GREY),
    }
    return bytes(encode[code]())


def swollen(code: int) -> bytes:
    """Return a picture that states 65,000 px a side, and is a few kilobytes."""
    content = bytearray(packed(code))
    if code == JPEG:
        struct.pack_into(">HH", content, content.find(b"\xff\xc0") + 5, 65_000, 65_000)
    elif code == PNG:
        struct.pack_into(">II", content, 16, 65_000, 65_000)
        struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    else:
        struct.pack_into(">II", content, content.find(b"\xff\x51") + 6, 65_000, 65_000)
    return bytes(content)


def tiff(code: int, stream: bytes) -> bytes:
    height, width = GREY.shape
    values = {256: width, 257: height, 258: 8, 259: code, 262: 1, 273: 8, 277: 1, 278: height,
              279: len(stream)}  # fmt: skip
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    directory = struct.pack("<H", len(values)) + tags + bytes(4)
    return struct.pack("<4sI", b"II\x2a\0", 8 + len(stream)) + stream + directory


@pytest.mark.parametrize("code", [JPEG, JPEG_2000, PNG])
def test_a_piece_that_claims_to_be_larger_than_its_place_is_refused(
    tmp_path: Path, code: int
) -> None:
    """The decoders took 4 GB for 300 bytes, whatever the TIFF around them said."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(code, swollen(code)))
    with pytest.raises(DataFormatError, match=r"a\.tif"):
        open_stack(path)
    with pytest.raises(DataFormatError, match=r"a\.tif"):
        open_volume(path)
    path.write_bytes(tiff(code, packed(code)))
    assert np.abs(open_stack(path)[0].astype(int) - GREY).mean() < 10


def test_a_claim_that_only_the_rare_reader_meets_is_refused() -> None:
    with pytest.raises(DataFormatError):
        decode(tiff(PNG, swollen(PNG)), "a.tif")
    assert np.array_equal(decode(tiff(PNG, packed(PNG)), "a.tif"), COLOUR)


def test_a_page_of_many_planes_counts_them_all(tmp_path: Path) -> None:
    """A depth of 250,000 counted for what is allocated, and not for what is checked."""
    buffer = io.BytesIO()
    imwrite(buffer, np.zeros((16, 64, 64), np.uint16), volumetric=True, tile=(16, 64, 64),
            compression="zlib")  # fmt: skip
    content = bytearray(buffer.getvalue())
    at = content.find(struct.pack("<HHI", 32997, 4, 1))
    at = at if at >= 0 else content.find(struct.pack("<HHI", 32997, 3, 1))
    struct.pack_into("<HHII", content, at, 32997, 4, 1, 250_000)
    with pytest.raises(DataFormatError):
        decode(bytes(content), "a.tif")


def test_a_packing_whose_size_cannot_be_asked_for_is_refused_by_its_name(tmp_path: Path) -> None:
    imwrite(tmp_path / "a.tif", GREY, compression="lerc")
    with pytest.raises(DataFormatError, match="lerc"):
        open_stack(tmp_path / "a.tif")


@pytest.mark.parametrize("lossless", [False, True])
def test_the_size_of_each_kind_of_webp_is_read(lossless: bool) -> None:
    content = imagecodecs.webp_encode(COLOUR, lossless=lossless)
    assert num_pixels(WEBP, content) == GREY.size
    extended = b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<IIHHH", 10, 0, 122, 76 << 8, 0)
    assert num_pixels(WEBP, extended) == GREY.size


@pytest.mark.parametrize("code", [JPEG, JPEG_2000, PNG])
def test_a_size_is_read_where_it_stands_and_nowhere_else(code: int) -> None:
    assert num_pixels(code, packed(code)) == GREY.size
    assert num_pixels(code, packed(code)[:12]) == 0
