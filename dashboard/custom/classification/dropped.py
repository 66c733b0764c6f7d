"""Step Predict of a classification: dropped pictures are answered at once, a data set by a run."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.choices import (
    Choices,
    list_models,
    list_records,
    model_name,
    model_title,
    pick_model,
)
from dashboard.custom.classification.desk import class_words, draw_nearest, draw_odds
from dashboard.custom.classification.results import draw_results
from dashboard.errors import fragment, frame
from dashboard.layout import draw_empty
from dashboard.renderers import draw_all
from dashboard.steps import predict
from dashboard.tiles import Tile, draw_tiles
from dashboard.words import number, say, say_plainly, tr
from pipelines.contract import Prediction, Task
from pipelines.core.checkpoints import CheckpointEntry
from pipelines.jobs import warm
from pipelines.text import Text

_PARTS = ("dataset", "dropped")
_MOST_FILES = 200
# Networks that answer a turned copy as the picture itself.
_TURN_BLIND = ("symmetric", "statistics")
_ARCHIVES = (".zip", ".tar", ".gz", ".7z", ".rar")

Answer = tuple[Prediction, np.ndarray] | Text


def show_predict(task: Task, choices: Choices) -> None:
    """Draw the step."""
    if choices.model is None:
        predict.show(task, choices)
        return
    part = st.segmented_control(
        tr("classes_page.predict_what"), _PARTS, default=_PARTS[0], required=True,
        key=f"{task.id}.predict.part", label_visibility="collapsed",
        format_func=lambda name: tr(f"classes_page.predict.{name}"),
    )  # fmt: skip
    if part == "dataset":
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            others = _pick_others(task, choices.model)
            has_flips = _pick_flips(task, (choices.model, *others))
        changes: dict[str, Any] = {"average_with": _joined(others)} if others else {}
        if has_flips != _flips_by_default(choices.model):
            changes["test_flips"] = has_flips
        predict.show(task, choices, changes)
        with frame():
            draw_results(task, choices)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_model(task)
        others = _pick_others(task, choices.model)
        has_flips = _pick_flips(task, (choices.model, *others))
    with frame():
        _draw_dropped(task, choices, (choices.model, *others), has_flips=has_flips)


def _pick_others(task: Task, model: CheckpointEntry) -> list[CheckpointEntry]:
    """Offer further models whose answers are averaged with the chosen one's."""
    models = {n: e for n, e in list_models(task).items() if n != model_name(model)}
    if not models:
        return []
    names = st.multiselect(
        tr("classes_page.average"), list(models), key=f"{task.id}.average",
        format_func=lambda name: model_title(models[name]),
        placeholder=tr("classes_page.average_none"), help=tr("classes_page.average_help"),
    )  # fmt: skip
    return [models[name] for name in names]


def _pick_flips(task: Task, models: Sequence[CheckpointEntry]) -> bool:
    """Offer to ask once instead of eight times, where turned copies are answered otherwise."""
    default = _flips_by_default(models[0])
    if all(m.card.architecture.get("name") in _TURN_BLIND for m in models):
        return default
    return st.toggle(
        tr("classes_page.flips"), default, key=f"{task.id}.flips.{model_name(models[0])}",
        help=tr("classes_page.flips_help"),
    )  # fmt: skip


def _flips_by_default(model: CheckpointEntry) -> bool:
    return bool(model.card.config.get("test_flips", True))


def _joined(models: Sequence[CheckpointEntry]) -> str:
    return os.pathsep.join(str(model.folder) for model in models)


# --- dropped pictures -----------------------------------------------------------------------------


@fragment
def _draw_dropped(
    task: Any, choices: Choices, models: Sequence[CheckpointEntry], *, has_flips: bool
) -> None:
    uploads = st.file_uploader(
        tr("classes_page.drop"), accept_multiple_files=True, key=f"{task.id}.dropped",
        help=tr("classes_page.drop_help"),
    )  # fmt: skip
    if not uploads:
        draw_empty(
            "add_photo_alternate", tr("classes_page.drop_title"), tr("classes_page.drop_help")
        )
        return
    files = _readable(uploads)
    if not files:
        return
    answers = _answers(task, models, files, has_flips=has_flips)
    found = {
        name: a for (name, _), a in zip(files, answers, strict=True) if not isinstance(a, Text)
    }
    for answer in answers:
        if isinstance(answer, Text):
            st.error(say(answer), icon=":material/error:")
    for name, (_, pixels) in found.items():
        if (doubt := task.doubt(name, pixels)) is not None:
            st.warning(say_plainly(doubt), icon=":material/warning:")
    if found:
        _draw_answers(task, choices, found)


