import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipelines.contract import ItemStatistics, OperatingPoint, PanelContext
from pipelines.datasets import given_split, split_to_json
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking import TASK
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.data import Geometry
from pipelines.tasks.cryoet_picking.display import cut_slice, display_bytes
from pipelines.tasks.cryoet_picking.lessons import self_check, shift_curve
from pipelines.tasks.cryoet_picking.particles import CHALLENGE
from pipelines.tasks.cryoet_picking.predictions import to_prediction
from pipelines.tasks.cryoet_picking.slices import Marks, spheres_of, volume_view
from pipelines.tasks.cryoet_picking.surfaces import surface_view
from pipelines.text import Text, render
from pipelines.views import View
from tests.tasks.cryoet_picking.conftest import record_of
from tests.wording import assert_clear


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
                # the browser puts index and length over each plane
                assert "{" not in words.replace("{index}", "").replace("{length}", "")


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


def test_spheres_stand_in_voxels_with_the_offset_of_the_data(context):
    truth = context.sample.truth
    marks = Marks.of_kinds(truth.picks, truth.particles)
    spheres = spheres_of(marks, Geometry((30, 30, 30), 10.0, offset_vox=1.0))
    assert np.allclose(spheres.centres_vox, truth.picks.positions / 10 + 1)
    radii = {p.name: p.radius_angstrom / 10 for p in truth.particles}
    assert spheres.radii_vox.tolist() == [radii[k] for k in marks.kinds]
    meanings = [spheres.palette[look].meaning for look in spheres.looks]
    assert meanings == list(marks.meanings)


def test_all_true_picks_can_stand_behind_the_compared_ones(context):
    editor = TASK.editor(context.sample)
    editor.delete(0)
    marks = editor.marks(colour_by="kind", compare=True, with_truth=True)
    count = len(editor.picks)
    assert marks.kinds[:count] == tuple(editor.picks.kind_names())
    assert marks.verdicts.count("missed") == 1
    assert marks.verdicts.count("truth") == len(context.sample.truth.picks)
    kept = marks.take(np.array([kind == "ribosome" for kind in marks.kinds]))
    assert set(kept.kinds) == {"ribosome"}


def test_planes_are_cut_along_each_axis_with_rows_before_columns(context):
    sample = context.sample
    view = volume_view(sample, Marks.none(), thickness=1, title=Text("cryoet.layer_picks"))
    volume = display_bytes(sample)
    assert (view.section(0, 5) == volume[5]).all()
    assert (view.section(1, 6) == volume[:, 6]).all()
    assert (view.section(2, 7) == volume[:, :, 7].T).all()
    again = volume_view(sample, Marks.none(), thickness=1, title=Text("cryoet.layer_picks"))
    assert again.section(1, 6) is view.section(1, 6), "what did not change is not cut again"


def test_surface_lies_around_what_is_dense(context):
    """A ball of 6 voxels in an empty tomogram: its surface is a sphere of that radius."""
    z, y, x = np.indices((40, 40, 40)) - 20.0
    volume = np.random.default_rng(0).normal(0, 0.05, (40, 40, 40))
    volume[np.sqrt(z**2 + y**2 + x**2) < 6] = -4.0
    meta = {**context.sample.meta, "geometry": Geometry((40, 40, 40), 10.0)}
    sample = replace(context.sample, image=volume.astype(np.float32), meta=meta)
    view = surface_view(sample, (20, 20, 20), side_vox=32, level_std=1.5)
    away = np.linalg.norm(view.vertices - 200.0, axis=1)
    assert away.min() > 45
    assert away.max() < 75
    with pytest.raises(DataFormatError) as caught:
        surface_view(sample, (8, 8, 8), side_vox=16, level_std=3.9)
    assert_clear(caught.value.text)


def test_slab_is_the_mean_of_its_slices(context):
    volume = display_bytes(context.sample)
    slab = cut_slice(volume, "xz", 10, thickness=5)
    assert np.abs(slab - volume[:, 8:13].mean(1)).max() <= 0.5
    border = cut_slice(volume, "xy", 0, thickness=5)
    assert np.abs(border - volume[:3].mean(0)).max() <= 0.5


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


