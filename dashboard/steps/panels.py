"""Draw a task's panels: the item slider, the controls beside the picture, the views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import streamlit as st

from dashboard.address import keep, restore
from dashboard.choices import Choices, scratch_folder
from dashboard.errors import fragment, frame
from dashboard.forms import draw_options
from dashboard.layout import CONTROLS_AND_PICTURE
from dashboard.renderers import draw_all
from dashboard.state import option_values
from dashboard.steps.items import add_ahead, on_canvas, pick_item
from dashboard.steps.threshold import draw_point
from dashboard.terms import link_terms
from dashboard.view_code import Drawn, draw_view_code
from dashboard.words import language, say, tr
from pipelines import config as configs
from pipelines.contract import (
    ItemStatistics,
    OperatingPoint,
    Panel,
    PanelContext,
    Prediction,
    Sample,
    Step,
    Task,
)
from pipelines.views import View


@st.cache_resource(show_spinner=False, max_entries=8)
def open_samples(task_id: str, dataset_id: str, stamp: str, _record: Any) -> Sequence[Sample]:
    """Open a data set once; `stamp` changes with the way its files are read."""
    from pipelines.registry import get_task

    return get_task(task_id).open_dataset(_record)


def samples_of(task: Task, choices: Choices) -> Sequence[Sample]:
    """Return the samples of the chosen data set."""
    record = choices.record
    return open_samples(task.id, record.dataset_id, str(sorted(record.options.items())), record)


def step_panels(task: Task, step: Step) -> list[Panel]:
    """List the task's panels of a step."""
    return [panel for panel in task.panels() if panel.step == step]


def task_values(task: Task) -> dict[str, Any]:
    """Return the task's options as the forms have them."""
    infos = configs.describe(task.config_type)
    return option_values(task.id, {info.name: info.default for info in infos})


@dataclass(frozen=True)
class Shown:
    """Hold what the panels of a step may show beside the data.

    Attributes:
        predictions: Predictions by item id.
        point: Operating point that a slider elsewhere stands on, or None.
        statistics: Rows of the chosen run, or None.
        recommended: Thresholds at which sliders among the controls start; None for no slider.
        place: Which model or run it is of; also part of the keys of these sliders.
        item_ids: The only items that the panels walk through; None for all.
        ready_ids: Items whose prediction lies ready; None for all of them.
    """

    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    point: OperatingPoint | None = None
    statistics: ItemStatistics | None = None
    recommended: Mapping[str, float] | None = None
    place: str = ""
    item_ids: tuple[str, ...] | None = None
    ready_ids: frozenset[str] | None = None

    @property
    def answers(self) -> Literal["run", "model", "none"]:
        """Whose answers the panels show."""
        if self.statistics is not None:
            return "run"
        return "none" if self.recommended is None else "model"


class _Picked(Sequence[Sample]):
    """Give some of the samples, each opened when it is indexed."""

    def __init__(self, samples: Sequence[Sample], places: Sequence[int]) -> None:
        self._samples, self._places = samples, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:  # one index in practice
        return self._samples[self._places[index]]


def draw_panel(task: Task, panel: Panel, choices: Choices, shown: Shown) -> None:
    """Draw one panel: its controls in the narrow column, its views in the wide one."""
    samples = samples_of(task, choices)
    names = [item.item_id for item in choices.record.items]
    if shown.item_ids is not None:
        wanted = set(shown.item_ids)
        places = [place for place, name in enumerate(names) if name in wanted]
        samples, names = _Picked(samples, places), [names[place] for place in places]
    left, right = _places(panel, shown)
    with left:
        st.caption(link_terms(say(panel.help)))
        point = _draw_point(shown)
        has_slider = panel.stepping == "slider"
        index = pick_item(names, has_slider=has_slider) if panel.is_per_item else 0
        controls = _draw_controls(task, panel)
        config = _draw_config_groups(task, panel)
    with right, frame():
        if panel.is_on_demand and not _is_asked(panel, choices):
            return
        context = PanelContext(
            record=choices.record,
            samples=samples,
            index=index,
            config=config,
            predictions=shown.predictions,
            operating_point=point,
            statistics=shown.statistics,
            scratch=scratch_folder(choices.record),
            checkpoint=choices.model.folder if choices.model is not None else None,
        )
        with st.spinner(tr("pages.working")) if panel.is_on_demand else nullcontext():
            views = _compute(panel, context, controls, shown, names)
        draw_all(views, f"{task.id}.{panel.panel_id}", on_canvas)
        draw_view_code(task, choices, Drawn(panel, context, controls, names, shown.answers))


