from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.contract import DatasetRecord, Item, SplitManifest
from pipelines.datasets import locked
from pipelines.datasets.locked import Opening, keep_out, lock_items, locked_of, note_opening
from pipelines.errors import ConfigError, DataFormatError
from pipelines.settings import Settings

FINGERPRINT = "ab" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, (tmp_path,), "me", 1000)


def record(num_groups: int = 10, of_group: int = 3, num_unlabelled: int = 2) -> DatasetRecord:
    items = [
        Item(f"g{g}i{i}", f"g{g}", has_truth=True)
        for g in range(num_groups)
        for i in range(of_group)
    ]
    items += [Item(f"u{i}", f"u{i}", has_truth=False) for i in range(num_unlabelled)]
    return DatasetRecord("d", "fake", "cells", Path("/x"), (), tuple(items), {}, "", "")


def test_whole_groups_of_labelled_items_are_locked(settings) -> None:
    found = lock_items(record(), FINGERPRINT, 0.2, 1, settings)
    groups = {item.partition("i")[0] for item in found.item_ids}
    assert len(groups) == found.num_groups == 2
    assert found.item_ids == {f"{g}i{i}" for g in groups for i in range(3)}
    assert locked_of(FINGERPRINT, settings) == found
    other = lock_items(record(), "cd" * 32, 0.2, 2, settings)
    assert other.item_ids != found.item_ids, "another seed draws others"


def test_something_is_locked_and_something_is_left(settings) -> None:
    assert lock_items(record(2), FINGERPRINT, 0.9, 0, settings).num_groups == 1
    with pytest.raises(ConfigError, match="1 group"):
        lock_items(record(1), "cd" * 32, 0.2, 0, settings)


def test_what_is_locked_is_locked_once(settings) -> None:
    lock_items(record(), FINGERPRINT, 0.2, 1, settings)
    with pytest.raises(ConfigError, match="locked already"):
        lock_items(record(), FINGERPRINT, 0.3, 2, settings)
    locked.unlock(FINGERPRINT, settings)
    assert locked_of(FINGERPRINT, settings) is None


def test_a_damaged_lock_is_no_open_door(settings) -> None:
    lock_items(record(), FINGERPRINT, 0.2, 1, settings)
    (file,) = (settings.data / "locked").glob("*.json")
    file.write_text("{")
    with pytest.raises(DataFormatError, match="damaged"):
        locked_of(FINGERPRINT, settings)


def test_no_part_of_a_split_keeps_locked_items(settings) -> None:
    found = lock_items(record(), FINGERPRINT, 0.3, 1, settings)
    ids = [i.item_id for i in record().items if i.has_truth]
    parts = {"train": tuple(ids[:20]), "validation": tuple(ids[20:25]), "test": tuple(ids[25:])}
    split = SplitManifest("s", "d", "groups", 7, parts)
    kept = keep_out(record(), split, found)
    left = [item for part in kept.parts.values() for item in part]
    assert sorted(left) == sorted(set(ids) - found.item_ids)
    assert kept.split_id != split.split_id
    assert f"locked={len(found.item_ids)}" in kept.method
    assert kept.seed == 7
    assert keep_out(record(), split, None) is split


def test_locked_items_are_predicted_only_when_nothing_else_is_asked_for(settings) -> None:
    found = lock_items(record(), FINGERPRINT, 0.2, 1, settings)
    every = [i.item_id for i in record().items]
    assert set(locked.without_locked(every, found)) == set(every) - found.item_ids
    assert set(locked.without_locked(sorted(found.item_ids), found)) == found.item_ids
    assert locked.is_opening(sorted(found.item_ids)[:1], found)
    assert not locked.is_opening([], found)
    assert not locked.is_opening(every, None)


def test_a_model_that_saw_locked_items_may_not_open_the_lock(settings) -> None:
    found = lock_items(record(), FINGERPRINT, 0.2, 1, settings)
    one = next(iter(found.item_ids))
    with pytest.raises(DataFormatError, match="trained on 1 of the locked items"):
        locked.refuse_seen([one], found, "Model")
    locked.refuse_seen(["another"], found, "Model")


def test_a_run_opens_once_however_often_it_is_scored(settings) -> None:
    openings = [
        Opening(name, f"run {name}", "2026-01-01T00:00:00+00:00", 6, is_locked=True)
        for name in ("a", "b", "a")
    ]
    for opening in openings:
        note_opening(FINGERPRINT, opening, settings)
    assert locked.openings_of(FINGERPRINT, settings) == openings[:2]
    (file,) = (settings.data / "locked").glob("*.openings.jsonl")
    with file.open("a") as stream:
        stream.write('{"run_id": "c", "ti')  # a crash in the middle of a line
    assert len(locked.openings_of(FINGERPRINT, settings)) == 2
    assert locked.openings_of("ef" * 32, settings) == []
