"""Convert a stack to one PNG a section, prove that no pixel changed, and say what it saved."""

from __future__ import annotations

import io
import secrets
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.core.files import disk_errors
from pipelines.core.images import Stack
from pipelines.errors import DataFormatError
from pipelines.text import Text

Array = NDArray[Any]
Progress = Callable[[int, int], None]

WHY: Final = Text("em_data.convert.why")
_HIGHEST: Final = 65535
_LEVEL: Final = 6  # zlib: 9 takes three times as long for about 1 % less


@dataclass(frozen=True)
class Mapping16:
    """Say how values become those of the PNG: `png = (value - low) * factor`, rounded.

    Attributes:
        dtype: Type in the PNG: "bool", "uint8" or "uint16".
        low: Value that becomes 0.
        factor: Steps of the PNG for one unit of the value.
        is_lossless: Whether every value can be had back exactly.
    """

    dtype: str
    low: float = 0.0
    factor: float = 1.0
    is_lossless: bool = True


@dataclass(frozen=True)
class ConversionReport:
    """Report a conversion.

    Attributes:
        zip_path: Where the PNGs are.
        names: Their names in it, in the order of the sections.
        source_bytes: Size of the source files.
        png_bytes: Size of the PNGs together.
        num_equal: Sections whose pixels were read back from the zip and found equal.
        mapping: How values were mapped.
        source_dtype: Type of the values in the source.
        seconds: Time that it took.
    """

    zip_path: Path
    names: tuple[str, ...]
    source_bytes: int
    png_bytes: int
    num_equal: int
    mapping: Mapping16
    source_dtype: str
    seconds: float

    @property
    def num_sections(self) -> int:
        """How many sections were converted."""
        return len(self.names)

    @property
    def is_equal(self) -> bool:
        """Whether every pixel of every section can be had back exactly."""
        return self.mapping.is_lossless and self.num_equal == self.num_sections

    @property
    def size_ratio(self) -> float:
        """Size of the PNGs over that of the source."""
        return self.png_bytes / max(self.source_bytes, 1)

    @property
    def text(self) -> Text:
        """Say the outcome in one sentence."""
        if not self.mapping.is_lossless:
            return Text(
                "em_data.convert.mapped",
                n=self.num_sections,
                dtype=self.source_dtype,
                low=self.mapping.low,
                high=self.mapping.low + _HIGHEST / self.mapping.factor,
            )
        return Text(
            "em_data.convert.equal" if self.is_equal else "em_data.convert.differs",
            n=self.num_sections,
            equal=self.num_equal,
            before=self.source_bytes,
            after=self.png_bytes,
            ratio=self.size_ratio,
        )


def convert_to_png(
    stack: Stack, zip_path: Path, progress: Progress | None = None
) -> ConversionReport:
    """Write each section as a PNG into a zip, then read all of them back and compare.

    8 and 16 bit grey, 8 and 16 bit colour and bool are kept as they are; wider integers too when
    their values fit into 16 bit. Other values are mapped to 16 bit over the range of the stack,
    which the report calls not lossless.

    Args:
        stack: Sections; one is held in memory at a time.
        zip_path: File to write; it appears when it is complete.
        progress: Called with steps done and steps in all (two a section).

    Raises:
        DataFormatError: A section cannot be read.
        DiskFullError: There is no space; nothing is left behind.
    """
    started = time.perf_counter()
    report = progress or _ignore
    mapping = find_mapping(stack)
    names = _names(stack)
    zip_path.parent.mkdir(parents=True, exist_ok=True)
    beside = zip_path.with_name(f".{zip_path.name}.{secrets.token_hex(4)}")
    with disk_errors(zip_path, leftover=beside):
        png_bytes = _write(stack, beside, names, mapping, report)
        num_equal = _compare(stack, beside, names, mapping, report)
        beside.replace(zip_path)
    return ConversionReport(
        zip_path=zip_path,
        names=names,
        source_bytes=stack.num_bytes,
        png_bytes=png_bytes,
        num_equal=num_equal,
        mapping=mapping,
        source_dtype=str(stack.dtype),
        seconds=time.perf_counter() - started,
    )


def find_mapping(stack: Stack) -> Mapping16:
    """Choose the type of the PNG; only types that a PNG lacks need a look at the values."""
    if stack.dtype in (np.bool_, np.uint8, np.uint16):
        return Mapping16(str(stack.dtype))
    low, high = np.inf, -np.inf
    for index in range(len(stack)):
        section = stack.read(index)
        values = section[np.isfinite(section)] if section.dtype.kind == "f" else section
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not np.isfinite(low):
        raise DataFormatError(Text("em_data.convert.no_values", file=stack.name))
    if stack.dtype.kind in "iu" and low >= 0 and high <= _HIGHEST:
        return Mapping16("uint16")
    factor = _HIGHEST / (high - low) if high > low else 1.0
    return Mapping16("uint16", low, factor, is_lossless=False)


def to_png_values(section: Array, mapping: Mapping16) -> Array:
    """Map values to those of the PNG; NaN becomes 0."""
    if mapping.is_lossless:
        return section.astype(mapping.dtype, copy=False)
    steps = (section.astype(np.float64) - mapping.low) * mapping.factor
    steps = np.nan_to_num(steps, nan=0.0, posinf=_HIGHEST, neginf=0.0)
    return np.rint(steps).clip(0, _HIGHEST).astype(np.uint16)


def encode_png(pixels: Array) -> bytes:
    """Encode `(H, W)` bool, uint8 or uint16, or `(H, W, 3)` uint8 or uint16, as PNG."""
    if pixels.dtype == np.bool_:
        from PIL import Image

        target = io.BytesIO()
        Image.fromarray(pixels).save(target, format="PNG")
        return target.getvalue()
    from imagecodecs import png_encode

    return bytes(png_encode(np.ascontiguousarray(pixels), level=_LEVEL))


def _decode_png(content: bytes, dtype: str) -> Array:
    if dtype == "bool":
        from PIL import Image

        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            return np.asarray(picture)
    from imagecodecs import png_decode

    return np.asarray(png_decode(content))


def _write(
    stack: Stack, path: Path, names: tuple[str, ...], mapping: Mapping16, progress: Progress
) -> int:
    total = 0
    # The PNGs are packed already, so the zip only holds them together.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index, name in enumerate(names):
            content = encode_png(to_png_values(stack.read(index), mapping))
            archive.writestr(name, content)
            total += len(content)
            progress(index + 1, 2 * len(names))
    return total


def _compare(
    stack: Stack, path: Path, names: tuple[str, ...], mapping: Mapping16, progress: Progress
) -> int:
    equal = 0
    with zipfile.ZipFile(path) as archive:
        for index, name in enumerate(names):
            pixels = _decode_png(archive.read(name), mapping.dtype)
            equal += bool(np.array_equal(pixels, to_png_values(stack.read(index), mapping)))
            progress(len(names) + index + 1, 2 * len(names))
    return equal


def _names(stack: Stack) -> tuple[str, ...]:
    stems = [file.stem for file in stack.files]
    if len(stems) == len(stack) > 1 and len(set(stems)) == len(stems):
        return tuple(f"{stem}.png" for stem in stems)
    digits = max(3, len(str(len(stack) - 1)))
    return tuple(f"{stems[0]}_{index:0{digits}d}.png" for index in range(len(stack)))


def _ignore(done: int, total: int) -> None:
    """Take a report of progress that nobody asked for."""
