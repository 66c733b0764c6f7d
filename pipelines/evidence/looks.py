"""Show a panel of a task without the dashboard: its views, and one HTML page of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import actions, datasets, registry
from pipelines import config as configs
from pipelines.contract import (
    HONEST_FIRST,
    DatasetRecord,
    ItemStatistics,
    OperatingPoint,
    Panel,
    PanelContext,
    Prediction,
    Task,
    ThresholdSource,
)
from pipelines.core.checkpoints import find_checkpoint, load_card
from pipelines.core.files import disk_errors, write_bytes
from pipelines.errors import ConfigError, JobError
from pipelines.jobs.store import Run
from pipelines.settings import load_settings
from pipelines.text import Language, Text, verbatim
from pipelines.views import DownloadView, View


@dataclass(frozen=True)
class Look:
    """Say what of a panel is looked at, and how.

    Attributes:
        item: Item that the panel shows; "" for the first one.
        options: Options of the task that differ from their defaults.
        controls: The panel's own settings that differ from their defaults.
        thresholds: Thresholds in place of those of the run or the checkpoint.
        run: Finished run whose answers are shown, or None.
        part: Scored part of the run; "" for the one that the model saw least.
        checkpoint: Model that answers for the item where there is no run, or None.
    """

    item: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    controls: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    run: Run | None = None
    part: str = ""
    checkpoint: Path | None = None


def find_panel(task: Task, name: str) -> Panel:
    """Return the panel of that name.

    Raises:
        ConfigError: The task has none of that name.
    """
    panels = {panel.panel_id: panel for panel in task.panels()}
    if name not in panels:
        allowed = ", ".join(panels)
        raise ConfigError(Text("looks.no_panel", got=name, task=task.id, allowed=allowed))
    return panels[name]


def compute_views(task: Task, name: str, record: DatasetRecord, look: Look) -> list[View]:
    """Compute what a panel shows, as its page does.

    Args:
        task: Task.
        name: Name of the panel.
        record: Data set.
        look: What is looked at.

    Raises:
        ConfigError: No such panel, item, part or option.
    """
    panel = find_panel(task, name)
    controls = None
    if panel.controls is not None:
        controls = configs.parse(panel.controls, look.controls)
    elif look.controls:
        raise ConfigError(Text("looks.no_controls", panel=name, got=", ".join(look.controls)))
    return list(panel.compute(_context(task, panel, record, look), controls))


@dataclass(frozen=True)
class Written:
    """Name what was written of views.

    Attributes:
        page: The HTML page.
        files: What the views offer to take away, beside it.
        left_out: Titles of views that paper cannot hold.
    """

    page: Path
    files: tuple[Path, ...]
    left_out: tuple[Text, ...]


def write_page(
    task: Task, name: str, views: Sequence[View], path: Path, language: Language
) -> Written:
    """Write views as one HTML page, and the files that they offer beside it."""
    from pipelines.evidence.document import Document, Part
    from pipelines.evidence.html import to_html

    panel = find_panel(task, name)
    document = Document(panel.title, task.title, (Part(panel.help, tuple(views)),))
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, to_html(document, language).encode())
        files = tuple(_write_file(v, path.parent) for v in views if isinstance(v, DownloadView))
    shown = [view for view in views if not isinstance(view, DownloadView)]
    left_out = (view.title for view in shown if not _has_drawing(view, language))
    return Written(path, files, tuple(left_out))


def _write_file(view: DownloadView, folder: Path) -> Path:
    target, content = folder / Path(view.filename).name, view.make()
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    else:
        write_bytes(target, content)
    return target


def _has_drawing(view: View, language: Language) -> bool:
    from pipelines.evidence.document import Document, Part, lay_out

    single = Document(verbatim(""), verbatim(""), (Part(verbatim(""), (view,)),))
    return len(lay_out(single, language)) > 1  # beside the heading


def _context(task: Task, panel: Panel, record: DatasetRecord, look: Look) -> PanelContext:
    item_ids = _item_ids(record, look)
    answers, rows, point = _answers(task, record, look)
    scratch = load_settings().data / "scratch" / record.dataset_id
    scratch.mkdir(parents=True, exist_ok=True)
    return PanelContext(
        record=record,
        samples=task.open_dataset(record, item_ids),
        index=_index(item_ids, look.item) if panel.is_per_item else 0,
        config=configs.parse(task.config_type, look.options),
        predictions=answers,
        operating_point=point,
        statistics=rows,
        scratch=scratch,
        checkpoint=look.checkpoint or (None if look.run is None else look.run.checkpoint),
    )


def _item_ids(record: DatasetRecord, look: Look) -> list[str]:
    every = [item.item_id for item in record.items]
    scores = None if look.run is None else look.run.scores()
    if not scores:
        return every
    parts = scores["parts"]
    part = look.part or min(parts, key=HONEST_FIRST.index)
    if part not in parts:
        raise ConfigError(Text("looks.no_part", got=part, allowed=", ".join(parts)))
    wanted = set(parts[part]["item_ids"])
    return [item_id for item_id in every if item_id in wanted]


def _index(item_ids: Sequence[str], item: str) -> int:
    if item and item not in item_ids:
        some = ", ".join(item_ids[:3])
        raise ConfigError(Text("looks.no_item", got=item, n=len(item_ids), some=some))
    return item_ids.index(item) if item else 0


def _answers(
    task: Task, record: DatasetRecord, look: Look
) -> tuple[Mapping[str, Prediction], ItemStatistics | None, OperatingPoint | None]:
    """Return answers, rows and thresholds: of the run, else of the model, else nothing."""
    if look.run is not None:
        known = dict((look.run.scores() or {}).get("operating_point", {}).get("thresholds", {}))
        answers = task.open_predictions(look.run.prediction_folder)
        return answers, look.run.statistics(), _point(known, look)
    if look.checkpoint is None:
        return {}, None, _point({}, look)
    folder = find_checkpoint(look.checkpoint)
    known = {n: float(v) for n, v in load_card(folder, task_id=task.id).operating_point.items()}
    return _Answers(task, folder, record), None, _point(known, look)


class _Answers(Mapping[str, Prediction]):
    """Let a model answer for an item when a panel asks for it."""

    def __init__(self, task: Task, checkpoint: Path, record: DatasetRecord) -> None:
        self._task, self._checkpoint, self._record = task, str(checkpoint), record
        self._known: dict[str, Prediction] = {}

    def __getitem__(self, item_id: str) -> Prediction:
        if item_id not in self._known:
            record = datasets.record_to_json(self._record)
            answer = actions.predict_one(self._task.id, self._checkpoint, record, item_id)
            self._known[item_id] = answer
        return self._known[item_id]

    def __iter__(self) -> Iterator[str]:
        return (item.item_id for item in self._record.items)

    def __len__(self) -> int:
        return len(self._record.items)


def _point(known: Mapping[str, float], look: Look) -> OperatingPoint | None:
    thresholds = {**known, **look.thresholds}
    return OperatingPoint(thresholds, source="user") if thresholds else None


def read_pairs(words: Sequence[str], *, lone: str = "") -> Iterator[tuple[str, str]]:
    """Read NAME=VALUE pairs; a lone value is that of `lone` where it is named.

    Raises:
        ConfigError: A word that is no pair.
    """
    for word in words:
        name, has_value, value = word.partition("=")
        if has_value:
            yield name.strip().replace("-", "_"), value.strip()
        elif lone:
            yield lone, word.strip()
        else:
            raise ConfigError(Text("cli.not_a_pair", word=word))


def score_again(
    run: Run, part: str, thresholds: Mapping[str, float]
) -> tuple[OperatingPoint, actions.PartScores]:
    """Read the figures of a run's part from its kept rows, at its own or other thresholds.

    Args:
        run: Finished run.
        part: Scored part; "" for the one that the model saw least.
        thresholds: Those that replace the run's own.

    Raises:
        ConfigError: The run has no such part.
        JobError: The run was not scored.
    """
    rows, scores, task = run.statistics(), run.scores(), registry.get_task(run.request.task_id)
    if rows is None or not scores:
        raise JobError(Text("looks.not_scored", run=run.short_id))
    item_ids = _item_ids(run.dataset(), Look(run=run, part=part))
    known = scores["operating_point"]
    source: ThresholdSource = "user" if thresholds else known["source"]
    point = OperatingPoint({**known["thresholds"], **thresholds}, source=source)
    found = actions.score_parts(task, rows.of_items(item_ids), None, chosen=point)
    return point, next(iter(found.parts.values()))
