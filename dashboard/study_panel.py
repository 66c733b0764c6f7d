"""Several runs of one recipe: how many, as a choice; and their panel, live and afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from dashboard.errors import frame
from dashboard.run_panel import draw_run, draw_status
from dashboard.study_chart import Dot, strip_figure
from dashboard.words import number, say, tr
from pipelines import studies
from pipelines.actions import plain_numbers
from pipelines.contract import DatasetRecord, Task
from pipelines.jobs.store import Run, Status
from pipelines.registry import get_task
from pipelines.settings import load_settings
from pipelines.studies import Arm, Study, Summary
from pipelines.studies.commands import to_json
from pipelines.studies.records import FOLDER

_POLL_S: Final = 2.0
_DELETED: Final = "study.deleted"
_MOST_SEEDS: Final = 20
_MANY_ITEMS: Final = 50
"""So many items that each stand alone are pictures of unknown origin; fewer may be specimens."""


# --- the choice -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repeat:
    """Hold how often a recipe is trained.

    Attributes:
        kind: What varies between the runs; None trains once.
        count: Seeds or folds; 0 folds leave one group out at a time.
        num_runs: Runs in all.
    """

    kind: studies.Kind | None
    count: int
    num_runs: int


def draw_repeat(task: Task, record: DatasetRecord) -> Repeat:
    """Draw the choice between one run and several."""
    offered = ["once", *studies.available_kinds(record)]
    chosen = st.segmented_control(
        tr("study_panel.repeat"),
        offered,
        format_func=lambda name: tr(f"study_panel.repeat.{name}"),
        key=f"{task.id}.repeat",
        default="once",
        required=True,
        wrap=True,
    )
    name = chosen if chosen in offered else "once"
    sizes = studies.group_sizes(record)
    repeat = _count(task, str(name), len(sizes))
    st.caption(tr(f"study_panel.repeat.{name}.help", n=repeat.num_runs))
    if len(sizes) == sum(sizes.values()) >= _MANY_ITEMS and name != "seeds":
        st.caption(f":material/info: {tr('study_panel.groups_unknown')}")
    return repeat


def _count(task: Task, name: str, num_groups: int) -> Repeat:
    if name == "once":
        return Repeat(None, 1, 1)
    if name == "leave_one_out":
        return Repeat("folds", 0, num_groups)
    if name == "seeds":
        count = _number(task, name, 3, _MOST_SEEDS)
        return Repeat("seeds", count, count)
    most = max(2, num_groups) if num_groups > 1 else _MOST_SEEDS
    if name == "folds":
        count = _number(task, name, min(5, most), most)
        return Repeat("folds", count, count)
    count = _number(task, name, min(3, most), most)
    return Repeat("leak", count, 2 * count)


def _number(task: Task, name: str, default: int, most: int) -> int:
    return int(
        st.number_input(
            tr(f"study_panel.count.{name}"),
            min_value=2,
            max_value=most,
            value=default,
            key=f"{task.id}.repeat.{name}",
        )
    )


def start_study(
    task: Task, record: DatasetRecord, config: Any, repeat: Repeat, preset: str
) -> Study:
    """Plan a study and start to work on it."""
    assert repeat.kind is not None
    settings = load_settings()
    new = studies.NewStudy(task, repeat.kind, repeat.count, config, record, preset)
    return studies.launch(studies.create_study(new, settings), settings)


# --- the panel ------------------------------------------------------------------------------------


def draw_study(study_id: str, *, has_runs: bool = True) -> None:
    """Draw the panel of a study; it follows the study while it is worked on.

    Args:
        study_id: Study.
        has_runs: Whether one of its runs can be opened below.
    """
    study = studies.find_study(study_id, load_settings())
    interval = _POLL_S if study.status.is_active else None
    st.fragment(_draw_panel, run_every=interval)(study_id, _stage_of(study))
    if has_runs:
        _draw_one_run(study)


def _stage_of(study: Study) -> tuple[bool, int]:
    """Return what the page around the panel depends on: whether it works, and runs begun."""
    return study.status.is_active, sum(run is not None for run in study.runs())


def _draw_panel(study_id: str, stage: tuple[bool, int]) -> None:
    with frame():
        study = studies.find_study(study_id, load_settings())
        status = study.status
        if stage != _stage_of(study):
            st.rerun()  # once, so that the page around the panel takes the change in
        summary = studies.read_summary(study)
        with st.container(border=True, key=f"study-{study_id}"):
            _draw_head(study, status)
            _draw_progress(study, status, summary)
            _draw_controls(study, status)
            _draw_findings(study, summary)
            _draw_table(study, summary)


def _draw_head(study: Study, status: Status) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{say(study.label)}**")
        draw_status(status)
        st.caption(tr("study_panel.facts", study=study.short_id, data=study.data_name))


def _draw_progress(study: Study, status: Status, summary: Summary | None) -> None:
    if not status.is_active:
        if status is Status.LOST:
            st.warning(tr("study_panel.lost"), icon=":material/link_off:")
        return
    done, at_work = _progress(study)
    share = done / max(1, len(study.members))
    words = tr("study_panel.starting")
    if at_work is not None:
        stage = at_work[1].state.stage
        words = tr(
            "study_panel.at_work",
            number=at_work[0] + 1,
            n=len(study.members),
            label=study.members[at_work[0]].label,
            stage=say(stage) if stage is not None else "",
        )
    st.progress(min(share, 1.0), text=words)
    seconds = [m.seconds for arm in summary.arms for m in arm.members] if summary else []
    if seconds:
        left = sum(seconds) / len(seconds) * (len(study.members) - done)
        st.caption(tr("runs.left", seconds=float(left)))


def _progress(study: Study) -> tuple[float, tuple[int, Run] | None]:
    """Return how many runs' worth of work is done, and the run at work with its place."""
    done, at_work = 0.0, None
    for place, run in enumerate(study.runs()):
        if run is None:
            continue
        done += run.state.fraction
        if run.status.is_active:
            at_work = (place, run)
    return done, at_work


