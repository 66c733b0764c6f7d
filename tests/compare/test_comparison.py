"""Models side by side: which items count, what is unequal, and what the sentence says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipelines import cli
from pipelines.compare import comparison as comparing
from pipelines.compare.command import comparison_to_json
from pipelines.compare.comparison import compare
from pipelines.compare.ensembles import choose_greedily, join, load_entries
from pipelines.compare.entries import entry_of_run
from pipelines.contract import OperatingPoint
from pipelines.core.paired import delong, mcnemar
from pipelines.errors import ConfigError, DataFormatError, PipelineError
from pipelines.jobs import store
from pipelines.settings import Settings, load_settings
from pipelines.text import render
from tests.compare.home import add_run, cells, names_of, odds


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    return load_settings()


def entries(settings, *all_rows, **more):
    return [
        entry_of_run(add_run(settings, rows, f"run {n}", **more)) for n, rows in enumerate(all_rows)
    ]


# --- which items ----------------------------------------------------------------------------------


def test_only_common_test_items_are_compared_in_one_order(settings) -> None:
    first, second = odds(100, 1.5, 1), odds(100, 0.5, 2)
    names = names_of(100)
    shuffled = np.random.default_rng(0).permutation(np.arange(20, 100))
    own = cells(first[:90], names=names[:90])
    other = cells(
        second[shuffled], names=[names[i] for i in shuffled], truth=np.arange(100)[shuffled] % 2
    )
    found = compare(entries(settings, own, other))
    assert list(found.common.items.item_ids) == names[20:90]
    kept = slice(20, 90)
    is_positive = (np.arange(100) % 2 == 1)[kept]
    wanted = delong(is_positive, first[kept], second[kept])
    (pair,) = found.pairs_of("auc")
    assert pair.test == "delong"
    assert pair.difference.value == pytest.approx(wanted.value)
    assert pair.difference.p_value == pytest.approx(wanted.p_value)
    (pair,) = found.pairs_of("accuracy")
    wanted = mcnemar((first[kept] >= 0.5) == is_positive, (second[kept] >= 0.5) == is_positive)
    assert pair.test == "mcnemar"
    assert pair.difference == wanted


def test_items_that_one_model_was_trained_on_are_not_compared(settings) -> None:
    names = names_of(60)
    part = {n: ("train" if i < 20 else "unseen") for i, n in enumerate(names)}
    seen = add_run(settings, cells(odds(60, 1, 1)), "seen", part=part)
    unseen = add_run(settings, cells(odds(60, 1, 2)), "unseen")
    found = compare([entry_of_run(run) for run in (seen, unseen)])
    assert list(found.common.items.item_ids) == names[20:]
    assert not found.common.is_held_out_only


def test_validation_items_count_only_where_no_test_items_are_shared(settings) -> None:
    both = [cells(odds(40, 1, s)) for s in (1, 2)]
    found = compare(entries(settings, *both, part="validation"))
    assert found.common.is_held_out_only
    assert len(found.common.items.item_ids) == 40


def test_items_whose_labels_differ_are_left_out_and_said(settings) -> None:
    truth = np.arange(50) % 2
    truth[:3] = 1 - truth[:3]
    found = compare(entries(settings, cells(odds(50, 1, 1)), cells(odds(50, 1, 2), truth=truth)))
    assert len(found.common.items.item_ids) == 47
    row = next(r for r in found.inequalities if r.name.id == "compare.unequal.labels")
    assert "3 of 50" in render(row.values[0], "en")


def test_what_is_unequal_stands_side_by_side(settings) -> None:
    a = add_run(settings, cells(odds(40, 1, 1)), "a")
    own = OperatingPoint({"threshold": 0.31}, source="scored")
    b = add_run(settings, cells(odds(45, 1, 2)), "b", content="other", point=own)
    found = compare([entry_of_run(a), entry_of_run(b)])
    words = {
        row.name.id.rpartition(".")[2]: [render(v, "en") for v in row.values]
        for row in found.inequalities
    }
    assert set(words) == {"data", "items", "split", "threshold"}
    assert words["items"] == ["40 items", "45 items"]
    assert "cells other" in words["data"][1]
    assert "best on the scored items themselves: 0.31" in words["threshold"][1]
    same = compare([entry_of_run(a), entry_of_run(add_run(settings, cells(odds(40, 1, 3)), "c"))])
    assert same.inequalities == ()


# --- groups ---------------------------------------------------------------------------------------


def test_cells_of_few_subjects_are_compared_by_subject(settings) -> None:
    """DeLong's test takes 200 cells of 5 subjects for 200 cases and finds what is not there."""
    groups = [f"s{i % 5}" for i in range(200)]
    found = compare(entries(settings, *(cells(odds(200, 1, s), groups=groups) for s in (1, 2))))
    assert found.common.items.units.kind == "group"
    assert {pair.test for pair in found.pairs} == {"resampling"}
    assert render(comparing.label_of_test(found.pairs[0], found), "en") == "paired jackknife"


