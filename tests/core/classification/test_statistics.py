"""Figures against scikit-learn, published examples and hand-made cases."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from pipelines.core.classification import statistics as st


def _case(seed: int, count: int = 200, num_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_classes, count)
    scores = rng.random((count, num_classes)) + np.eye(num_classes)[truth] * 0.4
    return truth, np.round(scores / scores.sum(1, keepdims=True), 2)  # rounding makes ties


def _rows(truth, probabilities, groups=None):
    names = [f"i{k}" for k in range(len(truth))]
    return st.make_rows(names, groups or names, np.asarray(truth), np.asarray(probabilities))


@pytest.mark.parametrize("seed", range(5))
def test_area_and_curves_with_ties_are_those_of_scikit_learn(seed):
    truth, odds = _case(seed)
    assert st.area_under_roc(truth == 1, odds[:, 1]) == pytest.approx(
        reference.roc_auc_score(truth, odds[:, 1]), abs=1e-12
    )
    assert st.average_precision(truth == 1, odds[:, 1]) == pytest.approx(
        reference.average_precision_score(truth, odds[:, 1]), abs=1e-12
    )
    false_alarms, hits, thresholds = reference.roc_curve(truth, odds[:, 1], drop_intermediate=False)
    counts = st.sweep(truth == 1, odds[:, 1])
    np.testing.assert_allclose(counts.false_alarms, false_alarms)
    np.testing.assert_allclose(counts.sensitivity, hits)
    np.testing.assert_allclose(counts.thresholds[1:], thresholds[1:])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.77])
def test_figures_at_a_threshold_are_those_of_scikit_learn(threshold):
    truth, odds = _case(3)
    got = st.score_rows(_rows(truth, odds), threshold)
    decided = (odds[:, 1] >= threshold).astype(int)
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(truth, decided))
    assert got["balanced_accuracy"] == pytest.approx(
        reference.balanced_accuracy_score(truth, decided)
    )
    assert got["weighted_f1"] == pytest.approx(
        reference.f1_score(truth, decided, average="weighted")
    )
    assert got["sensitivity"] == pytest.approx(reference.recall_score(truth, decided))
    assert got["specificity"] == pytest.approx(reference.recall_score(truth, decided, pos_label=0))


def test_figures_of_several_classes_are_those_of_scikit_learn():
    truth, odds = _case(1, num_classes=4)
    odds = odds / odds.sum(1, keepdims=True)
    got = st.score_rows(_rows(truth, odds), 0.5)
    decided = odds.argmax(1)
    assert got["auc"] == pytest.approx(
        reference.roc_auc_score(truth, odds, multi_class="ovr", average="macro")
    )
    assert got["weighted_f1"] == pytest.approx(
        reference.f1_score(truth, decided, average="weighted")
    )
    assert math.isnan(got["sensitivity"])


def test_one_class_alone_leaves_the_area_undefined_and_the_rest_defined():
    got = st.score_rows(_rows([1, 1, 1], [[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]]), 0.5)
    assert math.isnan(got["auc"])
    assert math.isnan(got["specificity"])
    assert got["sensitivity"] == pytest.approx(2 / 3)
    assert got["balanced_accuracy"] == pytest.approx(2 / 3)


def test_no_rows_leave_every_figure_undefined():
    empty = _rows([], np.zeros((0, 2)))
    assert all(math.isnan(v) for v in st.score_rows(empty, 0.5).values())


def test_equal_scores_are_worth_half():
    assert st.area_under_roc(np.array([True, False]), np.array([0.5, 0.5])) == 0.5


def test_delong_agrees_with_the_variance_written_out_pair_by_pair():
    """The slow form: variances of the mean placement of each positive and each negative."""
    truth, odds = _case(7, count=60)
    scores = odds[:, 1]
    positive, negative = scores[truth == 1], scores[truth == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    got = st.delong(truth == 1, scores)
    assert got.value == pytest.approx(wins.mean())
    assert got.high - got.low == pytest.approx(2 * 1.959964 * math.sqrt(variance))


def test_resampling_whole_subjects_widens_the_interval():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(12), 30)
    truth = subject % 2
    lean = rng.normal(0, 0.25, 12)[subject]  # what a subject's pictures share
    score = np.clip(0.5 + 0.1 * (truth - 0.5) + lean + rng.normal(0, 0.05, len(truth)), 0, 1)
    odds = np.stack([1 - score, score], 1)

    def area(rows):
        return np.array([st.score_rows(rows, 0.5)["auc"]])

    whole = st.bootstrap(_rows(truth, odds, [f"s{s}" for s in subject]), area, rounds=100)
    single = st.bootstrap(_rows(truth, odds), area, rounds=100)
    assert whole[1][0] - whole[0][0] > 2 * (single[1][0] - single[0][0])


def test_perfect_calibration_has_no_gap_and_constant_overconfidence_has_its_gap():
    odds = np.array([[0.2, 0.8]] * 10)
    truth = np.array([1] * 8 + [0] * 2)
    assert st.calibration(truth, odds).ece == pytest.approx(0)
    assert st.calibration(np.array([1] * 5 + [0] * 5), odds).ece == pytest.approx(0.3)


def test_temperature_undoes_what_sharpened_the_probabilities():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.05, 0.95, 4000)
    truth = (rng.random(4000) < p).astype(int)
    honest = np.stack([1 - p, p], 1)
    sharpened = st.temper(honest, 1 / 3)
    assert st.fit_temperature(truth, sharpened) == pytest.approx(3, rel=0.1)
    np.testing.assert_array_equal(np.argsort(sharpened[:, 1]), np.argsort(honest[:, 1]))


def test_youdens_threshold_separates_what_can_be_separated():
    rows = _rows([0, 0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    assert st.best_threshold(rows) == pytest.approx(0.35)


def test_a_dear_miss_lowers_the_threshold():
    truth, odds = _case(5, count=400)
    rows = _rows(truth, odds)
    assert st.best_threshold(rows, cost_ratio=8) < st.best_threshold(rows, cost_ratio=0.2)


def test_delong_gives_the_published_interval_of_the_tomography_ratings():
    """Hanley and McNeil 1982, table I: 109 computed tomograms rated 1 to 5 by one reader.

    The area is 0.893; Stata's manual (roctab, data set `hanley`) prints 0.8932 with the interval of
    DeLong from 0.83295 to 0.95339.
    """
    normal, abnormal = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
    ratings = np.arange(1, 6)
    scores = np.concatenate([np.repeat(ratings, normal), np.repeat(ratings, abnormal)]).astype(
        float
    )
    is_positive = np.repeat([False, True], [sum(normal), sum(abnormal)])
    got = st.delong(is_positive, scores)
    assert (got.value, got.low, got.high) == pytest.approx((0.8932, 0.83295, 0.95339), abs=5e-5)
