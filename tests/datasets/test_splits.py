import pytest

from pipelines.contract import DatasetRecord, Item
from pipelines.datasets import (
    block_split,
    fold_splits,
    given_split,
    group_split,
    list_splits,
    load_split,
    random_fold_splits,
    save_split,
    split_from_json,
    split_to_json,
)
from pipelines.errors import ConfigError, DataFormatError, DatasetNotFoundError
from tests.wording import assert_clear


def make_record(tmp_path, **groups):
    items = tuple(
        Item(f"{group}:{index:03d}", group, has_truth)
        for group, flags in groups.items()
        for index, has_truth in enumerate(flags)
    )
    return DatasetRecord("set-1", "words", "Set", tmp_path, (), items, {}, "marie", "2026-01-01")


def ids(group, *indices):
    return tuple(f"{group}:{i:03d}" for i in indices)


def test_a_block_split_sets_aside_the_last_sections(tmp_path):
    split = block_split(make_record(tmp_path, a=[True] * 10), 0.2)
    assert split.parts["train"] == ids("a", *range(8))
    assert split.parts["validation"] == ids("a", 8, 9)
    assert split.parts["test"] == ()


def test_a_gap_keeps_neighbours_apart(tmp_path):
    split = block_split(make_record(tmp_path, a=[True] * 10), 0.2, gap=2)
    assert split.parts["train"] == ids("a", *range(6))
    assert split.parts["validation"] == ids("a", 8, 9)


def test_items_without_truth_stand_in_no_part(tmp_path):
    record = make_record(tmp_path, a=[True, False] * 5, test=[False] * 30)
    split = block_split(record, 0.2)
    assert split.parts["train"] == ids("a", 0, 2, 4, 6)
    assert split.parts["validation"] == ids("a", 8)


def test_every_stack_gives_a_block(tmp_path):
    split = block_split(make_record(tmp_path, a=[True] * 10, b=[True] * 5), 0.2)
    assert split.parts["validation"] == (*ids("a", 8, 9), *ids("b", 4))


def test_at_least_one_section_is_set_aside(tmp_path):
    split = block_split(make_record(tmp_path, a=[True], b=[True, True]), 0.1)
    assert split.parts["validation"] == ids("b", 1)


@pytest.mark.parametrize("flags", [[True], [False], []])
def test_one_labelled_section_is_never_taken_from_training(tmp_path, flags):
    split = block_split(make_record(tmp_path, a=flags), 0.2)
    assert split.parts["validation"] == ()
    assert len(split.parts["train"]) == sum(flags)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("gap", [0, 1, 5])
def test_no_item_stands_in_two_parts_and_training_is_never_empty(tmp_path, share, gap):
    record = make_record(tmp_path, a=[True] * 7, b=[True] * 2, c=[True])
    parts = block_split(record, share, gap=gap).parts
    assert not set(parts["train"]) & set(parts["validation"])
    assert parts["train"]
    assert bool(parts["validation"]) == (share > 0)


def test_groups_are_never_divided(tmp_path):
    record = make_record(tmp_path, **{g: [True] * 3 for g in "abcdefghij"})
    for seed in range(20):
        parts = group_split(record, 0.3, seed).parts
        groups = [{i.split(":")[0] for i in parts[p]} for p in ("train", "validation")]
        assert not groups[0] & groups[1]
        assert len(groups[1]) == 3
    assert group_split(record, 0.3, 5) == group_split(record, 0.3, 5)
    assert len({group_split(record, 0.3, seed).split_id for seed in range(20)}) > 10


def test_a_single_group_cannot_be_split_by_groups(tmp_path):
    with pytest.raises(ConfigError) as caught:
        group_split(make_record(tmp_path, a=[True] * 3), 0.3, 0)
    assert_clear(caught.value.text)


