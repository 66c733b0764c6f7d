"""A submission that somebody brings: every remark, and its score, in code and on the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.contract import Sample
from pipelines.tasks.cryoet_picking.checking import Checked, check_file
from pipelines.tasks.cryoet_picking.data import open_samples
from pipelines.tasks.cryoet_picking.particles import CHALLENGE
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.submission import to_csv
from tests.tasks.cryoet_picking.conftest import record_of


@pytest.fixture
def samples(tree: Path) -> Sequence[Sample]:
    return open_samples(record_of(tree))


def truth_of(samples: Sequence[Sample]) -> Picks:
    return Picks.concatenate([s.truth.picks for s in samples])


def check(content: bytes, samples: Sequence[Sample]) -> Checked:
    return check_file(content, samples, file="mine.csv")


def ids(checked: Checked) -> set[str]:
    return {p.text.id for p in checked.problems}


def test_the_truth_is_a_perfect_submission(samples):
    checked = check(to_csv(truth_of(samples), CHALLENGE), samples)
    assert not checked.problems
    assert checked.num_scored == 2
    # a kind that no tomogram holds counts as 0 in the challenge
    held = {k for k, n in truth_of(samples).counts().items() if n}
    assert checked.f4 == pytest.approx(sum(p.weight for p in CHALLENGE if p.name in held) / 7)


def test_x_and_y_in_the_wrong_columns_are_told_though_a_square_holds_both(samples):
    """Bounds cannot tell them apart; the true picks can."""
    truth = truth_of(samples)
    swapped = replace(truth, positions=truth.positions[:, [0, 2, 1]])
    checked = check(to_csv(swapped, CHALLENGE), samples)
    assert "cryoet.csv_order" in ids(checked)
    assert checked.has_errors


def test_a_file_that_cannot_be_read_has_no_score(samples):
    checked = check(b"\x89PNG", samples)
    assert checked.f4 is None
    assert ids(checked) == {"cryoet.not_csv"}


def test_tomograms_without_true_picks_are_checked_and_not_scored(samples):
    content = to_csv(truth_of(samples), CHALLENGE)
    checked = check(content, [replace(s, truth=None) for s in samples])
    assert (checked.f4, checked.problems) == (None, ())


def test_the_command_prints_remarks_and_ends_with_their_weight(samples, tree, tmp_path, capsys):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    content = to_csv(truth_of(samples), CHALLENGE)
    good.write_bytes(content)
    bad.write_bytes(content.replace(b"\n0,", b"\n7,"))
    command = ["check", "cryoet_picking", "--data", str(tree), "--language", "en", "--submission"]
    assert cli.main([*command, str(good)]) == 0
    assert "as they should be" in capsys.readouterr().out
    assert cli.main([*command, str(bad), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [p["id"] for p in told["problems"]] == ["cryoet.csv_ids"]
    assert told["f4"] > 0.5
    assert cli.main([*command, str(tmp_path)]) != 0
    assert "mine" not in capsys.readouterr().err
