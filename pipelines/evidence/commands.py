"""The commands of evidence: `repeat` and `pack`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipelines.commands import JSON, Argument, Command, Terminal, Values
from pipelines.jobs import store
from pipelines.jobs.store import Run
from pipelines.text import Text, verbatim

Work = Callable[[Run, Terminal], Run]
EndCode = Callable[[Run, Terminal], int]
_RUN: Final = Argument("RUN", Text("cli.arg.run"), is_required=True)  # `--run` is another thing


def evidence_commands(work: Work, end_code: EndCode) -> tuple[Command, ...]:
    """List the commands.

    Args:
        work: Works on a run in this process.
        end_code: Says how it ended, and returns the exit status.
    """

    def repeat(values: Values, terminal: Terminal) -> int:
        return _repeat(values, terminal, work, end_code)

    folder = Argument("--run", Text("evidence.arg.repeat_folder"), "DIR")
    output = Argument("--output", Text("evidence.arg.output"), "DIR", is_required=True)
    return (
        Command("repeat", Text("evidence.command.repeat"), (_RUN, folder, JSON), repeat),
        Command("pack", Text("evidence.command.pack"), (_RUN, output, JSON), _pack),
    )


def _repeat(values: Values, terminal: Terminal, work: Work, end_code: EndCode) -> int:
    from pipelines.actions import plain_numbers
    from pipelines.evidence.repeat import compare_runs, plan_repeat

    run = store.find_run(values["RUN"])
    folder = Path(values["run"]).resolve() if "run" in values else None
    second = work(store.create_run(plan_repeat(run), folder=folder), terminal)
    if (code := end_code(second, terminal)) != 0:
        return code
    report = compare_runs(run, second)
    for text in (report.verdict, *report.sentences()):
        terminal.say(text)
    terminal.table(
        [
            (
                Text(f"jobs.part.{row.part}"),
                verbatim(row.metric),
                Text("cli.number", value=row.first),
                Text("cli.number", value=row.second),
            )
            for row in report.scores
        ]
    )
    terminal.result(plain_numbers({**report.to_json(), "folder": str(second.folder)}))
    return 0


def _pack(values: Values, terminal: Terminal) -> int:
    from pipelines.evidence.pack import write_pack

    run = store.find_run(values["RUN"])

    def show(stage: Text, share: float) -> None:
        terminal.progress(share, 1.0, stage, None)

    pack = write_pack(run, Path(values["output"]).resolve(), on_progress=show)
    terminal.say(Text("evidence.packed", folder=str(pack.folder), file=pack.archive.name))
    for text in (pack.onnx.text, *pack.notes):
        terminal.say(text)
    result: dict[str, Any] = {"folder": str(pack.folder), "archive": str(pack.archive)}
    check = pack.onnx.check
    result["onnx"] = None if check is None else check.to_json()
    terminal.result(result)
    return 0
