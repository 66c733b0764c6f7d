"""What a model cost, and what nobody measured."""

import dataclasses

import pytest

from pipelines.compare.cost import add_costs, cost_of_run
from pipelines.core.files import parse_json, write_json
from pipelines.jobs import store
from pipelines.settings import load_settings
from pipelines.text import Text
from tests.compare.home import add_run, cells, odds


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    return load_settings()


def trained(settings, part):
    run = add_run(settings, cells(odds(40, 1, 0)), "run")
    scores = parse_json((run.folder / "scores.json").read_bytes())
    write_json(run.folder / "scores.json", {**scores, "parts": {part: scores["parts"]["test"]}})
    stage = Text("jobs.stage.predicting")
    store.write_state(run.folder, dataclasses.replace(run.state, stage=stage, speed=12.5))
    return run.reread()


def test_a_training_tells_how_fast_it_predicted_what_was_held_out(settings) -> None:
    assert cost_of_run(trained(settings, "validation")).items_per_s == 12.5


def test_answers_that_training_kept_are_no_speed_of_the_model(settings) -> None:
    """Answers read from a file were counted as if the model had given them."""
    cost = cost_of_run(trained(settings, "out_of_fold"))
    assert cost.items_per_s is None
    assert add_costs([cost, cost]).items_per_s is None
