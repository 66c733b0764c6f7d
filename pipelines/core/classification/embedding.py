"""A map of pictures by what a model makes of them, and clusters in it, scored against labels.

Neighbours tell what a model sees: when those of other subjects share a picture's class no more
often than chance, the model sees who it is and not what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Projection = Literal["pca", "tsne", "umap"]
Clustering = Literal["kmeans", "gaussian", "hdbscan"]
PROJECTIONS: Final[tuple[Projection, ...]] = ("pca", "tsne", "umap")
CLUSTERINGS: Final[tuple[Clustering, ...]] = ("kmeans", "gaussian", "hdbscan")

NUM_COMPONENTS: Final = 30
MOST_POINTS: Final = 10_000
"""Pictures on a map; of more, as many are taken, evenly spread."""
_MOST_SILHOUETTE: Final = 4000
_NUM_NEIGHBOURS: Final = 10
_MOST_NEIGHBOURS: Final = 100
_FEWEST: Final = 10
_CLIP: Final = 4.0
"""Standard deviations from the mean beyond which a feature counts no further."""
_CLIP_ROUNDS: Final = 5


@dataclass(frozen=True)
class Analysis:
    """Hold map and clusters.

    Attributes:
        columns: Name to `(N,)` values: pca_x, pca_y, tsne_x, ..., and a number a clustering.
        scores: Clustering to silhouette, ARI and NMI against labels and groups.
        neighbours: What nearest neighbours share; see `compare_neighbours`.
    """

    columns: Mapping[str, Array]
    scores: dict[str, dict[str, float]]
    neighbours: dict[str, float]


def reduce_features(features: Array, num_components: int = NUM_COMPONENTS) -> Array:
    """Scale features and keep their main directions, `(N, K)` float32, largest spread first.

    The sign of a direction is fixed (its largest weight is positive), so that a map does not flip
    between two calls.
    """
    scaled = _scale(features)
    count = min(num_components, *scaled.shape)
    left, values, right = np.linalg.svd(scaled.astype(np.float64), full_matrices=False)
    rows = np.arange(len(right))
    signs = np.sign(right[rows, np.abs(right).argmax(axis=1)])
    return np.asarray((left * values * signs)[:, :count], np.float32)


def _scale(features: Array) -> Array:
    """Give every feature mean 0 and spread 1 without what lies far out.

    One torn cell must not take a whole direction of the map for itself. It widens the spread by
    which it is judged, so the limits are drawn in a few rounds.
    """
    for _ in range(_CLIP_ROUNDS):
        mean, spread = features.mean(axis=0), features.std(axis=0)
        features = features.clip(mean - _CLIP * spread, mean + _CLIP * spread)
    return np.asarray((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6))


def project(features: Array, how: Projection, seed: int = 0) -> Array:
    """Lay features out in the plane, `(N, 2)` float32; the same features give the same map."""
    reduced = reduce_features(features)
    if how == "pca" or len(features) < _FEWEST:
        missing = max(0, 2 - reduced.shape[1])
        return np.asarray(np.pad(reduced[:, :2], ((0, 0), (0, missing))), np.float32)
    if how == "umap":
        return _umap(reduced, seed)
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]

    perplexity = min(30.0, (len(features) - 1) / 3)
    layout = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=None)
    return np.asarray(layout.fit_transform(reduced), np.float32)


def _umap(reduced: Array, seed: int) -> Array:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed costs its parallel mode, on every call
        import umap  # type: ignore[import-untyped]

        layout = umap.UMAP(
            n_neighbors=min(15, len(reduced) - 1), init="pca", random_state=seed, n_jobs=1
        )
        return np.asarray(layout.fit_transform(reduced), np.float32)


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

    # in ten directions: density means little in thirty; few samples, else all of it is noise
    size = max(5, len(features) // 100)
    model = HDBSCAN(min_cluster_size=size, min_samples=5, copy=True)
    return cast("Array", model.fit_predict(reduced[:, :10]))


def score_clusters(
    features: Array, clusters: Array, labels: Array, groups: Array
) -> dict[str, float]:
    """Compare clusters with labels and groups.

    Returns:
        silhouette in [-1, 1]; ari and nmi against labels (of labelled pictures) and against groups
        (of pictures whose group has others); NaN where there is nothing to compare. Pictures
        outside of every cluster (HDBSCAN) are left out.
    """
    from sklearn.metrics import (  # type: ignore[import-untyped]
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    scores = {name: float("nan") for name in (
        "silhouette", "ari_labels", "nmi_labels", "ari_groups", "nmi_groups"
    )}  # fmt: skip
    inside = np.asarray(clusters >= 0)
    if len(np.unique(clusters[inside])) > 1:
        reduced = reduce_features(features)[inside]
        size = min(_MOST_SILHOUETTE, len(reduced))
        scores["silhouette"] = float(
            silhouette_score(reduced, clusters[inside], sample_size=size, random_state=0)
        )
    for name, truth, use in (
        ("labels", labels, inside & (labels >= 0)),
        ("groups", groups, inside & _has_company(groups)),
    ):
        if use.any():
            scores[f"ari_{name}"] = float(adjusted_rand_score(truth[use], clusters[use]))
            scores[f"nmi_{name}"] = float(normalized_mutual_info_score(truth[use], clusters[use]))
    return scores


def _has_company(groups: Array) -> Array:
    """Tell of each picture whether its group has another one; `(N,)` bool."""
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] > 1)


def compare_neighbours(features: Array, labels: Array, groups: Array) -> dict[str, float]:
    """Say how often the ten nearest neighbours of a picture share its subject and its class.

    A subject of a medical data set mostly has one class only, so neighbours of the same subject
    share the class whatever the model sees. Those of other subjects do so only when the features
    speak of the class.

    Args:
        features: `(N, D)`.
        labels: `(N,)` class index, -1 for unknown.
        groups: `(N,)` names.

    Returns:
        Shares in [0, 1]: same_group and chance_group; same_label and chance_label; and the latter
        two among neighbours of other groups, other_label and chance_other. NaN where there are no
        labels or no groups.
    """
    from sklearn.neighbors import NearestNeighbors  # type: ignore[import-untyped]

    found = {name: float("nan") for name in (
        "same_label", "chance_label", "same_group", "chance_group", "other_label", "chance_other"
    )}  # fmt: skip
    labelled = np.flatnonzero(labels >= 0)
    if len(labelled) < _FEWEST:
        return found
    labels, groups = labels[labelled], np.unique(groups[labelled], return_inverse=True)[1]
    reduced = reduce_features(features[labelled])
    count = min(_MOST_NEIGHBOURS, len(reduced) - 1)
    finder = NearestNeighbors(n_neighbors=count + 1).fit(reduced)
    near = finder.kneighbors(reduced, return_distance=False)[:, 1:]
    is_group = groups[near] == groups[:, None]
    is_label = labels[near] == labels[:, None]
    found["same_label"] = float(is_label[:, :_NUM_NEIGHBOURS].mean())
    found["chance_label"] = _chance(labels)
    if not _has_company(groups).any() or len(np.unique(groups)) < 2:
        return found
    found["same_group"] = float(is_group[:, :_NUM_NEIGHBOURS].mean())
    found["chance_group"] = _chance(groups)
    is_first_other = ~is_group & (np.cumsum(~is_group, axis=1) <= _NUM_NEIGHBOURS)
    if is_first_other.any():
        found["other_label"] = float(is_label[is_first_other].mean())
        found["chance_other"] = _chance_of_others(labels, groups)
    return found


def _chance(values: Array) -> float:
    """Return how often two different pictures share a value by chance."""
    counts = np.unique(values, return_counts=True)[1].astype(float)
    total = counts.sum()
    return float((counts * (counts - 1)).sum() / (total * (total - 1)))


def _chance_of_others(labels: Array, groups: Array) -> float:
    """Return how often two pictures of different groups share a label by chance."""
    counts = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1))
    np.add.at(counts, (groups, labels), 1)
    of_group, of_label = counts.sum(1, keepdims=True), counts.sum(0)
    pairs = (of_group * (counts.sum() - of_group)).sum()
    return float((counts * (of_label - counts)).sum() / pairs) if pairs else float("nan")


def read_neighbours(shares: Mapping[str, float]) -> str:
    """Return what the neighbours say: "classes", "groups", "both", "neither" or "unknown".

    The classes are seen when neighbours of other subjects agree at least a fifth of the way from
    chance to always; subjects when neighbours share them three times as often as by chance.
    """
    if np.isnan(shares["other_label"]):
        return "unknown"
    chance = shares["chance_other"]
    sees_classes = shares["other_label"] - chance > 0.2 * (1 - chance)
    sees_groups = shares["same_group"] > 3 * shares["chance_group"]
    if sees_classes:
        return "both" if sees_groups else "classes"
    return "groups" if sees_groups else "neither"


def study_clusters(
    features: Array, labels: Array, groups: Array, how: Clustering, number: int
) -> tuple[Array, dict[str, float]]:
    """Cluster, and score the clusters: what a page asks another process for."""
    clusters = cluster(features, how, min(number, len(features)))
    return clusters, score_clusters(features, clusters, labels, groups)


def analyse(features: Array, labels: Array, groups: Array, *, num_clusters: int) -> Analysis:
    """Project and cluster in every way; of more than `MOST_POINTS` the projections leave some out.

    Args:
        features: `(N, D)`.
        labels: `(N,)` class index, -1 for unknown.
        groups: `(N,)` names.
        num_clusters: Of k-means and the Gaussian mixture.
    """
    columns: dict[str, Array] = {}
    ways = PROJECTIONS if len(features) <= MOST_POINTS else ("pca",)
    for way in ways:
        plane = project(features, way)
        columns[f"{way}_x"], columns[f"{way}_y"] = plane[:, 0], plane[:, 1]
    scores: dict[str, dict[str, float]] = {}
    for kind in CLUSTERINGS:
        columns[kind], scores[kind] = study_clusters(features, labels, groups, kind, num_clusters)
    some = np.unique(np.linspace(0, len(features) - 1, MOST_POINTS).astype(int))
    return Analysis(columns, scores, compare_neighbours(features[some], labels[some], groups[some]))
