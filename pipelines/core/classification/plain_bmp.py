"""Read the plain bitmaps that microscopes and C-NMC write, without what a general reader asks."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

_HEAD: Final = struct.Struct("<10xIIiiHHI")
"""Offset of the pixels, size of the header, width, height, planes, bits a pixel, compression."""
_FILE_HEAD: Final = 14


def read_plain_bmp(content: bytes) -> NDArray[np.uint8] | None:
    """Read an uncompressed bitmap of 24 bits a pixel.

    Args:
        content: The file.

    Returns:
        `(H, W, 3)` uint8 RGB, or None for any other kind of bitmap and for one that ends too early.
    """
    if len(content) < _HEAD.size or content[:2] != b"BM":
        return None
    offset, head, width, height, planes, bits, compression = _HEAD.unpack_from(content)
    if head < 40 or (planes, bits, compression) != (1, 24, 0) or width < 1 or not height:
        return None
    rows, stride = abs(height), (3 * width + 3) // 4 * 4  # a line ends at a multiple of 4 bytes
    if offset < _FILE_HEAD + head or offset + rows * stride > len(content):
        return None
    return _turned((rows, width), stride, content, offset, is_upward=height > 0)


def _turned(
    shape: tuple[int, int], stride: int, content: bytes, offset: int, *, is_upward: bool
) -> NDArray[np.uint8]:
    """Return RGB from the top of BGR that is written from the bottom, or from the top."""
    import cv2

    stored = np.ndarray((*shape, 3), np.uint8, content, offset, (stride, 3, 1))
    rgb = np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)
    return np.ascontiguousarray(rgb[::-1]) if is_upward else rgb
