"""The command line as plain data: what commands there are, and what a person typed.

Parsed here and not by `argparse`, whose sentences exist in English only: every complaint is a
`Text`, so that a mistake is answered in one line of the person's language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.errors import PipelineError
from pipelines.text import Text

Values = Mapping[str, Any]  # str, True for a switch, a list for what may be repeated


class UsageError(PipelineError):
    """Report a command line that cannot be understood."""


class Terminal(Protocol):
    """Take what a command says."""

    def say(self, text: Text) -> None:
        """Print a sentence for a person; nothing with `--json`."""

    def table(self, rows: Sequence[Sequence[Text]]) -> None:
        """Print aligned columns; nothing with `--json`."""

    def result(self, value: Any) -> None:
        """Print a JSON value; nothing without `--json`."""

    def progress(self, done: float, total: float, stage: Text, seconds_left: float | None) -> None:
        """Show a progress bar, or a line every few seconds where there is no terminal."""


@dataclass(frozen=True)
class Argument:
    """Describe one argument.

    Attributes:
        name: `task` for a positional one, `--data` for an option.
        help: One sentence.
        value: What stands behind an option in the help ("PATH"); "" makes it a switch.
        is_required: Whether it must be given.
        is_repeated: Whether it may be given several times; its value is then a list. Of positional
            arguments only the last one may.
    """

    name: str
    help: Text
    value: str = ""
    is_required: bool = False
    is_repeated: bool = False

    @property
    def is_option(self) -> bool:
        """Whether it is written with dashes."""
        return self.name.startswith("--")

    @property
    def key(self) -> str:
        """Name under which its value is handed on."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def usage(self) -> str:
        """How it is written in a usage line."""
        if not self.is_option and self.is_repeated:
            return f"{self.name.upper()} [{self.name.upper()} ...]"
        if not self.is_option:
            return self.name.upper() if self.is_required else f"[{self.name.upper()}]"
        words = f"{self.name} {self.value}" if self.value else self.name
        words = words if self.is_required else f"[{words}]"
        return f"{words} ..." if self.is_repeated else words


@dataclass(frozen=True)
class Command:
    """Describe one command.

    Attributes:
        name: Word that calls it; a task's own command is called `NAME TASK`.
        summary: One sentence.
        arguments: In the order of the help.
        run: Gets the values and the terminal, returns the exit status.
    """

    name: str
    summary: Text
    arguments: tuple[Argument, ...]
    run: Callable[[Values, Terminal], int]

    @property
    def usage(self) -> str:
        """The line that shows how it is called."""
        words = [a.usage for a in self.arguments if not a.is_option]
        words += [a.usage for a in self.arguments if a.is_option]
        return " ".join(["python -m pipelines", self.name, *words])


JSON = Argument("--json", Text("cli.json"))


def parse(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """Read the words behind a command.

    Returns:
        Key to value; options that were not given are absent.

    Raises:
        UsageError: A word that does not fit; the text shows how the command is called.
    """
    options = {a.name: a for a in command.arguments if a.is_option}
    positional = [a for a in command.arguments if not a.is_option]
    values: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            if not positional:
                raise _usage("cli.unexpected", command, word=word)
            if positional[0].is_repeated:
                values.setdefault(positional[0].key, []).append(word)
            else:
                values[positional.pop(0).key] = word
            continue
        name, has_value, value = word.partition("=")
        if name not in options:
            raise _usage("cli.unknown_option", command, word=name)
        _set(values, command, options[name], value if has_value else None, rest)
    missing = [a.usage for a in command.arguments if a.is_required and a.key not in values]
    if missing:
        raise _usage("cli.missing", command, word=", ".join(missing))
    return values


def _set(
    values: dict[str, Any],
    command: Command,
    argument: Argument,
    value: str | None,
    rest: list[str],
) -> None:
    """Keep the value of one option; without `=` it is the next word."""
    if not argument.value:
        if value is not None:
            raise _usage("cli.no_value", command, word=argument.name)
        values[argument.key] = True
        return
    if value is None:
        if not rest or rest[0].startswith("--"):
            raise _usage("cli.value_missing", command, word=argument.usage.strip("[]"))
        value = rest.pop(0)
    if argument.is_required and not value.strip():
        raise _usage("cli.value_missing", command, word=argument.usage)
    if argument.is_repeated:
        values.setdefault(argument.key, []).append(value)
    elif argument.key in values:
        raise _usage("cli.given_twice", command, word=argument.name)
    else:
        values[argument.key] = value


def _usage(text_id: str, command: Command, *, word: str) -> UsageError:
    return UsageError(Text(text_id, word=word, usage=command.usage))
