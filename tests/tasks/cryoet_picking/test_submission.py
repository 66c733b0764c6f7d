import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, names
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.submission import check_submission, read_submission, to_csv
from tests.wording import assert_clear

GEOMETRY = {"TS_1": Geometry((100, 300, 300), 10.0)}


def some_picks(count=30, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.random((count, 3)) * [1000, 3000, 3000]
    index = rng.integers(0, len(CHALLENGE), count)
    return Picks.of_one("TS_1", names(CHALLENGE), index, places, rng.random(count))


def ids_of(found):
    for problem in found:
        assert_clear(problem.text)
    return {p.text.id for p in found}


def test_submission_has_the_challenges_columns_and_ids_from_zero():
    lines = to_csv(some_picks(), CHALLENGE).decode().splitlines()
    assert lines[0] == "id,experiment,particle_type,x,y,z"
    assert [line.split(",")[0] for line in lines[1:]] == [str(i) for i in range(len(lines) - 1)]
    assert not any("beta-amylase" in line for line in lines)


def test_reimported_submission_scores_the_same():
    truth = some_picks()
    picks = truth.take(np.arange(20))
    read = read_submission(to_csv(picks, CHALLENGE), CHALLENGE, file="submission.csv")
    expected = metrics.f4_score(picks, truth, CHALLENGE)
    assert metrics.f4_score(read, truth, CHALLENGE) == pytest.approx(expected)
    order = np.lexsort(picks.of_kind("ribosome").positions.T)
    again = np.lexsort(read.of_kind("ribosome").positions.T)
    assert_allclose(
        read.of_kind("ribosome").positions[again],
        picks.of_kind("ribosome").positions[order],
        atol=5e-4,
    )


def test_a_right_submission_has_no_remark():
    assert check_submission(to_csv(some_picks(), CHALLENGE), CHALLENGE, GEOMETRY) == []


@pytest.mark.parametrize(
    ("change", "text_id"),
    [
        (lambda s: s.replace("particle_type", "type"), "cryoet.csv_columns"),
        (lambda s: s.replace("ribosome", "ribosom"), "cryoet.csv_particle"),
        (lambda s: s.replace("ribosome", "ribosome "), "cryoet.csv_particle"),
        (lambda s: s.replace(",", ";"), "cryoet.csv_separator"),
        (lambda s: s.replace(",", "\t"), "cryoet.csv_separator"),
        (lambda s: s + "5,TS_1\n", "cryoet.csv_short"),
        (lambda _: "", "cryoet.csv_empty"),
        (lambda s: s.replace("\n0,", "\n1,"), "cryoet.csv_ids"),
        (lambda s: s.replace("TS_1", "TS_2"), "cryoet.csv_unknown"),
        (lambda s: s + s.splitlines()[-1].replace("TS", "TS") + "\n", "cryoet.csv_ids"),
        (lambda s: s.rsplit(",", 1)[0] + ",here\n", "cryoet.csv_number"),
    ],
)
def test_mistakes_are_named(change, text_id):
    content = change(to_csv(some_picks(), CHALLENGE).decode()).encode()
    assert text_id in ids_of(check_submission(content, CHALLENGE, GEOMETRY))


def moved(picks, positions):
    return Picks.of_one("TS_1", picks.kinds, picks.kind_index, positions, picks.scores)


def test_voxels_swapped_axes_outside_and_duplicates_are_told():
    picks = some_picks()
    voxels = moved(picks, picks.positions / 10)
    swapped = moved(picks, picks.positions[:, ::-1])
    outside = moved(picks, picks.positions + np.array([0, 2000, 0]))
    double = Picks.concatenate([picks, picks])
    cases = {
        "cryoet.csv_voxels": voxels,
        "cryoet.csv_axes": swapped,
        "cryoet.picks_outside": outside,
        "cryoet.csv_duplicates": double,
    }
    for text_id, table in cases.items():
        found = check_submission(to_csv(table, CHALLENGE), CHALLENGE, GEOMETRY)
        assert text_id in ids_of(found)


def test_tomograms_without_a_row_are_named():
    geometries = {**GEOMETRY, "TS_2": GEOMETRY["TS_1"]}
    found = check_submission(to_csv(some_picks(), CHALLENGE), CHALLENGE, geometries)
    assert "cryoet.csv_missing" in ids_of(found)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(DataFormatError) as caught:
        read_submission(b"\xff\xfe\x00\x01", CHALLENGE, file="a.csv")
    assert_clear(caught.value.text, "a.csv")
