"""What the steps of the page offer for this task: panels, functions from context to views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pipelines.config import option
from pipelines.contract import OperatingPoint, Panel, PanelContext, Sample, Step
from pipelines.core.files import parse_json
from pipelines.datasets import split_from_json
from pipelines.errors import PipelineError
from pipelines.tasks.cryoet_picking.checking import problems_view
from pipelines.tasks.cryoet_picking.clouds import cloud_view, density_rows, distance_histogram
from pipelines.tasks.cryoet_picking.data import changed_options, path_of_record
from pipelines.tasks.cryoet_picking.lessons import (
    beta_curves,
    self_check_table,
    shift_curve,
    wedge_pictures,
)
from pipelines.tasks.cryoet_picking.metrics import f4_score
from pipelines.tasks.cryoet_picking.notebook import to_notebook
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, Particle, names
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.predictions import candidates_of, particles_in, picks_at
from pipelines.tasks.cryoet_picking.scores import bar_view, curve_views, score_table, source_note
from pipelines.tasks.cryoet_picking.simulate import SimulationConfig
from pipelines.tasks.cryoet_picking.slices import ColourBy, Marks, volume_view
from pipelines.tasks.cryoet_picking.submission import (
    FILENAME,
    check_submission,
    read_submission,
    to_csv,
)
from pipelines.text import Text
from pipelines.views import DownloadView, GalleryView, TableView, TextView, View

_KINDS = ("all", *names(CHALLENGE))


@dataclass(frozen=True)
class SliceControls:
    """Hold how thick the three planes are, and which kind is marked."""

    texts: ClassVar[str] = "cryoet_view"

    thickness: int = option(5, low=1, high=21, unit="vx", step=2)
    kind: str = option("all", choices=_KINDS)


@dataclass(frozen=True)
class PickControls:
    """Hold how predicted picks are shown."""

    texts: ClassVar[str] = "cryoet_view"

    thickness: int = option(5, low=1, high=21, unit="vx", step=2)
    kind: str = option("all", choices=_KINDS)
    colour_by: str = option("verdict", choices=("verdict", "kind"))


@dataclass(frozen=True)
class TogetherControls:
    """Hold what stands beside the thresholds that move everything."""

    texts: ClassVar[str] = "cryoet_view"

    curve_kind: str = option("beta-galactosidase", choices=names(CHALLENGE))
    thickness: int = option(5, low=1, high=21, unit="vx", step=2)


@dataclass(frozen=True)
class KindControls:
    """Hold which kind is looked at."""

    texts: ClassVar[str] = "cryoet_view"

    kind: str = option("all", choices=_KINDS)


@dataclass(frozen=True)
class CurveControls:
    """Hold which kind's curves are drawn."""

    texts: ClassVar[str] = "cryoet_view"

    curve_kind: str = option("beta-galactosidase", choices=names(CHALLENGE))


@dataclass(frozen=True)
class WedgeControls:
    """Hold the microscope of the lesson."""

    texts: ClassVar[str] = "cryoet_wedge"

    particle: str = option("virus-like-particle", choices=names(CHALLENGE))
    tilt_range_degrees: float = option(60.0, low=20.0, high=90.0, unit="°", step=5.0)
    defocus_micrometres: float = option(3.5, low=0.5, high=8.0, unit="µm", step=0.5)
    # more than a tomogram gets, so that what one sees is the wedge and not the noise
    dose_electrons: float = option(400.0, low=10.0, high=400.0, unit="e⁻/Å²", step=10.0)


def list_panels() -> tuple[Panel, ...]:
    """List the panels in the order of the page."""
    scored: tuple[Any, ...] = ("prediction", "truth")
    panels = (
        _panel("slices", "data", _slices, SliceControls),
        _panel("distances", "data", _distances, KindControls, needs=("dataset", "truth")),
        _panel("patches", "train", _patches, needs=("dataset", "truth")),
        _panel("picks", "predict", _predicted_slices, PickControls, needs=("prediction",)),
        _panel("submission", "predict", _submission, needs=("prediction",), is_per_item=False),
        _panel("scores", "evaluate", _scores, needs=scored, is_per_item=False),
        _panel("curves", "evaluate", _curves, CurveControls, needs=scored, is_per_item=False),
        _panel("together", "evaluate", _together, TogetherControls, needs=scored),
        _panel("beta", "evaluate", _beta, needs=scored, is_per_item=False),
        _panel("self_check", "evaluate", _self_check, needs=("dataset", "truth")),
        _panel("wedge", "explore", _wedge, WedgeControls, needs=(), is_per_item=False),
    )
    groups = ("target", "patches", "augmentation")
    changes: dict[str, dict[str, Any]] = {
        "patches": {"config_groups": groups},
        "submission": {"is_on_demand": True},
    }
    return tuple(replace(p, **changes.get(p.panel_id, {})) for p in panels)


