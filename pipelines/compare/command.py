"""`python -m pipelines compare RUN RUN [...]`: figures, differences, and one sentence a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipelines.commands import Terminal, Values
from pipelines.compare.comparison import (
    Comparison,
    Pair,
    Rank,
    Standing,
    compare,
    label_of_test,
    note_of_test,
)
from pipelines.compare.ensembles import load_entries
from pipelines.compare.opening import num_openings
from pipelines.settings import load_settings
from pipelines.text import LANGUAGES, Text, render, verbatim


def run_command(values: Values, terminal: Terminal) -> int:
    """Compare the runs that are named and print the result.

    Raises:
        PipelineError: They cannot be compared; the text says why and what to do.
    """
    comparison = compare(load_entries(values["run"]))
    _say(comparison, terminal)
    terminal.result(comparison_to_json(comparison))
    return 0


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values, sentences in every language."""
    common = comparison.common
    names = [standing.entry.entry_id for standing in comparison.standings]
    return {
        "task": comparison.task.id,
        "main_metric": comparison.task.main_metric.name,
        "items": list(common.items.item_ids),
        "resampled": {"unit": common.items.units.kind, "count": common.items.units.count},
        "note": _words(common.items.note),
        "is_held_out_only": common.is_held_out_only,
        "correction": "holm",
        "test_openings": _num_openings(comparison),
        "unequal": [
            {
                "name": _words(row.name),
                "values": dict(zip(names, (_words(v) for v in row.values), strict=True)),
                "help": _words(row.help),
            }
            for row in common.inequalities
        ],
        "runs": [_standing_to_json(standing) for standing in comparison.standings],
        "pairs": [_pair_to_json(pair, names, comparison) for pair in comparison.pairs],
    }


def _standing_to_json(standing: Standing) -> dict[str, Any]:
    entry, figures, cost = standing.entry, standing.figures, standing.entry.cost
    return {
        "run": entry.entry_id,
        "title": _words(entry.title),
        "threshold": dict(entry.point.thresholds),
        "threshold_source": entry.point.source,
        "rank": {
            "place": standing.rank.place, "best": standing.rank.best, "worst": standing.rank.worst,
        },
        "metrics": {
            name: {"value": _number(value), "interval": _bounds(figures.intervals.get(name))}
            for name, value in figures.values.items()
        },
        "cost": {
            "training_s": cost.training_s,
            "num_parameters": cost.num_parameters,
            "items_per_s": cost.items_per_s,
            "energy_j": cost.energy_j,
        },
    }  # fmt: skip


def _pair_to_json(pair: Pair, names: list[str], comparison: Comparison) -> dict[str, Any]:
    difference = pair.difference
    return {
        "metric": pair.metric.name,
        "first": names[pair.first],
        "second": names[pair.second],
        "difference": _number(difference.value),
        "interval": _bounds(difference.interval),
        "test": _test_id(pair, comparison),
        "p_value": _number(difference.p_value),
        "corrected_p_value": _number(pair.corrected_p),
        "is_different": pair.is_different,
        "sentence": _words(pair.sentence),
    }


def _test_id(pair: Pair, comparison: Comparison) -> str:
    return label_of_test(pair, comparison).id.rpartition(".")[2]


def _words(text: Text) -> Mapping[str, str]:
    return {language: render(text, language) for language in LANGUAGES}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _bounds(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [float(bound) for bound in interval]


# --- for people -----------------------------------------------------------------------------------


def _say(comparison: Comparison, terminal: Terminal) -> None:
    common, task = comparison.common, comparison.task
    count = len(common.items.item_ids)
    terminal.say(Text("compare.items_line", items=task.items_text(count), note=common.items.note))
    if common.is_held_out_only:
        terminal.say(Text("compare.validation_only"))
    for row in common.inequalities:
        values = list(row.values)
        terminal.say(Text("compare.unequal_line", name=row.name, values=values, help=row.help))
    shown = [m for m in task.metrics if m.name in comparison.standings[0].figures.values]
    head = [verbatim(""), *(metric.label for metric in shown), verbatim("")]
    rows = [
        [s.entry.name, *(_figure(s, m.name) for m in shown), rank_words(s.rank)]
        for s in comparison.by_rank()
    ]
    terminal.table([head, *rows])
    pairs = comparison.pairs_of(task.main_metric.name)
    for pair in pairs:
        terminal.say(pair.sentence)
    terminal.say(note_of_test(pairs, comparison))
    if opened := _num_openings(comparison):
        terminal.say(Text("compare.opened_line", n=opened))


def _num_openings(comparison: Comparison) -> int:
    return num_openings([s.entry for s in comparison.standings], load_settings())


def rank_words(rank: Rank) -> Text:
    """Say a place with its uncertainty."""
    if rank.best is None or rank.best == rank.worst:
        return Text("compare.rank", place=rank.place)
    return Text("compare.rank_range", place=rank.place, best=rank.best, worst=rank.worst)


def _figure(standing: Standing, name: str) -> Text:
    value, bounds = standing.figures.values[name], standing.figures.intervals.get(name)
    if bounds is None:
        return Text("cli.number", value=value)
    return Text("cli.interval", value=value, low=bounds[0], high=bounds[1])
