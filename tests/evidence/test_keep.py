from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.actions import data_fingerprint
from pipelines.contract import ItemStatistics, Prediction
from pipelines.core.provenance import code_version
from pipelines.errors import DataFormatError
from pipelines.evidence.keep import ENVIRONMENT, ITEMS, ItemTable, read_items
from pipelines.jobs import worker


def made(count: int, **values: np.ndarray) -> ItemTable:
    items = ItemTable()
    for index in range(count):
        items.add(Prediction(f"i{index}", "g", {n: v[index] for n, v in values.items()}))
    return items


def test_a_finished_run_keeps_a_row_an_item_with_part_and_figures(new_run) -> None:
    run = worker.work(new_run(steps=2).folder)
    columns, facts = read_items(run.folder / ITEMS)

    assert columns["item_id"] == ["i4", "i5"]
    assert columns["group"] == ["g2", "g2"]
    assert columns["part"] == ["validation", "validation"]
    assert columns["accuracy"] == [1.0, 1.0]
    assert facts["task_id"] == "fake"
    assert facts["data_fingerprint"] == data_fingerprint(run.dataset())
    assert facts["thresholds"] == run.scores()["operating_point"]["thresholds"]
    # the answer of each item is short enough to stand beside it
    answers = np.array([columns[f"probability_{i}"] for i in range(8)]).T
    stored = json.loads((run.prediction_folder / "prediction.json").read_text())
    np.testing.assert_array_equal(answers, [row["p"] for row in stored])


def test_a_finished_run_keeps_its_machine_and_code(new_run) -> None:
    run = worker.work(new_run(steps=2, device="cpu").folder)
    facts = json.loads((run.folder / ENVIRONMENT).read_text())

    assert facts["device"]["kind"] == "cpu"
    assert facts["cores"] >= 1
    assert facts["code_version"] == code_version() != ""
    assert {"python", "numpy", "pyarrow"} <= facts["versions"].keys()


def test_rows_of_one_an_item_are_kept_as_they_are(tmp_path: Path) -> None:
    items = made(3, odds=np.eye(3, 2))
    rows = ItemStatistics(
        {
            "item_id": np.array(["i2", "i0"]),
            "group": np.array(["g", "g"]),
            "truth": np.array([1, 0]),
        }
    )
    items.write(tmp_path / ITEMS, part_of={"i0": "test"}, rows=rows, reduce=no_figures, facts={})

    columns, _ = read_items(tmp_path / ITEMS)
    assert columns["truth"] == [0, None, 1]
    assert columns["part"] == ["test", "", ""]
    assert columns["odds_0"] == [1.0, 0.0, 0.0]


def test_long_answers_and_words_stay_in_the_files_of_the_field(tmp_path: Path) -> None:
    items = made(1, mask=np.zeros((1, 4, 4)), picks=np.zeros((1, 40)), kinds=np.array([["a", "b"]]))
    items.write(tmp_path / ITEMS, part_of={}, rows=None, reduce=no_figures, facts={})
    assert list(read_items(tmp_path / ITEMS)[0]) == ["item_id", "group", "part"]


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / ITEMS).write_bytes(b"PAR1 and no more")
    with pytest.raises(DataFormatError, match=r"items\.parquet is not a readable Parquet file"):
        read_items(tmp_path / ITEMS)


def no_figures(rows: ItemStatistics) -> dict[str, float]:
    raise AssertionError("rows of one an item need no figures")
