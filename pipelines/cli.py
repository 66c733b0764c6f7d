"""The commands of `python -m pipelines`: the same functions that the pages call.

Exit status: 0 done, 2 a person's mistake (one line on stderr), 130 stopped by Ctrl-C with a state
that can be resumed, 1 a bug (the line names the log with the traceback).
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pipelines import config as configs
from pipelines import registry, studies
from pipelines.commands import JSON, Argument, Command, Terminal, UsageError, Values, parse
from pipelines.contract import DatasetRecord, MetricInfo, Task
from pipelines.core.files import existing_path, no_access
from pipelines.errors import ConfigError, PipelineError, RunNotFoundError, missing_package
from pipelines.evidence.commands import evidence_commands
from pipelines.jobs import store
from pipelines.jobs.store import NewRun, Run, RunState, Status
from pipelines.settings import load_settings, system_language
from pipelines.studies import commands as study_commands
from pipelines.terminal import ConsoleTerminal
from pipelines.text import DEFAULT_LANGUAGE, LANGUAGES, Language, Text, verbatim

OK: Final = 0
BUG: Final = 1
MISTAKE: Final = 2
INTERRUPTED: Final = 130

_TASK = Argument("task", Text("cli.arg.task"), is_required=True)
_RUN = Argument("run", Text("cli.arg.run"), is_required=True)
_SETTINGS = (
    Argument("--device", Text("cli.arg.device"), "auto|cpu|cuda|mps"),
    Argument("--set", Text("cli.arg.set"), "NAME=VALUE", is_repeated=True),
)


def main(words: Sequence[str]) -> int:
    """Do what the command line says and return the exit status."""
    rest, language, problem = _take_language(list(words))
    terminal = ConsoleTerminal(language, is_json="--json" in rest)
    try:
        if problem is not None:
            raise UsageError(problem)
        return _dispatch(rest, terminal)
    except PipelineError as error:
        terminal.fail(error.text)
        return MISTAKE
    except KeyboardInterrupt:
        terminal.fail(Text("cli.interrupted"))
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output went (`| head`); Python must not complain about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # noqa: BLE001 - the last border before the terminal
        if (known := no_access(error) or missing_package(error)) is not None:
            terminal.fail(known)
            return MISTAKE
        terminal.fail(Text("jobs.bug", kind=type(error).__name__, log=str(_keep_traceback())))
        return BUG


def commands() -> tuple[Command, ...]:
    """List the commands that do not belong to one task."""
    return (
        Command("list", Text("cli.list"), (JSON,), _list),
        Command("describe", Text("cli.describe"), (_TASK, JSON), _describe),
        Command("inspect", Text("cli.inspect"), _INSPECT_ARGUMENTS, _inspect),
        Command("train", Text("cli.train"), _TRAIN_ARGUMENTS, _train),
        Command("predict", Text("cli.predict"), _PREDICT_ARGUMENTS, _predict),
        Command("evaluate", Text("cli.evaluate"), _EVALUATE_ARGUMENTS, _evaluate),
        Command("runs", Text("cli.runs"), (JSON,), _runs),
        Command("compare", Text("compare.command"), _COMPARE_ARGUMENTS, _compare),
        Command("pause", Text("cli.pause"), (_RUN,), _pause),
        Command("cancel", Text("cli.cancel"), (_RUN, _FORCE), _cancel),
        Command("resume", Text("cli.resume"), (_RUN,), _resume),
        *evidence_commands(_work_here, _end_code, _open_for_view),
        Command("work", Text("cli.work"), _WORK_ARGUMENTS, _work),
        study_commands.STUDY,
    )


_FORCE = Argument("--force", Text("cli.arg.force"))
_TRAIN_ARGUMENTS = (
    _TASK,
    Argument("--data", Text("cli.arg.data"), "PATH|sample", is_required=True),
    Argument("--run", Text("cli.arg.run_folder"), "DIR", is_required=True),
    Argument("--preset", Text("cli.arg.preset"), "quick|standard|best"),
    Argument("--time-limit", Text("cli.arg.time_limit"), "SECONDS"),
    *_SETTINGS,
    *study_commands.TRAIN_ARGUMENTS,
    Argument("--title", Text("cli.arg.title"), "WORDS"),
    JSON,
)
_INSPECT_ARGUMENTS = (
    _TASK,
    Argument("--data", Text("cli.arg.data"), "PATH|sample", is_required=True),
    _SETTINGS[1],
    JSON,
)
_PREDICT_ARGUMENTS = (
    _TASK,
    Argument("--checkpoint", Text("cli.arg.checkpoint"), "DIR", is_required=True),
    Argument("--input", Text("cli.arg.input"), "PATH|sample", is_required=True),
    Argument("--output", Text("cli.arg.output"), "DIR", is_required=True),
    Argument("--all", Text("cli.arg.all_items")),
    *_SETTINGS,
    JSON,
)
_EVALUATE_ARGUMENTS = (
    _TASK,
    Argument("--prediction", Text("cli.arg.prediction"), "DIR", is_required=True),
    Argument("--truth", Text("cli.arg.truth"), "PATH", is_required=True),
    JSON,
)
_COMPARE_ARGUMENTS = (
    Argument("run", Text("compare.arg_run"), is_required=True, is_repeated=True),
    JSON,
)
_WORK_ARGUMENTS = (
    Argument("folder", Text("cli.arg.run_folder"), is_required=True),
    Argument("--queue", Text("cli.arg.queue"), "DIR"),
)


# --- look ---------------------------------------------------------------------------------------


def _list(values: Values, terminal: Terminal) -> int:
    working, broken = registry.load_tasks()
    terminal.table([(verbatim(t.id), t.title) for t in working])
    for task in broken:
        terminal.say(task.text)
    terminal.result(
        {
            "tasks": [{"id": t.id, "title": _words(t.title, terminal)} for t in working],
            "broken": [{"id": t.task_id, "cause": t.cause} for t in broken],
        }
    )
    return OK


def _inspect(values: Values, terminal: Terminal) -> int:
    """Report what stands at a path as the page does, without making it a data set."""
    from pipelines import datasets

    task = registry.get_task(values["task"])
    options = _Options.of(task, values)
    if values["data"] == "sample" and not Path("sample").exists():
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
            "facts": {_words(n, terminal): _words(v, terminal) for n, v in shown},
            "problems": [
                {"severity": p.severity, "file": p.path, "text": _words(p.text, terminal)}
                for p in found.problems
            ],
            "options": dict(found.options),
        }
    )
    return OK if found.is_usable else MISTAKE


def _describe(values: Values, terminal: Terminal) -> int:
    task = registry.get_task(values["task"])
    infos = configs.describe(task.config_type)
    terminal.say(task.title)
    terminal.say(task.summary)
    terminal.say(Text("cli.presets", presets=", ".join(task.presets)))
    terminal.say(Text("cli.options"))
    terminal.table([(verbatim(f"  {i.name}"), _default(i), i.label) for i in infos])
    terminal.say(Text("cli.data_options"))
    infos = configs.describe(task.data_options)
    terminal.table([(verbatim(f"  {i.name}"), _default(i), i.label) for i in infos])
    terminal.say(Text("cli.metrics"))
    terminal.table([(verbatim(f"  {m.name}"), m.label) for m in task.metrics])
    terminal.result(_description(task, terminal))
    return OK


def _default(info: configs.OptionInfo) -> Text:
    allowed = "|".join(info.choices)
    if not allowed and info.low is not None and info.high is not None:
        allowed = f"{info.low:g}..{info.high:g}"
    shown = f"{info.default} {info.unit}".strip()
    return verbatim(f"{shown} ({allowed})" if allowed else shown)


def _description(task: Task, terminal: Terminal) -> dict[str, Any]:
    return {
        "id": task.id,
        "title": _words(task.title, terminal),
        "summary": _words(task.summary, terminal),
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
        "label": _words(info.label, terminal),
        "help": _words(info.help, terminal),
    }


def _metric(metric: MetricInfo, terminal: Terminal) -> dict[str, Any]:
    return {
        "name": metric.name,
        "label": _words(metric.label, terminal),
        "higher_is_better": metric.higher_is_better,
        "is_main": metric.is_main,
    }


def _runs(values: Values, terminal: Terminal) -> int:
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
    terminal.result([_run_json(run) for run in listing.runs])
    return OK


def _share(run: Run) -> Text:
    if run.status is Status.QUEUED and run.state.queue_position:
        return Text("cli.place", place=run.state.queue_position)
    return Text("cli.share", share=run.state.fraction)


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "task_id": run.request.task_id,
        "action": run.request.action,
        "status": run.status.value,
        "folder": str(run.folder),
        "done": run.state.done,
        "total": run.state.total,
        "created": run.request.created,
        "study": run.request.study,
        "has_leak": run.has_leak,
    }


# --- work ---------------------------------------------------------------------------------------


def _train(values: Values, terminal: Terminal) -> int:
    from pipelines import actions

    task = registry.get_task(values["task"])
    options = _Options.of(task, values)
    config = configs.parse(task.config_type, {**_preset(task, values), **options.work})
    folder = Path(values["run"])
    is_study = study_commands.wanted(values) is not None
    record = _open_data(task, values["data"], options)
    if is_study:
        return _end_study(_train_study(task, record, config, values, terminal), terminal)
    new = NewRun(
        task_id=task.id,
        action="train",
        config=configs.to_json(config),
        record=record,
        split=task.split(record, config),
        title=values.get("title", ""),
        preset=values.get("preset", ""),
        seed=int(getattr(config, "seed", 0)),
    )
    run = _work_here(store.create_run(new, folder=folder.resolve()), terminal)
    if (code := _end_code(run, terminal)) != OK:
        return code
    scores = run.scores()
    terminal.say(Text("cli.trained", folder=str(run.checkpoint)))
    _show_scores(task, scores, record, terminal)
    if run.has_leak:
        terminal.say(Text("leaks.words"))
    report = {**_run_json(run), "checkpoint": str(run.checkpoint), "scores": scores}
    terminal.result(actions.plain_numbers(report))
    return OK


def _train_study(
    task: Task, record: DatasetRecord, config: Any, values: Values, terminal: Terminal
) -> studies.Study:
    def work_one(run: Run) -> Run:
        return _work_here(run, terminal)

    return study_commands.train(task, record, config, values, terminal, work_one)


def _end_study(study: studies.Study, terminal: Terminal) -> int:
    """Say which runs did not end well, and return the exit status."""
    if study.status is Status.FINISHED:
        return OK
    assert isinstance(terminal, ConsoleTerminal)
    failed = [run for run in study.runs() if run is not None and run.status is Status.FAILED]
    for run in failed:
        terminal.fail(run.error or Text("study.run_failed", run=str(run.folder)))
    if failed and study.wish is None:
        return MISTAKE
    terminal.fail(Text("study.left_resumable", folder=str(study.folder)))
    return INTERRUPTED


def _preset(task: Task, values: Values) -> Mapping[str, Any]:
    name = values.get("preset")
    if name is None:
        return {}
    if name not in task.presets:
        allowed = ", ".join(task.presets)
        raise ConfigError(Text("cli.unknown_preset", got=name, allowed=allowed))
    return task.presets[name]


@dataclass(frozen=True)
class _Options:
    """Hold what `--set` and its shorthands say.

    Attributes:
        work: Options of the task's configuration.
        data: Options of how files are read.
    """

    work: Mapping[str, Any]
    data: Mapping[str, str]

    @classmethod
    def of(cls, task: Task, values: Values) -> _Options:
        """Tell options of the data from those of the work by their names."""
        shorthands = {"device": "device", "time_limit": "time_limit_s"}
        work = {name: values[key] for key, name in shorthands.items() if key in values}
        work_names = {info.name for info in configs.describe(task.config_type)}
        data_names = {info.name for info in configs.describe(task.data_options)} - work_names
        data: dict[str, str] = {}
        for pair in values.get("set", ()):
            name, has_value, value = pair.partition("=")
            if not has_value:
                raise UsageError(Text("cli.not_a_pair", word=pair))
            name = name.strip().replace("-", "_")
            (data if name in data_names else work)[name] = value.strip()
        configs.parse(task.data_options, data)
        return cls(work, data)


def _predict(values: Values, terminal: Terminal) -> int:
    from pipelines import actions
    from pipelines.core.checkpoints import find_checkpoint, load_card

    task = registry.get_task(values["task"])
    checkpoint = find_checkpoint(Path(values["checkpoint"]))
    card = load_card(checkpoint, task_id=task.id)
    options = _Options.of(task, values)
    config = actions.prediction_config(task, card, options.work)
    output = Path(values["output"])
    _refuse_file(output)
    record = _open_data(task, values["input"], options)
    predicted = [i.item_id for i in record.items] if "all" in values else []
    new = NewRun(
        task.id, "predict", configs.to_json(config), record, checkpoint=checkpoint,
        parent_run=card.run_id, output=output, item_ids=tuple(predicted),
    )  # fmt: skip
    run = _work_here(store.create_run(new, folder=Path(tempfile.mkdtemp()) / "run"), terminal)
    code, scores = _end_code(run, terminal), run.scores()
    if code == BUG:
        return code  # the folder stays, its log tells what happened
    shutil.rmtree(run.folder.parent, ignore_errors=True)
    if code != OK:
        return code
    predicted = predicted or list(task.default_items(record))
    terminal.say(Text("cli.predicted", folder=str(output), items=task.items_text(len(predicted))))
    _show_scores(task, scores, record, terminal)
    if scores and card.has_leak:
        terminal.say(Text("leaks.words"))
    terminal.result(
        {"output": str(output), "items": predicted, "scores": actions.plain_numbers(scores)}
    )
    return OK


def _evaluate(values: Values, terminal: Terminal) -> int:
    from pipelines import actions

    task = registry.get_task(values["task"])
    folder, truth = Path(values["prediction"]), Path(values["truth"])
    _, scores = actions.run_evaluation(task, folder, truth)
    (part,) = scores.parts.values()
    point = scores.operating_point
    terminal.table(
        [(verbatim(n), _figure(v, part.intervals.get(n))) for n, v in part.metrics.items()]
        + [(verbatim(n), Text("cli.number", value=v)) for n, v in point.thresholds.items()]
    )
    terminal.say(Text(f"cli.source.{point.source}", n=len(part.item_ids)))
    result: dict[str, Any] = {**part.metrics, **point.thresholds, "threshold_source": point.source}
    result |= {"intervals": part.intervals, "interval_unit": part.interval_unit}
    result |= {"items": list(part.item_ids)}
    terminal.result(actions.plain_numbers(result))
    return OK


def _compare(values: Values, terminal: Terminal) -> int:
    from pipelines.compare.command import run_command

    return run_command(values, terminal)


def _figure(value: float, interval: Sequence[float] | None) -> Text:
    if interval is None:
        return Text("cli.number", value=value)
    return Text("cli.interval", value=value, low=interval[0], high=interval[1])


def _work(values: Values, terminal: Terminal) -> int:
    from pipelines.jobs import worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_settings()
    queue = Path(values["queue"]) if "queue" in values else settings.runs / ".queue"
    if studies.is_study(Path(values["folder"])):
        studies.work(studies.read_study(Path(values["folder"]).resolve()), queue=queue)
        return OK
    run = worker.work(Path(values["folder"]).resolve(), queue=queue, num_slots=settings.max_runs)
    if run.error is not None:
        terminal.say(run.error)  # the log of a failed run ends with its sentence
    return OK if run.status is not Status.FAILED else BUG


def _study_named(name: str) -> studies.Study | None:
    """Find the study of that name, where it is one and no run."""
    try:
        return studies.find_study(name)
    except RunNotFoundError:
        return None


def _pause(values: Values, terminal: Terminal) -> int:
    from pipelines.jobs.engines import local

    if (study := _study_named(values["run"])) is not None:
        studies.pause(study)
        terminal.say(Text("cli.pausing", run=study.short_id))
        return OK
    run = store.find_run(values["run"])
    local.pause(run)
    terminal.say(Text("cli.pausing", run=run.short_id))
    return OK


def _cancel(values: Values, terminal: Terminal) -> int:
    from pipelines.jobs.engines import local

    if (study := _study_named(values["run"])) is not None:
        studies.cancel(study)
        terminal.say(Text("cli.cancelling", run=study.short_id))
        return OK
    run = store.find_run(values["run"])
    if values.get("force"):
        local.force_stop(run)
        terminal.say(Text("cli.cancelled", run=run.short_id))
        return OK
    local.cancel(run)
    terminal.say(Text("cli.cancelling", run=run.short_id))
    return OK


def _resume(values: Values, terminal: Terminal) -> int:
    from pipelines.jobs.engines import local

    if (study := _study_named(values["run"])) is not None:
        studies.resume(study)
        terminal.say(Text("cli.resumed", run=study.short_id))
        return OK
    run = local.resume(store.find_run(values["run"]))
    terminal.say(Text("cli.resumed", run=run.short_id))
    return OK


# --- parts --------------------------------------------------------------------------------------


def _dispatch(words: list[str], terminal: ConsoleTerminal) -> int:
    known = {command.name: command for command in commands()}
    if not words or words[0] in ("--help", "-h", "help"):
        _show_help(terminal)
        return OK
    command = known.get(words[0]) or _task_command(words)
    own = {c.name for c in _all_task_commands()} if command is None else set()
    if words[0] in own and (len(words) < 2 or words[1].startswith("-")):
        usage = f"python -m pipelines {words[0]} TASK ..."
        raise UsageError(Text("cli.missing", word="TASK", usage=usage))
    if command is None:
        names = ", ".join([*known, *sorted(own)])
        raise UsageError(Text("cli.unknown_command", got=words[0], allowed=names))
    if "--help" in words or "-h" in words:
        _show_command(command, terminal)
        return OK
    taken = 1 if words[0] in known else 2
    return command.run(parse(command, words[taken:]), terminal)


def _task_command(words: Sequence[str]) -> Command | None:
    """Find a task's own command, called `NAME TASK ...`."""
    if len(words) < 2 or words[1] not in registry.task_ids():
        return None
    own = registry.get_task(words[1]).commands()
    found = next((command for command in own if command.name == words[0]), None)
    return found and dataclasses.replace(found, name=f"{found.name} {words[1]}")


