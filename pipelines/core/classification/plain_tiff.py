"""Read the simplest TIFF there is without a library: 8-bit RGB, uncompressed, in one piece.

Patches of 96 x 96 px come in this form, and a general reader spends three quarters of its time on
their tags. Anything unusual gives None, and the general readers take over.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SHORT, _LONG = 3, 4
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS = 256, 257, 258, 259, 262
_OFFSETS, _ORIENTATION, _SAMPLES, _COUNTS, _PLANES = 273, 274, 277, 279, 284
_REQUIRED: Final = {_COMPRESSION: 1, _COLOURS: 2, _SAMPLES: 3}
_ALLOWED: Final = {_ORIENTATION: 1, _PLANES: 1}
_MOST_TAGS: Final = 60


def read_plain_tiff(content: bytes) -> NDArray[np.uint8] | None:
    """Return `(H, W, 3)` uint8 pixels, or None when the file is anything but plain."""
    order = {b"II\x2a\x00": "<", b"MM\x00\x2a": ">"}.get(content[:4])
    if order is None:
        return None
    try:
        tags = _tags(content, order)
        if tags is None or not _is_plain(tags, content, order):
            return None
        height, width = tags[_HEIGHT][1], tags[_WIDTH][1]
        start = _first_offset(tags, content, order)
    except (struct.error, KeyError):
        return None
    size = height * width * 3
    if start is None or size < 1 or start + size > len(content):
        return None
    return np.frombuffer(content, np.uint8, size, start).reshape(height, width, 3)


def _tags(content: bytes, order: str) -> dict[int, tuple[int, int, int, int]] | None:
    """Return tag to (count, value or offset, type, place of the value)."""
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, place)
    if count > _MOST_TAGS:
        return None
    tags = {}
    for at in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", content, at)
        form = "H" if kind == _SHORT and number <= 2 else "I"  # else where the values lie
        (value,) = struct.unpack_from(f"{order}{form}", content, at + 8)
        tags[tag] = (number, value, kind, at + 8)
    return tags


def _is_plain(tags: dict[int, tuple[int, int, int, int]], content: bytes, order: str) -> bool:
    if any(tags[tag][1] != value for tag, value in _REQUIRED.items()):
        return False
    if any(tag in tags and tags[tag][1] != value for tag, value in _ALLOWED.items()):
        return False
    number, place, kind, _ = tags[_BITS]
    return (number, kind) == (3, _SHORT) and struct.unpack_from(f"{order}3H", content, place) == (
        8, 8, 8,
    )  # fmt: skip


def _first_offset(
    tags: dict[int, tuple[int, int, int, int]], content: bytes, order: str
) -> int | None:
    """Return where the pixels begin when all strips lie behind one another, else None."""
    offsets, counts = (_numbers(tags[tag], content, order) for tag in (_OFFSETS, _COUNTS))
    place = offsets[0]
    for offset, count in zip(offsets, counts, strict=False):
        if offset != place:
            return None
        place += count
    size = tags[_HEIGHT][1] * tags[_WIDTH][1] * 3
    return offsets[0] if len(offsets) == len(counts) and place - offsets[0] == size else None


def _numbers(tag: tuple[int, int, int, int], content: bytes, order: str) -> tuple[int, ...]:
    number, value, kind, place = tag
    if kind not in (_SHORT, _LONG) or not number:
        raise KeyError(kind)
    form = "H" if kind == _SHORT else "I"
    fits = number * struct.calcsize(form) <= 4
    return struct.unpack_from(f"{order}{number}{form}", content, place if fits else value)
