from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as peer_mcnemar
from statsmodels.stats.multitest import multipletests

from pipelines.core.paired import EXACT_BELOW, delong, holm, mcnemar, more_units_needed


def slow_delong(is_positive, first, second):
    """DeLong, DeLong and Clarke-Pearson 1988, equations 3 to 8, with all pairs written out."""
    placed = []
    for scores in (first, second):
        x, y = scores[is_positive], scores[~is_positive]
        psi = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        placed.append((psi.mean(axis=1), psi.mean(axis=0)))
    areas = [v10.mean() for v10, _ in placed]
    s10 = np.cov([p[0] for p in placed])
    s01 = np.cov([p[1] for p in placed])
    cov = s10 / is_positive.sum() + s01 / (~is_positive).sum()
    contrast = np.array([1, -1])
    return areas[0] - areas[1], math.sqrt(contrast @ cov @ contrast)


@pytest.mark.parametrize("decimals", [6, 1])
def test_delong_is_that_of_all_pairs_written_out(decimals) -> None:
    rng = np.random.default_rng(0)
    is_positive = rng.random(120) < 0.4
    shared = rng.normal(size=120) + is_positive
    first = (shared + rng.normal(size=120) * 0.5).round(decimals)
    second = (shared + rng.normal(size=120)).round(decimals)
    found = delong(is_positive, first, second)
    value, error = slow_delong(is_positive, first, second)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(value) / error))
    assert found.interval == pytest.approx((value - 1.95996 * error, value + 1.95996 * error), 1e-4)


# albumin, total protein, K-G score, benefit from surgery: DeLong, DeLong and Clarke-Pearson 1988
PATIENTS = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
    1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
    4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
    3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
    3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
    3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6 5 1"""


@pytest.mark.parametrize(
    ("column", "value", "error", "low", "high", "p_value"),
    [
        (0, 0.0108, 0.0953, -0.1761, 0.1976, 0.9102),
        (1, -0.0780, 0.1046, -0.2830, 0.1271, 0.4561),
    ],
    ids=["albumin", "total protein"],
)
def test_delong_is_the_published_example(column, value, error, low, high, p_value) -> None:
    """The paper's own patients as SAS/STAT's manual works them out (PROC LOGISTIC, ROCCONTRAST).

    43 women with ovarian cancer, two measures of nutrition each against the K-G score, of which
    lower is better.
    """
    table = np.array(PATIENTS.split(), float).reshape(-1, 4)
    found = delong(table[:, 3] == 1, table[:, column], -table[:, 2])
    assert (found.value, found.standard_error, found.p_value) == pytest.approx(
        (value, error, p_value), abs=6e-5
    )
    assert found.interval == pytest.approx((low, high), abs=6e-5)


def test_delong_by_hand() -> None:
    """Two positives and two negatives: placements 1, 1/2 against 1/2, 0 and so on."""
    is_positive = np.array([True, True, False, False])
    found = delong(is_positive, np.array([4.0, 2.0, 3.0, 1.0]), np.array([3.0, 1.0, 4.0, 2.0]))
    # areas 3/4 and 1/4; the placements of either side differ by 1/2 everywhere
    assert found.value == 0.5
    assert found.standard_error == 0.0


def test_delong_of_one_class_or_of_the_same_model() -> None:
    scores = np.arange(5.0)
    assert math.isnan(delong(np.ones(5, bool), scores, scores).p_value)
    same = delong(np.array([True, False, True, False, True]), scores, scores)
    assert (same.value, same.p_value) == (0.0, 1.0)


# --- McNemar --------------------------------------------------------------------------------------


def right(both: int, only_first: int, only_second: int, neither: int):
    counts = (both, only_first, only_second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (9, 3), (12, 12), (1, 20)])
def test_few_disagreements_are_counted_exactly(b, c) -> None:
    """The p-value is that of a fair coin thrown b + c times."""
    found = mcnemar(*right(50, b, c, 30))
    assert found.value == pytest.approx((b - c) / (80 + b + c))
    wanted = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert found.p_value == pytest.approx(wanted)
    assert found.interval[0] < found.value < found.interval[1] or b == c == 0


@pytest.mark.parametrize("counts", [(50, 3, 9, 4), (10, 0, 6, 2), (800, 12, 12, 30), (7, 20, 4, 0),
                                    (90, 40, 22, 9), (300, 31, 60, 5), (0, 13, 12, 0)])  # fmt: skip
def test_mcnemar_is_that_of_statsmodels(counts) -> None:
    both, only_first, only_second, neither = counts
    is_exact = only_first + only_second < EXACT_BELOW
    table = [[both, only_first], [only_second, neither]]
    wanted = peer_mcnemar(table, exact=is_exact, correction=True)
    assert mcnemar(*right(*counts)).p_value == pytest.approx(wanted.pvalue, rel=1e-10)


def test_mcnemar_of_many_disagreements_is_the_published_example() -> None:
    """Bland, An Introduction to Medical Statistics: colds at 12 and 14 years, 1,319 children.

    212 at both ages, 144 at 12 only, 256 at 14 only, 707 at neither: chi-squared 31.4 without and
    30.8 with continuity correction, difference 0.085.
    """
    found = mcnemar(*right(212, 144, 256, 707))
    assert found.value == pytest.approx(-0.0849, abs=1e-4)
    assert stats.chi2.isf(found.p_value, 1) == pytest.approx(30.8, abs=0.05)
    # the book's interval of the difference is 0.056 to 0.114 in absolute value
    assert found.interval == pytest.approx((-0.114, -0.056), abs=1e-3)


def test_mcnemar_of_nothing() -> None:
    assert math.isnan(mcnemar(np.zeros(0, bool), np.zeros(0, bool)).p_value)


# --- many comparisons, and how many cases ---------------------------------------------------------


def test_holm_by_hand() -> None:
    found = holm([0.01, 0.04, 0.03, math.nan, 0.005])
    assert found[[0, 1, 2, 4]].tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert math.isnan(found[3])
    assert holm([]).tolist() == []


def test_holm_is_that_of_statsmodels() -> None:
    values = np.random.default_rng(2).random(45) ** 2
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_holm_never_makes_a_p_value_smaller_and_keeps_their_order() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        p = rng.random(6) ** 3
        corrected = holm(p)
        assert (corrected >= p).all()
        for i, j in itertools.combinations(range(6), 2):
            assert (p[i] - p[j]) * (corrected[i] - corrected[j]) >= 0


def test_the_needed_cases_give_the_power_that_they_promise() -> None:
    """A t-test of a mean of 0.2 standard deviations has 80 % power with about 196 cases."""
    more = more_units_needed(0.2, 1 / math.sqrt(50), 50)
    assert 50 + more == pytest.approx((1.95996 + 0.84162) ** 2 / 0.2**2, abs=1)
    assert more_units_needed(0.0, 0.1, 50) == math.inf
    assert more_units_needed(0.9, 0.1, 50) == 0
