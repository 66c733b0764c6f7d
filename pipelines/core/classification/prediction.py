"""Apply a checkpoint to pictures: probabilities, features, and where the network looked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.contract import Sample
from pipelines.core.arrays import read_arrays
from pipelines.core.checkpoints import (
    CARD,
    CheckpointCard,
    find_checkpoint,
    load_card,
    load_weights,
)
from pipelines.core.classification import baseline
from pipelines.core.classification.augment import ColourScale
from pipelines.core.classification.images import Pixels, fit_square, num_decoders
from pipelines.core.classification.networks import (
    Classifier,
    NetworkPlan,
    TimmClassifier,
    build_network,
    grad_cam,
    symmetries,
)
from pipelines.core.classification.statistics import temper
from pipelines.core.device import autocast, choose_device
from pipelines.core.seeding import torch_seeded
from pipelines.errors import CheckpointError, CheckpointMismatchError
from pipelines.text import Text

Array = NDArray[Any]
BATCH: Final = 64
BACKBONE_PX: Final = 96
"""Side at which a backbone looks at pictures: enough for a map, quick on a CPU."""
NEAREST: Final = 6
TRAIN_FEATURES: Final = "train_features.npz"
MOST_REMEMBERED: Final = 5000
"""Training pictures whose features stand beside a checkpoint, to find the most similar ones."""


_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Answer:
    """Hold what a model says of a batch.

    Attributes:
        probabilities: `(B, C)` float64, rows summing to 1.
        features: `(B, D)` float32.
        cams: `(B, h, w)` float32 in [0, 1], or None where nothing can be shown.
    """

    probabilities: Array
    features: Array
    cams: Array | None


class Model:
    """Hold a loaded checkpoint, whatever its kind."""

    def __init__(self, folder: Path, task_id: str, device: str) -> None:
        self.folder = find_checkpoint(folder)
        self.card: CheckpointCard = load_card(folder, task_id=task_id)
        self.classes = self._said("extra", "classes", _words)
        self.image_px = self._said("config", "image_px", int)
        self.crop_px = self._said("config", "crop_px", int)
        self.temperature = float(self.card.extra.get("temperature", 1.0))
        self._kind = self._said("architecture", "kind", str)
        weights = load_weights(folder, task_id=task_id)
        self._statistics: baseline.LinearModel | None = None
        if self._kind == "statistics":
            self._statistics = self._fitting(baseline.from_weights, weights)
        else:
            self._load_network(weights, device)

    def _said(self, part: str, name: str, read: Callable[[Any], _Read]) -> _Read:
        """Read what the card must say; a card that was made or changed by hand may lack it.

        Raises:
            CheckpointError: It is missing, or of another kind.
        """
        try:
            return read(getattr(self.card, part)[name])
        except (KeyError, TypeError, ValueError) as error:
            problem = "card_lacks" if isinstance(error, KeyError) else "card_wrong"
            file, names = str(self.folder / CARD), f"{part}.{name}"
            raise CheckpointError(Text(f"checkpoints.{problem}", file=file, names=names)) from error

    def _fitting(self, build: Callable[[Any], _Read], weights: dict[str, Tensor]) -> _Read:
        """Build a model of its weights.

        Raises:
            CheckpointMismatchError: They have other names or shapes than the card says.
        """
        try:
            return build(weights)
        except (RuntimeError, TypeError) as error:
            text = Text("classes.weights_do_not_fit", folder=str(self.folder))
            raise CheckpointMismatchError(text) from error

    def _load_network(self, weights: dict[str, Tensor], device: str) -> None:
        self._name = self._said("architecture", "name", str)
        colours = (self._said("extra", n, _colour) for n in ("colour_mean", "colour_spread"))
        self._scale = ColourScale(*colours)
        self._network = self._fitting(self._build, weights)
        self._device = choose_device(cast("Any", device))
        self._network.eval().to(self._device)

    def _build(self, weights: dict[str, Tensor]) -> Classifier:
        names = NetworkPlan.__dataclass_fields__
        stored = {n: v for n, v in self.card.architecture.items() if n in names}
        network, _ = build_network(NetworkPlan(**stored))
        network.load_state_dict(weights)
        return network

    @property
    def network(self) -> Classifier:
        """The network; only there for checkpoints of networks."""
        return self._network

    def prepare(self, pixels: Pixels) -> Pixels:
        """Bring a picture to the size that the model reads."""
        return fit_square(pixels, self.image_px, self.crop_px)

    def scale(self, squares: Array) -> Array:
        """Turn `(B, H, W, 3)` uint8 into what the network takes, `(B, 3, H, W)` float32."""
        return np.asarray(self._scale.apply(squares), np.float32)

    def answer(self, pictures: Sequence[Pixels], *, has_flips: bool, has_cams: bool) -> Answer:
        """Classify pictures; the probabilities are brought to the checkpoint's temperature.

        Args:
            pictures: Each `(H, W, 3)` uint8 of any size.
            has_flips: Whether the eight turned and mirrored copies are averaged; it changes nothing
                for the symmetric network, which is then asked once.
            has_cams: Whether to show where the network looked.
        """
        squares = np.stack([self.prepare(p) for p in pictures])
        return self.answer_squares(squares, has_flips=has_flips, has_cams=has_cams)

    def answer_squares(self, squares: Array, *, has_flips: bool, has_cams: bool) -> Answer:
        """Classify `(B, H, W, 3)` pictures that have the model's size already, as `answer` does."""
        if self._statistics is not None:
            features = baseline.measure_all(squares, num_decoders())
            raw = Answer(self._statistics.probabilities(features), features, None)
        else:
            x = torch.from_numpy(self._scale.apply(squares)).to(self._device)
            raw = self._answer(x, has_flips=has_flips, has_cams=has_cams)
        if self.temperature == 1:
            return raw
        return dataclasses.replace(raw, probabilities=temper(raw.probabilities, self.temperature))

    @torch.no_grad()
    def _answer(self, x: Tensor, *, has_flips: bool, has_cams: bool) -> Answer:
        net = self._network
        is_symmetric = self._name == "symmetric"
        copies = symmetries(x) if has_flips and not is_symmetric else [x]
        with autocast(self._device):
            features = net.embed(net.maps(copies[0]))
            odds = [net.classify(features).float().softmax(1)]
            odds += [net(copy.contiguous()).float().softmax(1) for copy in copies[1:]]
            cams = grad_cam(net, x).cpu().numpy() if has_cams else None
        mean = torch.stack(odds).mean(0).double()
        probabilities = (mean / mean.sum(1, keepdim=True)).cpu().numpy()
        return Answer(probabilities, features.float().cpu().numpy(), cams)


