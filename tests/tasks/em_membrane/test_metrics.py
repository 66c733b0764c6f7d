"""The challenge's scores against hand-made cases, scikit-image, scikit-learn and slow loops."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.metrics import adapted_rand_error, variation_of_information
from sklearn.metrics import f1_score, jaccard_score

from pipelines.contract import ItemStatistics
from pipelines.errors import DataFormatError
from pipelines.tasks.em_membrane import metrics
from pipelines.tasks.em_membrane.cells import grow_hierarchy, label_cells


def _walls(width: int, *columns: int, height: int = 8, thickness: int = 1) -> np.ndarray:
    """Draw `(H, W)` bool, true inside, with vertical walls centred on some columns."""
    inside = np.ones((height, width), bool)
    for column in columns:
        inside[:, column - thickness // 2 : column + thickness // 2 + 1] = False
    return inside


def _score(predicted: np.ndarray, truth: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    rows = metrics.measure(predicted[None].astype(np.float32), truth[None], [threshold])
    return metrics.score(rows, threshold)


def _noisy_section(seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Make a map of random cells and a truth that is close to it but not the same."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(size, size)), 4)
    truth = np.abs(field) > 0.02
    noisy = gaussian_filter(np.abs(field) + rng.normal(scale=0.02, size=field.shape), 1)
    return np.clip(noisy / noisy.max(), 0, 1).astype(np.float32), truth


def _slow_scores(predicted_cells: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Count pixel by pixel, from the definition."""
    cells = label(truth, connectivity=1)
    pairs: Counter[tuple[int, int]] = Counter()
    for s, t in zip(predicted_cells.ravel().tolist(), cells.ravel().tolist(), strict=True):
        if t:
            pairs[s, t] += 1
    n = sum(pairs.values())
    s_sizes: Counter[int] = Counter()
    t_sizes: Counter[int] = Counter()
    for (s, t), count in pairs.items():
        s_sizes[s] += count
        t_sizes[t] += count
    joint = sum((c / n) ** 2 for c in pairs.values())
    s2 = sum((c / n) ** 2 for c in s_sizes.values())
    t2 = sum((c / n) ** 2 for c in t_sizes.values())
    information = sum(
        c / n * math.log(c * n / (s_sizes[s] * t_sizes[t])) for (s, t), c in pairs.items()
    )
    h_s = -sum(c / n * math.log(c / n) for c in s_sizes.values())
    h_t = -sum(c / n * math.log(c / n) for c in t_sizes.values())
    return {
        "v_rand": joint / (0.5 * s2 + 0.5 * t2),
        "v_rand_split": joint / t2,
        "v_rand_merge": joint / s2,
        "v_info": information / (0.5 * h_s + 0.5 * h_t),
        "v_info_split": information / h_s,
        "v_info_merge": information / h_t,
    }


# --- hand-made cases --------------------------------------------------------------------------


def test_a_perfect_prediction_scores_one_everywhere() -> None:
    truth = _walls(21, 5, 12)
    found = _score(truth, truth)
    assert found.pop("pixel_error") == 0
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def test_two_equal_cells_merged() -> None:
    truth = _walls(9, 4)  # two cells of 4 columns
    found = _score(np.ones_like(truth), truth)
    assert found["v_rand"] == pytest.approx(2 / 3)  # 1/2 / (1/2 x 1 + 1/2 x 1/2)
    assert found["v_rand_merge"] == pytest.approx(1 / 2)
    assert found["v_rand_split"] == pytest.approx(1)
    assert found["v_info"] == pytest.approx(0)  # one cell tells nothing of the two
    assert found["v_info_merge"] == pytest.approx(0)
    assert found["v_info_split"] == 1  # nothing was split


def test_one_cell_split() -> None:
    truth = np.ones((8, 10), bool)
    found = _score(_walls(10, 4, 5), truth)  # each half takes its side of the wall of two columns
    joint = 2 * (1 / 2) ** 2
    assert found["v_rand"] == pytest.approx(joint / (0.5 * joint + 0.5))
    assert found["v_rand_split"] == pytest.approx(joint)
    assert found["v_rand_merge"] == pytest.approx(1)
    assert found["v_info"] == pytest.approx(0)
    assert found["v_info_split"] == pytest.approx(0)
    assert found["v_info_merge"] == 1  # nothing was merged


