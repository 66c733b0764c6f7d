"""Pages say what the short names of C-NMC mean; files and the command line keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines import datasets
from pipelines.contract import DatasetRecord, PanelContext
from pipelines.core.classification.panels import WallControls, class_balance, sample_wall
from pipelines.registry import get_task
from pipelines.settings import load_settings
from pipelines.tasks.blood_cells import fake
from pipelines.text import render

TASK = get_task("blood_cells")


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetRecord:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fake, "NUM_CELLS", 24)
    return datasets.builtin_sample(TASK, load_settings())


def context(record: DatasetRecord) -> PanelContext:
    return PanelContext(record, TASK.open_dataset(record), 0, TASK.config_type())


def test_a_class_is_named_in_words_with_its_short_name() -> None:
    names = [(render(TASK.class_text(n), "en"), render(TASK.class_text(n), "fr")) for n in
             ("hem", "all", "3")]  # fmt: skip
    assert names == [
        ("healthy (hem)", "saine (hem)"), ("leukaemic (all)", "leucémique (all)"), ("3", "3")
    ]  # fmt: skip


def test_files_keep_the_short_names(record: DatasetRecord) -> None:
    assert TASK.class_names(record) == ("hem", "all")
    item = record.items[0].item_id
    assert TASK.labels_of(record, [item]) == {item: "hem" if "/hem/" in item else "all"}


def test_the_matrix_the_report_and_the_map_say_words(record: DatasetRecord) -> None:
    samples = TASK.fake_samples(12, 0)
    rows = [TASK.statistics(p, s.truth) for s, p in zip(samples, _answers(samples), strict=True)]
    found = TASK.evaluation(type(rows[0]).concatenate(rows), ("hem", "all"))
    assert [render(n, "en") for n in found.names] == ["healthy (hem)", "leukaemic (all)"]
    assert found.without([samples[0].item_id]).names == found.names
    facts = {render(name, "fr") for name, _ in TASK.inspect(record.root, {}).facts}
    assert "Classe leucémique (all)" in facts


def _answers(samples: list) -> list:
    from pipelines.contract import Prediction

    odds = np.random.default_rng(0).dirichlet((1, 1), len(samples))
    return [
        Prediction(s.item_id, s.group, {"probabilities": p})
        for s, p in zip(samples, odds, strict=True)
    ]


@pytest.mark.parametrize("typed", ["all", "Leukaemic", "leucémique"])
def test_the_wall_is_narrowed_by_what_the_page_says(record: DatasetRecord, typed: str) -> None:
    (wall,) = sample_wall(TASK, context(record), WallControls(wall_class=typed))
    assert render(wall.title, "en").startswith("leukaemic (all)")


def test_the_balance_tells_the_colours_of_each_class(record: DatasetRecord) -> None:
    """A class that differs by its stain is told by it: that must be seen before training."""
    table, brightness = class_balance(TASK, context(record), None)
    index = TASK.index_of(record)
    for row, label in zip(table.rows, (0, 1), strict=True):
        mine = [e for e, t in zip(index.source.entries, index.labels.tags, strict=True)
                if t.label == label]  # fmt: skip
        means = [index.reader.read(e)[::3, ::3].reshape(-1, 3).mean(axis=0) for e in mine]
        shown = [float(part.split(" ± ")[0]) for part in row[-1].split(", ")]
        np.testing.assert_allclose(shown, np.mean(means, axis=0), atol=0.5)
    assert brightness.counts.sum() == 24
    assert (brightness.counts > 0).sum() > 5, "bins over the values, not over the whole scale"


def test_a_report_is_made_once(record: DatasetRecord) -> None:
    """A page inspects and then registers: every picture was decoded for each of them."""
    index = TASK.index_of(record)
    assert index.look is TASK.index_of(record).look
