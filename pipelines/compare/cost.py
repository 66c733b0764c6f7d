"""What a model cost: time, parameters, energy where it was read, and how fast it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.actions import OUT_OF_FOLD
from pipelines.core.checkpoints import CheckpointCard, load_card
from pipelines.core.energy import energy_of
from pipelines.errors import CheckpointError
from pipelines.jobs.store import Run

_PREDICTING: Final = "jobs.stage.predicting"


@dataclass(frozen=True)
class Cost:
    """Hold what a model cost; None is what nobody measured.

    Attributes:
        training_s: Seconds of training.
        num_parameters: Weights of the network.
        items_per_s: Items predicted and scored in a second.
        energy_j: Energy that the machine's processors used during the run, in joule.
        device: Device of the training.
    """

    training_s: float | None = None
    num_parameters: int | None = None
    items_per_s: float | None = None
    energy_j: float | None = None
    device: str = ""


def cost_of_run(run: Run) -> Cost:
    """Read the cost of the model that a run made or used."""
    card = _card_of(run)
    speed = _speed_of(run)
    if card is None:
        return Cost(items_per_s=speed)
    return Cost(
        training_s=card.seconds or None,
        num_parameters=card.num_parameters or None,
        items_per_s=speed,
        energy_j=energy_of(run.folder) if run.request.action == "train" else None,
        device=card.device,
    )


def add_costs(costs: Sequence[Cost]) -> Cost:
    """Return the cost of several models that are used together: each has to answer."""
    speeds = [c.items_per_s for c in costs]
    parameters = _sum([c.num_parameters for c in costs])
    return Cost(
        training_s=_sum([c.training_s for c in costs]),
        num_parameters=None if parameters is None else int(parameters),
        items_per_s=None if None in speeds else 1 / sum(1 / s for s in speeds if s),
        energy_j=_sum([c.energy_j for c in costs]),
        device=", ".join(dict.fromkeys(c.device for c in costs if c.device)),
    )


def _speed_of(run: Run) -> float | None:
    """Return how many items a second were predicted and scored."""
    state = run.state
    if run.request.action == "predict" and state.worked_s > 0 and state.total > 0:
        return state.total / state.worked_s
    if state.stage is None or state.stage.id != _PREDICTING or _is_cross_fitted(run):
        return None
    return state.speed  # a training ends by predicting what was held out


def _is_cross_fitted(run: Run) -> bool:
    """Tell whether its scores are of parts of the model, each read from what training kept.

    The model that was kept never answered in that run, so its speed is not known from it.
    """
    scores = run.scores() or {}
    return OUT_OF_FOLD in scores.get("parts", {})


def _card_of(run: Run) -> CheckpointCard | None:
    folder = run.checkpoint or (Path(run.request.checkpoint) if run.request.checkpoint else None)
    if folder is None:
        return None
    try:
        return load_card(folder)
    except CheckpointError:
        return None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
