"""Every page in every state that a person can meet, drawn without a browser."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import tifffile
from streamlit.testing.v1 import AppTest

import pipelines.tasks
from dashboard.choices import model_title
from dashboard.pages import task as task_page
from dashboard.words import as_plain
from pipelines import config as configs
from pipelines import datasets, registry
from pipelines.contract import DatasetRecord
from pipelines.core.checkpoints import CheckpointCard, CheckpointEntry
from pipelines.errors import DataFormatError
from pipelines.jobs import store, warm, worker
from pipelines.jobs.store import NewRun, Run, RunState, Status
from pipelines.settings import REPOSITORY, Settings, load_settings
from pipelines.tasks.em_membrane import fake
from pipelines.text import (
    LANGUAGES,
    Language,
    Text,
    catalogue_folders,
    format_duration,
    render,
)

TASK = "em_membrane"
STEPS = ("data", "train", "predict", "evaluate")
TASK_PAGE = f"from dashboard.pages.task import show\nshow({TASK!r})"
OTHER_PAGES = ("home", "runs", "checkpoints", "glossary", "lessons")
TIMEOUT_S = 60


def other_page(name: str) -> str:
    return f"from dashboard.pages.{name} import show\nshow()"


# --- a home with little in it ---------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no test see what another one cached, and no page start the warm process."""
    monkeypatch.setattr(warm, "prewarm", lambda *_: None)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


def small_home(folder: Path, patch: pytest.MonkeyPatch) -> Settings:
    """Point the product at `folder`, with a built-in sample of 4 sections of 96 px."""
    patch.setenv("MICROSCOPY_HOME", str(folder))
    patch.setenv("MICROSCOPY_DATA_ROOTS", str(folder))
    patch.setattr(fake, "SAMPLE_SIDE_PX", 96)
    patch.setattr(fake, "SAMPLE_SECTIONS", 4)
    patch.setattr(Settings, "checkpoints", property(lambda self: self.home / "checkpoints"))
    return load_settings()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return small_home(tmp_path / "home", monkeypatch)


@pytest.fixture(scope="module")
def scored_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Hold a home where the baseline was trained and has predicted the built-in sample."""
    with pytest.MonkeyPatch.context() as patch:
        settings = small_home(tmp_path_factory.mktemp("scored"), patch)
        task, record = registry.get_task(TASK), builtin(settings)
        config = configs.parse(task.config_type, {"architecture": "baseline"})
        options = configs.to_json(config)
        split = task.split(record, config)
        trained = worker.work(
            store.create_run(NewRun(TASK, "train", options, record, split), settings).folder
        )
        assert trained.status is Status.FINISHED, trained.log_tail()
        new = NewRun(TASK, "predict", options, record, checkpoint=trained.checkpoint)
        yield worker.work(store.create_run(new, settings).folder)


@pytest.fixture
def scored(scored_home: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Point this test at the scored home; whoever uses it only looks."""
    small_home(scored_home.folder.parents[1], monkeypatch)
    # The answer to a single item comes from a process of its own; here it comes from this one.
    monkeypatch.setattr(warm, "warm_call", call_here)
    return scored_home


def call_here(function_name: str, *arguments: Any) -> Any:
    module, _, name = function_name.partition(":")
    return getattr(sys.modules[module], name)(*arguments)


def builtin(settings: Settings) -> DatasetRecord:
    return datasets.builtin_sample(registry.get_task(TASK), settings)


def training(settings: Settings, state: RunState | None = None, **more: Any) -> Run:
    """Create a training of the built-in sample, and let it stand as `state` says."""
    task, record = registry.get_task(TASK), builtin(settings)
    config = configs.parse(task.config_type, {})
    split = task.split(record, config)
    new = NewRun(TASK, "train", configs.to_json(config), record, split, **more)
    run = store.create_run(new, settings)
    if state is not None:
        store.write_state(run.folder, state)
    return run.reread()


# --- what a person sees ---------------------------------------------------------------------------


