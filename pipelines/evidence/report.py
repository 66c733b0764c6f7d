"""Write the report of a run: data, method, results, limits, and how to repeat it."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, cast

import numpy as np

from pipelines import actions, datasets
from pipelines import config as configs
from pipelines.contract import (
    Array,
    DatasetRecord,
    GroupKind,
    MetricInfo,
    OperatingPoint,
    ReportSection,
    SplitManifest,
    Task,
)
from pipelines.datasets import locked
from pipelines.datasets.split_words import split_words
from pipelines.errors import PipelineError
from pipelines.evidence.calls import Call, Source, prediction_call, training_call
from pipelines.evidence.document import Block, Code, Document, Part
from pipelines.evidence.facts import RunFacts
from pipelines.evidence.keep import ITEMS, read_items
from pipelines.jobs.store import Run, Status, list_runs
from pipelines.settings import Settings
from pipelines.text import Text, verbatim
from pipelines.views import (
    BarView,
    Curve,
    CurveView,
    HistogramView,
    TableView,
    TextView,
    View,
)

Chapter = Literal["data", "method", "results", "limits"]
_FEW_ITEMS: Final = 14
_MOST_ROWS_FOR_CURVES: Final = 200_000
_MOST_ABLATIONS: Final = 12
_MOST_CHANGES: Final = 4
_FLAT: Final = 1e-9
_LONG_NAME: Final = 9
_LONG_LIST: Final = 110
_LOSSES: Final = ("loss", "validation_loss")


def build_report(facts: RunFacts, settings: Settings) -> Document:
    """Return the report; the task adds its own sections to the chapters."""
    own = list(facts.task.report_sections(facts.context()))
    run = facts.run
    subtitle = Text(
        "evidence.subtitle",
        run=run.run_id,
        date=day(run),
        data=datasets.dataset_title(facts.record),
    )
    title = Text("evidence.title", task=facts.task.title, run=_run_title(run))
    parts = [
        Part(Text("evidence.chapter.summary"), tuple(_summary(facts, settings))),
        *_chapter("data", tuple(_data(facts)), own),
        *_chapter("method", tuple(_method(facts)), own),
        *_chapter("results", tuple(_results(facts)), own),
        Part(Text("evidence.chapter.ablations"), tuple(_ablations(facts, settings))),
        *_chapter("limits", tuple(_limits(facts)), own),
        Part(Text("evidence.chapter.repeat"), tuple(_repeat(facts))),
    ]
    return Document(title, subtitle, tuple(parts))


def day(run: Run) -> Text:
    """Return the day on which a run was asked for, as a person writes it."""
    year, month, number = run.request.created[:10].split("-")
    name = Text(f"evidence.month.{int(month)}")
    return Text("evidence.day", day=int(number), month=name, year=int(year))


def _run_title(run: Run) -> Text:
    return (
        verbatim(run.request.title)
        if run.request.title
        else Text(f"evidence.run.{run.request.action}", run=run.short_id)
    )


def _chapter(
    name: Chapter, blocks: tuple[Block, ...], own: Sequence[ReportSection]
) -> Iterator[Part]:
    mine = [section for section in own if section.chapter == name]
    untitled = tuple(block for s in mine if s.title is None for block in s.blocks)
    yield Part(
        Text(f"evidence.chapter.{name}"),
        (*untitled, *blocks) if name == "limits" else (*blocks, *untitled),
    )
    for section in mine:
        if section.title is not None:
            yield Part(section.title, section.blocks, level=2)


# --- summary --------------------------------------------------------------------------------------


def _summary(facts: RunFacts, settings: Settings) -> Iterator[Block]:
    yield facts.task.summary
    if facts.record.is_generated:
        yield TextView(Text("evidence.generated"), tone="warning")
    for note in facts.notes:
        yield TextView(note, tone="warning")
    if not facts.parts:
        yield Text("evidence.not_scored")
        return
    main = facts.task.main_metric
    for name, part in facts.parts.items():
        yield main_sentence(main, name, part, facts.task.group_kind)
    fingerprint = actions.data_fingerprint(facts.record)
    if (opened := locked.count_beside(facts.parts, fingerprint, settings)) is not None:
        yield opened
    yield point_sentence(facts.point)


def main_sentence(
    main: MetricInfo, name: str, part: Mapping[str, Any], group_kind: GroupKind = "group"
) -> Text:
    """Say the main figure of a part with its interval and what it was resampled over."""
    value, interval = part["metrics"].get(main.name), part["intervals"].get(main.name)
    params: dict[str, Any] = {
        "metric": main.label,
        "part": Text(f"jobs.part.{name}"),
        "value": float("nan") if value is None else value,
        "n": len(part["item_ids"]),
    }
    if interval is None:
        return Text("evidence.main_figure", **params)
    kind = part.get("interval_unit") or "item"
    unit = Text(f"evidence.unit.{group_kind if kind == 'group' else kind}")
    low, high = (float(bound) for bound in interval)
    return Text("evidence.main_figure_interval", **params, low=low, high=high, unit=unit)


def point_sentence(point: OperatingPoint | None) -> Text:
    """Say at which thresholds figures are read, and who chose them."""
    if point is None:
        return Text("evidence.not_scored")
    values = [
        Text("evidence.one_threshold", value=float(v))
        if name == "threshold"
        else Text("evidence.named_threshold", name=name, value=float(v))
        for name, v in point.thresholds.items()
    ]
    return Text("evidence.point", values=values, source=Text(f"evidence.source.{point.source}"))


# --- data -----------------------------------------------------------------------------------------


def _data(facts: RunFacts) -> Iterator[Block]:
    record = facts.record
    groups = {item.group for item in record.items}
    yield Text(
        "evidence.data_words",
        data=datasets.dataset_title(record),
        files=Text("evidence.files", n=len(record.files)),
        items=Text("evidence.items", n=len(record.items)),
        groups=Text("evidence.groups", n=len(groups)),
        labelled=sum(item.has_truth for item in record.items),
    )
    yield facts.task.model_facts().licence
    if facts.split is not None:
        yield _split_table(facts)
        words = split_words(facts.split.method, facts.split.seed)
        yield Text("evidence.split_words", method=words)
        yield from _set_aside(facts.record, facts.split)


def _set_aside(record: DatasetRecord, split: SplitManifest) -> Iterator[Text]:
    """Say how many labelled items stand in no part."""
    used = {item_id for items in split.parts.values() for item_id in items}
    count = sum(item.has_truth and item.item_id not in used for item in record.items)
    if count:
        yield Text("evidence.set_aside", n=count)


def _split_table(facts: RunFacts) -> TableView:
    split = facts.split
    assert split is not None, "the caller looked"
    group_of = {item.item_id: item.group for item in facts.record.items}
    rows = [
        (
            Text(f"jobs.part.{part}"),
            len(items),
            len({group_of.get(i, "") for i in items}),
            verbatim(_some(_last_names(items))),
        )
        for part, items in split.parts.items()
        if items
    ]
    columns = ("part", "items", "groups", "which")
    names = tuple(Text(f"evidence.column.{name}") for name in columns)
    return TableView(Text("evidence.split_table"), names, tuple(rows))


# --- method ---------------------------------------------------------------------------------------


def _method(facts: RunFacts) -> Iterator[Block]:
    card = facts.card
    if card is not None and card.num_parameters:
        yield Text(
            "evidence.training_words",
            parameters=card.num_parameters,
            steps=card.steps,
            seconds=float(card.seconds),
            device=_device_words(facts),
            seed=card.seed,
        )
    changed = configs.changed(facts.config)
    if not changed:
        yield Text("evidence.all_defaults")
        return
    infos = [i for i in configs.describe(facts.task.config_type) if i.name in changed]
    rows = tuple(
        (i.label, verbatim(i.name), _value(i, changed[i.name]), _value(i, i.default)) for i in infos
    )
    columns = ("option", "name", "value", "default")
    names = tuple(Text(f"evidence.column.{name}") for name in columns)
    yield TableView(Text("evidence.options_table"), names, rows)


def _device_words(facts: RunFacts) -> Text:
    device = facts.environment.get("device", {})
    name = device.get("name") or (facts.card.device if facts.card is not None else "?")
    return verbatim(str(name))


def _value(info: configs.OptionInfo, value: Any) -> Any:  # a text, or a number to be aligned
    if isinstance(value, bool):
        return Text(f"evidence.{'yes' if value else 'no'}")
    if value in info.choices:
        return info.choice_label(value)
    if isinstance(value, float):
        return Text("evidence.quantity", value=value, unit=info.unit) if info.unit else value
    return verbatim(f"{value} {info.unit}".strip() or "–")


# --- results --------------------------------------------------------------------------------------


def _results(facts: RunFacts) -> Iterator[Block]:
    if facts.parts:
        yield figures_table(facts)
    yield from _learning_curves(facts)
    yield from _threshold_curve(facts)
    yield from _per_item(facts)


def figures_table(facts: RunFacts) -> TableView:
    """Return every figure of every part, with its interval and number of items where there are."""
    rows = [row for name, part in facts.parts.items() for row in _figure_rows(facts, name, part)]
    columns = ["part", "figure", "value", "interval", "items"]
    title = Text("evidence.figures_table")
    if len(facts.parts) == 1:  # what is the same in every row stands above them
        ((name, part),) = facts.parts.items()
        items = facts.task.items_text(len(part["item_ids"]))
        title = Text("evidence.figures_of_part", part=Text(f"jobs.part.{name}"), items=items)
        columns.remove("part")
        columns.remove("items")
    if not any(row["interval"] for row in rows):
        columns.remove("interval")
    names = tuple(Text(f"evidence.column.{name}") for name in columns)
    return TableView(title, names, tuple(tuple(row[name] for name in columns) for row in rows))


def _figure_rows(facts: RunFacts, name: str, part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for metric in facts.task.metrics:
        value, interval = (part[key].get(metric.name) for key in ("metrics", "intervals"))
        if value is None or value != value:
            continue
        yield {
            "part": Text(f"jobs.part.{name}"),
            "figure": metric.label,
            "value": float(value),
            "interval": _bounds(interval),
            "items": len(part["item_ids"]),
        }


def _bounds(interval: Sequence[float] | None) -> Any:  # a text, or "" without an interval
    if interval is None:
        return ""
    return Text("evidence.bounds", low=float(interval[0]), high=float(interval[1]))


def _learning_curves(facts: RunFacts) -> Iterator[View]:
    points = facts.run.metric_points()
    losses = [_curve(facts.task, name, points) for name in _LOSSES]
    main = facts.task.main_metric
    for kind, curves in (("loss", losses), ("score", [_curve(facts.task, main.name, points)])):
        drawn = tuple(curve for curve in curves if len(curve.x) > 1)
        if drawn:
            yield CurveView(
                _trend(kind, drawn[-1], main),
                x_label=Text("evidence.axis.step"),
                y_label=main.label if kind == "score" else Text("evidence.axis.loss"),
                curves=drawn,
                y_range=(main.low, main.high) if kind == "score" and _is_flat(drawn[0].y) else None,
            )


def _trend(kind: str, curve: Curve, main: MetricInfo) -> Text:
    """Say of a curve what it did: from where to where, and the best in between."""
    values = curve.y[np.isfinite(curve.y)]
    is_low_best = kind == "loss" or not main.higher_is_better
    best = values.min(initial=np.inf) if is_low_best else values.max(initial=-np.inf)
    if not len(values):
        return Text(f"evidence.{kind}_undefined")
    return Text(
        f"evidence.{kind}_curve",
        name=curve.name,
        first=float(values[0]),
        last=float(values[-1]),
        best=float(best),
    )


def _curve(task: Task, name: str, points: Sequence[Mapping[str, Any]]) -> Curve:
    having = [p for p in points if name in p and p[name] is not None]
    label = next((m.label for m in task.metrics if m.name == name), None)
    return Curve(
        label or Text(f"evidence.curve.{name}"),
        np.array([float(p.get("step", i)) for i, p in enumerate(having)]),
        np.array([float(p[name]) for p in having]),
        is_dashed=name.startswith("validation"),
    )


def _threshold_curve(facts: RunFacts) -> Iterator[View]:
    """Show how the main figure depends on the threshold, where there is one that it depends on."""
    rows, point, main = facts.statistics, facts.point, facts.task.main_metric
    if rows is None or point is None or not 0 < len(rows) <= _MOST_ROWS_FOR_CURVES:
        return
    offered = facts.task.thresholds(rows)
    if len(offered) != 1:
        return
    ((name, values),) = offered.items()
    curves = []
    for part, found in facts.parts.items():
        own = rows.of_items(found["item_ids"])
        scores = [
            facts.task.reduce(own, OperatingPoint({name: float(v)}))[main.name] for v in values
        ]
        curves.append(Curve(Text(f"jobs.part.{part}"), values, np.array(scores)))
    if all(_is_flat(curve.y) for curve in curves):
        return
    yield CurveView(
        Text("evidence.threshold_curve", metric=main.label),
        x_label=Text("evidence.axis.threshold"),
        y_label=main.label,
        curves=tuple(curves),
        mark_x=point.threshold,
    )


def _is_flat(values: Array) -> bool:
    """Tell whether a figure says nothing over its axis: the same everywhere, or not defined."""
    defined = values[np.isfinite(values)]
    return not len(defined) or float(np.ptp(defined)) < _FLAT


def _per_item(facts: RunFacts) -> Iterator[View]:
    """Show the main figure of each item alone, as bars of a few or the histogram of many."""
    main = facts.task.main_metric
    try:
        columns, _ = read_items(facts.run.folder / ITEMS)
    except PipelineError:
        return
    values = np.array([np.nan if v is None else v for v in columns.get(main.name, [])], float)
    known = np.isfinite(values)
    if known.sum() < 2:
        return
    title = Text("evidence.per_item", metric=main.label, n=int(known.sum()))
    if known.sum() <= _FEW_ITEMS:
        names = [i for i, is_known in zip(columns["item_id"], known, strict=True) if is_known]
        yield BarView(
            title,
            categories=tuple(verbatim(name) for name in _shortened(names)),
            series=((main.label, values[known]),),
            y_label=main.label,
            y_range=(min(0.0, main.low), main.high),
        )
        return
    counts, edges = np.histogram(values[known], bins=24)
    yield HistogramView(title, edges, counts, main.label)


def _shortened(names: Sequence[str]) -> list[str]:
    """Cut long names to what differs between them, and to their ends where that is long."""
    if max(map(len, names)) > _LONG_NAME:
        start = os.path.commonprefix(names)  # noqa: RUF071 - of names, not of paths
        same = re.match(r".*[^0-9A-Za-z]|", start)
        names = [name[same.end() if same else 0 :] for name in names]
    return [name if len(name) <= _LONG_NAME else f"…{name[1 - _LONG_NAME :]}" for name in names]


# --- ablations ------------------------------------------------------------------------------------


def _ablations(facts: RunFacts, settings: Settings) -> Iterator[Block]:
    """Set the other trainings on the same data and split beside this one."""
    others = [run for run in list_runs(settings, facts.task.id) if _is_sibling(run, facts)]
    if not others:
        yield Text("evidence.no_ablations")
        return
    yield Text("evidence.ablations_words", n=len(others))
    rows = [_ablation_row(facts.run, facts), *(_ablation_row(run, facts) for run in others)]
    sign = -1.0 if facts.task.main_metric.higher_is_better else 1.0
    rows.sort(key=lambda row: (row[2] != row[2], sign * row[2]))
    columns = ("run", "differs", "value", "interval", "items")
    names = tuple(Text(f"evidence.column.{name}") for name in columns)
    title = Text("evidence.ablations_table", metric=facts.task.main_metric.label)
    yield TableView(title, names, tuple(rows[: _MOST_ABLATIONS + 1]))


def _is_sibling(run: Run, facts: RunFacts) -> bool:
    if run.request.action != "train" or run.run_id == facts.run.run_id:
        return False
    if run.status is not Status.FINISHED or run.request.dataset_id != facts.record.dataset_id:
        return False
    try:
        split = run.split()
        has_scores = bool(run.scores())
    except PipelineError:
        return False
    return has_scores and facts.split is not None and split == facts.split


def _ablation_row(run: Run, facts: RunFacts) -> tuple[Any, ...]:
    scores = (run.scores() or {"parts": {}})["parts"]
    part = scores.get("test") or scores.get("validation") or next(iter(scores.values()), None)
    name = facts.task.main_metric.name
    value = float("nan") if part is None else float(part["metrics"].get(name) or float("nan"))
    interval = None if part is None else part["intervals"].get(name)
    is_self = run.run_id == facts.run.run_id
    words = Text("evidence.this_run") if is_self else _changes(run, facts)
    count = 0 if part is None else len(part["item_ids"])
    return verbatim(run.short_id), words, value, _bounds(interval), count


def _changes(run: Run, facts: RunFacts) -> Text:
    """Name the options of another training that differ, the first few where there are many."""
    mine, other = facts.run.request.config, run.request.config
    infos = configs.describe(facts.task.config_type)
    differing = [i for i in infos if i.name in other and mine.get(i.name) != other[i.name]]
    named = [
        Text("evidence.change", option=i.label, value=_value(i, other[i.name]))
        for i in differing[:_MOST_CHANGES]
    ]
    if len(differing) > _MOST_CHANGES:
        named.append(Text("evidence.more_changes", n=len(differing) - _MOST_CHANGES))
    return Text("evidence.changes", changes=named) if named else verbatim("–")


# --- limits and repetition ------------------------------------------------------------------------


def _limits(facts: RunFacts) -> Iterator[Block]:
    yield TextView(Text("evidence.limits_words"), details=tuple(limits_of(facts)))


def limits_of(facts: RunFacts) -> Iterator[Text]:
    """Say what the figures do not show: of the task, of the thresholds, of the intervals."""
    if facts.record.is_generated:
        yield Text("evidence.limit_generated")
    if facts.run.has_leak:
        yield Text("leaks.words")
    yield from facts.task.model_facts().limits
    point = facts.point
    if point is not None and point.source == "scored":
        yield Text("evidence.limit_scored")
    for name, part in facts.parts.items():
        unit, count = part.get("interval_unit", ""), len(part["item_ids"])
        words = Text(f"jobs.part.{name}")
        if name == "train":
            yield Text("evidence.limit_train")
        if point is not None and point.source == "validation" and name == "validation":
            yield Text("evidence.limit_validation")
        if name == "out_of_fold":
            yield Text("evidence.limit_out_of_fold")
        if not unit:
            yield Text("evidence.limit_no_interval", part=words, n=count)
        elif unit != "group" and name != "train" and _num_groups(facts, part) < count:
            yield Text(f"evidence.limit_{unit}_interval", part=words)


def _num_groups(facts: RunFacts, part: Mapping[str, Any]) -> int:
    scored = set(part["item_ids"])
    return len({item.group for item in facts.record.items if item.item_id in scored})


def _repeat(facts: RunFacts) -> Iterator[Block]:
    yield Text("evidence.repeat_words")
    yield Code(call_of(facts).shell)
    if facts.split is not None and not _makes_its_split(facts):
        yield Text("evidence.split_given")
    yield _environment_table(facts)


def _makes_its_split(facts: RunFacts) -> bool:
    """Tell whether the options alone give the run's split; that of a fold is given to it."""
    try:
        return facts.task.split(facts.record, facts.config) == facts.split
    except (PipelineError, OSError):
        return not len(facts.samples)  # the data are gone: nothing is known of it


