# ruff: noqa: T201 - the figures are what the run is for
"""Ratios measured in one run: the score, the sliding window, slices on screen."""

import dataclasses
import time

import numpy as np
import pytest

from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, names
from pipelines.tasks.cryoet_picking.picks import Picks
from tests.tasks.cryoet_picking.official import slow_score, to_frame

pytestmark = pytest.mark.benchmark_only
FULL = (184, 630, 630)


def seconds(action, repeats=3, clock=time.perf_counter):
    """Shortest of some runs, in seconds of a clock."""
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return min(times)


def test_a_million_candidates_score_ten_times_faster_than_the_official_form():
    rng = np.random.default_rng(0)
    kinds = names(CHALLENGE)
    experiments = tuple(f"TS_{i}" for i in range(500))

    def table(count):
        places = rng.random((count, 3)) * [1840, 6300, 6300]
        return Picks(
            experiments, kinds, rng.integers(0, 500, count), rng.integers(0, 6, count), places,
            np.ones(count),
        )  # fmt: skip

    references, candidates = table(100_000), table(900_000)
    near = references.take(rng.integers(0, 100_000, 100_000))
    near = dataclasses.replace(near, positions=near.positions + rng.normal(0, 25, (100_000, 3)))
    candidates = Picks.concatenate([candidates, near])
    ours = seconds(lambda: metrics.f4_score(candidates, references, CHALLENGE))
    radii = {p.name: p.radius_angstrom for p in CHALLENGE}
    weights = {p.name: p.weight for p in CHALLENGE}
    # A tenth of the tomograms, with all of the candidates, stands for the official form: its masks
    # run over the whole table for each tomogram and kind.
    frames = to_frame(references), to_frame(candidates)
    part = frames[0][frames[0]["experiment"].isin(experiments[:10])]
    start = time.perf_counter()
    expected, _ = slow_score(part, frames[1], radii, weights)
    official = (time.perf_counter() - start) * 50
    rows = references.experiment_index < 10
    few = dataclasses.replace(references.take(rows), experiments=experiments[:10])
    assert metrics.f4_score(candidates, few, CHALLENGE) == expected
    print(f"\nours {ours:.3f} s, official form about {official:.1f} s, {official / ours:.0f} times")
    assert official > 10 * ours


def test_sliding_window_is_twice_as_fast_as_monais_with_the_same_network_at_equal_f4():
    """The demo network on a simulated tomogram: half of MONAI's time, and no worse picks."""
    torch = pytest.importorskip("torch")
    inferers = pytest.importorskip("monai.inferers")
    from pipelines.settings import load_settings
    from pipelines.tasks.cryoet_picking import TASK
    from pipelines.tasks.cryoet_picking.data import Geometry
    from pipelines.tasks.cryoet_picking.infer import activate, make_ready, pick, predict_scores
    from pipelines.tasks.cryoet_picking.model import load_mean
    from pipelines.tasks.cryoet_picking.simulate import SimulationConfig, simulate_tomogram
    from pipelines.tasks.cryoet_picking.volumes import normalised

    made = simulate_tomogram(
        SimulationConfig(depth_vox=96, side_vox=256, dose_electrons=200.0, crowding=3.0), seed=5
    )
    volume = normalised(made.volume)
    geometry = Geometry(volume.shape, made.spacing_angstrom)
    config = dataclasses.replace(Config(), symmetries="none", device="cpu")
    model = load_mean(load_settings().checkpoints / TASK.id / "demo")
    ready = make_ready(model, torch.device("cpu"), is_heat=False)
    answers = {}

    def ours():
        answers["ours"] = predict_scores([ready], volume, config)

    def monai():
        with torch.inference_mode():
            source = torch.from_numpy(volume.astype(np.float32))[None, None]
            network = lambda x: torch.nn.functional.interpolate(model(x), scale_factor=2)  # noqa: E731
            logits = inferers.sliding_window_inference(
                source, (64, 64, 64), 4, network, overlap=0.25, mode="gaussian"
            )
        answers["monai"] = activate(logits[..., ::2, ::2, ::2], is_heat=False)[0].numpy()

    def f4(name):
        found = pick(answers[name], CHALLENGE, geometry, config, experiment="TS_1")
        rows = metrics.measure(found, made.picks, CHALLENGE, group="TS_1")
        return metrics.reduce_rows(rows, metrics.point(metrics.best_thresholds(rows)))["f4"]

    # of the processor, on one core: whatever else the machine does then weighs on neither
    torch.set_num_threads(1)
    own, theirs = (seconds(action, 3, time.process_time) for action in (ours, monai))
    print(
        f"\nours {volume.size / own:.3g} voxels a second of one core, "
        f"MONAI {volume.size / theirs:.3g}; "
        f"F4 {f4('ours'):.3f} and {f4('monai'):.3f}"
    )
    assert theirs > 2 * own
    assert f4("ours") > f4("monai") - 0.01


