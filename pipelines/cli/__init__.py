"""The commands of `python -m pipelines`: the same functions that the pages call.

Exit status: 0 done, 2 a person's mistake (one line on stderr), 130 stopped by Ctrl-C with a state
that can be resumed, 1 a bug (the line names the log with the traceback).
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from pipelines import registry
from pipelines.cli import arguments, look, steer, work
from pipelines.cli.ending import BUG, INTERRUPTED, MISTAKE, OK, end_code, work_here
from pipelines.cli.options import open_for_view
from pipelines.commands import JSON, Command, Terminal, UsageError, parse
from pipelines.core.files import no_access
from pipelines.errors import PipelineError, missing_package
from pipelines.evidence.commands import evidence_commands
from pipelines.settings import system_language
from pipelines.studies import commands as study_commands
from pipelines.terminal import ConsoleTerminal
from pipelines.text import DEFAULT_LANGUAGE, LANGUAGES, Language, Text, verbatim


def main(words: Sequence[str]) -> int:
    """Do what the command line says and return the exit status."""
    rest, language, problem = _take_language(list(words))
    terminal = ConsoleTerminal(language, is_json="--json" in rest)
    _unwind_when_terminated()
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


def _unwind_when_terminated() -> None:
    """Let SIGTERM end a command as Ctrl-C does, so that nothing half-written stays behind."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def commands() -> tuple[Command, ...]:
    """List the commands that do not belong to one task."""
    return (
        Command("list", Text("cli.list"), (JSON,), look.list_tasks),
        Command("describe", Text("cli.describe"), (arguments.TASK, JSON), look.describe),
        Command("inspect", Text("cli.inspect"), arguments.INSPECT, look.inspect),
        Command("train", Text("cli.train"), arguments.TRAIN, work.train),
        Command("predict", Text("cli.predict"), arguments.PREDICT, work.predict),
        Command("evaluate", Text("cli.evaluate"), arguments.EVALUATE, work.evaluate),
        Command("runs", Text("cli.runs"), (JSON,), look.list_runs),
        Command("compare", Text("compare.command"), arguments.COMPARE, work.compare),
        Command("pause", Text("cli.pause"), (arguments.RUN,), steer.pause),
        Command("cancel", Text("cli.cancel"), (arguments.RUN, arguments.FORCE), steer.cancel),
        Command("resume", Text("cli.resume"), (arguments.RUN,), steer.resume),
        *evidence_commands(work_here, end_code, open_for_view),
        Command("work", Text("cli.work"), arguments.WORK, steer.work_on),
        study_commands.STUDY,
    )


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