def _all_task_commands() -> list[Command]:
    return [command for task in registry.load_tasks()[0] for command in task.commands()]


def _show_help(terminal: Terminal) -> None:
    terminal.say(Text("cli.help"))
    terminal.table([(verbatim(f"  {c.name}"), c.summary) for c in commands()])
    for task in registry.load_tasks()[0]:
        rows = [(verbatim(f"  {c.name} {task.id}"), c.summary) for c in task.commands()]
        terminal.table(rows)
    terminal.say(Text("cli.help_more"))


def _show_command(command: Command, terminal: Terminal) -> None:
    terminal.say(command.summary)
    terminal.say(verbatim(f"  {command.usage}"))
    terminal.table([(verbatim(f"  {a.usage}"), a.help) for a in command.arguments])


def _open_data(task: Task, source: str, options: _Options) -> DatasetRecord:
    """Register what stands at a path; the command line may read wherever its user may."""
    from pipelines import datasets

    settings = load_settings()
    if source == "sample" and not Path(source).exists():
        return datasets.builtin_sample(task, settings)
    return datasets.register(task, existing_path(source), options.data, settings)


def _open_for_view(task: Task, values: Values) -> tuple[DatasetRecord, Mapping[str, Any]]:
    """Return what `view` looks at, the data of a run where one is named, and the options."""
    options = _Options.of(task, values)
    if "run" in values:
        return store.find_run(values["run"]).dataset(), options.work
    return _open_data(task, values["data"], options), options.work


