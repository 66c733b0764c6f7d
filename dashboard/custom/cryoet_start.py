"""Start a training from the weights of another one: pre-trained on simulated tomograms, say."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.choices import list_models, model_title
from dashboard.state import option_key, set_options
from dashboard.words import tr
from pipelines.contract import Task
from pipelines.core.checkpoints import CheckpointEntry

_SHAPE = ("architecture", "width", "target")  # what the weights fit


def draw_start(task: Task) -> None:
    """Draw the choice of weights to start from; the network follows them while one is chosen."""
    models = {n: e for n, e in list_models(task).items() if "width" in e.card.architecture}
    chosen = st.selectbox(
        tr("cryoet.page_start"),
        ["", *models],
        format_func=lambda name: _title(models, name),
        key=f"{task.id}.start_from",
        help=tr("cryoet.page_start_help"),
        persist_state="session",
    )
    key = option_key(task.id, "initial_checkpoint")
    if chosen:
        set_options(task.id, _options(models[chosen]))
    elif any(st.session_state.get(key) == str(e.folder) for e in models.values()):
        set_options(task.id, {"initial_checkpoint": "", "pretrained": True})


def _title(models: Mapping[str, CheckpointEntry], name: str) -> str:
    return f"{model_title(models[name])}" if name else tr("cryoet.page_start_none")


def _options(entry: CheckpointEntry) -> dict[str, str | int | bool]:
    """Return what belongs to a model; it takes the place of the built-in weights."""
    known = {**entry.card.architecture, "architecture": entry.card.architecture["name"]}
    shape = {name: known[name] for name in _SHAPE}
    return {"initial_checkpoint": str(entry.folder), "pretrained": False, **shape}
