"""Commands that look at what there is: tasks, options, files, runs."""

from __future__ import annotations

from typing import Any

from pipelines import config as configs
from pipelines import registry, studies
from pipelines.cli.ending import MISTAKE, OK, run_json, words_of
from pipelines.cli.options import Options, is_sample
from pipelines.commands import Terminal, Values
from pipelines.contract import MetricInfo, Task
from pipelines.core.files import existing_path
from pipelines.jobs import store
from pipelines.jobs.store import Run, Status
from pipelines.settings import load_settings
from pipelines.text import Text, verbatim


def list_tasks(values: Values, terminal: Terminal) -> int:
    """List the tasks, and those that cannot be loaded with their cause."""
    working, broken = registry.load_tasks()
    terminal.table([(verbatim(t.id), t.title) for t in working])
    for task in broken:
        terminal.say(task.text)
    terminal.result(
        {
            "tasks": [{"id": t.id, "title": words_of(t.title, terminal)} for t in working],
            "broken": [{"id": t.task_id, "cause": t.cause} for t in broken],
        }
    )
    return OK


def inspect(values: Values, terminal: Terminal) -> int:
    """Report what stands at a path as the page does, without making it a data set."""
    from pipelines import datasets

    task = registry.get_task(values["task"])
    options = Options.of(task, values)
    if is_sample(values["data"]):
        source = datasets.builtin_sample(task, load_settings()).root
    else:
        source = existing_path(values["data"])
    found = task.inspect(source, options.data)
    shown = [(n, v if isinstance(v, Text) else verbatim(str(v))) for n, v in found.facts]
    terminal.table(shown)
    for problem in found.problems:
        terminal.say(problem.text)
    terminal.result(
        {
            "is_usable": found.is_usable,
            "items": len(found.items),
            "facts": {words_of(n, terminal): words_of(v, terminal) for n, v in shown},
            "problems": [
                {"severity": p.severity, "file": p.path, "text": words_of(p.text, terminal)}
                for p in found.problems
            ],
            "options": dict(found.options),
        }
    )
    return OK if found.is_usable else MISTAKE


def describe(values: Values, terminal: Terminal) -> int:
    """Show presets, options and metrics of a task."""
    task = registry.get_task(values["task"])
    terminal.say(task.title)
    terminal.say(task.summary)
    terminal.say(Text("cli.presets", presets=", ".join(task.presets)))
    for text_id, kind in (
        ("cli.options", task.config_type),
        ("cli.data_options", task.data_options),
    ):
        if infos := configs.describe(kind):
            terminal.say(Text(text_id))
            terminal.table([(verbatim(f"  {i.name}"), _default(i), i.label) for i in infos])
    terminal.say(Text("cli.metrics"))
    terminal.table([(verbatim(f"  {m.name}"), m.label) for m in task.metrics])
    terminal.result(_description(task, terminal))
    return OK


def _default(info: configs.OptionInfo) -> Text:
    allowed = "|".join(info.choices)
    if not allowed and info.low is not None and info.high is not None:
        # a whole number is written whole: 2147483647 is a seed, 2.14748e+09 is none
        low, high = (
            f"{end:.0f}" if info.kind == "int" else f"{end:g}" for end in (info.low, info.high)
        )
        allowed = f"{low}..{high}"
    shown = f"{info.default} {info.unit}".strip()
    return verbatim(f"{shown} ({allowed})" if allowed else shown)


def _description(task: Task, terminal: Terminal) -> dict[str, Any]:
    return {
        "id": task.id,
        "title": words_of(task.title, terminal),
        "summary": words_of(task.summary, terminal),
        "presets": {name: dict(changes) for name, changes in task.presets.items()},
        "options": [_option(i, terminal) for i in configs.describe(task.config_type)],
        "data_options": [_option(i, terminal) for i in configs.describe(task.data_options)],
        "metrics": [_metric(m, terminal) for m in task.metrics],
    }


def _option(info: configs.OptionInfo, terminal: Terminal) -> dict[str, Any]:
    return {
        "name": info.name,
        "kind": info.kind,
        "default": info.default,
        "low": info.low,
        "high": info.high,
        "unit": info.unit,
        "choices": list(info.choices),
        "label": words_of(info.label, terminal),
        "help": words_of(info.help, terminal),
    }


def _metric(metric: MetricInfo, terminal: Terminal) -> dict[str, Any]:
    return {
        "name": metric.name,
        "label": words_of(metric.label, terminal),
        "higher_is_better": metric.higher_is_better,
        "is_main": metric.is_main,
    }


def list_runs(values: Values, terminal: Terminal) -> int:
    """List runs and studies, and name the folders that cannot be read."""
    listing = store.scan_runs()
    if not listing.runs:
        terminal.say(Text("cli.no_runs", folder=str(load_settings().runs)))
    terminal.table(
        [
            (verbatim(r.run_id), verbatim(r.request.task_id), r.status.label, _share(r), r.title,
             Text("leaks.mark") if r.has_leak else verbatim(""))
            for r in listing.runs
        ]
    )  # fmt: skip
    terminal.table(
        [
            (verbatim(s.study_id), verbatim(s.task_id), s.status.label, s.label)
            for s in studies.list_studies()
        ]
    )
    for _, problem in listing.problems:
        terminal.say(problem)
    terminal.result([run_json(run) for run in listing.runs])
    return OK


def _share(run: Run) -> Text:
    if run.status is Status.QUEUED and run.state.queue_position:
        return Text("cli.place", place=run.state.queue_position)
    return Text("cli.share", share=run.state.fraction)
