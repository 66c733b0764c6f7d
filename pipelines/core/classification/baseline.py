"""The plain baseline: measured numbers of a picture and a logistic regression.

It learns in seconds, needs no GPU, and says by its weights what it goes by. Where a network does
not beat it on subjects that it has not seen, the network has learned the subjects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.core.classification.features import describe_picture
from pipelines.core.classification.images import Pixels

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


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
        """Return `(N, C)` float64 probabilities of `(N, F)` numbers."""
        scaled = ((features - self.mean) / self.spread).clip(-8, 8)
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


def fit_linear(
    features: Array, labels: Array, num_classes: int, *, strength: float, balanced: bool
) -> LinearModel:
    """Fit the regression.

    Args:
        features: `(N, F)`.
        labels: `(N,)` class indices; at least two of them occur.
        num_classes: Classes; those without a picture are never decided.
        strength: Inverse of the penalty on the weights (scikit-learn's C).
        balanced: Whether all classes weigh the same.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread < 1e-6, 1.0, spread)
    scaled = ((features - mean) / spread).clip(-8, 8)
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
