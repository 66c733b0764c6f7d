"""Data sets are taken off the list and brought back on the Data step."""

from pathlib import Path

import numpy as np
import pytest
import streamlit as st
import tifffile
from streamlit.testing.v1 import AppTest

from pipelines import datasets, registry
from pipelines.contract import DatasetRecord
from pipelines.jobs import store, warm
from pipelines.jobs.store import NewRun
from pipelines.settings import Settings, load_settings
from pipelines.tasks.em_membrane import fake
from pipelines.tasks.em_membrane.config import Config

TASK = "em_membrane"
PAGE = f"from dashboard.pages.task import show\nshow({TASK!r})"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fake, "SAMPLE_SIDE_PX", 96)
    monkeypatch.setattr(fake, "SAMPLE_SECTIONS", 4)
    monkeypatch.setattr(warm, "prewarm", lambda *_: None)
    st.cache_resource.clear()
    return load_settings()


@pytest.fixture
def uploaded(settings: Settings) -> DatasetRecord:
    task = registry.get_task(TASK)
    folder = datasets.new_upload_folder(settings)
    images, inside = fake.generate_stack(3, 96, 7)
    for name, stack in (("train-volume", images), ("train-labels", inside.astype(np.uint8) * 255)):
        tifffile.imwrite(folder / f"{name}.tif", stack, photometric="minisblack")
    return datasets.register(task, folder, {}, settings, title="*mine*")


def page(dataset_id: str) -> AppTest:
    app = AppTest.from_string(PAGE, default_timeout=120)
    app.query_params["data"] = dataset_id
    return app.run()


def test_a_data_set_is_deleted_with_its_upload_and_brought_back(uploaded, settings) -> None:
    app = page(uploaded.dataset_id)
    app.button(key=f"{TASK}.{uploaded.dataset_id}.delete").click().run()
    assert not app.exception
    assert app.session_state["choice.data"] != uploaded.dataset_id
    assert not uploaded.root.exists()

    app.button(key=f"{TASK}.undo").click().run()
    assert not app.exception
    assert app.session_state["choice.data"] == uploaded.dataset_id
    assert uploaded.root.is_dir()
    assert f"{TASK}.undo" not in [button.key for button in app.button]


def test_data_that_a_run_needs_are_not_deleted(uploaded, settings) -> None:
    split = registry.get_task(TASK).split(uploaded, Config())
    run = store.create_run(NewRun(TASK, "train", {}, uploaded, split), settings)
    app = page(uploaded.dataset_id)
    app.button(key=f"{TASK}.{uploaded.dataset_id}.delete").click().run()
    assert [run.short_id in error.value for error in app.error] == [True]
    assert uploaded.root.is_dir()
    assert uploaded in datasets.list_datasets(settings)


def test_the_built_in_sample_has_no_button(settings) -> None:
    app = AppTest.from_string(PAGE, default_timeout=120).run()
    assert not [b.key for b in app.button if b.key and b.key.endswith(".delete")]
