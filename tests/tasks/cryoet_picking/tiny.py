"""Options that make a training small enough for the conformance tests."""

from typing import Any

# One network, so that a prediction made again is by the same weights as the training's own.
TINY: dict[str, Any] = {"networks": 1, "width": 8, "patch_vox": 32}
