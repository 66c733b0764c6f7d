"""The viewer of tomograms: three linked planes, the cloud, and picks corrected by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from dashboard import canvas as cv
from dashboard.choices import Choices, pick_data, pick_run
from dashboard.cloud import show_cloud
from dashboard.errors import frame
from dashboard.layout import CONTROLS_AND_PICTURE
from dashboard.pages.task import show_steps
from dashboard.palette import colour
from dashboard.steps.panels import draw_step_panels, samples_of
from dashboard.words import language, number, tr
from pipelines.contract import DatasetRecord, Sample, Task
from pipelines.jobs.store import Run
from pipelines.settings import load_settings
from pipelines.text import Text, verbatim

_AXES = ("z", "y", "x")
_STYLES: dict[str, Any] = {"false_positive": "dashed", "missed": "cross"}
_CUT_AXIS = {"xy": 0, "xz": 1, "yz": 2}


def show(task_id: str) -> None:
    """Draw the page of every task, with a viewer of its own on the step Explore."""
    show_steps(task_id, {"explore": show_explore})


def show_explore(task: Task, choices: Choices) -> None:
    """Look at a tomogram and correct its picks, or take a lesson."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_data(task)
        pick_run(task, choices.record)
    parts = ("correct", "lessons")
    chosen = st.segmented_control(
        tr("cryoet.page_part"),
        parts,
        format_func=lambda part: tr(f"cryoet.page_part.{part}"),
        default=parts[0],
        required=True,
        key=f"{task.id}.explore.part",
        label_visibility="collapsed",
    )
    if chosen == "lessons":
        draw_step_panels(task, "explore", choices)
        return
    with frame():
        draw_viewer(task, choices)


@st.fragment
def draw_viewer(task: Any, choices: Choices) -> None:
    """Draw controls beside the planes; only this part reruns when something in it changes.

    Args:
        task: The picking task (beyond the contract: `editor`, `planes`, `cloud`).
        choices: Data set, and the run whose picks are corrected; without one the true picks are.
    """
    samples, record, run = samples_of(task, choices), choices.record, choices.run
    names = [item.item_id for item in record.items]
    controls, picture = st.columns(CONTROLS_AND_PICTURE, gap="large")
    with controls:
        name = st.selectbox(tr("cryoet.page_tomogram"), names, key=f"{task.id}.viewer.item")
        sample = samples[names.index(name)]
        prefix = f"{task.id}.viewer.{record.dataset_id}.{run.run_id if run else ''}.{name}"
        editor = _editor(task, prefix, sample, run)
        kind = _draw_tools(prefix, sample, editor)
        _draw_score(editor)
        _draw_save(prefix, record, editor)
    with picture, frame():
        _draw_pictures(task, prefix, sample, editor, kind)


