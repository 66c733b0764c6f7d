"""Sections of a tomogram with a model's picks, as they stand beside another model's."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines import registry
from pipelines.contract import OperatingPoint, Prediction
from pipelines.text import verbatim
from pipelines.views import PointLayer

TASK = registry.get_task("cryoet_picking")
POINT = OperatingPoint({"threshold": 0.5})


@pytest.fixture(scope="module")
def sample():
    return TASK.fake_samples(1, 0)[0]


@pytest.fixture
def perfect(sample) -> Prediction:
    """Return the true picks as a model's answer."""
    truth = sample.truth.picks
    values = {
        "kinds": np.array(truth.kinds),
        "kind_index": truth.kind_index,
        "positions": truth.positions,
        "scores": np.ones(len(truth)),
    }
    return Prediction(sample.item_id, sample.group, values)


def points(pane) -> PointLayer:
    return next(layer for layer in pane.layers if isinstance(layer, PointLayer))


def test_the_section_with_most_true_picks_is_shown_first(sample, perfect) -> None:
    first, count = TASK.section_to_show(sample)
    geometry = sample.meta["geometry"]
    assert count == geometry.shape[0]
    depths = np.rint(geometry.to_vox(sample.truth.picks.positions)[:, 0])
    near = [np.count_nonzero(abs(depths - z) <= 5) for z in range(count)]
    assert near[first] == max(near)
    shown, asked = (TASK.shown(sample, perfect, POINT, verbatim("m"), s) for s in (None, first))
    assert (points(shown).points == points(asked).points).all()


def test_another_section_shows_the_picks_that_it_cuts(sample, perfect) -> None:
    geometry = sample.meta["geometry"]
    centres = geometry.to_vox(sample.truth.picks.positions)
    z = round(float(centres[0, 0]))
    pane = TASK.shown(sample, perfect, POINT, verbatim("m"), z)
    assert any(np.allclose(place, centres[0, 1:], atol=1e-3) for place in points(pane).points)
    assert set(points(pane).styles) == {"circle"}  # a perfect model has no false and no missed one
    assert (pane.pixel_size, pane.unit) == (geometry.spacing_angstrom, "angstrom")
