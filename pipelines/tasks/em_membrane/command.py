"""`python -m pipelines convert em_membrane`: the page's TIFF to PNG conversion, on the terminal."""

from __future__ import annotations

from pathlib import Path

from pipelines.commands import Argument, Command, Terminal, Values
from pipelines.core.files import disk_errors, existing_path
from pipelines.core.images import open_stack
from pipelines.tasks.em_membrane.convert import convert_to_png
from pipelines.text import Text


def convert(values: Values, terminal: Terminal) -> int:
    """Convert a stack to PNGs in a zip, and report sizes and pixel equality."""
    source, target = existing_path(values["input"]), Path(values["output"])
    stage = Text("em.convert_stage")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        report = convert_to_png(
            open_stack(source), target, lambda done, n: terminal.progress(done, n, stage, None)
        )
    terminal.say(report.text)
    terminal.result(
        {
            "zip": str(report.zip_path),
            "sections": report.num_sections,
            "source_bytes": report.source_bytes,
            "png_bytes": report.png_bytes,
            "sections_equal": report.num_equal,
            "is_lossless": report.is_equal,
        }
    )
    return 0


CONVERT = Command(
    name="convert",
    summary=Text("em.convert_summary"),
    arguments=(
        Argument("--input", Text("em.convert_input"), "PATH", is_required=True),
        Argument("--output", Text("em.convert_output"), "ZIP", is_required=True),
    ),
    run=convert,
)