class Average:
    """Answer by the mean probabilities of several models; features and maps are the first one's."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = tuple(models)
        first = self._models[0]
        self.folder, self.card, self.classes = first.folder, first.card, first.classes
        self.temperature = 1.0  # each one has its own
        for other in self._models[1:]:
            if other.classes != first.classes:
                raise CheckpointMismatchError(
                    Text("classes.average_of_others", folder=str(other.folder),
                         got=", ".join(other.classes), wanted=", ".join(first.classes))
                )  # fmt: skip

    def answer(self, pictures: Sequence[Pixels], *, has_flips: bool, has_cams: bool) -> Answer:
        """Classify pictures by every model."""
        first, *others = self._models
        found = first.answer(pictures, has_flips=has_flips, has_cams=has_cams)
        odds = [found.probabilities]
        for model in others:
            answer = model.answer(pictures, has_flips=has_flips, has_cams=False)
            odds.append(answer.probabilities)
        return dataclasses.replace(found, probabilities=np.mean(odds, axis=0))


def _words(value: Any) -> tuple[str, ...]:  # as it stands in a card
    if isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise TypeError(value)


def _colour(value: Any) -> tuple[float, float, float]:  # as it stands in a card
    red, green, blue = value
    return float(red), float(green), float(blue)


def open_models(folders: Sequence[Path], task_id: str, device: str) -> Model | Average:
    """Open one checkpoint, or several whose answers are averaged.

    Raises:
        CheckpointError: One is missing or of another task, or their classes differ.
    """
    models = [Model(folder, task_id, device) for folder in folders]
    return models[0] if len(models) == 1 else Average(models)


def answers(
    model: Model | Average,
    pictures: Iterator[Pixels | Exception],
    *,
    has_flips: bool,
    has_cams: bool,
) -> Iterator[tuple[Answer, int] | None]:
    """Classify a stream in batches, in its order.

    Returns:
        An answer with the place inside it for each picture; None for one that could not be read.
    """
    batch: list[Pixels | None] = []
    for pixels in pictures:
        batch.append(None if isinstance(pixels, Exception) else pixels)
        if len(batch) == BATCH:
            yield from _answers_of(model, batch, has_flips=has_flips, has_cams=has_cams)
            batch = []
    if batch:
        yield from _answers_of(model, batch, has_flips=has_flips, has_cams=has_cams)


def _answers_of(
    model: Model | Average, batch: Sequence[Pixels | None], *, has_flips: bool, has_cams: bool
) -> Iterator[tuple[Answer, int] | None]:
    readable = [p for p in batch if p is not None]
    answer = model.answer(readable, has_flips=has_flips, has_cams=has_cams) if readable else None
    place = 0
    for pixels in batch:
        if pixels is None or answer is None:
            yield None
            continue
        yield answer, place
        place += 1


def embed_by_backbone(samples: Sequence[Sample], name: str) -> tuple[Array, bool]:
    """Return what a timm model makes of pictures, without any training on them.

    Args:
        samples: Pictures; an unreadable one counts as black.
        name: Name of a timm model.

    Returns:
        `(N, D)` float32 features, and whether pretrained weights could be had; without them the
        features are those of random weights.

    Raises:
        ConfigError: No such model, or it does not fit pictures of this size.
    """
    from pipelines.core.classification.work import decoded

    plan = NetworkPlan("timm", name, 2, BACKBONE_PX, is_pretrained=True)
    with torch_seeded(0):  # random weights, where they are all there is, give the same map again
        network, note = build_network(plan)
    network.eval()
    preset = cast("TimmClassifier", network).model.pretrained_cfg
    scale = ColourScale(tuple(preset["mean"]), tuple(preset["std"]))
    black = np.zeros((BACKBONE_PX, BACKBONE_PX, 3), np.uint8)
    squares = (
        black if isinstance(p, Exception) else fit_square(p, BACKBONE_PX) for p in decoded(samples)
    )
    found: list[Array] = []
    with torch.no_grad():
        while batch := list(itertools.islice(squares, BATCH)):
            x = torch.from_numpy(scale.apply(np.stack(batch)))
            found.append(network.embed(network.maps(x)).float().numpy())
    return np.concatenate(found), note is None


class Memory:
    """Find the training pictures that resemble a picture most, in the model's own features."""

    def __init__(self, ids: Array, features: Array) -> None:
        self.ids, self._features = ids, features
        self._mean = features.mean(0)
        self._spread = features.std(0) + 1e-6
        self._known = self._unit(features)

    @classmethod
    def load(cls, folder: Path) -> Memory | None:
        """Read the features that stand beside a checkpoint, or None."""
        file = folder / TRAIN_FEATURES
        if not file.is_file():
            return None
        data = read_arrays(file)
        return cls(data["ids"], data["features"].astype(np.float32))

    def features_by_id(self) -> dict[str, Array]:
        """Return the features as they were kept, by item id."""
        return dict(zip(self.ids.tolist(), self._features, strict=True))

    def nearest(
        self, features: Array, count: int = NEAREST, *, among: Array | None = None
    ) -> Array:
        """Return `(B, count)` item ids, the most similar first (cosine of scaled features).

        Args:
            features: `(B, D)`.
            count: Most ids a picture.
            among: `(N,)` bool, the training pictures that may be named; None for all of them.
        """
        chosen = slice(None) if among is None else among
        likeness = self._unit(features) @ self._known[chosen].T
        return np.asarray(self.ids[chosen][np.argsort(-likeness, axis=1)[:, :count]])

    def _unit(self, features: Array) -> Array:
        known = features[:, : len(self._mean)]  # measured numbers that are newer come behind
        scaled = (known - self._mean) / self._spread
        norm = np.linalg.norm(scaled, axis=1, keepdims=True)
        return cast("Array", scaled / np.maximum(norm, 1e-6))


def remember(folder: Path, ids: Sequence[str], features: Array) -> None:
    """Write the features of training pictures beside a checkpoint."""
    np.savez_compressed(
        folder / TRAIN_FEATURES, ids=np.asarray(ids, np.str_), features=features.astype(np.float16)
    )