def _work_here(run: Run, terminal: Terminal) -> Run:
    """Work on a run in this process; the first Ctrl-C pauses, the second one breaks off."""
    from pipelines.jobs import worker

    def show(state: RunState) -> None:
        if state.stage is not None:
            terminal.progress(state.done, state.total, state.stage, state.seconds_left)

    with _log_into(run.folder / store.LOG), _pause_on_interrupt(run.folder):
        done = worker.work(run.folder, listener=show)
    for note in done.state.notes:
        terminal.say(note)
    return done


def _end_code(run: Run, terminal: Terminal) -> int:
    """Say how the work ended where it did not finish, and return the exit status."""
    if run.status is Status.FINISHED:
        return OK
    if run.status is Status.FAILED and run.error is not None:
        assert isinstance(terminal, ConsoleTerminal)
        terminal.fail(run.error)
        return BUG if run.error.id == "jobs.bug" else MISTAKE
    assert isinstance(terminal, ConsoleTerminal)
    text_id = "cli.left_resumable" if run.request.action == "train" else "cli.interrupted"
    terminal.fail(Text(text_id, folder=str(run.folder)))
    return INTERRUPTED


def _show_scores(
    task: Task, scores: Mapping[str, Any] | None, record: DatasetRecord, terminal: Terminal
) -> None:
    from pipelines.actions import data_fingerprint
    from pipelines.datasets import locked

    if scores is None:
        return
    for name, part in scores["parts"].items():
        name_of_main = task.main_metric.name
        value = _figure(part["metrics"][name_of_main], part["intervals"].get(name_of_main))
        terminal.say(
            Text(
                "cli.score",
                part=Text(f"jobs.part.{name}"),
                metric=task.main_metric.label,
                value=value,
                items=task.items_text(len(part["item_ids"])),
            )
        )
    opened = locked.count_beside(scores["parts"], data_fingerprint(record), load_settings())
    if opened is not None:
        terminal.say(opened)
    point = scores["operating_point"]
    for name, value in point["thresholds"].items():
        shown = Text("cli.threshold_name") if name == "threshold" else verbatim(name)
        terminal.say(Text("cli.threshold", name=shown, value=value))


