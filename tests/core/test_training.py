"""The loop: resuming, schedule, averaging, order of batches, and what happens when it fails."""

from __future__ import annotations

import errno
import math
import time

import pytest
import torch
from torch import nn

from pipelines.core import training
from pipelines.core.seeding import rng_at, torch_seeded
from pipelines.core.training import (
    Plan,
    Prefetcher,
    State,
    Work,
    average_weights,
    ema_decay,
    fit,
)
from pipelines.errors import (
    CheckpointError,
    CheckpointMismatchError,
    DeviceMemoryError,
    DiskFullError,
    NonFiniteLossError,
)

CPU = torch.device("cpu")


class Recorder:
    """Keep what is reported; wish to stop once a number of steps was asked about."""

    def __init__(self, wish=None, after=10**9):
        self.points, self.wish, self.after, self.asked = [], wish, after, 0
        self.stages = []

    def progress(self, done, total, stage, seconds_left):
        self.stages.append((done, total, seconds_left))

    def metrics(self, values):
        self.points.append(dict(values))

    def stop_wish(self):
        self.asked += 1
        return self.wish if self.asked > self.after else None


def make_model(width=4):
    with torch_seeded(0):
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv2d(width, width, 3, padding=1),  # its weight is channels-last in memory
            nn.ReLU(),
            nn.Conv2d(width, 1, 1),
        )


def make_batch(step):
    rng = rng_at(7, step)
    x = torch.from_numpy(rng.standard_normal((2, 1, 8, 8), dtype="float32"))
    return {"x": x, "y": x.roll(1, -1)}


def loss_of(model, batch):
    return ((model(batch["x"]).float() - batch["y"]) ** 2).mean()


def make_work(**changes):
    return Work(**{"model": make_model(), "make_batch": make_batch, "loss_of": loss_of, **changes})


def weights_of(model):
    return {n: t.clone() for n, t in model.state_dict().items()}


def test_a_paused_and_resumed_run_equals_an_uninterrupted_one(tmp_path):
    """Dropout, batch statistics, moments, average and batches all have to continue as they were.

    The moments once came back in another memory order than their channels-last weights, and the
    fused optimiser then mixed them up: the resumed run trained on, a little wrong.
    """
    plan = Plan(max_steps=20, warmup_steps=3)
    with torch_seeded(5):
        whole = fit(make_work(), plan, device=CPU, run=Recorder())
    file = tmp_path / "state.safetensors"
    with torch_seeded(5):
        first = fit(make_work(), plan, device=CPU, run=Recorder("pause", 8), state_file=file)
    torch.rand(100)  # whatever happens in between
    second = fit(make_work(), plan, device=CPU, run=Recorder(), state_file=file)
    assert (first.ending, first.steps) == ("pause", 8)
    assert (second.ending, second.steps) == ("finished", 20)
    for name, tensor in weights_of(whole.model).items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    assert second.elapsed_s > first.elapsed_s


def test_training_lowers_the_loss_and_returns_the_average_in_evaluation_mode():
    run = Recorder()
    plan = Plan(max_steps=150, learning_rate=1e-2, warmup_steps=5, report_every_s=0.0)
    outcome = fit(make_work(), plan, device=CPU, run=run)
    losses = [p["loss"] for p in run.points]
    assert losses[-1] < 0.7 * losses[0]
    assert not outcome.model.training
    assert loss_of(outcome.model, make_batch(10**6)).item() < 0.7 * losses[0]


def test_the_rate_rises_falls_and_reaches_zero_at_the_limit():
    plan = Plan(time_limit_s=100, learning_rate=1.0, warmup_steps=10)
    assert plan.rate(0, 0.0) == pytest.approx(0.1)
    assert plan.rate(50, 0.0) == 1.0
    assert plan.rate(50, 50.0) == pytest.approx(0.5)
    assert plan.rate(50, 100.0) == 0.0
    rates = [plan.rate(50, t) for t in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_the_warm_up_of_a_short_training_ends_after_a_fifth_of_it() -> None:
    """In 40 slow steps a warm-up of 50 never ended, and the network had hardly moved."""
    slow = Plan(time_limit_s=100, learning_rate=1.0, warmup_steps=50)
    rates = [slow.rate(step, 100 * step / 40) for step in range(41)]
    assert rates[0] == pytest.approx(1 / 50)
    assert rates.index(max(rates)) == 8
    assert rates[8] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.2)))
    few = Plan(max_steps=10, learning_rate=1.0, warmup_steps=50)
    rates = [few.rate(step, 0.0) for step in range(10)]
    assert rates.index(max(rates)) == 2
    long = Plan(max_steps=400, learning_rate=1.0, warmup_steps=50)
    assert long.rate(24, 0.0) == pytest.approx(0.5 * long.rate(0, 0.0) * 50, rel=0.02), "as before"


