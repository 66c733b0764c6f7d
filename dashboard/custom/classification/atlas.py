"""Step Explore of a classification: a map of pictures, its clusters, and what a lasso holds."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import streamlit as st

from dashboard.charts import scatter_figure
from dashboard.choices import Choices, pick_data, pick_model, pick_run, scratch_folder
from dashboard.custom.classification.desk import (
    Desk,
    choose_picture,
    class_words,
    draw_more,
    draw_why,
    make_tiles,
    why_key,
)
from dashboard.errors import fragment, frame
from dashboard.forms import draw_options
from dashboard.layout import CONTROLS_AND_PICTURE
from dashboard.renderers import draw
from dashboard.same_code import draw_same_code
from dashboard.state import option_values
from dashboard.steps.evaluate import draw_unscored
from dashboard.tiles import draw_tiles
from dashboard.words import say, tr
from pipelines import config as configs
from pipelines import datasets
from pipelines.contract import Task
from pipelines.evidence.calls import cluster_call
from pipelines.jobs import warm

_PAGE = 30
_TIMEOUT_S: Final = 900.0
_EMBEDDING = "pipelines.core.classification.embedding"
_mapper = warm.WarmProcess()  # a map takes up to minutes: short questions must not wait behind it


def show_explore(task: Task, choices: Choices) -> None:
    """Draw the step."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_data(task)
        pick_model(task)
        pick_run(task, choices.record)
    if choices.run is None:
        draw_unscored(task, choices)
        return
    with frame():
        _draw_map(Desk(task, choices, choices.run))


@fragment
def _draw_map(desk: Desk) -> None:
    atlas = open_atlas(desk.task.id, desk.run.run_id, desk)
    if atlas is None:
        st.info(tr("classes_panel.map.too_few"))
        return
    left, right = st.columns(CONTROLS_AND_PICTURE, gap="large")
    with left, st.container(key="beside"):
        st.caption(tr("classes_panel.map.help"))
        atlas = _pick_features(desk, atlas)
        controls = _draw_controls(desk.task)
    with right, frame():
        clusters, scores = _clusters(desk, atlas, controls)
        plane = _plane(desk, atlas, controls.projection)
        threshold = float(next(iter(_thresholds(desk).values()), 0.5))
        view = atlas.scatter(plane, controls, clusters, threshold)
        rows = _draw_points(desk, view)
        draw(desk.task.read_neighbours(_neighbours(desk, atlas)), f"{desk.task.id}.neighbours")
        draw(atlas.cluster_table(scores), f"{desk.task.id}.clusters")
        _draw_selection(desk, atlas, clusters, rows)
        _draw_code(desk, controls)


def _draw_code(desk: Desk, controls: Any) -> None:
    """Show how the features are had, mapped and clustered without the page."""
    model = desk.choices.model
    if model is None:
        return
    key = f"{desk.task.id}.map.features"
    is_own = st.session_state.get(key, "model") == "model"
    features = str(model.folder) if is_own else f"timm:{st.session_state[f'{key}.name'].strip()}"
    call = cluster_call(desk.task, features, desk.record, number=int(controls.num_clusters))
    draw_same_code(call, "explore")


def _thresholds(desk: Desk) -> dict[str, float]:
    return dict((desk.run.scores() or {}).get("operating_point", {}).get("thresholds", {}))


def _draw_controls(task: Any) -> Any:
    infos = configs.describe(task.map_controls)
    prefix = f"{task.id}.map"
    values = option_values(prefix, {info.name: info.default for info in infos})
    return configs.parse(task.map_controls, draw_options(prefix, infos, values))


# --- what is slow, once ---------------------------------------------------------------------------


@st.cache_resource(show_spinner=False, max_entries=4)
def open_atlas(task_id: str, run_id: str, _desk: Desk) -> Any:  # the task's own map
    """Gather the pictures of a run once."""
    return _desk.task.atlas(_desk.record, _desk.predictions)


def _kept(desk: Desk, atlas: Any, name: str, make: Any) -> dict[str, np.ndarray]:
    """Return arrays that belong to these features, from the disk where they were made before."""
    folder = scratch_folder(desk.record) / "maps" / atlas.fingerprint
    file = folder / f"{name}.npz"
    if not file.is_file():
        place = st.empty()
        with place.container():
            st.caption(f":material/hourglass_top: {tr('classes_page.mapping', n=len(atlas))}")
            st.skeleton(360)
        arrays = make()
        folder.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new.npz")
        np.savez(fresh, **arrays)
        fresh.replace(file)
        place.empty()
    return load_arrays(str(file), file.stat().st_mtime_ns)


