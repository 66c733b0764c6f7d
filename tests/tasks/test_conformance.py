"""What every task folder must do, whatever its images are: the contract, walked from end to end.

A folder may make itself small for this test with `tests/tasks/<task_id>/tiny.py`, whose `TINY`
holds options of its configuration; everything else comes from the registry.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import actions, config, datasets, registry
from pipelines.contract import (
    DatasetRecord,
    ItemStatistics,
    OperatingPoint,
    Panel,
    PanelContext,
    Sample,
    Task,
)
from pipelines.core.checkpoints import load_card, load_weights
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Run, Status
from pipelines.settings import Settings, load_settings
from pipelines.text import LANGUAGES, Text, render
from pipelines.views import View

SMALL: Mapping[str, Any] = {
    "device": "cpu",
    "max_steps": 2,
    "time_limit_s": 60.0,
    "batch_size": 2,
    "is_pretrained": False,
    "symmetries": "none",
    "seed": 1,
}
"""Options that several tasks have; a task that lacks one is not asked for it."""

pytestmark = pytest.mark.parametrize("task_id", registry.task_ids())


def tiny_config(task: Task) -> Any:  # the task's config dataclass
    """Return a configuration that trains two steps in seconds."""
    names = {info.name for info in config.describe(task.config_type)}
    module = f"tests.tasks.{task.id}.tiny"
    found = importlib.util.find_spec(f"tests.tasks.{task.id}") and importlib.util.find_spec(module)
    own = importlib.import_module(module).TINY if found else {}
    return config.parse(task.config_type, {n: v for n, v in SMALL.items() if n in names} | own)


@dataclass(frozen=True)
class Walked:
    """What one walk through the contract left behind."""

    task: Task
    settings: Settings
    record: DatasetRecord
    run: Run

    @property
    def rows(self) -> ItemStatistics:
        rows = self.run.statistics()
        assert rows is not None
        return rows


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Walked]]:
    """Keep what each task's walk left: training is done once a task."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROSCOPY_HOME", str(tmp_path_factory.mktemp("home")))
        yield {}


@pytest.fixture
def walked(task_id: str, walks: dict[str, Walked]) -> Walked:
    """Write the built-in sample, register it, train two steps, predict, score."""
    if task_id not in walks:
        walks[task_id] = walk(registry.get_task(task_id), load_settings())
    return walks[task_id]


def walk(task: Task, settings: Settings) -> Walked:
    record = datasets.builtin_sample(task, settings)
    wanted = tiny_config(task)
    split = task.split(record, wanted)
    new = NewRun(task.id, "train", config.to_json(wanted), record, split)
    run = worker.work(store.create_run(new, settings).folder)
    assert run.status is Status.FINISHED, (run.error, run.log_tail())
    return Walked(task, settings, record, run)


# --- words and options --------------------------------------------------------------------------


def test_the_folder_names_the_task_and_its_parts(task_id: str) -> None:
    task = registry.get_task(task_id)

    assert task.id == task_id
    assert sum(metric.is_main for metric in task.metrics) == 1
    assert {"quick", "standard", "best"} <= set(task.presets)
    panels = [panel.panel_id for panel in task.panels()]
    assert len(set(panels)) == len(panels)
    for kind in (task.config_type, task.data_options):
        assert is_dataclass(kind)
        assert config.parse(kind, config.to_json(kind())) == kind()


def test_every_preset_is_a_valid_configuration_with_an_estimate(task_id: str) -> None:
    task = registry.get_task(task_id)

    for preset in task.presets.values():
        chosen = config.parse(task.config_type, preset)
        assert task.estimate_seconds(chosen, "cpu") > 0
    quick = config.parse(task.config_type, task.presets["quick"])
    assert task.estimate_seconds(quick, "cpu") <= 300, "a quick look takes minutes on a laptop"


# --- data ---------------------------------------------------------------------------------------


def test_fake_samples_follow_their_seed(task_id: str) -> None:
    task = registry.get_task(task_id)

    first, again, other = (task.fake_samples(2, seed) for seed in (3, 3, 4))

    assert len({sample.item_id for sample in first}) == 2
    assert all(sample.truth is not None for sample in first)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(np.asarray(one.image), np.asarray(two.image))
    assert not np.array_equal(np.asarray(first[0].image), np.asarray(other[0].image))


def test_the_builtin_sample_is_usable_and_called_generated(walked: Walked) -> None:
    found = walked.task.inspect(walked.record.root, walked.record.options)

    assert found.is_usable, [render(p.text, "en") for p in found.problems]
    assert found.facts, "a data set has a report"
    assert walked.record.is_generated
    assert {item.item_id for item in found.items} == {i.item_id for i in walked.record.items}


def test_items_open_by_name_in_the_order_asked_for(walked: Walked) -> None:
    ids = [item.item_id for item in walked.record.items if item.has_truth][:3][::-1]

    samples = walked.task.open_dataset(walked.record, ids)

    assert [samples[i].item_id for i in range(len(ids))] == ids
    assert all(samples[i].group == walked.record.item(ids[i]).group for i in range(len(ids)))
    assert all(samples[i].truth is not None for i in range(len(ids)))


