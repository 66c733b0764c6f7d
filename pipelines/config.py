"""One frozen dataclass a task: form, command line flags, JSON and validation derive from it.

A field is declared once with `option`; its words stand in the catalogue under ids made from the
class: `<texts>.<field>` is the label, `<texts>.<field>.help` the one-sentence explanation, and
`<texts>.<field>.<choice>` the name of a choice. `texts` is a class variable of the dataclass.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_type_hints

from pipelines.errors import ConfigError
from pipelines.text import Text

Kind = Literal["bool", "int", "float", "choice", "text"]
Value = bool | int | float | str
ConfigT = TypeVar("ConfigT")
_SHOWN = 80  # characters of a wrong value that a sentence repeats


def option(
    default: Value,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    choices: Sequence[str] = (),
    **layout: Any,
) -> Any:
    """Declare one option of a config dataclass.

    Args:
        default: Value when nothing is set; its type is the option's type.
        low: Lowest value allowed, included.
        high: Highest value allowed, included.
        unit: Unit written behind the value ("px", "nm", "s", "°"); "" for none.
        choices: The only values allowed, for a string.
        **layout: How a form shows it: `group` (heading id, default "general"), `expert` (folded
            away), `only_if` (`(field, (values...))`: shown when that field has one of the values),
            `step` (step of a slider).

    Returns:
        A dataclass field that carries all of this in its metadata.
    """
    allowed = {"group", "expert", "only_if", "step"}
    if unknown := set(layout) - allowed:
        raise TypeError(f"option() got {sorted(unknown)}; allowed are {sorted(allowed)}")
    metadata = {"low": low, "high": high, "unit": unit, "choices": tuple(choices), **layout}
    return dataclasses.field(default=default, metadata={"option": metadata})


@dataclass(frozen=True)
class OptionInfo:
    """Describe one option: what a form, a flag or a table needs to show it.

    Attributes:
        name: Field name.
        kind: Type of the value; "choice" is one of `choices`.
        default: Value when nothing is set.
        low: Lowest value allowed, or None.
        high: Highest value allowed, or None.
        step: Step of a slider, or None.
        unit: Unit behind the value.
        choices: Values allowed for a "choice".
        group: Heading under which it stands.
        is_expert: Whether a form folds it away.
        only_if: `(field, values)` that another option must have for this one to matter, or None.
        texts: Prefix of its message ids.
    """

    name: str
    kind: Kind
    default: Value
    low: float | None
    high: float | None
    step: float | None
    unit: str
    choices: tuple[str, ...]
    group: str
    is_expert: bool
    only_if: tuple[str, tuple[Value, ...]] | None
    texts: str

    @property
    def label(self) -> Text:
        """Short name of the option."""
        return Text(f"{self.texts}.{self.name}")

    @property
    def help(self) -> Text:
        """One sentence on what the option does."""
        return Text(f"{self.texts}.{self.name}.help")

    def choice_label(self, choice: str) -> Text:
        """Name of one of the choices."""
        return Text(f"{self.texts}.{self.name}.{choice}")


def describe(config_type: type[Any]) -> tuple[OptionInfo, ...]:
    """List the options of a config dataclass in the order in which they are declared."""
    hints = get_type_hints(config_type)
    fields = dataclasses.fields(config_type)
    return tuple(_info(config_type, f, hints[f.name]) for f in fields if "option" in f.metadata)


def parse(config_type: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a config from loose values (JSON, form, `NAME=VALUE` flags).

    Args:
        config_type: A frozen dataclass whose fields were declared with `option`.
        values: Field name to value; strings are read as the option's type; what is left out takes
            its default.

    Raises:
        ConfigError: Any value that does not fit; the text names all of them.
    """
    infos = {info.name: info for info in describe(config_type)}
    problems = [
        Text("config.unknown", name=name, allowed=", ".join(infos))
        for name in values
        if name not in infos
    ]
    parsed: dict[str, Value] = {}
    for name, info in infos.items():
        value, problem = _read(info, values.get(name, info.default))
        parsed[name] = value
        if problem is not None:
            problems.append(problem)
    if problems:
        raise ConfigError(Text("config.problems", n=len(problems), problems=_joined(problems)))
    return config_type(**parsed)


def to_json(config: Any) -> dict[str, Value]:  # any config dataclass
    """Return every option with its value, as plain JSON."""
    return {info.name: getattr(config, info.name) for info in describe(type(config))}


def changed(config: Any) -> dict[str, Value]:  # any config dataclass
    """Return the options whose value differs from the default."""
    infos = describe(type(config))
    pairs = {i.name: (getattr(config, i.name), i.default) for i in infos}
    return {name: value for name, (value, default) in pairs.items() if value != default}


def is_relevant(info: OptionInfo, values: Mapping[str, Any]) -> bool:
    """Tell whether the option matters, given the values of the others."""
    if info.only_if is None:
        return True
    name, wanted = info.only_if
    return values.get(name) in wanted


def _info(config_type: type[Any], field: dataclasses.Field[Any], hint: Any) -> OptionInfo:
    data = field.metadata["option"]
    kinds: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
    return OptionInfo(
        name=field.name,
        kind="choice" if data["choices"] else kinds[hint],
        default=cast("Value", field.default),
        low=data["low"],
        high=data["high"],
        step=data.get("step"),
        unit=data["unit"],
        choices=data["choices"],
        group=data.get("group", "general"),
        is_expert=data.get("expert", False),
        only_if=data.get("only_if"),
        texts=_texts_of(config_type, field.name),
    )


def _texts_of(config_type: type[Any], name: str) -> str:
    """Return the prefix of the class that declares the field: an inherited part keeps its words."""
    owner = next(c for c in config_type.__mro__ if name in inspect.get_annotations(c))
    return str(owner.__dict__.get("texts", config_type.texts))


def _read(info: OptionInfo, value: Any) -> tuple[Value, Text | None]:
    try:
        typed = _typed(info, value)
    except (TypeError, ValueError, OverflowError):  # the last one: infinity as a whole number
        return info.default, _complaint(
            "config.type", info, value, kind=Text(f"config.{info.kind}")
        )
    if info.choices and typed not in info.choices:
        return typed, _complaint("config.choice", info, value, allowed=", ".join(info.choices))
    if isinstance(typed, (str, bool)):
        return typed, None
    low = -math.inf if info.low is None else info.low
    high = math.inf if info.high is None else info.high
    if not low <= typed <= high:  # NaN fails here too
        return typed, _complaint("config.range", info, value, low=low, high=high)
    return typed, None


def _typed(info: OptionInfo, value: Any) -> Value:
    if info.kind == "bool":
        return _boolean(value)
    if info.kind in ("choice", "text"):
        return str(value)
    if isinstance(value, bool):
        raise TypeError("a truth value is no number")
    number = float(value)
    if info.kind == "float":
        return number
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def _boolean(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    return words[str(value).lower()] if str(value).lower() in words else _refuse()


def _refuse() -> bool:
    raise ValueError("not a truth value")


def _complaint(text_id: str, info: OptionInfo, value: Any, **params: Any) -> Text:
    shown = " ".join(str(value)[:_SHOWN].split())
    return Text(text_id, name=info.name, value=shown, unit=info.unit, **params)


def _joined(problems: Sequence[Text]) -> Text:
    if len(problems) == 1:
        return problems[0]
    return Text("config.join", first=problems[0], rest=_joined(problems[1:]))
