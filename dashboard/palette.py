"""The colours of every picture, shared with reports: see `pipelines/palette.py`."""

from pipelines.palette import COLOURS, DASHES, SEQUENCE, colour

__all__ = ["COLOURS", "DASHES", "SEQUENCE", "colour"]