def test_the_parts_of_a_split_are_disjoint_and_labelled(walked: Walked) -> None:
    split = walked.run.split()
    assert split is not None
    parts = [set(items) for items in split.parts.values()]
    labelled = {item.item_id for item in walked.record.items if item.has_truth}

    assert split.parts["train"]
    assert split.parts.get("validation"), "the sample is large enough to validate on"
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert set().union(*parts) <= labelled
    same = walked.task.split(walked.record, tiny_config(walked.task))
    assert same.split_id == split.split_id, "the same options give the same split"


# --- work ---------------------------------------------------------------------------------------


def test_two_steps_leave_a_checkpoint_with_its_card(walked: Walked) -> None:
    checkpoint = walked.run.checkpoint
    assert checkpoint is not None
    card = load_card(checkpoint, task_id=walked.task.id)

    assert card.run_id == walked.run.run_id
    assert card.data_fingerprint == actions.data_fingerprint(walked.record)
    assert card.is_generated_data
    assert walked.task.main_metric.name in card.scores["validation"]
    assert card.operating_point
    weights = load_weights(checkpoint, task_id=walked.task.id)
    assert all(np.isfinite(np.asarray(w.float())).all() for w in weights.values())
    again = config.parse(walked.task.config_type, card.config)
    assert again == tiny_config(walked.task)


def test_a_checkpoint_predicts_the_same_in_a_run_of_its_own(walked: Walked) -> None:
    """Save, load, predict: what training predicted comes out of the files alone as well."""
    stored = walked.task.open_predictions(walked.run.prediction_folder)
    item_ids = tuple(stored)[:1]
    assert walked.run.checkpoint is not None
    card = load_card(walked.run.checkpoint)
    wanted = config.to_json(actions.prediction_config(walked.task, card, {}))
    new = NewRun(
        walked.task.id, "predict", wanted, walked.record, checkpoint=walked.run.checkpoint,
        item_ids=item_ids,
    )  # fmt: skip

    run = worker.work(store.create_run(new, walked.settings).folder)

    assert run.status is Status.FINISHED, (run.error, run.log_tail())
    again = walked.task.open_predictions(run.prediction_folder)
    assert tuple(again) == item_ids
    (item_id,) = item_ids
    assert again[item_id].group == stored[item_id].group
    assert again[item_id].values.keys() == stored[item_id].values.keys()
    # Masks and picks may differ: the operating point is chosen after training has predicted. The
    # rows know every threshold; a pixel may change sides by rounding, hence the tolerance.
    truth = walked.task.open_dataset(walked.record, item_ids)[0].truth
    point = walked.task.best_operating_point(walked.rows)
    first, second = (
        walked.task.reduce(walked.task.statistics(found[item_id], truth), point)
        for found in (stored, again)
    )
    assert second == pytest.approx(first, abs=0.01, nan_ok=True)


def test_predictions_of_the_held_out_items_are_kept(walked: Walked) -> None:
    split = walked.run.split()
    assert split is not None
    held_out = {i for part in ("validation", "test") for i in split.parts.get(part, ())}

    stored = walked.task.open_predictions(walked.run.prediction_folder)

    assert set(stored) == held_out
    for item_id, prediction in stored.items():
        assert prediction.item_id == item_id
        assert all(
            np.isfinite(v).all()
            for v in prediction.values.values()
            if np.issubdtype(np.asarray(v).dtype, np.floating)
        )


# --- scores -------------------------------------------------------------------------------------


def test_figures_come_from_rows_and_lie_in_their_range(walked: Walked) -> None:
    point = walked.task.best_operating_point(walked.rows)

    figures = walked.task.reduce(walked.rows, point)

    assert {metric.name for metric in walked.task.metrics} <= set(figures)
    for metric in walked.task.metrics:
        value = figures[metric.name]
        assert np.isnan(value) or metric.low - 1e-9 <= value <= metric.high + 1e-9, metric.name
    assert np.isfinite(figures[walked.task.main_metric.name])
    assert set(walked.rows.item_ids()) == set(
        walked.task.open_predictions(walked.run.prediction_folder)
    )


def test_rows_may_be_repeated_and_reordered(walked: Walked) -> None:
    """A bootstrap draws rows with repeats: two copies of everything weigh like one."""
    rows = walked.rows
    point = walked.task.best_operating_point(rows)
    once = walked.task.reduce(rows, point)
    twice = walked.task.reduce(ItemStatistics.concatenate([rows, rows]), point)
    turned = walked.task.reduce(rows.take(np.arange(len(rows))[::-1]), point)

    # a calibration error of 1e-11 is a difference of sums near 1, whose order leaves 1e-16
    near = {"rtol": 1e-6, "atol": 1e-12}
    for metric in walked.task.metrics:
        np.testing.assert_allclose(twice[metric.name], once[metric.name], **near)
        np.testing.assert_allclose(turned[metric.name], once[metric.name], **near)