def _editor(task: Any, prefix: str, sample: Sample, run: Run | None) -> Any:
    key = f"{prefix}.editor"
    if key not in st.session_state:
        found, thresholds = None, {}
        if run is not None:
            found = task.open_predictions(run.prediction_folder).get(sample.item_id)
            thresholds = (run.scores() or {}).get("operating_point", {}).get("thresholds", {})
        st.session_state[key] = task.editor(sample, found, thresholds)
        st.session_state[f"{prefix}.at"] = tuple(n // 2 for n in sample.image.shape)
    return st.session_state[key]


def _draw_tools(prefix: str, sample: Sample, editor: Any) -> str:
    """Draw slab, mode, kind and history; return the kind that a click adds."""
    at = st.session_state[f"{prefix}.at"]
    for axis, (name, size) in enumerate(zip(_AXES, sample.image.shape, strict=True)):
        if size > 1:
            key = f"{prefix}.{name}"
            st.session_state[key] = min(at[axis], size - 1)
            st.slider(
                _axis_words(name, at[axis], sample), 0, size - 1, key=key,
                on_change=partial(_slide, prefix, axis, key),
            )  # fmt: skip
    st.slider(tr("cryoet_view.thickness"), 1, 21, 5, 2, key=f"{prefix}.thickness")
    st.segmented_control(
        tr("cryoet.page_mode"), ("look", "add"), default="look", key=f"{prefix}.mode",
        format_func=lambda m: tr(f"cryoet.page_mode.{m}"),
    )  # fmt: skip
    kinds = [p.name for p in editor.particles]
    kind = st.selectbox(tr("cryoet.page_kind"), kinds, key=f"{prefix}.kind")
    st.pills(
        tr("cryoet.page_shown"), kinds, selection_mode="multi", default=kinds,
        key=f"{prefix}.shown",
    )  # fmt: skip
    st.toggle(tr("cryoet.page_compare"), value=True, key=f"{prefix}.compare")
    with st.container(horizontal=True):
        st.button(
            tr("cryoet.page_undo", n=editor.num_changes), icon=":material/undo:",
            disabled=not editor.num_changes, on_click=editor.undo, key=f"{prefix}.undo",
        )  # fmt: skip
        st.button(
            tr("cryoet.page_redo"), icon=":material/redo:", disabled=not editor.can_redo,
            on_click=editor.redo, key=f"{prefix}.redo",
        )  # fmt: skip
    _draw_selected(prefix, editor, kind)
    return str(kind)


def _draw_selected(prefix: str, editor: Any, kind: str) -> None:
    row = st.session_state.get(f"{prefix}.selected")
    if row is None or row >= len(editor.picks):
        st.caption(tr("cryoet.page_hint"))
        return
    st.caption(tr("cryoet.page_selected", kind=str(editor.picks.kind_names()[row])))
    with st.container(horizontal=True):
        st.button(
            tr("cryoet.page_reclass", kind=kind), icon=":material/swap_horiz:",
            on_click=partial(editor.reclass, row, kind), key=f"{prefix}.reclass",
        )  # fmt: skip
        st.button(
            tr("cryoet.page_delete"), icon=":material/delete:",
            on_click=partial(_delete, prefix, editor, row), key=f"{prefix}.delete",
        )  # fmt: skip


def _axis_words(name: str, index: int, sample: Sample) -> str:
    spacing = sample.meta["geometry"].spacing_angstrom
    return tr("cryoet.page_axis", axis=name, angstrom=index * spacing)


def _draw_score(editor: Any) -> None:
    figures = editor.score()
    if figures:
        words = ", ".join(
            f"{p.name} {number(figures[f'f4_{p.name}'])}" for p in editor.particles if p.weight > 0
        )
        st.metric(tr("cryoet.page_f4"), number(figures["f4"]), help=words)


def _draw_save(prefix: str, record: DatasetRecord, editor: Any) -> None:
    with st.expander(tr("cryoet.page_save")):
        settings = load_settings()
        user = st.text_input(
            tr("cryoet.page_user"), settings.owner.replace("_", "-"), key=f"{prefix}.user"
        )
        session = st.text_input(tr("cryoet.page_session"), "1", key=f"{prefix}.session")
        if st.button(tr("cryoet.page_save_now"), type="primary", key=f"{prefix}.save"):
            with frame():
                overlay = settings.data / "corrections" / record.dataset_id / "overlay"
                files: list[Path] = editor.save(overlay, user=user, session=session)
                st.success(tr("cryoet.page_saved", n=len(files), path=str(overlay)))


# --- pictures -------------------------------------------------------------------------------------


def _draw_pictures(task: Any, prefix: str, sample: Sample, editor: Any, kind: str) -> None:
    marks = editor.marks(compare=bool(st.session_state[f"{prefix}.compare"]))
    shown = set(st.session_state[f"{prefix}.shown"] or ())
    if sample.meta["has_volume"]:
        at, thickness = st.session_state[f"{prefix}.at"], st.session_state[f"{prefix}.thickness"]
        planes = task.planes(sample, at, thickness, marks)
        stage = _Stage(prefix, sample, editor, marks, frozenset(shown))
        _draw_plane(stage, "xy", planes["xy"])
        columns = st.columns(2)
        for column, plane in zip(columns, ("xz", "yz"), strict=True):
            with column:
                _draw_plane(stage, plane, planes[plane])
    else:
        st.info(tr("cryoet.picks_only", experiment=sample.item_id))
    clicked = show_cloud(task.cloud(sample, marks), f"{prefix}.cloud")
    if clicked is not None and st.session_state.get(f"{prefix}.clicked") != clicked:
        st.session_state[f"{prefix}.clicked"] = clicked
        _go_to(prefix, sample, marks.positions[clicked])
        st.rerun(scope="fragment")


@dataclass(frozen=True)
class _Stage:
    """Hold what the three planes of one tomogram share."""

    prefix: str
    sample: Sample
    editor: Any
    marks: Any
    shown: frozenset[str]

    @property
    def at(self) -> tuple[int, int, int]:
        place: tuple[int, int, int] = st.session_state[f"{self.prefix}.at"]
        return place


def _draw_plane(stage: _Stage, plane: str, cut: Any) -> None:
    marks = stage.marks
    visible = np.array([marks.kinds[r] in stage.shown for r in cut.rows], bool)
    rows = cut.rows[visible]
    axis = _CUT_AXIS[plane]
    layers: list[Any] = [
        cv.ImageLayer(cut.pixels, Text("cryoet.layer_tomogram"), window=(16.0, 240.0)),
        cv.LinesLayer(_crosshair(stage.at, axis, cut.pixels.shape), Text("cryoet.layer_crosshair")),
        cv.PointsLayer(
            cut.points[visible],
            Text("cryoet.layer_picks"),
            radius_px=cut.radii[visible].tolist(),
            colours=[colour(marks.meanings[r]) for r in rows],
            styles=[_STYLES.get(marks.meanings[r], "full") for r in rows],
            labels=[marks.kinds[r] for r in rows],
            is_editable=True,
        ),
    ]
    options = cv.Options(
        pixel_size=stage.sample.meta["geometry"].spacing_angstrom or None,
        unit="angstrom",
        section_index=int(stage.at[axis]),
        section_count=int(stage.sample.image.shape[axis]),
        events=("click", "drag", "delete", "step"),
    )
    cv.canvas(
        [cv.Pane(layers, title=cut.title)],
        key=f"{stage.prefix}.{plane}",
        alt=verbatim(f"{stage.sample.item_id} {plane}"),
        language=language(),
        options=options,
        on_event=partial(_react, stage, axis, rows.tolist()),
    )


def _crosshair(at: Sequence[int], axis: int, shape: tuple[int, int]) -> list[Any]:
    row, column = (at[a] for a in range(3) if a != axis)
    return [
        np.array([[row, 0.0], [row, shape[1] - 1.0]]),
        np.array([[0.0, column], [shape[0] - 1.0, column]]),
    ]


def _react(stage: _Stage, axis: int, rows: list[int], event: cv.CanvasEvent) -> None:
    """Do what a click, drag, Delete key or step on a plane means."""
    if event.kind == "step" and event.section_index is not None:
        _set_at(stage, {axis: event.section_index})
        return
    row = rows[event.point_index] if event.point_index is not None else None
    if row is not None and row >= len(stage.editor.picks):
        row = None  # a missed reference: nothing of one's own to change
    if event.kind == "drag" and row is not None:
        stage.editor.move(row, _place(stage, axis, (event.end_y_px, event.end_x_px), row))
    elif event.kind == "delete" and row is not None:
        _delete(stage.prefix, stage.editor, row)
    elif event.kind == "click":
        _click(stage, axis, event, row)


def _click(stage: _Stage, axis: int, event: cv.CanvasEvent, row: int | None) -> None:
    if row is not None:
        st.session_state[f"{stage.prefix}.selected"] = row
        _go_to(stage.prefix, stage.sample, stage.editor.picks.positions[row])
    elif st.session_state.get(f"{stage.prefix}.mode") == "add":
        place = _place(stage, axis, (event.y_px, event.x_px), None)
        stage.editor.add(st.session_state[f"{stage.prefix}.kind"], place)
        st.session_state[f"{stage.prefix}.selected"] = len(stage.editor.picks) - 1
    elif event.pixel is not None:
        others = [a for a in range(3) if a != axis]
        _set_at(stage, dict(zip(others, event.pixel, strict=True)))


def _set_at(stage: _Stage, places: Mapping[int, int]) -> None:
    at, shape = list(stage.at), stage.sample.image.shape
    for axis, place in places.items():
        at[axis] = int(np.clip(place, 0, shape[axis] - 1))
    st.session_state[f"{stage.prefix}.at"] = tuple(at)


def _place(stage: _Stage, axis: int, place_px: tuple[float, float], row: int | None) -> Any:
    """Return z, y, x in angstrom of a place in a plane; a moved pick keeps its depth."""
    geometry = stage.sample.meta["geometry"]
    vox = np.array(stage.at, np.float64)
    if row is not None:
        vox[axis] = geometry.to_vox(stage.editor.picks.positions[row : row + 1])[0, axis]
    others = [a for a in range(3) if a != axis]
    vox[others[0]], vox[others[1]] = place_px
    return geometry.to_angstrom(vox[None])[0]


def _go_to(prefix: str, sample: Sample, position: Any) -> None:
    geometry = sample.meta["geometry"]
    if geometry.spacing_angstrom <= 0:
        return
    vox = np.rint(geometry.to_vox(np.asarray(position)[None])[0]).astype(int)
    limits = np.array(sample.image.shape) - 1
    st.session_state[f"{prefix}.at"] = tuple(int(v) for v in np.clip(vox, 0, limits))


def _slide(prefix: str, axis: int, key: str) -> None:
    at = list(st.session_state[f"{prefix}.at"])
    at[axis] = int(st.session_state[key])
    st.session_state[f"{prefix}.at"] = tuple(at)


def _delete(prefix: str, editor: Any, row: int) -> None:
    editor.delete(row)
    st.session_state.pop(f"{prefix}.selected", None)
