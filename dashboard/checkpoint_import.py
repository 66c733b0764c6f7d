"""Bring a checkpoint in: a zip of ours, or the weights of another program by their keys."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.errors import frame
from dashboard.state import leave_notice
from dashboard.words import tr
from pipelines import datasets
from pipelines.evidence.calls import checkpoint_import_call
from pipelines.evidence.models import FOREIGN, kind_of
from pipelines.jobs import warm
from pipelines.registry import get_task
from pipelines.settings import load_settings

_TYPES = ["zip", *(suffix.removeprefix(".") for suffix in FOREIGN)]
_MODULE = "pipelines.evidence.models"
_MOST_KEYS = 200


def draw_import() -> None:
    """Draw the folded form."""
    with (
        st.expander(tr("checkpoints_page.import"), icon=":material/upload:", key="models.import"),
        frame(),
    ):
        st.markdown(tr("checkpoints_page.import_help"))
        number = st.session_state.setdefault("models.number", 0)  # a new one is an empty one
        file = st.file_uploader(
            tr("checkpoints_page.file"), type=_TYPES, key=f"models.file.{number}",
            label_visibility="collapsed",
        )  # fmt: skip
        if file is None:
            return
        path = _saved(file)
        name = Path(file.name).stem
        title = st.text_input(tr("checkpoints_page.name"), name, key=f"models.name.{number}")
        if kind_of(file.name) == "ours":
            _draw_ours(path, title)
        else:
            _draw_foreign(path, title)


def _saved(file: Any) -> Path:  # Streamlit's uploaded file
    """Keep an upload once, however often the page is drawn."""
    key, known = "models.saved", st.session_state.get("models.saved")
    if known is None or known[0] != file.file_id or not Path(known[1]).is_file():
        path = datasets.save_upload(file, file.name, load_settings())
        st.session_state[key] = known = (file.file_id, str(path))
    return Path(known[1])


def _draw_ours(path: Path, title: str) -> None:
    take = st.button(tr("checkpoints_page.import_yes"), key="models.take", type="primary")
    _draw_code(path, "", title)
    if take:
        _take(path, "", title)


def _draw_code(path: Path, template: str, title: str) -> None:
    """Show the same as typed; in this folded form it cannot be folded once more."""
    call = checkpoint_import_call(path.name, template=template, title=title)
    st.caption(tr("same_code.shell"))
    st.code(call.shell, language="bash", wrap_lines=True)


def _draw_foreign(path: Path, title: str) -> None:
    """Show which known network the weights fit, and every key that does not."""
    matches = _matches(str(path), path.stat().st_mtime_ns)
    chosen = st.selectbox(
        tr("checkpoints_page.network"),
        range(len(matches)),
        format_func=lambda i: _match_words(matches[i]),
        key="models.network",
    )
    match = matches[chosen]
    if match["is_complete"]:
        st.success(tr("checkpoints_page.fits"), icon=":material/check_circle:")
    else:
        st.warning(tr("checkpoints_page.fits_not"), icon=":material/key_off:")
    _draw_keys(match["report"])
    take = st.button(
        tr("checkpoints_page.import_yes"),
        key="models.take",
        type="primary",
        disabled=not match["is_complete"],
    )
    _draw_code(path, match["folder"], title)
    if take:
        _take(path, match["folder"], title)


@st.cache_data(show_spinner=False, max_entries=8)
def _matches(path: str, stamp: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = warm.warm_call(f"{_MODULE}:match_for_page", path)
    return found


def _match_words(match: dict[str, Any]) -> str:
    task = get_task(match["task_id"])
    title = match["title"] or Path(match["folder"]).name
    return tr("checkpoints_page.match", task=task.title, model=title, share=float(match["share"]))


def _draw_keys(report: dict[str, Any]) -> None:
    rows = [
        (kind, name)
        for kind in ("misshapen", "missing", "unexpected", "loaded")
        for name in report[kind][:_MOST_KEYS]
    ]
    count = {kind: len(names) for kind, names in report.items()}
    with st.expander(tr("checkpoints_page.keys", **count)):
        st.dataframe(
            [
                {
                    tr("checkpoints_page.column_key"): name,
                    tr("checkpoints_page.column_state"): tr(f"checkpoints_page.key.{kind}"),
                }
                for kind, name in rows
            ],
            hide_index=True,
            key="models.keys",
        )


def _take(path: Path, template: str, title: str) -> None:
    folder = warm.warm_call(f"{_MODULE}:import_for_page", str(path), template, title)
    shutil.rmtree(path.parent, ignore_errors=True)  # the folder of this upload alone
    st.session_state.pop("models.saved", None)
    st.session_state["models.number"] += 1
    leave_notice(tr("checkpoints_page.taken", name=Path(folder).name))
    st.rerun()
