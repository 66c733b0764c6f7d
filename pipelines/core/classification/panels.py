"""What the pages of classification tasks show beside the standard parts; no torch in here."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import numpy as np

from pipelines.config import option
from pipelines.contract import Array, ItemStatistics, Panel, PanelContext
from pipelines.core.classification import embedding, leakage, statistics
from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.features import find_object
from pipelines.core.classification.images import Pixels, decode_all, fit_square
from pipelines.core.classification.index import Index
from pipelines.core.classification.labels import UNKNOWN
from pipelines.errors import DataFormatError
from pipelines.text import Text, verbatim
from pipelines.views import (
    Curve,
    CurveView,
    Figure,
    FiguresView,
    GalleryView,
    GridLayer,
    HistogramView,
    ImageView,
    Pane,
    PixelLayer,
    ScalarLayer,
    ScatterView,
    TableView,
    TextView,
    View,
)

if TYPE_CHECKING:
    from pipelines.core.classification.task import ImageClassification

TEXTS: Final = "classes_panel"
_TILE_PX: Final = 144
_GRID: Final = np.linspace(0, 1, 101)
_BAND_ROUNDS: Final = 200
_MOST_POINTS: Final = 10_000


def make_panels(task: ImageClassification) -> tuple[Panel, ...]:
    """List the panels of a classification task."""

    def panel(name: str, step: Any, compute: Any, **rest: Any) -> Panel:
        bound = functools.partial(compute, task)
        return Panel(name, step, bound, TEXTS, **{"is_per_item": False, **rest})

    return (
        panel("wall", "data", sample_wall, controls=WallControls),
        panel("picture", "data", picture_viewer, is_per_item=True),
        panel("balance", "data", class_balance),
        panel("leaks", "data", leak_check, controls=LeakControls),
        panel("why", "predict", explanation, is_per_item=True, needs=("dataset", "prediction")),
        panel("curves", "evaluate", curves, controls=CostControls, needs=_SCORED),
        panel("matrix", "evaluate", matrix, controls=CellControls, needs=_SCORED),
        panel("calibration", "evaluate", reliability, needs=_SCORED),
        panel("map", "explore", feature_map, controls=MapControls, needs=("dataset", "prediction")),
    )


_SCORED: Final = ("dataset", "truth", "prediction")


# --- controls -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class WallControls:
    """Choose what the sample wall shows."""

    texts: ClassVar[str] = "classes_view"

    wall_class: int = option(-1, low=-1, high=50)
    wall_seed: int = option(0, low=0, high=1000)


@dataclass(frozen=True)
class LeakControls:
    """Choose what the leakage check looks for."""

    texts: ClassVar[str] = "classes_view"

    check_near: bool = option(False)
    check_random: bool = option(False)


@dataclass(frozen=True)
class CostControls:
    """Say what a missed positive costs beside a false alarm."""

    texts: ClassVar[str] = "classes_view"

    cost_ratio: float = option(1.0, low=0.05, high=20.0)


@dataclass(frozen=True)
class CellControls:
    """Choose a cell of the confusion matrix."""

    texts: ClassVar[str] = "classes_view"

    cell_truth: int = option(1, low=0, high=50)
    cell_decided: int = option(0, low=0, high=50)


@dataclass(frozen=True)
class MapControls:
    """Choose how the map is laid out, clustered and coloured."""

    texts: ClassVar[str] = "classes_view"

    projection: str = option("pca", choices=("pca", "tsne"))
    clustering: str = option("kmeans", choices=("kmeans", "gaussian", "hdbscan"))
    num_clusters: int = option(4, low=2, high=30)
    colour_by: str = option("label", choices=("label", "decided", "group", "cluster", "loss"))
    shown_cluster: int = option(0, low=-1, high=30)


# --- data ---------------------------------------------------------------------------------------


def sample_wall(
    task: ImageClassification, context: PanelContext, controls: WallControls
) -> list[View]:
    """Show pictures of each class, drawn at random."""
    index = _index(task, context)
    classes = _classes(task, context)
    rng = np.random.default_rng(controls.wall_seed)
    views: list[View] = []
    for number in [*range(len(classes)), UNKNOWN]:
        rows = [i for i, tag in enumerate(index.labels.tags) if tag.label == number]
        if not rows or controls.wall_class not in (-1, number):
            continue
        chosen = rng.choice(rows, min(12, len(rows)), replace=False)
        name = _class_name(classes, number)
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
        layers.append(GridLayer((box,), Text("classes_panel.picture.box")))
    name = _class_name(_classes(task, context), _truth(sample))
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


def _rectangle(top: float, left: float, bottom: float, right: float) -> Array:
    corners = [(top, left), (top, right), (bottom, right), (bottom, left), (top, left)]
    return np.array(corners, np.float64)


def class_balance(task: ImageClassification, context: PanelContext, controls: None) -> list[View]:
    """Count pictures and groups of each class, and show how bright the pictures are."""
    index = _index(task, context)
    classes = _classes(task, context)
    counts = Counter(tag.label for tag in index.labels.tags)
    total = max(1, sum(counts[i] for i in range(len(classes))))
    rows: list[tuple[Any, ...]] = []
    for i, name in enumerate(classes):
        groups = {t.group for t in index.labels.tags if t.label == i and t.group}
        rows.append((name, counts[i], counts[i] / total, len(groups) or "–"))
    if counts[UNKNOWN]:
        rows.append((Text("classes.unlabelled"), counts[UNKNOWN], "–", "–"))
    columns = ("class", "pictures", "share", "groups")
    table = TableView(
        Text("classes_panel.balance.title", n=total),
        tuple(Text(f"classes_panel.balance.{c}") for c in columns), tuple(rows), "balance.csv",
    )  # fmt: skip
    return [table, _brightness(index)]


def _brightness(index: Index) -> HistogramView:
    step = max(1, len(index.source.entries) // 300)
    some = index.source.entries[::step]
    pictures = decode_all(index.reader, some)
    values = [float(p[::3, ::3].mean()) for p in pictures if not isinstance(p, Exception)]
    counts, edges = np.histogram(values, bins=32, range=(0, 255))
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
        import dataclasses

        config = dataclasses.replace(config, split_by="random")
    hashes = _hashes(index) if controls.check_near else None
    report = leak_report(index, task.split_parts(index, config), hashes)
    if not report.sentences():
        return [TextView(Text("classes.leak.none"), tone="success")]
    tone: Any = "info" if report.is_clean else "error"
    sentences = report.sentences()
    views: list[View] = [TextView(sentences[0], tone=tone, details=sentences[1:])]
    pairs = [leak for leak in report.leaks if leak.kind != "subject"][:6]
    if pairs:
        views.append(_pair_gallery(index, pairs))
    return views


def _hashes(index: Index) -> dict[int, int]:
    pictures = decode_all(index.reader, index.source.entries)
    return {
        i: leakage.difference_hash(p)
        for i, p in enumerate(pictures)
        if not isinstance(p, DataFormatError)
    }


def _pair_gallery(index: Index, pairs: Sequence[leakage.Leak]) -> GalleryView:
    pictures: list[Pixels] = []
    captions: list[Text] = []
    for leak in pairs:
        for name, where in zip((leak.first, leak.second), leak.parts, strict=True):
            pictures.append(_tile(index, index.places[name]))
            captions.append(Text("classes_panel.leaks.caption", item=name, where=where))
    return GalleryView(Text("classes_panel.leaks.pairs"), tuple(pictures), tuple(captions))


# --- predict ------------------------------------------------------------------------------------


def explanation(task: ImageClassification, context: PanelContext, controls: None) -> list[View]:
    """Show what the model says of one picture, where it looked, and what it resembles."""
    prediction = context.prediction
    if prediction is None:
        return [TextView(Text("classes_panel.why.none"), tone="info")]
    record = _record(context)
    classes, odds = _classes(task, context), prediction.values["probabilities"]
    best = int(np.argmax(odds))
    title = Text("classes_panel.why.title", name=classes[best], share=float(odds[best]))
    figures = tuple(Figure(verbatim(n), float(p)) for n, p in zip(classes, odds, strict=True))
    views: list[View] = [FiguresView(title, figures)]
    pixels = np.asarray(context.sample.image)
    if "cam" in prediction.values:
        views.append(_cam_view(pixels, prediction.values["cam"], classes[best]))
    index = task.index_of(record)
    near = [str(i) for i in prediction.values.get("nearest", ()) if str(i) in index.places]
    if near:
        rows = [index.places[i] for i in near]
        views.append(_gallery(index, rows, Text("classes_panel.why.nearest")))
    views.append(TextView(Text("classes.not_for_diagnosis"), tone="info"))
    return views


def _cam_view(pixels: Pixels, cam: Array, name: str) -> ImageView:
    import cv2

    height, width = pixels.shape[:2]
    smooth = cv2.resize(cam.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    heat = ScalarLayer(smooth, Text("classes_panel.why.heat"), 0.0, 1.0, "magma", 0.5)
    panes = (
        Pane(Text("classes_panel.why.picture"), (PixelLayer(pixels),)),
        Pane(Text("classes_panel.why.heat"), (PixelLayer(pixels), heat)),
    )
    return ImageView(Text("classes_panel.why.cam", name=name), panes, unit="px")


# --- evaluate -----------------------------------------------------------------------------------


def curves(task: ImageClassification, context: PanelContext, controls: CostControls) -> list[View]:
    """Draw ROC and precision-recall with bands, and the figures at the threshold."""
    rows = _rows(context)
    classes = _classes(task, context)
    if len(classes) != 2:
        return [_figures(task, context, rows)]
    source = _source(rows)
    truth, scores = statistics.truth_of(rows) == 1, statistics.probabilities_of(rows)[:, 1]
    counts = statistics.sweep(truth, scores)
    if not counts.num_positive or not counts.num_negative:
        return [TextView(Text("classes.one_class_scored", name=classes[int(truth.any())]))]
    roc_band = statistics.bootstrap(rows, _roc_on_grid, rounds=_BAND_ROUNDS)
    recall_band = statistics.bootstrap(rows, _precision_on_grid, rounds=_BAND_ROUNDS)
    threshold = _threshold(context)
    at = int(np.searchsorted(-counts.thresholds, -threshold, side="right")) - 1
    area = statistics.delong(truth, scores)
    roc = CurveView(
        Text("classes_panel.curves.roc", auc=area.value, low=area.low, high=area.high),
        Text("classes_panel.curves.false_alarms"), Text("classes_metrics.sensitivity"),
        (
            Curve(Text("classes_panel.curves.model"), _GRID, _roc_on_grid(rows), roc_band),
            _point(counts.false_alarms[at], counts.sensitivity[at], threshold),
            Curve(Text("classes_panel.curves.chance"), _GRID, _GRID, is_dashed=True),
        ),
        y_range=(0.0, 1.02), source=source,
    )  # fmt: skip
    precision = CurveView(
        Text("classes_panel.curves.pr", value=statistics.average_precision(truth, scores)),
        Text("classes_metrics.sensitivity"), Text("classes_panel.curves.precision"),
        (
            Curve(
                Text("classes_panel.curves.model"), _GRID, _precision_on_grid(rows), recall_band
            ),
            _point(counts.sensitivity[at], counts.precision[at], threshold),
        ),
        y_range=(0.0, 1.02), source=source,
    )  # fmt: skip
    youden = statistics.best_threshold(rows)
    cheapest = statistics.best_threshold(rows, cost_ratio=controls.cost_ratio)
    advice = TextView(
        Text("classes_panel.curves.optimum", youden=youden, cheapest=cheapest,
             ratio=controls.cost_ratio),
        tone="info",
    )  # fmt: skip
    return [_figures(task, context, rows), roc, precision, advice]


def _point(x: float, y: float, threshold: float) -> Curve:
    name = Text("classes_panel.curves.here", threshold=threshold)
    return Curve(name, np.array([x]), np.array([y]))


def _roc_on_grid(rows: ItemStatistics) -> Array:
    """Return the sensitivity at each share of false alarms of the grid."""
    counts = statistics.sweep(
        statistics.truth_of(rows) == 1, statistics.probabilities_of(rows)[:, 1]
    )
    if not counts.num_positive or not counts.num_negative:
        return np.full(len(_GRID), np.nan)
    return np.interp(_GRID, counts.false_alarms, counts.sensitivity)


def _precision_on_grid(rows: ItemStatistics) -> Array:
    """Return the best precision that reaches each sensitivity of the grid."""
    counts = statistics.sweep(
        statistics.truth_of(rows) == 1, statistics.probabilities_of(rows)[:, 1]
    )
    if not counts.num_positive:
        return np.full(len(_GRID), np.nan)
    first = np.searchsorted(counts.sensitivity, _GRID - 1e-12)
    best = np.maximum.accumulate(counts.precision[::-1])[::-1]
    return np.asarray(best[np.minimum(first, len(best) - 1)])


def _figures(task: ImageClassification, context: PanelContext, rows: ItemStatistics) -> FiguresView:
    threshold = _threshold(context)
    names = [m.name for m in task.metrics]

    def measure(some: ItemStatistics) -> Array:
        return np.array([statistics.score_rows(some, threshold)[n] for n in names])

    values = measure(rows)
    low, high = statistics.bootstrap(rows, measure, rounds=_BAND_ROUNDS)
    figures = tuple(
        Figure(
            m.label, float(v), m.help,
            None if math.isnan(a) else (float(a), float(b)), len(rows),
            higher_is_better=m.higher_is_better,
        )
        for m, v, a, b in zip(task.metrics, values, low, high, strict=True)
    )  # fmt: skip
    title = Text("classes_panel.curves.figures", threshold=threshold)
    return FiguresView(title, figures, source=_source(rows))


def matrix(task: ImageClassification, context: PanelContext, controls: CellControls) -> list[View]:
    """Show the confusion matrix at the threshold, and the pictures of one cell, worst first."""
    rows, record = _rows(context), _record(context)
    classes = _classes(task, context)
    truth, odds = statistics.truth_of(rows), statistics.probabilities_of(rows)
    decided = statistics.decide(odds, _threshold(context))
    counts = statistics.confusion(truth, decided, len(classes))
    table = TableView(
        Text("classes_panel.matrix.title", threshold=_threshold(context)),
        (Text("classes_panel.matrix.truth"), *(
            Text("classes_panel.matrix.decided", name=n) for n in classes
        )),
        tuple((n, *(int(c) for c in counts[i])) for i, n in enumerate(classes)),
        "confusion.csv", source=_source(rows),
    )  # fmt: skip
    row = min(controls.cell_truth, len(classes) - 1)
    column = min(controls.cell_decided, len(classes) - 1)
    members = np.flatnonzero((truth == row) & (decided == column))
    # worst first: least probability of the true class; for right answers, the least sure ones
    order = members[np.argsort(odds[members, row], kind="stable")][:24]
    title = Text("classes_panel.matrix.cell", n=len(members), truth=classes[row],
                 decided=classes[column])  # fmt: skip
    if not len(order):
        return [table, TextView(title, tone="info")]
    index = task.index_of(record)
    names = [str(i) for i in rows.columns["item_id"][order]]
    kept = [
        (n, float(p)) for n, p in zip(names, odds[order, row], strict=True) if n in index.places
    ]
    pictures = tuple(_tile(index, index.places[n]) for n, _ in kept)
    captions = tuple(
        Text("classes_panel.matrix.caption", item=n.rsplit("/", 1)[-1], share=p) for n, p in kept
    )
    return [table, GalleryView(title, pictures, captions)]


def reliability(task: ImageClassification, context: PanelContext, controls: None) -> list[View]:
    """Compare confidence with the share of right answers, before and after temperature scaling."""
    rows = _rows(context)
    truth, odds = statistics.truth_of(rows), statistics.probabilities_of(rows)
    before = statistics.calibration(truth, odds)
    temperature = statistics.fit_temperature(truth, odds)
    after = statistics.calibration(truth, statistics.temper(odds, temperature))
    view = CurveView(
        Text("classes_panel.calibration.title", ece=before.ece),
        Text("classes_panel.calibration.confidence"), Text("classes_panel.calibration.right"),
        (
            Curve(Text("classes_panel.calibration.model"), before.confidence, before.accuracy),
            Curve(Text("classes_panel.calibration.tempered"), after.confidence, after.accuracy),
            Curve(Text("classes_panel.calibration.ideal"), _GRID, _GRID, is_dashed=True),
        ),
        y_range=(0.0, 1.02), source=_source(rows),
    )  # fmt: skip
    words = Text("classes_panel.calibration.temperature", temperature=temperature, ece=after.ece)
    return [view, TextView(words, tone="info")]


# --- explore ------------------------------------------------------------------------------------


def feature_map(
    task: ImageClassification, context: PanelContext, controls: MapControls
) -> list[View]:
    """Lay the pictures out by the model's features, and say what the clusters agree with."""
    index = _index(task, context)
    names = [
        i for i in context.predictions
        if "features" in context.predictions[i].values and i in index.places
    ][:_MOST_POINTS]  # fmt: skip
    if len(names) < 5:
        return [TextView(Text("classes_panel.map.too_few"), tone="info")]
    layout = _layout(tuple(names), context, controls, index)
    classes = _classes(task, context)
    series, labels = _series(controls.colour_by, names, context, index, classes, layout[1])
    plane, clusters, scores = layout
    view = ScatterView(
        Text("classes_panel.map.title", n=len(names)), plane, series, labels,
        tuple(n.rsplit("/", 1)[-1] for n in names), Text("classes_panel.map.x"),
        Text("classes_panel.map.y"),
    )  # fmt: skip
    columns = ("silhouette", "ari_labels", "nmi_labels", "ari_groups", "nmi_groups")
    table = TableView(
        Text(_verdict(scores)), tuple(Text(f"classes_panel.map.{c}") for c in columns),
        (tuple(scores[c] for c in columns),), "clusters.csv",
    )  # fmt: skip
    members = [index.places[names[i]] for i in np.flatnonzero(clusters == controls.shown_cluster)]
    title = Text("classes_panel.map.cluster", number=controls.shown_cluster, n=len(members))
    if not members:
        return [view, table, TextView(title)]
    return [view, table, _gallery(index, members[:18], title)]


