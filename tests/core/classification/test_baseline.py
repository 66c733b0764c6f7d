"""The linear models of measured numbers, and what they make of subjects."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.core.classification import baseline
from pipelines.core.classification.baseline import (
    LinearModel,
    average_views,
    cross_fit,
    fit_discriminant,
    fit_model,
)
from pipelines.core.classification.features import NUM_RELIEF, describe_picture

Array = NDArray[Any]


def cells(num_subjects: int = 12, num_cells: int = 30, seed: int = 0) -> tuple[Array, Array, Array]:
    """Make two numbers a cell: both tell the classes, the second varies from subject to subject."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(num_subjects), num_cells)
    label = subject % 2
    steady = label + rng.normal(0, 0.7, len(subject))
    of_subject = rng.normal(0, 1.5, num_subjects)
    fickle = 2.0 * label + of_subject[subject] + rng.normal(0, 0.3, len(subject))
    return np.column_stack([steady, fickle]), label, subject.astype(str)


def test_a_number_that_varies_between_subjects_gets_less_weight_than_its_spread_in_one() -> None:
    """Inside a subject the fickle number is the sharper one; over subjects it is not."""
    features, labels, subjects = cells()
    model = fit_discriminant(features, labels, subjects, 2, ridge=0.01)
    scaled = (model.weights[1] - model.weights[0]) / model.spread
    inside = [features[subjects == s].std(axis=0) for s in np.unique(subjects)]
    naive = np.array([1.0, 2.0]) / np.mean(inside, axis=0) ** 2  # a discriminant of one subject
    assert scaled[1] / scaled[0] < 0.1 * naive[1] / naive[0]


def test_a_subject_with_many_pictures_does_not_outvote_the_others() -> None:
    rng = np.random.default_rng(5)
    sizes = [400, 10, 10, 10, 10, 10]
    subjects = np.repeat(np.arange(6), sizes)
    labels = (subjects >= 3).astype(int)
    features = (labels + np.where(subjects == 0, 1.0, 0.0))[:, None] + rng.normal(0, 0.1, (450, 1))
    model = fit_discriminant(features, labels, subjects.astype(str), 2, ridge=0.01)
    right = model.probabilities(features).argmax(1) == labels
    assert right[subjects != 0].mean() > 0.95  # five of six subjects, a ninth of the pictures


