"""What can be learned on the pages of the picking task."""

from __future__ import annotations

from pipelines.contract import Lesson

LESSONS = (
    Lesson(
        "wedge",
        "cryoet_lesson",
        ({"step": "explore", "panel": "wedge"}, {"step": "data", "panel": "slices"}),
    ),
    Lesson(
        "recall",
        "cryoet_lesson",
        ({"step": "evaluate", "panel": "curves"}, {"step": "evaluate", "panel": "beta"}),
    ),
)