def prepare(script: str, language: Language = "en", **query: str) -> AppTest:
    app = AppTest.from_string(f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n{script}")
    app.default_timeout = TIMEOUT_S
    for name, value in {"lang": language, **query}.items():
        app.query_params[name] = value
    return app


def draw(script: str, language: Language = "en", **query: str) -> AppTest:
    return prepare(script, language, **query).run()


def draw_step(step: str, language: Language = "en", **query: str) -> AppTest:
    return draw(TASK_PAGE, language, step=step, **query)


# a card in JSON, and a call in a shell or in Python, are the same in any language
_NO_WORDS = ("UnknownElement", "PlotlyChart", "Json", "Code")
_UNSEEN = {"id", "form_id", "widget_id", "element_id", "user_key", "url", "active_script_hash"}


def seen_words(app: AppTest) -> list[str]:
    """List every string of the page that a person may read: labels, helps, texts, choices."""
    found: list[str] = []
    for root in (app.main, app.sidebar):
        for element in root:
            collect(element, found)
    return found


def collect(node: Any, found: list[str]) -> None:  # blocks and elements of AppTest
    proto = getattr(node, "proto", None)
    if proto is not None and type(node).__name__ not in _NO_WORDS:
        collect_proto(proto, found)
    for child in getattr(node, "children", {}).values():
        collect(child, found)


def collect_proto(message: Any, found: list[str]) -> None:  # a protobuf message
    for field, value in message.ListFields():
        if field.name in _UNSEEN:
            continue
        many = value if field.is_repeated else [value]
        for one in many:
            if field.type == field.TYPE_STRING:
                found.append(one)
            elif field.type == field.TYPE_MESSAGE and hasattr(one, "ListFields"):
                collect_proto(one, found)


AREAS = {path.name.split(".")[0] for folder in catalogue_folders() for path in folder.glob("*.po")}
RAW_ID = re.compile(rf"(?<![\w/.-])(?:{'|'.join(sorted(AREAS))})\.[a-z_]+[\w.]*(?!\w*\()")
FILE_ENDINGS = (".tif", ".json", ".zip", ".png", ".csv", ".py", ".txt")


def raw_ids(words: list[str]) -> list[str]:
    found = [hit for text in words for hit in RAW_ID.findall(text)]
    return [hit for hit in found if not hit.endswith(FILE_ENDINGS)]


def assert_sound(app: AppTest) -> None:
    """No exception, no bug box, no message id in place of words, no placeholder left."""
    assert [e.message for e in app.exception] == []
    assert [e.value for e in app.error] == []
    words = seen_words(app)
    assert raw_ids(words) == []
    assert [w for w in words if re.search(r"\{[a-z_]+(:[a-z]+)?\}", w)] == []


def assert_one_error(app: AppTest, *parts: str) -> str:
    """One sentence is shown, with these parts in it, and nothing of a traceback."""
    assert [e.message for e in app.exception] == []
    assert len(app.error) == 1
    words = str(app.error[0].value)
    for part in parts:
        assert part in words
    assert "Traceback" not in words
    assert 'File "' not in words
    return words


def sentences(app: AppTest) -> set[str]:
    return {w for w in seen_words(app) if len(re.findall(r"[^\W\d_]{2,}", w)) >= 4}


def figures(app: AppTest) -> list[str]:
    """List the measured numbers of the page."""
    drawn = [e.proto.body for e in app.get("html") if "figure-value" in e.proto.body]
    assert drawn
    return re.findall(r'class="figure-value">([^<]*)<', drawn[0])


# --- each page, each language ---------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_of_an_untouched_task_is_drawn(
    settings: Settings, step: str, language: Language
) -> None:
    app = draw_step(step, language)

    assert_sound(app)
    assert render(registry.get_task(TASK).title, language) in app.markdown[0].value


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", OTHER_PAGES)
def test_each_other_page_is_drawn_with_nothing_there(
    settings: Settings, name: str, language: Language
) -> None:
    assert_sound(draw(other_page(name), language))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_drawn_with_a_model_and_scores(
    scored: Run, step: str, language: Language
) -> None:
    app = draw_step(step, language)

    assert_sound(app)
    strip = " ".join(m.value for m in app.markdown[:6])
    assert render(Text("pages.no_score"), language) not in strip