def test_without_variation_between_subjects_it_is_the_usual_discriminant() -> None:
    """One cell a subject leaves one level of noise: scikit-learn's, up to the trust in a mean."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(1)
    labels = np.arange(400) % 2
    features = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)) + labels[:, None] * [1.0, 0, 2.0]
    model = fit_discriminant(features, labels, np.arange(400).astype(str), 2, ridge=1e-9)
    usual = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(features, labels)
    ours = model.probabilities(features)[:, 1]
    theirs = usual.predict_proba(features)[:, 1]
    assert np.abs(ours - theirs).max() < 0.02  # scikit-learn divides by n, and does not clip


def test_averaged_views_give_the_mean_of_their_logits() -> None:
    features, labels, subjects = cells()
    parts = [fit_discriminant(features[:, [i]], labels, subjects, 2, ridge=0.1) for i in range(2)]
    logits = [
        np.diff(np.log(part.probabilities(features[:, [i]])))[:, 0] for i, part in enumerate(parts)
    ]
    joined = np.diff(np.log(average_views(parts).probabilities(features)))[:, 0]
    np.testing.assert_allclose(joined, np.mean(logits, axis=0), atol=1e-9)


@pytest.mark.parametrize("has_subjects", [True, False])
def test_the_model_follows_what_is_known_of_subjects(has_subjects: bool) -> None:
    rng = np.random.default_rng(2)
    numbers, labels, subjects = cells(8, 10)
    features = np.column_stack([numbers, rng.normal(size=(80, NUM_RELIEF))])
    groups = subjects if has_subjects else np.arange(80).astype(str)
    model = fit_model(features, labels, groups, 2, strength=0.3, balanced=True)
    linear = baseline.fit_linear(features, labels, 2, strength=0.3, balanced=True)
    is_linear = np.allclose(model.weights, linear.weights)
    assert is_linear is not has_subjects


def test_the_relief_is_trusted_more_than_the_same_number_elsewhere() -> None:
    """One number stands in both views; the view with less penalty gives it more weight."""
    numbers, labels, subjects = cells()
    first = np.column_stack([numbers[:, 0], np.zeros((len(labels), 4))])
    relief = np.column_stack([numbers[:, 0], np.zeros((len(labels), NUM_RELIEF - 1))])
    features = np.column_stack([first, relief])
    model = fit_model(features, labels, subjects, 2, strength=0.3, balanced=True)
    weights = model.weights[1] - model.weights[0]
    assert weights[5] > 1.2 * weights[0] > 0


def test_every_cell_is_predicted_without_its_subject() -> None:
    """The model here remembers who it has seen, and says so with certainty."""
    _, labels, subjects = cells(8, 5)
    numbers = np.column_stack([np.arange(40.0), np.repeat(np.arange(8.0), 5)])
    seen: list[set[float]] = []

    class Remembers:
        def __init__(self, known: Array) -> None:
            self.known = set(known[:, 1].tolist())
            seen.append(self.known)

        def probabilities(self, asked: Array) -> Array:
            is_known = np.array([s in self.known for s in asked[:, 1].tolist()], float)
            return np.column_stack([1 - is_known, is_known])

    odds = cross_fit(lambda f, y, g: Remembers(f), numbers, labels, subjects, 2, 0)  # type: ignore[arg-type, return-value] # as much of a model as is asked
    assert odds is not None
    assert odds[:, 1].max() == 0.0
    assert len(seen) == 4  # four subjects of each class


def test_copies_under_two_subjects_are_held_out_together() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 0, 0, 1, 1, 1], 4)
    subjects = np.repeat(list("abcdef"), 4)
    numbers = rng.normal(size=(24, 2))
    numbers[4] = numbers[0]  # a cell of b is one of a
    together: list[bool] = []

    def fit(features: Array, of_class: Array, of_group: Array) -> LinearModel:
        together.append(("a" in of_group) == ("b" in of_group))
        return fit_discriminant(features, of_class, of_group, 2, ridge=0.1)

    assert cross_fit(fit, numbers, labels, subjects, 2, 0) is not None
    assert all(together)


def test_a_single_subject_of_a_class_cannot_be_held_out() -> None:
    labels, subjects = np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "c"])
    numbers = np.arange(8.0).reshape(4, 2)
    assert cross_fit(lambda *_: pytest.fail("none"), numbers, labels, subjects, 2, 0) is None


def test_a_model_of_fewer_numbers_reads_those_that_it_knows() -> None:
    features, labels, subjects = cells()
    model = fit_discriminant(features, labels, subjects, 2, ridge=0.1)
    longer = np.column_stack([features, np.full(len(features), 1e6)])
    np.testing.assert_array_equal(model.probabilities(longer), model.probabilities(features))


def test_a_class_without_a_picture_is_never_decided() -> None:
    features, labels, subjects = cells()
    model = fit_discriminant(features, 2 * labels, subjects, 3, ridge=0.1)
    assert model.probabilities(features)[:, 1].max() < 1e-9


def test_the_relief_does_not_change_with_the_strength_of_the_stain() -> None:
    """Absorption times a factor moves all logarithms alike; only rounding to 8 bits remains."""
    rng = np.random.default_rng(3)
    import cv2

    density = 0.8 + 0.12 * sum(
        cv2.GaussianBlur(rng.normal(size=(160, 160, 3)), (0, 0), s) * s for s in (1.0, 3.0, 8.0)
    ).clip(-3, 3)
    pictures = [np.clip(np.exp(-density * k) * 256 - 1, 13, 255).astype(np.uint8) for k in (1, 1.3)]
    first, second = (
        np.array([v for n, v in describe_picture(p).items() if n.startswith("relief_")])
        for p in pictures
    )
    assert len(first) == NUM_RELIEF
    assert np.abs(first - second).max() < 0.15
    strengths = [describe_picture(p)["band_1_3_spread"] for p in pictures]
    assert strengths[1] > 1.2 * strengths[0]
