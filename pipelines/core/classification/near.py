"""Find pictures that are nearly the same: candidates by a hash, confirmed by what they show.

The hash of a cell on black hardly tells more than its outline (of 954 cells it calls 3,670 pairs
alike), so each candidate is looked at: inside of both objects, copies that were scaled, compressed
or brightened correlate by 0.98 and more, the same cell photographed twice by 0.9, different cells
by less than 0.6 in 99 of 100 cases.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.images import (
    Entry,
    PictureReader,
    Pixels,
    decode_all,
    fit_square,
)
from pipelines.core.classification.leakage import difference_hash, near_copies
from pipelines.errors import DataFormatError

Pairs = list[tuple[int, int]]

AT_ONCE: Final = 6000
"""Pictures up to which one waits for the result; more are looked at in the background."""
_SIDE_PX: Final = 64
_ALIKE: Final = 0.9
_SURROUND: Final = 12
_FEWEST_PIXELS: Final = 100
_MOST_PAIRS: Final = 500_000
"""Candidates that are looked at; a set with more is one of nearly empty pictures."""


@dataclass(frozen=True)
class Glimpse:
    """Hold what the search needs of a picture.

    Attributes:
        hash: Its difference hash.
        grey: `(64, 64)` uint8, or None where it is decoded again when it is asked for.
    """

    hash: int
    grey: NDArray[np.uint8] | None


class NearSearch:
    """Look for near copies among pictures, at once or in the background."""

    def __init__(self, entries: Sequence[Entry], reader: PictureReader) -> None:
        self._entries, self._reader = entries, reader
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._seen: dict[int, Glimpse] = {}
        self._found: Pairs | None = None

    @property
    def is_at_once(self) -> bool:
        """Whether `result` waits, so that it is the same whenever it is asked for."""
        return len(self._entries) <= AT_ONCE

    def see(self, index: int, pixels: Pixels) -> None:
        """Take what the search needs of a picture that was decoded for something else."""
        if self.is_at_once and self._thread is None:
            self._seen[index] = glimpse(pixels, has_grey=True)

    def result(self) -> Pairs | None:
        """Return the pairs; None while a large set is still being looked at.

        The first call starts the work; for few pictures it also waits for it.
        """
        with self._lock:
            if self._found is None and self._thread is None:
                self._thread = threading.Thread(target=self._search, name="near", daemon=True)
                self._thread.start()
        if self._found is None and self.is_at_once and self._thread is not None:
            self._thread.join()
        return self._found

    def _search(self) -> None:
        self._found = find_near_copies(self._entries, self._reader, self._seen)
        self._seen = {}


def find_near_copies(
    entries: Sequence[Entry], reader: PictureReader, seen: Mapping[int, Glimpse] | None = None
) -> Pairs:
    """Return pairs of numbers of pictures that are nearly the same, the smaller number first.

    Pictures that cannot be read are in no pair.

    Args:
        entries: The pictures.
        reader: Reads them.
        seen: What is known of some of them already.
    """
    has_grey = len(entries) <= AT_ONCE  # of a full set they would fill a gigabyte
    known = dict(seen or {})
    known |= _look(
        entries, reader, [i for i in range(len(entries)) if i not in known], has_grey=has_grey
    )
    candidates = near_copies({i: known[i].hash for i in sorted(known)})[:_MOST_PAIRS]
    wanted = sorted({index for pair in candidates for index in pair})
    known |= _look(entries, reader, [i for i in wanted if known[i].grey is None], has_grey=True)
    grey: dict[int, Any] = {i: known[i].grey for i in wanted}
    return [(a, b) for a, b in candidates if likeness(grey[a], grey[b]) >= _ALIKE]


def _look(
    entries: Sequence[Entry], reader: PictureReader, chosen: Sequence[int], *, has_grey: bool
) -> dict[int, Glimpse]:
    decoded = decode_all(reader, [entries[i] for i in chosen])
    return {
        index: glimpse(pixels, has_grey=has_grey)
        for index, pixels in zip(chosen, decoded, strict=True)
        if not isinstance(pixels, DataFormatError)
    }


def glimpse(pixels: Pixels, *, has_grey: bool) -> Glimpse:
    """Return what the search needs of `(H, W, 3)` uint8 pixels."""
    import cv2

    if not has_grey:
        return Glimpse(difference_hash(pixels), None)
    square = cv2.cvtColor(fit_square(pixels, _SIDE_PX), cv2.COLOR_RGB2GRAY)
    return Glimpse(difference_hash(pixels), np.asarray(square, np.uint8))


def likeness(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return how two grey pictures correlate where both show something, in [-1, 1].

    Args:
        first: `(H, W)` uint8.
        second: `(H, W)` uint8.

    Returns:
        0 where they have too little in common to tell.
    """
    both = (first > _SURROUND) & (second > _SURROUND)
    if int(both.sum()) < _FEWEST_PIXELS:
        return 0.0
    a, b = (np.asarray(p[both], np.float64) for p in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0
