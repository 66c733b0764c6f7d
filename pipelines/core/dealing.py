"""Deal groups to folds of like size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def deal(order: Sequence[str], sizes: Mapping[str, int], num_folds: int) -> list[list[str]]:
    """Deal groups, the largest first, each to the fold that has the fewest items so far.

    Args:
        order: Names of the groups; among groups of one size, earlier ones are dealt first.
        sizes: Group to its number of items.
        num_folds: Folds; 0 gives every group one of its own, in their order.

    Returns:
        The names in each fold; a fold may be empty where there are fewer groups.
    """
    if not num_folds:
        return [[name] for name in order]
    folds: list[list[str]] = [[] for _ in range(num_folds)]
    totals = [0] * num_folds
    for name in sorted(order, key=lambda n: -sizes[n]):
        smallest = totals.index(min(totals))
        folds[smallest].append(name)
        totals[smallest] += sizes[name]
    return folds