# --- the sentence ---------------------------------------------------------------------------------


def sentence(found, metric="auc", language="en"):
    return render(found.pairs_of(metric)[0].sentence, language)


def test_a_clear_difference_names_the_better_one(settings) -> None:
    found = compare(entries(settings, cells(odds(190, 0.3, 1)), cells(odds(190, 2.5, 2))))
    words = sentence(found)
    assert words.startswith("run 1 (")
    assert "is better than run 0" in words
    assert "on these 190 cells" in words
    assert "est meilleur que run 0" in sentence(found, language="fr")
    assert "sur ces 190 cellules" in sentence(found, language="fr")
    (pair,) = found.pairs_of("auc")
    low, high = sorted(-b for b in pair.difference.interval)
    assert f"{low:.3g}" in words
    assert f"{high:.3g}" in words


def test_where_lower_is_better_the_lower_one_is_better(settings) -> None:
    sure = np.where(np.arange(300) % 2, 0.99, 0.01)
    unsure = np.where(np.arange(300) % 2, 0.6, 0.4)
    found = compare(entries(settings, cells(sure), cells(unsure)))
    assert found.pairs_of("ece")[0].difference.value < 0
    assert "run 0 (" in sentence(found, "ece").split(" is better than ")[0]


def test_a_small_difference_says_how_many_more_cases_it_would_take(settings) -> None:
    found = compare(entries(settings, cells(odds(120, 1.0, 1)), cells(odds(120, 1.15, 2))))
    words = sentence(found)
    assert "cannot be told apart" in words
    (pair,) = found.pairs_of("auc")
    ratio = (2.8016 * pair.difference.standard_error / abs(pair.difference.value)) ** 2
    more = 120 * (ratio - 1)
    said = int(words.split("about ")[1].split(" more")[0].split()[0].replace(",", ""))
    assert more <= said <= 1.11 * more + 1  # rounded up to two digits


def test_the_same_answers_are_called_so(settings) -> None:
    rows = cells(odds(80, 1, 1))
    found = compare(entries(settings, rows, rows))
    assert "answer alike" in sentence(found)
    assert found.pairs_of("accuracy")[0].difference.p_value == 1


def test_one_class_alone_leaves_the_area_undefined(settings) -> None:
    truth = np.ones(30, int)
    found = compare(entries(settings, *(cells(odds(30, 1, s), truth=truth) for s in (1, 2))))
    assert "not defined" in sentence(found)
    assert math.isnan(found.standings[0].figures.values["auc"])


def test_one_group_of_few_items_gets_no_test(settings) -> None:
    rows = [cells(odds(3, 1, s), groups=["one"] * 3) for s in (1, 2)]
    found = compare(entries(settings, *rows))
    assert found.standings[0].figures.intervals == {}
    assert "too few to tell" in sentence(found, "accuracy")
    assert found.standings[0].rank.best is None


