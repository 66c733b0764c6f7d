"""What the Evaluate step shows, against slow and independent ways of computing it."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from pipelines.core.classification import statistics as st
from pipelines.core.classification.evaluation import Evaluation
from pipelines.core.classification.task import METRICS
from pipelines.text import render
from pipelines.views import CurveView, TextView


def _evaluation(count=120, num_classes=2, groups=None, seed=0, temperature=1.0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_classes, count)
    odds = rng.random((count, num_classes)) + np.eye(num_classes)[truth] * 0.5
    odds = np.round(odds / odds.sum(1, keepdims=True), 3)
    names = [f"i{k}" for k in range(count)]
    rows = st.make_rows(names, groups or names, truth, odds, temperature=temperature)
    return Evaluation(rows, [f"class {c}" for c in range(num_classes)])


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.63])
def test_figures_are_those_of_the_slow_way(threshold):
    found = _evaluation()
    slow = st.score_rows(found.rows, threshold)
    assert found.scores(threshold) == pytest.approx(slow, nan_ok=True)


def test_a_cell_lists_its_pictures_worst_first():
    rows = st.make_rows(
        ["a", "b", "c", "d"], ["a", "b", "c", "d"], np.array([1, 1, 1, 0]),
        np.array([[0.7, 0.3], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]),
    )  # fmt: skip
    found = Evaluation(rows, ("no", "yes"))
    assert found.members(0.5, 1, 0) == [("b", 0.1), ("a", 0.3)]
    assert found.members(0.5, 0, 1) == [("d", 0.4)]
    assert found.members(0.05, 1, 0) == []
    assert found.cells(0.5).tolist() == [[0, 1], [2, 1]]


def test_the_point_on_the_curves_is_the_confusion_matrix_at_the_threshold():
    found = _evaluation()
    for threshold in (0.0, 0.31, 0.5, 0.77, 1.0):
        (false, missed), (wrong, hit) = found.cells(threshold)[:, ::-1]
        roc, precision = found.curves(threshold, {})
        x, y = roc.curves[-1].x[0], roc.curves[-1].y[0]
        assert (x, y) == pytest.approx((false / (false + missed), wrong / (wrong + hit)))
        share = wrong / (wrong + false) if wrong + false else 1.0
        assert precision.curves[-1].y[0] == pytest.approx(share)


def test_weighted_areas_are_those_of_the_repeated_items():
    """A bootstrap by weights gives what scikit-learn gives for the drawn items themselves."""
    found = _evaluation(count=40)
    drawn = np.random.default_rng(3).integers(0, 40, 40)
    weights = np.bincount(drawn, minlength=40).astype(float)
    scores = found.odds[:, 1]
    counts = st.weighted_sweep(found.truth == 1, scores, weights, np.argsort(-scores))
    area = float(np.trapezoid(counts.sensitivity, counts.false_alarms))
    assert area == pytest.approx(reference.roc_auc_score(found.truth[drawn], scores[drawn]))


def test_the_band_of_single_items_is_that_of_the_binomial_law():
    found = _evaluation(count=400)
    low, high = np.percentile(found.bands.roc, [2.5, 97.5], axis=0)
    middle = np.median(found.bands.roc, axis=0)
    at, num_positive = int(np.abs(middle - 0.8).argmin()), int((found.truth == 1).sum())
    share = float(middle[at])
    margin = 1.96 * math.sqrt(share * (1 - share) / num_positive)
    # wider than the law at a fixed threshold: where the share of false alarms lies varies as well
    assert 2 * margin < high[at] - low[at] < 5 * margin


def test_whole_groups_are_resampled_and_the_area_is_called_so():
    groups = [f"s{k // 20}" for k in range(240)]
    by_group = _evaluation(count=240, groups=groups)
    assert (by_group.units.kind, by_group.units.count) == ("group", 12)
    first = next(by_group._weightings())
    assert all(len(set(first[k : k + 20])) == 1 for k in range(0, 240, 20))
    bounds = {"auc": (0.7, 0.9)}
    assert by_group.curves(0.5, bounds)[0].title.id == "classes_panel.curves.roc_groups"
    told = Evaluation(by_group.rows, by_group.classes, "subject").without(["none"])
    title = told.curves(0.5, bounds)[0].title
    assert "12 subjects" in render(title, "en")
    assert "12 sujets" in render(title, "fr")
    # the interval that stands beside the curve; of single items alone, that of the formula
    assert _evaluation().curves(0.5, bounds)[0].title.id == "classes_panel.curves.roc_pictures"
    assert _evaluation().curves(0.5, {})[0].title.id == "classes_panel.curves.roc"


def test_leaving_items_out_changes_the_figures_to_those_of_the_rest():
    found = _evaluation()
    wrong = [name for name, _ in found.members(0.5, 1, 0)]
    rest = found.without(wrong)
    assert len(rest) == len(found) - len(wrong)
    assert rest.scores(0.5)["sensitivity"] == 1
    table = found.comparison(rest, 0.5, METRICS)
    before, after = {r[0].id: r[1] for r in table.rows}, {r[0].id: r[2] for r in table.rows}
    assert before["classes_metrics.sensitivity"] < after["classes_metrics.sensitivity"] == 1


def test_reliability_before_scaling_is_that_of_the_networks_own_probabilities():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.05, 0.95, 3000)
    truth = (rng.random(3000) < p).astype(int)
    honest = np.stack([1 - p, p], 1)
    names = [f"i{k}" for k in range(3000)]
    rows = st.make_rows(names, names, truth, honest, temperature=3.0)
    title = Evaluation(rows, ("no", "yes")).reliability()[0].title
    sharpened = st.calibration(truth, st.temper(honest, 1 / 3)).ece
    assert title.params["before"] == pytest.approx(sharpened)
    assert title.params["after"] == pytest.approx(st.calibration(truth, honest).ece)
    assert sharpened > 3 * title.params["after"]


def test_one_class_or_few_items_are_said_instead_of_drawn():
    rows = st.make_rows(["a", "b"], ["a", "b"], np.array([1, 1]), np.array([[0.3, 0.7]] * 2))
    found = Evaluation(rows, ("no", "yes"))
    (said,) = found.curves(0.5, {})
    assert isinstance(said, TextView)
    assert len(found.bands.roc) == 0


def test_several_classes_are_decided_by_the_largest_and_each_has_its_curve():
    found = _evaluation(num_classes=4, count=200)
    assert found.cells(0.1).tolist() == found.cells(0.9).tolist()
    (view,) = found.curves(0.5, {})
    assert isinstance(view, CurveView)
    assert len(view.curves) == 5
    shown = [f.name.id for f in found.figures(0.5, METRICS, {}).figures]
    assert "classes_metrics.auc" in shown
    assert "classes_metrics.sensitivity" not in shown


def test_of_many_classes_the_worst_told_are_drawn_and_counted():
    """The first seven of thirty were drawn without a word, and a class that nobody scored too."""
    found = _evaluation(num_classes=12, count=400, seed=3)
    kept = found.without([f"i{k}" for k in np.flatnonzero(found.truth == 2)])
    (view,) = kept.curves(0.5, {})
    areas = {
        c: reference.roc_auc_score(kept.truth == c, kept.odds[:, c]) for c in range(12) if c != 2
    }
    worst = sorted(areas, key=areas.get)[:7]
    drawn = [render(curve.name, "en") for curve in view.curves[:-1]]
    assert drawn == [f"class {c}" for c in sorted(worst)]
    assert "7 of 12 classes" in render(view.source, "en")
    (few,) = _evaluation(num_classes=4, count=200).curves(0.5, {})
    assert few.source.id != "classes_few.curves"