def _compute(
    panel: Panel, context: PanelContext, controls: Any, shown: Shown, names: Sequence[str]
) -> Sequence[View]:
    """Compute the views of a panel; the picture of one that steps by itself knows its stack."""
    views = panel.compute(context, controls)
    if not panel.is_per_item or panel.stepping == "slider":
        return views
    record, point = context.record, context.operating_point
    data = (record and record.dataset_id, record and sorted(record.options.items()), len(names))
    ready = _ready(names, shown.ready_ids) if panel.stepping == "ahead" else frozenset[int]()
    return add_ahead(
        views,
        lambda index: panel.compute(replace(context, index=index), controls),
        stamp=(*data, panel.panel_id, controls, context.config, point, shown.place, language()),
        ready=ready,
    )


def _ready(names: Sequence[str], ready_ids: frozenset[str] | None) -> frozenset[int] | None:
    if ready_ids is None:
        return None
    return frozenset(index for index, name in enumerate(names) if name in ready_ids)


def _places(panel: Panel, shown: Shown) -> Sequence[Any]:  # containers of Streamlit
    """Return where controls and views go: without controls the picture has the whole width."""
    is_plain = panel.controls is None and not panel.config_groups and shown.recommended is None
    if is_plain and (panel.stepping != "slider" or not panel.is_per_item):
        return st.container(horizontal=True, gap="medium"), st.container()
    return st.columns(CONTROLS_AND_PICTURE, gap="large")


def _draw_point(shown: Shown) -> OperatingPoint | None:
    if shown.recommended is None:
        return shown.point
    return draw_point(shown.recommended, shown.place)


def _is_asked(panel: Panel, choices: Choices) -> bool:
    key = f"{panel.texts}.{panel.panel_id}.{choices.record.dataset_id}"
    words, icon = say(panel.verb), ":material/play_arrow:"
    kind: Literal["primary", "secondary"] = "secondary" if panel.step == "train" else "primary"
    if st.button(words, key=f"{key}.button", icon=icon, type=kind):
        st.session_state[key] = True
    return bool(st.session_state.get(key))


def _draw_controls(task: Task, panel: Panel) -> Any:
    if panel.controls is None:
        return None
    infos = configs.describe(panel.controls)
    prefix = f"{task.id}.{panel.panel_id}"
    values = option_values(prefix, {info.name: info.default for info in infos})
    return configs.parse(panel.controls, draw_options(prefix, infos, values))


def _draw_config_groups(task: Task, panel: Panel) -> Any:
    infos = configs.describe(task.config_type)
    values = task_values(task)
    if panel.config_groups:
        shown = [i for i in infos if i.group in panel.config_groups]
        with st.container(height=520, border=False):
            values = draw_options(task.id, shown, values)
    return configs.parse(task.config_type, values)


@fragment
def draw_step_panels(task: Task, step: Step, choices: Choices, shown: Shown | None = None) -> None:
    """Draw the panels of a step, one at a time; what one control moves, moves in here."""
    panels = step_panels(task, step)
    if not panels:
        return
    by_id = {panel.panel_id: panel for panel in panels}
    key = f"{task.id}.{step}.panel"
    restore("panel", key, list(by_id), panels[0].panel_id)
    if len(panels) > 1:
        st.segmented_control(
            tr("pages.views"),
            list(by_id),
            format_func=lambda name: say(by_id[name].title),
            key=key,
            required=True,
            label_visibility="collapsed",
        )
    chosen = str(st.session_state[key])
    keep("panel", chosen if chosen != panels[0].panel_id else None)
    draw_panel(task, by_id[chosen], choices, shown or Shown())
