"""What a report tells of picking: the tomograms, the method in words, results kind by kind.

With the chapters that every task has, it makes the technical report that the contest asks of its
winners, about four pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.contract import (
    ExportableNetwork,
    ModelFacts,
    OperatingPoint,
    ReportContext,
    ReportSection,
    Sample,
)
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.compared import busiest_section, points_of, section_pane
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.data import Geometry, changed_options
from pipelines.tasks.cryoet_picking.display import section_of
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, Particle
from pipelines.tasks.cryoet_picking.predictions import thresholds_of
from pipelines.tasks.cryoet_picking.scores import bar_view, curve_views, score_table
from pipelines.tasks.cryoet_picking.slices import Marks
from pipelines.text import Text, verbatim
from pipelines.views import (
    ImageView,
    Layer,
    Pane,
    PixelLayer,
    TableView,
    View,
)

_THICKNESS: Final = 5  # slices averaged: a single one of a noisy tomogram shows little
_WINDOW: Final = (16.0, 240.0)
_NUM_CURVES: Final = 2
_EXPORTED_VOX: Final = 64
_NO_NETWORKS: Final = ("templates", "blobs")


def model_facts() -> ModelFacts:
    """Say what picking models are for, the terms of the challenge's data, and the limits."""
    limits = ("simulated", "tomogram", "beta", "negative")
    return ModelFacts(
        Text("cryoet_report.purpose"),
        Text("cryoet_report.licence"),
        tuple(Text(f"cryoet_report.limit_{name}") for name in limits),
    )


# --- the network for other programs ---------------------------------------------------------------


def network_for_export(checkpoint: Path, samples: Sequence[Sample]) -> ExportableNetwork | None:
    """Return the networks as one, with the middle of each tomogram; None for the baselines."""
    from pipelines.core.checkpoints import load_card
    from pipelines.tasks.cryoet_picking.model import load_mean
    from pipelines.tasks.cryoet_picking.volumes import normalised

    card = load_card(checkpoint, task_id="cryoet_picking")
    if card.architecture["name"] in _NO_NETWORKS:
        return None
    model = load_mean(checkpoint)
    parts = [_middle(normalised(sample.image)) for sample in samples]
    shape = np.min([part.shape for part in parts], 0) // model.multiple * model.multiple
    inputs = np.stack([part[tuple(slice(0, int(n)) for n in shape)] for part in parts])[:, None]
    # the light network halves and doubles again: any multiple fits; those of MONAI fix their sizes
    free = ("batch", "z", "y", "x") if model.stride == 2 else ("batch",)
    return ExportableNetwork(
        module=model,
        inputs=inputs.astype(np.float32),
        axes=("batch", "channel", "z", "y", "x"),
        free=free,
        note=Text("cryoet_report.onnx", multiple=model.multiple, stride=model.stride),
    )


