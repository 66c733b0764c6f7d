"""What cannot be compared is said in one sentence, in either language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines import cli
from pipelines.jobs import store
from pipelines.jobs.store import Run
from pipelines.settings import Settings, load_settings
from tests.compare.home import add_run, cells, odds

Make = Callable[[Settings], tuple[Run | str, ...]]
MISTAKE = 2


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    return load_settings()


def runs(settings: Settings, count: int = 2, **more) -> list[Run]:
    return [add_run(settings, cells(odds(30, 1, s)), f"r{s}", **more) for s in range(count)]


def two_tasks(settings: Settings):
    return *runs(settings, 1), *runs(settings, 1, task_id="histo_patches")


def no_common_items(settings: Settings):
    other = cells(odds(30, 1, 9), names=[f"x{n}" for n in range(30)])
    return *runs(settings, 1), add_run(settings, other, "other")


def other_labels(settings: Settings):
    turned = cells(odds(30, 1, 9), truth=1 - np.arange(30) % 2)
    return *runs(settings, 1), add_run(settings, turned, "turned")


def trained_on_them(settings: Settings):
    return *runs(settings, 1), add_run(settings, cells(odds(30, 1, 9)), "seen", part="train")


def deleted(settings: Settings):
    first, second = runs(settings)
    store.delete_run(second)
    return first, second


def one_alone(settings: Settings):
    return tuple(runs(settings, 1))


def twice(settings: Settings):
    (run,) = runs(settings, 1)
    return run, run


def unknown(settings: Settings):
    return *runs(settings, 1), "nobody"


def not_scored(settings: Settings):
    first, second = runs(settings)
    (second.folder / "scores.json").unlink()
    return first, second


def ensemble_of_nothing_common(settings: Settings):
    first, second = no_common_items(settings)
    return first, f"{first.run_id}+{second.run_id}"


CASES = {
    two_tasks: ("Only runs of one task", "Seuls des essais d’une même tâche"),
    no_common_items: ("share no scored item", "en commun aucun élément évalué"),
    other_labels: ("have other labels in each", "portent pas les mêmes étiquettes"),
    trained_on_them: ("share no scored item", "hors de tous leurs entraînements"),
    deleted: ("was deleted", "a été supprimé"),
    unknown: ("No run goes by the name", "Aucun essai ne porte le nom"),
    one_alone: ("at least two", "au moins deux"),
    twice: ("is named twice", "est indiqué deux fois"),
    not_scored: ("has no scores yet", "n’a pas encore de scores"),
    ensemble_of_nothing_common: ("share no scored item", "aucun élément évalué en commun"),
}


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_it_is_one_sentence_and_a_mistake(settings, capsys, make: Make, language: str) -> None:
    named = [run if isinstance(run, str) else run.run_id for run in make(settings)]
    assert cli.main(["--language", language, "compare", *named, "--json"]) == MISTAKE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert CASES[make][language == "fr"] in shown.err


@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_is_undefined_or_of_one_group_is_said_and_the_rest_compared(
    settings, capsys, language: str
) -> None:
    truth = np.ones(3, int)
    rows = [cells(odds(3, 1, s), truth=truth, groups=["one"] * 3) for s in (1, 2)]
    named = [add_run(settings, r, f"r{n}").run_id for n, r in enumerate(rows)]
    assert cli.main(["--language", language, "compare", *named]) == 0
    said = capsys.readouterr().out
    assert ("not defined", "n’y est pas défini")[language == "fr"] in said
    assert ("No interval: 3 items are too few", "3 éléments, c’est trop peu")[
        language == "fr"
    ] in said