@pytest.mark.parametrize("panel", [p.panel_id for p in registry.get_task(TASK).panels()])
def test_each_panel_is_drawn(scored: Run, panel: str) -> None:
    step = next(p.step for p in registry.get_task(TASK).panels() if p.panel_id == panel)

    assert_sound(draw_step(step, panel=panel))


@pytest.mark.parametrize("step", STEPS)
def test_french_pages_keep_no_english_sentence(scored: Run, step: str) -> None:
    assert sentences(draw_step(step, "en")) & sentences(draw_step(step, "fr")) == set()


@pytest.mark.parametrize("name", OTHER_PAGES)
def test_other_french_pages_keep_no_english_sentence(scored: Run, name: str) -> None:
    english, french = (sentences(draw(other_page(name), lang)) for lang in ("en", "fr"))

    assert english
    assert english & french == set()


def test_figures_have_a_decimal_comma_in_french_and_a_point_in_english(scored: Run) -> None:
    values = {lang: figures(draw_step("evaluate", lang)) for lang in LANGUAGES}

    assert any(re.fullmatch(r"0\.\d+", v) for v in values["en"])
    assert [v.replace(".", ",") for v in values["en"]] == values["fr"]


def test_a_finished_training_leads_on_to_its_figures(scored: Run) -> None:
    (trained,) = (r for r in store.list_runs(load_settings()) if r.request.action == "train")
    app = draw_step("train")
    app.button(key=f"{TASK}.on.evaluate").click().run()

    assert_sound(app)
    assert app.session_state["task.step"] == "evaluate"
    assert app.selectbox(key="choice.model").value == trained.run_id
    assert figures(app)


def test_the_whole_app_opens_on_home(settings: Settings) -> None:
    app = AppTest.from_file(str(REPOSITORY / "streamlit_app.py"), default_timeout=TIMEOUT_S).run()

    assert_sound(app)
    assert app.button(key=f"home.{TASK}.predict").label == render(Text("home.see_result"), "en")


@pytest.mark.parametrize(
    ("path", "lost"), [("", ""), ("lab", ""), ("lab/", ""), ("lab/em%20membrain", "em membrain")]
)
def test_an_address_without_a_page_is_told_on_the_home_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, path: str, lost: str
) -> None:
    """Streamlit says so as well, but in English alone, and not which page."""
    monkeypatch.setattr(type(st.context), "url", f"http://127.0.0.1:8501/{path}")
    options = {"server.baseUrlPath": "lab"}
    get = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: options.get(name) or get(name))
    app = prepare((REPOSITORY / "streamlit_app.py").read_text("utf-8"), "fr").run()
    assert_sound(app)
    expected = render(Text("pages.lost.page", name=lost), "fr", escape=as_plain)
    assert [warning.value for warning in app.warning] == ([expected] if lost else [])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_document_says_which_language_it_is_in(settings: Settings, language: Language) -> None:
    """French was marked as English: read aloud by English rules, and offered for translation."""
    app = prepare((REPOSITORY / "streamlit_app.py").read_text("utf-8"), language).run()
    assert_sound(app)
    scripts = [html.proto.body for html in app.get("html") if "<script>" in html.proto.body]
    assert scripts == [f"<script>document.documentElement.lang = '{language}'</script>"]


