import subprocess
import sys

import numpy as np
import pytest

from pipelines.contract import ItemStatistics, OperatingPoint, PanelContext
from pipelines.tasks.cryoet_picking import TASK
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.display import cut_slice, display_bytes
from pipelines.tasks.cryoet_picking.lessons import self_check
from pipelines.tasks.cryoet_picking.particles import CHALLENGE
from pipelines.tasks.cryoet_picking.predictions import to_prediction
from pipelines.tasks.cryoet_picking.slices import Marks, circles_in_plane
from pipelines.text import Text, render
from pipelines.views import View
from tests.tasks.cryoet_picking.conftest import record_of


@pytest.fixture(scope="module")
def context(tree):
    samples = TASK.open_dataset(record_of(tree))
    made = {
        s.item_id: to_prediction(
            s.truth.picks.take(np.arange(0, len(s.truth.picks), 2)), CHALLENGE, {}, group=s.group
        )
        for s in samples
    }
    rows = ItemStatistics.concatenate([TASK.statistics(made[s.item_id], s.truth) for s in samples])
    return PanelContext(
        record=record_of(tree), samples=samples, index=0, config=Config(), predictions=made,
        operating_point=OperatingPoint({"threshold": 0.3}, source="scored"), statistics=rows,
    )  # fmt: skip


def texts_in(value):
    if isinstance(value, Text):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from texts_in(one)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from texts_in(getattr(value, name))


@pytest.mark.parametrize("panel", TASK.panels(), ids=lambda p: p.panel_id)
def test_each_panel_shows_views_whose_words_stand_in_both_languages(panel, context):
    controls = panel.controls() if panel.controls else None
    shown = panel.compute(context, controls)
    assert shown
    for view in shown:
        assert isinstance(view, View)
        for text in texts_in(view):
            for language in ("en", "fr"):
                words = render(text, language)
                assert words != text.id
                assert "{" not in words


def test_drawing_every_panel_needs_no_torch(tree):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.tasks.cryoet_picking.conftest import record_of\n"
        "from pipelines.tasks.cryoet_picking import TASK\n"
        "from pipelines.tasks.cryoet_picking.config import Config\n"
        "from pipelines.contract import PanelContext\n"
        f"record = record_of(Path({str(tree)!r}))\n"
        "context = PanelContext(record, TASK.open_dataset(record), 0, Config())\n"
        "[p.compute(context, p.controls() if p.controls else None) for p in TASK.panels()]\n"
        "assert 'torch' not in sys.modules and 'monai' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_circles_are_the_cut_of_a_sphere():
    marks = Marks(np.array([[100.0, 50, 50]]), np.array([50.0]), ("kind_1",), ("a",), np.ones(1))
    geometry = Geometry((30, 30, 30), 10.0)
    rows, radii = circles_in_plane(marks, 0, 13, geometry)
    assert rows.tolist() == [0]
    assert radii[0] == pytest.approx(4.0)  # 3 voxels above a centre of radius 5
    assert len(circles_in_plane(marks, 0, 15, geometry)[0]) == 0


def test_slab_is_the_mean_of_its_slices(context):
    volume = display_bytes(context.sample)
    slab = cut_slice(volume, "xz", 10, thickness=5)
    assert np.abs(slab - volume[:, 8:13].mean(1)).max() <= 0.5
    assert (cut_slice(volume, "yz", 7) == volume[:, :, 7]).all()


def test_self_check_falls_from_one(context):
    found = self_check(context.sample)
    assert found["same"] == pytest.approx(1.0)
    assert found["shift_6"] < found["shift_1"]
    assert found["voxels"] < 0.5
    assert found["doubled"] < 1.0
    assert found["nothing"] == 0.0


def test_missed_and_false_picks_are_told_apart(context):
    truth = context.sample.truth.picks
    kept = truth.take(np.arange(0, len(truth), 2))
    marks = Marks.compare(kept, truth, CHALLENGE)
    assert marks.meanings.count("true_positive") == len(kept)
    assert marks.meanings.count("missed") == len(truth) - len(kept)
