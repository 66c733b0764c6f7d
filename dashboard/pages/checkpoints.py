"""Checkpoints: what models there are, how good they were; bring in, hand out, delete with undo."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import streamlit as st

from dashboard.checkpoint_import import draw_import
from dashboard.choices import list_models, model_title
from dashboard.errors import frame
from dashboard.layout import draw_empty, draw_head
from dashboard.renderers import value_words
from dashboard.state import leave_notice
from dashboard.words import capitalised, number, say, tr
from pipelines.contract import Task
from pipelines.core.checkpoints import CheckpointCard, CheckpointEntry, verify_weights
from pipelines.evidence.calls import checkpoint_call
from pipelines.evidence.models import delete_checkpoint, export_checkpoint, restore_checkpoint
from pipelines.jobs.store import data_words
from pipelines.jobs.uses import refuse_used_checkpoint
from pipelines.registry import load_tasks
from pipelines.settings import load_settings
from pipelines.text import Text

_DELETED = "checkpoints_page.deleted"
_MOST_FIGURES = 5


def show() -> None:
    """Draw the page."""
    draw_head("deployed_code", tr("pages.checkpoints"), tr("checkpoints_page.summary"))
    _draw_undo()
    draw_import()
    tasks, _ = load_tasks()
    is_empty = True
    for task in tasks:
        models = list_models(task)
        if models:
            is_empty = False
            st.markdown(f"### :material/{task.icon}: {say(task.title)}")
        for name, entry in models.items():
            with frame():
                _draw_card(task, name, entry)
    if is_empty:
        draw_empty("inbox", tr("checkpoints_page.empty_title"), tr("checkpoints_page.empty"))


def _draw_card(task: Task, name: str, entry: CheckpointEntry) -> None:
    card = entry.card
    with st.container(border=True, key=f"checkpoint-{task.id}-{name}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{model_title(entry)}** :gray[{name}]", width="stretch")
            _draw_actions(task, name, entry)
        st.caption(_facts(card))
        if card.is_generated_data:
            st.caption(f":material/science: {tr('checkpoints_page.generated')}")
        if entry.is_imported:
            st.caption(f":material/upload: {tr('checkpoints_page.imported', notes=card.notes)}")
        for part, scores in card.scores.items():
            shown = {"part": Text(f"pages.part.{part}"), "scores": _scores(task, scores)}
            st.markdown(capitalised(tr("checkpoints_page.scores", **shown)))
        with st.expander(tr("checkpoints_page.card")):
            st.json(json.dumps({"config": dict(card.config), "versions": dict(card.versions)}))
            st.caption(tr("checkpoints_page.fingerprint", sha256=card.weights_sha256 or "–"))
            st.caption(tr("same_code.shell"))
            call = checkpoint_call(str(entry.folder), f"{task.id}-{name}")
            st.code(call.shell, language="bash", wrap_lines=True)


def _facts(card: CheckpointCard) -> str:
    return tr(
        "checkpoints_page.facts",
        data=data_words(card.dataset_title or "–", is_generated=card.is_generated_data),
        parameters=card.num_parameters,
        time=value_words(card.seconds, "duration"),
        device=card.device.upper() if card.device in ("cpu", "mps") else card.device or "–",
        seed=card.seed,
    )


def _scores(task: Task, scores: object) -> str:
    values = dict(scores) if isinstance(scores, dict) else {}
    known = [m for m in task.metrics if not math.isnan(float(values.get(m.name, math.nan)))]
    return " · ".join(
        f"{say(m.label)} {number(float(values[m.name]))}" for m in known[:_MOST_FIGURES]
    )


# --- out, check, delete ---------------------------------------------------------------------------


def _draw_actions(task: Task, name: str, entry: CheckpointEntry) -> None:
    key = f"checkpoint.{task.id}.{name}"
    st.download_button(
        tr("checkpoints_page.export"),
        data=lambda: _zipped(entry),
        file_name=f"{task.id}-{name}.zip",
        mime="application/zip",
        key=f"{key}.export",
        icon=":material/download:",
        help=tr("checkpoints_page.export_help"),
        type="tertiary",
        on_click="ignore",
    )
    if st.button(
        tr("checkpoints_page.verify"),
        key=f"{key}.verify",
        icon=":material/fingerprint:",
        help=tr("checkpoints_page.verify_help"),
        type="tertiary",
    ):
        words = "verified" if verify_weights(entry.folder) else "no_fingerprint"
        st.toast(tr(f"checkpoints_page.{words}"), icon=":material/fingerprint:")
    if not entry.is_builtin:
        _draw_delete(key, entry)


def _zipped(entry: CheckpointEntry) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return export_checkpoint(entry.folder, Path(folder) / "model.zip").read_bytes()


def _draw_delete(key: str, entry: CheckpointEntry) -> None:
    with (
        st.popover(tr("checkpoints_page.delete"), icon=":material/delete:", type="tertiary"),
        frame(),
    ):
        st.markdown(tr("checkpoints_page.delete_question"))
        if st.button(tr("checkpoints_page.delete_yes"), key=f"{key}.delete"):
            refuse_used_checkpoint(entry.folder, load_settings())
            st.session_state[_DELETED] = (str(delete_checkpoint(entry)), model_title(entry))
            st.rerun()


def _draw_undo() -> None:
    if _DELETED not in st.session_state:
        return
    aside, title = st.session_state[_DELETED]
    with st.container(horizontal=True, vertical_alignment="center"), frame():
        st.markdown(tr("checkpoints_page.deleted_words", title=title))
        undo = tr("checkpoints_page.undo")
        if st.button(undo, key="checkpoints.undo", icon=":material/undo:", type="tertiary"):
            st.session_state.pop(_DELETED)
            restore_checkpoint(Path(aside))
            leave_notice(tr("checkpoints_page.restored"))
            st.rerun()