def test_a_wrong_variable_is_one_sentence_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each card of the home page said it once more, and what stood outside a frame fell over."""
    monkeypatch.setenv("MICROSCOPY_MAX_RUNS", "many")
    app = AppTest.from_file(str(REPOSITORY / "streamlit_app.py"), default_timeout=TIMEOUT_S).run()

    assert not app.exception
    expected = Text("files.no_number", name="MICROSCOPY_MAX_RUNS", got="many")
    assert [error.value for error in app.error] == [render(expected, "en", escape=as_plain)]


def test_a_run_is_renamed_and_gets_its_name_back(settings: Settings) -> None:
    task, record = registry.get_task(TASK), builtin(settings)
    split = task.split(record, configs.parse(task.config_type, {}))
    run = store.create_run(NewRun(TASK, "train", {}, record, split), settings)
    app = draw(other_page("runs"), "en")
    app.text_input(key=f"rename.{run.run_id}.title").input("  Fly *two*  ")
    app.button(key=f"rename.{run.run_id}").click().run()
    assert_sound(app)
    assert render(run.reread().title, "en") == "Fly *two*"
    app.button(key="runs.undo_rename").click().run()
    assert_sound(app)
    assert run.reread().title == run.title
    assert "runs.undo_rename" not in [button.key for button in app.button]
    assert app.text_input(key=f"rename.{run.run_id}.title").value == ""


@pytest.mark.parametrize("length", [3, 200])
def test_a_name_is_kept_whole_and_its_field_says_how_long_it_may_be(
    settings: Settings, length: int
) -> None:
    """What was typed beyond 80 characters was dropped without a word."""
    run = store.rename_run(training(settings), "é" * length)
    app = draw(other_page("runs"))
    field = app.text_input(key=f"rename.{run.run_id}.title")
    assert (field.value, field.max_chars) == ("é" * length, max(80, length))
    app.button(key=f"rename.{run.run_id}").click().run()
    assert_sound(app)
    assert run.reread().request.title == "é" * length


def test_drawing_every_page_and_step_never_imports_torch(tmp_path: Path) -> None:
    """A page that imports torch opens seconds later, and keeps its memory for good."""
    script = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from streamlit.testing.v1 import AppTest
from pipelines.jobs import warm
warm.prewarm = lambda *_: None
for page in {OTHER_PAGES!r}:
    app = AppTest.from_string(f"from dashboard.pages.{{page}} import show\\nshow()")
    assert not app.run(timeout={TIMEOUT_S}).exception, page
for step in {STEPS!r}:
    app = AppTest.from_string({TASK_PAGE!r})
    app.query_params["step"] = step
    assert not app.run(timeout={TIMEOUT_S}).exception, step
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**_environment(), "MICROSCOPY_HOME": str(tmp_path)},
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


# --- runs in each state ---------------------------------------------------------------------------


def add_curve(run: Run, num_points: int = 3) -> None:
    lines = [
        json.dumps({"step": s, "loss": 1 / s, "steps_per_s": 2.5}) for s in range(1, num_points + 1)
    ]
    (run.folder / store.EVENTS).write_text("\n".join(lines) + "\n")


@pytest.fixture
def held() -> Iterator[Callable[[Run], Run]]:
    """Hold the lock of a run as its worker would."""
    locks = []

    def hold(run: Run) -> Run:
        lock = store.lock_of(run.folder)
        lock.acquire()
        locks.append(lock)
        return run.reread()

    yield hold
    for lock in locks:
        lock.release()


def badge(status: Status, language: Language = "en") -> str:
    return render(status.label, language)


def buttons(app: AppTest, run: Run) -> set[str]:
    prefix = f"run.{run.run_id}."
    return {str(b.key).removeprefix(prefix) for b in app.button if str(b.key).startswith(prefix)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_running_training_shows_progress_curve_pause_and_stop(
    settings: Settings, held: Callable, language: Language
) -> None:
    state = RunState(
        Status.RUNNING, 40, 100, seconds_left=75.0, started=time.time(), host=store.host_name()
    )
    run = held(training(settings, state))
    add_curve(run)

    app = draw_step("train", language)

    assert_sound(app)
    assert badge(Status.RUNNING, language) in " ".join(m.value for m in app.markdown)
    assert buttons(app, run) == {"pause", "stop"}
    facts = " ".join(c.value for c in app.caption)
    assert format_duration(75, language) in facts
    assert render(Text("runs.speed", value=2.5), language) in facts
    assert len(app.get("plotly_chart")) == 1


def test_a_queued_run_says_its_place_and_can_only_be_stopped(
    settings: Settings, held: Callable
) -> None:
    run = held(training(settings, RunState(queue_position=2, host=store.host_name())))

    app = draw_step("train")

    assert_sound(app)
    assert render(Text("runs.queue", n=2), "en") in [c.value for c in app.caption]
    assert buttons(app, run) == {"stop"}


def test_a_failed_run_says_why_in_the_visitors_language(settings: Settings) -> None:
    why = Text("jobs.out_of_memory")
    run = training(settings, RunState(Status.FAILED, error=why, ended=time.time()))

    for language in LANGUAGES:
        app = draw_step("train", language)
        assert assert_one_error(app) == render(why, language)
        assert buttons(app, run) == {"resume"}


def test_a_lost_run_says_what_is_safe_and_offers_to_resume(settings: Settings) -> None:
    """A worker that was killed leaves "running" behind, and no lock."""
    run = training(settings, RunState(Status.RUNNING, 3, 9, host=store.host_name()))

    app = draw_step("train")

    assert_sound(app)
    assert [w.value for w in app.warning] == [render(Text("runs.lost"), "en")]
    assert buttons(app, run) == {"resume"}


@pytest.mark.parametrize("status", [Status.PAUSED, Status.CANCELLED])
def test_a_run_that_was_stopped_can_be_resumed(settings: Settings, status: Status) -> None:
    run = training(settings, RunState(status, 3, 9, ended=time.time()))
    add_curve(run)

    app = draw_step("train")

    assert_sound(app)
    assert buttons(app, run) == {"resume"}
    assert badge(status) in " ".join(m.value for m in app.markdown)


def test_a_finished_run_offers_no_button_and_shows_its_curve(settings: Settings) -> None:
    run = training(settings, RunState(Status.FINISHED, 9, 9, ended=time.time()))
    add_curve(run)

    app = draw_step("train")

    assert_sound(app)
    assert buttons(app, run) == set()
    assert len(app.get("plotly_chart")) == 1


def test_the_two_losses_are_told_apart_by_more_than_colour(settings: Settings) -> None:
    """The validation loss is written first; as second curve the training loss was dashed too."""
    run = training(settings, RunState(Status.FINISHED, 2, 2, ended=time.time()))
    lines = [
        {"step": 0, "validation_loss": 2.0},
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
    ]
    (run.folder / store.EVENTS).write_text("\n".join(json.dumps(line) for line in lines) + "\n")

    (chart,) = draw_step("train").get("plotly_chart")

    dashes = [curve["line"]["dash"] for curve in json.loads(chart.proto.spec)["data"]]
    assert len(dashes) == 2
    assert dashes[0] != dashes[1]


def test_pause_and_stop_are_passed_on_to_the_worker(settings: Settings, held: Callable) -> None:
    state = RunState(Status.RUNNING, 1, 9, started=time.time(), host=store.host_name())
    run = held(training(settings, state))

    app = draw_step("train")
    app.button(key=f"run.{run.run_id}.pause").click().run()
    assert (run.folder / "pause").exists()
    app.button(key=f"run.{run.run_id}.stop").click().run()
    assert (run.folder / "cancel").exists()


# --- the page of runs -----------------------------------------------------------------------------


def test_a_damaged_run_folder_is_named_and_hides_no_other_run(settings: Settings) -> None:
    run = training(settings, RunState(Status.FINISHED, 9, 9))
    damaged = settings.runs / "20260101-000000-dead"
    damaged.mkdir()
    (damaged / store.REQUEST).write_text("{ not json")

    app = draw(other_page("runs"))

    assert_sound(app)
    assert len(app.warning) == 1
    assert damaged.name in app.warning[0].value
    assert app.selectbox(key="runs.open").value == run.run_id


def test_a_run_whose_task_is_gone_says_so_once_and_can_be_deleted(settings: Settings) -> None:
    """Panel, cost, result and evidence each said the same sentence below one another."""
    run = training(settings, RunState(Status.FINISHED, 9, 9))
    request = json.loads((run.folder / store.REQUEST).read_bytes())
    (run.folder / store.REQUEST).write_text(json.dumps({**request, "task_id": "a_task_once"}))

    app = draw(other_page("runs"))

    assert_one_error(app, "a_task_once")
    assert f"delete.{run.run_id}" in [b.key for b in app.button]


def test_a_model_is_called_by_the_whole_folder_that_a_person_named() -> None:
    """`--run runs/first`, as in the README, was called "irst" where models are picked."""
    card = CheckpointCard("em_membrane", {}, {}, run_id="first")
    entry = CheckpointEntry(Path("runs/first/checkpoint"), card, is_builtin=False)

    assert model_title(entry) == render(Text("pages.run_title", run="first"), "en")
    assert store.short_id_of("20260101-000000-7b04") == "7b04"


def test_the_list_says_when_a_run_was_made_before_words_of_any_length(settings: Settings) -> None:
    """In French the day stood last, behind the long words of a score, and was cut off."""
    run = training(settings)
    table = draw(other_page("runs"), "fr").dataframe[0].value
    assert list(table.columns[:3]) == ["Essai", "État", "Lancé"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", table["Lancé"][0])
    assert run.short_id in table["Essai"][0]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("script", "name"),
    [(TASK_PAGE, "data"), (TASK_PAGE, "model"), (TASK_PAGE, "run"), (other_page("runs"), "open")],
)
def test_a_link_to_what_is_gone_says_so(
    scored: Run, script: str, name: str, language: Language
) -> None:
    """What stood there instead was taken for what the link had named."""
    app = draw(script, language, step="evaluate", **{name: "gone*1*"})
    assert_sound(app)
    expected = render(Text(f"pages.lost.{name}", name="gone*1*"), language, escape=as_plain)
    assert expected in [warning.value for warning in app.warning]


def test_a_run_that_another_tab_deleted_is_missed_and_ones_own_is_not(settings: Settings) -> None:
    """The newest run took its place without a word, at the next click."""
    stays, gone, own = (training(settings, RunState(Status.FINISHED, 9, 9)) for _ in range(3))
    app = draw(other_page("runs"), open=gone.run_id)
    store.delete_run(gone)
    app.button(key=f"rename.{gone.run_id}").click().run()
    assert [gone.run_id in warning.value for warning in app.warning] == [True]
    app.selectbox(key="runs.open").select(own.run_id).run()
    app.button(key=f"delete.{own.run_id}").click().run()
    assert_sound(app)
    assert not app.warning
    assert app.query_params["open"] == stays.run_id


def test_the_list_says_when_it_leaves_older_runs_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.pages.runs._MOST_ROWS", 1)
    for _ in range(2):
        training(settings)
    newest = store.list_runs(settings)[0]  # made in one second, either can be it
    app = draw(other_page("runs"))
    assert len(app.dataframe[0].value) == 1
    assert newest.short_id in app.dataframe[0].value["Run"][0]
    expected = render(Text("runs.newest", shown=1, count=2), "en")
    assert expected in [caption.value for caption in app.caption]


def test_a_deleted_run_comes_back_with_undo(settings: Settings) -> None:
    run = training(settings, RunState(Status.FINISHED, 9, 9))
    app = draw(other_page("runs"))

    app.button(key=f"delete.{run.run_id}").click().run()
    assert not run.folder.exists()
    assert_sound(app)

    app.button(key="runs.undo").click().run()
    assert_sound(app)
    assert run.folder.is_dir()
    assert app.selectbox(key="runs.open").value == run.run_id


def test_a_scored_run_leads_to_its_figures(scored: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, str]] = []
    monkeypatch.setattr("dashboard.navigation.open_task", lambda _, to: opened.append(dict(to)))
    app = draw(other_page("runs"), open=scored.run_id)

    app.button(key=f"result.{scored.run_id}").click().run()

    assert_sound(app)
    (address,) = opened
    assert address == {
        "step": "evaluate", "data": scored.request.dataset_id, "run": scored.run_id
    }  # fmt: skip
    figures = draw(TASK_PAGE, **address)
    assert_sound(figures)
    assert figures.selectbox(key="choice.run").value == scored.run_id


def test_a_prediction_without_scores_leads_to_the_model_that_it_used(
    scored: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its own name stood in the address as that of a model, and another model was shown."""
    opened: list[dict[str, str]] = []
    monkeypatch.setattr("dashboard.navigation.open_task", lambda _, to: opened.append(dict(to)))
    scores = scored.folder / "scores.json"
    scores.replace(tmp_path / "scores.json")
    try:
        app = draw(other_page("runs"), open=scored.run_id)
        app.button(key=f"result.{scored.run_id}").click().run()
        shown = draw(TASK_PAGE, **opened[0])
    finally:
        (tmp_path / "scores.json").replace(scores)
    assert opened[0]["model"] == scored.checkpoint.parent.name != scored.run_id
    assert_sound(shown)
    assert shown.selectbox(key="choice.model").value == opened[0]["model"]
    assert not shown.warning


