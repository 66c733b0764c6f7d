"""The viewer of tomograms: three linked planes, the cloud, and picks corrected by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from dashboard import canvas as cv
from dashboard.choices import Choices, pick_data, pick_model, pick_run
from dashboard.custom.cryoet_simulation import draw_simulation
from dashboard.custom.cryoet_start import draw_start
from dashboard.custom.cryoet_submission import draw_check
from dashboard.errors import fragment, frame
from dashboard.layout import CONTROLS_AND_PICTURE
from dashboard.pages.task import show_steps
from dashboard.planes import Change, crosshair, move_crosshair, place_in_volume, show_planes
from dashboard.renderers import draw
from dashboard.same_code import draw_same_code
from dashboard.steps import data, predict, train
from dashboard.steps.items import pick_item
from dashboard.steps.panels import draw_step_panels, samples_of, step_panels
from dashboard.words import number, slider_format, tr
from pipelines.contract import DatasetRecord, Sample, Task
from pipelines.evidence.calls import Source, view_call
from pipelines.evidence.looks import Look
from pipelines.jobs.store import Run
from pipelines.settings import load_settings

_THICKNESS = 5


def show(task_id: str) -> None:
    """Draw the page of every task, with a simulator on Data and a viewer on Explore."""
    steps = {"data": show_data, "train": show_train, "predict": show_predict}
    show_steps(task_id, {**steps, "explore": show_explore})


def show_data(task: Task, choices: Choices) -> None:
    """Choose, add or simulate data, and look at them."""
    data.show(task, choices, draw_simulation)


def show_train(task: Task, choices: Choices) -> None:
    """Train anew, or from weights at hand."""
    train.show(task, choices, draw_start)


def show_predict(task: Task, choices: Choices) -> None:
    """Predict, or check a submission that was made elsewhere."""
    predict.show(task, choices)
    draw_check(task, choices)


def show_explore(task: Task, choices: Choices) -> None:
    """Look at a tomogram and correct its picks, or take a lesson."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_data(task)
        pick_model(task)
        pick_run(task, choices.record)
    parts = ("correct", "lessons")
    is_linked = st.query_params.get("panel") in {p.panel_id for p in step_panels(task, "explore")}
    chosen = st.segmented_control(
        tr("cryoet.page_part"),
        parts,
        format_func=lambda part: tr(f"cryoet.page_part.{part}"),
        default=parts[1] if is_linked else parts[0],
        required=True,
        key=f"{task.id}.explore.part",
        label_visibility="collapsed",
    )
    if chosen == "lessons":
        draw_step_panels(task, "explore", choices)
        return
    draw_viewer(task, choices)


@dataclass(frozen=True)
class _Stage:
    """Hold what the controls and pictures of one tomogram share.

    Attributes:
        task: The picking task (beyond the contract: `editor`, `volume`, `cloud`, `surface`).
        prefix: Of the keys of this tomogram with these picks.
        sample: The tomogram, with the offset that the page shows it with.
        editor: The picks while they are corrected.
    """

    task: Any
    prefix: str
    sample: Sample
    editor: Any

    @property
    def has_volume(self) -> bool:
        """Whether there are planes to cut, and places in them."""
        is_known = self.sample.meta["geometry"].spacing_angstrom > 0
        return bool(self.sample.meta["has_volume"]) and is_known

    def value(self, name: str, default: Any) -> Any:
        """Return what a control of this stage stands on."""
        return st.session_state.get(f"{self.prefix}.{name}", default)


@fragment
def draw_viewer(task: Any, choices: Choices) -> None:
    """Draw controls beside the planes; only this part reruns when something in it changes.

    Args:
        task: The picking task.
        choices: Data set, and the run whose picks are corrected; without one the true picks are.
    """
    samples, record, run = samples_of(task, choices), choices.record, choices.run
    names = [item.item_id for item in record.items]
    controls, picture = st.columns(CONTROLS_AND_PICTURE, gap="large")
    with controls:
        sample = samples[pick_item(names)]
        prefix = f"{task.id}.viewer.{record.dataset_id}.{run.run_id if run else ''}"
        sample = _with_offset(sample, f"{prefix}.offset")
        prefix = f"{prefix}.{sample.item_id}"
        stage = _Stage(task, prefix, sample, _editor(task, prefix, sample, run))
        _draw_origin(stage, run)
        _draw_history(stage)
        _draw_tools(stage)
        _draw_score(stage.editor)
        _draw_looks(stage)
        _draw_save(prefix, record, stage.editor)
    with picture, frame():
        _draw_pictures(stage)
        _draw_code(stage, record, run)


