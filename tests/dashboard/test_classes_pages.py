"""The steps that classifications draw themselves, without a browser."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.choices import order_parts
from dashboard.custom.classification import beside, cells
from pipelines import actions, datasets
from pipelines import config as configs
from pipelines.core.checkpoints import load_card
from pipelines.jobs import store, warm, worker
from pipelines.jobs.store import NewRun, Run
from pipelines.registry import get_task
from pipelines.settings import REPOSITORY, Settings, load_settings
from pipelines.text import format_number as number

TASK = "own_images"
PAGE = f"from dashboard.pages.task import show\nshow({TASK!r})"
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def scored(home: Path) -> Run:
    """Predict the built-in sample by the demonstration model, thirty pictures of it."""
    settings = Settings(home, (home,), "ada", 10**9)
    task = get_task(TASK)
    record = datasets.builtin_sample(task, settings)
    checkpoint = REPOSITORY / "checkpoints" / TASK / "demo"
    card = load_card(checkpoint)
    config = actions.prediction_config(task, card, {"device": "cpu"})
    new = NewRun(
        task_id=TASK, action="predict", config=configs.to_json(config), record=record,
        checkpoint=checkpoint, parent_run=card.run_id,
        item_ids=tuple(item.item_id for item in record.items[::5]),
    )  # fmt: skip
    return worker.work(store.create_run(new, settings).folder)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch, home: Path, scored: Run) -> Iterator[None]:
    """Answer what the pages ask other processes right here, and let nothing stay cached."""

    def call(_: object, name: str, *arguments: object, **__: object) -> object:
        module, _, function = name.partition(":")
        return getattr(importlib.import_module(module), function)(*arguments)

    monkeypatch.setenv("MICROSCOPY_HOME", str(home))
    monkeypatch.setenv("MICROSCOPY_USER", "ada")
    monkeypatch.setattr(warm, "prewarm", lambda *_: None)
    monkeypatch.setattr(warm.WarmProcess, "call", call)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


def open_step(step: str, language: str = "en", **address: str) -> AppTest:
    page = AppTest.from_string(PAGE, default_timeout=TIMEOUT_S)
    page.query_params["step"] = step
    page.query_params["lang"] = language
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    assert [e.value for e in page.error] == []
    return page


def first_part(run: Run) -> list[str]:
    """Return the items of the part that is shown first."""
    parts = (run.scores() or {})["parts"]
    return list(parts[order_parts(parts)[0]]["item_ids"])


def words(page: AppTest) -> str:
    return "\n".join(str(m.value) for m in (*page.markdown, *page.caption, *page.info))


def counts(page: AppTest) -> list[int]:
    cells = [page.button(key=f"{TASK}.cell.{r}.{c}").label for r in range(3) for c in range(3)]
    return [int(label.strip("*")) for label in cells]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_matrix_holds_every_scored_picture_and_a_cell_opens(scored: Run, language: str) -> None:
    page = open_step("evaluate", language)
    assert sum(counts(page)) == len(first_part(scored))
    page.button(key=f"{TASK}.cell.2.2").click().run()
    assert not page.exception
    assert page.query_params["cell"] in ("2-2", ["2-2"])


def test_the_same_on_the_command_line_is_of_the_part_that_is_shown(scored: Run) -> None:
    """It used to be of the first part, and at the threshold of the model, whatever was shown."""
    parts = (scored.scores() or {})["parts"]
    page = open_step("evaluate")
    for part in parts:
        page.segmented_control(key="evaluate.part").set_value(part).run()
        assert not page.exception
        commands = [c.value for c in page.code if "scores" in c.value]
        assert any(f"--part {part}" in c for c in commands)


@pytest.mark.parametrize(("language", "mark"), [("en", "leaks"), ("fr", "fuite")])
def test_figures_of_a_leaking_split_are_marked_where_they_stand(
    scored: Run, monkeypatch: pytest.MonkeyPatch, language: str, mark: str
) -> None:
    """The mark stood on the panel of the training alone, and the flattered figure without it."""
    page = open_step("evaluate", language)
    assert not page.warning
    monkeypatch.setattr(Run, "has_leak", property(lambda _: True))
    page = open_step("evaluate", language)
    assert len(page.warning) == 1
    assert any(f" · {mark}" in str(m.value) for m in page.markdown)


def test_marked_labels_are_left_out_on_wish(scored: Run) -> None:
    settings = load_settings()
    task = get_task(TASK)
    folder = settings.data / "corrections" / scored.request.dataset_id
    marks = task.label_marks(folder / "labels.ada.json", "ada")
    marks.toggle(first_part(scored)[0])
    try:
        page = open_step("evaluate")
        total = sum(counts(page))
        page.toggle(key=f"{TASK}.leave_out").set_value(True).run()
        assert not page.exception
        assert sum(counts(page)) == total - 1
        page.button(key=f"{TASK}.marks.undo").click().run()
        assert task.label_marks(marks.path, "ada").wrong == ()
        assert sum(counts(page)) == total
    finally:
        marks.path.unlink()


def test_the_fullest_mistakes_are_listed_and_without_any_the_fullest_cell_opens() -> None:
    counts = np.diag([3, 9, 4])
    assert cells._mistakes(counts) == []
    assert cells._fullest(counts) == (1, 1), "an empty cell of no mistakes was opened"
    counts[0, 2], counts[2, 1] = 1, 5
    assert cells._mistakes(counts) == [(2, 1), (0, 2)]
    assert cells._fullest(counts) == (2, 1)


def test_calibration_is_shown_on_wish() -> None:
    page = open_step("evaluate")
    page.segmented_control(key=f"{TASK}.curves_shown").set_value("calibration").run()
    assert not page.exception
    assert "Confidence against reality" in words(page)


@pytest.mark.parametrize("colour", ["label", "decided", "group", "cluster", "loss"])
def test_the_map_can_be_coloured_by_everything(colour: str) -> None:
    page = open_step("explore")
    page.selectbox(key=f"{TASK}.map.colour_by").set_value(colour).run()
    assert not page.exception
    assert "30 pictures by the model" in words(page)


def test_the_wall_of_results_shows_every_class(scored: Run) -> None:
    page = open_step("predict")
    assert f"What run {scored.short_id} says of 30 pictures" in words(page)
    page.segmented_control(key=f"{TASK}.predict.part").set_value("dropped").run()
    assert not page.exception
    assert "What does the model say of your picture?" in words(page)


# --- the baseline beside a network ----------------------------------------------------------------


@pytest.fixture
def network(home: Path) -> Iterator[Run]:
    """Train a network for a moment on a split of the built-in sample."""
    settings = Settings(home, (home,), "ada", 10**9)
    task = get_task(TASK)
    record = datasets.builtin_sample(task, settings)
    options = {"epochs": 1, "image_px": 32, "width": 0.25, "max_images": 60, "device": "cpu"}
    config = configs.parse(task.config_type, {**options, "class_weights": False, "seed": 3})
    new = NewRun(
        task_id=TASK, action="train", config=configs.to_json(config), record=record,
        split=task.split(record, config), seed=3,
    )  # fmt: skip
    run = worker.work(store.create_run(new, settings).folder)
    yield run
    for made in store.list_runs(settings, TASK):
        if made.request.action == "train":
            store.delete_run(made)


@pytest.mark.parametrize("spoken", ["en", "fr"])
def test_one_click_sets_the_baseline_of_the_same_split_beside_a_network(
    network: Run, monkeypatch: pytest.MonkeyPatch, spoken: str
) -> None:
    """It was a run of its own, by options that had to be found, on a split of its own."""
    monkeypatch.setattr(beside.local, "launch", lambda run, _: worker.work(run.folder))
    page = open_step("evaluate", spoken)
    page.button(key=f"{TASK}.beside.start").click().run()
    page.run()
    assert not page.exception
    newest = store.list_runs(load_settings(), TASK)[0]
    split, config = network.split(), newest.request.config
    assert newest.split() == split
    assert (config["network"], config["seed"], config["class_weights"]) == ("statistics", 3, False)
    assert config["image_px"] == get_task(TASK).config_type().image_px, "its own picture size"

    assert page.session_state["choice.run"] == network.run_id, "the page stays with the network"
    table = next(t.value for t in page.dataframe if len(t.value.columns) == 3)
    for column, run in ((1, network), (2, newest)):
        figures = (run.scores() or {})["parts"]["validation"]["metrics"]
        assert table.iloc[0, column].startswith(number(figures["auc"], spoken)), "the same pictures"


def test_the_baseline_shows_the_network_and_is_offered_none(network: Run) -> None:
    task = get_task(TASK)
    options = task.baseline_beside(network.request.config)
    assert task.baseline_beside(options) is None
    new = NewRun(
        task_id=TASK, action="train", config=options, record=network.dataset(),
        split=network.split(),
    )  # fmt: skip
    baseline = worker.work(store.create_run(new, load_settings()).folder)
    for run in (network, baseline):
        page = open_step("evaluate", run=run.run_id)
        assert f"{TASK}.beside.compare" in [b.key for b in page.button]
        assert f"{TASK}.beside.start" not in [b.key for b in page.button]
