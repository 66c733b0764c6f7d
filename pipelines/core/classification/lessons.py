"""What can be learned on the pages of every classification task."""

from __future__ import annotations

from pipelines.contract import Lesson

LESSONS = (
    Lesson("leak", "classes_lesson", ({"step": "data", "panel": "leaks"}, {"step": "train"})),
    Lesson("cost", "classes_lesson", ({"step": "evaluate"}, {"step": "evaluate"})),
)
