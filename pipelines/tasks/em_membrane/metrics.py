"""The scores of the ISBI 2012 challenge, from sums kept for each section and threshold.

`measure` walks over the sections once and keeps what every figure needs, a row for each section and
threshold; `score` turns any of these rows into figures. Definitions (Arganda-Carreras et al. 2015):

- The cells of the truth are its 4-connected components. Membrane pixels of the truth do not count.
- The cells of the prediction are the 4-connected components of `probability > threshold`, grown
  over the border until they meet (thinning), so that the width of a membrane costs nothing.
- `p_ij` is the share of pixels in predicted cell i and true cell j, `s_i` and `t_j` its margins.
  `V_Rand = sum p_ij^2 / (0.5 sum s_i^2 + 0.5 sum t_j^2)`, with split part
  `sum p_ij^2 / sum t_j^2` and merge part `sum p_ij^2 / sum s_i^2`.
  `V_Info = I / (0.5 H(S) + 0.5 H(T))`, with split part `I / H(S)` and merge part `I / H(T)`.
  Each lies in [0, 1], 1 is perfect.
- The figure of a stack is the mean over its sections, one threshold for all of them.

Decided cases: where no pixel exceeds the threshold nothing can grow, and each pixel is a cell of
its own (as the challenge counts pixels without a cell). One cell in both gives V_Info 1 (0/0 means
agreement). A section whose truth has no cell has no V_Rand and V_Info (NaN) and is left out of the
mean. IoU and Dice are those of the membrane class, pooled over the pixels of the sections; no
membrane in either gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.contract import ItemStatistics
from pipelines.core.metrics import Confusion, dice, error_rate, iou, safe_ratio
from pipelines.errors import DataFormatError
from pipelines.tasks.em_membrane.cells import CellHierarchy, grow_hierarchy, label_components
from pipelines.text import Text

Floats = npt.NDArray[np.float64]

SCORES: Final = ("v_rand", "v_rand_split", "v_rand_merge", "v_info", "v_info_split", "v_info_merge")
PIXEL_FIGURES: Final = ("pixel_error", "iou", "dice")
SUMS: Final = (
    "n", "squares_joint", "squares_predicted", "squares_true",
    "entropy_joint", "entropy_predicted", "entropy_true", "tp", "fp", "fn", "tn",
)  # fmt: skip
# finer towards the ends: a network that is sure of itself has its best threshold there
DEFAULT_THRESHOLDS: Final[Floats] = np.array(
    [0.005, 0.01, *np.round(np.linspace(0.02, 0.98, 49), 2), 0.99, 0.995]
)

USUAL_THRESHOLD: Final = 0.46  # where V_Rand is best on average once gaps are closed
NEARLY: Final = 0.01  # a difference in V_Rand that one or two sections cannot tell from chance


def measure(
    probability: npt.NDArray[np.floating[Any]],
    truth: npt.NDArray[np.bool_],
    thresholds: Sequence[float] | Floats = DEFAULT_THRESHOLDS,
    *,
    item_ids: Sequence[str] | None = None,
    group: str = "",
    on_section: Callable[[int], None] | None = None,
) -> ItemStatistics:
    """Keep, for each section and threshold, the sums that the figures are made of.

    Args:
        probability: `(N, H, W)` probability of being inside a cell, in [0, 1].
        truth: `(N, H, W)` bool, true inside a cell.
        thresholds: `(T,)`; a pixel is inside where its probability exceeds the threshold.
        item_ids: Names of the sections; "0000", "0001", ... by default.
        group: Specimen that the sections come from.
        on_section: Called with the number of sections done after each.

    Returns:
        `N * T` rows, thresholds rising within a section, with the columns `item_id`, `group`,
        `threshold` and those of `SUMS`, float64: `n` counts the truth's cell pixels; `squares_*`
        are sums of squared cell sizes in pixels^2; `entropy_*` are in nats; `tp fp fn tn` count
        pixels with membrane as the positive class.

    Raises:
        DataFormatError: The shapes differ or are not `(N, H, W)`, or a probability is not finite.
    """
    _check(probability, truth)
    names = [f"{i:04d}" for i in range(len(truth))] if item_ids is None else list(item_ids)
    levels = np.unique(np.asarray(thresholds, np.float64))
    tables = []
    for index in range(len(truth)):
        hierarchy = grow_hierarchy(probability[index])
        tables.append(measure_section(hierarchy, probability[index], truth[index], levels))
        if on_section is not None:
            on_section(index + 1)
    table = np.concatenate(tables, axis=1) if tables else np.zeros((len(SUMS), 0))
    return ItemStatistics(
        {
            "item_id": np.repeat(np.array(names, dtype=str), len(levels)),
            "group": np.full(table.shape[1], group),
            "threshold": np.tile(levels, len(names)),
            **dict(zip(SUMS, table, strict=True)),
        }
    )


def measure_section(
    hierarchy: CellHierarchy,
    probability: npt.NDArray[np.floating[Any]],
    truth: npt.NDArray[np.bool_],
    thresholds: Floats,
) -> Floats:
    """Return the sums of one section, `(len(SUMS), T)` float64, in the order of `SUMS`.

    Args:
        hierarchy: Of `probability`, from `grow_hierarchy`.
        probability: `(H, W)` probability of being inside a cell.
        truth: `(H, W)` bool, true inside a cell.
        thresholds: `(T,)`.
    """
    true_cells = label_components(truth)
    overlap = _overlap(hierarchy.basins, true_cells)
    cells = [_cell_sums(hierarchy, overlap, float(t)) for t in thresholds]
    pixels = _pixel_counts(probability, truth, thresholds)
    return np.concatenate([np.array(cells).T.reshape(7, -1), pixels])


def thresholds(rows: ItemStatistics) -> Floats:
    """List the thresholds that the rows hold, rising, `(T,)` float64."""
    return np.unique(np.asarray(rows.columns["threshold"], np.float64))


def at_threshold(rows: ItemStatistics, threshold: float) -> ItemStatistics:
    """Keep the rows of the measured threshold that is nearest to `threshold`."""
    levels = thresholds(rows)
    if not len(levels):
        return rows
    nearest = levels[np.argmin(np.abs(levels - threshold))]
    return rows.take(rows.columns["threshold"] == nearest)


def score(rows: ItemStatistics, threshold: float) -> dict[str, float]:
    """Return every figure of some sections at one threshold.

    Args:
        rows: From `measure`, of any sections, repeats included.
        threshold: The nearest of the measured thresholds is taken.

    Returns:
        `SCORES` and `PIXEL_FIGURES` by name; NaN where a figure is undefined.
    """
    return reduce(at_threshold(rows, threshold).columns)


def curves(rows: ItemStatistics) -> dict[str, Floats]:
    """Return every figure over `thresholds(rows)`, each `(T,)` float64."""
    found = [score(rows, float(t)) for t in thresholds(rows)]
    return {name: np.array([row[name] for row in found]) for name in (*SCORES, *PIXEL_FIGURES)}


def best_threshold(rows: ItemStatistics, figure: str = "v_rand") -> float:
    """Return the threshold at which a figure of all the rows' sections is best.

    Of several equally good thresholds the middle one is taken: the edge of a plateau is a fragile
    choice.
    """
    levels, values = thresholds(rows), curves(rows)[figure]
    if np.isnan(values).all():
        return float(levels[len(levels) // 2])
    signed = -values if figure == "pixel_error" else values
    ties = np.flatnonzero(signed >= np.nanmax(signed) - 1e-12)
    return float(levels[ties[len(ties) // 2]])


def steady_threshold(rows: ItemStatistics, figure: str = "v_rand") -> float:
    """Return the threshold nearest to `USUAL_THRESHOLD` that is nearly as good as the best.

    V_Rand over thresholds is a staircase: each step is one pair of large cells. On one or two
    sections the best step is chance: of four networks, the best threshold of one section cost the
    others 0.006 on average, this one 0.003.

    Args:
        rows: Of validation sections.
        figure: Which figure; higher is better.
    """
    levels, values = thresholds(rows), curves(rows)[figure]
    if np.isnan(values).all():
        return float(levels[np.argmin(np.abs(levels - USUAL_THRESHOLD))])
    good = levels[values >= np.nanmax(values) - NEARLY]
    return float(good[np.argmin(np.abs(good - USUAL_THRESHOLD))])


def section_scores(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, Floats]:
    """Return `SCORES` of each row from its sums; NaN where they are undefined."""
    has_cells = columns["n"] > 0
    joint, predicted = columns["squares_joint"], columns["squares_predicted"]
    true = columns["squares_true"]
    h_predicted, h_true = columns["entropy_predicted"], columns["entropy_true"]
    information = np.maximum(h_predicted + h_true - columns["entropy_joint"], 0.0)
    parts = {
        "v_rand": (joint, 0.5 * (predicted + true)),
        "v_rand_split": (joint, true),
        "v_rand_merge": (joint, predicted),
        "v_info": (information, 0.5 * (h_predicted + h_true)),
        "v_info_split": (information, h_predicted),
        "v_info_merge": (information, h_true),
    }
    # 0/0 is agreement: there was nothing to split or to merge, and nothing was
    found = {
        name: safe_ratio(above, below, undefined=1.0) for name, (above, below) in parts.items()
    }
    return {name: np.where(has_cells, value, np.nan) for name, value in found.items()}


def reduce(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    """Turn the sums of some sections at one threshold, a row a section, into all figures."""
    found: dict[str, float] = {}
    for name, values in section_scores(columns).items():
        defined = values[~np.isnan(values)]
        found[name] = float(defined.mean()) if len(defined) else float("nan")
    membrane = Confusion(*(columns[name] for name in ("tp", "fp", "fn", "tn"))).pool()
    found["pixel_error"] = float(error_rate(membrane))
    found["iou"] = float(iou(membrane))
    found["dice"] = float(dice(membrane))
    return found


def _check(probability: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.bool_]) -> None:
    if probability.ndim != 3 or probability.shape != truth.shape:
        raise DataFormatError(
            Text("em_metrics.shapes_differ", prediction=_size(probability), truth=_size(truth))
        )
    if not np.isfinite(probability).all():
        raise DataFormatError(Text("em_metrics.not_finite"))


def _size(array: npt.NDArray[Any]) -> str:
    return " x ".join(str(side) for side in array.shape)


def _overlap(
    basins: npt.NDArray[np.int32], true_cells: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """Count the pixels that basins share with true cells, `(K, 3)`: basin, true cell, pixels."""
    inside = true_cells > 0
    width = int(basins.max()) + 1
    keys = (true_cells[inside].astype(np.int64) - 1) * width + basins[inside]
    found, pixels = np.unique(keys, return_counts=True)
    return np.stack([found % width, found // width, pixels], axis=1)


def _cell_sums(
    hierarchy: CellHierarchy, overlap: npt.NDArray[np.int64], threshold: float
) -> tuple[float, ...]:
    basin, true_cell, pixels = overlap.T
    true_sizes = _sizes(true_cell, pixels)
    n = float(true_sizes.sum())
    cell = hierarchy.cells_of_basins(threshold)
    if cell.any():
        predicted_sizes = _sizes(cell[basin], pixels)
        key = true_cell * (len(cell) + 1) + cell[basin]
        _, place = np.unique(key, return_inverse=True)
        joint_sizes = _sizes(place, pixels)
    else:  # each pixel a cell of its own
        joint_sizes = predicted_sizes = np.ones(int(n))
    sizes = (joint_sizes, predicted_sizes, true_sizes)
    return (n, *(float(s @ s) for s in sizes), *(_entropy(s, n) for s in sizes))


def _sizes(cell: npt.NDArray[Any], pixels: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(np.bincount(cell, weights=pixels), np.float64)


def _entropy(sizes: Floats, total: float) -> float:
    """Return the entropy, in nats, of drawing a cell by its size."""
    share = sizes[sizes > 0] / total if total else sizes[:0]
    return float(abs(np.sum(share * np.log(share))))  # abs: no "-0.0" for a single cell


def _pixel_counts(
    probability: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.bool_], thresholds: Floats
) -> Floats:
    """Count tp, fp, fn, tn of the membrane class, `(4, T)`."""
    levels = thresholds.astype(np.float32)
    membrane = np.sort(probability[~truth].astype(np.float32))
    inside = np.sort(probability[truth].astype(np.float32))
    tp = np.searchsorted(membrane, levels, side="right")  # predicted membrane: p <= threshold
    fp = np.searchsorted(inside, levels, side="right")
    return np.array([tp, fp, len(membrane) - tp, len(inside) - fp], np.float64)