def _panel(
    panel_id: str,
    step: Step,
    compute: Callable[[PanelContext, Any], Sequence[View]],
    controls: type[Any] | None = None,
    *,
    needs: tuple[Any, ...] = ("dataset",),
    is_per_item: bool = True,
) -> Panel:
    return Panel(
        panel_id,
        step,
        compute,
        "cryoet_panel",
        controls=controls,
        is_per_item=is_per_item,
        needs=needs,
    )


# --- data ---------------------------------------------------------------------------------------


def _slices(context: PanelContext, controls: SliceControls) -> Sequence[View]:
    sample = context.sample
    truth = sample.truth
    marks = Marks.none()
    if truth is not None:
        marks = Marks.of_kinds(_of_kind(truth.picks, controls.kind), truth.particles)
    title = Text("cryoet.cloud_title", n=len(marks))
    shown = planes_or_note(sample, marks, thickness=controls.thickness)
    return [*shown, cloud_view(sample, marks, title)] if len(marks) else shown


def planes_or_note(sample: Sample, marks: Marks, *, thickness: int) -> list[View]:
    """Show the planes of a tomogram, or say that only its picks are at hand."""
    if not sample.meta.get("has_volume", True):
        return [TextView(Text("cryoet.picks_only", experiment=sample.item_id), tone="info")]
    title = Text("cryoet.slices_title", item=sample.item_id)
    return [volume_view(sample, marks, thickness=thickness, title=title)]


def _predicted_slices(context: PanelContext, controls: PickControls) -> Sequence[View]:
    picks = _chosen_picks(context)
    if picks is None:
        return [TextView(Text("cryoet.no_prediction_here"), tone="info")]
    colour_by: ColourBy = "kind" if controls.colour_by == "kind" else "verdict"
    return _planes_and_cloud(context, picks, controls.kind, colour_by, controls.thickness)


def _planes_and_cloud(
    context: PanelContext, picks: Picks, kind: str, colour_by: ColourBy, thickness: int
) -> list[View]:
    sample = context.sample
    truth = sample.truth.picks if sample.truth is not None else None
    own = _of_kind(picks, kind)
    marks = Marks.compare(own, _maybe_kind(truth, kind), _particles(sample), colour_by=colour_by)
    cloud = cloud_view(sample, marks, Text("cryoet.both_title", n=len(own)))
    return [*planes_or_note(sample, marks, thickness=thickness), cloud]


def _together(context: PanelContext, controls: TogetherControls) -> Sequence[View]:
    """Show table, curves, planes and cloud of one tomogram at the thresholds of the page."""
    rows, picks = context.statistics, _chosen_picks(context)
    if rows is None or picks is None:
        return [TextView(Text("cryoet.no_scores_here"), tone="info")]
    own = rows.of_items([context.sample.item_id])
    shown = _planes_and_cloud(context, picks, "all", "verdict", controls.thickness)
    curves = curve_views(own, _point(context), controls.curve_kind)
    return [score_table(own, _point(context)), *curves, *shown]


def _distances(context: PanelContext, controls: KindControls) -> Sequence[View]:
    truth = context.sample.truth
    if truth is None:
        return [TextView(Text("cryoet.no_truth_here"), tone="info")]
    table = TableView(
        Text("cryoet.distances_title", item=context.sample.item_id),
        columns=tuple(
            Text(f"cryoet.column_{c}") for c in ("kind", "count", "density", "nearest", "closest")
        ),
        rows=density_rows(context.sample),
        filename=f"{context.sample.item_id}_picks.csv",
    )
    histogram = distance_histogram(truth.picks, controls.kind)
    return [table] if histogram is None else [table, histogram]


# --- training -----------------------------------------------------------------------------------


def _patches(context: PanelContext, controls: Any) -> Sequence[View]:
    """Draw what training would see: eight augmented patches, their middle section and target."""
    from pipelines.tasks.cryoet_picking.lessons import patch_pictures

    sample = context.sample
    if not sample.meta.get("has_volume", True):
        return [TextView(Text("cryoet.picks_only", experiment=sample.item_id), tone="info")]
    if sample.truth is None:
        return [TextView(Text("cryoet.no_truth_here"), tone="info")]
    pictures = patch_pictures(sample, context.config)
    captions = tuple(Text("cryoet.patch_caption", n=i + 1) for i in range(len(pictures)))
    return [
        GalleryView(Text("cryoet.patches_title"), pictures=pictures, captions=captions),
        TextView(Text("cryoet.patches_why")),
    ]


# --- prediction ---------------------------------------------------------------------------------


