"""What a report tells of a classifier: curves, calibration, the matrix, its worst errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipelines.contract import (
    ExportableNetwork,
    ItemStatistics,
    ModelFacts,
    ReportContext,
    ReportSection,
    Sample,
)
from pipelines.core.classification.evaluation import Evaluation
from pipelines.core.classification.statistics import probabilities_of
from pipelines.text import Text
from pipelines.views import GalleryView, TableView, View

if TYPE_CHECKING:
    from pipelines.core.classification.task import ImageClassification

_NUM_ERRORS: Final = 10
_TILE_PX: Final = 128


def model_facts(task: ImageClassification) -> ModelFacts:
    """Say what models of a task are for, the terms of its data, and the limits of all of them."""
    limits = ("prevalence", "groups", "diagnosis")
    return ModelFacts(
        Text("classes_report.purpose"),
        Text(f"{task.texts}_report.licence"),
        tuple(Text(f"classes_report.limit_{name}") for name in limits),
    )


def network_for_export(
    task: ImageClassification, checkpoint: Path, samples: Sequence[Sample]
) -> ExportableNetwork | None:
    """Return the network with pictures as it sees them; None for measured features."""
    from pipelines.core.checkpoints import load_card
    from pipelines.core.classification.prediction import Model

    card = load_card(checkpoint, task_id=task.id)
    if card.architecture.get("kind") == "statistics":
        return None
    model = Model(checkpoint, task.id, "cpu")
    squares = np.stack([model.prepare(np.asarray(sample.image, np.uint8)) for sample in samples])
    return ExportableNetwork(
        module=model.network,
        inputs=model.scale(squares),
        axes=("batch", "channel", "y", "x"),
        free=("batch",),
        note=Text("classes_report.onnx", classes=list(model.classes), side=model.image_px),
    )


def report_sections(task: ImageClassification, context: ReportContext) -> list[ReportSection]:
    """Add curves, calibration, the matrix and the worst errors of the part that was seen least."""
    method = ReportSection("method", tuple(_method(context)))
    rows, point, part = context.statistics, context.operating_point, context.honest_part
    if rows is None or point is None or part is None:
        return [method]
    seen_least = rows.of_items(context.parts[part])
    found = Evaluation(seen_least, _classes(rows, context), task.group_kind, task.class_text)
    bounds = context.intervals.get(part, {})
    views: list[View] = [*found.curves(point.threshold, bounds), *found.reliability()]
    views.append(_matrix(found, point.threshold))
    views += _worst(found, point.threshold, context.samples)
    title = Text("classes_report.results", part=Text(f"jobs.part.{part}"))
    return [method, ReportSection("results", tuple(views), title)]


def _method(context: ReportContext) -> Iterator[Text]:
    """Say what the model is, how it learned and how it answers."""
    config, name = context.config, str(context.architecture.get("name", "symmetric"))
    is_measured = context.architecture.get("kind") == "statistics"
    kind = "input" if config.crop_px else "whole"
    yield Text(f"classes_method.{kind}", side=config.image_px, crop=config.crop_px)
    if is_measured:
        yield Text("classes_method.measured", strength=config.strength)
        return
    is_own = name == "symmetric"
    yield Text("classes_method.symmetric" if is_own else "classes_method.named", name=name)
    yield Text(
        "classes_method.training",
        epochs=config.epochs,
        batch=config.batch_size,
        optimizer=Text(f"classes_config.optimizer.{config.optimizer}"),
        rate=config.learning_rate,
        decay=config.weight_decay,
        averaging=config.averaging,
    )
    yield Text(
        "classes_method.augmentation",
        turns=Text(f"classes_method.turned.{'yes' if config.rotation else 'no'}"),
        scale=config.scale,
        stain=config.stain,
        mixup=config.mixup,
    )
    yield Text(f"classes_method.flips.{'yes' if config.test_flips else 'no'}")


def _classes(rows: ItemStatistics, context: ReportContext) -> tuple[str, ...]:
    """Return the names of the classes, or their numbers where the data are gone."""
    if len(context.samples):
        return tuple(context.samples[0].meta["classes"])
    return tuple(str(i) for i in range(probabilities_of(rows).shape[1]))


def _matrix(found: Evaluation, threshold: float) -> TableView:
    cells = found.cells(threshold)
    columns = (Text("classes_report.truth"), *found.names)
    rows = tuple(
        (name, *(int(n) for n in line)) for name, line in zip(found.names, cells, strict=True)
    )
    return TableView(Text("classes_report.matrix"), columns, rows)


def _worst(found: Evaluation, threshold: float, samples: Sequence[Sample]) -> Iterator[GalleryView]:
    """Show the errors that the model was surest of: what to look at first."""
    if not len(samples):
        return
    count = len(found.classes)
    errors = [
        (share, item_id, truth, decided)
        for truth in range(count)
        for decided in range(count)
        if truth != decided
        for item_id, share in found.members(threshold, truth, decided)
    ]
    places = {item_id: place for place, item_id in enumerate(_ids(samples))}
    shown = [e for e in sorted(errors) if e[1] in places][:_NUM_ERRORS]
    if not shown:
        return
    yield GalleryView(
        Text("classes_report.worst", n=len(errors)),
        tuple(_tile(samples[places[item_id]]) for _, item_id, _, _ in shown),
        tuple(
            Text(
                "classes_report.error",
                truth=found.names[truth],
                decided=found.names[decided],
                share=float(share),
            )
            for share, _, truth, decided in shown
        ),
    )


def _ids(samples: Sequence[Sample]) -> Iterator[str]:
    return (samples[i].item_id for i in range(len(samples)))


def _tile(sample: Sample) -> np.ndarray:
    """Return a picture at the size of a report, `(h, w, 3)` uint8."""
    pixels = np.asarray(sample.image, np.uint8)
    step = max(1, -(-max(pixels.shape[:2]) // _TILE_PX))
    return np.ascontiguousarray(pixels[::step, ::step])
