"""Options become widgets: one function a kind; a changed option is marked and can be reset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.state import option_key
from dashboard.terms import link_terms
from dashboard.words import number, say, slider_format, tr
from pipelines.config import OptionInfo, is_relevant

_MOST_BUTTONS = 4  # choices drawn as buttons; more become a list
_MOST_STEPS = 1000  # positions of a slider; finer ranges are typed


def draw_options(
    prefix: str, infos: Iterable[OptionInfo], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw the options and return the values that the widgets show.

    Args:
        prefix: First part of the widget keys, usually the task's id.
        infos: Options to draw, in order; irrelevant ones are left out.
        values: Current values of all options, also of those drawn elsewhere.

    Returns:
        `values` with what the widgets show now.
    """
    current = dict(values)
    for info in infos:
        if is_relevant(info, current):
            current[info.name] = draw_option(prefix, info, current[info.name])
    return current


def draw_group(
    prefix: str, infos: Sequence[OptionInfo], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Draw options as `draw_options` does, those for experts folded away below the others."""
    usual = [info for info in infos if not info.is_expert]
    current = draw_options(prefix, usual, values)
    experts = [info for info in infos if info.is_expert]
    has_usual, has_experts = (
        any(is_relevant(info, current) for info in part) for part in (usual, experts)
    )
    if not (has_usual and has_experts):
        return draw_options(prefix, experts, current)
    title = f"{tr('forms.expert')}{changed_mark(experts, current)}"
    with st.expander(title, key=f"{prefix}.group.{experts[0].group}.expert"):
        return draw_options(prefix, experts, current)


def changed_mark(infos: Iterable[OptionInfo], values: Mapping[str, Any]) -> str:
    """Return how many of the options differ from their default, as a mark behind a title."""
    num_changed = sum(values[info.name] != info.default for info in infos)
    return f" :primary[● {num_changed}]" if num_changed else ""


def draw_option(prefix: str, info: OptionInfo, value: Any) -> Any:
    """Draw one option, with its mark and reset button when it differs from the default."""
    key = option_key(prefix, info.name)
    if key not in st.session_state:
        st.session_state[key] = value
    drawer = _drawer(info)
    may_wrap = drawer == "buttons"  # they leave no room beside them in a narrow column
    with st.container(
        horizontal=True, vertical_alignment="bottom", gap="small", wrap=may_wrap
    ):  # fmt: skip
        shown = _DRAWERS[drawer](key, info)
        if shown != info.default:
            _draw_reset(key, info)
    return shown


def label(info: OptionInfo, value: Any) -> str:
    """Return the option's name, its unit, and a dot when it differs from the default."""
    unit = f" ({info.unit})" if info.unit else ""
    mark = "" if value == info.default else " :primary[●]"
    return f"{say(info.label)}{unit}{mark}"


def help_text(info: OptionInfo) -> str:
    """Return the explanation, followed by the default."""
    default = tr("forms.default", value=_value_words(info, info.default))
    return f"{link_terms(say(info.help))} {default}"


def _value_words(info: OptionInfo, value: Any) -> str:
    if info.kind == "choice":
        return say(info.choice_label(value))
    if info.kind == "bool":
        return tr("forms.on" if value else "forms.off")
    if info.kind == "text":
        return str(value)
    return f"{number(value)} {info.unit}".strip()


def _draw_reset(key: str, info: OptionInfo) -> None:
    st.button(
        tr("forms.reset"),
        key=f"{key}.reset",
        icon=":material/undo:",
        type="tertiary",
        help=tr("forms.reset_help", value=_value_words(info, info.default)),
        on_click=_reset,
        args=(key, info.default),
    )


def _reset(key: str, value: Any) -> None:
    st.session_state[key] = value


def _drawer(info: OptionInfo) -> str:
    if info.kind == "choice":
        return "buttons" if len(info.choices) <= _MOST_BUTTONS else "list"
    if info.kind in ("int", "float") and info.low is not None and info.high is not None:
        positions = (info.high - info.low) / _step(info)
        return "slider" if positions <= _MOST_STEPS and _is_on_grid(info) else "number"
    return "number" if info.kind in ("int", "float") else info.kind


def _is_on_grid(info: OptionInfo) -> bool:
    """Tell whether a slider can stand on the default: a rate of 0.002 cannot in steps of 0.01."""
    position = (float(info.default) - (info.low or 0)) / _step(info)
    return abs(position - round(position)) < 1e-6


def _step(info: OptionInfo) -> float:
    if info.step is not None:
        return info.step
    return 1 if info.kind == "int" else 0.01


def _draw_toggle(key: str, info: OptionInfo) -> Any:
    value = st.session_state[key]
    return st.toggle(label(info, value), key=key, help=help_text(info), persist_state="session")


def _draw_buttons(key: str, info: OptionInfo) -> Any:
    value = st.session_state[key]
    return st.segmented_control(
        label(info, value),
        info.choices,
        format_func=lambda choice: say(info.choice_label(choice)),
        key=key,
        help=help_text(info),
        required=True,
        wrap=True,
        persist_state="session",
    )


def _draw_list(key: str, info: OptionInfo) -> Any:
    value = st.session_state[key]
    return st.selectbox(
        label(info, value),
        info.choices,
        format_func=lambda choice: say(info.choice_label(choice)),
        key=key,
        help=help_text(info),
        persist_state="session",
    )


def _draw_slider(key: str, info: OptionInfo) -> Any:
    cast = int if info.kind == "int" else float
    value = st.session_state[key] = cast(st.session_state[key])
    low, high, step = cast(info.low or 0), cast(info.high or 0), cast(_step(info))
    return st.slider(
        label(info, value),
        low,
        high,
        step=step,
        format=slider_format("%.2f") if cast is float else None,
        key=key,
        help=help_text(info),
        persist_state="session",
    )


def _draw_number(key: str, info: OptionInfo) -> Any:
    cast = int if info.kind == "int" else float
    value = st.session_state[key] = cast(st.session_state[key])
    return st.number_input(
        label(info, value),
        min_value=None if info.low is None else cast(info.low),
        max_value=None if info.high is None else cast(info.high),
        step=1 if cast is int else info.step,
        format=None if cast is int else "%g",
        key=key,
        help=help_text(info),
        persist_state="session",
    )


def _draw_text(key: str, info: OptionInfo) -> Any:
    value = st.session_state[key]
    return st.text_input(label(info, value), key=key, help=help_text(info), persist_state="session")


_DRAWERS = {
    "bool": _draw_toggle,
    "buttons": _draw_buttons,
    "list": _draw_list,
    "slider": _draw_slider,
    "number": _draw_number,
    "text": _draw_text,
}