def call_of(facts: RunFacts, *, data: str = "DATA") -> Call:
    """Return the run as a command; the path of the data is left for the reader to fill in."""
    source = Source.of(facts.task, facts.record, data)
    request = facts.run.request
    if request.action == "train":
        return training_call(facts.task, request.config, source, run="RUN", preset=request.preset)
    defaults = configs.to_json(facts.task.config_type())
    trained = {**defaults, **({} if facts.card is None else facts.card.config)}
    changed = {n: v for n, v in request.config.items() if n in trained and trained[n] != v}
    return prediction_call(
        facts.task, changed, source, checkpoint="CHECKPOINT", output="PREDICTION"
    )


def _environment_table(facts: RunFacts) -> TableView:
    found = facts.environment
    versions = cast("Mapping[str, str]", found.get("versions") or facts.run.request.versions)
    code = str(found.get("code_version") or facts.run.request.code_version)
    rows = [
        (Text("evidence.environment.code"), verbatim(code)),
        (Text("evidence.environment.device"), _device_words(facts)),
        (Text("evidence.environment.cores"), found.get("cores", "")),
        (Text("evidence.environment.time"), Text("evidence.seconds", seconds=_worked_s(facts))),
        (
            Text("evidence.environment.packages"),
            verbatim(", ".join(f"{name} {version}" for name, version in versions.items())),
        ),
        (
            Text("evidence.card.fingerprint"),
            Text("evidence.fingerprint", sha256=actions.data_fingerprint(facts.record)),
        ),
    ]
    names = (Text("evidence.column.what"), Text("evidence.column.value"))
    return TableView(Text("evidence.environment_table"), names, tuple(rows))


def _worked_s(facts: RunFacts) -> float:
    return float(facts.run.state.worked_s)


def _last_names(names: Sequence[str]) -> list[str]:
    """Leave out the folders of paths, where the files are told apart without them."""
    short = [name.rpartition("/")[2] for name in names]
    return short if len(set(short)) == len(names) else list(names)


def _some(names: Sequence[str]) -> str:
    """Name the first few, as many as fit on two lines or so."""
    lengths = np.cumsum([len(name) + 2 for name in names])
    count = max(1, int(np.searchsorted(lengths, _LONG_LIST, side="right")))
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")
