"""Step Predict: the model's answer for one item at once, for all of them as a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.choices import Choices, model_name, pick_data, pick_model
from dashboard.errors import frame
from dashboard.layout import draw_empty
from dashboard.run_panel import draw_run
from dashboard.same_code import draw_same_code
from dashboard.state import watch_run, watched_run
from dashboard.steps.panels import Shown, draw_step_panels
from dashboard.steps.threshold import recommended_thresholds
from dashboard.words import tr
from pipelines import config as configs
from pipelines import datasets
from pipelines.actions import prediction_config
from pipelines.contract import DatasetRecord, Prediction, Task
from pipelines.core.checkpoints import CheckpointEntry
from pipelines.evidence.calls import Source, prediction_call, takes_all
from pipelines.jobs import warm
from pipelines.jobs.engines import local
from pipelines.jobs.store import NewRun, Run, create_run, find_run
from pipelines.settings import load_settings

_FOLLOWED = "predict"
_SKELETON_PX = 420
_LARGE = 5000  # items


def show(task: Task, choices: Choices, changes: Mapping[str, Any] | None = None) -> None:
    """Draw the step.

    Args:
        task: Task whose page it is.
        choices: Data and model.
        changes: Options that a run gets in place of the model's own.
    """
    model = choices.model
    if model is None:
        draw_empty("deployed_code", tr("predict_step.no_model"), tr("predict_step.no_model_help"))
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_data(task)
        pick_model(task)
        _draw_start(task, choices, model, changes or {})
    run_id = watched_run(task.id, _FOLLOWED)
    if run_id is not None:
        with frame():
            draw_run(run_id)
            _draw_downloads(find_run(run_id, load_settings()))
    shown = Shown(
        Preview(task, choices.record, model),
        recommended=recommended_thresholds(model),
        place=f"predict.{model_name(model)}",
        ready_ids=frozenset(),
    )
    draw_step_panels(task, "predict", choices, shown)
    _draw_code(task, choices.record, model, changes or {})


def _draw_code(
    task: Task, record: DatasetRecord, model: CheckpointEntry, changes: Mapping[str, Any]
) -> None:
    data, folder = Source.of(task, record), str(model.folder)
    every = [item.item_id for item in record.items]  # as the button of this step asks for them
    call = prediction_call(
        task, changes, data, checkpoint=folder, output="prediction",
        has_all=takes_all(task, record, every),
    )  # fmt: skip
    draw_same_code(call, "predict", "same_code.predict")


class Preview(Mapping[str, Prediction]):
    """Predict an item in the warm process when a panel asks for it; answers are kept."""

    def __init__(self, task: Task, record: DatasetRecord, model: CheckpointEntry) -> None:
        self._task, self._record, self._model = task, record, model

    def __getitem__(self, item_id: str) -> Prediction:
        card = self._model.card
        stamp = f"{self._model.folder}|{card.created}|{card.operating_point}"
        return predict_item(
            self._task.id, stamp, item_id, self._record.dataset_id, self._model, self._record
        )

    def __iter__(self) -> Any:  # iterator over item ids
        return (item.item_id for item in self._record.items)

    def __len__(self) -> int:
        return len(self._record.items)


@st.cache_data(show_spinner=False, max_entries=64)
def predict_item(
    task_id: str,
    stamp: str,
    item_id: str,
    dataset_id: str,
    _model: CheckpointEntry,
    _record: DatasetRecord,
) -> Prediction:
    """Return what a model says of one item, computed in the warm process."""
    record = datasets.record_to_json(_only(_record, item_id))
    place = st.empty()
    with place.container():
        st.caption(f":material/hourglass_top: {tr('predict_step.computing')}")
        st.skeleton(_SKELETON_PX)
    found: Prediction = warm.warm_call(
        "pipelines.actions:predict_one", task_id, str(_model.folder), record, item_id
    )
    place.empty()
    return found


def _only(record: DatasetRecord, item_id: str) -> DatasetRecord:
    """Leave the other items of a very large data set out: to send them takes seconds."""
    if len(record.items) < _LARGE:
        return record
    return dataclasses.replace(record, items=(record.item(item_id),))


def _draw_start(
    task: Task, choices: Choices, model: CheckpointEntry, changes: Mapping[str, Any]
) -> None:
    count = len(choices.record.items)
    start = st.button(
        tr("predict_step.start", n=count, items=task.items_text(count)),
        key=f"{task.id}.predict",
        type="primary",
        icon=":material/play_arrow:",
    )
    if not start:
        return
    run = start_prediction(task, choices.record, model, changes)
    watch_run(task.id, _FOLLOWED, run.run_id)
    st.rerun()


def start_prediction(
    task: Task,
    record: DatasetRecord,
    model: CheckpointEntry,
    changes: Mapping[str, Any] | None = None,
) -> Run:
    """Start a run that predicts every item and scores those with a truth.

    Args:
        task: Task of the model.
        record: Data to predict.
        model: Model that predicts.
        changes: Options in place of the model's own.
    """
    settings = load_settings()
    config = prediction_config(task, model.card, changes or {})
    new = NewRun(
        task_id=task.id,
        action="predict",
        config=configs.to_json(config),
        record=record,
        checkpoint=model.folder,
        parent_run=model.card.run_id,
        # named, because a task may by itself predict the unlabelled part of a known layout alone
        item_ids=tuple(item.item_id for item in record.items),
    )
    return local.launch(create_run(new, settings), settings)


def _draw_downloads(run: Run) -> None:
    folder = run.prediction_folder
    if run.status.is_active or not folder.is_dir():
        return
    with st.container(horizontal=True, gap="small"):
        for path in sorted(p for p in folder.iterdir() if p.suffix in (".tif", ".csv")):
            _draw_download(path.name, lambda path=path: path.read_bytes(), run)
        folders = [p for p in folder.iterdir() if p.is_dir()]
        for path in folders:
            _draw_download(f"{path.name}.zip", lambda path=path: zip_folder(path), run)


def _draw_download(name: str, make: Any, run: Run) -> None:
    st.download_button(
        name,
        data=make,
        file_name=name,
        key=f"run.{run.run_id}.{name}",
        icon=":material/download:",
        on_click="ignore",
    )


def zip_folder(folder: Any) -> bytes:  # a path
    """Pack a folder of pictures into a zip."""
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
