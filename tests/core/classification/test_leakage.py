"""What stands on both sides is found; what stands on one side is not called a leak."""

import numpy as np
from PIL import Image

from pipelines.core.classification.config import ClassificationConfig
from pipelines.core.classification.images import Entry, PictureReader, open_source
from pipelines.core.classification.leakage import (
    Placed,
    difference_hash,
    exact_copies,
    find_leaks,
    near_copies,
)
from pipelines.core.classification.splits import Divisible, choose_some, divide, joined_groups
from pipelines.text import render


def _entries(*crcs: int) -> list[Entry]:
    return [Entry(f"f/{i}.bmp", 100, crc, 0) for i, crc in enumerate(crcs)]


def _kinds(placed: Placed, **rest) -> list[str]:
    return [leak.kind for leak in find_leaks(placed, **rest).leaks]


def test_copies_in_one_part_are_no_leak_and_across_parts_are():
    entries = _entries(5, 5, 7, 5)
    inside = Placed(entries, ["train", "train", "validation", "train"], ["", "", "", ""])
    assert find_leaks(inside).is_clean
    assert find_leaks(inside).copies_within == 1
    across = Placed(entries, ["train", "train", "train", "validation"], ["", "", "", ""])
    assert _kinds(across) == ["exact"]


def test_a_subject_in_two_parts_and_one_subject_under_two_names_are_told_apart():
    split = Placed(_entries(1, 2), ["train", "validation"], ["S1", "S1"])
    assert _kinds(split) == ["subject"]
    named = Placed(_entries(3, 3), ["train", "train"], ["S1", "S2"])
    report = find_leaks(named)
    assert [leak.kind for leak in report.leaks] == ["two_names"]
    assert report.is_clean


def test_a_sentence_names_the_subjects_on_both_sides_and_a_pair_shows_one():
    """It said how many stand in two parts, and left a person to search for which."""
    entries, parts = _entries(*range(10)), ["train", "validation"] * 5
    report = find_leaks(Placed(entries, parts, [f"S{i // 2}" for i in range(10)]), near=())
    (words,) = report.sentences()
    assert (words.params["n"], words.params["names"]) == (5, ["S0", "S1", "S2"])
    assert "(such as S0, S1, S2)" in render(words, "en")
    assert "(dont S0, S1, S2)" in render(words, "fr")
    first = report.leaks[0]
    assert (first.first, first.second) == (entries[0].name, entries[1].name)
    assert (first.parts, first.subject) == (("train", "validation"), "S0")


def test_two_names_are_kept_together_only_where_they_are():
    """Parts that a table gives put them on both sides, and the page said that it does not."""
    for parts, said in (
        (["train", "train"], ["classes.leak.two_names"]),
        (["train", "validation"], ["classes.leak.exact", "classes.leak.two_names_apart"]),
    ):
        report = find_leaks(Placed(_entries(3, 3), parts, ["S1", "S2"]), near=())
        assert [text.id for text in report.sentences()] == said


def test_the_same_id_in_two_parts_is_found():
    entries = [Entry("train/a.tif", 10, 1), Entry("val/a.tif", 11, 2)]
    assert _kinds(Placed(entries, ["train", "validation"], ["", ""])) == ["id"]


def test_files_outside_of_archives_are_compared_by_content(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.bmp")
    Image.fromarray(picture).save(tmp_path / "b.bmp")
    Image.fromarray(255 - picture).save(tmp_path / "c.bmp")
    source = open_source(tmp_path)
    assert exact_copies(source.entries, PictureReader(source.path)) == [(0, 1)]


def test_a_brighter_recompressed_copy_is_near_and_another_picture_is_not():
    import cv2

    rng = np.random.default_rng(1)
    base = cv2.resize(rng.integers(0, 200, (12, 12, 3), dtype=np.uint8), (96, 96))
    ok, packed = cv2.imencode(".jpg", np.clip(base.astype(int) + 20, 0, 255).astype(np.uint8))
    assert ok
    copy = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    other = cv2.resize(rng.integers(0, 200, (12, 12, 3), dtype=np.uint8), (96, 96))
    hashes = {i: difference_hash(p) for i, p in enumerate((base, copy, other))}
    assert near_copies(hashes) == [(0, 1)]


def test_the_block_search_finds_what_comparing_all_pairs_finds():
    rng = np.random.default_rng(4)
    base = rng.integers(0, 2**63, 60, dtype=np.uint64)
    near = base ^ (np.uint64(1) << rng.integers(0, 64, 60).astype(np.uint64))
    values = np.concatenate([base, near])
    slow = [
        (a, b)
        for a in range(120)
        for b in range(a + 1, 120)
        if (int(values[a]) ^ int(values[b])).bit_count() <= 3
    ]
    assert near_copies({i: int(v) for i, v in enumerate(values)}) == slow


def test_near_copies_count_across_parts_and_not_when_they_are_exact():
    placed = Placed(_entries(1, 2, 5, 5), ["train", "validation", "train", "validation"], [""] * 4)
    assert _kinds(placed, near=[(0, 1), (2, 3)]) == ["exact", "near"]
    inside = Placed(_entries(1, 2), ["train", "train"], ["", ""])
    assert _kinds(inside, near=[(0, 1)]) == []
    assert not find_leaks(inside).is_near_checked
    assert find_leaks(inside, near=[]).is_near_checked


def _pictures(num_groups: int, size: int) -> Divisible:
    groups = [f"s{g}" for g in range(num_groups) for _ in range(size)]
    labels = np.array([int(g[1:]) % 2 for g in groups])
    return Divisible(tuple(f"{g}-{i}" for i, g in enumerate(groups)), labels, tuple(groups))


def test_a_split_by_groups_never_divides_one_and_has_both_classes_on_both_sides():
    pictures = _pictures(12, 10)
    for fold in range(6):
        train, held = divide(pictures, ClassificationConfig(fold=fold))
        assert not {i.split("-")[0] for i in train} & {i.split("-")[0] for i in held}
        for part in (train, held):
            assert len({int(i.split("-")[0][1:]) % 2 for i in part}) == 2


def test_the_folds_hold_out_every_picture_exactly_once():
    pictures = _pictures(13, 7)
    held = [divide(pictures, ClassificationConfig(fold=f))[1] for f in range(1, 6)]
    assert sorted(i for part in held for i in part) == sorted(pictures.ids)


def test_copies_tie_their_groups_together():
    groups = joined_groups(["A", "B", "", "C"], ["w", "x", "y", "z"], [(0, 1), (1, 2)])
    assert groups[0] == groups[1] == groups[2]
    assert groups[3] == "C"


def test_choosing_some_keeps_the_shares_of_the_classes():
    some = choose_some(_pictures(10, 100), 100, seed=0)
    assert len(some.ids) == 100
    assert some.labels.sum() == 50