def _draw_code(stage: _Stage, record: DatasetRecord, run: Run | None) -> None:
    """Show how the tomogram with its picks is had without the page, before any correction."""
    item, parts = stage.sample.item_id, ((run and run.scores()) or {}).get("parts", {})
    is_scored = any(item in part["item_ids"] for part in parts.values())
    look = Look(item=item, run=run if is_scored else None)
    panel = "together" if is_scored else "slices"
    call = view_call(stage.task, panel, Source.of(stage.task, record), look)
    draw_same_code(call, "explore", "same_code.view")


def _with_offset(sample: Sample, key: str) -> Sample:
    """Show a tomogram with the offset between index and angstrom that the page stands on."""
    geometry = sample.meta["geometry"]
    offset = float(st.session_state.get(key, geometry.offset_vox))
    return replace(
        sample, meta={**sample.meta, "geometry": replace(geometry, offset_vox=offset), "key": key}
    )


def _editor(task: Any, prefix: str, sample: Sample, run: Run | None) -> Any:
    key = f"{prefix}.editor"
    if key not in st.session_state:
        found, thresholds = None, {}
        if run is not None:
            found = task.open_predictions(run.prediction_folder).get(sample.item_id)
            thresholds = (run.scores() or {}).get("operating_point", {}).get("thresholds", {})
        st.session_state[key] = task.editor(sample, found, thresholds)
        st.session_state[f"{prefix}.is_found"] = found is not None
    return st.session_state[key]


# --- controls -------------------------------------------------------------------------------------


def _draw_origin(stage: _Stage, run: Run | None) -> None:
    """Say whose picks are shown: a run may hold none of this tomogram."""
    item, has_truth = stage.sample.item_id, stage.editor.truth is not None
    if run is not None and stage.value("is_found", default=False):
        words = tr("cryoet.page_origin.run", run=run.title)
    elif run is not None:
        name = "not_predicted" if has_truth else "not_predicted_no_truth"
        words = tr(f"cryoet.page_origin.{name}", run=run.title, item=item)
    else:
        words = tr("cryoet.page_origin.truth" if has_truth else "cryoet.page_origin.none")
    st.caption(words)


def _draw_tools(stage: _Stage) -> None:
    """Draw what a click does, and what the picked one can become."""
    prefix, editor = stage.prefix, stage.editor
    if not stage.has_volume:
        st.caption(tr("cryoet.page_hint_cloud"))
        return
    kinds = [p.name for p in editor.particles]
    st.segmented_control(
        tr("cryoet.page_mode"), ("look", "add"), default="look", key=f"{prefix}.mode",
        format_func=lambda m: tr(f"cryoet.page_mode.{m}"), required=True,
    )  # fmt: skip
    st.selectbox(tr("cryoet.page_kind"), kinds, key=f"{prefix}.kind")
    row = _selected(stage)
    if row is None:
        st.caption(tr("cryoet.page_hint"))
        return
    kind, now = str(stage.value("kind", kinds[0])), str(editor.picks.kind_names()[row])
    st.caption(tr("cryoet.page_selected", kind=now))
    with st.container(horizontal=True):
        st.button(
            tr("cryoet.page_reclass", kind=kind), icon=":material/swap_horiz:",
            on_click=partial(editor.reclass, row, kind), disabled=kind == now,
            key=f"{prefix}.reclass",
        )  # fmt: skip
        st.button(
            tr("cryoet.page_delete"), icon=":material/delete:",
            on_click=partial(_delete, stage, row), key=f"{prefix}.delete",
        )  # fmt: skip


