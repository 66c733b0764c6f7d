"""The plain baseline: measured numbers of a picture and a linear model.

It learns in seconds, needs no GPU, and says by its weights what it goes by. Where a network does
not beat it on subjects that it has not seen, the network has learned the subjects.

Where it is known which pictures belong together, the model is a linear discriminant in which
subjects count, not pictures; without groups it is a logistic regression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.features import NUM_RELIEF, describe_picture
from pipelines.core.classification.images import Pixels
from pipelines.core.classification.splits import NUM_FOLDS, Divisible, fold_ids, joined_groups

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]

_CLIP: Final = 8.0
"""Scaled numbers beyond this are outliers of the measurement."""
_FULL_GROUP: Final = 8.0
"""Pictures from which on the mean of a group counts more than half."""
_RELIEF_EASE: Final = 40.0
"""The relief is measured in few numbers that vary little between subjects: less penalty.

From 15 to 100 the area under the curve on subjects left out is flat (0.946, 0.949, 0.950).
"""


def features_of(pixels: Pixels) -> Array:
    """Return the measured numbers of a picture, `(F,)` float32."""
    return np.array(list(describe_picture(pixels).values()), np.float32)


@dataclass(frozen=True)
class LinearModel:
    """Hold a logistic regression on scaled numbers.

    Attributes:
        mean: `(F,)` of the training pictures.
        spread: `(F,)` of the training pictures.
        weights: `(C, F)`.
        offsets: `(C,)`.
    """

    mean: Array
    spread: Array
    weights: Array
    offsets: Array

    def probabilities(self, features: Array) -> Array:
        """Return `(N, C)` float64 probabilities of `(N, F)` numbers.

        Numbers behind those that the model knows are newer than it and left out.
        """
        known = features[:, : len(self.mean)]
        scaled = ((known - self.mean) / self.spread).clip(-_CLIP, _CLIP)
        logits = scaled.astype(np.float64) @ self.weights.T + self.offsets
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return cast("Array", powers / powers.sum(axis=1, keepdims=True))

    def to_weights(self) -> dict[str, Tensor]:
        """Return the numbers as tensors, as checkpoints keep them."""
        import torch

        return {
            name: torch.from_numpy(np.asarray(value, np.float32).copy())
            for name, value in vars(self).items()
        }


def from_weights(weights: Mapping[str, Tensor]) -> LinearModel:
    """Rebuild the regression from a checkpoint's tensors."""
    return LinearModel(**{name: tensor.numpy() for name, tensor in weights.items()})


def fit_model(
    features: Array, labels: Array, groups: Array, num_classes: int, *, strength: float,
    balanced: bool,
) -> LinearModel:  # fmt: skip
    """Fit the linear model that suits what is known of the pictures.

    Args:
        features: `(N, F)`, the relief last.
        labels: `(N,)` class indices; at least two of them occur.
        groups: `(N,)` names of what belongs together.
        num_classes: Classes; those without a picture are never decided.
        strength: Freedom of the weights.
        balanced: Whether all classes weigh the same.
    """
    if not _has_subjects(labels, groups):
        return fit_linear(features, labels, num_classes, strength=strength, balanced=balanced)
    views = (slice(0, -NUM_RELIEF), slice(features.shape[1] - NUM_RELIEF, None))
    ridges = (0.09 / strength, 0.09 / strength / _RELIEF_EASE)
    found = [
        fit_discriminant(features[:, view], labels, groups, num_classes, ridge=ridge,
                         balanced=balanced)
        for view, ridge in zip(views, ridges, strict=True)
    ]  # fmt: skip
    return average_views(found)


Fit = Callable[[Array, Array, Array], LinearModel]
"""From numbers, labels and groups to a model."""


def cross_fit(
    fit: Fit, features: Array, labels: Array, groups: Array, num_classes: int, seed: int
) -> Array | None:
    """Predict every picture by a model that was fitted without its group.

    Pictures with the same numbers are copies, and their groups are left out together.

    Args:
        fit: Fits a model.
        features: `(N, F)`, the relief last.
        labels: `(N,)` class indices.
        groups: `(N,)` names of what belongs together.
        num_classes: Classes.
        seed: Seed of the folds.

    Returns:
        `(N, C)` probabilities, or None where a class has a single group.
    """
    names = [str(i) for i in range(len(labels))]
    number = np.unique(features, axis=0, return_inverse=True)[1].reshape(-1)
    copies = [np.flatnonzero(number == k).tolist() for k in np.flatnonzero(np.bincount(number) > 1)]
    joined = np.array(joined_groups(groups.tolist(), names, copies))
    fewest = min(len(np.unique(joined[labels == label])) for label in np.unique(labels))
    if fewest < 2:
        return None
    pictures = Divisible(tuple(names), labels, tuple(joined.tolist()))
    odds = np.zeros((len(labels), num_classes))
    for held_out in fold_ids(pictures, min(NUM_FOLDS, fewest), seed):
        out = np.isin(np.arange(len(labels)), [int(i) for i in held_out])
        model = fit(features[~out], labels[~out], groups[~out])
        odds[out] = model.probabilities(features[out])
    return odds


