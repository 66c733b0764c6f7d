from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipelines.core import intervals
from pipelines.core.intervals import (
    Spread,
    Units,
    bootstrap,
    choose_unit,
    choose_units,
    interval_of,
    interval_of_difference,
    joint_draws,
    p_value,
    spread_figures,
    weigh_rows,
    wilson_interval,
)

NOTHING = np.zeros(0)


def mean_of(values: np.ndarray):
    return lambda rows: {"mean": float(values[rows].mean())}


def test_bounds_of_a_mean_are_those_of_its_normal_law() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = bootstrap(np.arange(400), mean_of(values), rounds=20_000)["mean"]
    error = values.std(ddof=1) / math.sqrt(400)
    # 20,000 resamplings fix each bound to about 0.02 standard errors
    assert low == pytest.approx(values.mean() - 1.966 * error, abs=0.07 * error)
    assert high == pytest.approx(values.mean() + 1.966 * error, abs=0.07 * error)


def test_bounds_of_a_mean_of_few_units_are_those_of_students_t() -> None:
    """Leaving out one at a time gives the textbook standard error of a mean exactly."""
    values = np.random.default_rng(4).normal(size=7)
    wanted = stats.t.interval(0.95, 6, values.mean(), stats.sem(values))
    assert bootstrap(np.arange(7), mean_of(values))["mean"] == pytest.approx(wanted)


def test_rows_of_a_unit_are_drawn_together() -> None:
    units = np.array([1, 0, 1, 2, 0, 1])
    seen = []

    def measure(rows):
        seen.append(np.bincount(units[rows], minlength=3).tolist())
        return {}

    weights = np.random.default_rng(0).integers(0, 4, (3, 50)).astype(np.float32)
    weigh_rows(measure, Units("group", units, 3))(weights)
    assert seen == (weights.T * [2, 3, 1]).tolist()


@pytest.mark.parametrize("num_groups", [12, 40])
def test_copies_of_items_within_groups_do_not_narrow_the_interval(num_groups) -> None:
    values = np.random.default_rng(2).normal(size=num_groups)
    alone = bootstrap(np.arange(num_groups), mean_of(values))["mean"]
    copies = np.repeat(values, 10)
    together = bootstrap(np.repeat(np.arange(num_groups), 10), mean_of(copies))["mean"]
    assert together == pytest.approx(alone)


def test_the_same_seed_gives_the_same_bounds_and_a_constant_has_no_width() -> None:
    values = np.random.default_rng(3).normal(size=40)
    runs = [bootstrap(np.arange(40), mean_of(values), seed=s)["mean"] for s in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]
    assert bootstrap(np.arange(20), mean_of(np.ones(20)))["mean"] == (1.0, 1.0)


def test_a_figure_that_is_mostly_undefined_has_no_interval() -> None:
    def measure(rows):
        return {
            "rare": float(rows.sum()) if np.isin([0, 1, 2], rows).all() else math.nan,
            "often": float(rows.sum()) if 0 in rows else math.nan,
        }

    # the first of 40 is drawn in 64 % of the rounds, the first three together in 25 %
    assert set(bootstrap(np.arange(40), measure)) == {"often"}


# --- what is resampled ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_groups", "num_items", "unit", "count"),
    [
        (10, 10, "item", 10),  # each item stands for itself
        (4, 12, "group", 4),
        (1, 30, "block", 10),
        (3, 30, "block", 9),
        (1, 4, "item", 4),
        (2, 4, "item", 4),
        (1, 3, "", 0),
        (1, 1, "", 0),
    ],
)
def test_what_is_resampled_follows_from_groups_and_items(num_groups, num_items, unit, count):
    items = np.arange(num_items)
    found = choose_units(items % num_groups, items)
    assert (found.kind, found.count) == (unit, count)
    assert choose_unit(items % num_groups, items) == unit