def _refuse_file(path: Path) -> None:
    if path.is_file():
        raise UsageError(Text("cli.output_is_file", path=str(path)))


def _words(text: Text, terminal: Terminal) -> str:
    from pipelines.text import render

    return render(text, getattr(terminal, "language", DEFAULT_LANGUAGE))


@contextlib.contextmanager
def _pause_on_interrupt(folder: Path) -> Iterator[None]:
    """Turn the first Ctrl-C into the wish to pause, so that a resumable state is left."""

    def handle(number: int, frame: FrameType | None) -> None:
        if (folder / "pause").exists():
            raise KeyboardInterrupt
        store.wish(folder, "pause")

    former = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


@contextlib.contextmanager
def _log_into(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _keep_traceback() -> Path:
    with tempfile.NamedTemporaryFile(
        "w", prefix="pipelines-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exc(file=file)
    return Path(file.name)


def _take_language(words: list[str]) -> tuple[list[str], Language, Text | None]:
    """Take `--language` out of the words; without it the environment's language counts."""
    wanted = _environment_language()
    for index, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if name != "--language":
            continue
        taken = 1 if has_value else 2
        value = value if has_value else "".join(words[index + 1 : index + 2])
        rest = words[:index] + words[index + taken :]
        for language in LANGUAGES:
            if value == language:
                return rest, language, None
        problem = Text("cli.unknown_language", got=value, allowed=", ".join(LANGUAGES))
        return rest, wanted, problem
    return words, wanted, None


def _environment_language() -> Language:
    name = system_language()
    return next((code for code in LANGUAGES if name.lower().startswith(code)), DEFAULT_LANGUAGE)
