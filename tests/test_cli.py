from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.commands import Argument, Command
from pipelines.core.checkpoints import load_card
from pipelines.jobs import store
from pipelines.settings import REPOSITORY, Settings
from pipelines.text import Text, verbatim
from tests.jobs import fake_task
from tests.jobs.conftest import settings, task, wait_until  # noqa: F401 - fixtures

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    task: fake_task.FakeTask,  # noqa: F811
    settings: Settings,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Call:
    """Run a command in this process; returns exit status, stdout and stderr."""
    monkeypatch.setenv("LC_ALL", "C")

    def run(*words: object) -> tuple[int, str, str]:
        code = cli.main([str(w) for w in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def values(tmp_path: Path) -> Path:
    return fake_task.write_values(tmp_path / "values.json")


def test_listing_and_describing_import_no_torch() -> None:
    code = (
        "import sys; from pipelines import cli, registry;"
        "assert cli.main(['list', '--json']) == 0;"
        "assert all(cli.main(['describe', t.id]) == 0 for t in registry.load_tasks()[0]);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, capture_output=True)


def test_a_task_s_own_command_is_called_by_its_name_and_the_task(tmp_path: Path) -> None:
    """`convert em_membrane` once asked for the task a second time."""
    from PIL import Image

    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    words = ["convert", "em_membrane", "--input", f"{tmp_path}/a.png", "--output"]
    assert cli.main([*words, f"{tmp_path}/a.zip"]) == 0
    assert (tmp_path / "a.zip").is_file()


@pytest.mark.parametrize(
    ("name", "value", "words", "said"),
    [
        ("MICROSCOPY_HOME", "{file}", ["inspect", "em_membrane", "--data", "sample"], "{file}"),
        ("MICROSCOPY_HOME", "{file}", ["train", "em_membrane", "--data", "{picture}", "--run",
                                       "{file}/run"], "{file}"),
        ("MICROSCOPY_MAX_UPLOAD_MB", "much", ["runs"], "MICROSCOPY_MAX_UPLOAD_MB is “much”"),
        ("MICROSCOPY_MAX_RUNS", "1.5", ["runs"], "MICROSCOPY_MAX_RUNS is “1.5”"),
    ],
)  # fmt: skip
def test_a_home_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    name: str, value: str, words: list[str], said: str,
) -> None:  # fmt: skip
    from PIL import Image

    (tmp_path / "file").write_text("no folder")
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    places = {"file": tmp_path / "file", "picture": tmp_path / "a.png"}
    monkeypatch.setenv(name, value.format(**places))
    assert cli.main([*(w.format(**places) for w in words), "--language", "en"]) == 2
    err = capsys.readouterr().err
    assert said.format(**places) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convert"], "Missing: TASK; usage: python -m pipelines convert TASK"),
        (["convert", "em_membrane"], "usage: python -m pipelines convert em_membrane --input"),
        (["convert", "nowhere"], "There is no command"),
        (["train", "em_membrane", "--data", "", "--run", "r"], "A value is missing behind"),
    ],
)
def test_a_call_that_lacks_something_shows_the_whole_call(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert cli.main([*words, "--language", "en"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err


def test_describe_names_options_presets_and_metrics(call: Call) -> None:
    code, out, _ = call("describe", "fake")
    assert code == 0
    for word in ("Fake task", "steps", "quick, standard", "accuracy"):
        assert word in out
    assert "0..2147483648" in out, "whole numbers are written whole, not as 2.14748e+09"
    code, out, _ = call("describe", "fake", "--json", "--language", "fr")
    described = json.loads(out)
    assert described["title"] == "Tâche factice"
    assert described["options"][0] | {"label": 0, "help": 0} == {
        "name": "steps", "kind": "int", "default": 5, "low": 1, "high": 100_000, "unit": "",
        "choices": [], "label": 0, "help": 0,
    }  # fmt: skip


def test_train_predict_evaluate_from_files_to_figures(
    call: Call, values: Path, tmp_path: Path
) -> None:
    run, output = tmp_path / "run", tmp_path / "out"
    words = ("--data", values, "--run", run, "--preset", "quick", "--set", "seed=4", "--json")
    code, out, err = call("train", "fake", *words)
    assert code == 0, err
    report = json.loads(out)
    assert report["status"] == "finished"
    assert report["scores"]["parts"]["validation"]["metrics"] == {"accuracy": 1.0}
    card = load_card(run)
    assert (card.config["steps"], card.config["seed"]) == (3, 4)
    assert card.operating_point == {"threshold": 0.5}
    assert card.dataset_title == "values"
    assert card.split["num_items"] == {"train": 4, "validation": 2, "test": 0}
    assert card.run_id == "run"

    code, out, err = call(
        "predict", "fake", "--checkpoint", run, "--input", values, "--output", output
    )
    assert code == 0, err
    assert (output / "prediction.json").is_file()
    assert "training set (4 items)" in out, "figures on items that it was trained on are called so"

    words = ("--prediction", output, "--truth", values)
    code, out, _ = call("evaluate", "fake", *words)
    assert code == 0
    assert "accuracy   1\n" in out, "no resampling moves a perfect score, so it has no interval"
    assert "on new data the figure will be lower" in out
    code, out, _ = call("evaluate", "fake", *words, "--json")
    figures = json.loads(out)
    assert figures["accuracy"] == 1.0
    assert figures["threshold"] == 0.5
    assert figures["threshold_source"] == "scored"
    assert figures["intervals"] == {}
    assert figures["interval_unit"] == "item"


def test_predict_reads_data_without_labels_and_keeps_options_of_the_training(
    call: Call, values: Path, tmp_path: Path
) -> None:
    call("train", "fake", "--data", values, "--run", tmp_path / "run", "--set", "seed=9")
    new = fake_task.write_values(tmp_path / "new.json", 3, seed=1, with_truth=False)
    output = tmp_path / "out"
    words = ("--checkpoint", tmp_path / "run" / "checkpoint", "--input", new, "--output", output)
    code, out, _ = call("predict", "fake", *words, "--json")
    assert code == 0
    assert json.loads(out) == {
        "output": str(output), "items": ["i0", "i1", "i2"], "scores": None
    }  # fmt: skip


def test_options_of_how_files_are_read_reach_the_data_set(
    call: Call, values: Path, tmp_path: Path
) -> None:
    words = ("train", "fake", "--data", values, "--run", tmp_path / "r", "--set", "inverted=yes")
    assert call(*words)[0] == 0
    assert store.read_run(tmp_path / "r").dataset().options == {"inverted": "yes"}
    assert "inverted" not in load_card(tmp_path / "r").config
    code, _, err = call(*words[:-1], "inverted=perhaps")
    assert (code, "“inverted” is “perhaps”" in err) == (2, True)


def test_data_may_be_the_built_in_sample(call: Call, tmp_path: Path) -> None:
    code, _, _ = call("train", "fake", "--data", "sample", "--run", tmp_path / "r", "--json")
    assert code == 0
    assert load_card(tmp_path / "r").is_generated_data


@pytest.mark.parametrize(
    ("words", "english", "french"),
    [
        (["fly"], "There is no command “fly”", "pas de commande « fly »"),
        (["describe"], "Missing: TASK", "Il manque : TASK"),
        (["describe", "other"], "There is no task “other”", "La tâche « other » n’existe pas"),
        (["list", "--verbose"], "no option --verbose", "L’option --verbose n’existe pas"),
        (["list", "more"], "one word too many", "est de trop"),
        (["list", "--json=1"], "takes no value", "ne prend pas de valeur"),
        (["train", "fake", "--data"], "A value is missing", "Il manque une valeur"),
        (["train", "fake", "--run", "r"], "Missing: --data", "Il manque : --data"),
        (["train", "fake", "--data", "/no", "--run", "r"], "nothing at /no", "rien à l’"),
        (["TRAIN", "--preset", "fast"], "no preset “fast”", "pas de préréglage « fast »"),
        (["TRAIN", "--set", "steps"], "NAME=VALUE", "NOM=VALEUR"),
        (["TRAIN", "--set", "steps=x"], "“steps” is “x”", "« steps »"),
        (["TRAIN", "--set", "stps=1"], "no option “stps”", "« stps »"),
        (["TRAIN", "--time-limit", "soon"], "“time_limit_s” is “soon”", "« time_limit_s »"),
        (["TRAIN", "--device", "abacus"], "“device” is “abacus”", "« device »"),
        (["TRAIN", "--preset", "quick", "--preset", "quick"], "given twice", "donné deux fois"),
        (["predict", "fake", "--checkpoint", "/no", "--input", "/no", "--output", "o"],
         "no checkpoint at /no", "pas de modèle enregistré"),
        (["evaluate", "fake", "--prediction", "/no", "--truth", "/no"],
         "no prediction in /no", "pas de prédiction dans /no"),
        (["pause", "nothing"], "“nothing”", "Aucun essai ne porte le nom « nothing »"),
        (["work", "/no"], "no run in /no", "pas d’essai dans /no"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_on_stderr_and_exit_status_2(
    call: Call, values: Path, tmp_path: Path, words: list[str], english: str, french: str
) -> None:
    if words[0] == "TRAIN":
        given = ["train", "fake", "--data", str(values), "--run", str(tmp_path / "r")]
        words = [*given, *words[1:]]
    for language, sentence in (("en", english), ("fr", french)):
        code, out, err = call(*words, "--language", language)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert sentence in err
    assert not (tmp_path / "r").exists()


def test_the_language_follows_the_environment(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert "Énumérer les tâches" in call("--help")[1]
    assert "List the tasks" in call("--help", "--language=en")[1]
    assert "choisissez parmi en, fr" in call("list", "--language", "it")[2]


def test_a_checkpoint_of_another_task_is_refused(call: Call, values: Path, tmp_path: Path) -> None:
    call("train", "fake", "--data", values, "--run", tmp_path / "r")
    card = tmp_path / "r" / "checkpoint" / "card.json"
    card.write_text(card.read_text().replace('"task_id": "fake"', '"task_id": "cells"'))
    code, _, err = call(
        "predict", "fake", "--checkpoint", tmp_path / "r", "--input", values,
        "--output", tmp_path / "o",
    )  # fmt: skip
    assert code == 2
    assert "made for the task “cells”, not for “fake”" in err
    assert not (tmp_path / "o").exists()


def test_a_used_folder_is_refused_and_keeps_what_it_holds(
    call: Call, values: Path, tmp_path: Path
) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.txt").write_text("precious")
    code, _, err = call("train", "fake", "--data", values, "--run", tmp_path / "r")
    assert code == 2
    assert "is not empty" in err
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["thesis.txt"]


def test_data_that_fail_while_training_are_a_mistake_and_a_bug_names_the_log(
    call: Call, values: Path, tmp_path: Path
) -> None:
    words = ("train", "fake", "--data", values, "--run")
    code, _, err = call(*words, tmp_path / "a", "--set", "fault=data")
    assert code == 2
    assert "not a list of values" in err.splitlines()[-1]
    code, _, err = call(*words, tmp_path / "b", "--set", "fault=bug")
    assert code == 1
    assert str(tmp_path / "b" / "log.txt") in err.splitlines()[-1]
    assert "Traceback" not in err
    assert "secret detail" in (tmp_path / "b" / "log.txt").read_text()


def test_a_bug_outside_of_a_run_keeps_its_traceback_in_a_file(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(store, "scan_runs", broken)
    code, _, err = call("runs")
    assert code == 1
    assert err.count("\n") == 1
    log = Path(err.split()[-1].rstrip("."))
    assert "secret detail" in log.read_text()
    log.unlink()


def test_ctrl_c_leaves_a_state_that_resume_finishes(
    values: Path,
    tmp_path: Path,
    settings: Settings,  # noqa: F811
) -> None:
    run = tmp_path / "r"
    options = ["--set", "steps=200", "--set", "step_ms=50", "--language", "fr"]
    words = ["train", "fake", "--data", str(values), "--run", str(run), *options]
    command = [sys.executable, "-m", "tests.jobs.fake_worker"]
    process = subprocess.Popen(
        [*command, *words], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: (run / "state.json").exists() and store.read_run(run).state.done >= 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"resume {run}" in err.splitlines()[-1]
    paused = store.read_run(run)
    assert paused.status is store.Status.PAUSED
    assert paused.checkpoint is not None


def test_runs_lists_every_run_with_its_state_in_the_language_of_the_reader(
    call: Call,
    values: Path,
    tmp_path: Path,
    settings: Settings,  # noqa: F811
) -> None:
    assert "no runs" in call("runs")[1]
    folder = settings.runs / "20260101-000000-abcd"
    call("train", "fake", "--data", values, "--run", folder, "--language", "en")
    code, out, _ = call("runs", "--language", "fr")
    assert code == 0
    assert "terminé" in out
    assert "100\N{NO-BREAK SPACE}%" in out
    assert "Entraînement sur values" in out
    code, _, err = call("resume", "abcd", "--language", "fr")
    assert code == 2
    assert "ne peut pas être repris : il est terminé" in err
    found = json.loads(call("runs", "--json")[1])[0]
    assert (found["status"], found["has_leak"]) == ("finished", False)


def test_a_run_that_leaks_is_marked_wherever_it_is_named(
    call: Call,
    values: Path,
    settings: Settings,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mark of a leak stood on one panel of the dashboard alone."""
    monkeypatch.setattr(store.Run, "has_leak", property(lambda _: True))
    _, out, _ = call("train", "fake", "--data", values, "--run", settings.runs / "20260101-abcd")
    assert "flatter" in out
    assert out.count("flatter") == 1
    assert call("runs")[1].rstrip().endswith("leaks")
    assert "flatter" in call("scores", "abcd")[1]
    assert json.loads(call("runs", "--json")[1])[0]["has_leak"] is True


def test_progress_is_plain_lines_where_there_is_no_terminal(
    call: Call, values: Path, tmp_path: Path
) -> None:
    _, _, err = call("train", "fake", "--data", values, "--run", tmp_path / "r")
    assert "\r" not in err
    assert "Training" in err


def test_a_task_adds_its_own_commands(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def simulate(values: Any, terminal: Any) -> int:
        seen.append(values)
        terminal.say(verbatim("done"))
        return 0

    number = Argument("--count", Text("cli.arg.set"), "N", is_required=True)
    own = Command("simulate", Text("fake.summary"), (number,), simulate)
    monkeypatch.setattr(fake_task.FakeTask, "commands", lambda self: (own,))
    assert call("simulate", "fake", "--count", "3") == (0, "done\n", "")
    assert seen == [{"count": "3"}]
    assert call("simulate", "fake")[0] == 2
    assert "simulate fake" in call("--help")[1]
    assert "simulate" in call("simulat", "fake")[2]


def test_output_cut_off_by_its_reader_is_no_error() -> None:
    """`python -m pipelines --help | head -1` must not end in a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "pipelines", "--help"],
        cwd=REPOSITORY, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_inspect_reports_what_stands_at_a_path(call: Call, values: Path) -> None:
    code, out, _ = call("inspect", "fake", "--data", values, "--json")
    found = json.loads(out)

    assert code == 0
    assert found["is_usable"]
    assert found["items"] > 0
    assert found["problems"] == []


def test_inspect_names_a_path_that_leads_nowhere(call: Call, tmp_path: Path) -> None:
    code, _, err = call("inspect", "fake", "--data", tmp_path / "gone")

    assert code == 2
    assert "gone" in err
    assert len(err.strip().splitlines()) == 1