def test_the_rate_reaches_zero_early_by_what_is_reserved():
    assert Plan(time_limit_s=100, reserve_s=20).rate(50, 80.0) == 0.0


def test_whichever_limit_comes_first_counts():
    plan = Plan(time_limit_s=100, max_steps=10)
    assert plan.done_fraction(5, 10.0) == 0.5
    assert plan.done_fraction(1, 90.0) == 0.9
    assert Plan(max_steps=4).done_fraction(4, 1e9) == 1.0


def test_a_time_limit_holds_with_its_validation(monkeypatch):
    """The limit counts validations, the last one too, which is still to come when the loop ends."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def slow_loss(model, batch):
        clock[0] += 0.25
        return loss_of(model, batch)

    def validate(model, step):
        clock[0] += 2.0
        return {"v": 1.0}

    plan = Plan(time_limit_s=15.0, validate_every_s=5.0)
    work = make_work(loss_of=slow_loss, validate=validate)
    outcome = fit(work, plan, device=CPU, run=Recorder())
    assert outcome.elapsed_s == clock[0]
    assert 15.0 - 2 * 0.25 <= clock[0] <= 15.0 + 0.25, "at most one step beside it"


def test_validation_sees_the_average_and_is_reported():
    seen = []

    def validate(model, step):
        seen.append((model.training, step))
        return {"v_rand": 0.5}

    run = Recorder()
    fit(make_work(validate=validate), Plan(max_steps=5), device=CPU, run=run)
    assert seen == [(False, 1), (False, 5)]
    assert [p["v_rand"] for p in run.points if "v_rand" in p] == [0.5, 0.5]


def test_the_average_follows_its_closed_form():
    averaged, model = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    values, expected = [3.0, -1.0, 2.0, 5.0], 1.0
    nn.init.constant_(averaged.weight, expected)
    for value in values:
        nn.init.constant_(model.weight, value)
        average_weights(averaged, model, decay=0.9)
    closed = 0.9**4 + sum(0.1 * 0.9 ** (3 - i) * v for i, v in enumerate(values))
    assert averaged.weight.item() == pytest.approx(closed, rel=1e-6)


def test_counters_are_copied_and_statistics_averaged():
    averaged, model = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    model.num_batches_tracked += 7
    model.running_mean += 1.0
    average_weights(averaged, model, decay=0.75)
    assert averaged.num_batches_tracked.item() == 7
    assert averaged.running_mean.item() == 0.25


def test_the_decay_starts_low_and_stays_below_its_highest():
    assert ema_decay(1, 0.99) == pytest.approx(0.1)
    assert ema_decay(10**6, 0.99) == 0.99
    assert ema_decay(5, 0.0) == 0.0


def test_batches_come_in_order_whichever_thread_is_faster():
    def slow_even(step):
        time.sleep(0.01 if step % 2 == 0 else 0)
        return {"step": torch.tensor(step)}

    with Prefetcher(slow_even, 3, 4) as batches:
        assert [int(next(batches)["step"]) for _ in range(12)] == list(range(3, 15))


def test_an_error_in_a_loader_thread_reaches_the_loop():
    def broken(step):
        raise ZeroDivisionError("in a thread")

    with pytest.raises(ZeroDivisionError):
        fit(make_work(make_batch=broken), Plan(max_steps=2), device=CPU, run=Recorder())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_saved_state(tmp_path, bad):
    file = tmp_path / "state.safetensors"
    fit(make_work(), Plan(max_steps=3), device=CPU, run=Recorder(), state_file=file)
    before = file.read_bytes()

    def diverging(model, batch):
        return loss_of(model, batch) * bad

    with pytest.raises(NonFiniteLossError, match="learning rate"):
        fit(
            make_work(loss_of=diverging),
            Plan(max_steps=30, save_every_s=0.0),
            device=CPU,
            run=Recorder(),
            state_file=file,
        )
    assert file.read_bytes() == before


def test_running_out_of_memory_says_what_to_make_smaller():
    def greedy(model, batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate ...")

    with pytest.raises(DeviceMemoryError, match="fewer patches"):
        fit(make_work(loss_of=greedy), Plan(max_steps=2), device=CPU, run=Recorder())


def test_another_runtime_error_is_not_taken_for_memory():
    def wrong(model, batch):
        raise RuntimeError("sizes must match")

    with pytest.raises(RuntimeError, match="sizes must match"):
        fit(make_work(loss_of=wrong), Plan(max_steps=2), device=CPU, run=Recorder())


def test_a_full_disk_ends_with_a_clear_error_and_the_former_state_intact(tmp_path, monkeypatch):
    file = tmp_path / "state.safetensors"
    fit(make_work(), Plan(max_steps=3), device=CPU, run=Recorder(), state_file=file)
    before = file.read_bytes()

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipelines.core.files.os.fsync", no_space)
    with pytest.raises(DiskFullError):
        fit(make_work(), Plan(max_steps=6), device=CPU, run=Recorder(), state_file=file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_state_of_another_network_is_refused(tmp_path):
    file = tmp_path / "state.safetensors"
    State.begin(make_model(), Plan(max_steps=1), CPU).save(file, 1.0)
    with pytest.raises(CheckpointMismatchError, match="another network"):
        State.begin(make_model(width=5), Plan(max_steps=1), CPU, file)


@pytest.mark.parametrize("content", [b"", b"not a state", b"\x00" * 100])
def test_a_damaged_state_is_refused(tmp_path, content):
    file = tmp_path / "state.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError):
        State.begin(make_model(), Plan(max_steps=1), CPU, file)


def test_a_stop_wish_ends_after_the_step_and_is_named():
    outcome = fit(make_work(), Plan(max_steps=50), device=CPU, run=Recorder("stop", 2))
    assert (outcome.ending, outcome.steps) == ("stop", 2)


def test_progress_counts_to_the_end():
    run = Recorder()
    fit(make_work(), Plan(max_steps=12, report_every_s=0.0), device=CPU, run=run)
    done, total, left = run.stages[-1]
    assert done == total == 12
    assert left == pytest.approx(0.0, abs=1e-6)


def test_the_time_left_is_told_once_steps_are_measured_without_start_and_validation(monkeypatch):
    """Four hours and a half were announced for a few minutes.

    The first step waits for data and caches, and validation comes after it: both were taken for
    the speed of a step.
    """
    now = [0.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])

    def slow_loss(model, batch):
        now[0] += 0.1 if now[0] else 30.0
        return loss_of(model, batch)

    def validate(model, step):
        now[0] += 20.0
        return {"score": 0.5}

    run = Recorder()
    plan = Plan(max_steps=100, report_every_s=0.0, validate_every_s=1000.0)
    fit(make_work(loss_of=slow_loss, validate=validate), plan, device=CPU, run=run)
    told = [(done, left) for done, _, left in run.stages if left is not None]
    assert told[0][0] > 1, "nothing is told of the first step"
    for done, left in told:
        assert left == pytest.approx((100 - done) * 0.1 + 20.0, rel=0.1)


def test_a_time_limit_is_the_time_left_from_the_first_step_on():
    run = Recorder()
    plan = Plan(time_limit_s=0.5, reserve_s=0.1, report_every_s=0.0)
    fit(make_work(), plan, device=CPU, run=run)
    lefts = [left for *_, left in run.stages]
    assert lefts[0] <= 0.4
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[-1] == pytest.approx(0.0, abs=0.1)


def test_seeding_a_block_leaves_the_global_state_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with torch_seeded(99):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(inside, expected)


def test_generators_of_different_places_differ_and_repeat():
    assert rng_at(1, 2, 3).random() == rng_at(1, 2, 3).random()
    assert len({rng_at(1, 2).random(), rng_at(2, 1).random(), rng_at(1, 3).random()}) == 3


def test_weights_of_a_task_are_not_changed_by_reading_the_clock():
    """With a step limit alone nothing depends on time: two runs of one seed are equal."""
    results = []
    for _ in range(2):
        with torch_seeded(3):
            results.append(fit(make_work(), Plan(max_steps=6), device=CPU, run=Recorder()))
    for a, b in zip(
        results[0].model.state_dict().values(), results[1].model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    assert training.Plan().done_fraction(10**6, 10**6) == 0.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_in_mixed_precision_and_its_state_resumes(tmp_path):
    device, file = torch.device("cuda"), tmp_path / "state.safetensors"
    plan = Plan(max_steps=60, learning_rate=1e-2, warmup_steps=5, report_every_s=0.0)
    run = Recorder("pause", 30)
    first = fit(make_work(), plan, device=device, run=run, state_file=file)
    second = fit(make_work(), plan, device=device, run=run, state_file=file)
    assert (first.steps, second.steps) == (30, 30)  # it still wishes to pause
    final = fit(make_work(), plan, device=device, run=Recorder(), state_file=file)
    assert final.steps == 60
    assert [p["loss"] for p in run.points][-1] < run.points[0]["loss"]
