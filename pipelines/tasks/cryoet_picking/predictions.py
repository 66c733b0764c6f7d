"""Predict tomograms, write what the field uses, and open it again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from pipelines.contract import DatasetRecord, OperatingPoint, Prediction, RunReporter, Sample
from pipelines.core.arrays import read_arrays
from pipelines.core.files import parse_json, replaced_file, write_json
from pipelines.errors import CheckpointMismatchError, DataFormatError
from pipelines.tasks.cryoet_picking import particles as kinds_of
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.copick_files import write_picks
from pipelines.tasks.cryoet_picking.data import Geometry, require_volume
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, Particle, names
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.splits import HELD_OUT
from pipelines.tasks.cryoet_picking.submission import FILENAME, read_submission, write_submission
from pipelines.text import Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES: Final = "candidates"
POINT: Final = "operating_point.json"
PICKS: Final = "picks"
USER: Final = "model"
DEFAULT_THRESHOLD: Final = 0.3


def predict_samples(
    checkpoint: Path,
    samples: Sequence[Sample],
    config: Config,
    run: RunReporter,
    *,
    is_cross_fitted: bool = False,
) -> Iterator[Prediction]:
    """Pick in tomograms one by one; a prediction holds every candidate with its score.

    Args:
        checkpoint: Folder with weights and card; `config.more_checkpoints` adds others.
        samples: Tomograms.
        config: How to predict; what fixes the network comes from the card.
        run: Takes progress and wishes.
        is_cross_fitted: Whether each tomogram, of the training then, is answered by the one network
            of the checkpoint that was trained without it.

    Raises:
        CheckpointMismatchError: Checkpoints of other kinds of particle than the first.
    """
    from pipelines.core.checkpoints import load_card
    from pipelines.core.device import DeviceWish, choose_device
    from pipelines.tasks.cryoet_picking.infer import pick
    from pipelines.tasks.cryoet_picking.volumes import normalised

    folders = [checkpoint, *(Path(p) for p in config.more_checkpoints.split(";") if p.strip())]
    cards = [load_card(folder, task_id="cryoet_picking") for folder in folders]
    particles = kinds_of.from_json(str(cards[0].extra.get("particles", "")))
    _check_alike(cards)
    config = _trained_with(config, cards[0])
    device = choose_device(cast("DeviceWish", config.device))
    score = _scorer(folders, cards, config, device, run)
    held_out = held_out_by(cards[0])
    for sample in samples:
        require_volume(sample)
        geometry: Geometry = sample.meta["geometry"]
        volume = normalised(sample.image)
        only = held_out[sample.item_id] if is_cross_fitted else None
        scores = score(volume, geometry.spacing_angstrom, only)
        del volume
        if run.stop_wish() is not None:
            return
        picks = pick(scores, particles, geometry, config, experiment=sample.item_id)
        thresholds = cards[0].operating_point
        yield to_prediction(picks, particles, thresholds, group=sample.group)


def _scorer(
    folders: Sequence[Path], cards: Sequence[Any], config: Config, device: Any, run: RunReporter
) -> Any:  # function from (Z, Y, X) float16, spacing, network or None to (K, Z', Y', X') float32
    from pipelines.tasks.cryoet_picking.baseline import BASELINES
    from pipelines.tasks.cryoet_picking.infer import make_ready, predict_scores
    from pipelines.tasks.cryoet_picking.model import load_networks

    if cards[0].architecture["name"] in BASELINES:
        return _baseline(folders[0], cards[0])
    networks = [
        make_ready(model, device, is_heat=card.architecture["target"] == "gaussian")
        for folder, card in zip(folders, cards, strict=True)
        for model in load_networks(folder)
    ]

    def score(
        volume: NDArray[np.float16], _spacing_angstrom: float, only: int | None
    ) -> NDArray[np.float32]:
        asked = networks if only is None else [networks[only]]
        return predict_scores(
            asked, volume, config, is_cancelled=lambda: run.stop_wish() is not None
        )

    return score


def _baseline(folder: Path, card: Any) -> Any:  # function as `_scorer` returns
    from pipelines.core.checkpoints import load_weights
    from pipelines.tasks.cryoet_picking.baseline import match_blobs, match_templates

    name = card.architecture["name"]
    learned = load_weights(folder)[name].numpy()
    particles = kinds_of.from_json(str(card.extra.get("particles", "")))
    if name == "templates":
        return lambda volume, _spacing, _only: match_templates(volume, learned)
    return lambda volume, spacing, _only: match_blobs(volume, learned, particles, spacing)


def held_out_by(card: Any) -> dict[str, int]:
    """Return tomogram to the network that was trained without it, of a checkpoint's card."""
    return {str(k): int(v) for k, v in card.extra.get(HELD_OUT, {}).items()}


