"""Every lesson has its words in both languages, and every step of it leads somewhere."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.contract import STEPS, Lesson
from pipelines.registry import get_task, task_ids
from pipelines.text import LANGUAGES, Language, render

LESSONS = [(t, lesson) for t in task_ids() for lesson in get_task(t).lessons()]


def named(value: Any) -> str:
    return value.lesson_id if isinstance(value, Lesson) else str(value)


def test_there_are_lessons_of_several_tasks() -> None:
    assert len({task for task, _ in LESSONS}) >= 3


@pytest.mark.parametrize(("task_id", "lesson"), LESSONS, ids=named)
def test_each_step_leads_to_a_step_and_panel_of_the_task(task_id: str, lesson: Lesson) -> None:
    task = get_task(task_id)
    panels = {(panel.step, panel.panel_id) for panel in task.panels()}
    for address in lesson.steps:
        assert address["step"] in STEPS
        assert "panel" not in address or (address["step"], address["panel"]) in panels


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("task_id", "lesson"), LESSONS, ids=named)
def test_each_step_says_what_to_do_and_what_to_see(
    task_id: str, lesson: Lesson, language: Language
) -> None:
    numbers = range(1, len(lesson.steps) + 1)
    said = [lesson.title, lesson.summary]
    said += [text for n in numbers for text in (lesson.doing(n), lesson.seeing(n))]
    words = [render(text, language) for text in said]

    assert [w for text, w in zip(said, words, strict=True) if w == text.id] == []
    assert len(set(words)) == len(words)