def test_a_difference_that_is_lost_to_correction_says_so(settings) -> None:
    """Among ten equal models the best and the worst pair look different now and then."""
    rows = [cells(odds(100, 1, s)) for s in range(10)]
    found = compare(entries(settings, *rows), ["auc"])
    lucky = [p for p in found.pairs if p.difference.p_value < 0.05 <= p.corrected_p]
    assert lucky
    assert "45 pairs compared" in render(lucky[0].sentence, "en")
    assert not any(p.is_different for p in found.pairs)


def test_ranks_of_equal_models_overlap_and_a_clear_winner_is_first(settings) -> None:
    rows = [cells(odds(200, skill, seed)) for seed, skill in enumerate((1.0, 1.0, 3.0))]
    ranks = [s.rank for s in compare(entries(settings, *rows), ["auc"]).standings]
    assert (ranks[2].place, ranks[2].best, ranks[2].worst) == (1, 1, 1)
    assert {(r.best, r.worst) for r in ranks[:2]} == {(2, 3)}


def test_models_that_answer_alike_share_their_place(settings) -> None:
    """One of two equal models was called the first, beside the sentence that they are equal."""
    same = cells(odds(200, 1.0, 1))
    found = compare(entries(settings, same, same, cells(odds(200, 4.0, 2))), ["auc"])
    ranks = [(s.rank.place, s.rank.best, s.rank.worst) for s in found.standings]
    assert ranks == [(2, 2, 2), (2, 2, 2), (1, 1, 1)]


# --- ensembles ------------------------------------------------------------------------------------


def test_an_ensemble_averages_and_is_compared_as_one_more_model(settings) -> None:
    rows = [cells(odds(300, 1, s)) for s in (1, 2, 3)]
    runs = [add_run(settings, r, f"r{n}") for n, r in enumerate(rows)]
    name = "+".join(run.run_id for run in runs)
    found = compare(load_entries([*(r.run_id for r in runs), name], settings), ["auc"])
    joint = found.standings[3]
    mean = np.mean([r.columns["p_1"] for r in rows], axis=0)
    assert joint.entry.rows.columns["p_1"] == pytest.approx(mean)
    assert joint.rank.place == 1  # three independent models of one skill
    assert joint.entry.point.threshold == pytest.approx(0.5)


def test_a_greedy_choice_looks_at_validation_items_only(settings) -> None:
    """Test items are poisoned: a choice that saw them would take the bad model."""
    names = names_of(200)
    part = {n: ("validation" if i < 100 else "test") for i, n in enumerate(names)}
    good, bad = odds(200, 1.5, 1), odds(200, 0.0, 2)
    bad[100:] = np.arange(100) % 2  # perfect on the test items
    also = odds(200, 1.5, 3)
    runs = [
        entry_of_run(add_run(settings, cells(p), t, part=part))
        for p, t in ((good, "good"), (bad, "bad"), (also, "also"))
    ]
    steps = choose_greedily(runs)
    assert {runs[0].entry_id, runs[2].entry_id} == set(steps[1].names)
    values = [step.value for step in steps]
    assert values == sorted(values)
    assert runs[1].entry_id not in steps[0].names


def test_an_item_that_a_member_was_trained_on_is_not_a_test_item_of_the_ensemble(settings) -> None:
    names = names_of(40)
    part = {n: ("train" if i < 10 else "test") for i, n in enumerate(names)}
    members = [
        entry_of_run(add_run(settings, cells(odds(40, 1, 1)), "a", part=part)),
        entry_of_run(add_run(settings, cells(odds(40, 1, 2)), "b")),
    ]
    assert join(members).items_of(["test"]) == names[10:]


# --- bad input ------------------------------------------------------------------------------------