def _check_alike(cards: Sequence[Any]) -> None:
    first = cards[0]
    for card in cards[1:]:
        same = card.extra.get("particles") == first.extra.get("particles")
        strides = {c.architecture["name"] == "light" for c in (card, first)}
        if not same or len(strides) > 1:
            raise CheckpointMismatchError(Text("cryoet.other_kinds", title=card.title or "?"))


def _trained_with(config: Config, card: Any) -> Config:
    """Take from the card what only the training decides."""
    fixed = ("architecture", "width", "target", "radius_share")
    return dataclasses.replace(config, **{n: card.config[n] for n in fixed if n in card.config})


# --- the contract's form --------------------------------------------------------------------------


def to_prediction(
    picks: Picks, particles: Sequence[Particle], thresholds: Mapping[str, float], *, group: str
) -> Prediction:
    """Put candidates of one tomogram into arrays.

    `kind_index` (N,), `positions` (N, 3) z y x in angstrom, `scores` (N,) in [0, 1], `kinds` (K,)
    names; `thresholds` as JSON by kind: candidates below are written nowhere but here;
    `particles` as JSON.
    """
    single = thresholds.get("threshold", DEFAULT_THRESHOLD)
    values: dict[str, NDArray[Any]] = {
        "kind_index": picks.kind_index,
        "positions": picks.positions,
        "scores": picks.scores,
        "kinds": np.array(picks.kinds),
    }
    # Not scores of the network but what the files were cut at: kept as words, as the kinds are.
    frozen = {k: float(thresholds.get(k, single)) for k in picks.kinds}
    values["thresholds"] = np.array(json.dumps(frozen))
    values["particles"] = np.array(kinds_of.to_json(particles))
    return Prediction(picks.experiments[0], group, values)


def candidates_of(prediction: Prediction) -> Picks:
    """Return all candidates of a prediction."""
    values = prediction.values
    return Picks.of_one(
        prediction.item_id,
        tuple(values["kinds"].tolist()),
        values["kind_index"],
        values["positions"],
        values["scores"],
    )


def picks_at(candidates: Picks, thresholds: Mapping[str, float]) -> Picks:
    """Keep the candidates that reach the threshold of their kind ("threshold" for the others)."""
    single = thresholds.get("threshold", DEFAULT_THRESHOLD)
    limits = np.array([thresholds.get(k, single) for k in candidates.kinds] or [0.0])
    return candidates.take(candidates.scores >= limits[candidates.kind_index] - 1e-6)


def thresholds_of(prediction: Prediction) -> dict[str, float]:
    """Return the thresholds that a prediction was written with, by kind."""
    frozen: dict[str, float] = json.loads(str(prediction.values["thresholds"]))
    return frozen


def particles_in(prediction: Prediction) -> tuple[Particle, ...]:
    """Return the kinds that a prediction is about."""
    stored = prediction.values.get("particles")
    return kinds_of.from_json(str(stored)) if stored is not None else CHALLENGE


def write_all(
    predictions: Iterable[Prediction], record: DatasetRecord, folder: Path
) -> Iterator[Prediction]:
    """Write `submission.csv`, copick JSON below `picks/`, and all candidates, passing each one on.

    The submission is written anew after each tomogram, so that a stopped run leaves a whole one.
    What an earlier prediction left in the folder goes with the first tomogram.
    """
    tables: list[Picks] = []
    for prediction in predictions:
        if not tables:
            _forget_former(folder)
        values: dict[str, Any] = {n: v for n, v in prediction.values.items()}
        with replaced_file(folder / CANDIDATES / f"{prediction.item_id}.npz") as file:
            np.savez_compressed(file, group=np.array(prediction.group), **values)
        thresholds = thresholds_of(prediction)
        picks = picks_at(candidates_of(prediction), thresholds)
        write_picks(folder / PICKS, picks, user=USER, session="1", kinds=picks.kinds)
        tables.append(picks)
        write_submission(folder / FILENAME, Picks.concatenate(tables), particles_in(prediction))
        write_json(folder / POINT, {"thresholds": thresholds, "record": record.title})
        yield prediction