def _verdict(scores: dict[str, float]) -> str:
    """Say whether the clusters follow the classes or the subjects."""
    of_labels, of_groups = scores["nmi_labels"], scores["nmi_groups"]
    if math.isnan(of_groups) or math.isnan(of_labels):
        return "classes_panel.map.scores"
    follows = of_groups > of_labels
    return "classes_panel.map.sees_groups" if follows else "classes_panel.map.sees_classes"


_last_layout: dict[Any, Any] = {}


def _layout(
    names: tuple[str, ...], context: PanelContext, controls: MapControls, index: Index
) -> tuple[Array, Array, dict[str, float]]:
    """Project and cluster; remembered for one map, so that a change of colour is instant."""
    features = np.stack([context.predictions[i].values["features"] for i in names])
    features = features.astype(np.float32)
    key = (names, controls.projection, controls.clustering, controls.num_clusters,
           float(features[0].sum()), float(features[-1].sum()))  # fmt: skip
    if key not in _last_layout:
        how: Any = controls.projection if len(names) <= embedding.MOST_TSNE else "pca"
        kind = cast("embedding.Clustering", controls.clustering)
        clusters = embedding.cluster(features, kind, min(controls.num_clusters, len(names)))
        tags = [index.labels.tags[index.places[n]] for n in names]
        scores = embedding.score_clusters(
            features, clusters, np.array([t.label for t in tags]),
            np.array([t.group or n for t, n in zip(tags, names, strict=True)]),
        )  # fmt: skip
        _last_layout.clear()
        _last_layout[key] = (embedding.project(features, how), clusters, scores)
    return cast("tuple[Array, Array, dict[str, float]]", _last_layout[key])