def test_runs_that_share_no_item_are_refused_with_what_they_hold(settings) -> None:
    other = cells(odds(30, 1, 2), names=[f"x{n}" for n in range(30)])
    with pytest.raises(DataFormatError, match=r"share no scored item.*30 items of cells same"):
        compare(entries(settings, cells(odds(40, 1, 1)), other))


def test_one_run_or_the_same_run_twice_is_refused(settings) -> None:
    (entry,) = entries(settings, cells(odds(20, 1, 1)))
    with pytest.raises(ConfigError, match="at least two"):
        compare([entry])
    with pytest.raises(ConfigError, match="named twice"):
        compare([entry, entry])


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "scores.json").unlink(), "has no scores yet"),
        (lambda f: (f / "scores.json").write_text("{"), "scores.json"),
        (lambda f: (f / "scores.json").write_text('{"parts": []}'), "scores.json"),
        (lambda f: (f / "statistics.npz").write_bytes(b"PK\x03\x04 cut"), "statistics.npz"),
        (lambda f: (f / "request.json").unlink(), "There is no run in"),
    ],
)
def test_a_damaged_run_is_one_clear_line_on_the_command_line(
    settings, capsys, spoil, sentence
) -> None:
    """None of them leaves a file open: that warned from nowhere, tests later."""
    good, bad = (add_run(settings, cells(odds(20, 1, s)), f"r{s}") for s in (1, 2))
    spoil(bad.folder)
    assert cli.main(["compare", good.run_id, bad.run_id, "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert sentence in shown.err


def test_runs_of_two_tasks_and_deleted_runs_are_refused(settings, capsys) -> None:
    a = add_run(settings, cells(odds(20, 1, 1)), "a")
    b = add_run(settings, cells(odds(20, 1, 2)), "b", task_id="histo_patches")
    assert cli.main(["compare", a.run_id, b.run_id]) == 2
    assert "Only runs of one task" in capsys.readouterr().err
    gone = add_run(settings, cells(odds(20, 1, 3)), "c")
    store.delete_run(gone)
    assert cli.main(["compare", a.run_id, gone.run_id]) == 2
    assert "was deleted" in capsys.readouterr().err


def test_pictures_of_data_that_changed_since_are_refused(settings) -> None:
    from pipelines import registry
    from pipelines.compare.pictures import open_shown

    entry = entry_of_run(add_run(settings, cells(odds(20, 1, 1)), "a"))
    with pytest.raises(PipelineError, match="changed since these runs were scored"):
        open_shown(registry.get_task("blood_cells"), entry)


# --- the command line -----------------------------------------------------------------------------


def test_the_command_prints_figures_pairs_and_sentences(settings, capsys) -> None:
    runs = [add_run(settings, cells(odds(100, s / 2, s)), f"r{s}") for s in (1, 2, 3)]
    names = [run.run_id for run in runs]
    assert cli.main(["compare", *names, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in found["runs"]] == names
    for run in found["runs"]:
        auc = run["metrics"]["auc"]
        assert auc["interval"][0] < auc["value"] < auc["interval"][1]
    pairs = [pair for pair in found["pairs"] if pair["metric"] == "auc"]
    assert len(pairs) == 3
    for pair in pairs:
        assert pair["test"] == "delong"
        assert pair["p_value"] <= pair["corrected_p_value"]
        assert set(pair["sentence"]) == {"en", "fr"}
    assert found["resampled"] == {"unit": "item", "count": 100}
    assert cli.main(["compare", *names]) == 0
    said = capsys.readouterr().out
    assert pairs[0]["sentence"]["en"] in said
    assert "corrected for 3 pairs (Holm)" in said


def test_a_comparison_is_plain_json_whatever_is_undefined(settings) -> None:
    truth = np.ones(10, int)
    found = compare(entries(settings, *(cells(odds(10, 1, s), truth=truth) for s in (1, 2))))
    json.dumps(comparison_to_json(found), allow_nan=False)
