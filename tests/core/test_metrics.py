"""Shared counts and figures, against scikit-learn and by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    fbeta_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from pipelines.core import intervals, metrics
from pipelines.core.intervals import Units
from pipelines.core.metrics import Confusion, count_confusion, safe_ratio
from pipelines.errors import DataFormatError
from pipelines.text import LANGUAGES, render


@pytest.mark.parametrize("seed", range(3))
def test_figures_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((2, 300)) < 0.3
    counts = count_confusion(predicted, truth)
    tn, fp, fn, tp = confusion_matrix(truth, predicted).ravel()
    assert counts == Confusion(tp, fp, fn, tn)
    assert metrics.dice(counts) == pytest.approx(f1_score(truth, predicted))
    assert metrics.iou(counts) == pytest.approx(jaccard_score(truth, predicted))
    assert metrics.precision(counts) == pytest.approx(precision_score(truth, predicted))
    assert metrics.recall(counts) == pytest.approx(recall_score(truth, predicted))
    assert metrics.error_rate(counts) == pytest.approx(np.mean(truth != predicted))
    for beta in (0.5, 2, 4):
        found = metrics.f_beta_score(counts, beta=beta)
        assert found == pytest.approx(fbeta_score(truth, predicted, beta=beta))


def test_what_is_in_neither_is_undefined_unless_the_metric_says_otherwise() -> None:
    nothing = count_confusion(np.zeros(4, bool), np.zeros(4, bool))
    for figure in (metrics.dice, metrics.iou, metrics.precision, metrics.recall):
        assert np.isnan(figure(nothing))
        assert figure(nothing, undefined=0.0) == 0
    assert metrics.error_rate(nothing) == 0


def test_an_empty_item_has_no_error_rate() -> None:
    empty = count_confusion(np.zeros(0, bool), np.zeros(0, bool))
    assert np.isnan(metrics.error_rate(empty))


def test_one_pixel_is_counted() -> None:
    assert count_confusion(np.array(True), np.array(False)) == Confusion(0, 1, 0, 0)


def test_pooling_counts_equals_counting_the_whole() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((2, 5, 40)) < 0.4
    single = [count_confusion(p, t) for p, t in zip(predicted, truth, strict=True)]
    whole = count_confusion(predicted, truth)
    many = Confusion(*(np.array([getattr(c, n) for c in single]) for n in ("tp", "fp", "fn", "tn")))
    assert metrics.dice(many.pool()) == metrics.dice(whole)
    added = single[0] + single[1] + single[2] + single[3] + single[4]
    assert metrics.iou(added) == metrics.iou(whole)
    assert metrics.dice(many).tolist() == [metrics.dice(c) for c in single]


def test_a_ratio_by_zero_takes_the_decided_value_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = safe_ratio([1, 0, 3], [2, 0, 0], undefined=7)
    assert found.tolist() == [0.5, 7, 7]
    assert float(safe_ratio(1, 4, undefined=0)) == 0.25


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataFormatError, match=r"\(2,\).*\(3,\)"):
        count_confusion(np.zeros(2, bool), np.zeros(3, bool))


@pytest.mark.parametrize(("kind", "count", "groups", "items", "expected", "shown"), [
    ("", 0, 1, 3, "none", 3),
    ("item", 50, 50, 50, "items", 50),
    ("item", 4, 1, 4, "items_of_few", 4),
    ("block", 10, 1, 30, "blocks", 10),
    ("group", 12, 12, 90, "few_groups", 12),
    ("group", 30, 30, 90, "groups", 30),
])  # fmt: skip
def test_an_interval_says_what_it_holds_for(kind, count, groups, items, expected, shown) -> None:
    units = Units(kind, np.zeros(items, int), count)
    text = metrics.explain_interval(units, groups, items)
    assert text.id == f"metrics.interval.{expected}"
    for language in LANGUAGES:
        assert str(shown) in render(text, language)


def test_groups_are_called_subjects_where_the_task_knows_that_they_are() -> None:
    units = intervals.choose_units(np.repeat(np.arange(8), 3), np.arange(24))
    words = {
        kind: [render(metrics.explain_interval(units, 8, 24, kind), lang) for lang in LANGUAGES]
        for kind in ("group", "subject")
    }
    assert ["8 groups" in words["group"][0], "8 groupes" in words["group"][1]] == [True, True]
    assert ["8 subjects" in words["subject"][0], "8 sujets" in words["subject"][1]] == [True, True]
