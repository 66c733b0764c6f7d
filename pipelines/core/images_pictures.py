"""Read single PNG, JPEG and BMP pictures: the header first, the pixels when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataFormatError
from pipelines.text import Text

Array = NDArray[Any]

_SIGNATURES: Final = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"BM": "bmp"}
# What the decoder raises for a damaged file; it has no common base class.
_DAMAGE: Final = (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, EOFError,
                  OverflowError, MemoryError, RuntimeError, AttributeError)  # fmt: skip
_ORIENTATION: Final = 0x0112
"""Number of the EXIF entry that says how the camera was held."""
_DTYPES: Final = {"1": "bool", "L": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "int32"}


@dataclass(frozen=True)
class Header:
    """Hold what the head of a file declares.

    Attributes:
        num_sections: Sections in the file.
        height: In pixels.
        width: In pixels.
        num_channels: 1 for grey, 3 or 4 for colour.
        dtype: Type of a value, native byte order.
        pixel_size_nm: Size of a pixel, 0 when the file does not say.
        compression: Name of the compression, "none" without.
        num_bytes: Size of the file.
    """

    num_sections: int
    height: int
    width: int
    num_channels: int
    dtype: np.dtype[Any]
    pixel_size_nm: float
    compression: str
    num_bytes: int

    @property
    def section_bytes(self) -> int:
        """Size of one decoded section."""
        return self.height * self.width * self.num_channels * self.dtype.itemsize


class Reader(Protocol):
    """Read the sections of one file."""

    @property
    def header(self) -> Header:
        """What the head of the file declares."""

    def read(self, index: int) -> Array:
        """Return section `index`, `(H, W)` or `(H, W, C)`."""


def picture_format(start: bytes) -> str | None:
    """Tell the format from the first bytes: "png", "jpeg", "bmp", or None."""
    return next((name for mark, name in _SIGNATURES.items() if start.startswith(mark)), None)


def read_picture_header(file: IO[bytes], label: str, num_bytes: int) -> Header:
    """Read size and type of a picture without decoding it.

    Raises:
        DataFormatError: The header cannot be read.
    """
    try:
        picture = _open(file)
    except _DAMAGE as error:
        raise DataFormatError(Text("images.damaged", file=label)) from error
    width, height = picture.size
    is_grey = picture.mode in _DTYPES
    return Header(
        num_sections=1,
        height=height,
        width=width,
        num_channels=1 if is_grey else 3,
        dtype=np.dtype(_DTYPES.get(picture.mode, "uint8")),
        pixel_size_nm=0.0,  # the resolution of a picture is meant for printers
        compression=str(picture.format or "").lower(),
        num_bytes=num_bytes,
    )


def decode_picture(file: IO[bytes], label: str, *, is_upright: bool = False) -> Array:
    """Decode a picture: `(H, W)` for grey, `(H, W, 3)` for colour, alpha left out.

    Args:
        file: Opened file.
        label: Name that people see.
        is_upright: Whether it is turned and mirrored as its EXIF entry says; height and width may
            then be those of the header, swapped.

    Raises:
        DataFormatError: The file ends too early or is damaged.
    """
    try:
        picture = _open(file)
        picture = _upright(picture) if is_upright else picture
        plain = picture if picture.mode in _DTYPES else picture.convert("RGB")
        pixels = np.asarray(plain)
    except _DAMAGE as error:
        raise DataFormatError(Text("images.truncated", file=label)) from error
    return pixels.astype(np.uint16) if plain.mode.startswith("I;16") else pixels


def _upright(picture: Any) -> Any:  # PIL's own image classes
    # cameras write JPEG; asking a PNG would decode it once more
    if picture.format != "JPEG" or picture.getexif().get(_ORIENTATION, 1) == 1:
        return picture
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def _open(file: IO[bytes]) -> Any:  # PIL's own image classes, of the three formats alone
    # The format classes are called directly: `Image.open` would try every format it knows and
    # refuses large sections by a process-wide limit that is not ours to change.
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin

    file.seek(0)
    name = picture_format(file.read(16))
    file.seek(0)
    if name == "png":
        return PngImagePlugin.PngImageFile(file)
    if name == "jpeg":
        return JpegImagePlugin.JpegImageFile(file)
    if name == "bmp":
        return BmpImagePlugin.BmpImageFile(file)
    raise ValueError("no picture")