def test_one_cell_in_both_is_agreement() -> None:
    everywhere = np.ones((6, 6), bool)
    found = _score(everywhere, everywhere)
    assert found["v_info"] == found["v_rand"] == 1
    assert math.isnan(found["iou"])  # there is no membrane to find, and none was claimed
    assert math.isnan(found["dice"])


def test_an_all_membrane_prediction_makes_each_pixel_a_cell() -> None:
    truth = _walls(9, 4)
    found = _score(np.zeros_like(truth), truth)
    n = 64
    joint, true = 1 / n, 1 / 2
    assert found["v_rand"] == pytest.approx(joint / (0.5 * joint + 0.5 * true))
    assert found["v_rand_split"] == pytest.approx(joint / true)
    assert found["v_rand_merge"] == pytest.approx(1)
    assert found["v_info"] == pytest.approx(math.log(2) / (0.5 * math.log(n) + 0.5 * math.log(2)))
    assert found["pixel_error"] == pytest.approx(64 / 72)
    assert found["iou"] == pytest.approx(8 / 72)


def test_one_pixel_sections_are_decided() -> None:
    inside, membrane = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    assert _score(inside, inside)["v_rand"] == 1
    assert _score(membrane, inside)["v_rand"] == 1  # a pixel is one cell, grown or not
    assert math.isnan(_score(inside, membrane)["v_rand"])
    assert _score(membrane, membrane)["iou"] == 1


def test_a_single_true_pixel_is_enough_to_score() -> None:
    truth = np.zeros((5, 5), bool)
    truth[2, 2] = True
    found = _score(truth, truth)
    assert found["v_rand"] == found["v_info"] == 1


def test_a_section_without_cells_is_left_out_of_the_mean() -> None:
    truth = np.stack([_walls(9, 4), np.zeros((8, 9), bool)])
    rows = metrics.measure(np.ones(truth.shape, np.float32), truth, [0.5])
    assert metrics.score(rows, 0.5)["v_rand"] == pytest.approx(2 / 3)
    assert math.isnan(metrics.score(rows.of_items(["0001"]), 0.5)["v_rand"])
    assert math.isnan(metrics.score(rows.of_items([]), 0.5)["v_rand"])  # no rows at all


# --- independent references -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.15, 0.3, 0.5])
def test_scores_agree_with_a_slow_count(seed: int, threshold: float) -> None:
    probability, truth = _noisy_section(seed)
    cells = label_cells(grow_hierarchy(probability), threshold)
    found = _score(probability, truth, threshold)
    for name, value in _slow_scores(cells, truth).items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("seed", range(4))
def test_scores_agree_with_scikit_image(seed: int) -> None:
    """scikit-image counts pairs of different pixels, n (n - 1); the challenge counts n^2.

    What it calls precision divides by the pairs of its first argument, the truth.
    """
    probability, truth = _noisy_section(seed)
    true_cells = label(truth, connectivity=1)
    cells = label_cells(grow_hierarchy(probability), 0.3)
    rows = metrics.measure(probability[None], truth[None], [0.3])
    column = {
        name: float(values[0]) for name, values in rows.columns.items() if name in metrics.SUMS
    }

    error, precision, recall = adapted_rand_error(true_cells, cells)
    splits, merges = variation_of_information(true_cells, cells, ignore_labels=(0,))

    pairs = column["squares_joint"] - column["n"]
    assert pairs / (column["squares_predicted"] - column["n"]) == pytest.approx(recall)
    assert pairs / (column["squares_true"] - column["n"]) == pytest.approx(precision)
    assert 1 - metrics.score(rows, 0.3)["v_rand"] == pytest.approx(error, abs=2e-3)
    # scikit-image restricts the joint table alone, so only its conditional entropies compare
    bits = np.log(2)
    extra = (column["entropy_joint"] - column["entropy_true"]) / bits
    lost = (column["entropy_joint"] - column["entropy_predicted"]) / bits
    assert {round(splits, 6), round(merges, 6)} == {round(extra, 6), round(lost, 6)}


