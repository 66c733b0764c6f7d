from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.core import resampling
from pipelines.core.ranking import area_under_roc
from pipelines.core.resampling import (
    RankedScores,
    SummedTable,
    all_of,
    draw_weights,
    leave_one_out_weights,
    mean_of,
    resample,
)


def ranked(num: int, seed: int = 0, decimals: int | None = None):
    rng = np.random.default_rng(seed)
    is_positive = rng.random(num) < 0.4
    scores = rng.normal(size=num) + 1.2 * is_positive
    return is_positive, scores if decimals is None else scores.round(decimals)


@pytest.mark.parametrize("decimals", [None, 1])  # without ties and with many
@pytest.mark.parametrize("num", [60, 5000])  # a cell a score, and scores that share cells
def test_weighted_areas_are_those_of_repeated_items(num, decimals) -> None:
    is_positive, scores = ranked(num, decimals=decimals)
    weights = draw_weights(num, 5, (1, 2))
    found = RankedScores(is_positive, scores, np.arange(num), num)(weights)["auc"]
    counts = weights.T.astype(int)
    wanted = [roc_auc_score(np.repeat(is_positive, w), np.repeat(scores, w)) for w in counts]
    # shared cells leave out products of fluctuations within a cell
    assert found == pytest.approx(wanted, abs=1e-12 if num == 60 else 2e-5)


def test_groups_are_weighed_with_all_their_items() -> None:
    is_positive, scores = ranked(200)
    groups = np.arange(200) % 7
    weights = leave_one_out_weights(7)
    found = RankedScores(is_positive, scores, groups, 7)(weights)["auc"]
    wanted = [area_under_roc(is_positive[groups != g], scores[groups != g]) for g in range(7)]
    assert found == pytest.approx(wanted, abs=1e-6)


def test_an_area_without_positives_is_undefined() -> None:
    is_positive = np.array([True, False, False])
    weights = np.array([[0, 1], [1, 1], [1, 0]], np.float32)
    found = RankedScores(is_positive, np.array([0.9, 0.2, 0.9]), np.arange(3), 3)(weights)["auc"]
    assert math.isnan(found[0])
    assert found[1] == 1.0


def test_sums_of_weighted_rows_reach_the_figures() -> None:
    table = np.arange(12.0).reshape(6, 2)
    units = np.array([0, 0, 1, 1, 2, 2])
    weights = np.array([[1, 0], [2, 0], [0, 3]], np.float32)
    found = SummedTable(table, units, 3, lambda s: {"a": s[..., 0], "b": s[..., 1]})(weights)
    assert found["a"].tolist() == [0 + 2 + 2 * (4 + 6), 3 * (8 + 10)]
    assert found["b"].tolist() == [1 + 3 + 2 * (5 + 7), 3 * (9 + 11)]


def test_a_mean_leaves_out_what_is_undefined() -> None:
    def part(*values):
        return lambda weights: {"x": np.array(values)}

    found = mean_of([part(1.0, math.nan, math.nan), part(3.0, 2.0, math.nan)], "m")(np.ones((1, 3)))
    assert found["m"][:2].tolist() == [2.0, 2.0]
    assert math.isnan(found["m"][2])


@pytest.mark.parametrize("num_units", [50, resampling.POISSON_FROM])
def test_units_are_drawn_once_on_average_and_as_often_as_chance_has_it(num_units) -> None:
    weights = draw_weights(num_units, 400, (3,))
    assert weights.mean() == pytest.approx(1, abs=0.01)
    assert weights.var() == pytest.approx(1, abs=0.05)  # 1 - 1/n of n draws, 1 of Poisson's law
    if num_units < resampling.POISSON_FROM:
        assert set(weights.sum(axis=0)) == {num_units}


def test_the_same_seed_pairs_two_models() -> None:
    """Two models with the same scores do not differ on any resampling."""
    is_positive, scores = ranked(100)
    measures = [RankedScores(is_positive, s, np.arange(100), 100) for s in (scores, scores**3)]
    first, second = (resample(m, 100, 150, seed=4)["auc"] for m in measures)
    assert np.array_equal(first, second)
    assert len(first) == 150
    assert len(set(first.tolist())) > 100
    joined = resample(all_of(measures), 100, 150, seed=4)["auc"]
    assert np.array_equal(joined, first)
