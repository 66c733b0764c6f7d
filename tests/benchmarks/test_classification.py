"""Ratios that the classification tasks promise, measured in one run; not part of the default suite.

python -m pytest -o addopts= tests/benchmarks/test_classification.py -s
"""

import io
import threading
import time
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipelines.core.classification import images
from pipelines.core.classification.images import PictureReader, decode_all, open_source
from pipelines.core.device import num_usable_cores
from pipelines.tasks.blood_cells.fake import make_cells
from pipelines.tasks.histo_patches import fake

pytestmark = pytest.mark.benchmark_only
NUM_PICTURES = 1500
NUM_CELLS = 200


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Write generated patches into a zip as Kaggle packs them."""
    path = tmp_path_factory.mktemp("zip") / "patches.zip"
    pictures, _ = fake.make_patches(60, np.random.default_rng(0))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(NUM_PICTURES):
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, pictures[i % 60], photometric="rgb")
            file.writestr(f"train/{i:040x}.tif", buffer.getvalue() + i.to_bytes(4, "little"))
    return path


def _bare(path) -> float:
    start = time.process_time()
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            tifffile.imread(io.BytesIO(file.read(name)))
    return NUM_PICTURES / (time.process_time() - start)


def _bare_cells(path) -> float:
    start = time.process_time()
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        for name in names:
            np.asarray(Image.open(io.BytesIO(file.read(name))))
    return len(names) / (time.process_time() - start)


def _ours(path) -> float:
    source = open_source(path)
    reader = PictureReader(source.path)
    start = time.process_time()
    found = sum(isinstance(p, np.ndarray) for p in decode_all(reader, source.entries))
    assert found == len(source.entries)
    return found / (time.process_time() - start)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Write generated cells of the size of C-NMC's as bitmaps, which hardly pack."""
    path = tmp_path_factory.mktemp("zip") / "cells.zip"
    made = make_cells(20, 5, np.random.default_rng(0))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(NUM_CELLS):
            buffer = io.BytesIO()
            Image.fromarray(made[i % 20].pixels).resize((450, 450)).save(buffer, "BMP")
            file.writestr(f"all/{i}.bmp", buffer.getvalue())
    return path


@pytest.mark.parametrize(("kind", "bare_loop"), [("archive", _bare), ("cells", _bare_cells)])
def test_decoding_is_at_least_as_fast_a_core_as_a_bare_loop(request, kind, bare_loop):
    """CPU time of all threads, in turns: other work on the machine slows both alike."""
    path = request.getfixturevalue(kind)
    rounds = [(bare_loop(path), _ours(path)) for _ in range(6)]
    bare, ours = (max(found) for found in zip(*rounds, strict=True))
    words = f"{kind}: bare loop {bare:.0f}, ours {ours:.0f} a core second, {ours / bare:.2f}"
    print(words)  # noqa: T201 - a benchmark reports
    assert ours >= bare


def test_every_usable_core_decodes(cells):
    source = open_source(cells)
    reader = PictureReader(source.path)
    seen: set[str] = set()

    def watch(entry):
        seen.add(threading.current_thread().name)
        return images.PictureReader.read(reader, entry)

    reader.read = watch  # type: ignore[method-assign] # to see who reads
    assert all(isinstance(p, np.ndarray) for p in decode_all(reader, source.entries))
    print(f"{len(seen)} threads decoded on {num_usable_cores()} cores")  # noqa: T201
    assert len(seen) == num_usable_cores()


def test_a_training_step_costs_what_the_bare_loop_costs():
    """The loop with its average, clipping and reports against forward, backward and step alone."""
    import torch

    from pipelines.core import training as loop
    from pipelines.core.classification.networks import SymmetricNet
    from pipelines.core.classification.training import soft_cross_entropy

    torch.manual_seed(0)
    batch = {"x": torch.randn(32, 3, 96, 96), "y": torch.eye(2)[torch.arange(32) % 2]}
    device = torch.device("cpu")
    plan = loop.Plan(max_steps=100)
    state = loop.State.begin(SymmetricNet(2), plan, device)
    bare = loop.State.begin(SymmetricNet(2), plan, device)

    def loss_of(model, b):
        return soft_cross_entropy(model(b["x"]), b["y"], None)

    def bare_step():
        with loop.autocast(device):
            loss = loss_of(bare.model, batch)
        bare.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        bare.optimizer.step()

    def our_step():
        loop.train_step(state, loss_of, batch, rate=1e-3)

    times = {bare_step: [], our_step: []}
    for _ in range(12):
        for step, taken in times.items():
            start = time.process_time()
            step()
            taken.append(time.process_time() - start)
    ratio = min(times[our_step][2:]) / min(times[bare_step][2:])
    print(f"a step costs {ratio:.3f} of the bare one")  # noqa: T201 - a benchmark reports
    assert ratio <= 1.05