@pytest.mark.parametrize("threshold", [0.15, 0.3, 0.5])
def test_pixel_figures_agree_with_scikit_learn(threshold: float) -> None:
    probability, truth = _noisy_section(7)
    found = _score(probability, truth, threshold)
    predicted_membrane = (probability <= np.float32(threshold)).ravel()
    membrane = ~truth.ravel()
    assert found["iou"] == pytest.approx(jaccard_score(membrane, predicted_membrane))
    assert found["dice"] == pytest.approx(f1_score(membrane, predicted_membrane))
    assert found["pixel_error"] == pytest.approx(np.mean(membrane != predicted_membrane))


def test_a_probability_equal_to_the_threshold_is_membrane_for_every_figure() -> None:
    """0.3 as float32 is above 0.3 as float64: figures and cells once disagreed on such a pixel."""
    probability = np.full((1, 4, 4), 0.3, np.float32)
    rows = metrics.measure(probability, np.ones((1, 4, 4), bool), [0.3])
    assert rows.columns["fp"][0] == 16
    assert metrics.score(rows, 0.3)["v_rand_split"] == pytest.approx(1 / 16)


# --- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [lambda a: a[::-1], lambda a: a[:, ::-1], np.transpose, np.rot90])
def test_turning_both_images_changes_nothing(turn) -> None:
    probability, truth = _noisy_section(1)
    turned = _score(np.ascontiguousarray(turn(probability)), np.ascontiguousarray(turn(truth)), 0.3)
    assert turned == pytest.approx(_score(probability, truth, 0.3), abs=1e-9)