def test_windows_go_through_a_cpu_one_by_one_because_batches_are_no_faster(monkeypatch):
    torch = pytest.importorskip("torch")
    from pipelines.tasks.cryoet_picking import infer
    from pipelines.tasks.cryoet_picking.model import LightUNet

    volume = np.random.default_rng(0).normal(size=(112, 256, 256)).astype(np.float16)
    config = dataclasses.replace(Config(), symmetries="none", device="cpu")
    ready = infer.make_ready(LightUNet(7, 16).eval(), torch.device("cpu"), is_heat=False)
    found, times = {}, {}
    torch.set_num_threads(1)  # of the processor, on one core, as above
    for batch in (1, 2, 4):
        monkeypatch.setattr(infer, "_fit", lambda *_, n=batch: infer._Fit(config.window_vox, n))
        found[batch] = infer.predict_scores([ready], volume, config)
        times[batch] = seconds(
            lambda: infer.predict_scores([ready], volume, config), 3, time.process_time
        )
        np.testing.assert_allclose(found[batch], found[1], atol=0.02)  # of bfloat16
    print("\n" + ", ".join(f"{n} at once: {times[1] / t:.2f} x" for n, t in times.items()))
    assert times[1] < 1.15 * min(times.values())


def test_full_size_prediction_with_all_kinds_stays_under_four_gigabytes():
    import resource

    torch = pytest.importorskip("torch")
    from pipelines.tasks.cryoet_picking.data import Geometry
    from pipelines.tasks.cryoet_picking.infer import make_ready, pick, predict_scores
    from pipelines.tasks.cryoet_picking.model import LightUNet

    config = dataclasses.replace(Config(), symmetries="none", device="cpu", min_score=0.5)
    rng = np.random.default_rng(0)
    volume = np.empty(FULL, np.float16)
    for section in volume:
        section[:] = rng.normal(size=FULL[1:])
    ready = make_ready(LightUNet(7, 32).eval(), torch.device("cpu"), is_heat=False)
    start = time.perf_counter()
    scores = predict_scores([ready], volume, config)
    pick(scores, CHALLENGE, Geometry(FULL, 10.012444), config, experiment="TS")
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\n{spent:.0f} s, peak {peak:.2f} GB")
    assert peak < 4.0


def test_slices_of_a_full_size_tomogram_are_cut_in_time(tmp_path):
    from pipelines.contract import Sample
    from pipelines.tasks.cryoet_picking.data import Geometry
    from pipelines.tasks.cryoet_picking.display import section_of
    from pipelines.tasks.cryoet_picking.volumes import open_volume, write_zarr

    rng = np.random.default_rng(0)
    volume = rng.normal(size=FULL).astype(np.float32)
    write_zarr(tmp_path / "a.zarr", volume, spacing_angstrom=10.012444)
    del volume
    sample = Sample(
        "TS", "TS", open_volume(tmp_path / "a.zarr"), None, {"geometry": Geometry(FULL, 10.012444)}
    )
    start = time.perf_counter()
    section = section_of(sample, 5)
    section(0, 92)
    first = time.perf_counter() - start
    cuts = iter((i, 3 * i, 3 * i) for i in range(20, 120, 7))
    three = seconds(lambda: [section(axis, index) for axis, index in enumerate(next(cuts))], 5)
    print(f"\nopened in {first:.1f} s, three slabs of five slices in {three * 1000:.0f} ms")
    assert three < first, "only the first one waits for the file"
