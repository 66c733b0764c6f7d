"""Take a data set off the list, asked in place, and bring it back."""

from __future__ import annotations

import streamlit as st

from dashboard.errors import frame
from dashboard.state import leave_notice
from dashboard.words import as_plain, tr
from pipelines import datasets
from pipelines.contract import DatasetRecord, Task
from pipelines.jobs.uses import refuse_used_dataset
from pipelines.settings import load_settings


def draw_removal(task: Task, record: DatasetRecord) -> None:
    """Draw the button that deletes a data set; the built-in sample has none."""
    if record.is_generated:
        return
    with (
        st.popover(tr("data_removal.delete"), icon=":material/delete:", width="content"),
        frame(),
    ):
        st.markdown(tr("data_removal.question"))
        key = f"{task.id}.{record.dataset_id}.delete"
        if st.button(tr("data_removal.yes"), key=key, icon=":material/delete:"):
            settings = load_settings()
            refuse_used_dataset(record.dataset_id, settings)
            datasets.delete_dataset(record.dataset_id, settings)
            st.session_state[_deleted(task)] = (record.dataset_id, record.title)
            st.query_params.pop("data", None)
            st.rerun()


def draw_undo(task: Task) -> None:
    """Offer to bring back what was deleted last."""
    if _deleted(task) not in st.session_state:
        return
    dataset_id, title = st.session_state[_deleted(task)]
    with st.container(horizontal=True, vertical_alignment="center"), frame():
        st.markdown(tr("data_removal.words", title=as_plain(title)))
        undo = tr("data_removal.undo")
        if st.button(undo, key=f"{task.id}.undo", icon=":material/undo:", type="tertiary"):
            st.session_state.pop(_deleted(task))
            datasets.restore_dataset(dataset_id, load_settings())
            st.query_params["data"] = dataset_id  # the picker is drawn already; the address wins
            leave_notice(tr("data_removal.restored"))
            st.rerun()


def _deleted(task: Task) -> str:
    return f"{task.id}.data.deleted"