def test_a_block_holds_neighbouring_items_of_one_group_with_all_their_rows() -> None:
    items = np.repeat([f"s{i}" for i in range(12)], 3)  # three rows an item
    groups = np.repeat(["a", "b"], 18)
    found = choose_units(groups, items)
    assert found.kind == "block"
    for block in range(found.count):
        rows = np.flatnonzero(found.index == block)
        assert len(set(groups[rows])) == 1
        assert rows.tolist() == list(range(rows[0], rows[-1] + 1))
        assert len(rows) % 3 == 0


# --- from spread to bounds ------------------------------------------------------------------------


def test_bounds_of_few_units_stay_within_the_limits_of_the_figure() -> None:
    spread = Spread(0.95, NOTHING, np.array([0.99, 0.94, 0.97, 0.90]), 4)
    low, high = interval_of(spread, 0.0, 1.0)
    assert 0 < low < 0.95 < high < 1
    plain = interval_of(spread)
    assert plain[1] > 1
    middle = Spread(0.5, NOTHING, np.array([0.52, 0.48, 0.5, 0.5]), 4)
    low, high = interval_of(middle, 0.0, 1.0)
    assert low + high == pytest.approx(1)  # the logit scale is even around a half


@pytest.mark.parametrize(
    "spread",
    [
        Spread(1.0, NOTHING, np.ones(8), 8),  # nothing moves it
        Spread(1.0, NOTHING, np.array([1.0, 1.0, 1.0, 0.9]), 4),  # at its limit
        Spread(math.nan, NOTHING, np.full(8, math.nan), 8),
        Spread(0.5, NOTHING, np.array([0.4, math.nan, 0.6, math.nan, math.nan, 0.1]), 6),
    ],
)
def test_no_interval_is_given_where_resampling_cannot_tell(spread) -> None:
    assert interval_of(spread, 0.0, 1.0) is None


@pytest.mark.parametrize("count", [8, 60])
def test_the_bounds_of_a_difference_exclude_nought_just_where_the_test_finds_one(count) -> None:
    rng = np.random.default_rng(7)
    units = Units("item", np.arange(count), count)
    for shift in np.linspace(0, 1.2, 13):
        first, second = rng.normal(size=count) + shift, rng.normal(size=count)
        gap = np.subtract(*(
            spread_figures(
                weigh_rows(mean_of(v), units), {"mean": float(v.mean())}, units, rounds=200
            )["mean"]
            for v in (first, second)
        ))  # fmt: skip
        low, high = interval_of_difference(gap)
        assert (p_value(gap) < 0.05) == (low > 0 or high < 0)


def test_the_paired_test_of_few_means_is_students() -> None:
    rng = np.random.default_rng(9)
    first, second = rng.normal(0.5, 1, 9), rng.normal(0, 1, 9)
    units = Units("item", np.arange(9), 9)
    a, b = (
        spread_figures(weigh_rows(mean_of(v), units), {"mean": float(v.mean())}, units)["mean"]
        for v in (first, second)
    )
    assert p_value(a - b) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert p_value(a - a) == 1.0


def test_joint_draws_keep_what_two_models_have_in_common() -> None:
    """Two models that fail on the same units move together, and their order stays."""
    hard = np.random.default_rng(5).normal(size=8)
    spreads = [Spread(float(v), NOTHING, v + hard, 8) for v in (0.0, 0.1)]
    draws = joint_draws(spreads, rounds=500)
    assert draws[:, 0].std() > 1
    assert np.allclose(draws[:, 1] - draws[:, 0], 0.1)


def test_wilson_bounds_are_those_of_scipy() -> None:
    for right, count in ((0, 10), (10, 10), (170, 190)):
        wanted = stats.binomtest(right, count).proportion_ci(method="wilson")
        assert wilson_interval(right, count) == pytest.approx((wanted.low, wanted.high))


def test_numbers_of_names_follow_their_first_appearance() -> None:
    assert intervals.number(np.array(["b", "a", "b", "c"])).tolist() == [0, 1, 0, 2]