def _draw_controls(study: Study, status: Status) -> None:
    actions: list[tuple[str, str, Callable[[Study], object]]] = []
    if status.is_active:
        actions = [("pause", "pause", studies.pause), ("stop", "stop", studies.cancel)]
    elif status.is_resumable:
        actions = [("resume", "play_arrow", studies.resume)]
    if not actions:
        return
    with st.container(horizontal=True, gap="small"):
        for name, icon, act in actions:
            pressed = st.button(
                tr(f"runs.{name}"),
                key=f"study.{study.study_id}.{name}",
                icon=f":material/{icon}:",
                help=tr(f"study_panel.{name}_help"),
                type="primary" if name == "resume" else "secondary",
            )
            if pressed:
                act(study)
                st.rerun()


def _draw_findings(study: Study, summary: Summary | None) -> None:
    if summary is None or not summary.num_finished:
        return
    task = get_task(study.task_id)
    for sentence in studies.sentences(study, summary):
        st.markdown(say(sentence))
    _draw_chart(task, study, summary)
    _draw_metrics(task, study, summary)


def _draw_chart(task: Task, study: Study, summary: Summary) -> None:
    infos = {m.name: m for m in task.metrics}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{tr('study_panel.chart')}**")
        chosen = st.selectbox(
            tr("study_panel.metric"),
            list(infos),
            index=list(infos).index(task.main_metric.name),
            format_func=lambda name: say(infos[name].label),
            key=f"study.{study.study_id}.metric",
            label_visibility="collapsed",
            width=260,
        )
    info = infos[str(chosen)]
    arms = [(_arm_label(arm), _dots(study, arm, info.name)) for arm in summary.arms]
    figure = strip_figure(arms, say(info.label), bounds=(info.low, info.high))
    st.plotly_chart(figure, key=f"study.{study.study_id}.chart", config={"displaylogo": False})
    st.caption(tr("study_panel.source", study=study.short_id, n=summary.num_finished))


def _dots(study: Study, arm: Arm, metric: str) -> list[Dot]:
    labels = {member.name: say(member.label) for member in study.members}
    return [Dot(labels[m.name], m.metrics.get(metric, float("nan"))) for m in arm.members]


def _arm_label(arm: Arm) -> str:
    return tr(f"study_panel.arm.{arm.name or 'only'}")


def _metric_label(task: Task, name: str) -> str:
    return next((say(m.label) for m in task.metrics if m.name == name), name)


def _draw_metrics(task: Task, study: Study, summary: Summary) -> None:
    """List every figure with mean, spread and the pooled value."""
    import pandas as pd

    rows = [
        _metric_row(task, arm, metric.name, is_named=len(summary.arms) > 1)
        for arm in summary.arms
        for metric in task.metrics
        if metric.name in arm.mean
    ]
    with st.expander(tr("study_panel.all_metrics"), icon=":material/table_rows:"):
        st.dataframe(pd.DataFrame(rows), hide_index=True)
        found = plain_numbers(to_json(study, summary))
        st.download_button(
            tr("study_panel.download"),
            data=json.dumps(found, indent=1).encode(),
            file_name=f"study-{study.short_id}.json",
            key=f"study.{study.study_id}.download",
            icon=":material/download:",
            on_click="ignore",
        )