@st.cache_resource(show_spinner=False, max_entries=32)
def load_arrays(path: str, stamp: int) -> dict[str, np.ndarray]:
    """Read a file of arrays once."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _ask(function: str, *arguments: Any) -> Any:
    return _mapper.call(f"{_EMBEDDING}:{function}", *arguments, timeout_s=_TIMEOUT_S)


def _plane(desk: Desk, atlas: Any, how: str) -> np.ndarray:
    made = _kept(desk, atlas, how, lambda: {"plane": _ask("project", atlas.features, how)})
    return made["plane"]


def _clusters(desk: Desk, atlas: Any, controls: Any) -> tuple[np.ndarray, dict[str, float]]:
    number = controls.num_clusters
    how = controls.clustering
    name = how if how == "hdbscan" else f"{how}_{number}"

    def make() -> dict[str, Any]:
        labels, groups = atlas.labels, atlas.groups
        found, scores = _ask("study_clusters", atlas.features, labels, groups, how, number)
        return {"clusters": found, **{f"score_{n}": np.array(v) for n, v in scores.items()}}

    made = _kept(desk, atlas, name, make)
    scores = {n.removeprefix("score_"): float(v) for n, v in made.items() if n != "clusters"}
    return made["clusters"], scores


def _neighbours(desk: Desk, atlas: Any) -> dict[str, float]:
    def make() -> dict[str, Any]:
        found = _ask("compare_neighbours", atlas.features, atlas.labels, atlas.groups)
        return {n: np.array(v) for n, v in found.items()}

    return {n: float(v) for n, v in _kept(desk, atlas, "neighbours", make).items()}


# --- features -------------------------------------------------------------------------------------


def _pick_features(desk: Desk, atlas: Any) -> Any:
    """Let the map be of the model's own features, or of those of a timm backbone."""
    key = f"{desk.task.id}.map.features"
    kinds = ("model", "backbone")
    kind = st.segmented_control(
        tr("classes_page.features"), kinds, default=kinds[0], required=True, key=key,
        format_func=lambda name: tr(f"classes_page.features.{name}"),
        help=tr("classes_page.features_help"),
    )  # fmt: skip
    if kind == "model":
        return atlas
    name = st.text_input(tr("classes_page.backbone"), "resnet18", key=f"{key}.name").strip()

    def make() -> dict[str, Any]:
        slim = dataclasses.replace(desk.record, items=())  # the task lists the files itself
        record = datasets.record_to_json(slim)
        features, is_pretrained = warm.warm_call(
            "pipelines.actions:ask_task", desk.task.id, "embed_by_backbone", record,
            atlas.item_ids, name, timeout_s=_TIMEOUT_S,
        )  # fmt: skip
        return {"features": features, "is_pretrained": np.array(is_pretrained)}

    made = _kept(desk, atlas, f"backbone_{''.join(c for c in name if c.isalnum())}", make)
    if not bool(made["is_pretrained"]):
        st.warning(tr("classes_page.not_pretrained", name=name))
    return atlas.with_features(made["features"], name)


# --- points and pictures --------------------------------------------------------------------------


def _draw_points(desk: Desk, view: Any) -> list[int]:
    """Draw the points and return the rows that a lasso, a box or a click holds."""
    st.markdown(f"**{say(view.title)}**")
    figure = scatter_figure(view)
    figure.update_layout(dragmode="lasso", selectionrevision="keep")
    event = st.plotly_chart(
        figure, key=f"{desk.task.id}.map.points", alt=say(view.title), on_select="rerun",
        selection_mode=("lasso", "box", "points"), config={"displaylogo": False},
    )  # fmt: skip
    st.caption(tr("classes_page.lasso_help"))
    points = event["selection"]["points"]
    return sorted({int(_first(p["customdata"])) for p in points if "customdata" in p})


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value


def _draw_selection(desk: Desk, atlas: Any, clusters: np.ndarray, rows: list[int]) -> None:
    """Draw the pictures of the lasso, or of a chosen cluster while there is none."""
    key = f"{desk.task.id}.map"
    if rows:
        title = tr("classes_page.selected", n=len(rows))
    else:
        numbers = [int(c) for c in np.unique(clusters)]
        chosen = st.pills(
            tr("classes_page.cluster"), numbers, key=f"{key}.cluster",
            format_func=lambda c: str(c) if c >= 0 else tr("classes_page.no_cluster"),
        )  # fmt: skip
        if chosen is None:
            return
        rows = [int(i) for i in np.flatnonzero(clusters == chosen)]
        title = tr("classes_panel.map.cluster", number=chosen, n=len(rows))
    st.markdown(f"**{title}**")
    count = int(st.session_state.get(f"{key}.shown", _PAGE))
    some = [rows[int(i)] for i in np.linspace(0, len(rows) - 1, min(count, len(rows)))]
    items = [atlas.item_ids[i] for i in some]
    shown = [class_words(desk.task, name) for name in (*atlas.classes, "–")]  # -1: no label
    names = [shown[atlas.labels[i]] for i in some]
    picture = st.session_state.get(f"{key}.picture")
    draw_tiles(
        make_tiles(desk, items, names, desk.marks.wrong), key=f"{key}.gallery",
        label=title, chosen=picture, on_click=lambda item_id: choose_picture(key, item_id),
        opens=why_key(key),
    )  # fmt: skip
    draw_more(key, count, len(rows))
    if picture is not None:
        draw_why(desk, picture, key)