def test_the_score_falls_from_one_as_all_picks_are_moved(context):
    curve = shift_curve(context.sample).curves[0]
    shifts, scores = np.asarray(curve.x), np.asarray(curve.y)
    assert scores[0] == 1.0
    hardest = min(p.hit_radius_angstrom for p in context.sample.truth.particles) / 10.012444
    assert (scores[np.sqrt(3) * shifts < hardest] == 1.0).all(), "within half of every radius"
    assert scores[-1] < 0.2


def test_a_submission_is_scored_again_from_its_file(context):
    panel = next(p for p in TASK.panels() if p.panel_id == "submission")
    truths = {s.item_id: s.truth for s in context.samples}
    perfect = {
        name: to_prediction(truth.picks, truth.particles, {"threshold": 0.5}, group=name)
        for name, truth in truths.items()
    }
    point = OperatingPoint({"threshold": 0.5})
    views = panel.compute(replace(context, predictions=perfect, operating_point=point), None)
    (said,) = [v.title for v in views if "rescored" in v.title.id]

    present = [p for p in CHALLENGE if any(t.picks.counts().get(p.name) for t in truths.values())]
    assert said.params["n"] == len(truths)
    weights = sum(p.weight for p in present) / sum(p.weight for p in CHALLENGE)
    assert said.params["f4"] == pytest.approx(weights)


def test_a_submission_with_tomograms_that_were_learned_from_says_so(context, tmp_path):
    """The page scored what the model knew by heart together with what it did not."""
    split = given_split(context.record, {"train": ["TS_1"], "validation": ["TS_2"]})
    (tmp_path / "split.json").write_text(json.dumps(split_to_json(split)))
    panel = next(p for p in TASK.panels() if p.panel_id == "submission")
    point = OperatingPoint({"threshold": 0.5})
    on_all = replace(context, checkpoint=tmp_path, operating_point=point)
    on_one = replace(on_all, predictions={"TS_2": context.predictions["TS_2"]})
    said = [v.title for v in panel.compute(on_all, None) if "learned" in v.title.id]
    assert [text.params["n"] for text in said] == [1]
    assert not [v for v in panel.compute(on_one, None) if "learned" in v.title.id]


@pytest.mark.parametrize("target", ["spheres", "gaussian"])
def test_patches_are_shown_where_their_particle_is(tree, target):
    """Their middle section was shown, which missed the particle of four patches in five."""
    from pipelines.tasks.cryoet_picking.lessons import patch_pictures

    config = replace(Config(), patch_vox=32, particle_share=1.0, target=target)
    pictures = patch_pictures(TASK.open_dataset(record_of(tree))[0], config)
    targets = [picture[:, picture.shape[1] // 2 :] for picture in pictures]
    assert all(target.any() for target in targets)


def test_an_empty_patch_is_shown_in_the_middle():
    from pipelines.tasks.cryoet_picking.lessons import _fullest_section

    assert _fullest_section(np.zeros((8, 4, 4), np.int64)) == 4
    target = np.zeros((8, 4, 4), np.int64)
    target[6, 1, 1] = 3
    assert _fullest_section(target) == 6


def test_picks_alone_are_not_said_to_lack_true_picks_nor_to_have_planes(tree, tmp_path):
    """Train said that they have none, and the cloud asked to be clicked for planes."""
    shutil.copytree(tree / "overlay", tmp_path / "overlay")
    record = record_of(tmp_path)
    samples = TASK.open_dataset(record)
    sample = samples[0]
    (panel,) = [p for p in TASK.panels() if p.step == "train"]
    (told,) = panel.compute(PanelContext(record, samples, 0, Config()), None)
    assert told.title.id == "cryoet.picks_only"
    marks = TASK.editor(sample).marks(colour_by="kind", compare=False, with_truth=False)
    assert TASK.cloud(sample, marks).title.id == "cryoet.cloud_alone"
