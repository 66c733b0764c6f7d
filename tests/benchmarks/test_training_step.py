"""A training step against the same step in a bare PyTorch loop, as a ratio measured in one run.

    python -m pytest tests/benchmarks/test_training_step.py -o addopts="" -s

Both do forward, loss, backward, gradient clipping and AdamW, in the same precision and memory
order. Ours adds what the product needs: moving average, schedule, checks, and batches that are made
in threads while it computes; the bare loop gets one ready batch again and again.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from pipelines.core.device import autocast
from pipelines.core.training import Prefetcher, State, train_step
from pipelines.tasks.em_membrane.augment import Section
from pipelines.tasks.em_membrane.config import Config
from pipelines.tasks.em_membrane.model import build_model
from pipelines.tasks.em_membrane.train import BatchMaker, batch_loss, plan_of

pytestmark = pytest.mark.benchmark_only

CPU = torch.device("cpu")
OPTIONS = Config(max_steps=1000)
ROUNDS, STEPS = 6, 8


def _maker():
    rng = np.random.default_rng(0)
    image = rng.random((512, 512), dtype=np.float32)
    inside = cv2.GaussianBlur(image, (0, 0), 8) > 0.497
    return BatchMaker([Section.of(image, inside)], OPTIONS)


def _bare_steps(model, optimizer, batch, num_steps):
    start = time.perf_counter()
    for _ in range(num_steps):
        with autocast(CPU):
            loss = batch_loss(model, batch, OPTIONS)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return (time.perf_counter() - start) / num_steps


def _our_steps(state, batches, num_steps):
    start = time.perf_counter()
    for _ in range(num_steps):
        train_step(state, lambda m, b: batch_loss(m, b, OPTIONS), next(batches), rate=1e-3)
    return (time.perf_counter() - start) / num_steps


def _ready():
    model = build_model(OPTIONS).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    return model, optimizer, State.begin(build_model(OPTIONS), plan_of(OPTIONS), CPU)


@pytest.mark.parametrize("with_loading", [False, True])
def test_a_step_costs_at_most_a_twentieth_more_than_a_bare_loop(with_loading):
    """Rounds alternate, so that a busy machine slows both; the fastest round of each counts."""
    cv2.setNumThreads(1)
    maker = _maker()
    batch = maker.make(0)
    model, optimizer, state = _ready()
    make = maker.make if with_loading else lambda step: batch
    with Prefetcher(make, 0, 2) as batches:
        _bare_steps(model, optimizer, batch, 2), _our_steps(state, batches, 2)
        pairs = [
            (_bare_steps(model, optimizer, batch, STEPS), _our_steps(state, batches, STEPS))
            for _ in range(ROUNDS)
        ]
    bare, ours = (min(times) for times in zip(*pairs, strict=True))
    print(f"\nbare {bare * 1e3:.0f} ms, ours {ours * 1e3:.0f} ms, ratio {ours / bare:.3f}")  # noqa: T201 - the figure
    assert ours / bare <= 1.05


def test_batches_are_ready_before_they_are_asked_for():
    """A batch takes a fraction of a step to make, so two threads never let the network wait."""
    cv2.setNumThreads(1)
    maker = _maker()
    model, optimizer, _ = _ready()
    step_s = _bare_steps(model, optimizer, maker.make(0), 6)
    start = time.perf_counter()
    for step in range(6):
        maker.make(step)
    make_s = (time.perf_counter() - start) / 6
    print(f"\nbatch {make_s * 1e3:.0f} ms, step {step_s * 1e3:.0f} ms")  # noqa: T201 - the figure
    assert make_s < step_s
