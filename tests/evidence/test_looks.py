"""A panel of the page as a file: the same views, and one sentence for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipelines import cli
from pipelines.config import option
from pipelines.contract import Panel, PanelContext
from pipelines.evidence.calls import Several, Source, inspection_call, training_call, view_call
from pipelines.evidence.looks import Look
from pipelines.jobs import worker
from pipelines.jobs.store import Run
from pipelines.text import Text, verbatim
from pipelines.views import Curve, CurveView, DownloadView, MeshView, TextView, View
from tests.evidence.test_calls import parsed
from tests.jobs import fake_task


@dataclass(frozen=True)
class Controls:
    texts: ClassVar[str] = "fake_config"
    steps: int = option(5, low=1, high=100)


def _told(context: PanelContext, controls: Controls) -> Sequence[View]:
    point = context.operating_point
    words = (
        f"item {context.sample.item_id}, steps {controls.steps}, seed {context.config.seed}, "
        f"threshold {point and point.threshold}, answers {len(context.predictions)}, "
        f"rows {len(context.statistics or ())}, samples {len(context.samples)}"
    )
    curve = Curve(verbatim("line"), np.arange(3.0), np.arange(3.0))
    axes = {"x_label": verbatim("x"), "y_label": verbatim("y")}
    mesh = MeshView(verbatim("turning"), np.zeros((3, 3)), np.array([[0, 1, 2]]))
    taken = DownloadView(verbatim("take"), "../taken.txt", lambda: b"kept")
    told = TextView(verbatim(words))
    return [told, CurveView(verbatim("rises"), **axes, curves=(curve,)), mesh, taken]


@pytest.fixture
def paneled(task, monkeypatch: pytest.MonkeyPatch) -> fake_task.FakeTask:
    panels = (
        Panel("told", "data", _told, "fake", controls=Controls),
        Panel("plain", "data", lambda *_: [TextView(Text("fake.title"))], "fake"),
    )
    monkeypatch.setattr(fake_task.FakeTask, "panels", lambda _: panels)
    return task


@pytest.fixture
def finished(paneled, new_run: Callable[..., Run]) -> Run:
    return worker.work(new_run(steps=2).folder)


def shown(words: list[str], folder: Path) -> str:
    """Run a command line in a folder and return the page that it writes."""
    assert cli.main(words) == 0
    return (folder / "told.html").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


def _words_of(call: Any) -> list[str]:
    import shlex

    return shlex.split(call.shell.replace("\\\n", " "))[3:]


def test_a_view_as_typed_and_in_python_shows_what_the_panel_shows(
    paneled, settings, tmp_path: Path, folder: Path, capsys
) -> None:
    values = fake_task.write_values(tmp_path / "my values.json")
    look = Look("i3", {"seed": 9}, {"steps": 7}, {"threshold": 0.25})
    call = view_call(paneled, "told", Source(str(values)), look)
    page = shown(_words_of(call), folder)
    assert "item i3, steps 7, seed 9, threshold 0.25" in page
    assert "<svg" in page
    assert "turning" in capsys.readouterr().out  # what paper cannot hold is said
    (folder / "told.html").unlink()
    exec(call.python, {})
    assert (folder / "told.html").read_text() == page


def test_a_view_of_a_run_has_its_answers_rows_threshold_and_part(
    finished: Run, paneled, folder: Path, capsys
) -> None:
    scores = finished.scores()
    assert scores
    threshold = scores["operating_point"]["thresholds"]["threshold"]
    call = view_call(paneled, "told", Source("unused"), Look(run=finished))
    page = shown(_words_of(call), folder)
    assert f"item i4, steps 5, seed 0, threshold {threshold}" in page
    assert "samples 2" in page  # those of the validation part alone
    exec(call.python, {})
    assert (folder / "told.html").read_text() == page


def test_a_model_answers_for_the_item_that_is_looked_at(
    finished: Run, paneled, tmp_path: Path, folder: Path, capsys
) -> None:
    data = Source(str(tmp_path / "values.json"))
    look = Look("i1", checkpoint=finished.checkpoint)
    page = shown(_words_of(view_call(paneled, "told", data, look)), folder)
    assert "item i1" in page
    assert "answers 6, rows 0, samples 6" in page
    assert (folder / "taken.txt").read_text() == "kept"  # what a view offers lies beside it


@pytest.mark.parametrize(
    ("words", "english", "french"),
    [
        (["nothing"], "no view “nothing” in fake; there are: told, plain", "vue « nothing »"),
        (["told", "--item", "x9"], "no item “x9” among the 6", "élément « x9 » parmi les 6"),
        (["plain", "--control", "a=1"], "has no settings, got: a", "n’a pas de réglages"),
        (["told", "--threshold", "high"], "is a number, got “high”", "est un nombre"),
        (["told", "--run", "x"], "Name either --data, or --run", "soit --data, soit --run"),
        (["told", "--control", "steps"], "steps", "steps"),
    ],
)
def test_each_mistake_is_one_sentence_in_both_languages(
    paneled, settings, tmp_path: Path, capsys, words: list[str], english: str, french: str
) -> None:
    values = fake_task.write_values(tmp_path / "values.json")
    typed = ["view", "fake", *words, "--data", str(values), "--output", str(tmp_path / "o.html")]
    for language, expected in (("en", english), ("fr", french)):
        assert cli.main(["--language", language, *typed]) == 2
        said = capsys.readouterr().err
        assert expected in said.replace("\N{NO-BREAK SPACE}", " ")
        assert said.count("\n") == 1
    assert not (tmp_path / "o.html").exists()


@pytest.mark.parametrize(
    ("several", "option"),
    [
        (Several("folds", 3), "--folds 3"),
        (Several("folds", 0), "--leave-one-out"),
        (Several("seeds", 2), "--seeds 2"),
        (Several("leak", 2), "--leak-it 2"),
    ],
)
def test_several_trainings_are_typed_as_the_command_line_takes_them(
    task, settings, several: Several, option: str
) -> None:
    from pipelines.studies.commands import wanted

    call = training_call(task, {"steps": 2}, Source("d"), run="runs/s", several=several)
    assert option in call.shell
    assert wanted(parsed(call.shell)) == (several.kind, several.count)
    compile(call.python, "study", "exec")


def test_the_python_of_a_study_trains_its_runs(task, settings, launched, tmp_path: Path) -> None:
    values = fake_task.write_values(tmp_path / "values.json")
    folder = str(tmp_path / "study")
    call = training_call(
        task, {"steps": 2}, Source(str(values)), run=folder, several=Several("seeds", 2)
    )
    found: dict[str, Any] = {}
    exec(call.python, found)
    assert found["study"].status.value == "finished"
    assert len(found["study"].runs()) == 2


def test_an_inspection_as_typed_and_in_python_names_the_items(
    task, settings, tmp_path: Path, capsys
) -> None:
    values = fake_task.write_values(tmp_path / "values.json")
    for source in (Source(str(values)), Source("sample")):
        call = inspection_call(task, source)
        assert cli.main([*_words_of(call), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["items"] == 6
        exec(call.python, {})
        assert "6 items, usable: True" in capsys.readouterr().out


def test_every_item_is_predicted_where_a_task_would_take_some(
    finished: Run, task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    from pipelines.evidence.calls import prediction_call, takes_all

    monkeypatch.setattr(fake_task.FakeTask, "default_items", lambda *_: ["i0"])
    record = finished.dataset()
    assert takes_all(task, record, [item.item_id for item in record.items])
    assert not takes_all(task, record, ["i0"])
    for has_all, count in ((False, 1), (True, 6)):
        call = prediction_call(
            task, {}, Source(str(tmp_path / "values.json")), checkpoint=str(finished.folder),
            output=str(tmp_path / f"out{count}"), has_all=has_all,
        )  # fmt: skip
        assert cli.main([*_words_of(call), "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["items"]) == count
        exec(call.python, {})
        assert len(json.loads((tmp_path / f"out{count}" / "prediction.json").read_text())) == count
        capsys.readouterr()


def test_the_figures_of_a_run_as_typed_are_those_of_its_report(
    finished: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.evidence.calls import scores_call

    scores = finished.scores()
    assert scores
    part = scores["parts"]["validation"]
    call = scores_call(finished)
    assert cli.main([*_words_of(call), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"] == part["metrics"]
    assert found["items"] == len(part["item_ids"])
    exec(call.python, {})
    moved = scores_call(finished, "validation", {"threshold": 0.5})
    assert cli.main([*_words_of(moved), "--json"]) == 0
    assert '"threshold": 0.5' in capsys.readouterr().out
    assert cli.main(["scores", finished.run_id, "--part", "test"]) == 2
    assert "no scored part “test”; it has: validation" in capsys.readouterr().err
