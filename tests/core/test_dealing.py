from pipelines.core.dealing import deal

SIZES = {"a": 10, "b": 6, "c": 5, "d": 1}


def test_the_largest_groups_are_dealt_first_to_the_smallest_fold():
    assert deal(["d", "c", "b", "a"], SIZES, 2) == [["a", "d"], ["b", "c"]]


def test_without_a_number_every_group_is_a_fold_in_the_order_given():
    assert deal(["c", "a"], SIZES, 0) == [["c"], ["a"]]


def test_more_folds_than_groups_leave_folds_empty():
    assert deal(["a", "b"], SIZES, 3) == [["a"], ["b"], []]


def test_the_order_decides_among_groups_of_one_size():
    sizes = {"x": 2, "y": 2}
    assert deal(["y", "x"], sizes, 2) == [["y"], ["x"]]
