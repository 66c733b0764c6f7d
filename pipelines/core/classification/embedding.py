"""A map of pictures by what a model makes of them, and clusters in it, scored against labels.

When clusters agree with the subjects better than with the classes, the model sees who it is and not
what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Projection = Literal["pca", "tsne"]
Clustering = Literal["kmeans", "gaussian", "hdbscan"]

NUM_COMPONENTS: Final = 30
MOST_TSNE: Final = 5000
_MOST_SILHOUETTE: Final = 4000


@dataclass(frozen=True)
class Analysis:
    """Hold map and clusters.

    Attributes:
        columns: Name to `(N,)` values: pca_x, pca_y, tsne_x, tsne_y, and a number a clustering.
        scores: Clustering to silhouette, ARI and NMI against labels and groups.
    """

    columns: Mapping[str, Array]
    scores: dict[str, dict[str, float]]


def reduce_features(features: Array, num_components: int = NUM_COMPONENTS) -> Array:
    """Scale features and keep their main directions, `(N, K)` float32, largest spread first.

    The sign of a direction is fixed (its largest weight is positive), so that a map does not flip
    between two calls.
    """
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    count = min(num_components, *scaled.shape)
    left, values, right = np.linalg.svd(scaled.astype(np.float64), full_matrices=False)
    rows = np.arange(len(right))
    signs = np.sign(right[rows, np.abs(right).argmax(axis=1)])
    return np.asarray((left * values * signs)[:, :count], np.float32)


def project(features: Array, how: Projection, seed: int = 0) -> Array:
    """Lay features out in the plane, `(N, 2)`; t-SNE is for at most `MOST_TSNE` pictures."""
    reduced = reduce_features(features)
    if how == "pca" or len(features) < 10:
        missing = max(0, 2 - reduced.shape[1])
        return np.asarray(np.pad(reduced[:, :2], ((0, 0), (0, missing))))
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]

    perplexity = min(30.0, (len(features) - 1) / 3)
    return cast(
        "Array",
        TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced),
    )


def cluster(features: Array, how: Clustering, number: int, seed: int = 0) -> Array:
    """Return the cluster of each picture, `(N,)` int; -1 for none (HDBSCAN)."""
    reduced = reduce_features(features)
    if how == "kmeans":
        from sklearn.cluster import KMeans  # type: ignore[import-untyped]

        return cast("Array", KMeans(number, n_init=4, random_state=seed).fit_predict(reduced))
    if how == "gaussian":
        from sklearn.mixture import GaussianMixture  # type: ignore[import-untyped]

        model = GaussianMixture(number, covariance_type="diag", random_state=seed, reg_covar=1e-3)
        return cast("Array", model.fit_predict(reduced.astype(np.float64)))
    from sklearn.cluster import HDBSCAN

    size = max(5, len(features) // 50)
    return cast("Array", HDBSCAN(min_cluster_size=size, copy=True).fit_predict(reduced))


def score_clusters(
    features: Array, clusters: Array, labels: Array, groups: Array
) -> dict[str, float]:
    """Compare clusters with labels and groups.

    Returns:
        silhouette in [-1, 1]; ari and nmi against labels (of labelled pictures) and against groups
        (where a group has more than one picture); NaN where there is nothing to compare.
    """
    from sklearn.metrics import (  # type: ignore[import-untyped]
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    scores = {name: float("nan") for name in (
        "silhouette", "ari_labels", "nmi_labels", "ari_groups", "nmi_groups"
    )}  # fmt: skip
    inside = clusters >= 0
    if len(np.unique(clusters[inside])) > 1:
        reduced = reduce_features(features)[inside]
        size = min(_MOST_SILHOUETTE, len(reduced))
        scores["silhouette"] = float(
            silhouette_score(reduced, clusters[inside], sample_size=size, random_state=0)
        )
    labelled = labels >= 0
    for name, truth, use in (
        ("labels", labels, labelled),
        ("groups", groups, np.full(len(groups), len(np.unique(groups)) < len(groups))),
    ):
        if use.any():
            scores[f"ari_{name}"] = float(adjusted_rand_score(truth[use], clusters[use]))
            scores[f"nmi_{name}"] = float(normalized_mutual_info_score(truth[use], clusters[use]))
    return scores


def analyse(features: Array, labels: Array, groups: Array, *, num_clusters: int) -> Analysis:
    """Project and cluster in every way.

    Args:
        features: `(N, D)`.
        labels: `(N,)` class index, -1 for unknown.
        groups: `(N,)` names.
        num_clusters: Of k-means and the Gaussian mixture.
    """
    columns: dict[str, Array] = {}
    ways: tuple[Projection, ...] = ("pca", "tsne") if len(features) <= MOST_TSNE else ("pca",)
    for way in ways:
        plane = project(features, way)
        columns[f"{way}_x"], columns[f"{way}_y"] = plane[:, 0], plane[:, 1]
    scores: dict[str, dict[str, float]] = {}
    kinds: tuple[Clustering, ...] = ("kmeans", "gaussian", "hdbscan")
    for kind in kinds:
        columns[kind] = cluster(features, kind, num_clusters)
        scores[kind] = score_clusters(features, columns[kind], labels, groups)
    return Analysis(columns, scores)
