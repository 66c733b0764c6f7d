"""Folds of pictures: every picture held out once, groups whole, every class in every fold."""

import numpy as np
import pytest

from pipelines.core.classification.splits import Divisible, fold_ids
from pipelines.errors import ConfigError
from tests.wording import assert_clear


@pytest.fixture
def pictures() -> Divisible:
    """Six subjects of class 0 and four of class 1, with two to seven pictures each."""
    ids, labels, groups = [], [], []
    for subject in range(10):
        for number in range(2 + subject % 6):
            ids.append(f"s{subject}-{number}")
            labels.append(int(subject >= 6))
            groups.append(f"s{subject}")
    return Divisible(tuple(ids), np.array(labels), tuple(groups))


@pytest.mark.parametrize("num_folds", [2, 4, 0])
@pytest.mark.parametrize("by_group", [True, False])
def test_every_picture_is_held_out_exactly_once(
    pictures: Divisible, num_folds: int, by_group: bool
) -> None:
    if not num_folds and not by_group:
        return
    folds = fold_ids(pictures, num_folds, 3, by_group=by_group)
    assert sorted(i for fold in folds for i in fold) == sorted(pictures.ids)


def test_groups_stay_whole_and_every_fold_has_every_class(pictures: Divisible) -> None:
    group_of = dict(zip(pictures.ids, pictures.groups, strict=True))
    label_of = dict(zip(pictures.ids, pictures.labels.tolist(), strict=True))
    folds = fold_ids(pictures, 4, 0)
    places = [{group_of[i] for i in fold} for fold in folds]
    assert sum(len(p) for p in places) == 10  # no subject in two folds
    assert all({label_of[i] for i in fold} == {0, 1} for fold in folds)


def test_leaving_one_out_gives_a_fold_a_group(pictures: Divisible) -> None:
    group_of = dict(zip(pictures.ids, pictures.groups, strict=True))
    folds = fold_ids(pictures, 0, 0)
    assert sorted({group_of[i] for i in fold}.pop() for fold in folds) == sorted(
        set(pictures.groups)
    )


def test_drawn_at_random_the_pictures_of_a_group_stand_on_both_sides(pictures: Divisible) -> None:
    group_of = dict(zip(pictures.ids, pictures.groups, strict=True))
    folds = fold_ids(pictures, 2, 0, by_group=False)
    sides = [{group_of[i] for i in fold} for fold in folds]
    assert sides[0] & sides[1]


def test_more_folds_than_the_rarest_class_has_groups_are_refused(pictures: Divisible) -> None:
    with pytest.raises(ConfigError) as caught:
        fold_ids(pictures, 5, 0)
    assert caught.value.text.params["most"] == 4
    assert_clear(caught.value.text)
