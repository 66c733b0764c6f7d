"""A map of a run's pictures: where each lies, its colour, and what its clusters say."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from pipelines.config import option
from pipelines.contract import Array, Prediction
from pipelines.core.classification import statistics
from pipelines.core.classification.embedding import (
    CLUSTERINGS,
    MOST_POINTS,
    PROJECTIONS,
    read_neighbours,
)
from pipelines.core.classification.evaluation import classes_in
from pipelines.core.classification.index import Index
from pipelines.core.classification.labels import UNKNOWN
from pipelines.text import Text, verbatim
from pipelines.views import ScatterView, TableView, TextView

FEWEST: Final = 5
LAYOUT: Final = "without what lies far out"
"""How maps are made; changes with it, so that one kept from before is not shown."""
_LOSSES: Final = (0.1, 0.7, 2.0)
_LOSS_WORDS: Final = ("< 0.1", "0.1 – 0.7", "0.7 – 2", "> 2")
_MOST_SERIES: Final = 49  # colours times marks; the rest share the last one
_COLUMNS: Final = ("silhouette", "ari_labels", "nmi_labels", "ari_groups", "nmi_groups")


@dataclass(frozen=True)
class MapControls:
    """Choose how the map is laid out, clustered and coloured."""

    texts: ClassVar[str] = "classes_view"

    projection: str = option("pca", choices=PROJECTIONS)
    colour_by: str = option("label", choices=("label", "decided", "group", "cluster", "loss"))
    clustering: str = option("kmeans", choices=CLUSTERINGS)
    num_clusters: int = option(4, low=2, high=30, only_if=("clustering", CLUSTERINGS[:2]))


@dataclass(frozen=True)
class Atlas:
    """Hold the pictures of a map.

    Attributes:
        item_ids: `N` names.
        features: `(N, D)` float32.
        labels: `(N,)` class index, -1 for unknown.
        groups: `(N,)` names; a picture without a group has its own.
        odds: `(N, C)` probabilities.
        classes: Names of the classes.
        backbone: Name of the timm model whose features they are, "" for the model's own.
        name_of: From a class to its name as people read it.
    """

    item_ids: tuple[str, ...]
    features: Array
    labels: Array
    groups: Array
    odds: Array
    classes: tuple[str, ...]
    backbone: str = ""
    name_of: Callable[[str], Text] = verbatim

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def fingerprint(self) -> str:
        """Name of the features: a map of the same ones is not made twice."""
        digest = hashlib.sha256(np.ascontiguousarray(self.features).tobytes())
        digest.update(LAYOUT.encode())
        return digest.hexdigest()[:16]

    @property
    def has_groups(self) -> bool:
        """Whether some pictures belong together."""
        return len(np.unique(self.groups)) < len(self.groups)

    def with_features(self, features: Array, backbone: str) -> Atlas:
        """Return the map of the same pictures by the features of a backbone."""
        return dataclasses.replace(self, features=features, backbone=backbone)

    def scatter(
        self, plane: Array, controls: MapControls, clusters: Array, threshold: float
    ) -> ScatterView:
        """Draw the map.

        Args:
            plane: `(N, 2)` places.
            controls: How it was laid out, and what it is coloured by.
            clusters: `(N,)` cluster of each picture.
            threshold: Of two classes, where the second one is decided.
        """
        series, names = self._series(controls.colour_by, clusters, threshold)
        axes = ("x", "y") if controls.projection == "pca" else ("no_unit", "no_unit")
        return ScatterView(
            self._title(), plane, series, names,
            tuple(i.rsplit("/", 1)[-1] for i in self.item_ids),
            *(Text(f"classes_panel.map.{axis}") for axis in axes),
        )  # fmt: skip

    def _title(self) -> Text:
        if self.backbone:
            return Text("classes_panel.map.title_of", n=len(self), name=self.backbone)
        return Text("classes_panel.map.title", n=len(self))

    def _series(self, by: str, clusters: Array, threshold: float) -> tuple[Array, tuple[Text, ...]]:
        """Return the series of each point and the names of the series."""
        if by == "group":
            return _numbered(self.groups.tolist())
        if by == "cluster":
            words = [str(int(c)) if c >= 0 else "–" for c in clusters]
            return _numbered(words, sorted(set(words), key=lambda w: int(w) if w != "–" else 999))
        if by == "loss":
            truth = np.maximum(self.labels, 0)
            loss = -np.log(self.odds[np.arange(len(self)), truth].clip(1e-6))
            words = [_LOSS_WORDS[i] for i in np.digitize(loss, _LOSSES)]
            unknown = ["–" if t < 0 else w for t, w in zip(self.labels, words, strict=True)]
            return _numbered(unknown, [*_LOSS_WORDS, "–"])
        decided = statistics.decide(self.odds, threshold)
        numbers = decided if by == "decided" else self.labels
        names = [*self.classes, "–"]  # -1, without a label, is the last one
        return _numbered([names[int(n)] for n in numbers], names, self.name_of)

    def cluster_table(self, scores: Mapping[str, float]) -> TableView:
        """Say what the clusters agree with."""
        return TableView(
            Text("classes_panel.map.scores"),
            tuple(Text(f"classes_panel.map.{c}") for c in _COLUMNS),
            (tuple(scores[c] for c in _COLUMNS),), "clusters.csv",
        )  # fmt: skip


def read_aloud(shares: Mapping[str, float]) -> TextView:
    """Say whether the features speak of the class, of the subject, or of both."""
    verdict = read_neighbours(shares)
    if verdict == "unknown":
        if math.isnan(shares["same_label"]):
            return TextView(Text("classes_panel.map.unlabelled"), tone="info")
        words = Text("classes_panel.map.sees.unknown", same=shares["same_label"],
                     chance=shares["chance_label"])  # fmt: skip
        return TextView(words, tone="info")
    details = Text(
        "classes_panel.map.neighbours", same=shares["same_group"], chance=shares["chance_group"],
        other=shares["other_label"], other_chance=shares["chance_other"],
    )  # fmt: skip
    tone: Any = {"classes": "success", "both": "info"}.get(verdict, "warning")
    return TextView(Text(f"classes_panel.map.sees.{verdict}"), tone=tone, details=(details,))


def make_atlas(
    index: Index, predictions: Mapping[str, Prediction], classes: Sequence[str]
) -> Atlas | None:
    """Gather the pictures of a prediction that have features, evenly thinned to a map's size.

    Returns:
        None for fewer than five.
    """
    names = [i for i, p in predictions.items() if "features" in p.values and i in index.places]
    if len(names) < FEWEST:
        return None
    if len(names) > MOST_POINTS:
        names = [names[i] for i in np.linspace(0, len(names) - 1, MOST_POINTS).astype(int)]
    values = [predictions[i].values for i in names]
    tags = [index.labels.tags[index.places[i]] for i in names]
    return Atlas(
        tuple(names),
        np.stack([v["features"] for v in values]).astype(np.float32),
        np.array([t.label if t.label != UNKNOWN else -1 for t in tags]),
        np.array([t.group or i for t, i in zip(tags, names, strict=True)]),
        np.stack([v["probabilities"] for v in values]),
        classes_in(values[0], classes),
    )


def _numbered(
    words: Sequence[str],
    order: Sequence[str] | None = None,
    name_of: Callable[[str], Text] = verbatim,
) -> tuple[Array, tuple[Text, ...]]:
    present = set(words)
    names = [w for w in (order or sorted(present)) if w in present]
    place = {name: min(i, _MOST_SERIES - 1) for i, name in enumerate(names)}
    return np.array([place[w] for w in words]), tuple(name_of(n) for n in names[:_MOST_SERIES])
