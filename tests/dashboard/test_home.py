"""The strips of pictures on the home page are those of the built-in samples."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pipelines import registry
from pipelines.jobs import warm
from pipelines.settings import REPOSITORY, load_settings
from pipelines.text import LANGUAGES, Language, Text, render
from tests import covers

MOST_BYTES = 40_000  # all of them come with the page
HOME = "from dashboard.pages.home import show\nshow()"
SLOW_SAMPLES = ("blood_cells", "cryoet_picking", "histo_patches")


def without_grain(strip: Image.Image) -> np.ndarray:
    """Average blocks of 4 pixels on white: WebP leaves out what is finer."""
    page = Image.new("RGBA", strip.size, "white")
    page.alpha_composite(strip.convert("RGBA"))
    return np.asarray(page.convert("RGB").reduce(4)).astype(float)


@pytest.mark.parametrize("task_id", registry.task_ids())
def test_each_task_has_a_small_strip_of_pictures(task_id: str) -> None:
    with Image.open(registry.cover_of(task_id)) as strip:
        assert strip.size == (covers.WIDTH_PX, covers.SIDE_PX)
        assert strip.mode == "RGBA"
    assert registry.cover_of(task_id).stat().st_size < MOST_BYTES


@pytest.mark.parametrize(
    "task_id",
    [pytest.param(t, marks=[pytest.mark.slow] * (t in SLOW_SAMPLES)) for t in registry.task_ids()],
)
def test_the_strip_shows_the_built_in_sample(
    task_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a changed generator fails this, `python -m tests.covers` draws the strips anew."""
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    drawn = covers.draw_cover(task_id, load_settings())
    with Image.open(registry.cover_of(task_id)) as kept:
        gap = np.abs(without_grain(kept) - without_grain(drawn))
    assert gap.mean() < 3  # of 255


@pytest.mark.parametrize("language", LANGUAGES)
def test_home_shows_them_and_says_that_they_are_generated(
    language: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    monkeypatch.setattr(warm, "prewarm", lambda *_: None)
    app = AppTest.from_string(f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n{HOME}")
    app.query_params["lang"] = language
    app.run(timeout=60)
    assert not app.exception
    pictures = [e.proto.body for e in app.get("html") if "data:image/webp" in e.proto.body]
    assert len(pictures) == len(registry.task_ids())
    alt = render(Text("home.cover"), language)
    assert all(re.search(f'alt="{alt}"', body) for body in pictures)
    assert any(render(Text("home.generated"), language) in c.value for c in app.caption)