def test_the_width_of_the_predicted_border_costs_no_cell_score() -> None:
    truth = _walls(31, 15, thickness=5)
    thin, wide = _walls(31, 15, thickness=1), _walls(31, 15, thickness=11)
    for predicted in (thin, wide):
        found = _score(predicted, truth)
        assert found["v_rand"] == found["v_info"] == 1
        assert found["iou"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_scores_lie_between_their_parts_and_in_bounds(seed: int) -> None:
    probability, truth = _noisy_section(seed)
    rows = metrics.measure(probability[None], truth[None])
    for level in metrics.thresholds(rows):
        found = metrics.score(rows, float(level))
        assert all(0 <= value <= 1 + 1e-12 for value in found.values())
        for name in ("v_rand", "v_info"):
            low, high = sorted((found[f"{name}_split"], found[f"{name}_merge"]))
            assert low - 1e-12 <= found[name] <= high + 1e-12


def test_the_stack_is_the_mean_of_its_sections_and_pools_its_pixels() -> None:
    sections = [_noisy_section(seed) for seed in range(3)]
    probability = np.stack([p for p, _ in sections])
    truth = np.stack([t for _, t in sections])
    rows = metrics.measure(probability, truth, [0.3])
    single = [metrics.score(rows.of_items([i]), 0.3) for i in rows.item_ids()]
    whole = metrics.score(rows, 0.3)
    assert whole["v_rand"] == pytest.approx(np.mean([s["v_rand"] for s in single]))
    predicted = (probability <= np.float32(0.3)).ravel()
    assert whole["iou"] == pytest.approx(jaccard_score(~truth.ravel(), predicted))


def test_repeated_rows_count_repeatedly() -> None:
    sections = [_noisy_section(seed) for seed in range(2)]
    rows = metrics.measure(
        np.stack([p for p, _ in sections]), np.stack([t for _, t in sections]), [0.3]
    )
    a, b = (metrics.score(rows.of_items([i]), 0.3)["v_rand"] for i in rows.item_ids())
    assert metrics.score(rows.take(np.array([0, 0, 1])), 0.3)["v_rand"] == pytest.approx(
        (2 * a + b) / 3
    )


def _two_cells(gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return two cells whose border is missed in one pixel, as sure as `gap`, and their truth."""
    truth = np.ones((1, 20, 21), bool)
    truth[0, :, 10] = False
    probability = np.where(truth, 0.99, 0.01).astype(np.float32)
    probability[0, 7, 10] = gap
    return probability, truth


@pytest.mark.parametrize(("gap", "expected"), [(0.2, 0.46), (0.7, 0.7)])
def test_the_steady_threshold_moves_only_where_it_must(gap: float, expected: float) -> None:
    rows = metrics.measure(*_two_cells(gap))
    found = metrics.steady_threshold(rows)
    assert found == pytest.approx(expected, abs=0.011)
    assert metrics.score(rows, found)["v_rand"] == 1
    assert metrics.score(rows, 0.1)["v_rand"] < 0.7


def test_without_any_cell_the_steady_threshold_is_the_usual_one() -> None:
    rows = metrics.measure(np.full((1, 4, 4), 0.3, np.float32), np.zeros((1, 4, 4), bool))
    assert metrics.steady_threshold(rows) == pytest.approx(0.46)


def test_the_best_threshold_is_the_middle_of_a_plateau() -> None:
    truth = _walls(21, 5, 12)
    rows = metrics.measure(np.where(truth, 0.9, 0.1)[None].astype(np.float32), truth[None])
    assert metrics.best_threshold(rows) == pytest.approx(0.5)
    assert metrics.best_threshold(rows, "pixel_error") == pytest.approx(0.5)


def test_curves_hold_the_score_of_each_threshold() -> None:
    probability, truth = _noisy_section(2)
    rows = metrics.measure(probability[None], truth[None], [0.2, 0.4])
    assert metrics.curves(rows)["v_info"].tolist() == [
        metrics.score(rows, t)["v_info"] for t in (0.2, 0.4)
    ]


def test_rows_survive_being_saved(tmp_path) -> None:
    probability, truth = _noisy_section(2)
    rows = metrics.measure(probability[None], truth[None], item_ids=["s"], group="larva")
    rows.save(tmp_path / "rows.npz")
    again = ItemStatistics.load(tmp_path / "rows.npz")
    assert metrics.score(again, 0.3) == metrics.score(rows, 0.3)
    assert set(again.columns["group"].tolist()) == {"larva"}


# --- bad input ----------------------------------------------------------------------------------


def test_shapes_that_differ_are_refused_with_both_sizes() -> None:
    with pytest.raises(DataFormatError, match=r"2 x 4 x 4 .* 3 x 4 x 4"):
        metrics.measure(np.zeros((2, 4, 4), np.float32), np.zeros((3, 4, 4), bool))


def test_a_nan_is_refused() -> None:
    probability = np.zeros((1, 4, 4), np.float32)
    probability[0, 1, 1] = np.nan
    with pytest.raises(DataFormatError, match="not numbers"):
        metrics.measure(probability, np.zeros((1, 4, 4), bool))


def test_progress_is_told_after_each_section() -> None:
    told: list[int] = []
    metrics.measure(
        np.ones((3, 4, 4), np.float32), np.ones((3, 4, 4), bool), on_section=told.append
    )
    assert told == [1, 2, 3]


# --- the real stack -----------------------------------------------------------------------------


@pytest.mark.data
def test_real_labels_score_one_against_themselves() -> None:
    tifffile = pytest.importorskip("tifffile")
    folder = Path(os.environ.get("MICROSCOPY_TEST_DATA", "../shared/data"))
    path = folder / "isbi2012" / "train-labels.tif"
    if not path.is_file():
        pytest.skip(f"the ISBI 2012 labels are not at {path}")
    truth = tifffile.imread(path) > 0
    rows = metrics.measure(truth.astype(np.float32), truth)
    found = metrics.score(rows, metrics.best_threshold(rows))
    assert found.pop("pixel_error") == 0
    assert found == pytest.approx(dict.fromkeys(found, 1.0))
