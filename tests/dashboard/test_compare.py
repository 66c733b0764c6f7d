"""The compare page in the states that a person can meet, drawn without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.compare import result
from pipelines.actions import data_fingerprint
from pipelines.contract import MetricInfo
from pipelines.datasets.locked import Opening, note_opening
from pipelines.jobs import store
from pipelines.settings import REPOSITORY, Settings, load_settings
from tests.compare.home import add_run, cells, names_of, odds

PAGE = "from dashboard.pages.compare import show\nshow()"


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    monkeypatch.setenv("MICROSCOPY_DATA_ROOTS", str(tmp_path))
    return load_settings()


def draw(**query: str) -> AppTest:
    app = AppTest.from_string(f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n{PAGE}")
    app.default_timeout = 60
    for name, value in {"lang": "en", **query}.items():
        app.query_params[name] = value
    return app.run()


def words_of(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def two_runs(settings: Settings, **more):
    first = add_run(settings, cells(odds(120, 0.5, 1)), "Weak", **more)
    return first, add_run(settings, cells(odds(120, 3.0, 2)), "Strong", **more)


def names(*runs) -> str:
    return ",".join(run.run_id for run in runs)


def test_without_runs_the_page_says_what_to_do(settings) -> None:
    app = draw()
    assert not app.exception
    assert "No scored run yet" in words_of(app)
    assert len(app.get("page_link")) >= 5


def test_one_run_alone_asks_for_another(settings) -> None:
    run, _ = two_runs(settings)
    app = draw(runs=run.run_id)
    assert "Choose two runs" in words_of(app)


@pytest.mark.parametrize(
    ("language", "sentence"), [("en", "Strong ({}) is better than"), ("fr", "Strong ({}) est")]
)
def test_the_two_newest_runs_are_compared_in_words(settings, language, sentence) -> None:
    _, strong = two_runs(settings)
    app = draw(lang=language)
    assert not app.exception
    assert sentence.format(strong.short_id) in words_of(app)
    assert "DeLong" in words_of(app)


def test_the_address_holds_runs_view_and_metric(settings) -> None:
    first, second = two_runs(settings)
    third = add_run(settings, cells(odds(120, 1.0, 3)), "Third")
    app = draw(runs=names(first, third), metric="accuracy", view="differences")
    assert app.multiselect[0].value == [first.run_id, third.run_id]
    assert "Both right:" in words_of(app)
    app.multiselect[0].set_value([first.run_id, second.run_id]).run()
    assert names(first, second) in app.query_params["runs"]
    assert "differences" in app.query_params["view"]
    assert not app.exception


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([1.0, 1.0, np.nan], (0.98, 1.01)),
        ([0.5, 0.4, 0.9], (0.36, 0.94)),
        ([0.0, 0.01], (-0.01, 0.03)),
        ([np.nan], None),
    ],
)
def test_the_axis_of_a_figure_ends_where_the_figure_can(shown, expected) -> None:
    """Of models that all reached 1, the axis went on to 2."""
    found = result._reach(np.array(shown), MetricInfo("auc", True, 0.0, 1.0))
    assert found == (None if expected is None else pytest.approx(expected))


def test_unequal_terms_stand_side_by_side(settings) -> None:
    first = add_run(settings, cells(odds(60, 1, 1)), "a")
    second = add_run(settings, cells(odds(80, 1, 2)), "b", content="other")
    app = draw(runs=names(first, second))
    assert "Not on equal terms" in words_of(app)
    table = app.table[0].value
    assert next(iter(table.columns)) == "What differs"
    assert table.iloc[:, 0].tolist() == ["Data set", "Scored items", "Split"]


@pytest.mark.parametrize("view", ["result", "differences", "curves", "ensembles", "locked"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_view_is_drawn_for_three_runs_and_an_ensemble(settings, view, language) -> None:
    names_100 = names_of(100)
    part = {n: ("validation" if i < 50 else "test") for i, n in enumerate(names_100)}
    runs = [add_run(settings, cells(odds(100, 1, s)), f"r{s}", part=part, seed=s) for s in (1, 2)]
    runs.append(add_run(settings, cells(odds(100, 2, 3)), "other", part=part, width=2))
    joined = "+".join(run.run_id for run in runs)
    app = draw(runs=f"{names(*runs)},{joined}", view=view, lang=language)
    assert not app.exception
    assert "No such" not in words_of(app)
    assert app.multiselect[0].value[-1] == joined


def test_an_ensemble_is_made_and_joins_the_comparison(settings) -> None:
    first, second = two_runs(settings)
    app = draw(runs=names(first, second), view="ensembles")
    app.button(key="compare.average").click().run()
    assert not app.exception
    assert app.multiselect[0].value[-1] == f"{first.run_id}+{second.run_id}"
    assert "Ensemble of 2 runs" in words_of(app)
    assert "Gain over Weak" in words_of(app)
    found = re.search(
        r"Gain over Weak \(\w+\): ([\d.-]+)\*\* \(95% interval ([\d.-]+) to", words_of(app)
    )
    assert float(found.group(1)) > float(found.group(2)) > 0  # it is far ahead of the weak one


def test_the_validation_items_choose_an_ensemble(settings) -> None:
    part = {n: ("validation" if i < 60 else "test") for i, n in enumerate(names_of(120))}
    first, second = two_runs(settings, part=part)
    app = draw(runs=names(first, second), view="ensembles")
    app.button(key="compare.greedy").click().run()
    assert not app.exception
    assert "Chosen on the validation items" in words_of(app)


def test_a_deleted_or_damaged_run_is_said_and_the_page_stands(settings) -> None:
    first, second = two_runs(settings)
    (second.folder / "statistics.npz").write_bytes(b"PK\x03\x04")
    app = draw(runs=names(first, second))
    assert not app.exception
    assert "statistics.npz" in words_of(app)
    store.delete_run(second)
    app = draw(runs=names(first, second))
    assert not app.exception
    assert app.multiselect[0].value == [first.run_id]
    assert f"no scores: {second.run_id}." in words_of(app)


def test_runs_without_common_items_are_said_to_share_none(settings) -> None:
    first = add_run(settings, cells(odds(30, 1, 1)), "a")
    second = add_run(settings, cells(odds(30, 1, 2), names=[f"x{i}" for i in range(30)]), "b")
    app = draw(runs=names(first, second))
    assert "share no scored item" in words_of(app)


def test_pictures_of_lost_data_are_refused_in_words(settings) -> None:
    first, second = two_runs(settings)
    app = draw(runs=names(first, second), view="differences")
    assert not app.exception
    assert "changed since these runs were scored" in words_of(app)


def test_a_run_of_another_folder_joins_the_list(settings, tmp_path) -> None:
    _, second = two_runs(settings)
    elsewhere = tmp_path / "usb" / second.folder.name
    elsewhere.parent.mkdir()
    second.folder.rename(elsewhere)
    app = draw()
    app.text_input(key="compare.other_path").set_value(str(elsewhere)).run()
    app.button(key="compare.other_add").click().run()
    assert not app.exception
    assert second.run_id in app.multiselect[0].options or any(
        "Strong" in option for option in app.multiselect[0].options
    )


def test_items_are_locked_from_the_page_and_given_back(settings) -> None:
    first, second = two_runs(settings)
    app = draw(runs=names(first, second), view="locked")
    lock = next(b for b in app.button if str(b.key).endswith(".now"))
    lock.click().run()
    assert not app.exception
    assert "locked since" in words_of(app)
    yes = next(b for b in app.button if str(b.key).startswith("compare.unlock"))
    yes.click().run()
    assert "nothing is locked" in words_of(app)


def test_subjects_of_one_class_are_compared_by_a_metric_that_they_have(settings) -> None:
    """A subject of one class has no area under the ROC curve, so its accuracy is shown."""
    truth = (np.arange(120) // 10) % 2
    groups = [f"s{i // 10:02d}" for i in range(120)]
    rows = [
        cells(1 / (1 + np.exp(-(2 * truth - 1) * skill - noise)), truth=truth, groups=groups)
        for skill, noise in (
            (0.3, np.random.default_rng(1).normal(size=120)),
            (2.0, np.random.default_rng(2).normal(size=120)),
        )
    ]
    first, second = (add_run(settings, r, f"r{n}") for n, r in enumerate(rows))
    app = draw(runs=names(first, second), view="differences")
    assert not app.exception
    assert "Accuracy of each group" in words_of(app)
    (table,) = (d.value for d in app.dataframe if "Group" in d.value.columns)
    assert set(table["Group"]) == set(groups)
    gap = [float(words) for words in table["Difference"]]
    assert gap == sorted(gap, reverse=True)


def test_costs_and_devices_stand_below_the_figures(settings) -> None:
    first, second = two_runs(settings)
    app = draw(runs=names(first, second))
    assert "What each of them costs" in words_of(app)
    assert any("Trained on" in d.value.columns for d in app.dataframe)


def test_a_run_without_a_title_of_its_own_is_named_once(settings) -> None:
    first, second = (add_run(settings, cells(odds(60, 1, seed)), "") for seed in (1, 2))
    app = draw(runs=names(first, second))
    assert not app.exception
    assert f"({first.short_id}) ({first.short_id})" not in words_of(app)
    assert f"({first.short_id})" in words_of(app)


def test_models_that_opened_the_lock_are_compared_with_one_click(settings) -> None:
    first, second = two_runs(settings)
    third = add_run(settings, cells(odds(120, 1.0, 3)), "Third")
    fingerprint = data_fingerprint(first.dataset())
    for run in (first, third):
        opening = Opening(run.run_id, "t", "2026-01-01T10:00:00+00:00", 30, is_locked=True)
        note_opening(fingerprint, opening, settings)
    app = draw(runs=names(first, second), view="locked")
    app.button(key=f"compare.opened.{fingerprint[:8]}").click().run()
    assert not app.exception
    assert app.multiselect[0].value == [third.run_id, first.run_id]
    assert "opened by 2 runs" in words_of(app)
    assert "Test: DeLong; p-value of 1 pair." in words_of(app)
