"""What a terminal shows stays words, whatever a file is called."""

from __future__ import annotations

import io
import sys

import pytest

from pipelines.terminal import ConsoleTerminal
from pipelines.text import verbatim


def test_a_file_name_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = ConsoleTerminal("en")
    terminal.say(verbatim("a\x1b[2Jb"))
    terminal.table([(verbatim("c\x07"), verbatim("d"))])
    terminal.fail(verbatim("e\x9bf\ng"))
    shown = capsys.readouterr()
    assert shown.out == "a\N{REPLACEMENT CHARACTER}[2Jb\nc\N{REPLACEMENT CHARACTER}  d\n"
    assert shown.err == "e\N{REPLACEMENT CHARACTER}f g\n"


def test_a_terminal_that_lacks_a_letter_shows_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a name that is no text nor a terminal of another alphabet ends in a bug."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    ConsoleTerminal("fr").say(verbatim("imagé \udcff"))
    ascii_only.seek(0)
    assert ascii_only.read() == "imag? ?\n"
