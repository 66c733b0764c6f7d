"""Options that make a training small enough for the conformance tests."""

from typing import Any

TINY: dict[str, Any] = {
    "base_channels": 4,
    "depth": 2,
    "patch_px": 64,
    "tile_px": 256,
    "validation_sections": 1,
}
