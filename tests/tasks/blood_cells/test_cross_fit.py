"""Without a validation part the baseline holds every subject out once, and learns from all."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import actions, datasets
from pipelines import config as configs
from pipelines.compare.entries import entry_of_run
from pipelines.contract import OperatingPoint, PanelContext
from pipelines.core.checkpoints import load_card
from pipelines.core.classification.panels import LeakControls
from pipelines.evidence.facts import gather
from pipelines.evidence.report import limits_of
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Run, Status
from pipelines.registry import get_task
from pipelines.settings import load_settings
from pipelines.tasks.blood_cells import fake
from pipelines.text import render


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fake, "NUM_CELLS", 48)
    task, settings = get_task("blood_cells"), load_settings()
    record = datasets.builtin_sample(task, settings)
    config = configs.parse(task.config_type, {"image_px": 96})
    split = task.split(record, config)
    assert split.parts["validation"] == ()
    new = NewRun(task.id, "train", configs.to_json(config), record, split)
    run = worker.work(store.create_run(new, settings).folder)
    assert run.status is Status.FINISHED, run.log_tail()
    return run


def test_every_cell_is_scored_by_a_model_without_its_subject(trained: Run) -> None:
    scores, rows = trained.scores(), trained.statistics()
    assert scores is not None
    assert rows is not None
    part = scores["parts"]["out_of_fold"]
    assert len(part["item_ids"]) == 48
    assert part["interval_unit"] == "group"
    assert part["metrics"]["auc"] > 0.7  # the generated classes differ, but not in colour
    assert trained.checkpoint is not None
    card = load_card(trained.checkpoint)
    assert card.extra["num_train"] == 48
    assert card.num_parameters > 0
    assert card.threshold_source == "out_of_fold"
    ids = np.load(trained.checkpoint / "held_out.npz")["ids"].tolist()
    assert sorted(ids) == sorted(part["item_ids"])


def test_what_a_held_out_cell_resembles_is_of_other_subjects(trained: Run) -> None:
    """Cells of one subject resemble one another, and its model had seen none of them."""
    predictions = get_task("blood_cells").open_predictions(trained.prediction_folder)
    group_of = {item.item_id: item.group for item in trained.dataset().items}
    for item_id, prediction in predictions.items():
        nearest = [str(name) for name in prediction.values["nearest"]]
        assert len(nearest) == 6
        assert group_of[item_id] not in {group_of[name] for name in nearest}


def test_a_threshold_set_later_leaves_the_cells_held_out(trained: Run) -> None:
    """They stand in the training part of the split, but were not answered by the whole model."""
    actions.rescore(trained, OperatingPoint({"threshold": 0.25}, source="user"))
    scores = trained.scores()
    assert scores is not None
    assert list(scores["parts"]) == ["out_of_fold"]
    assert scores["operating_point"]["thresholds"] == {"threshold": 0.25}


def test_its_report_says_that_every_group_was_held_out_once(trained: Run) -> None:
    words = [render(text, "en") for text in limits_of(gather(trained))]
    assert any("models that had not seen the item’s group" in sentence for sentence in words)
    assert not any("leaks" in sentence for sentence in words)
    entry = entry_of_run(trained)
    assert len(entry.held_out) == 48
    assert entry.honest == []


def test_report_and_model_card_name_a_leak_among_the_limits(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "has_leak", property(lambda _: True))
    words = [render(text, "en") for text in limits_of(gather(trained))]
    assert any("split that leaks" in sentence for sentence in words)


def test_the_leak_check_sets_cells_aside_where_training_does_not(trained: Run) -> None:
    """With nothing held out it used to find no leak in a split at random."""
    task, record = get_task("blood_cells"), trained.dataset()
    panel = next(panel for panel in task.panels() if panel.panel_id == "leaks")
    context = PanelContext(
        record=record, samples=task.open_dataset(record), index=0, config=task.config_type()
    )
    found = {
        is_random: [
            view.title.id for view in panel.compute(context, LeakControls(check_random=is_random))
        ]
        for is_random in (False, True)
    }
    assert found[False][0] == found[True][0] == "classes.leak.cross_fitted"
    assert "classes.leak.subject" not in found[False]
    assert "classes.leak.subject" in found[True]


def test_a_network_gets_a_part_to_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fake, "NUM_CELLS", 24)
    task = get_task("blood_cells")
    record = datasets.builtin_sample(task, load_settings())
    config = configs.parse(task.config_type, {"network": "resnet18", "image_px": 64})
    assert task.split(record, config).parts["validation"]


def test_heavy_is_the_recipe_that_holds_on_new_subjects() -> None:
    """It trained a network for hours that did worse than the default; that has its own name now."""
    task = get_task("blood_cells")
    for name in ("quick", "standard", "best"):
        assert task.config_type(**task.presets[name]).network == "statistics"
    assert task.config_type(**task.presets["network"]).network == "symmetric"
    assert "0.79" in render(task.preset_help("network"), "en")
    assert "0,79" in render(task.preset_help("network"), "fr")
    assert "Standard" in render(task.preset_help("best"), "en")
