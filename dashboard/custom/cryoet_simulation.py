"""Simulate tomograms on the step Data: a form, and a data set that is chosen once it is written."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.errors import frame
from dashboard.forms import draw_options
from dashboard.state import leave_notice, option_values
from dashboard.words import tr
from pipelines import config as configs
from pipelines import datasets
from pipelines.contract import Task
from pipelines.jobs import warm
from pipelines.settings import load_settings

_WRITE = "pipelines.tasks.cryoet_picking.simulate:write_tomogram"
_TIMEOUT_S = 900.0  # a large tomogram on a busy machine
_MOST_TOMOGRAMS = 8
_COLUMNS = 3


@dataclass(frozen=True)
class _Wish:
    """Hold what is to be simulated.

    Attributes:
        count: Number of tomograms.
        seed: The same seed gives the same ones.
        values: Options of the specimen and the microscope.
        maps: Folder of the user's own maps, or "".
    """

    count: int
    seed: int
    values: Mapping[str, Any]
    maps: str

    @property
    def size(self) -> str:
        """Say the voxels along z, y and x."""
        side = self.values["side_vox"]
        return f"{self.values['depth_vox']} × {side} × {side}"

    def folder(self) -> Path:
        """Return where it lies: the same wish lies in the same place."""
        said = repr((self.count, self.seed, sorted(self.values.items()), self.maps))
        mark = hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
        return load_settings().data / "simulated" / mark


def draw_simulation(task: Any) -> None:  # the picking task, beyond the contract
    """Draw the simulator; opened, only its own part reruns when something in it changes."""
    key = f"{task.id}.simulation"
    if st.session_state.pop(f"{key}.is_done", False):
        st.session_state[key] = False
    with st.expander(tr("cryoet_sim.title"), icon=":material/science:", key=key, on_change="rerun"):
        _draw_form(task, key)


@st.fragment
def _draw_form(task: Any, key: str) -> None:
    with frame():
        st.caption(tr("cryoet_sim.words"))
        wish = _draw_wish(task, key)
        with st.container(horizontal=True, vertical_alignment="center"):
            start = st.button(
                tr("cryoet_sim.start", n=wish.count),
                key=f"{key}.start",
                type="primary",
                icon=":material/play_arrow:",
            )
            st.caption(tr("cryoet_sim.size", size=wish.size), width="content")
        if start:
            _simulate(task, wish)
            st.session_state[f"{key}.is_done"] = True
            st.rerun()


def _draw_wish(task: Any, key: str) -> _Wish:
    infos = configs.describe(task.simulation_options())
    values = option_values(key, {info.name: info.default for info in infos})
    columns = st.columns(_COLUMNS, gap="large")
    with columns[0]:
        count = st.slider(tr("cryoet_sim.count"), 1, _MOST_TOMOGRAMS, 3, key=f"{key}.count")
        seed = st.number_input(
            tr("cryoet_sim.seed"), 0, 999_999, 0, key=f"{key}.seed", help=tr("cryoet_sim.seed.help")
        )
    for column, part in zip(columns, (infos[:2], infos[2:6], infos[6:]), strict=True):
        with column:  # size, microscope, specimen
            values = draw_options(key, part, values)
    typed = st.text_input(
        tr("cryoet_sim.maps"), key=f"{key}.maps", help=tr("cryoet_sim.maps.help"),
        placeholder=tr("cryoet_sim.maps_example"),
    )  # fmt: skip
    maps = str(datasets.resolve_source(typed, load_settings())) if typed.strip() else ""
    return _Wish(int(count), int(seed), values, maps)


def _simulate(task: Task, wish: _Wish) -> None:
    """Write the tomograms one by one in the warm process, and choose them."""
    folder, settings = wish.folder(), load_settings()
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        bar = st.progress(0.0, tr("cryoet_sim.progress", done=0, n=wish.count))
        for index in range(wish.count):
            what = (str(part), index, wish.seed, dict(wish.values), wish.maps)
            warm.warm_call(_WRITE, *what, timeout_s=_TIMEOUT_S)
            done = index + 1
            bar.progress(done / wish.count, tr("cryoet_sim.progress", done=done, n=wish.count))
        part.rename(folder)
    title = tr("cryoet_sim.dataset", seed=wish.seed, angle=wish.values["tilt_range_degrees"])
    record = datasets.register(task, folder, {}, settings, title=title)
    st.query_params["data"] = record.dataset_id
    leave_notice(tr("data_step.added", title=record.title))
