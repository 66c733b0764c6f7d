"""The commands of evidence: `repeat`, `pack`, `unpack`, `checkpoints`, and `view` of a panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipelines import registry
from pipelines.commands import JSON, Argument, Command, Terminal, UsageError, Values
from pipelines.contract import DatasetRecord, Task
from pipelines.evidence.looks import Look, compute_views, find_panel, read_pairs, write_page
from pipelines.evidence.model_commands import CHECKPOINTS, UNPACK
from pipelines.jobs import store
from pipelines.jobs.store import Run
from pipelines.text import DEFAULT_LANGUAGE, Text, verbatim

Work = Callable[[Run, Terminal], Run]
EndCode = Callable[[Run, Terminal], int]
OpenData = Callable[[Task, Values], tuple[DatasetRecord, Mapping[str, Any]]]
_RUN: Final = Argument("RUN", Text("cli.arg.run"), is_required=True)  # `--run` is another thing

_VIEW_ARGUMENTS: Final = (
    Argument("task", Text("cli.arg.task"), is_required=True),
    Argument("panel", Text("looks.arg.panel"), is_required=True),
    Argument("--data", Text("looks.arg.data"), "PATH|sample"),
    Argument("--run", Text("looks.arg.run"), "RUN"),
    Argument("--part", Text("looks.arg.part"), "NAME"),
    Argument("--checkpoint", Text("looks.arg.checkpoint"), "DIR"),
    Argument("--item", Text("looks.arg.item"), "ID"),
    Argument("--set", Text("cli.arg.set"), "NAME=VALUE", is_repeated=True),
    Argument("--control", Text("looks.arg.control"), "NAME=VALUE", is_repeated=True),
    Argument("--threshold", Text("looks.arg.threshold"), "[NAME=]VALUE", is_repeated=True),
    Argument("--output", Text("looks.arg.output"), "FILE", is_required=True),
    JSON,
)

_SCORES_ARGUMENTS: Final = (
    _RUN,
    Argument("--part", Text("looks.arg.part"), "NAME"),
    Argument("--threshold", Text("looks.arg.threshold"), "[NAME=]VALUE", is_repeated=True),
    JSON,
)


def evidence_commands(work: Work, end_code: EndCode, open_data: OpenData) -> tuple[Command, ...]:
    """List the commands.

    Args:
        work: Works on a run in this process.
        end_code: Says how it ended, and returns the exit status.
        open_data: Returns the data that `--data` and `--set` name, and the task's options.
    """

    def repeat(values: Values, terminal: Terminal) -> int:
        return _repeat(values, terminal, work, end_code)

    def view(values: Values, terminal: Terminal) -> int:
        return _view(values, terminal, open_data)

    folder = Argument("--run", Text("evidence.arg.repeat_folder"), "DIR")
    output = Argument("--output", Text("evidence.arg.output"), "DIR", is_required=True)
    return (
        Command("repeat", Text("evidence.command.repeat"), (_RUN, folder, JSON), repeat),
        Command("pack", Text("evidence.command.pack"), (_RUN, output, JSON), _pack),
        Command("scores", Text("looks.scores"), _SCORES_ARGUMENTS, _scores),
        UNPACK,
        CHECKPOINTS,
        Command("view", Text("looks.command"), _VIEW_ARGUMENTS, view),
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


def _view(values: Values, terminal: Terminal, open_data: OpenData) -> int:
    task = registry.get_task(values["task"])
    find_panel(task, values["panel"])
    if ("data" in values) == ("run" in values):
        raise UsageError(Text("looks.data_or_run"))
    run = store.find_run(values["run"]) if "run" in values else None
    if run is not None and run.request.task_id != task.id:
        raise UsageError(Text("looks.other_task", run=run.short_id, task=run.request.task_id))
    record, options = open_data(task, values)
    look = Look(
        item=values.get("item", ""),
        options=options,
        controls=dict(read_pairs(values.get("control", ()))),
        thresholds=_thresholds(values),
        run=run,
        part=values.get("part", ""),
        checkpoint=Path(values["checkpoint"]) if "checkpoint" in values else None,
    )
    views = compute_views(task, values["panel"], record, look)
    path = Path(values["output"])
    language = getattr(terminal, "language", DEFAULT_LANGUAGE)
    written = write_page(task, values["panel"], views, path, language)
    terminal.say(Text("looks.written", file=str(path), n=len(views)))
    for file in written.files:
        terminal.say(Text("looks.file", file=str(file)))
    for title in written.left_out:
        terminal.say(Text("looks.not_on_paper", title=title))
    files = [str(file) for file in (path, *written.files)]
    terminal.result({"files": files, "views": len(views), "left_out": len(written.left_out)})
    return 0


def _thresholds(values: Values) -> dict[str, float]:
    found = {}
    for name, value in read_pairs(values.get("threshold", ()), lone="threshold"):
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UsageError(Text("looks.no_number", got=value)) from error
    return found


def _scores(values: Values, terminal: Terminal) -> int:
    from pipelines import actions
    from pipelines.evidence.looks import score_again

    run = store.find_run(values["RUN"])
    point, part = score_again(run, values.get("part", ""), _thresholds(values))
    terminal.table(
        [
            (verbatim(name), _with_interval(value, part.intervals.get(name)))
            for name, value in part.metrics.items()
        ]
    )
    if run.has_leak:
        terminal.say(Text("leaks.words"))
    found: dict[str, Any] = {"thresholds": dict(point.thresholds), "metrics": part.metrics}
    found |= {"has_leak": run.has_leak}
    found |= {"intervals": part.intervals, "items": len(part.item_ids)}
    terminal.result(actions.plain_numbers(found))
    return 0


def _with_interval(value: float, interval: Sequence[float] | None) -> Text:
    if interval is None:
        return Text("cli.number", value=value)
    return Text("cli.interval", value=value, low=interval[0], high=interval[1])
