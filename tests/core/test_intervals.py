from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.core.intervals import bootstrap, choose_unit


def mean_of(values: np.ndarray):
    return lambda rows: {"mean": float(values[rows].mean())}


def test_bounds_of_a_mean_are_those_of_its_normal_law() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = bootstrap(np.arange(400), mean_of(values), rounds=2000)["mean"]
    error = values.std() / math.sqrt(400)
    # 2,000 resamplings fix each bound to about 0.1 standard errors
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_rows_of_a_unit_are_drawn_together() -> None:
    units = np.array(["b", "a", "b", "c", "a", "b"])
    seen = []

    def measure(rows):
        seen.append(sorted(units[rows].tolist()))
        return {}

    bootstrap(units, measure, rounds=50)
    for drawn in seen:
        assert drawn.count("a") % 2 == 0
        assert drawn.count("b") % 3 == 0
        assert drawn.count("a") // 2 + drawn.count("b") // 3 + drawn.count("c") == 3


def test_copies_of_items_within_groups_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(2).normal(size=30)
    alone = bootstrap(np.arange(30), mean_of(values))["mean"]
    copies = np.repeat(values, 10)
    together = bootstrap(np.repeat(np.arange(30), 10), mean_of(copies))["mean"]
    assert together == pytest.approx(alone)


def test_the_same_seed_gives_the_same_bounds_and_a_constant_has_no_width() -> None:
    values = np.random.default_rng(3).normal(size=20)
    runs = [bootstrap(np.arange(20), mean_of(values), seed=s)["mean"] for s in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]
    assert bootstrap(np.arange(20), mean_of(np.ones(20)))["mean"] == (1.0, 1.0)


def test_a_figure_that_is_mostly_undefined_has_no_interval() -> None:
    def measure(rows):
        has_first = 0 in rows
        return {"rare": math.nan, "often": 1.0 if has_first else math.nan}

    bounds = bootstrap(np.arange(8), measure)
    assert bounds == {"often": (1.0, 1.0)}  # the first of 8 is drawn in 66 % of the rounds


@pytest.mark.parametrize(
    ("num_groups", "num_items", "unit"), [(5, 10, "group"), (1, 10, "item"), (2, 4, ""), (1, 1, "")]
)
def test_groups_are_resampled_where_there_are_enough(num_groups, num_items, unit) -> None:
    items = np.arange(num_items)
    assert choose_unit(items % num_groups, items) == unit
