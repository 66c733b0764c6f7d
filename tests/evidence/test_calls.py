from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pipelines import cli, commands, config, registry
from pipelines.evidence.calls import (
    Source,
    prediction_call,
    run_call,
    training_call,
)
from pipelines.jobs import store, worker
from tests.jobs import fake_task


def parsed(shell: str) -> dict:
    name, *words = shlex.split(shell.replace("\\\n", " "))[3:]
    known = {command.name: command for command in cli.commands()}
    return commands.parse(known[name], words)


@pytest.mark.parametrize("task_id", registry.task_ids())
def test_a_training_as_typed_gives_the_configuration_back(task_id: str) -> None:
    """For every task, with a preset and with options beside it."""
    task = registry.get_task(task_id)
    for preset in ("", *task.presets):
        wanted = config.parse(task.config_type, {**task.presets.get(preset, {}), "device": "cpu"})
        call = training_call(
            task, config.to_json(wanted), Source("my data"), run="runs/a b", preset=preset
        )
        values = parsed(call.shell)
        assert values["data"] == "my data"
        assert values["run"] == "runs/a b"
        shorthands = {"device": "device", "time_limit": "time_limit_s"}
        options = {n: values[k] for k, n in shorthands.items() if k in values}
        options |= dict(pair.split("=", 1) for pair in values.get("set", ()))
        assert config.parse(task.config_type, {**task.presets.get(preset, {}), **options}) == wanted
        compile(call.python, task_id, "exec")


def test_the_python_of_a_call_does_what_the_page_does(
    task,
    settings,
    tmp_path: Path,
) -> None:
    values = fake_task.write_values(tmp_path / "values.json")
    call = training_call(task, {"steps": 3}, Source(str(values)), run=str(tmp_path / "run"))
    exec(call.python, {})
    run = store.read_run(tmp_path / "run")
    assert run.request.config["steps"] == 3
    assert run.scores()
    again = prediction_call(
        task, {}, Source(str(values)), checkpoint=str(run.folder), output=str(tmp_path / "out")
    )
    exec(again.python, {})
    assert (tmp_path / "out" / "prediction.json").is_file()


def test_a_run_is_written_with_its_own_data_and_how_they_are_read(
    task,
    settings,
    new_run,
    capsys,
) -> None:
    run = worker.work(new_run(steps=2, seed=7).folder)
    values = parsed(run_call(run).shell)
    assert values["data"] == str(run.dataset().root / "values.json")
    assert set(values["set"]) == {"steps=2", "seed=7"}
    options = [word for pair in values["set"] for word in ("--set", pair)]
    again = ["train", "fake", "--data", values["data"], "--run", f"{run.folder}-again", *options]
    assert cli.main(again) == 0


def test_repeat_and_pack_from_the_command_line(task, settings, new_run, capsys, tmp_path) -> None:
    import json

    run = worker.work(new_run(steps=2).folder)
    words = ["repeat", run.run_id, "--run", str(tmp_path / "again"), "--json"]
    assert cli.main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["is_same"] is True
    assert report["folder"] == str(tmp_path / "again")
    assert report["scores"][0]["difference"] == 0
    assert cli.main(["pack", run.run_id, "--output", str(tmp_path / "pack"), "--json"]) == 0
    packed = json.loads(capsys.readouterr().out)
    assert Path(packed["archive"]).is_file()
    assert packed["onnx"] is None
    assert cli.main(["pack", "nothing", "--output", str(tmp_path / "p2")]) == 2
    assert "nothing" in capsys.readouterr().err
    assert cli.main(["repeat", run.run_id, "--run", str(tmp_path / "again")]) == 2


def test_what_is_handed_on_and_brought_in_is_typed_as_the_command_line_takes_it(
    task, settings, new_run, tmp_path, monkeypatch, capsys
) -> None:
    from pipelines.evidence import calls

    run = worker.work(new_run(steps=2).folder)
    monkeypatch.chdir(tmp_path)
    exec(calls.handing_on_call(run).python, {})
    (archive,) = (tmp_path / "evidence").glob("*.zip")
    store.delete_run(run)
    lines = [
        calls.unpacking_call(str(archive)),
        calls.checkpoint_import_call(str(archive), title="B"),
    ]
    lines += [calls.checkpoint_call(str(run.folder / "checkpoint"), "mine")]
    for call in lines:
        for line in call.shell.split("\npython "):
            parsed(line if line.startswith("python") else f"python {line}")
        exec(call.python, {})
    assert (tmp_path / "mine.zip").is_file()
    assert not (run.folder / "checkpoint").exists()  # the last of them deletes
