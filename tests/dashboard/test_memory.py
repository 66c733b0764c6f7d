"""What never becomes garbage is not looked through after each rerun."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.settings import REPOSITORY

SCRIPT = """
import gc, time
import streamlit, plotly.graph_objects, pandas
from dashboard.memory import freeze_modules

def collection_s() -> float:
    start = time.perf_counter()
    gc.collect()
    return time.perf_counter() - start

gc.collect()
before = min(collection_s() for _ in range(3))
freeze_modules()
after = min(collection_s() for _ in range(3))
frozen = gc.get_freeze_count()
freeze_modules()
assert gc.get_freeze_count() == frozen, "nothing was loaded since"
class Ring: pass
ring = Ring(); ring.itself = ring
import weakref
alive = weakref.ref(ring)
del ring
gc.collect()
assert alive() is None, "what comes later is collected as ever"
print(before / after)
"""


@pytest.fixture(scope="module")
def times_faster() -> float:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_frozen_modules_make_a_collection_several_times_shorter(times_faster: float) -> None:
    assert times_faster > 3
