"""Prediction of a 30 x 512 x 512 stack against MONAI's sliding window: time and memory, as ratios.

    python -m pytest -o addopts="" tests/benchmarks/test_inference.py -s

Both run the same network with the same tile and overlap, in turns in one process, so that a busy
machine slows both. The fastest of the rounds counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.core.device import autocast, cpu_has_bf16
from pipelines.core.inference import TiledInference, predict_images
from pipelines.core.tiling import Tiling

pytestmark = pytest.mark.benchmark_only

CPU = torch.device("cpu")
SECTIONS, SIDE_PX, TILE_PX, OVERLAP, ROUNDS = 30, 512, 256, 0.25, 3


class PlainUNet(nn.Module):
    """The classic layout: two 3 x 3 convolutions a level, four levels down."""

    def __init__(self, channels: int = 16, levels: int = 4) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(
            self._block(a, b) for a, b in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[:-1])
        self.merge = nn.ModuleList(self._block(2 * w, w) for w in widths[:-1])
        self.head = nn.Conv2d(channels, 2, 1)

    @staticmethod
    def _block(a: int, b: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in (a, b):
            layers += [nn.Conv2d(width, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.merge[level](torch.cat([skips[level], self.up[level](x)], 1))
        return self.head(x)


def _stack() -> np.ndarray:
    return np.random.default_rng(0).random((SECTIONS, 1, SIDE_PX, SIDE_PX), np.float32)


def _ours(model: nn.Module, stack: np.ndarray, precision: str) -> None:
    options = TiledInference(Tiling((TILE_PX, TILE_PX), OVERLAP), precision=precision)
    for _ in predict_images(model, stack, options, device=CPU):
        pass


def _monai(
    model: nn.Module, stack: np.ndarray, precision: str, layout: torch.memory_format
) -> None:
    from monai.inferers import sliding_window_inference

    model = model.to(memory_format=layout)

    def predict(tiles: torch.Tensor) -> torch.Tensor:
        with autocast(CPU, precision):
            return model(tiles.contiguous(memory_format=layout)).float().softmax(1)

    with torch.inference_mode():
        for section in stack:
            sliding_window_inference(
                torch.from_numpy(section)[None], (TILE_PX, TILE_PX), 4, predict, OVERLAP,
                mode="gaussian",
            )  # fmt: skip


def _fastest(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


@pytest.mark.parametrize("precision", ["full", "auto"])
def test_a_stack_is_predicted_at_least_as_fast_as_by_monai(benchmark, precision: str) -> None:
    pytest.importorskip("monai")
    if precision == "auto" and not cpu_has_bf16():
        pytest.skip("this CPU has no bfloat16 units")
    model, stack = PlainUNet().eval(), _stack()
    plain, last = torch.contiguous_format, torch.channels_last
    ways = {
        "ours": lambda: _ours(model, stack, precision),
        "monai": lambda: _monai(model, stack, precision, plain),
        "monai_channels_last": lambda: _monai(model, stack, precision, last),
    }
    seconds = benchmark.pedantic(_fastest, args=(ways,), rounds=1, warmup_rounds=0)
    ratios = {name: seconds["ours"] / value for name, value in seconds.items()}
    benchmark.extra_info.update(seconds=seconds, ratios=ratios)
    print(  # noqa: T201 - the figures are what the run is for
        precision, {n: f"{s:.2f} s" for n, s in seconds.items()}, ratios
    )
    assert ratios["monai"] <= 1
    assert ratios["monai_channels_last"] <= 1


_MEASURE_MEMORY = """
import resource, sys, threading, time
import numpy as np, torch
from pathlib import Path
from tests.benchmarks.test_inference import PlainUNet, CPU
from pipelines.core.inference import TiledInference, predict_images
from pipelines.core.tiling import Tiling

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

model = PlainUNet(channels=int(sys.argv[1])).eval()
stack = np.random.default_rng(0).random((30, 1, 512, 512), np.float32)
with torch.inference_mode():
    model(torch.zeros(1, 1, 32, 32))  # libraries loaded
before = highest = resident()
is_over = threading.Event()

def watch():
    global highest
    while not is_over.is_set():
        highest = max(highest, resident())
        time.sleep(0.005)

watcher = threading.Thread(target=watch)
watcher.start()
options = TiledInference(Tiling((512, 512)), precision=sys.argv[2])
kept = [s.astype(np.float16) for s in predict_images(model, stack, options, device=CPU)]
is_over.set()
watcher.join()
print(highest - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("channels", "precision"), [(16, "auto"), (64, "auto"), (64, "full")])
def test_a_stack_is_predicted_within_one_and_a_half_gigabytes(channels, precision) -> None:
    command = [sys.executable, "-c", _MEASURE_MEMORY, str(channels), precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    extra_bytes = int(done.stdout)
    print(  # noqa: T201 - the figures are what the run is for
        channels, precision, f"{extra_bytes / 1e9:.2f} GB"
    )
    assert extra_bytes < 1.5e9
