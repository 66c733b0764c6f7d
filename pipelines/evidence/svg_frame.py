"""Two axes for a chart: places of values, round ticks, thin rules, and room for the legend."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines import views
from pipelines.evidence import svg_elements as element
from pipelines.text import Language, format_number

_DECADE: Final = (1, 2, 5)


@dataclass(frozen=True)
class Frame:
    """Place values inside two axes.

    Attributes:
        language: Language of words and numbers.
        x_range: Values at the left and the right end.
        y_range: Values at the lower and the upper end.
        width: Width of the whole picture.
        height: Height of the whole picture.
        names: Entries of the legend.
        is_log: Whether the y axis is logarithmic.
        left: Where the x axis begins; the words of the y axis stand before it.
    """

    language: Language
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: int
    height: float
    names: Sequence[str] = ()
    is_log: bool = False
    left: float = 62.0

    @property
    def right(self) -> float:
        """Right end of the x axis."""
        return self.width - 12.0

    @property
    def top(self) -> float:
        """Below the legend."""
        lines = [y for _, y in self.places_of_names]
        return max(lines, default=12.0) + 20.0

    @functools.cached_property  # every point of a curve asks how high the frame reaches
    def places_of_names(self) -> list[tuple[float, float]]:
        """Where each entry of the legend begins, in as many lines as it takes."""
        places, x, y = [], self.left, 12.0
        for words in self.names:
            across = 34 + element.LETTER * element.FONT_SIZE * len(words)
            if x > self.left and x + across > self.right:
                x, y = self.left, y + 16
            places.append((x, y))
            x += across + 14
        return places

    @property
    def bottom(self) -> float:
        """Above the words of the x axis."""
        return self.height - 44.0

    @property
    def x_low(self) -> float:
        """Value at the left end."""
        return self.x_range[0]

    @property
    def x_high(self) -> float:
        """Value at the right end."""
        return self.x_range[1]

    def x(self, value: float) -> float:
        """Return the place of a value on the x axis."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the place of a value on the y axis."""
        low, high = (self._scaled(v) for v in self.y_range)
        share = (self._scaled(value) - low) / (high - low)
        return self.bottom - min(max(share, -0.02), 1.02) * (self.bottom - self.top)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.is_log else value

    def axes(self, x_words: str, y_words: str, *, has_x: bool = True, has_y: bool = True) -> str:
        """Draw ticks, thin rules and the words of both axes; an axis of names has no ticks."""
        parts = [self._y_rule(value) for value in self._y_ticks()] if has_y else []
        parts += [self._x_tick(value) for value in round_ticks(*self.x_range)] if has_x else []
        start, end = (self.left, self.bottom), (self.right, self.bottom)
        parts.append(element.line(start, end, element.INK, 1.0))
        middle = (self.left + self.right) / 2
        parts.append(element.text(middle, self.height - 6, x_words, anchor="middle"))
        y = (self.top + self.bottom) / 2
        words = element.text(14, y, y_words, anchor="middle")
        parts.append(f'<g transform="rotate(-90 14 {y:.1f})">{words}</g>')
        return "".join(parts)

    def _y_rule(self, value: float) -> str:
        y, words = self.y(value), format_number(value, self.language)
        rule = element.line((self.left, y), (self.right, y), element.RULE, 0.8)
        return rule + element.text(self.left - 8, y + 4, words, anchor="end", fill=element.GREY)

    def _x_tick(self, value: float) -> str:
        x, words = self.x(value), format_number(value, self.language)
        tick = element.line((x, self.bottom), (x, self.bottom + 4), element.GREY, 0.8)
        below = self.bottom + 18
        return tick + element.text(x, below, words, anchor="middle", fill=element.GREY)

    def _y_ticks(self) -> list[float]:
        if not self.is_log:
            return round_ticks(*self.y_range, count=5)
        low, high = (max(value, 1e-12) for value in self.y_range)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        tens = [10.0**power for power in powers if low <= 10.0**power <= high]
        if len(tens) > 1:
            return tens
        finer = [round(digit * 10.0**power, 12) for power in powers for digit in _DECADE]
        return [value for value in finer if low <= value <= high]

    def document(self, parts: Sequence[str], view: views.View) -> str:
        """Close the picture."""
        return element.document(parts, self.height, view, self.language, self.width)


def span_of(values: NDArray[Any], margin: float = 0.06) -> tuple[float, float]:
    """Return a range that holds all finite values, with a margin; 0 stays an end of its own.

    Args:
        values: Numbers of any shape; NaN and infinity do not count.
        margin: Share of the range that is added at each end.
    """
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        return low - 0.5, high + 0.5
    room = margin * (high - low)
    return low - (room if low else 0.0), high + room


def round_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round values within a range, about `count` of them."""
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