def _submission(context: PanelContext, controls: Any) -> Sequence[View]:
    """Offer the submission at the thresholds of the page, and check it as it would be read."""
    predictions = list(context.predictions.values())
    if not predictions:
        return [TextView(Text("cryoet.no_prediction_here"), tone="info")]
    thresholds = _thresholds(context)
    particles = particles_in(predictions[0])
    picks = Picks.concatenate([picks_at(candidates_of(p), thresholds) for p in predictions])
    content = to_csv(picks, particles)
    geometries = {s.item_id: s.meta["geometry"] for s in context.samples}
    found = check_submission(content, particles, geometries)
    checked = problems_view(found)
    download = DownloadView(
        Text("cryoet.submission_download", n=content.count(b"\n") - 1),
        FILENAME,
        lambda: content,
        "text/csv",
    )
    return [checked, *_rescored(content, context), download, _notebook(context, thresholds)]


def _rescored(content: bytes, context: PanelContext) -> list[View]:
    """Score the file as it would be scored elsewhere, where the truth is at hand."""
    truths = {s.item_id: s.truth for s in context.samples if s.truth is not None}
    known = [truths[name] for name in context.predictions if name in truths]
    if not known:
        return []
    particles = known[0].particles
    picks = read_submission(content, particles, file=FILENAME)
    f4 = f4_score(picks, Picks.concatenate([t.picks for t in known]), particles)
    words = TextView(Text("cryoet.submission_rescored", f4=f4, n=len(known)), tone="info")
    learned = _learned_from(context) & set(context.predictions)
    if not learned:
        return [words]
    return [words, TextView(Text("cryoet.submission_learned", n=len(learned)), tone="warning")]


def _learned_from(context: PanelContext) -> set[str]:
    """Name the tomograms of this data set that the chosen model learned from."""
    if context.checkpoint is None or context.record is None:
        return set()
    file = context.checkpoint / "split.json"
    if not file.is_file():
        return set()
    split = split_from_json(parse_json(file.read_bytes()))
    return set(split.parts["train"]) if split.dataset_id == context.record.dataset_id else set()


def _notebook(context: PanelContext, thresholds: dict[str, float]) -> DownloadView:
    """Offer a notebook that makes this submission again, with the paths of data and weights."""
    record = context.record
    place, title, options = "DATA", "", {}
    if record is not None:
        place, title = str(path_of_record(record)), record.title
        options = changed_options(record.options)
    checkpoint = str(context.checkpoint) if context.checkpoint is not None else "CHECKPOINT"

    def make() -> bytes:
        return to_notebook(
            data=place,
            checkpoint=checkpoint,
            thresholds=thresholds,
            title=title,
            options=options,
        )

    return DownloadView(
        Text("cryoet.notebook"), "submission.ipynb", make, "application/x-ipynb+json"
    )


# --- scores -------------------------------------------------------------------------------------


def _scores(context: PanelContext, controls: Any) -> Sequence[View]:
    rows, point = context.statistics, _point(context)
    if rows is None:
        return [TextView(Text("cryoet.no_scores_here"), tone="info")]
    return [*source_note(point), score_table(rows, point), bar_view(rows, point)]


def _curves(context: PanelContext, controls: CurveControls) -> Sequence[View]:
    if context.statistics is None:
        return [TextView(Text("cryoet.no_scores_here"), tone="info")]
    return curve_views(context.statistics, _point(context), controls.curve_kind)


def _beta(context: PanelContext, controls: Any) -> Sequence[View]:
    if context.statistics is None:
        return [TextView(Text("cryoet.no_scores_here"), tone="info")]
    return beta_curves(context.statistics, _point(context))


def _self_check(context: PanelContext, controls: Any) -> Sequence[View]:
    sample = context.sample
    if sample.truth is None:
        return [TextView(Text("cryoet.no_truth_here"), tone="info")]
    return [self_check_table(sample), shift_curve(sample)]


def _wedge(context: PanelContext, controls: WedgeControls) -> Sequence[View]:
    config = SimulationConfig(
        depth_vox=64,
        side_vox=64,
        tilt_range_degrees=controls.tilt_range_degrees,
        defocus_micrometres=controls.defocus_micrometres,
        dose_electrons=controls.dose_electrons,
    )
    try:
        return wedge_pictures(controls.particle, config)
    except PipelineError as error:
        return [TextView(error.text, tone="error")]


# --- parts --------------------------------------------------------------------------------------


def _particles(sample: Sample) -> tuple[Particle, ...]:
    return tuple(sample.meta.get("particles", CHALLENGE))


def _point(context: PanelContext) -> OperatingPoint:
    if context.operating_point is not None:
        return context.operating_point
    return OperatingPoint({"threshold": 0.3}, source="default")


def _thresholds(context: PanelContext) -> dict[str, float]:
    return dict(_point(context).thresholds)


def _chosen_picks(context: PanelContext) -> Picks | None:
    prediction = context.prediction
    if prediction is None:
        return None
    return picks_at(candidates_of(prediction), _thresholds(context))


def _of_kind(picks: Picks, kind: str) -> Picks:
    return picks if kind == "all" else picks.of_kind(kind)


def _maybe_kind(picks: Picks | None, kind: str) -> Picks | None:
    return None if picks is None else _of_kind(picks, kind)
