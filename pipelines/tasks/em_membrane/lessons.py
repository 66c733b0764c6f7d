"""What can be learned on the pages of the membrane task."""

from __future__ import annotations

from pipelines.contract import Lesson

_PLAY = {"step": "train", "panel": "augment"}
_WEIGHTS = {"step": "train", "panel": "loss_map"}
_ERRORS = {"step": "evaluate", "panel": "errors"}
_TABLE = {"step": "evaluate", "panel": "sections"}

LESSONS = (
    Lesson("bend", "em_lesson", (_PLAY, _PLAY, {"step": "train"})),
    Lesson("weights", "em_lesson", (_WEIGHTS, _WEIGHTS, _ERRORS)),
    Lesson("pixels", "em_lesson", (_ERRORS, _TABLE)),
    Lesson("test_set", "em_lesson", (_ERRORS, _ERRORS)),
)
