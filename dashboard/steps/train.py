"""Step Train: a preset and a button, every option folded below, the run as it goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import streamlit as st

from dashboard.choices import Choices
from dashboard.errors import frame
from dashboard.forms import changed_mark, draw_group
from dashboard.layout import CONTROLS_AND_PICTURE, draw_empty
from dashboard.run_panel import draw_run
from dashboard.same_code import draw_same_code
from dashboard.state import set_options, watch_run, watched_run
from dashboard.steps.panels import draw_step_panels, step_panels, task_values
from dashboard.study_panel import Repeat, draw_repeat, draw_study, start_study
from dashboard.words import language, say, tr
from pipelines import config as configs
from pipelines import studies
from pipelines.contract import Task
from pipelines.core.device import describe_wish
from pipelines.errors import LeakError
from pipelines.evidence.calls import Several, Source, training_call
from pipelines.jobs.engines import local
from pipelines.jobs.store import NewRun, Run, Status, create_run, find_run, list_runs
from pipelines.settings import load_settings
from pipelines.text import Text, format_duration

_WAYS_ON: Final = (("evaluate", "query_stats"), ("predict", "auto_awesome"))


def show(task: Task, choices: Choices, draw_more: Callable[[Task], None] | None = None) -> None:
    """Draw the step.

    Args:
        task: Task whose page it is.
        choices: Data that are trained on.
        draw_more: Draws what a task adds below its presets; it may set options.
    """
    left, right = st.columns(CONTROLS_AND_PICTURE, gap="large")
    with left, frame():
        _draw_preset(task)
        if draw_more is not None:
            draw_more(task)
        place = st.container()  # above the expert options: what starts is never out of sight
        values = _draw_groups(task)
        with place:
            repeat = _draw_start(task, choices, values)
    with right, frame():
        _draw_followed(task)
        _draw_code(task, choices, values, repeat)
    if step_panels(task, "train"):
        st.divider()
        draw_step_panels(task, "train", choices)


def _draw_code(task: Task, choices: Choices, values: dict[str, Any], repeat: Repeat) -> None:
    preset = str(st.session_state.get(f"{task.id}.preset", ""))
    data = Source.of(task, choices.record)
    several = None if repeat.kind is None else Several(repeat.kind, repeat.count)
    call = training_call(task, values, data, run="runs/mine", preset=preset, several=several)
    draw_same_code(call, "train", "same_code.train")


def _draw_preset(task: Task) -> None:
    preset = st.segmented_control(
        tr("train_step.preset"),
        list(task.presets),
        format_func=lambda name: say(task.preset_label(name)),
        key=f"{task.id}.preset",
        default=next(iter(task.presets)),
        required=True,
        wrap=True,
        persist_state="session",
    )
    _apply_preset(task, str(preset))
    st.caption(say(task.preset_help(str(preset))))


def _draw_groups(task: Task) -> dict[str, Any]:
    infos = configs.describe(task.config_type)
    values = task_values(task)
    elsewhere = {g for panel in step_panels(task, "train") for g in panel.config_groups}
    groups = [g for g in dict.fromkeys(i.group for i in infos) if g not in elsewhere]
    for group in groups:
        values = _draw_group(task, group, [i for i in infos if i.group == group], values)
    return values


def _prefix(task: Task) -> str:
    return str(task.config_type.texts)


def _draw_group(
    task: Task, group: str, infos: Sequence[configs.OptionInfo], values: dict[str, Any]
) -> dict[str, Any]:
    if not any(configs.is_relevant(info, values) for info in infos):
        return values
    title = say(Text(f"{_prefix(task)}.group.{group}"))
    title = f"{title}{changed_mark(infos, values)}"
    with st.expander(title, key=f"{task.id}.group.{group}"):
        return draw_group(task.id, infos, values)


def _apply_preset(task: Task, preset: str) -> None:
    """Set the options of a preset when it was chosen just now."""
    key = f"{task.id}.preset_applied"
    if st.session_state.get(key) == preset:
        return
    infos = configs.describe(task.config_type)
    touched = {name for options in task.presets.values() for name in options}
    values = {i.name: i.default for i in infos if i.name in touched}
    set_options(task.id, values | dict(task.presets[preset]))
    st.session_state[key] = preset


def _draw_start(task: Task, choices: Choices, values: dict[str, Any]) -> Repeat:
    """Draw what starts the training, and return how often it is asked for."""
    wish = values.get("device", "auto")
    st.caption(f":material/memory: {say(describe_wish(wish))}")
    if not any(item.has_truth for item in choices.record.items):
        st.info(tr("train_step.no_labels"), icon=":material/label_off:")
        return Repeat(None, 1, 1)
    config = configs.parse(task.config_type, values)
    repeat = draw_repeat(task, choices.record)
    seconds = task.estimate_for(choices.record, config, wish) * repeat.num_runs
    duration = format_duration(seconds, language())
    words = tr("train_step.start", duration=duration)
    if repeat.kind is not None:
        words = tr("study_panel.start", n=repeat.num_runs, duration=duration)
    start = st.button(
        words,
        key=f"{task.id}.train",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
    )
    _start_or_ask(task, choices, config, repeat, is_wanted=start)
    return repeat


def _start_or_ask(
    task: Task, choices: Choices, config: Any, repeat: Repeat, *, is_wanted: bool
) -> None:
    """Start; a split that leaks is named first and used only after a click of its own."""
    key = f"{task.id}.leak"
    if is_wanted:
        st.session_state.pop(key, None)
        try:
            _start(task, choices, config, repeat)
        except LeakError as error:
            st.session_state[key] = error.text
    if key not in st.session_state:
        return
    st.warning(say(st.session_state[key]), icon=":material/water_drop:")
    if st.button(tr("train_step.leak_anyway"), key=f"{task.id}.leak_anyway"):
        st.session_state.pop(key)
        _start(task, choices, dataclasses.replace(config, allow_leak=True), repeat)


def _start(task: Task, choices: Choices, config: Any, repeat: Repeat) -> None:
    preset = str(st.session_state.get(f"{task.id}.preset", ""))
    if repeat.kind is not None:
        study = start_study(task, choices.record, config, repeat, preset)
        watch_run(task.id, "train", study.study_id)
        st.rerun()
    settings = load_settings()
    with st.spinner(tr("train_step.dividing")):  # a task that looks for leaks reads every picture
        split = task.split(choices.record, config)
    new = NewRun(
        task_id=task.id,
        action="train",
        config=configs.to_json(config),
        record=choices.record,
        split=split,
        preset=preset,
        seed=int(getattr(config, "seed", 0)),
    )
    run = local.launch(create_run(new, settings), settings)
    watch_run(task.id, "train", run.run_id)
    st.rerun()


def _draw_followed(task: Task) -> None:
    followed = watched_run(task.id, "train") or _newest(task)
    if followed is None:
        words = tr("train_step.empty")
        draw_empty("model_training", tr("train_step.empty_title"), words)
        return
    known = {study.study_id for study in studies.list_studies(load_settings(), task.id)}
    if followed in known:
        draw_study(followed)
    else:
        draw_run(followed)
        _draw_ways_on(task, find_run(followed, load_settings()))


def _draw_ways_on(task: Task, run: Run) -> None:
    """Lead on to what a training gave: its figures and its answers."""
    if run.status is not Status.FINISHED or run.checkpoint is None:
        return
    is_scored = (run.folder / "scores.json").is_file()
    with st.container(horizontal=True, gap="small"):
        for step, icon in _WAYS_ON if is_scored else _WAYS_ON[1:]:
            st.button(
                tr(f"runs.result_{step}"),
                key=f"{task.id}.on.{step}",
                icon=f":material/{icon}:",
                on_click=_go_on,
                args=(step, run.run_id),
            )


def _go_on(step: str, run_id: str) -> None:
    st.session_state["task.step"] = step
    st.session_state["choice.model"] = run_id


def _newest(task: Task) -> str | None:
    """Return the newest training or study, so that a reload or another tab finds it."""
    settings = load_settings()
    runs = [
        (r.request.created, r.run_id)
        for r in list_runs(settings, task.id)
        if r.request.action == "train" and not r.request.study
    ]
    found = [(s.created, s.study_id) for s in studies.list_studies(settings, task.id)]
    return max([*runs[:1], *found[:1]], default=("", None))[1]
