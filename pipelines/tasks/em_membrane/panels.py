"""What can be looked at and played with on the task's page; nothing here imports torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pipelines.config import option
from pipelines.contract import Panel, PanelContext, Prediction, Sample
from pipelines.core.images import open_stack
from pipelines.datasets.records import image_file
from pipelines.tasks.em_membrane import augment as augmentation
from pipelines.tasks.em_membrane.cells import grow_hierarchy, label_cells
from pipelines.tasks.em_membrane.config import Config
from pipelines.tasks.em_membrane.convert import WHY, convert_to_png
from pipelines.tasks.em_membrane.data import SHOWN_SIDE_PX, unshowable
from pipelines.tasks.em_membrane.metrics import at_threshold, section_scores
from pipelines.tasks.em_membrane.weight_map import unet_weight_map
from pipelines.text import Text
from pipelines.views import (
    DownloadView,
    FormulaView,
    HistogramView,
    ImageView,
    LabelLayer,
    MaskLayer,
    Pane,
    PixelLayer,
    ScalarLayer,
    TableView,
    TextView,
    ThresholdLayer,
    Tone,
    View,
)

TEXTS = "em_views"
Compute = Callable[[PanelContext, Any], Sequence[View]]
_GRID_PX = 32
_FORMULA = r"w(x) = w_c(x) + w_0 \exp\!\left(-\frac{\left(d_1(x)+d_2(x)\right)^2}{2\sigma^2}\right)"


def _text(name: str, /, **params: Any) -> Text:
    return Text(f"{TEXTS}.{name}", **params)


# --- data -------------------------------------------------------------------------------------


def look(context: PanelContext, controls: None) -> Sequence[View]:
    """Show image, mask and overlay of a section, and the histogram of its grey values."""
    sample = context.sample
    image = PixelLayer(sample.image, window=(0.0, 1.0))
    panes = [Pane(_text("image"), (image,))]
    if sample.truth is not None:
        membrane = MaskLayer(~sample.truth, "membrane", _text("membrane"), opacity=0.45)
        panes.append(Pane(_text("mask"), (PixelLayer(_as_grey(sample.truth), window=(0, 255)),)))
        panes.append(Pane(_text("overlay"), (image, membrane)))
    title = _text("look_title" if sample.truth is not None else "look_unlabelled")
    counts, edges = np.histogram(sample.image, bins=64, range=(0.0, 1.0))
    return [
        _image_view(context, title, panes),
        HistogramView(
            _text("histogram"), edges, counts, _text("grey_value"), y_label=_text("pixels")
        ),
    ]


def convert(context: PanelContext, controls: None) -> Sequence[View]:
    """Convert the images of the data set to PNG, compare, and offer the zip."""
    record, folder = context.record, context.scratch
    assert record is not None, "the panel needs a data set"
    assert folder is not None, "the page gives a folder"
    shown: list[View] = [TextView(WHY)]
    for file in record.files:
        if file.role == "image":
            shown += _convert_one(open_stack(image_file(record, file)), folder)
    return shown


def _convert_one(stack: Any, folder: Path) -> list[View]:  # core.images.Stack
    target = folder / f"{Path(stack.name).stem}-png.zip"
    report = convert_to_png(stack, target)
    tone: Tone = "success" if report.is_equal else "warning"
    title = _text("download_png", name=target.name, size=report.png_bytes)
    return [
        TextView(report.text, tone=tone),
        DownloadView(title, target.name, lambda: target, mime="application/zip"),
    ]


# --- training -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlayControls:
    """Settings of the augmentation playground that only change what is shown."""

    texts: ClassVar[str] = "em_views"

    draw: int = option(0, low=0, high=999)
    is_grid_shown: bool = option(True)


def play(context: PanelContext, controls: PlayControls) -> Sequence[View]:
    """Show a section as training would see it: image, mask and weights moved as one."""
    sample, config = context.sample, context.config
    inside = _inside(sample)
    weight = _weight_map(sample.item_id, inside.shape, inside.tobytes(), config.w0, config.sigma_px)
    section = augmentation.Section.of(np.asarray(sample.image, np.float32), inside, weight)
    rng = np.random.default_rng(controls.draw)
    made = augmentation.augment(section, config, rng)
    panes = _play_panes(made, config, section, is_grid_shown=controls.is_grid_shown)
    view = _image_view(context, _text("play_title"), panes)
    return [view, TextView(_text("drawn"), details=_drawn_words(made.composite))]


def _play_panes(
    made: augmentation.Augmented,
    config: Config,
    section: augmentation.Section,
    *,
    is_grid_shown: bool,
) -> list[Pane]:
    image = PixelLayer(made.image, window=(0.0, 1.0))
    membrane = MaskLayer(~made.mask, "membrane", _text("membrane"), opacity=0.4)
    panes = [Pane(_text("sample"), (image,)), Pane(_text("sample_mask"), (image, membrane))]
    if is_grid_shown:
        places = augmentation.coordinate_map(made.composite, config.patch_px)
        grid = augmentation.grid_overlay(section.image.shape, spacing_px=_GRID_PX)
        lines = augmentation.read_linear(grid, places, config.fill, beyond=0.0) > 0.5
        overlay = MaskLayer(lines, "grid", _text("grid"), opacity=0.8)
        panes.append(Pane(_text("sample_grid"), (image, overlay)))
    if made.weight is not None:
        panes.append(Pane(_text("sample_weight"), (_weight_layer(made.weight),)))
    return panes


def loss_map(context: PanelContext, controls: None) -> Sequence[View]:
    """Show the weight map of the U-Net over the section, with its formula."""
    sample, config = context.sample, context.config
    inside = _inside(sample)
    weight = _weight_map(sample.item_id, inside.shape, inside.tobytes(), config.w0, config.sigma_px)
    image = PixelLayer(sample.image, window=(0.0, 1.0))
    layer = _weight_layer(weight)
    panes = [Pane(_text("image"), (image,)), Pane(_text("weight"), (image, layer))]
    symbols = {
        "w_c": _text("symbol_wc"),
        "d_1, d_2": _text("symbol_d"),
        "w_0": _text("symbol_w0", value=config.w0),
        r"\sigma": _text("symbol_sigma", value=config.sigma_px),
    }
    title = "weight_title" if config.loss == "weighted_ce" else "weight_unused"
    return [
        _image_view(context, _text(title), panes),
        FormulaView(_text("formula"), _FORMULA, symbols),
    ]


# --- prediction and score ---------------------------------------------------------------------


def show_prediction(context: PanelContext, controls: None) -> Sequence[View]:
    """Show probability, mask and coloured cells over the section."""
    prediction, threshold = context.prediction, _threshold(context)
    if prediction is None:
        return [TextView(_text("not_predicted"), tone="info")]
    probability = prediction.values["probability"]
    image = PixelLayer(context.sample.image, window=(0.0, 1.0))
    cut = ThresholdLayer(probability, threshold, "membrane", _text("membrane"), above=False)
    panes = [
        Pane(_text("membrane_found"), (image, cut)),
        Pane(_text("probability"), (ScalarLayer(probability, _text("probability"), 0.0, 1.0),)),
        Pane(_text("cells"), (image, LabelLayer(_cells(probability, threshold), _text("cells")))),
    ]
    return [_image_view(context, _text("prediction_title", threshold=threshold), panes)]


def show_errors(context: PanelContext, controls: None) -> Sequence[View]:
    """Show where prediction and truth differ, and the figures of this section."""
    prediction, threshold = context.prediction, _threshold(context)
    sample = context.sample
    if prediction is None or sample.truth is None:
        return [TextView(_text("not_scored"), tone="info")]
    image = PixelLayer(sample.image, window=(0.0, 1.0))
    labels = LabelLayer(_cells(prediction.values["probability"], threshold), _text("cells"))
    errors = error_pane(sample, prediction, threshold, _text("errors"))
    panes = [errors, Pane(_text("cells"), (image, labels))]
    return [_image_view(context, _text("errors_title", threshold=threshold), panes)]


def error_pane(sample: Sample, prediction: Prediction, threshold: float, name: Text) -> Pane:
    """Show right, false and missed membrane of a section, or what is found without a truth."""
    compared = ThresholdLayer(
        prediction.values["probability"],
        threshold,
        "membrane",
        _text("compared"),
        above=False,
        truth=None if sample.truth is None else ~sample.truth,
    )
    size = float(sample.meta.get("pixel_size_nm") or 0.0) or None
    return Pane(name, (PixelLayer(sample.image, window=(0.0, 1.0)), compared), size)


def section_table(context: PanelContext, controls: None) -> Sequence[View]:
    """List the figures of every section at the threshold."""
    if context.statistics is None:
        return [TextView(_text("not_scored"), tone="info")]
    rows = at_threshold(context.statistics, _threshold(context))
    scores = section_scores(rows.columns)
    names = ("v_rand", "v_rand_split", "v_rand_merge", "v_info")
    columns = (_text("section"), *(Text(f"em_metrics.{name}") for name in names))
    table = [
        (item_id, *(float(scores[name][index]) for name in names))
        for index, item_id in enumerate(rows.columns["item_id"].tolist())
    ]
    table.sort(key=lambda row: row[1])  # worst first: that is where to look
    return [TableView(_text("table_title"), columns, tuple(table), filename="sections.csv")]


# --- parts --------------------------------------------------------------------------------------


def _image_view(context: PanelContext, title: Text, panes: Sequence[Pane]) -> ImageView:
    size = float(context.sample.meta.get("pixel_size_nm") or 0.0)
    return ImageView(
        title,
        tuple(panes),
        pixel_size=size or None,
        section=(context.index, len(context.samples)),
        alt=_text("alt", item=context.sample.item_id, title=title),
    )


def _weight_layer(weight: npt.NDArray[np.float32]) -> ScalarLayer:
    return ScalarLayer(
        weight, _text("weight"), 0.0, float(weight.max(initial=1.0)), scale="magma", opacity=0.85
    )


def _inside(sample: Sample) -> npt.NDArray[np.bool_]:
    """Return the truth; an unlabelled section counts as one cell, so that it can be played with."""
    if sample.truth is None:
        return np.ones(sample.image.shape, bool)
    return np.asarray(sample.truth, bool)


@functools.lru_cache(maxsize=8)
def _weight_map(
    item_id: str, shape: tuple[int, int], inside: bytes, w0: float, sigma_px: float
) -> npt.NDArray[np.float32]:
    """Compute a weight map once: a slider of the playground asks for the same one again."""
    mask = np.frombuffer(inside, bool).reshape(shape)
    return unet_weight_map(mask, w0=w0, sigma_px=sigma_px)


def _cells(probability: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.int32]:
    return label_cells(_hierarchy(probability.tobytes(), probability.shape), threshold)


@functools.lru_cache(maxsize=40)
def _hierarchy(probability: bytes, shape: tuple[int, int]) -> Any:  # cells.CellHierarchy
    """Grow the cells of a section once; moving the threshold then costs 2 ms instead of 110."""
    return grow_hierarchy(np.frombuffer(probability, np.float32).reshape(shape))


def _threshold(context: PanelContext) -> float:
    return 0.5 if context.operating_point is None else context.operating_point.threshold


def _as_grey(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return mask.astype(np.uint8) * 255


def _drawn_words(drawn: augmentation.Composite) -> tuple[Text, ...]:
    """Say what was drawn; a step that did not take part is left out."""
    shown = (
        ("quarter_turns", drawn.quarter_turns, 0),
        ("rotation", drawn.rotation_deg, 0.0),
        ("flip", drawn.flip_y or drawn.flip_x, False),
        ("shear", drawn.shear_deg, 0.0),
        ("zoom", drawn.zoom, 1.0),
        ("brightness", drawn.brightness, 0.0),
        ("contrast", drawn.contrast, 1.0),
        ("gamma", drawn.gamma, 1.0),
        ("blur", drawn.blur_px, 0.0),
        ("noise", drawn.noise, 0.0),
        ("hidden", drawn.hidden, 0),
    )
    words = [
        _text(f"drew_{name}", value=value) for name, value, neutral in shown if value != neutral
    ]
    if drawn.elastic_alpha:
        words.append(_text("drew_elastic", alpha=drawn.elastic_alpha, sigma=drawn.elastic_sigma))
    return (_text("join", parts=words),) if words else (_text("drew_nothing"),)


def _shown(compute: Compute) -> Compute:
    """Say that a section is too large for a page, in place of sending gigabytes to a browser."""

    @functools.wraps(compute)
    def guarded(context: PanelContext, controls: Any) -> Sequence[View]:
        file = unshowable(context.record) if context.record is not None else ""
        if file:
            return [TextView(_text("too_large", file=file, side=SHOWN_SIDE_PX), tone="warning")]
        return compute(context, controls)

    return guarded


PANELS = (
    Panel("look", "data", _shown(look), TEXTS, stepping="ahead"),
    Panel("convert", "data", convert, TEXTS, is_per_item=False, is_on_demand=True),
    Panel(
        "augment", "train", _shown(play), TEXTS, controls=PlayControls, config_groups=("augment",),
        stepping="picture",
    ),
    Panel(
        "loss_map", "train", _shown(loss_map), TEXTS, config_groups=("loss",),
        needs=("dataset", "truth"), stepping="picture",
    ),
    Panel(
        "prediction", "predict", _shown(show_prediction), TEXTS, needs=("dataset", "prediction"),
        stepping="ahead",
    ),
    Panel(
        "errors", "evaluate", _shown(show_errors), TEXTS, needs=("dataset", "prediction", "truth"),
        stepping="ahead",
    ),
    Panel(
        "sections", "evaluate", section_table, TEXTS, is_per_item=False,
        needs=("dataset", "prediction", "truth"),
    ),
)  # fmt: skip
