"""Small pictures for walls and galleries, packed as JPEG and kept in memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.core.classification.images import (
    Entry,
    PictureReader,
    Pixels,
    decode_all,
    fit_square,
)
from pipelines.core.classification.index import Index
from pipelines.errors import DataFormatError

SIDE_PX: Final = 144
_QUALITY: Final = 92
_MOST_KEPT: Final = 4096  # of some 8 kB each


def thumbnails(index: Index, item_ids: Sequence[str]) -> list[bytes]:
    """Return a square JPEG of each item's centre; a grey one where the picture cannot be read."""
    entries = [index.entry(i) for i in item_ids]
    missing = [e for e in entries if e not in _kept(index.reader)]
    kept = _kept(index.reader)
    if len(kept) > _MOST_KEPT:
        kept.clear()
        missing = entries
    for entry, pixels in zip(missing, decode_all(index.reader, missing), strict=True):
        if isinstance(pixels, DataFormatError):
            pixels = np.full((SIDE_PX, SIDE_PX, 3), 128, np.uint8)
        kept[entry] = jpeg(fit_square(pixels, SIDE_PX))
    return [kept[e] for e in entries]


@functools.lru_cache(maxsize=8)
def _kept(reader: PictureReader) -> dict[Entry, bytes]:
    """Hold the packed pictures of a source; a reader belongs to one state of its source."""
    del reader
    return {}


def jpeg(pixels: Pixels) -> bytes:
    """Pack `(H, W, 3)` uint8 RGB."""
    import cv2

    bgr = np.ascontiguousarray(pixels[..., ::-1])
    packed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return packed.tobytes()