def _middle(volume: Any) -> Any:  # `(Z, Y, X)` float16
    cut = []
    for length in volume.shape:
        start = max(0, (length - _EXPORTED_VOX) // 2)
        cut.append(slice(start, start + _EXPORTED_VOX))
    return volume[tuple(cut)]


# --- the report -----------------------------------------------------------------------------------


def report_sections(context: ReportContext) -> list[ReportSection]:
    """Tell of the tomograms, of the method, and of every kind."""
    sections = [
        ReportSection("data", tuple(_data(context)), Text("cryoet_report.data")),
        ReportSection("method", tuple(_method(context)), Text("cryoet_report.method")),
    ]
    results = tuple(_results(context))
    if results:
        sections.append(ReportSection("results", results, Text("cryoet_report.results")))
    return sections


def _data(context: ReportContext) -> Iterator[Text | View]:
    samples = list(context.samples)
    if not samples:
        return
    geometry: Geometry = samples[0].meta["geometry"]
    yield Text(
        "cryoet_report.volumes",
        shape=" × ".join(map(str, geometry.shape)),
        spacing=geometry.spacing_angstrom,
        offset=float(context.record.options.get("voxel_offset") or 0),
    )
    yield _counts_table(samples)
    labelled = [s for s in samples if s.truth is not None and len(s.truth.picks)]
    if labelled and labelled[0].meta.get("has_volume", True) and not _has_errors(context):
        yield _truth_view(labelled[0])  # else it stands beside what was found there


def _counts_table(samples: Sequence[Sample]) -> TableView:
    labelled = [sample for sample in samples if sample.truth is not None]
    rows = []
    for particle in _particles(samples[0]):
        counts = [s.truth.picks.counts().get(particle.name, 0) for s in labelled]
        share = particle.hit_radius_angstrom
        rows.append((verbatim(particle.name), particle.radius_angstrom, share, particle.weight,
                     *map(int, counts)))  # fmt: skip
    columns = [Text(f"cryoet_report.column.{n}") for n in ("kind", "radius", "hit", "weight")]
    columns += [verbatim(sample.item_id) for sample in labelled]
    return TableView(Text("cryoet_report.counts"), tuple(columns), tuple(rows))


def _method(context: ReportContext) -> Iterator[Text | View]:
    config: Config = context.config
    name = str(context.architecture.get("name", config.architecture))
    yield Text(
        f"cryoet_report.network.{name}",
        width=int(context.architecture.get("width", config.width)),
    )
    if name in _NO_NETWORKS:
        return
    yield Text(
        f"cryoet_report.target.{config.target}",
        share=config.radius_share,
        loss=Text(f"cryoet_report.loss.{config.loss}"),
        beta=config.tversky_beta,
        background=config.background_weight,
    )
    yield Text(
        "cryoet_report.patches",
        side=config.patch_vox,
        batch=config.batch_size,
        share=config.particle_share,
        hard=config.hard_kind_weight,
    )
    yield Text(
        "cryoet_report.augmentation",
        degrees=config.rotation_degrees,
        noise=config.noise_std,
        contrast=config.contrast,
        mixing=config.mixing,
        decay=config.ema_decay,
    )
    yield _start(config, int(context.architecture.get("networks", 1)))
    yield Text(
        f"cryoet_report.picking.{config.picking}",
        overlap=config.overlap,
        symmetries=Text(f"cryoet_config.symmetries.{config.symmetries}"),
        smoothing=config.smoothing_share,
        exclusion=config.exclusion_share,
        threshold=config.component_threshold,
        size=config.min_component_share,
    )
    yield Text("cryoet_report.metric")


def _start(config: Config, num_networks: int) -> Text:
    """Say what the weights were before the training, and how many networks answer."""
    is_built_in = config.pretrained and config.architecture == "light"
    name = "model" if config.initial_checkpoint else "built_in" if is_built_in else "scratch"
    return Text(
        "cryoet_report.start", weights=Text(f"cryoet_report.start.{name}"),
        networks=Text("cryoet_report.networks", n=num_networks),
    )  # fmt: skip


def _results(context: ReportContext) -> Iterator[Text | View]:
    rows, point = context.statistics, context.operating_point
    if rows is None or point is None:
        return
    yield score_table(rows, point)
    yield bar_view(rows, point)
    yield Text("cryoet_report.hard_kinds", n=_NUM_CURVES)
    for kind in _hardest(rows, point):
        yield from curve_views(rows, point, kind)
    if _has_errors(context):
        yield from _slices(context, point)


def _has_errors(context: ReportContext) -> bool:
    """Tell whether there is a tomogram with true picks, answers and a score."""
    sample = _shown(context)
    if sample is None or context.statistics is None or context.operating_point is None:
        return False
    return sample.item_id in context.predictions and sample.meta.get("has_volume", True)


def _shown(context: ReportContext) -> Sample | None:
    scored = (s for s in context.samples if s.truth is not None and len(s.truth.picks))
    return next(scored, None)


def _hardest(rows: Any, point: OperatingPoint) -> list[str]:
    """Return the scored kinds of the lowest F4."""
    pooled = {k: c for k, c in metrics.pool_rows(rows).items() if c.weight > 0}

    def score(kind: str) -> float:
        return metrics.f_beta_score(pooled[kind].at(metrics.threshold_of(point, kind)))

    return sorted(pooled, key=score)[:_NUM_CURVES]


# --- slices ---------------------------------------------------------------------------------------


def _truth_view(sample: Sample) -> View:
    """Show true picks, a colour a kind, in the section that cuts most of them."""
    geometry: Geometry = sample.meta["geometry"]
    picks, particles = sample.truth.picks, _particles(sample)
    section = busiest_section(picks, geometry)
    circles = [  # a layer a kind, so that a legend can name each
        replace(points_of(marks, geometry, section), name=verbatim(particle.name))
        for particle in particles
        if len(marks := Marks.of_kinds(picks.of_kind(particle.name), particles))
    ]
    layers: tuple[Layer, ...] = (
        PixelLayer(section_of(sample, _THICKNESS)(0, section), window=_WINDOW),
        *(layer for layer in circles if len(layer.points)),
    )
    title = Text("cryoet_report.truth_slice", item=sample.item_id, section=section + 1)
    return _view(sample, title, Pane(Text("cryoet_report.section", section=section + 1), layers))


def _slices(context: ReportContext, point: OperatingPoint) -> Iterator[View]:
    """Show true picks, and which were found, in the section that cuts most of them."""
    sample = _shown(context)
    assert sample is not None, "the caller looked"
    section = busiest_section(sample.truth.picks, sample.meta["geometry"])
    name = Text("cryoet_report.section", section=section + 1)
    pane = section_pane(sample, context.predictions[sample.item_id], point, name)
    yield _truth_view(sample)
    if pane is not None:
        title = Text("cryoet_report.error_slice", item=sample.item_id, section=section + 1)
        yield _view(sample, title, pane)


def _view(sample: Sample, title: Text, pane: Pane) -> View:
    geometry: Geometry = sample.meta["geometry"]
    return ImageView(
        title, (pane,), pixel_size=geometry.spacing_angstrom, unit="angstrom",
        source=Text("cryoet_report.legend"),
    )  # fmt: skip


def _particles(sample: Sample) -> tuple[Particle, ...]:
    return tuple(sample.meta.get("particles", CHALLENGE))


# --- files of the pack ----------------------------------------------------------------------------


def pack_files(context: ReportContext) -> dict[str, bytes]:
    """Return the notebook that makes the submission again from the released layout."""
    from pipelines.tasks.cryoet_picking.notebook import FILENAME, to_notebook

    if not context.predictions:
        return {}
    thresholds = thresholds_of(next(iter(context.predictions.values())))
    if context.operating_point is not None:
        thresholds = dict(context.operating_point.thresholds)
    title = context.record.title
    return {
        FILENAME: to_notebook(
            data="DATA",
            checkpoint="run/checkpoint",
            thresholds=thresholds,
            title=title,
            options=changed_options(context.record.options),
        )
    }
