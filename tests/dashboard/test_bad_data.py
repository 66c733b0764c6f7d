"""Each bad file opened on the Data step: one sentence in the visitor's language, the page stays."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest
from tifffile import imwrite

from pipelines.settings import Settings
from tests.core.test_images import tiff_header
from tests.dashboard.test_pages import open_path, settings  # noqa: F401 - a fixture

IMAGES = np.random.default_rng(5).integers(60, 200, (5, 32, 40)).astype(np.uint8)
LABELS = np.full((5, 32, 40), 255, np.uint8)
LABELS[:, :, ::10] = LABELS[:, ::10] = 0


def tiff(pixels: NDArray[np.generic], photometric: str = "minisblack") -> bytes:
    file = io.BytesIO()
    imwrite(file, pixels, photometric=photometric)
    return file.getvalue()


def pair(images: NDArray[np.generic], labels: NDArray[np.generic]) -> dict[str, bytes]:
    return {"train-volume.tif": tiff(images), "train-labels.tif": tiff(labels)}


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # two of one name
        for name in names:
            archive.writestr(name, tiff(IMAGES[0]))
    return file.getvalue()


def with_nan() -> NDArray[np.float32]:
    images = IMAGES.astype(np.float32)
    images[1, 2, 3] = np.nan
    return images


COLOUR = np.stack([IMAGES, IMAGES // 2, 255 - IMAGES], axis=-1)
BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "not a TIFF": ({"a.tif": b"these are notes"}, "n’est pas une image"),
    "truncated": ({"a.tif": tiff(IMAGES)[:3000]}, "incomplet"),
    "40 GB header": ({"a.tif": tiff_header(200_000, 200_000, strip_bytes=2**31)}, "incomplet"),
    "other length": (pair(IMAGES, LABELS[:3]), "3 coupes"),
    "other size": (pair(IMAGES, LABELS[:, :20]), "même taille"),
    "constant mask": (pair(IMAGES, LABELS * 0), "vaut 0 partout"),
    "NaN": (pair(with_nan(), LABELS), "NaN"),
    "colour": ({"a.tif": tiff(COLOUR, "rgb")}, "en couleurs"),
    "empty zip": ({"a.zip": zipped()}, "aucune image"),
    "zip that leads out": ({"a.zip": zipped("../evil.tif")}, "sort de son dossier"),
    "two of one name": ({"a.zip": zipped("b.tif", "b.tif")}, "plusieurs fois"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gives_one_sentence_and_the_page_stays(
    settings: Settings,  # noqa: F811 - the fixture
    name: str,
) -> None:
    files, sentence = BAD[name]
    folder = settings.home / "mine"
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)

    app = open_path(folder / next(iter(files)) if len(files) == 1 else folder, "fr")

    assert [e.message for e in app.exception] == []
    said = [str(box.value) for box in (*app.error, *app.warning)]
    assert [words for words in said if sentence in words], said
    assert not any("Traceback" in words or 'File "' in words for words in said)
    assert app.selectbox(key="choice.data").value is not None, "the sample can still be looked at"
    assert not (settings.home.parent / "evil.tif").exists()


def test_of_many_remarks_the_errors_stand_first_and_none_is_lost() -> None:
    """Forty boxes pushed the button below them several screens further down."""
    script = """
from dashboard.steps.data import _draw_findings
from pipelines.contract import Problem
from pipelines.text import verbatim
_draw_findings([], [Problem("warning", verbatim(f"remark {i}")) for i in range(9)]
               + [Problem("error", verbatim("what forbids its use"))])
"""
    app = AppTest.from_string(script).run()
    assert not app.exception
    assert [e.value for e in app.error] == ["what forbids its use"]
    assert [w.value for w in app.warning] == [f"remark {i}" for i in range(9)]
    first, *_ = (box for box in app.main.children[1].children.values())
    assert first.value == "what forbids its use"
