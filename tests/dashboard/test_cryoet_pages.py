"""The picking task's own parts of the page: simulate data, start from weights at hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines import datasets
from pipelines.jobs import warm
from pipelines.settings import REPOSITORY, load_settings
from pipelines.tasks.cryoet_picking.config import Config

SIMULATE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from dashboard.custom.cryoet_simulation import draw_simulation
from pipelines.registry import get_task

draw_simulation(get_task("cryoet_picking"))
"""
START = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import streamlit as st
from dashboard.custom.cryoet_start import draw_start
from dashboard.steps.panels import task_values
from pipelines.registry import get_task

draw_start(get_task("cryoet_picking"))
st.session_state["values"] = task_values(get_task("cryoet_picking"))
"""


EXPLORE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from dashboard.choices import read_choices
from dashboard.custom.cryoet_picking import show_explore
from pipelines.registry import get_task

task = get_task("cryoet_picking")
show_explore(task, read_choices(task))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    return tmp_path


def call_here(name: str, *arguments: Any, timeout_s: float = 0.0) -> Any:
    """Run what the warm process would run."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)(*arguments)


def test_what_is_simulated_becomes_a_data_set_that_is_chosen(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "warm_call", call_here)
    app = AppTest.from_string(SIMULATE, default_timeout=60)
    key = "cryoet_picking.simulation"
    for name, value in {"count": 2, "depth_vox": 32, "side_vox": 48, "num_vesicles": 0}.items():
        app.session_state[f"{key}.{name}"] = value
    app.run()
    app.button(key=f"{key}.start").click().run()

    assert not app.exception
    (record,) = datasets.list_datasets(load_settings(), "cryoet_picking")
    assert [item.item_id for item in record.items] == ["TS_1", "TS_2"]
    assert all(item.has_truth for item in record.items)
    assert "imul" in record.title, "simulated data are called so"
    assert app.query_params["data"] in (record.dataset_id, [record.dataset_id])
    assert not list((home / "data" / "simulated").glob("*.part"))


def test_a_folder_of_maps_that_is_not_there_is_one_sentence(home: Path) -> None:
    app = AppTest.from_string(SIMULATE, default_timeout=60)
    app.session_state["cryoet_picking.simulation.maps"] = str(home / "maps")
    app.run()

    assert not app.exception
    assert len(app.error) == 1
    assert not app.button, "nothing can be started"


def test_the_network_follows_the_weights_that_a_training_starts_from(home: Path) -> None:
    app = AppTest.from_string(START, default_timeout=60).run()
    assert app.session_state["values"]["initial_checkpoint"] == Config().initial_checkpoint == ""

    app.selectbox(key="cryoet_picking.start_from").set_value("demo").run()
    values = app.session_state["values"]
    assert Path(values["initial_checkpoint"]).name == "demo"
    assert (Path(values["initial_checkpoint"]) / "weights.safetensors").is_file()
    assert values["architecture"] == "light"
    assert not values["pretrained"], "one start at a time"

    app.selectbox(key="cryoet_picking.start_from").set_value("").run()
    assert app.session_state["values"]["initial_checkpoint"] == ""
    assert app.session_state["values"]["pretrained"]


def test_true_picks_are_called_so_and_coloured_by_kind(home: Path) -> None:
    """They stood there as "found" by nobody, all in one colour, with an F4 of 1."""
    app = AppTest.from_string(EXPLORE, default_timeout=120).run()
    assert not app.exception
    assert any("true picks" in caption.value.lower() for caption in app.caption)
    (colours,) = [g for g in app.button_group if str(g.key).endswith("colour_by")]
    assert colours.value in ("kind", ["kind"])
    assert any(box.label == "Model" for box in app.selectbox), "no need to leave the step for it"
