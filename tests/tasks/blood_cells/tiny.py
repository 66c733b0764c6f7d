"""Options that make a training small enough for the conformance tests."""

from typing import Any

# A part to validate on, as a network has; test_cross_fit.py tests the default.
TINY: dict[str, Any] = {"validation_share": 0.2}