def _has_subjects(labels: Array, groups: Array) -> bool:
    """Tell whether every class has several groups, and these more than one picture each."""
    per_class = [len(np.unique(groups[labels == c])) for c in np.unique(labels)]
    return min(per_class) >= 3 and len(np.unique(groups)) <= len(groups) / 2


def average_views(models: Sequence[LinearModel]) -> LinearModel:
    """Join models of different numbers of one picture: the mean of their logits."""
    share = 1 / len(models)
    return LinearModel(
        np.concatenate([m.mean for m in models]),
        np.concatenate([m.spread for m in models]),
        np.concatenate([m.weights for m in models], axis=1) * share,
        np.sum([m.offsets for m in models], axis=0) * share,
    )


def fit_discriminant(
    features: Array, labels: Array, groups: Array, num_classes: int, *, ridge: float,
    balanced: bool = True,
) -> LinearModel:  # fmt: skip
    """Fit a linear discriminant in which subjects, not pictures, make up a class.

    Classes are normal with one covariance, that of pictures and subjects around the centre of their
    class, plus a ridge (Fisher 1936). What varies from subject to subject as much as from class to
    class gets little weight, which a logistic regression, that looks at the border alone, does not
    see.

    Args:
        features: `(N, F)`.
        labels: `(N,)` class indices.
        groups: `(N,)` subjects.
        num_classes: Classes; those without a picture are never decided.
        ridge: Variance added to every scaled number.
        balanced: Whether all classes are taken as equally frequent.
    """
    mean, spread, scaled = _scale(features)
    shares = _shares(labels, groups)
    present = np.unique(labels)
    centres, covariance = [], ridge * np.eye(scaled.shape[1])
    for label in present:
        mine, share = scaled[labels == label], shares[labels == label]
        centre = share @ mine
        away = (mine - centre) * np.sqrt(share)[:, None]
        covariance += away.T @ away / len(present)
        centres.append(centre)
    solved = np.linalg.solve(covariance, np.stack(centres).T).T
    weights = np.zeros((num_classes, features.shape[1]))
    offsets = np.full(num_classes, -50.0)
    weights[present] = solved
    offsets[present] = -0.5 * (solved * np.stack(centres)).sum(axis=1)
    if not balanced:
        offsets[present] += np.log(np.bincount(labels)[present] / len(labels))
    return LinearModel(mean, spread, weights, offsets)


def _shares(labels: Array, groups: Array) -> Array:
    """Give each picture its share of its class: a subject of fifty does not count as ten of five.

    A subject counts by `n / (n + _FULL_GROUP)`, as its mean is known the better the more pictures
    there are, but never better than that subjects differ.
    """
    pairs = np.column_stack([labels, np.unique(groups, return_inverse=True)[1].reshape(-1)])
    _, unit, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    shares = np.asarray(1 / (counts + _FULL_GROUP))[unit.reshape(-1)]
    for label in np.unique(labels):
        shares[labels == label] /= shares[labels == label].sum()
    return np.asarray(shares)


def _scale(features: Array) -> tuple[Array, Array, Array]:
    """Return mean, spread, and the numbers scaled by them."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread < 1e-6, 1.0, spread)
    return mean, spread, ((features - mean) / spread).clip(-_CLIP, _CLIP).astype(np.float64)


def fit_linear(
    features: Array, labels: Array, num_classes: int, *, strength: float, balanced: bool
) -> LinearModel:
    """Fit a logistic regression.

    Args:
        features: `(N, F)`.
        labels: `(N,)` class indices; at least two of them occur.
        num_classes: Classes; those without a picture are never decided.
        strength: Inverse of the penalty on the weights (scikit-learn's C).
        balanced: Whether all classes weigh the same.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    mean, spread, scaled = _scale(features)
    model = LogisticRegression(
        C=strength, max_iter=5000, class_weight="balanced" if balanced else None
    ).fit(scaled, labels)
    weights = np.zeros((num_classes, features.shape[1]))
    offsets = np.full(num_classes, -50.0)
    if len(model.classes_) == 2:
        low, high = model.classes_
        weights[high], offsets[high], offsets[low] = model.coef_[0], model.intercept_[0], 0.0
    else:
        weights[model.classes_], offsets[model.classes_] = model.coef_, model.intercept_
    return LinearModel(mean, spread, weights, offsets)


def measure_all(pictures: Iterable[Pixels], num_threads: int) -> Array:
    """Measure pictures in parallel, `(N, F)` float32."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(num_threads, thread_name_prefix="measure") as pool:
        return np.stack(list(pool.map(features_of, pictures)))
