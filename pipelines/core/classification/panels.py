"""What the pages of classification tasks show beside the standard parts; no torch in here."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from pipelines.config import option
from pipelines.contract import PARTS, Array, Panel, PanelContext, Prediction
from pipelines.core.classification import leakage
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.evaluation import classes_in
from pipelines.core.classification.features import find_object
from pipelines.core.classification.images import Pixels, decode_all, fit_square, stem_of
from pipelines.core.classification.index import Index
from pipelines.core.classification.labels import UNKNOWN
from pipelines.core.classification.statistics import decide
from pipelines.errors import DataFormatError
from pipelines.text import LANGUAGES, Text, render, verbatim
from pipelines.views import (
    Figure,
    FiguresView,
    GalleryView,
    GridLayer,
    HistogramView,
    ImageView,
    Pane,
    PixelLayer,
    ScalarLayer,
    TableView,
    TextView,
    View,
)

if TYPE_CHECKING:
    from pipelines.core.classification.task import ImageClassification

TEXTS: Final = "classes_panel"
_TILE_PX: Final = 144
_ON_WALL: Final = 10
_LINE: Final = 600
"""Lines side by side that make up a picture on a screen, roughly."""
_MOST_PAIRS: Final = 6
_MOST_SUBJECTS: Final = 3
_CHECKED_SHARE: Final = 0.2
"""Held out to look for leaks where a training holds out by itself."""
_MOST_MEASURED: Final = 300
"""Pictures whose colours are measured, evenly spread."""
_LONGEST_NAME: Final = 16
"""Letters that stand in one line under a picture."""


def make_panels(task: ImageClassification) -> tuple[Panel, ...]:
    """List the panels of a classification task."""

    def panel(name: str, step: Any, compute: Any, **rest: Any) -> Panel:
        bound = functools.partial(compute, task)
        return Panel(name, step, bound, TEXTS, **{"is_per_item": False, **rest})

    return (
        panel("wall", "data", sample_wall, controls=WallControls),
        panel("picture", "data", picture_viewer, is_per_item=True),
        panel("balance", "data", class_balance),
        panel("leaks", "data", leak_check, controls=LeakControls, is_on_demand=True),
        panel("gate", "train", leak_gate, is_on_demand=True),
        panel("why", "predict", explanation, is_per_item=True, needs=("dataset", "prediction")),
    )


# --- controls -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class WallControls:
    """Choose what the sample wall shows."""

    texts: ClassVar[str] = "classes_view"

    wall_seed: int = option(0, low=0, high=10_000)
    wall_class: str = option("")


@dataclass(frozen=True)
class LeakControls:
    """Choose what the leakage check looks for."""

    texts: ClassVar[str] = "classes_view"

    check_random: bool = option(False)


# --- data ---------------------------------------------------------------------------------------


def sample_wall(
    task: ImageClassification, context: PanelContext, controls: WallControls
) -> list[View]:
    """Show pictures of each class, drawn at random."""
    index = _index(task, context)
    classes = _classes(task, context)
    rng = np.random.default_rng(controls.wall_seed)
    wanted = controls.wall_class.strip().casefold()
    views: list[View] = []
    for number in [*range(len(classes)), UNKNOWN]:
        rows = np.flatnonzero(index.label_numbers == number)
        name = _class_name(task.class_text, classes, number)
        if not len(rows) or not _is_named(name, "" if number == UNKNOWN else wanted):
            continue
        chosen = rng.choice(rows, min(_ON_WALL, len(rows)), replace=False)
        title = Text("classes_panel.wall.title", name=name, n=len(rows))
        views.append(_gallery(index, [int(i) for i in chosen], title))
    return views


def picture_viewer(task: ImageClassification, context: PanelContext, controls: None) -> list[View]:
    """Show one picture in full resolution with what its label speaks of."""
    sample = context.sample
    try:
        pixels = np.asarray(sample.image)
    except DataFormatError as error:
        return [TextView(error.text, tone="warning")]
    layers: list[Any] = [PixelLayer(pixels)]
    box = _box(task, pixels)
    if box is not None:
        layers.append(GridLayer(_thick(box, pixels), Text("classes_panel.picture.box")))
    name = _class_name(task.class_text, _classes(task, context), _truth(sample))
    title = Text("classes_panel.picture.title", item=sample.item_id, name=name)
    return [ImageView(title, (Pane(name, tuple(layers)),), unit="px")]


def _box(task: ImageClassification, pixels: Pixels) -> Array | None:
    """Return the outline of the labelled centre, or of the object on black; None for neither."""
    height, width = pixels.shape[:2]
    if task.centre_px:
        top, left = (height - task.centre_px) / 2 - 0.5, (width - task.centre_px) / 2 - 0.5
        return _rectangle(top, left, top + task.centre_px, left + task.centre_px)
    mask = find_object(pixels)
    if mask.all():
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return _rectangle(rows[0] - 0.5, columns[0] - 0.5, rows[-1] + 0.5, columns[-1] + 0.5)


def _thick(box: Array, pixels: Pixels) -> tuple[Array, ...]:
    """Return outlines around a box, close enough to look like one line that is seen on tissue."""
    step = max(pixels.shape[:2]) / _LINE
    outwards = np.sign(box - box[:4].mean(axis=0))
    return tuple(box + k * step * outwards for k in range(4))


def _rectangle(top: float, left: float, bottom: float, right: float) -> Array:
    corners = [(top, left), (top, right), (bottom, right), (bottom, left), (top, left)]
    return np.array(corners, np.float64)


def class_balance(task: ImageClassification, context: PanelContext, controls: None) -> list[View]:
    """Count pictures and groups of each class, and show how bright the pictures are."""
    index = _index(task, context)
    classes = _classes(task, context)
    counts = Counter(tag.label for tag in index.labels.tags)
    total = max(1, sum(counts[i] for i in range(len(classes))))
    labels, colours = _colours(index)
    rows: list[tuple[Any, ...]] = []
    for i, name in enumerate(classes):
        groups = {t.group for t in index.labels.tags if t.label == i and t.group}
        facts = (counts[i], counts[i] / total, len(groups) or math.nan)
        rows.append((task.class_text(name), *facts, _colour_words(colours[labels == i])))
    if counts[UNKNOWN]:
        colour = _colour_words(colours[labels == UNKNOWN])
        rows.append((Text("classes.unlabelled"), counts[UNKNOWN], math.nan, math.nan, colour))
    columns = ("class", "pictures", "share", "groups", "colour")
    table = TableView(
        Text("classes_panel.balance.title", n=total),
        tuple(Text(f"classes_panel.balance.{c}") for c in columns), tuple(rows), "balance.csv",
    )  # fmt: skip
    return [table, _brightness(colours.mean(axis=1))]


def _colours(index: Index) -> tuple[Array, Array]:
    """Return label and mean red, green, blue, `(N,)` and `(N, 3)` in 0 to 255, of some pictures."""
    step = max(1, len(index.source.entries) // _MOST_MEASURED)
    pictures = decode_all(index.reader, index.source.entries[::step])
    found = [
        (label, *pixels[::3, ::3].reshape(-1, 3).mean(axis=0))
        for label, pixels in zip(index.label_numbers[::step], pictures, strict=True)
        if not isinstance(pixels, Exception)
    ]
    table = np.array(found, np.float64).reshape(-1, 4)
    return table[:, 0].astype(int), table[:, 1:]


def _colour_words(colours: Array) -> str:
    """Write the mean colour and its spread between pictures: a class may differ by its stain."""
    if not len(colours):
        return "–"
    mean, spread = colours.mean(axis=0), colours.std(axis=0)
    return ", ".join(f"{m:.0f} ± {s:.0f}" for m, s in zip(mean, spread, strict=True))


def _brightness(values: Array) -> HistogramView:
    # cells on black fill a tenth of the scale: bins over all of it would show two bars
    counts, edges = np.histogram(values, bins=32)
    return HistogramView(
        Text("classes_panel.balance.brightness", n=len(values)), edges, counts,
        Text("classes_panel.balance.brightness_axis"),
    )  # fmt: skip


def leak_check(
    task: ImageClassification, context: PanelContext, controls: LeakControls
) -> list[View]:
    """Say what stands in two parts of the split that training would use, with its pictures."""
    from pipelines.core.classification.task import leak_report

    index = _index(task, context)
    config: ClassificationConfig = context.config
    if controls.check_random:
        config = dataclasses.replace(config, split_by="random")
    views: list[View] = []
    parts = task.split_parts(index, config)
    if not parts["validation"]:
        config = dataclasses.replace(config, validation_share=_CHECKED_SHARE)
        parts = task.split_parts(index, config)
        if config.network == "statistics":
            views.append(TextView(Text("classes.leak.cross_fitted"), tone="info"))
    report = leak_report(index, parts)
    if not report.sentences():
        return [*views, TextView(Text("classes.leak.none"), tone="success")]
    tone: Any = "info" if report.is_clean else "error"
    sentences = report.sentences()
    views.append(TextView(sentences[0], tone=tone, details=sentences[1:]))
    pairs = [leak for leak in report.leaks if leak.kind != "subject"][:_MOST_PAIRS]
    pairs += [leak for leak in report.leaks if leak.kind == "subject"][:_MOST_SUBJECTS]
    return [*views, *(_pair_gallery(index, leak) for leak in pairs)]


def leak_gate(task: ImageClassification, context: PanelContext, controls: None) -> list[View]:
    """Say before training what stands on both sides of the split that the options make."""
    return leak_check(task, context, LeakControls())


def _pair_gallery(index: Index, leak: leakage.Leak) -> GalleryView:
    """Show the two pictures of a leak side by side, with where each stands."""
    pictures: list[Pixels] = []
    captions: list[Text] = []
    for name, where in zip((leak.first, leak.second), leak.parts, strict=True):
        pictures.append(_tile(index, index.places[name]))
        known = Text(f"jobs.part.{where}") if where in PARTS else where  # else a subject
        item = short_name(name)
        captions.append(Text("classes_panel.leaks.caption", item=item, where=known))
    title = Text(f"classes_panel.leaks.pair.{leak.kind}", name=leak.subject)
    return GalleryView(title, tuple(pictures), tuple(captions))


# --- predict ------------------------------------------------------------------------------------


def explanation(task: ImageClassification, context: PanelContext, controls: None) -> list[View]:
    """Show what the model says of one picture, where it looked, and what it resembles."""
    prediction = context.prediction
    if prediction is None:
        return [TextView(Text("classes_panel.why.none"), tone="info")]
    pixels = np.asarray(context.sample.image)
    point = context.operating_point
    threshold = None if point is None else point.threshold
    views = explain(pixels, prediction, _classes(task, context), threshold, task.class_text)
    index = _index(task, context)
    near = [str(i) for i in prediction.values.get("nearest", ()) if str(i) in index.places]
    if near:
        rows = [index.places[i] for i in near]
        labels = [index.labels.tags[i].label for i in rows]
        names = tuple(_class_name(task.class_text, index.labels.classes, i) for i in labels)
        tiles = tuple(_tile(index, i) for i in rows)
        views.append(GalleryView(Text("classes_panel.why.nearest"), tiles, names))
    return [*views, TextView(Text("classes.not_for_diagnosis"), tone="info")]


def explain(
    pixels: Pixels,
    prediction: Prediction,
    classes: Sequence[str],
    threshold: float | None = None,
    name_of: Callable[[str], Text] = verbatim,
) -> list[View]:
    """Show the probabilities of a picture and where the model looked.

    Args:
        pixels: `(H, W, 3)` uint8.
        prediction: With "probabilities", and "cam" where the model has a map.
        classes: Names of the classes, unless the prediction carries its own.
        threshold: Where the second of two classes is decided; None takes the most probable one.
        name_of: From a class to its name as people read it.
    """
    names = [name_of(name) for name in classes_in(prediction.values, classes)]
    odds = np.asarray(prediction.values["probabilities"], np.float64)
    best = int(np.argmax(odds))
    decided = best if threshold is None else int(decide(odds[None], threshold)[0])
    title = Text("classes_panel.why.title", name=names[decided], share=float(odds[decided]))
    figures = tuple(Figure(n, float(p)) for n, p in zip(names, odds, strict=True))
    if "cam" in prediction.values:
        shown: View = _cam_view(pixels, prediction.values["cam"], names[best])
    else:
        pane = Pane(Text("classes_panel.why.picture"), (PixelLayer(pixels),))
        shown = ImageView(Text("classes_panel.why.no_cam"), (pane,), unit="px")
    return [FiguresView(title, figures), shown]


def answer_pane(
    sample: Any,
    prediction: Prediction,
    threshold: float,
    name: Text,
    name_of: Callable[[str], Text] = verbatim,
) -> Pane:
    """Show a picture with the class that a model decides for, and where it looked."""
    pixels = np.asarray(sample.image)
    names = classes_in(prediction.values, sample.meta.get("classes", ()))
    odds = np.asarray(prediction.values["probabilities"], np.float64)
    decided = int(decide(odds[None], threshold)[0])
    title = Text(
        "compare.answer", model=name, name=_class_name(name_of, names, decided),
        share=float(odds[decided]),
    )  # fmt: skip
    layers: list[Any] = [PixelLayer(pixels)]
    if "cam" in prediction.values:
        layers.append(_heat_layer(pixels, prediction.values["cam"]))
    return Pane(title, tuple(layers))


def _heat_layer(pixels: Pixels, cam: Array) -> ScalarLayer:
    import cv2

    height, width = pixels.shape[:2]
    smooth = cv2.resize(cam.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return ScalarLayer(smooth, Text("classes_panel.why.heat"), 0.0, 1.0, "magma", 0.5)


def _cam_view(pixels: Pixels, cam: Array, name: Text) -> ImageView:
    heat = _heat_layer(pixels, cam)
    panes = (
        Pane(Text("classes_panel.why.picture"), (PixelLayer(pixels),)),
        Pane(Text("classes_panel.why.heat"), (PixelLayer(pixels), heat)),
    )
    return ImageView(Text("classes_panel.why.cam", name=name), panes, unit="px")


# --- parts --------------------------------------------------------------------------------------


def _record(context: PanelContext) -> Any:  # DatasetRecord; every panel here needs a data set
    assert context.record is not None
    return context.record


def _classes(task: ImageClassification, context: PanelContext) -> tuple[str, ...]:
    """Return the classes of the predictions where there are some, else those of the data."""
    for item_id in context.predictions:
        values = context.predictions[item_id].values
        if "classes" in values:
            return tuple(values["classes"].tolist())
        break
    return task.class_names(_record(context))


def _index(task: ImageClassification, context: PanelContext) -> Index:
    return task.index_of(_record(context))


def _truth(sample: Any) -> int:
    return UNKNOWN if sample.truth is None else int(sample.truth)


def _class_name(name_of: Callable[[str], Text], classes: Sequence[str], number: int) -> Text:
    return Text("classes.unlabelled") if number == UNKNOWN else name_of(classes[number])


def _is_named(name: Text, wanted: str) -> bool:
    """Tell whether what somebody typed stands in a name, in whatever language they read."""
    return any(wanted in render(name, spoken).casefold() for spoken in LANGUAGES)


def _tile(index: Index, row: int) -> Pixels:
    try:
        pixels = index.reader.read(index.source.entries[row])
    except DataFormatError:
        return np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)
    return fit_square(pixels, _TILE_PX)


def short_name(item_id: str) -> str:
    """Return the file name without its ending, a long one by its ends: ids have 40 letters."""
    stem = stem_of(item_id)
    return stem if len(stem) <= _LONGEST_NAME else f"{stem[:7]}…{stem[-6:]}"


def _gallery(index: Index, rows: Sequence[int], title: Text) -> GalleryView:
    names = [short_name(index.source.entries[i].name) for i in rows]
    return GalleryView(
        title, tuple(_tile(index, i) for i in rows), tuple(verbatim(n) for n in names)
    )