def _draw_history(stage: _Stage) -> None:
    editor = stage.editor
    with st.container(horizontal=True):
        st.button(
            tr("cryoet.page_undo", n=editor.num_changes or 1), icon=":material/undo:",
            disabled=not editor.num_changes, on_click=editor.undo, key=f"{stage.prefix}.undo",
        )  # fmt: skip
        st.button(
            tr("cryoet.page_redo"), icon=":material/redo:", disabled=not editor.can_redo,
            on_click=editor.redo, key=f"{stage.prefix}.redo",
        )  # fmt: skip


def _draw_looks(stage: _Stage) -> None:
    """Draw slab, colours, kinds, what is compared, and how index and angstrom belong together."""
    prefix, editor = stage.prefix, stage.editor
    kinds = [p.name for p in editor.particles]
    if stage.has_volume:
        st.slider(
            tr("cryoet_view.thickness"), 1, 21, _THICKNESS, 2, key=f"{prefix}.thickness",
            help=tr("cryoet_view.thickness.help"),
        )  # fmt: skip
    st.pills(
        tr("cryoet.page_shown"), kinds, selection_mode="multi", default=kinds,
        key=f"{prefix}.shown",
    )  # fmt: skip
    if editor.truth is not None:
        st.segmented_control(
            tr("cryoet_view.colour_by"), ("verdict", "kind"),
            default="verdict" if stage.value("is_found", default=False) else "kind",
            format_func=lambda name: tr(f"cryoet_view.colour_by.{name}"),
            key=f"{prefix}.colour_by", required=True,
        )  # fmt: skip
        st.toggle(tr("cryoet.page_compare"), value=True, key=f"{prefix}.compare")
        st.toggle(tr("cryoet.page_truth"), value=False, key=f"{prefix}.truth")
    if stage.has_volume:
        _draw_offset(stage)


def _draw_offset(stage: _Stage) -> None:
    geometry = stage.sample.meta["geometry"]
    st.number_input(
        tr("cryoet_data.voxel_offset"), -2.0, 2.0, geometry.offset_vox, 0.5,
        key=stage.sample.meta["key"], help=tr("cryoet.page_offset_help"),
    )  # fmt: skip
    st.caption(tr("cryoet.page_spacing", spacing=geometry.spacing_angstrom))


def _draw_score(editor: Any) -> None:
    figures = editor.score()
    if figures:
        words = "\n".join(
            f"- {p.name}: {number(figures[f'f4_{p.name}'])}"
            for p in editor.particles
            if p.weight > 0
        )
        st.metric(tr("cryoet.page_f4"), number(figures["f4"]), help=words)
        counts = editor.counts()
        st.caption(tr("cryoet.page_counts", found=counts.tp, false=counts.fp, missed=counts.fn))


def _draw_save(prefix: str, record: DatasetRecord, editor: Any) -> None:
    with st.expander(tr("cryoet.page_save")):
        settings = load_settings()
        user = st.text_input(
            tr("cryoet.page_user"), settings.owner.replace("_", "-"), key=f"{prefix}.user"
        )
        session = st.text_input(tr("cryoet.page_session"), "1", key=f"{prefix}.session")
        if st.button(tr("cryoet.page_save_now"), type="primary", key=f"{prefix}.save"):
            with frame():
                mine = settings.data / "corrections" / record.dataset_id / user
                overlay = mine / "overlay"
                files: list[Path] = editor.save(overlay, user=user, session=session)
                st.success(tr("cryoet.page_saved", n=len(files), path=str(overlay)))
                project: Path | None = editor.write_project(overlay, record, user=user)
                if project is not None:
                    st.caption(tr("cryoet.page_saved_project"))
                    st.code(str(project), language=None, wrap_lines=True)


# --- pictures -------------------------------------------------------------------------------------


def _draw_pictures(stage: _Stage) -> None:
    sample, prefix = stage.sample, stage.prefix
    marks, rows = _shown_marks(stage)
    if stage.has_volume:
        selected = _selected(stage)
        shown = rows.tolist()
        show_planes(
            stage.task.volume(sample, marks, int(stage.value("thickness", _THICKNESS))),
            f"{prefix}.planes",
            is_editable=True,
            selected=shown.index(selected) if selected in shown else None,
            on_event=partial(_react, stage, shown),
        )
    else:
        st.info(tr("cryoet.picks_only", experiment=sample.item_id))
    draw(stage.task.cloud(sample, marks), prefix)
    if stage.has_volume:
        _draw_surface(stage)


