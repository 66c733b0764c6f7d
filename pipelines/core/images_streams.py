"""Ask packed pictures inside a TIFF how large they are, before a decoder believes them.

A strip or tile of JPEG, JPEG 2000, PNG or WebP states its own size. The decoders allocate that size
whatever the TIFF says: 300 bytes that claim 65,000 x 65,000 px took 4 GB.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Protocol

from pipelines.errors import DataFormatError
from pipelines.text import Text

# Numbers of the TIFF tag "Compression".
_PLAIN: Final = frozenset({1, 2, 3, 4, 5, 8, 32771, 32773, 32946, 34925, 34926, 50000})
_JPEG: Final = frozenset({7, 33007, 34892})
_JPEG_2000: Final = frozenset({33003, 33004, 33005, 34712})
_PNG: Final = frozenset({34933})
_WEBP: Final = frozenset({34927, 50001})
_HEAD_BYTES: Final = 65_536
_SPARE_PIXELS: Final = 1_000_000  # encoders pad to whole blocks; as little as this does no harm
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # markers with the size


class _Seekable(Protocol):
    """Name what is needed of a file; tifffile's own has no more in common with others."""

    def seek(self, offset: int, /) -> int:
        """Go to a place."""

    def read(self, size: int, /) -> bytes:
        """Read from there."""


def check_streams(page: Any, file: _Seekable, label: str) -> None:
    """Refuse a page whose packed pieces claim to be larger than their place in it.

    Args:
        page: Page of tifffile, which is typed loosely.
        file: The file that it stands in, open for reading.
        label: Name for messages.

    Raises:
        DataFormatError: A piece does, or its packing is not read here.
    """
    code = int(page.compression)
    if code in _PLAIN:
        return
    if code not in _JPEG | _JPEG_2000 | _PNG | _WEBP:
        packing = str(getattr(page.compression, "name", code)).lower()
        raise DataFormatError(Text("images.packing", file=label, packing=packing))
    most = 4 * int(page.chunks[0]) * int(page.chunks[1]) + _SPARE_PIXELS
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        file.seek(offset)
        # an empty piece stands for an empty place
        if count and not 0 < num_pixels(code, file.read(min(count, _HEAD_BYTES))) <= most:
            raise DataFormatError(Text("images.damaged", file=label))


def num_pixels(code: int, head: bytes) -> int:
    """Return how many pixels the beginning of a packed picture states; 0 where it states none."""
    try:
        if code in _PNG:
            width, height = struct.unpack_from(">II", head, 16)
        elif code in _WEBP:
            width, height = _webp_size(head)
        elif code in _JPEG_2000:
            width, height = _jpeg_2000_size(head)
        else:
            width, height = _jpeg_size(head)
    except struct.error:
        return 0
    return int(width) * int(height)


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """Follow the segments of a JPEG to the one that states its size."""
    at = 2
    while True:
        mark, kind, length = struct.unpack_from(">BBH", head, at)
        if mark != 0xFF:
            return 0, 0
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        # a filling byte, or a marker without content
        at += 1 if kind == 0xFF else 2 if 0xD0 <= kind <= 0xD8 or kind == 1 else 2 + length


def _jpeg_2000_size(head: bytes) -> tuple[int, int]:
    """Find the size segment of a codestream, bare or in the boxes of a JP2 file."""
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return 0, 0
    right, bottom, left, top = struct.unpack_from(">IIII", head, at + 8)
    return max(0, right - left), max(0, bottom - top)


def _webp_size(head: bytes) -> tuple[int, int]:
    """Read the size of the three kinds of WebP: extended, lossless, lossy."""
    if head[12:16] == b"VP8X":
        low, middle, high = struct.unpack_from("<HHH", head, 24)
        return 1 + low + ((middle & 0xFF) << 16), 1 + (middle >> 8) + (high << 8)
    if head[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF
