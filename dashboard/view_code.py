"""A panel's view on the command line and in Python, with what its controls stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dashboard.choices import Choices, order_parts
from dashboard.same_code import draw_same_code
from pipelines import config as configs
from pipelines.contract import Panel, PanelContext, Task
from pipelines.core.checkpoints import CheckpointEntry
from pipelines.evidence.calls import Source, view_call
from pipelines.evidence.looks import Look
from pipelines.jobs.store import Run


@dataclass(frozen=True)
class Drawn:
    """Hold what a panel was drawn from.

    Attributes:
        panel: The panel.
        context: What it was given.
        controls: Its own settings, or None.
        names: Ids of the items that it walks through.
        answers: Whose answers are shown.
    """

    panel: Panel
    context: PanelContext
    controls: Any
    names: Sequence[str]
    answers: Literal["run", "model", "none"]


def draw_view_code(task: Task, choices: Choices, drawn: Drawn) -> None:
    """Draw how the view of a panel is had without the page."""
    panel, context = drawn.panel, drawn.context
    run = choices.run if drawn.answers == "run" else None
    model = choices.model if drawn.answers == "model" else None
    look = Look(
        item=drawn.names[context.index] if panel.is_per_item and context.index else "",
        options=_options(task, panel, context.config),
        controls=configs.changed(drawn.controls) if drawn.controls is not None else {},
        thresholds=_moved(run, model, context),
        run=run,
        part=_part(run, drawn.names),
        checkpoint=model.folder if model is not None else None,
    )
    call = view_call(task, panel.panel_id, Source.of(task, choices.record), look)
    draw_same_code(call, f"view.{panel.step}.{panel.panel_id}", "same_code.view")


def _options(task: Task, panel: Panel, config: Any) -> dict[str, Any]:
    """Return the changed options that the panel looks at: those edited beside it, or all."""
    if panel.step != "train" and not panel.config_groups:
        return {}
    changed = configs.changed(config)
    infos = {info.name: info for info in configs.describe(task.config_type)}
    groups = panel.config_groups
    return {n: v for n, v in changed.items() if not groups or infos[n].group in groups}


def _moved(
    run: Run | None, model: CheckpointEntry | None, context: PanelContext
) -> dict[str, float]:
    """Return the thresholds that were moved away from those of the run or the model."""
    if context.operating_point is None or (run is None and model is None):
        return {}
    known: dict[str, float] = {}
    if run is not None:
        known = dict((run.scores() or {}).get("operating_point", {}).get("thresholds", {}))
    elif model is not None:
        known = {n: float(v) for n, v in model.card.operating_point.items()}
    found = context.operating_point.thresholds
    return {n: v for n, v in found.items() if n not in known or not _stands_on(v, known[n])}


def _stands_on(value: float, default: float) -> bool:
    """Tell whether a slider stands where it started: sliders round to two or three decimals."""
    return value in (round(default, 2), round(default, 3), default)


def _part(run: Run | None, names: Sequence[str]) -> str:
    """Return the part of the run that is shown; "" for the one that comes first by itself."""
    parts = ((run.scores() if run is not None else None) or {}).get("parts", {})
    if len(parts) < 2 or not names:
        return ""
    ordered = order_parts(parts)
    shown = next((name for name in ordered if names[0] in parts[name]["item_ids"]), ordered[0])
    return "" if shown == ordered[0] else shown