def test_a_run_that_is_worked_on_cannot_be_deleted(settings: Settings, held: Callable) -> None:
    state = RunState(Status.RUNNING, 1, 9, started=time.time(), host=store.host_name())
    run = held(training(settings, state))

    app = draw(other_page("runs"))

    assert_sound(app)
    assert f"delete.{run.run_id}" not in [b.key for b in app.button]


def test_the_address_opens_one_of_the_runs(settings: Settings) -> None:
    older, newer = (training(settings, RunState(Status.FINISHED, 9, 9)) for _ in range(2))

    app = draw(other_page("runs"), open=older.run_id)

    assert older.run_id != newer.run_id
    assert app.selectbox(key="runs.open").value == older.run_id


# --- what is missing, what is broken --------------------------------------------------------------


def test_without_a_model_predict_says_where_to_get_one(settings: Settings) -> None:
    app = draw_step("predict")

    assert_sound(app)
    assert any(render(Text("predict_step.no_model"), "en") in m.value for m in app.markdown)


def test_data_without_labels_cannot_be_trained_on_and_the_page_says_so(settings: Settings) -> None:
    images, _ = fake.generate_stack(5, 64, 1)
    file = settings.home / "unlabelled.tif"
    file.parent.mkdir(parents=True)
    tifffile.imwrite(file, images)
    record = datasets.register(registry.get_task(TASK), file, {}, settings)

    app = draw_step("train", data=record.dataset_id)

    assert_sound(app)
    assert render(Text("train_step.no_labels"), "en") in [i.value for i in app.info]
    assert f"{TASK}.train" not in [b.key for b in app.button]


