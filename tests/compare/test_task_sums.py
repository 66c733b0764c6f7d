"""What a task offers for fast resampling agrees with its `reduce`, on any subset of items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipelines import registry
from pipelines.compare.figures import ScoredItems, figures_of_items, measure_figures
from pipelines.contract import ItemStatistics, OperatingPoint
from pipelines.core.classification.statistics import make_rows
from pipelines.tasks.cryoet_picking import metrics as picks
from pipelines.tasks.em_membrane import metrics as membranes

Make = Callable[[int], ItemStatistics]


def cells(num_classes: int) -> Make:
    def make(count: int) -> ItemStatistics:
        rng = np.random.default_rng(num_classes)
        truth = rng.integers(0, num_classes, count)
        logits = rng.normal(size=(count, num_classes)) + 1.5 * np.eye(num_classes)[truth]
        odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        names = [f"i{n:03d}" for n in range(count)]
        return make_rows(names, names, truth, odds.round(2))

    return make


def sections(count: int) -> ItemStatistics:
    rng = np.random.default_rng(3)
    truth = rng.random((count, 24, 24)) > 0.2
    truth[0] = False  # a section without a cell has no V_Rand
    probability = np.clip(truth * 0.6 + rng.random((count, 24, 24)) * 0.5, 0, 1)
    return membranes.measure(probability, truth, [0.3, 0.5, 0.7])


def tomograms(count: int) -> ItemStatistics:
    rng = np.random.default_rng(5)
    kinds = ("beta", "alpha", "unscored")
    size = len(kinds) * len(picks.THRESHOLDS)
    parts = []
    for n in range(count):
        references = np.repeat(rng.integers(0, 9, len(kinds)), len(picks.THRESHOLDS))
        tp = rng.integers(0, references + 1)
        parts.append(ItemStatistics({
            "item_id": np.full(size, f"T{n}"), "group": np.full(size, f"T{n}"),
            "kind": np.repeat(kinds, len(picks.THRESHOLDS)),
            "weight": np.repeat([1.0, 2.0, 0.0], len(picks.THRESHOLDS)),
            "threshold": np.tile(picks.THRESHOLDS, len(kinds)),
            "tp": tp, "fp": rng.integers(-1, 5, size), "fn": references - tp,
        }))  # fmt: skip
    return ItemStatistics.concatenate(parts)


CASES = [
    ("blood_cells", cells(2), OperatingPoint({"threshold": 0.42})),
    ("own_images", cells(3), OperatingPoint({"threshold": 0.5})),
    ("em_membrane", sections, OperatingPoint({"threshold": 0.5})),
    ("cryoet_picking", tomograms, OperatingPoint({"alpha": 0.31, "beta": 0.5, "unscored": 0.5})),
]


@pytest.mark.parametrize(("task_id", "make", "point"), CASES)
def test_weighted_sums_and_ranks_are_the_figures_of_repeated_items(task_id, make, point) -> None:
    task = registry.get_task(task_id)
    rows = make(12)
    items = ScoredItems.of_rows(rows)
    spreads = measure_figures(task, rows, point).spreads
    assert {m.name for m in task.metrics} & set(task.reduce(rows, point)) <= set(spreads)
    for unit in range(items.units.count):
        kept = np.array(items.item_ids)[items.units.index != unit]
        wanted = task.reduce(rows.of_items(kept), point)
        for name, spread in spreads.items():
            assert spread.left_out[unit] == pytest.approx(wanted[name], abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(("task_id", "make", "point"), CASES)
def test_figures_of_single_items_are_those_of_reduce(task_id, make, point) -> None:
    task = registry.get_task(task_id)
    rows = make(6)
    item_ids, found = figures_of_items(task, rows, point)
    assert item_ids == rows.item_ids()
    for place, item in enumerate(item_ids):
        wanted = task.reduce(rows.of_items([item]), point)
        for name, values in found.items():
            assert values[place] == pytest.approx(wanted[name], nan_ok=True)


@pytest.mark.parametrize(("task_id", "make", "point"), CASES)
def test_truths_of_items_follow_from_the_labels_alone(task_id, make, point) -> None:
    task = registry.get_task(task_id)
    truths = task.truths(make(6))
    assert truths is not None
    assert tuple(truths) == make(6).item_ids()
    assert len({len(numbers) for numbers in truths.values()}) == 1


@pytest.mark.parametrize(("task_id", "make", "point"), CASES)
def test_items_have_a_word_in_both_languages(task_id, make, point) -> None:
    from pipelines.text import render

    task = registry.get_task(task_id)
    words = {render(task.items_text(2), language) for language in ("en", "fr")}
    assert len(words) == 2
    assert all(word.startswith("2 ") and word.endswith("s") for word in words)


def test_an_average_of_rows_is_that_of_the_probabilities() -> None:
    task = registry.get_task("own_images")
    first, second = cells(3)(9), cells(3)(9)
    column = np.roll(second.columns["p_0"], 1)
    second = ItemStatistics({**second.columns, "p_0": column})
    averaged = task.average_rows([first, second])
    assert averaged.columns["p_0"] == pytest.approx((first.columns["p_0"] + column) / 2)
    assert averaged.columns["truth"].tolist() == first.columns["truth"].tolist()
