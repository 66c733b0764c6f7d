import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipelines.contract import ItemStatistics, OperatingPoint
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.metrics import Counts
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, names
from pipelines.tasks.cryoet_picking.picks import Picks
from tests.tasks.cryoet_picking.official import slow_score, to_frame

KINDS = names(CHALLENGE)
RADII = {p.name: p.radius_angstrom for p in CHALLENGE}
WEIGHTS = {p.name: p.weight for p in CHALLENGE}


def picks_of(*rows, experiment="TS_1"):
    """Make picks from (kind, z, y, x) or (kind, z, y, x, score)."""
    index = [KINDS.index(r[0]) for r in rows]
    places = np.array([r[1:4] for r in rows], float).reshape(-1, 3)
    scores = np.array([r[4] if len(r) > 4 else 1.0 for r in rows])
    return Picks.of_one(experiment, KINDS, np.array(index, np.int64), places, scores)


def random_picks(rng, count, num_experiments, *, size=(500.0, 900.0, 900.0)):
    return Picks(
        tuple(f"TS_{i}" for i in range(num_experiments)),
        KINDS,
        rng.integers(0, num_experiments, count),
        rng.integers(0, len(KINDS), count),
        rng.random((count, 3)) * size,
        rng.random(count),
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_tables_score_like_the_slow_transcription(seed):
    rng = np.random.default_rng(seed)
    references = random_picks(rng, 300, 4)
    near = references.take(rng.integers(0, 300, 200))
    near = dataclasses.replace(near, positions=near.positions + rng.normal(0, 25, (200, 3)))
    candidates = Picks.concatenate([random_picks(rng, 250, 6), near])
    expected, counts = slow_score(to_frame(references), to_frame(candidates), RADII, WEIGHTS)
    found = metrics.count_hits(candidates, references, CHALLENGE)
    assert {k: [c.tp, c.fp, c.fn] for k, c in found.items()} == counts
    assert metrics.f4_score(candidates, references, CHALLENGE) == expected


def test_coordinates_far_apart_and_negative_score_like_the_slow_transcription():
    """Cells are numbered within 62 bits; far coordinates make them coarser, never wrong."""
    rng = np.random.default_rng(3)
    references = random_picks(rng, 200, 3, size=(1e9, 1e9, 1e9))
    references.positions[:50] -= 5e8
    candidates = dataclasses.replace(
        references, positions=references.positions + rng.normal(0, 20, (200, 3))
    )
    expected, _ = slow_score(to_frame(references), to_frame(candidates), RADII, WEIGHTS)
    assert metrics.f4_score(candidates, references, CHALLENGE) == expected


def test_second_candidate_on_one_reference_is_a_false_positive():
    truth = picks_of(("ribosome", 100, 100, 100))
    twice = picks_of(("ribosome", 100, 100, 110), ("ribosome", 100, 100, 90))
    assert metrics.count_hits(twice, truth, CHALLENGE)["ribosome"] == Counts(1, 1, 0)


def test_one_candidate_on_two_references_makes_false_positives_negative():
    truth = picks_of(("ribosome", 100, 100, 70), ("ribosome", 100, 100, 130))
    one = picks_of(("ribosome", 100, 100, 100))
    counts = metrics.count_hits(one, truth, CHALLENGE)["ribosome"]
    assert counts == Counts(2, -1, 0)
    expected, _ = slow_score(to_frame(truth), to_frame(one), RADII, WEIGHTS)
    assert metrics.f4_score(one, truth, CHALLENGE) == expected


def test_no_reference_counts_candidates_as_false():
    truth = picks_of(("ribosome", 0, 0, 0))
    candidates = picks_of(("apo-ferritin", 1, 1, 1), ("apo-ferritin", 9, 9, 9))
    assert metrics.count_hits(candidates, truth, CHALLENGE)["apo-ferritin"] == Counts(0, 2, 0)


def test_no_candidate_counts_references_as_missed():
    truth = picks_of(("ribosome", 0, 0, 0), ("ribosome", 500, 0, 0))
    nothing = Picks.empty("TS_1", KINDS)
    assert metrics.count_hits(nothing, truth, CHALLENGE)["ribosome"] == Counts(0, 0, 2)
    assert metrics.f4_score(nothing, truth, CHALLENGE) == 0.0


def test_hit_radius_is_half_the_radius_and_includes_its_border():
    truth = picks_of(("apo-ferritin", 0, 0, 0))
    assert metrics.count_hits(picks_of(("apo-ferritin", 0, 0, 30)), truth, CHALLENGE)[
        "apo-ferritin"
    ] == Counts(1, 0, 0)
    assert metrics.count_hits(picks_of(("apo-ferritin", 0, 0, 30.001)), truth, CHALLENGE)[
        "apo-ferritin"
    ] == Counts(0, 1, 1)


def test_unscored_kind_changes_nothing_and_the_divisor_stays_seven():
    truth = picks_of(("ribosome", 0, 0, 0), ("beta-amylase", 500, 500, 500))
    assert metrics.f4_score(truth, truth, CHALLENGE) == pytest.approx(1 / 7)
    without = truth.of_kind("ribosome")
    assert metrics.f4_score(without, truth, CHALLENGE) == pytest.approx(1 / 7)


def test_candidates_of_other_tomograms_are_dropped():
    truth = picks_of(("ribosome", 0, 0, 0))
    other = picks_of(("ribosome", 0, 0, 0), experiment="TS_9")
    both = Picks.concatenate([truth, other])
    assert metrics.count_hits(both, truth, CHALLENGE)["ribosome"] == Counts(1, 0, 0)


def test_unknown_particle_is_an_error():
    truth = picks_of(("ribosome", 0, 0, 0))
    strange = Picks.of_one("TS_1", ("ribosom",), np.array([0]), np.zeros((1, 3)))
    with pytest.raises(DataFormatError, match="ribosom"):
        metrics.count_hits(strange, truth, CHALLENGE)


def test_truth_against_truth_is_one_and_order_does_not_matter():
    truth = random_picks(np.random.default_rng(0), 400, 3, size=(3000, 6000, 6000))
    shuffled = truth.take(np.random.default_rng(1).permutation(400))
    assert metrics.f4_score(shuffled, truth, CHALLENGE) == pytest.approx(1.0)


def test_nan_candidates_hit_nothing_and_stay_false():
    truth = picks_of(("ribosome", 0, 0, 0))
    lost = picks_of(("ribosome", np.nan, 0, 0))
    assert metrics.count_hits(lost, truth, CHALLENGE)["ribosome"] == Counts(0, 1, 1)


def test_beta_one_is_the_harmonic_mean():
    assert metrics.f_beta_score(Counts(6, 2, 4), beta=1) == pytest.approx(2 * 6 / (2 * 6 + 2 + 4))


def test_rows_at_a_threshold_agree_with_scoring_the_filtered_candidates():
    rng = np.random.default_rng(5)
    truth, candidates = random_picks(rng, 120, 1), random_picks(rng, 300, 1)
    rows = metrics.measure(candidates, truth, CHALLENGE, group="g")
    for threshold in (0.01, 0.25, 0.5, 0.9):
        kept = candidates.take(candidates.scores >= threshold)
        point = OperatingPoint({"threshold": threshold})
        expected = metrics.f4_score(kept, truth, CHALLENGE)
        assert metrics.reduce_rows(rows, point)["f4"] == pytest.approx(expected, abs=1e-12)


def test_pooling_rows_is_scoring_all_tomograms_together():
    rng = np.random.default_rng(6)
    truth, candidates = random_picks(rng, 200, 3), random_picks(rng, 500, 3)
    rows = ItemStatistics.concatenate(
        [
            metrics.measure(candidates.of_experiment(e), truth.of_experiment(e), CHALLENGE, group=e)
            for e in truth.experiments
        ]
    )
    kept = candidates.take(candidates.scores >= 0.4)
    found = metrics.reduce_rows(rows, OperatingPoint({"threshold": 0.4}))["f4"]
    assert found == pytest.approx(metrics.f4_score(kept, truth, CHALLENGE), abs=1e-12)
    twice = ItemStatistics.concatenate([rows, rows])
    assert metrics.reduce_rows(twice, OperatingPoint({"threshold": 0.4}))["f4"] == pytest.approx(
        found
    )


def test_each_kind_has_its_own_threshold():
    truth = picks_of(("ribosome", 0, 0, 0), ("thyroglobulin", 500, 500, 500))
    candidates = picks_of(("ribosome", 0, 0, 0, 0.4), ("thyroglobulin", 500, 500, 500, 0.8))
    rows = metrics.measure(candidates, truth, CHALLENGE, group="g")
    point = OperatingPoint({"ribosome": 0.5, "thyroglobulin": 0.5})
    found = metrics.reduce_rows(rows, point)
    assert found["f4_ribosome"] == 0.0
    assert found["f4_thyroglobulin"] == pytest.approx(1.0)


def test_best_thresholds_separate_true_from_false_scores():
    truth = picks_of(*[("ribosome", 0, 0, 400 * i) for i in range(5)])
    good = [("ribosome", 0, 0, 400 * i, 0.9) for i in range(5)]
    bad = [("ribosome", 0, 1000, 400 * i, 0.1) for i in range(20)]
    rows = metrics.measure(picks_of(*good, *bad), truth, CHALLENGE, group="g")
    assert 0.11 < metrics.best_thresholds(rows)["ribosome"] < 0.9


def test_best_thresholds_stand_nearer_to_the_end_of_a_plateau_that_costs_less():
    """Few false picks below, lost picks above: a lost one costs 16 times as much."""
    truth = picks_of(*[("ribosome", 0, 0, 400 * i) for i in range(20)])
    good = [("ribosome", 0, 0, 400 * i, 0.9) for i in range(20)]
    bad = [("ribosome", 0, 1000, 400 * i, 0.1) for i in range(20)]
    rows = metrics.measure(picks_of(*good, *bad), truth, CHALLENGE, group="g")
    assert 0.1 < metrics.best_thresholds(rows)["ribosome"] < 0.45


def test_best_thresholds_keep_off_the_ends_of_what_was_measured():
    truth = picks_of(*[("ribosome", 0, 0, 400 * i) for i in range(9)])
    rows = metrics.measure(
        picks_of(*[("ribosome", 0, 0, 400 * i, 0.98) for i in range(9)]), truth, CHALLENGE,
        group="g",
    )  # fmt: skip
    assert 0.15 < metrics.best_thresholds(rows)["ribosome"] < 0.85


def test_kind_without_references_and_candidates_is_undefined_on_its_own():
    truth = picks_of(("ribosome", 0, 0, 0))
    rows = metrics.measure(truth, truth, CHALLENGE, group="g")
    found = metrics.reduce_rows(rows, OperatingPoint({"threshold": 0.5}))
    assert np.isnan(found["f4_thyroglobulin"])
    assert found["f4"] == pytest.approx(1 / 7)


def test_flags_mark_the_surest_hit_and_the_found_references():
    truth = picks_of(("ribosome", 0, 0, 0), ("ribosome", 0, 0, 900))
    candidates = picks_of(
        ("ribosome", 0, 0, 10, 0.3), ("ribosome", 0, 0, 20, 0.9), ("apo-ferritin", 0, 0, 900, 0.9)
    )
    is_hit, is_found = metrics.hit_flags(candidates, truth, CHALLENGE)
    assert is_hit.tolist() == [False, True, False]
    assert is_found.tolist() == [True, False]


def test_curves_of_a_kind_fall_to_nothing_at_a_high_threshold():
    truth = picks_of(("ribosome", 0, 0, 0))
    rows = metrics.measure(picks_of(("ribosome", 0, 0, 0, 0.5)), truth, CHALLENGE, group="g")
    curve = metrics.pool_rows(rows)["ribosome"].f_beta()
    assert_allclose(curve, (metrics.THRESHOLDS <= 0.5).astype(float))


def test_hit_flags_are_those_of_a_slow_walk_over_all_pairs():
    rng = np.random.default_rng(2)

    def some(count):
        kinds = ("ribosome", "apo-ferritin")
        index = rng.integers(0, 2, count)
        return Picks.of_one("TS", kinds, index, rng.random((count, 3)) * 300, rng.random(count))

    candidates, truth = some(80), some(50)
    radius = {p.name: p.hit_radius_angstrom for p in CHALLENGE}
    is_hit, is_found = np.zeros(80, bool), np.zeros(50, bool)
    for m, (kind, place) in enumerate(zip(truth.kind_names(), truth.positions, strict=True)):
        near = [
            n
            for n in range(80)
            if candidates.kind_names()[n] == kind
            and np.linalg.norm(candidates.positions[n] - place) <= radius[str(kind)]
        ]
        if near:
            is_found[m] = True
            is_hit[max(near, key=lambda n: candidates.scores[n])] = True
    found = metrics.hit_flags(candidates, truth, CHALLENGE)
    assert 5 < is_found.sum() < 50, "the case tells something"
    assert (found[0] == is_hit).all()
    assert (found[1] == is_found).all()
    assert metrics.hit_flags(candidates.take(np.zeros(80, bool)), truth, CHALLENGE)[1].sum() == 0


def test_parts_of_a_tomogram_add_up_to_it_and_are_the_same_for_every_model():
    rng = np.random.default_rng(4)
    references = random_picks(rng, 120, 1)
    near = references.take(rng.integers(0, 120, 90))
    near = dataclasses.replace(near, positions=near.positions + rng.normal(0, 15, (90, 3)))
    models = [near, Picks.concatenate([near, random_picks(rng, 60, 1, size=(900, 1500, 1500))])]
    rows = [metrics.measure(m, references, CHALLENGE, group="G") for m in models]
    for found in rows:
        for name in ("tp", "fp", "fn"):
            at = found.columns[f"{name}_at"]
            assert at.shape == (len(found), 9)
            assert (at.sum(axis=1) == found.columns[name]).all()
        assert (np.count_nonzero(found.columns["fn_at"], axis=0) > 0).all()  # every part is used
    truth = [found.columns["tp_at"] + found.columns["fn_at"] for found in rows]
    assert (truth[0] == truth[1]).all()


def test_a_hit_counts_in_the_part_where_the_true_pick_lies():
    """Two true picks span the volume; a false one far outside belongs to the corner next to it."""
    kind = "ribosome"
    references = picks_of((kind, 0, 0, 0), (kind, 0, 3000, 3000))
    candidates = picks_of((kind, 0, 10, 0, 0.9), (kind, 0, -800, 9000, 0.9))
    rows = metrics.measure(candidates, references, CHALLENGE, group="G")
    at = (rows.columns["kind"] == kind) & np.isclose(rows.columns["threshold"], 0.5)
    found = {name: rows.columns[f"{name}_at"][at][0].tolist() for name in ("tp", "fp", "fn")}
    assert found["tp"] == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert found["fp"] == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert found["fn"] == [0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_a_tomogram_without_true_picks_has_its_false_ones_in_one_part():
    candidates = picks_of(("ribosome", 0, 10, 0), ("ribosome", 0, 900, 900))
    none = picks_of()
    rows = metrics.measure(candidates, none, CHALLENGE, group="G")
    assert (rows.columns["fp_at"].sum(axis=1) == rows.columns["fp"]).all()