def _series(
    by: str,
    names: Sequence[str],
    context: PanelContext,
    index: Index,
    classes: Sequence[str],
    clusters: Array,
) -> tuple[Array, tuple[Text, ...]]:
    """Return the series of each point and the names of the series."""
    tags = [index.labels.tags[index.places[n]] for n in names]
    odds = np.stack([context.predictions[n].values["probabilities"] for n in names])
    if by == "group":
        words = [t.group or "–" for t in tags]
    elif by == "cluster":
        words = [str(int(c)) for c in clusters]
    elif by == "decided":
        decided = statistics.decide(odds, _threshold(context))
        words = [classes[int(c)] for c in decided]
    elif by == "loss":
        truth = np.array([max(t.label, 0) for t in tags])
        loss = -np.log(odds[np.arange(len(names)), truth].clip(1e-6))
        words = [("< 0.1", "0.1 – 0.7", "0.7 – 2", "> 2")[i] for i in np.digitize(loss, _LOSSES)]
    else:
        words = [classes[t.label] if t.label != UNKNOWN else "–" for t in tags]
    order = sorted(set(words))
    number = {word: i for i, word in enumerate(order)}
    return np.array([number[w] for w in words]), tuple(verbatim(w) for w in order)


_LOSSES: Final = (0.1, 0.7, 2.0)


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


def _rows(context: PanelContext) -> ItemStatistics:
    assert context.statistics is not None
    return context.statistics


def _threshold(context: PanelContext) -> float:
    return context.operating_point.threshold if context.operating_point else 0.5


def _truth(sample: Any) -> int:
    return UNKNOWN if sample.truth is None else int(sample.truth)


def _class_name(classes: Sequence[str], number: int) -> Text:
    return Text("classes.unlabelled") if number == UNKNOWN else verbatim(classes[number])


def _source(rows: ItemStatistics) -> Text:
    groups = len(np.unique(rows.columns["group"]))
    return Text("classes_panel.source", n=len(rows), groups=groups)


def _tile(index: Index, row: int) -> Pixels:
    try:
        pixels = index.reader.read(index.source.entries[row])
    except DataFormatError:
        return np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)
    return fit_square(pixels, _TILE_PX)


def _gallery(index: Index, rows: Sequence[int], title: Text) -> GalleryView:
    names = [index.source.entries[i].name.rsplit("/", 1)[-1] for i in rows]
    return GalleryView(
        title, tuple(_tile(index, i) for i in rows), tuple(verbatim(n) for n in names)
    )