def test_rows_survive_their_file(walked: Walked, tmp_path: Path) -> None:
    walked.rows.save(tmp_path / "rows.npz")

    again = ItemStatistics.load(tmp_path / "rows.npz")

    point = walked.task.best_operating_point(walked.rows)
    assert walked.task.reduce(again, point) == pytest.approx(
        walked.task.reduce(walked.rows, point), nan_ok=True
    )


def test_thresholds_rise_and_the_best_beats_the_others(walked: Walked) -> None:
    task, rows = walked.task, walked.rows
    best = task.best_operating_point(rows)
    sign = 1.0 if task.main_metric.higher_is_better else -1.0
    score = sign * task.reduce(rows, best)[task.main_metric.name]
    offered = task.thresholds(rows)

    assert set(best.thresholds) == set(offered)
    for name, values in offered.items():
        assert (np.diff(values) > 0).all()
        for value in (values[0], values[len(values) // 2], values[-1]):
            point = OperatingPoint({**best.thresholds, name: float(value)})
            other = sign * task.reduce(rows, point)[task.main_metric.name]
            assert np.isnan(other) or other <= score + 1e-3


# --- pictures -----------------------------------------------------------------------------------


def panel_context(walked: Walked, panel: Panel, scratch: Path) -> PanelContext:
    """Return what a page would hand to a panel that stands on an item with truth and prediction."""
    predictions = walked.task.open_predictions(walked.run.prediction_folder)
    ids = [item.item_id for item in walked.record.items]
    point = walked.task.best_operating_point(walked.rows)
    return PanelContext(
        record=walked.record,
        samples=walked.task.open_dataset(walked.record),
        index=ids.index(next(iter(predictions))),
        config=tiny_config(walked.task),
        predictions=predictions,
        operating_point=point,
        statistics=walked.rows,
        scratch=scratch,
    )


def test_every_panel_computes_views_that_can_be_drawn(walked: Walked, tmp_path: Path) -> None:
    from dashboard.renderers import draw

    assert walked.task.panels()
    for panel in walked.task.panels():
        context = panel_context(walked, panel, tmp_path)
        controls = panel.controls() if panel.controls is not None else None
        views = panel.compute(context, controls)
        assert views, panel.panel_id
        for view in views:
            assert isinstance(view, View), panel.panel_id
            is_drawn = draw.dispatch(type(view)) is not draw.dispatch(object)
            assert is_drawn, f"no renderer draws {type(view).__name__}"
            assert_said(view, panel.panel_id)


def assert_said(value: Any, where: str) -> None:
    """Assert that every text below a view has words in both languages."""
    if isinstance(value, Text):
        for language in LANGUAGES:
            words = render(value, language)
            assert words != value.id, f"{where}: {value.id} stands in no catalogue"
            # A place that the picture itself fills in is passed on as its own name.
            passed_on = {str(given) for given in value.params.values()}
            assert set(re.findall(r"{[^}]*}", words)) <= passed_on, f"{where}: {words}"
    elif is_dataclass(value):
        for held in vars(value).values():
            assert_said(held, where)
    elif isinstance(value, (tuple, list)):
        for held in value:
            assert_said(held, where)
    elif isinstance(value, Mapping):
        for held in value.values():
            assert_said(held, where)


def test_a_panel_needs_no_prediction_unless_it_says_so(walked: Walked, tmp_path: Path) -> None:
    for panel in walked.task.panels():
        if "prediction" in panel.needs:
            continue
        context = panel_context(walked, panel, tmp_path)
        bare = PanelContext(
            context.record, context.samples, context.index, context.config, scratch=tmp_path
        )
        assert panel.compute(bare, panel.controls() if panel.controls is not None else None)


def test_an_item_without_truth_can_be_looked_at(walked: Walked, tmp_path: Path) -> None:
    """People bring data without labels; only panels that ask for the truth may need it."""
    samples = walked.task.open_dataset(walked.record)
    first = samples[0]
    blind = [Sample(first.item_id, first.group, first.image, None, first.meta)]
    for panel in walked.task.panels():
        if {"truth", "prediction"} & set(panel.needs):
            continue
        context = PanelContext(walked.record, blind, 0, tiny_config(walked.task), scratch=tmp_path)
        assert panel.compute(context, panel.controls() if panel.controls is not None else None)


def test_a_panel_that_lacks_what_it_needs_says_so(walked: Walked, tmp_path: Path) -> None:
    """The page calls it all the same: an item may be without prediction, a run without rows."""
    samples = walked.task.open_dataset(walked.record)
    first = samples[0]
    blind = [Sample(first.item_id, first.group, first.image, None, first.meta)]
    for panel in walked.task.panels():
        controls = panel.controls() if panel.controls is not None else None
        for shown in (samples, blind):
            context = PanelContext(walked.record, shown, 0, tiny_config(walked.task))
            views = panel.compute(replace(context, scratch=tmp_path), controls)
            assert views, panel.panel_id
            for view in views:
                assert_said(view, panel.panel_id)