def _readable(uploads: Sequence[UploadedFile]) -> list[tuple[str, bytes]]:
    """Leave out archives, and what goes beyond a page's worth of pictures, and say so."""
    archives = [u.name for u in uploads if u.name.lower().endswith(_ARCHIVES)]
    if archives:
        st.info(tr("classes_page.is_archive", name=archives[0]), icon=":material/folder_zip:")
    kept = [u for u in uploads if u.name not in archives]
    if len(kept) > _MOST_FILES:
        st.warning(tr("classes_page.too_many", limit=_MOST_FILES, n=len(kept)))
    return [(u.name, u.getvalue()) for u in kept[:_MOST_FILES]]


def _answers(
    task: Task, models: Sequence[CheckpointEntry], files: Sequence[tuple[str, bytes]],
    *, has_flips: bool,
) -> list[Answer]:  # fmt: skip
    stamp = "|".join(f"{m.folder} {m.card.created}" for m in models)
    with st.spinner(tr("predict_step.computing")):
        return predict_files(
            task.id, stamp, tuple(files), tuple(str(model.folder) for model in models),
            has_flips=has_flips,
        )  # fmt: skip


@st.cache_data(show_spinner=False, max_entries=8)
def predict_files(
    task_id: str, stamp: str, files: tuple[tuple[str, bytes], ...], folders: tuple[str, ...],
    *, has_flips: bool,
) -> list[Answer]:  # fmt: skip
    """Ask the warm process, once for the same pictures and models."""
    answers: list[Answer] = warm.warm_call(
        "pipelines.core.classification.work:predict_files", task_id, folders, files, "auto",
        has_flips,
    )  # fmt: skip
    return answers


def _draw_answers(
    task: Any, choices: Choices, found: Mapping[str, tuple[Prediction, np.ndarray]]
) -> None:
    key = f"{task.id}.dropped.picture"
    names = list(found)
    if len(names) > 1:
        rows = [_row(name, found[name][0]) for name in names]
        tiles = [
            Tile(
                name, task.jpeg(found[name][1]), f"{class_words(task, row[1])} {number(row[2], 2)}"
            )
            for name, row in zip(names, rows, strict=True)
        ]
        draw_tiles(
            tiles, key=f"{key}.tiles", label=tr("classes_page.predict.dropped"),
            chosen=st.session_state.get(key), on_click=lambda name: _choose(key, name),
        )  # fmt: skip
        st.download_button(
            tr("classes_page.table"), data=lambda: _table(found), mime="text/csv",
            file_name="predictions.csv", icon=":material/download:", key=f"{key}.csv",
            on_click="ignore",
        )  # fmt: skip
    chosen = str(st.session_state.get(key))
    name = chosen if chosen in found else names[0]
    _draw_answer(task, choices, name, *found[name])


def _choose(key: str, name: str) -> None:
    st.session_state[key] = name


def _draw_answer(
    task: Any, choices: Choices, name: str, prediction: Prediction, pixels: np.ndarray
) -> None:
    file, raw, confidence = _row(name, prediction)
    decided = class_words(task, raw)
    with st.container(border=True):
        st.markdown(tr("classes_page.answer", name=file, decided=decided, share=confidence))
        left, right = st.columns((3, 4), gap="large")
        with left:
            draw_odds(task, prediction)
            model = choices.model
            record = list_records(task).get(model.card.dataset_id) if model is not None else None
            draw_nearest(task, record, prediction, f"{task.id}.dropped.nearest")
        with right:
            draw_all(task.explain_pixels(pixels, prediction)[1:], f"{task.id}.dropped.why")
        st.caption(tr("classes.not_for_diagnosis"))


def _row(name: str, prediction: Prediction) -> tuple[str, str, float]:
    odds = prediction.values["probabilities"]
    best = int(np.argmax(odds))
    return name, str(prediction.values["classes"][best]), float(odds[best])


def _table(found: Mapping[str, tuple[Prediction, np.ndarray]]) -> bytes:
    """Write file, class, confidence and a probability a class, as a run does."""
    first = next(iter(found.values()))[0]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    classes = first.values["classes"].tolist()
    writer.writerow(["file", "class", "confidence", *(f"p_{c}" for c in classes)])
    for name, (prediction, _) in found.items():
        file, decided, confidence = _row(name, prediction)
        odds = [f"{p:.6f}" for p in prediction.values["probabilities"]]
        writer.writerow([file, decided, f"{confidence:.6f}", *odds])
    return buffer.getvalue().encode()