def _forget_former(folder: Path) -> None:
    """Remove candidates and picks of an earlier prediction, which would be scored with this one."""
    for file in (folder / CANDIDATES).glob("*.npz"):
        file.unlink()
    for file in (folder / PICKS).glob(f"ExperimentRuns/*/Picks/{USER}_*.json"):
        file.unlink()
    (folder / CANDIDATES).mkdir(parents=True, exist_ok=True)


class _Stored(Mapping[str, Prediction]):
    """Open predictions when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._files = {p.stem: p for p in sorted(folder.glob("*.npz"))}

    def __getitem__(self, item_id: str) -> Prediction:
        values = read_arrays(self._files[item_id])
        if not _are_candidates(values):
            raise DataFormatError(Text("files.damaged_arrays", file=self._files[item_id].name))
        return Prediction(item_id, str(values.pop("group")), values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _are_candidates(values: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether arrays fit together as `to_prediction` made them."""
    try:
        count = len(values["scores"])
        index, kinds = values["kind_index"], values["kinds"]
        numbers = (values["positions"], values["scores"])
        shapes = values["positions"].shape == (count, 3) and index.shape == (count,)
        names = kinds.ndim == 1 and kinds.dtype.kind == "U"
        words = all(values[n].ndim == 0 for n in ("group", "thresholds"))
        is_within = not count or (index.min() >= 0 and index.max() < len(kinds))
        limits = parse_json(str(values["thresholds"])).values()
        is_cut = all(isinstance(limit, (int, float)) for limit in limits)
        kinds_of.from_json(str(values.get("particles", "")))
        is_finite = all(bool(np.isfinite(n).all()) for n in numbers)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    return bool(shapes and names and words and is_within and is_cut and is_finite)


def open_all(path: Path) -> Mapping[str, Prediction]:
    """Open a prediction folder, or a submission file of anybody.

    Raises:
        DataFormatError: Neither candidates nor a submission stand there.
    """
    if path.is_dir() and (path / CANDIDATES).is_dir():
        return _Stored(path / CANDIDATES)
    file = path if path.is_file() else path / FILENAME
    if not file.is_file():
        raise DataFormatError(Text("cryoet.no_prediction", path=str(path)))
    table = read_submission(file.read_bytes(), CHALLENGE, file=file.name)
    everything = {"threshold": 0.0}
    return Submitted(
        (e, to_prediction(table.of_experiment(e), CHALLENGE, everything, group=e))
        for e in table.experiments
    )


class Submitted(dict[str, Prediction]):
    """Hold predictions read from a submission, where a missing tomogram means no picks."""


def complete_submission(
    predictions: Mapping[str, Prediction], truths: Mapping[str, Any]
) -> Mapping[str, Prediction]:
    """Add empty predictions for the tomograms that a submission leaves out."""
    if not isinstance(predictions, Submitted):
        return predictions
    absent = [e for e in truths if e not in predictions]
    nothing = {
        e: to_prediction(Picks.empty(e, names(CHALLENGE)), CHALLENGE, {"threshold": 0.0}, group=e)
        for e in absent
    }
    return {**predictions, **nothing}


def frozen_point(path: Path) -> OperatingPoint | None:
    """Return the thresholds that a prediction was written with; of a submission all picks count."""
    file = path / POINT
    if not file.is_file():
        is_submission = path.is_file() or (path / FILENAME).is_file()
        return OperatingPoint({"threshold": 0.0}) if is_submission else None
    try:
        thresholds = {k: float(v) for k, v in parse_json(file.read_bytes())["thresholds"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFormatError(Text("cryoet.broken_json", file=file.name)) from error
    return OperatingPoint(thresholds, source="validation")
