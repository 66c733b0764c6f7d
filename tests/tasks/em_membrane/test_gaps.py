"""Closing gaps: hand-made walls, what must not change, and a slow reference for the merging."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipelines.tasks.em_membrane.gaps import (
    Borders,
    border_strength,
    close_gaps,
    find_borders,
    merge_heights,
)


def two_rooms(gap_rows=(), wall=0.05, side=48):
    """Return two rooms with a wall between them that is missing in some rows."""
    room = np.full((side, side), 0.95, np.float32)
    room[:, 23:26] = wall
    for row in gap_rows:
        room[row, 23:26] = 0.95
    return room


def count_cells(probability, threshold=0.5):
    return ndimage.label(probability > threshold)[1]


def test_a_small_gap_in_a_clear_wall_is_closed():
    leaking = two_rooms(gap_rows=(20, 21))
    assert count_cells(leaking) == 1
    assert count_cells(close_gaps(leaking)) == 2


def test_a_doorway_as_wide_as_the_room_stays_open():
    """A wall of which only a sixth is there is no border."""
    open_room = two_rooms(gap_rows=range(8, 48))
    assert count_cells(close_gaps(open_room)) == 1


def test_a_faint_line_through_a_cell_does_not_cut_it():
    assert count_cells(close_gaps(two_rooms(wall=0.7))) == 1


def test_a_whole_wall_stays_a_wall():
    assert count_cells(close_gaps(two_rooms())) == 2


def test_a_gap_gets_the_strength_of_its_wall():
    """A quarter of the wall is missing, where the map says 0.05 and not 0.95 of membrane."""
    closed = close_gaps(two_rooms(gap_rows=range(18, 30)))
    roots = 36 * np.sqrt(0.95) + 12 * np.sqrt(0.05)
    strength = border_strength(roots, 48, 24 * 48 - 36)
    assert strength < 0.75 * 0.95 + 0.25 * 0.05  # weaker than the plain mean
    assert closed[24, 20:29].min() == pytest.approx(1 - strength, abs=0.03)


def test_a_border_between_large_regions_is_stronger_and_a_sure_one_stays_sure():
    assert border_strength(5.0, 10, 1500) == pytest.approx(0.25)  # the squared mean root
    odds = [s / (1 - s) for s in (border_strength(5.0, 10, area) for area in (1500, 15000))]
    assert odds[1] / odds[0] == pytest.approx(10**0.3)
    assert [border_strength(r, 10, 20) for r in (0.0, 10.0)] == [0, 1]


def test_probability_is_nowhere_raised_and_changes_on_few_pixels():
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((80, 80)), 3)
    probability = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    closed = close_gaps(probability)
    assert np.all(closed <= probability)
    assert 0 < np.mean(closed != probability) < 0.1
    assert closed.min() >= 0


def test_closing_twice_changes_hardly_anything():
    leaking = two_rooms(gap_rows=(10, 30, 31))
    once = close_gaps(leaking)
    assert count_cells(close_gaps(once)) == count_cells(once) == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (16, 16)])
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_flat_map_is_returned_as_it_is(shape, value):
    flat = np.full(shape, value, np.float32)
    np.testing.assert_array_equal(close_gaps(flat), flat)


def test_borders_of_a_hand_made_map():
    regions = np.array([[1, 0, 2], [1, 0, 2], [0, 0, 0], [3, 3, 3]])
    borders = find_borders(regions)
    assert borders.pairs.tolist() == [[1, 2], [1, 3], [2, 3]]
    places = list(zip(borders.rows.tolist(), borders.columns.tolist(), strict=True))
    member = {
        tuple(pair): [places[p] for p in borders.pixel[borders.border == i]]
        for i, pair in enumerate(borders.pairs.tolist())
    }
    assert member[1, 2] == [(0, 1), (1, 1), (2, 1)]
    assert member[1, 3] == [(2, 0), (2, 1)]
    assert member[2, 3] == [(2, 1), (2, 2)]


def _slow_heights(pairs, members, membrane, sizes):
    """Merge by looking at every pair of regions anew each time."""
    region = {r: {r} for r in np.unique(pairs)}
    heights, level = np.zeros(len(pairs)), 0.0
    while len(region) > 1:
        best = None
        for a in region:
            for b in region:
                if a >= b:
                    continue
                parts = [
                    i
                    for i, (p, q) in enumerate(pairs)
                    if (p in region[a] and q in region[b]) or (p in region[b] and q in region[a])
                ]
                values = [membrane[m] for i in parts for m in members[i]]
                if not values:
                    continue
                area = min(sum(sizes[r] for r in region[side]) for side in (a, b))
                strength = border_strength(np.sqrt(values).sum(), len(values), area)
                if best is None or strength < best[0]:
                    best = (strength, a, b, parts)
        if best is None:
            break
        level = max(level, best[0])
        heights[best[3]] = level
        region[best[1]] |= region.pop(best[2])
    return heights


def test_merging_equals_a_slow_reference():
    rng = np.random.default_rng(4)
    pairs = np.array([(a, b) for a in range(1, 10) for b in range(a + 1, 10) if rng.random() < 0.5])
    membrane = rng.random(60).astype(np.float32)
    border = np.concatenate([np.arange(len(pairs)), rng.integers(0, len(pairs), 40)])
    pixel = rng.integers(0, 60, len(border))
    borders = Borders(np.zeros(60, int), np.arange(60), pairs, pixel, border)
    members = [pixel[border == i].tolist() for i in range(len(pairs))]
    sizes = rng.integers(10, 4000, 10)
    expected = _slow_heights(pairs.tolist(), members, membrane, sizes)
    np.testing.assert_allclose(merge_heights(borders, membrane, sizes), expected, rtol=1e-5)