def test_a_given_split_is_checked(tmp_path):
    record = make_record(tmp_path, a=[True] * 3)
    split = given_split(record, {"train": ids("a", 0), "test": ids("a", 2)})
    assert split.parts == {"train": ids("a", 0), "validation": (), "test": ids("a", 2)}
    with pytest.raises(ConfigError) as caught:
        given_split(record, {"train": ids("a", 0, 1), "test": ids("a", 1)})
    assert_clear(caught.value.text, "a:001")
    with pytest.raises(ConfigError) as caught:
        given_split(record, {"train": ["b:000"]})
    assert_clear(caught.value.text, "b:000")


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_a_share_out_of_range_is_refused(tmp_path, share):
    with pytest.raises(ConfigError) as caught:
        block_split(make_record(tmp_path, a=[True] * 3), share)
    assert_clear(caught.value.text)


def test_the_id_follows_from_the_content(tmp_path):
    record = make_record(tmp_path, a=[True] * 10)
    assert block_split(record, 0.2) == block_split(record, 0.2)
    assert block_split(record, 0.2).split_id != block_split(record, 0.3).split_id


def test_splits_are_kept_beside_their_record(tmp_path, settings):
    record = make_record(tmp_path, a=[True] * 10)
    split = block_split(record, 0.2)
    assert split_from_json(split_to_json(split)) == split
    path = save_split(split, settings)
    assert save_split(split, settings) == path
    assert load_split("set-1", split.split_id, settings) == split
    assert list_splits("set-1", settings) == [split]


def test_a_missing_or_damaged_split_is_told(settings):
    with pytest.raises(DatasetNotFoundError) as caught:
        load_split("set-1", "abc", settings)
    assert_clear(caught.value.text, "abc")
    path = settings.data / "datasets" / "set-1" / "splits" / "abc.json"
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    with pytest.raises(DataFormatError) as caught:
        load_split("set-1", "abc", settings)
    assert_clear(caught.value.text, "abc")


# --- folds ----------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    """Five groups of one to five items; one item has no truth."""
    return make_record(
        tmp_path, a=[True] * 5, b=[True] * 3, c=[True] * 3, d=[True, False], e=[True] * 2
    )


@pytest.fixture
def one_stack(tmp_path):
    return make_record(tmp_path, a=[True] * 8)


def test_every_item_validates_in_exactly_one_fold_and_groups_stay_whole(
    many: DatasetRecord,
) -> None:
    folds = fold_splits(many, 3, seed=1)
    held_out = [i for split in folds for i in split.parts["validation"]]
    labelled = [item.item_id for item in many.items if item.has_truth]
    assert sorted(held_out) == sorted(labelled)
    for split in folds:
        assert sorted((*split.parts["train"], *split.parts["validation"])) == sorted(labelled)
        sides = [{many.item(i).group for i in split.parts[p]} for p in ("train", "validation")]
        assert not sides[0] & sides[1]


def test_no_fold_count_leaves_each_group_out_once(many: DatasetRecord) -> None:
    folds = fold_splits(many, 0)
    groups = [{many.item(i).group for i in split.parts["validation"]} for split in folds]
    assert sorted(g for (g,) in groups) == sorted({item.group for item in many.items})


def test_a_single_group_is_cut_into_neighbouring_blocks(one_stack: DatasetRecord) -> None:
    blocks = [split.parts["validation"] for split in fold_splits(one_stack, 3)]
    assert [i for block in blocks for i in block] == [item.item_id for item in one_stack.items]


def test_more_folds_than_groups_are_refused(many: DatasetRecord) -> None:
    with pytest.raises(ConfigError) as caught:
        fold_splits(many, 99)
    assert caught.value.text.params["most"] == len({item.group for item in many.items})


def test_random_folds_say_in_their_method_that_they_leak(many: DatasetRecord) -> None:
    folds = random_fold_splits(many, 2, seed=0)
    assert all("LEAK" in split.method for split in folds)
    held_out = [i for split in folds for i in split.parts["validation"]]
    assert sorted(held_out) == sorted(item.item_id for item in many.items if item.has_truth)