def _shown_marks(stage: _Stage) -> tuple[Any, Any]:
    """Return the marks of the kinds that are shown, and which pick of the editor each is."""
    marks = stage.editor.marks(
        colour_by=stage.value("colour_by", "kind"),
        compare=bool(stage.value("compare", True)),
        with_truth=bool(stage.value("truth", False)),
    )
    shown = set(stage.value("shown", ()) or ())
    rows = np.flatnonzero([kind in shown for kind in marks.kinds])
    return marks.take(rows), rows


@fragment
def _draw_surface(stage: _Stage) -> None:
    """Draw the surface of what is dense around the crosshair, when it is asked for."""
    prefix = stage.prefix
    with st.container(horizontal=True, vertical_alignment="center"):
        is_shown = st.toggle(
            tr("cryoet.page_surface"), key=f"{prefix}.surface", help=tr("cryoet.page_surface_help")
        )
        if is_shown:
            st.button(
                tr("cryoet.page_surface_here"), icon=":material/my_location:",
                key=f"{prefix}.here",
            )  # fmt: skip
    if not is_shown:
        return
    with st.container(horizontal=True, gap="large"):
        side = st.slider(tr("cryoet.page_surface_side"), 16, 96, 48, 8, key=f"{prefix}.side")
        density = tr("cryoet.page_surface_level")
        look = slider_format("%.1f")
        level = st.slider(density, 0.5, 4.0, 1.5, 0.1, key=f"{prefix}.level", format=look)
    with frame():
        at = crosshair(stage.task.place(stage.sample), _shape(stage))
        draw(stage.task.surface(stage.sample, at, side, level), prefix)


def _shape(stage: _Stage) -> tuple[int, int, int]:
    shape: tuple[int, int, int] = stage.sample.meta["geometry"].shape
    return shape


# --- what is done in the pictures -----------------------------------------------------------------


def _selected(stage: _Stage) -> int | None:
    row = stage.value("selected", None)
    return row if row is not None and row < len(stage.editor.picks) else None


def _react(stage: _Stage, rows: Sequence[int], event: cv.CanvasEvent) -> Change:
    """Do what a click, drag or Delete key on a plane means; tell what else changed."""
    row = rows[event.point_index] if event.point_index is not None else None
    if row is not None and row >= len(stage.editor.picks):
        row = None  # a missed reference: nothing of one's own to change
    if event.kind == "drag" and row is not None:
        stage.editor.move(row, _place(stage, event, row))
    elif event.kind == "delete" and row is not None:
        _delete(stage, row)
    elif event.kind == "click":
        return _click(stage, event, row)
    return "spheres"


def _click(stage: _Stage, event: cv.CanvasEvent, row: int | None) -> Change:
    if row is None and stage.value("mode", "look") == "look" and event.at is not None:
        move_crosshair(stage.task.place(stage.sample), place_in_volume(event, event.at))
        had_one = st.session_state.pop(f"{stage.prefix}.selected", None) is not None
        return "page" if had_one else None
    if row is not None:
        st.session_state[f"{stage.prefix}.selected"] = row
        _go_to(stage, stage.editor.picks.positions[row])
        return "page"
    stage.editor.add(stage.value("kind", ""), _place(stage, event, None))
    st.session_state[f"{stage.prefix}.selected"] = len(stage.editor.picks) - 1
    return "spheres"


def _place(stage: _Stage, event: cv.CanvasEvent, row: int | None) -> Any:
    """Return z, y, x in angstrom of a place in a plane; a moved pick keeps its depth."""
    geometry = stage.sample.meta["geometry"]
    at: Sequence[float] = event.at or (0, 0, 0)
    if row is not None:
        at = geometry.to_vox(stage.editor.picks.positions[row : row + 1])[0]
    return geometry.to_angstrom(np.array([place_in_volume(event, at)]))[0]


def _go_to(stage: _Stage, position: Any) -> None:
    geometry = stage.sample.meta["geometry"]
    move_crosshair(stage.task.place(stage.sample), geometry.to_vox(np.asarray(position)[None])[0])


def _delete(stage: _Stage, row: int) -> None:
    stage.editor.delete(row)
    st.session_state.pop(f"{stage.prefix}.selected", None)
