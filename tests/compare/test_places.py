"""One tomogram: its parts stand in for tomograms, and whoever shows the interval says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines import registry
from pipelines.compare.command import comparison_to_json
from pipelines.compare.comparison import compare
from pipelines.compare.entries import entry_of_run
from pipelines.compare.figures import measure_figures
from pipelines.contract import ItemStatistics, OperatingPoint
from pipelines.settings import Settings, load_settings
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, names
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.text import render
from tests.compare.home import add_run

KINDS = names(CHALLENGE)
POINT = OperatingPoint({"threshold": 0.5}, source="validation")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    return load_settings()


def rows_of(share: float, *, seed: int = 0, name: str = "TS_1", count: int = 300) -> ItemStatistics:
    """Find a share of the true picks of a tomogram, and pick as many false ones."""
    truth_rng, rng = np.random.default_rng(len(name)), np.random.default_rng(seed)
    positions = truth_rng.random((count, 3)) * (1800, 6300, 6300)
    kinds = truth_rng.integers(0, len(KINDS), count)
    references = Picks.of_one(name, KINDS, kinds, positions, np.ones(count))
    found = rng.random(count) < share
    false = Picks.of_one(
        name, KINDS, kinds[~found], rng.random((np.count_nonzero(~found), 3)) * (1800, 6300, 6300),
        np.ones(np.count_nonzero(~found)),
    )  # fmt: skip
    candidates = Picks.concatenate([references.take(np.flatnonzero(found)), false])
    return metrics.measure(candidates, references, CHALLENGE, group=name)


def runs(settings, *all_rows):
    made = [
        add_run(settings, rows, f"run {n}", task_id="cryoet_picking", point=POINT)
        for n, rows in enumerate(all_rows)
    ]
    return [entry_of_run(run) for run in made]


def test_two_models_on_one_tomogram_are_compared_by_its_parts(settings) -> None:
    found = compare(runs(settings, rows_of(0.4, seed=1), rows_of(0.9, seed=2)), ["f4"])
    for standing in found.standings:
        low, high = standing.figures.intervals["f4"]
        assert low < standing.figures.values["f4"] < high
    (pair,) = found.pairs_of("f4")
    assert pair.is_different
    assert "run 1" in render(pair.sentence, "en").split(" is better than ")[0]
    assert comparison_to_json(found)["resampled"] == {"unit": "block", "count": 9}
    assert "9 parts of 1 item (spatial blocks)" in render(found.common.items.note, "en")
    assert "9 parties de 1 élément (blocs spatiaux)" in render(found.common.items.note, "fr")


def test_equal_models_on_one_tomogram_are_told_how_many_more_parts_it_takes(settings) -> None:
    found = compare(runs(settings, rows_of(0.7, seed=1), rows_of(0.75, seed=2)), ["f4"])
    words = render(found.pairs_of("f4")[0].sentence, "en")
    assert "cannot be told apart" in words
    assert "more such part" in words


def test_four_tomograms_stand_for_themselves() -> None:
    task = registry.get_task("cryoet_picking")
    tomograms = [rows_of(0.5, seed=n, name="TS" + "_" * n) for n in range(4)]
    three = measure_figures(task, ItemStatistics.concatenate(tomograms[:3]), POINT)
    assert (three.items.units.kind, three.items.units.count) == ("block", 27)
    four = measure_figures(task, ItemStatistics.concatenate(tomograms), POINT)
    assert (four.items.units.kind, four.items.units.count) == ("item", 4)
    assert not four.items.are_places


def test_rows_that_were_kept_without_parts_have_no_interval(settings) -> None:
    new = rows_of(0.5)
    old = ItemStatistics({n: c for n, c in new.columns.items() if not n.endswith("_at")})
    assert measure_figures(registry.get_task("cryoet_picking"), old, POINT).intervals == {}
    found = compare(runs(settings, new, old), ["f4"])
    assert "too few to tell" in render(found.pairs_of("f4")[0].sentence, "en")


def test_intervals_over_parts_hold_the_truth_in_about_95_of_100_tomograms() -> None:
    """Each pick is found with the same chance: 60 tomograms tell 85 from 95 of 100, no more."""
    task = registry.get_task("cryoet_picking")
    held = []
    for seed in range(60):
        rows = rows_of(0.7, seed=seed, name=f"TS_{seed}")
        low, high = measure_figures(task, rows, POINT).intervals["recall"]
        held.append(low <= 0.7 <= high)
    assert np.mean(held) >= 0.85
