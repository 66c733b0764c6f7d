"""What a report tells of membranes: where a model errs, section by section, and its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.contract import (
    ExportableNetwork,
    ModelFacts,
    PanelContext,
    ReportContext,
    ReportSection,
    Sample,
)
from pipelines.tasks.em_membrane.metrics import at_threshold, section_scores
from pipelines.tasks.em_membrane.panels import section_table, show_errors
from pipelines.text import Text
from pipelines.views import View

_EXPORTED_PX = 256


def model_facts() -> ModelFacts:
    """Say what membrane models are for, the terms of the challenge's data, and the limits."""
    limits = ("specimen", "sections", "thinning")
    return ModelFacts(
        Text("em_report.purpose"),
        Text("em_report.licence"),
        tuple(Text(f"em_report.limit_{name}") for name in limits),
    )


def network_for_export(checkpoint: Path, samples: Sequence[Sample]) -> ExportableNetwork | None:
    """Return the network with the middle of each section; None for the baseline."""
    from pipelines.core.checkpoints import load_card
    from pipelines.tasks.em_membrane.config import Config
    from pipelines.tasks.em_membrane.infer import standardise
    from pipelines.tasks.em_membrane.learning import TASK_ID, _load, _with_architecture
    from pipelines.tasks.em_membrane.model import build_model

    card = load_card(checkpoint, task_id=TASK_ID)
    config = _with_architecture(Config(), card.architecture)
    if config.architecture == "baseline":
        return None
    model = build_model(replace(config, is_pretrained=False)).eval()
    _load(model, checkpoint)
    images = [standardise(sample.image, config) for sample in samples]
    side = min(_EXPORTED_PX, *(n for image in images for n in image.shape))
    side -= side % config.multiple
    inputs = np.stack([_middle(image, side) for image in images])[:, None]
    is_own = config.architecture == "unet"  # the library's decoders fix the sizes that they see
    return ExportableNetwork(
        module=model,
        inputs=inputs.astype(np.float32),
        axes=("batch", "channel", "y", "x"),
        free=("batch", "y", "x") if is_own else ("batch",),
        note=Text("em_report.onnx", multiple=config.multiple),
    )


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    top, left = ((n - side) // 2 for n in image.shape)
    return image[top : top + side, left : left + side]


def report_sections(context: ReportContext) -> list[ReportSection]:
    """Show the worst and the best scored section, and list all of them."""
    sections = [ReportSection("method", (Text("em_report.method"),))]
    rows, point = context.statistics, context.operating_point
    if rows is None or point is None or not len(context.samples):
        return sections
    at_point = at_threshold(rows, point.threshold)
    scores = section_scores(at_point.columns)["v_rand"]
    names = at_point.columns["item_id"].tolist()
    places = {sample_id: i for i, sample_id in enumerate(context.predictions)}
    order = [names[i] for i in np.argsort(scores) if names[i] in places]
    views: list[View] = []
    for kind, name in zip(
        ("worst", "best"), dict.fromkeys([*order[:1], *order[-1:]]), strict=False
    ):
        source = Text(f"em_report.{kind}", item=name)
        shown = show_errors(_panel_context(context, places[name]), None)
        views += [replace(view, source=source) for view in shown]
    views += section_table(_panel_context(context, 0), None)
    sections.append(ReportSection("results", tuple(views), Text("em_report.results")))
    return sections


def _panel_context(context: ReportContext, index: int) -> PanelContext:
    return PanelContext(
        record=context.record,
        samples=context.samples,
        index=index,
        config=context.config,
        predictions=context.predictions,
        operating_point=context.operating_point,
        statistics=context.statistics,
    )
