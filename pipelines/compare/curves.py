"""Curves of several models over one another, seeds of one recipe as a band."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.compare.comparison import Comparison
from pipelines.compare.entries import Entry
from pipelines.contract import ItemStatistics, OperatingPoint, Ranking, Task
from pipelines.text import Text
from pipelines.views import Curve, CurveView

Floats = NDArray[np.float64]
_GRID: Final = np.linspace(0, 1, 201)
_NOT_RECIPE: Final = ("seed", "device")
"""Options in which runs of one recipe may differ."""


def curve_views(comparison: Comparison, *, as_bands: bool) -> list[CurveView]:
    """Draw ROC and precision-recall curves where models rank items, else the main metric.

    Args:
        comparison: Models with their rows.
        as_bands: Whether runs of one recipe make one curve with a band from lowest to highest.
    """
    task = comparison.task
    rankings = [task.ranking(rows) for rows in comparison.common.rows]
    if all(ranking is not None for ranking in rankings):
        known = [ranking for ranking in rankings if ranking is not None]
        return [
            _view(comparison, "roc", _GRID, [_roc(r) for r in known], as_bands=as_bands),
            _view(
                comparison, "precision", _GRID, [_precision(r) for r in known], as_bands=as_bands
            ),
        ]
    grid, lines = _over_thresholds(task, comparison.common.rows)
    return [_view(comparison, "threshold", grid, lines, as_bands=as_bands)]


def recipe_of(entry: Entry) -> str:
    """Return what makes runs one recipe: every option but the seed; an ensemble is its own."""
    if len(entry.runs) > 1:
        return entry.entry_id
    request = entry.runs[0].request
    config = {name: value for name, value in request.config.items() if name not in _NOT_RECIPE}
    return json.dumps([request.action, request.task_id, config], sort_keys=True, default=str)


def _view(
    comparison: Comparison, name: str, x: Floats, lines: Sequence[Floats], *, as_bands: bool
) -> CurveView:
    entries = [standing.entry for standing in comparison.standings]
    metric = comparison.task.main_metric
    curves = _bands(entries, x, lines) if as_bands else _singles(entries, x, lines)
    items = comparison.task.items_text(len(comparison.common.items.item_ids))
    return CurveView(
        Text(f"compare.curve.{name}", metric=metric.label),
        x_label=Text(f"compare.curve.{name}.x"),
        y_label=metric.label if name == "threshold" else Text(f"compare.curve.{name}.y"),
        curves=tuple(curves),
        y_range=None if name == "threshold" else (0.0, 1.02),
        source=Text("compare.source_line", items=items),
    )


def _singles(entries: Sequence[Entry], x: Floats, lines: Sequence[Floats]) -> list[Curve]:
    return [Curve(entry.name, x, line) for entry, line in zip(entries, lines, strict=True)]


def _bands(entries: Sequence[Entry], x: Floats, lines: Sequence[Floats]) -> list[Curve]:
    """Join the curves of one recipe into their mean with a band from lowest to highest."""
    members: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        members.setdefault(recipe_of(entry), []).append(place)
    curves = []
    for places in members.values():
        joined = np.stack([lines[place] for place in places])
        if len(places) == 1:
            curves.append(Curve(entries[places[0]].name, x, joined[0]))
            continue
        name = Text("compare.recipe", n=len(places), title=entries[places[0]].title)
        band = (joined.min(axis=0), joined.max(axis=0))
        curves.append(Curve(name, x, joined.mean(axis=0), band))
    return curves


# --- lines ----------------------------------------------------------------------------------------


def _roc(ranking: Ranking) -> Floats:
    """Return the share of positives found at each share of false alarms, mean over the areas."""
    return _mean_of_areas(ranking, _roc_of)


def _roc_of(true_positive: Floats, false_positive: Floats) -> Floats:
    # of several points above one share of false alarms the highest counts
    return np.asarray(np.interp(_GRID, _norm(false_positive), _norm(true_positive)))


def _precision(ranking: Ranking) -> Floats:
    """Return the precision at each share of positives found, mean over the areas."""
    return _mean_of_areas(ranking, _precision_of)


def _precision_of(true_positive: Floats, false_positive: Floats) -> Floats:
    called = true_positive + false_positive
    precision = np.divide(true_positive, called, out=np.ones_like(called), where=called > 0)
    place = np.searchsorted(_norm(true_positive), _GRID, side="left")
    return np.asarray(precision[np.minimum(place, len(precision) - 1)])


def _mean_of_areas(ranking: Ranking, line: Callable[[Floats, Floats], Floats]) -> Floats:
    lines = []
    for area in range(ranking.scores.shape[1]):
        is_positive, scores = ranking.is_positive[:, area], ranking.scores[:, area]
        if is_positive.any() and not is_positive.all():
            lines.append(line(*_sweep(is_positive, scores)))
    return np.asarray(np.mean(lines, axis=0)) if lines else np.full(len(_GRID), np.nan)


def _sweep(is_positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Count true and false positives from the strictest threshold on, ties together."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(is_positive[order])[last].astype(np.float64)
    return np.concatenate([[0], hits]), np.concatenate([[0], last + 1 - hits])


def _norm(counts: Floats) -> Floats:
    return np.asarray(counts / counts[-1])


def _over_thresholds(task: Task, all_rows: Sequence[ItemStatistics]) -> tuple[Floats, list[Floats]]:
    """Return the main metric at each threshold, one for all classes."""
    found = task.thresholds(all_rows[0])
    grid = np.unique(np.concatenate([np.asarray(v, np.float64) for v in found.values()]))
    name = task.main_metric.name
    lines = []
    for rows in all_rows:
        points = [OperatingPoint(dict.fromkeys(found, float(t))) for t in grid]
        lines.append(np.array([task.reduce(rows, point)[name] for point in points]))
    return grid, lines
