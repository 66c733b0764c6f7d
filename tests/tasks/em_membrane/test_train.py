"""The training on small generated sections: it learns, repeats, resumes, and reports."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from pipelines.errors import DataError
from pipelines.tasks.em_membrane import metrics, train
from pipelines.tasks.em_membrane.cells import label_components
from pipelines.tasks.em_membrane.config import Config
from pipelines.tasks.em_membrane.loss import LOSSES
from pipelines.tasks.em_membrane.model import build_model
from pipelines.tasks.em_membrane.train import (
    BatchMaker,
    LabelledSection,
    batch_loss,
    prepare,
    scoring_reserve_s,
    train_segmentation,
)
from tests.tasks.em_membrane.scoring import measure_sections

CPU = torch.device("cpu")
OPTIONS = Config(
    base_channels=4,
    depth=2,
    stem=2,
    num_affinities=2,
    patch_px=32,
    time_limit_s=604800,  # far off, so that the rate follows the steps to the last bit
    max_steps=4,
    warmup_steps=2,
    batch_size=2,
)
NET = OPTIONS


class Recorder:
    def __init__(self, wish=None, after=10**9):
        self.points, self.pictures, self.notes = [], [], []
        self.wish, self.after, self.asked = wish, after, 0

    def progress(self, done, total, stage, seconds_left):
        pass

    def metrics(self, values):
        self.points.append(dict(values))

    def picture(self, name, pixels, caption):
        self.pictures.append((name, pixels, caption))

    def note(self, text):
        self.notes.append(text)

    def stop_wish(self):
        self.asked += 1
        return self.wish if self.asked > self.after else None


def make_section(seed, side=64):
    """Make cells as a Voronoi tessellation, bright, with dark borders, and noise."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, side, (12, 2))
    cell = ndimage.distance_transform_edt(
        ~_points_mask(points, side), return_distances=False, return_indices=True
    )
    names = cell[0] * side + cell[1]
    border = ndimage.maximum_filter(names, 3) != ndimage.minimum_filter(names, 3)
    image = 150 - 90 * border + rng.normal(0, 15, (side, side))
    return LabelledSection(f"s{seed}", np.clip(image, 0, 255).astype(np.uint8), ~border)


def _points_mask(points, side):
    mask = np.zeros((side, side), bool)
    mask[tuple(points.T)] = True
    return mask


@pytest.fixture(scope="module")
def sections():
    return [make_section(s) for s in range(3)]


def test_a_short_training_finds_the_membranes_of_an_unseen_section(sections):
    options = dataclasses.replace(
        OPTIONS, max_steps=60, warmup_steps=5, learning_rate=1e-2, batch_size=4
    )
    run = Recorder()
    outcome = train_segmentation(sections[:2], sections[2:], options, device=CPU, run=run)
    rows = measure_sections(outcome.model, sections[2:], options, CPU)
    assert metrics.score(rows, metrics.best_threshold(rows))["v_rand"] > 0.8
    assert rows.item_ids() == ("s2",)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("num_affinities", [0, 2])
def test_every_loss_trains_with_and_without_pairs(sections, loss, num_affinities):
    options = dataclasses.replace(OPTIONS, loss=loss, num_affinities=num_affinities)
    run = Recorder()
    outcome = train_segmentation(sections[:1], [], options, device=CPU, run=run)
    assert outcome.steps == 4
    assert all(np.isfinite(p["loss"]) for p in run.points if "loss" in p)


def test_a_paused_training_continues_as_if_it_had_not_been(sections, tmp_path):
    whole = train_segmentation(sections[:2], [], OPTIONS, device=CPU, run=Recorder())
    args = {"device": CPU, "folder": tmp_path}
    first = train_segmentation(
        sections[:2], sections[2:], OPTIONS, run=Recorder("pause", 2), **args
    )
    assert first.ending == "pause"
    second = train_segmentation(sections[:2], sections[2:], OPTIONS, run=Recorder(), **args)
    assert second.steps == 4
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


@pytest.mark.parametrize("count", [1, 100])
def test_the_time_kept_for_scoring_grows_with_the_sections_and_is_bounded(
    sections, monkeypatch, count
):
    """A run of 280 s with several validation sections ended at V_Rand 0.09.

    The time for its final scoring was guessed from the map of an untrained network, whose noise
    falls apart into thousands of regions, and ate most of the training.
    """
    ticks = iter([0.0, 2.0])
    monkeypatch.setattr(train.time, "monotonic", lambda: next(ticks))
    options = dataclasses.replace(OPTIONS, time_limit_s=100)
    kept = scoring_reserve_s(build_model(NET), [sections[0]] * count, options, CPU)
    assert kept == pytest.approx({1: 2.2, 100: 15.0}[count])


def test_nothing_is_kept_for_scoring_without_validation_sections():
    assert scoring_reserve_s(build_model(NET), [], OPTIONS, CPU) == 0


def test_a_map_of_noise_does_not_enter_the_time_kept_for_scoring(sections, monkeypatch):
    seen = []
    monkeypatch.setattr(train, "finish", lambda p, config: seen.append(p) or p)
    scoring_reserve_s(build_model(NET), sections[:1], OPTIONS, CPU)
    cells = [label_components(m).max() for m in (seen[0] > 0.5, sections[0].inside)]
    assert len(seen) == 1
    assert cells[0] <= cells[1]  # no more regions than the truth has


def test_the_live_picture_is_the_whole_validation_section(sections):
    run = Recorder()
    train_segmentation(sections[:2], sections[2:], OPTIONS, device=CPU, run=run)
    name, pixels, caption = run.pictures[-1]
    assert (name, pixels.shape, pixels.dtype) == ("validation", (64, 64), np.uint8)
    assert caption.params["section"] == "s2"
    point = next(p for p in run.points if "v_rand" in p)
    assert {"step", "elapsed_s", "validation_loss", "v_rand", "v_info", "dice"} <= set(point)


def test_a_batch_is_a_function_of_seed_and_step(sections):
    makers = [
        BatchMaker([prepare(s, OPTIONS) for s in sections], dataclasses.replace(OPTIONS, seed=seed))
        for seed in (0, 0, 1)
    ]
    first, again, other = (m.make(5) for m in makers)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["image"], other["image"])
    assert not torch.equal(first["image"], makers[0].make(6)["image"])
    assert set(first) == {"image", "inside", "pairs"}


def test_weights_come_with_the_loss_that_needs_them_and_with_a_constant_frame(sections):
    weighted = dataclasses.replace(OPTIONS, loss="weighted_ce")
    assert prepare(sections[0], weighted).weight.max() > 3
    framed = dataclasses.replace(OPTIONS, patch_px=96, fill="constant")
    batch = BatchMaker([prepare(sections[0], framed)], framed).make(0)
    assert 0 < float(batch["weight"].mean()) < 1


def test_the_pair_share_scales_the_second_part_of_the_loss(sections):
    maker = BatchMaker([prepare(s, OPTIONS) for s in sections], OPTIONS)
    model, batch = build_model(NET).eval(), maker.make(0)
    losses = [
        batch_loss(model, batch, dataclasses.replace(OPTIONS, pair_share=share)).item()
        for share in (0.0, 1.0, 2.0)
    ]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)
    assert losses[1] > losses[0]


def test_no_section_is_an_error(sections):
    with pytest.raises(DataError):
        train_segmentation([], sections, OPTIONS, device=CPU, run=Recorder())