def _metric_row(task: Task, arm: Arm, name: str, *, is_named: bool) -> dict[str, str]:
    row = {tr("study_panel.arm"): _arm_label(arm)} if is_named else {}
    row[tr("study_panel.metric")] = _metric_label(task, name)
    row[tr("study_panel.mean")] = f"{number(arm.mean[name])} ± {number(arm.spread[name])}"
    if arm.pooled is not None:
        interval = arm.pooled.intervals.get(name)
        words = number(arm.pooled.metrics.get(name, float("nan")))
        if interval is not None:
            words += f" ({number(interval[0])} – {number(interval[1])})"
        row[tr("study_panel.pooled")] = words
    return row


def _draw_table(study: Study, summary: Summary | None) -> None:
    import pandas as pd

    main = get_task(study.task_id).main_metric
    scores = {m.name: m for arm in summary.arms for m in arm.members} if summary else {}
    rows = []
    for member, run in zip(study.members, study.runs(), strict=True):
        found = scores.get(member.name)
        value = found.metrics.get(main.name) if found is not None else None
        status = tr("study_panel.not_started") if run is None else say(run.status.label)
        rows.append(
            {
                tr("study_panel.run"): say(member.label),
                tr("runs.column_state"): status,
                say(main.label): "" if value is None else number(value),
                tr("study_panel.held_out"): member.num_held_out,
                tr("study_panel.run_id"): "" if run is None else run.short_id,
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, height=min(38 + 35 * len(rows), 290))


def _draw_one_run(study: Study) -> None:
    """Open one of the runs below the study: the one at work, until another is chosen."""
    runs = [(m, r) for m, r in zip(study.members, study.runs(), strict=True) if r is not None]
    beside = [(m, r) for m, r in runs if r.folder.parent == load_settings().runs]
    if not beside:
        return
    names = [r.run_id for _, r in beside]
    at_work = next((r.run_id for _, r in beside if r.status.is_active), names[-1])
    labels = {r.run_id: f"{say(m.label)} · {r.short_id}" for m, r in beside}
    key = f"study.{study.study_id}.run"
    if st.session_state.get(key) in (None, st.session_state.get(f"{key}.followed")):
        st.session_state[key] = at_work  # nobody chose another one
    st.session_state[f"{key}.followed"] = at_work
    chosen = st.selectbox(
        tr("study_panel.open_run"), names, format_func=lambda name: labels[name], key=key
    )
    draw_run(str(chosen))


def draw_studies(found: Sequence[Study]) -> None:
    """Draw the studies of the Runs page, one of them opened."""
    _draw_undo()
    if not found:
        return
    by_id = {study.study_id: study for study in found}
    with st.expander(tr("study_panel.studies", n=len(found)), icon=":material/stacked_line_chart:"):
        chosen = st.selectbox(
            tr("study_panel.open"),
            list(by_id),
            format_func=lambda i: f"{say(by_id[i].label)} · {by_id[i].short_id}",
            key="runs.study",
        )
        draw_study(str(chosen), has_runs=False)
        _draw_delete(by_id[str(chosen)])


def _draw_delete(study: Study) -> None:
    is_beside = study.folder.parent.name == FOLDER  # others were made by hand, inside their runs
    if study.status.is_active or not is_beside:
        return
    with st.popover(tr("runs.delete"), icon=":material/delete:"):
        st.markdown(tr("study_panel.delete_question"))
        key = f"study.{study.study_id}.delete"
        if st.button(tr("runs.delete_yes"), key=key, icon=":material/delete:"):
            studies.delete_study(study)
            st.session_state[_DELETED] = study.study_id
            st.session_state.pop("runs.study", None)
            st.rerun()


def _draw_undo() -> None:
    study_id = st.session_state.get(_DELETED)
    if study_id is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(tr("study_panel.deleted", study=study_id.rsplit("-", 1)[-1]))
        if st.button(tr("runs.undo"), key="study.undo", icon=":material/undo:", type="tertiary"):
            studies.restore_study(study_id, load_settings())
            st.session_state.pop(_DELETED)
            st.rerun()
