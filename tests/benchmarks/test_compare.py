"""How long a comparison takes: `pytest tests/benchmarks/test_compare.py -s -m benchmark_only`.

Seconds are printed beside what is aimed at; what is asserted are ratios taken in one run, because
the machine may be busy with other work.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from sklearn.metrics import roc_auc_score
from streamlit.testing.v1 import AppTest

from pipelines.compare import comparison as comparing
from pipelines.compare.comparison import compare
from pipelines.compare.entries import entry_of_run
from pipelines.core.paired import delong
from pipelines.core.resampling import RankedScores, all_of, resample
from pipelines.jobs import run as run_files
from pipelines.jobs.store import Run, read_run, scan_runs
from pipelines.settings import REPOSITORY, Settings, load_settings
from tests.compare.home import add_run, cells, odds

pytestmark = pytest.mark.benchmark_only


@dataclass
class Taken:
    """Hold what a block took.

    Attributes:
        wall_s: Seconds on the clock.
        cpu_s: Seconds of processor time, of all threads.
    """

    wall_s: float = math.nan
    cpu_s: float = math.nan


@contextmanager
def said(what: str, aim: str = "") -> Iterator[Taken]:
    """Print how long the block took beside what is aimed at on a machine that is not busy."""
    taken = Taken()
    start, cpu = time.perf_counter(), time.process_time()
    yield taken
    taken.wall_s, taken.cpu_s = time.perf_counter() - start, time.process_time() - cpu
    print(  # noqa: T201
        f"\n{what}: {taken.wall_s:.3f} s, {taken.cpu_s:.3f} s of processor"
        f"{f' (aim {aim})' if aim else ''}, load {os.getloadavg()[0]:.1f}"
    )


def ranked(count: int, num_models: int) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    is_positive = rng.random(count) < 0.4
    return is_positive, [
        rng.normal(size=count) + (1.5 + 0.2 * k) * is_positive for k in range(num_models)
    ]


def test_ten_thousand_resamplings_of_five_areas_beat_a_loop_20_times() -> None:
    """The loop draws 57,000 items and calls scikit-learn, as one would by hand."""
    count, rounds = 57_000, 10_000
    is_positive, scores = ranked(count, 5)
    start = time.perf_counter()
    measures = [
        RankedScores(is_positive, s, np.arange(count), count, str(k)) for k, s in enumerate(scores)
    ]
    drawn = resample(all_of(measures), count, rounds)
    own = time.perf_counter() - start
    assert all(len(values) == rounds for values in drawn.values())

    rng = np.random.default_rng(1)
    start = time.perf_counter()
    for _ in range(4):
        rows = rng.integers(0, count, count)
        for s in scores:
            roc_auc_score(is_positive[rows], s[rows])
    loop = (time.perf_counter() - start) / 4 * rounds
    cores = len(os.sched_getaffinity(0))
    print(f"\n{rounds} x 5 areas of {count}: {own:.1f} s on {cores} cores, loop {loop:.0f} s, "  # noqa: T201
          f"{loop / own:.0f} times faster")  # fmt: skip
    assert loop / own >= 20


def test_delong_of_200_000_items() -> None:
    is_positive, (first, second) = ranked(200_000, 2)
    with said("two areas of 200,000 items by scikit-learn") as areas:
        wanted = [roc_auc_score(is_positive, scores) for scores in (first, second)]
    with said("DeLong, 200,000 items", "1 s") as taken:
        found = delong(is_positive, first, second)
    assert found.value == pytest.approx(wanted[0] - wanted[1], abs=1e-12)
    assert taken.cpu_s < 5 * areas.cpu_s  # it needs the areas, and the placement of each item


PAGE = "from dashboard.pages.compare import show\nshow()"


@pytest.fixture(scope="module")
def twenty_runs(tmp_path_factory) -> Iterator[list]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROSCOPY_HOME", str(tmp_path_factory.mktemp("home")))
        names = [f"{i:040d}" for i in range(50_000)]  # as long as those of the patches
        settings = load_settings()
        first = add_run(settings, cells(odds(50_000, 1, 0), names=names), "run 0")
        runs = [first, *(copy_of(first, number) for number in range(1, 20))]
        for skill, run in enumerate(runs):
            rows = cells(odds(50_000, 1 + skill / 50, skill), names=names)
            rows.save(run.folder / "statistics.npz")
        yield [entry_of_run(run) for run in runs]


def copy_of(run: Run, number: int) -> Run:
    """Copy a run under another name."""
    folder = run.folder.with_name(f"20270101-000000-{number:04x}")
    shutil.copytree(run.folder, folder)
    request = json.loads((folder / "request.json").read_text())
    own = {**request, "run_id": folder.name, "title": f"run {number}"}
    (folder / "request.json").write_text(json.dumps(own))
    return read_run(folder)


def test_a_change_of_selection_among_20_runs_of_50_000_items(twenty_runs) -> None:
    """Nineteen are compared; then the last one is added, and one is taken away."""
    comparing._measured.clear()
    with said("19 runs x 50,000 items, first time") as first:
        compare(twenty_runs[:19], ["auc"])
    with said("one run more", "0.5 s") as more:
        found = compare(twenty_runs, ["auc"])
    with said("one run less", "0.5 s") as less:
        compare(twenty_runs[1:], ["auc"])
    assert len(found.pairs) == 190
    assert more.cpu_s < first.cpu_s / 5
    assert less.cpu_s < first.cpu_s / 5


def test_the_page_answers_a_change_of_selection(twenty_runs) -> None:
    """The whole page is drawn again: pickers, sentences, charts and tables of 20 runs."""
    comparing._measured.clear()
    st.cache_resource.clear()
    names = [entry.entry_id for entry in twenty_runs]
    script = f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n{PAGE}"
    app = AppTest.from_string(script, default_timeout=300)
    app.query_params["runs"] = ",".join(names[:19])
    with said("page of 19 runs x 50,000 items, first time") as first:
        app.run()
    picker = app.multiselect[0]
    with said("page with one run more", "0.5 s") as more:
        picker.set_value(names).run()
    with said("page with one run less", "0.5 s") as less:
        picker.set_value(names[1:]).run()
    assert not app.exception
    assert len(app.multiselect[0].value) == 19
    assert max(more.cpu_s, less.cpu_s) < first.cpu_s / 5


def test_reading_a_run_of_50_000_items(twenty_runs) -> None:
    with said("read rows and scores of one run", "0.5 s"):
        entry = entry_of_run(twenty_runs[0].runs[0])
    assert len(entry.rows) == 50_000


def test_a_list_of_2_000_runs(tmp_path, monkeypatch) -> None:
    """Ten times as many runs take ten times as long, not a hundred; a second look is short."""
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    settings: Settings = load_settings()
    first = add_run(settings, cells(odds(60, 1, 1)), "first")
    for number in range(200):
        copy_of(first, number)
    run_files._cache.clear()
    with said("list 201 runs, first time") as tenth:
        scan_runs(settings)
    for number in range(200, 2000):
        copy_of(first, number)
    run_files._cache.clear()
    with said("list 2,001 runs, first time", "1 s") as taken:
        listing = scan_runs(settings)
    with said("list them again", "0.5 s") as again:
        scan_runs(settings)
    assert len(listing.runs) == 2001
    assert taken.cpu_s < 60 * tenth.cpu_s, "not with the square"
    assert again.cpu_s < taken.cpu_s
    with said("which of them are scored", "0.3 s"):
        assert sum((Path(run.folder) / "scores.json").is_file() for run in listing.runs) == 2001