def test_a_broken_task_is_shown_with_its_cause_and_the_others_work(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tasks" / "broken_task"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("import a_package_that_nobody_has\n")
    known = registry.task_ids()
    monkeypatch.setattr(registry, "task_ids", lambda: (*known, "broken_task"))
    monkeypatch.setattr(
        pipelines.tasks, "__path__", [*pipelines.tasks.__path__, str(folder.parent)]
    )

    app = draw(other_page("home"))

    assert_one_error(app, "broken_task", "a_package_that_nobody_has")
    assert f"home.{TASK}.predict" in [b.key for b in app.button]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_unknown_task_gives_one_sentence(settings: Settings, language: Language) -> None:
    app = draw("from dashboard.pages.task import show\nshow('no_such_task')", language)

    assert_one_error(app, "no_such_task", TASK)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_error_of_the_pipeline_is_one_sentence_and_the_page_stays(
    settings: Settings, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = Text("jobs.out_of_memory")

    def fail(*_: object) -> None:
        raise DataFormatError(why)

    monkeypatch.setitem(task_page._STEPS, "data", fail)
    app = draw_step("data", language)

    assert assert_one_error(app) == render(why, language)
    assert len(app.button_group) >= 1, "the steps are still there"


def test_a_bug_shows_a_mark_that_stands_in_the_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setitem(task_page._STEPS, "data", fail)
    with caplog.at_level(logging.ERROR):
        app = draw_step("data")

    words = assert_one_error(app)
    mark = re.search(r"\b[0-9a-f]{8}\b", words)
    assert mark is not None
    assert "secret detail" not in words
    assert mark.group() in caplog.text
    assert "secret detail" in caplog.text


# --- opening data by path -------------------------------------------------------------------------


def open_path(path: str | Path, language: Language = "en") -> AppTest:
    """Open the page with a path typed in already: AppTest knows no other language when it types."""
    app = prepare(TASK_PAGE, language, step="data")
    app.session_state[f"{TASK}.path"] = str(path)
    return app.run()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_path_outside_the_allowed_roots_gives_a_sentence(
    settings: Settings, tmp_path: Path, language: Language
) -> None:
    outside = tmp_path / "elsewhere.tif"
    outside.write_bytes(b"II*\0")

    app = open_path(outside, language)

    assert_one_error(app, str(outside), str(settings.home))
    assert f"{TASK}.use" not in [b.key for b in app.button]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_path_that_leads_nowhere_gives_a_sentence(settings: Settings, language: Language) -> None:
    assert_one_error(open_path(settings.home / "gone.tif", language), "gone.tif")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_that_is_no_tiff_gives_a_sentence(settings: Settings, language: Language) -> None:
    file = settings.home / "notes.tif"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("these are notes, not pixels")

    assert_one_error(open_path(file, language), "notes.tif")


def test_a_stack_is_reported_and_used(settings: Settings) -> None:
    images, inside = fake.generate_stack(5, 64, 1)
    folder = settings.home / "mine"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "train-volume.tif", images)
    tifffile.imwrite(folder / "train-labels.tif", inside.astype(np.uint8) * 255)

    app = open_path(folder)
    assert_sound(app)
    assert len(app.table) == 2, "one report on the sample, one on what was found"
    app.button(key=f"{TASK}.use").click().run()

    assert_sound(app)
    chosen = app.selectbox(key="choice.data").value
    record = datasets.load_dataset(str(chosen), settings)
    assert len(record.items) == 5
    assert app.query_params["data"] == chosen
    assert app.text_input(key=f"{TASK}.path").value == "", "the form is closed and empty again"
    assert len(app.table) == 1

    for _ in range(2):
        app.button_group(key="task.step").set_value("train").run()
        assert_sound(app)
        assert app.query_params["data"] == chosen, "another step is about the same data"


def test_what_the_model_never_saw_is_shown_before_what_it_learned_from() -> None:
    """The figures of the training set stood first once, and flattered."""
    from dashboard.choices import order_parts

    assert order_parts(["train", "validation", "unseen"]) == ["unseen", "validation", "train"]


def test_a_registered_data_set_keeps_its_report_and_can_be_read_otherwise(
    settings: Settings,
) -> None:
    images, inside = fake.generate_stack(5, 64, 1)
    folder = settings.home / "mine"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "train-volume.tif", images)
    tifffile.imwrite(folder / "train-labels.tif", inside.astype(np.uint8) * 255)
    (folder / "notes.tif").write_text("no pixels")
    record = datasets.register(registry.get_task(TASK), folder, {}, settings)
    assert record.options["membrane_value"] == "low"

    app = draw_step("data", data=record.dataset_id)

    assert_sound(app)
    assert len(app.table) == 1
    assert any("notes.tif" in str(w.value) for w in app.warning), "which file is wrong"
    prefix = f"{TASK}.{record.dataset_id}.reading"
    assert app.button(key=f"{prefix}.apply").disabled
    app.button_group(key=f"{prefix}.membrane_value").set_value("high").run()
    app.button(key=f"{prefix}.apply").click().run()

    assert_sound(app)
    changed = datasets.load_dataset(record.dataset_id, settings)
    assert changed.options["membrane_value"] == "high"
    assert app.query_params["data"] == record.dataset_id
    truth = registry.get_task(TASK).open_dataset(changed)[0].truth
    assert np.array_equal(truth, ~inside[0])
