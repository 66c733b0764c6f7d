"""The colours of every picture, shared with reports: see `pipelines/palette.py`.

Charts name theirs by `TINTS`: what Streamlit's page replaces by the theme's categorical colours,
so that the blue of a light page is not lost on a dark one, and a switch needs no rerun.
"""

from typing import Final

from pipelines.palette import COLOURS, DASHES, SEQUENCE, colour

__all__ = ["COLOURS", "DASHES", "SEQUENCE", "TINTS", "colour"]

TINTS: Final = tuple(f"#{number:06d}" for number in range(1, len(SEQUENCE) + 1))
"""`SEQUENCE` on a light page, its lighter twin on a dark one (`.streamlit/config.toml`)."""
