"""What a terminal shows: sentences in the person's language, progress bars, JSON."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, TextIO

from pipelines.text import Language, Text, render

LINE_EVERY_S: Final = 5.0
BAR_EVERY_S: Final = 0.1
_STEERING: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ConsoleTerminal:
    """Print what commands say; progress goes to stderr, results to stdout."""

    def __init__(self, language: Language, *, is_json: bool = False) -> None:
        self.language = language
        self._is_json = is_json
        self._out: TextIO = sys.stdout
        self._err: TextIO = sys.stderr
        for stream in (self._out, self._err):
            # a terminal that lacks a letter, or a name that is no text, shows a question mark
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        self._shown = 0.0
        self._stage: Text | None = None
        self._has_bar = False

    def say(self, text: Text) -> None:
        """Print a sentence for a person; nothing with `--json`."""
        if not self._is_json:
            self.clear()
            print(self._words(text), file=self._out, flush=True)

    def table(self, rows: Sequence[Sequence[Text]]) -> None:
        """Print aligned columns; nothing with `--json`."""
        words = [[self._words(cell) for cell in row] for row in rows]
        if self._is_json or not words:
            return
        widths = [max(map(len, column)) for column in zip(*words, strict=True)]
        for row in words:
            line = "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            print(line.rstrip(), file=self._out, flush=True)

    def result(self, value: Any) -> None:  # any JSON value
        """Print a JSON value; nothing without `--json`."""
        if self._is_json:
            print(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False), file=self._out)

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Show a progress bar, or a line every few seconds where there is no terminal."""
        is_tty = self._err.isatty()
        now = time.monotonic()
        is_new = stage.id != (self._stage.id if self._stage else "")
        if not is_new and now - self._shown < (BAR_EVERY_S if is_tty else LINE_EVERY_S):
            return
        self._shown, self._stage = now, stage
        line = self._progress_line(done, total, stage, seconds_left)
        if is_tty:
            width = shutil.get_terminal_size().columns - 1
            self._err.write(f"\r{line[:width]:<{width}}")
            self._has_bar = True
        else:
            self._err.write(f"{line}\n")
        self._err.flush()

    def clear(self) -> None:
        """Take the progress bar away."""
        if self._has_bar:
            width = shutil.get_terminal_size().columns - 1
            self._err.write(f"\r{'':<{width}}\r")
            self._err.flush()
            self._has_bar = False

    def fail(self, text: Text) -> None:
        """Print one line on stderr."""
        self.clear()
        print(" ".join(self._words(text).split()), file=self._err, flush=True)

    def _words(self, text: Text) -> str:
        """Render without what steers a terminal: a file name may hold escapes that clear it."""
        return _STEERING.sub("\N{REPLACEMENT CHARACTER}", render(text, self.language))

    def _progress_line(
        self, done: float, total: float, stage: Text, seconds_left: float | None
    ) -> str:
        fraction = min(1.0, done / total) if total > 0 else 0.0
        text = Text("cli.progress", stage=stage, share=fraction)
        if seconds_left is not None:
            text = Text("cli.progress_left", stage=stage, share=fraction, left=seconds_left)
        filled = round(20 * fraction)
        return f"[{'#' * filled}{'.' * (20 - filled)}] {self._words(text)}"
