"""Turn a figure's SVG into PNG with typst: no browser, and fonts that come along."""

from __future__ import annotations

from typing import Final

from pipelines.errors import ComputeError
from pipelines.text import Text

_PIXELS_PER_INCH: Final = 216  # three pixels a point: sharp in print and on a projector
_PAGE: Final = (
    b"#set page(width: auto, height: auto, margin: 8pt, fill: white)\n"
    b'#image(bytes(sys.inputs.svg), format: "svg", width: 640pt)'
)


def to_png(svg: str) -> bytes:
    """Return a PNG of an SVG document, on white.

    Args:
        svg: What `pipelines.evidence.svg.draw` returns.

    Raises:
        ComputeError: It cannot be drawn; the text names typst's reason.
    """
    import typst

    try:
        made: bytes = typst.compile(
            _PAGE, format="png", ppi=_PIXELS_PER_INCH, sys_inputs={"svg": svg}
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ComputeError(Text("evidence.pdf_failed", reason=reason)) from error
    return made
