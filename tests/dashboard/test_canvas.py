"""The canvas on the Python side: what travels, what is refused, what comes back."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.canvas import (
    CanvasEvent,
    CompareLayer,
    ImageLayer,
    LabelsLayer,
    LinesLayer,
    MaskLayer,
    Options,
    Pane,
    PointsLayer,
    ScalarLayer,
    ThresholdLayer,
)
from dashboard.canvas.component import _WORDS, _event, _script
from dashboard.canvas.packing import Packer, pack
from pipelines.errors import DataFormatError
from pipelines.text import Text, render, verbatim

NAME = verbatim("layer")
GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


class Shelf:
    """Keep what a packer stores, by address."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def __call__(self, data: bytes, content_id: str, place: str) -> str:
        self.stored[f"/media/{content_id}"] = data
        return f"/media/{content_id}"


def packed(*layers, options: Options | None = None):
    shelf = Shelf()
    tree = pack([Pane(layers)], options or Options(), Packer(shelf, "en"))
    json.dumps(tree)  # whatever is packed must travel as JSON
    return tree["panes"][0]["layers"], shelf


def read_back(pixels, shelf: Shelf) -> np.ndarray:
    types = {"u1": "<u1", "u2": "<u2", "i4": "<i4", "f4": "<f4"}
    data = shelf.stored[pixels["urls"][0]]
    return np.frombuffer(data, types[pixels["type"]]).reshape(pixels["shape"])


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (GREY, "u1"),
        (GREY.astype(np.uint16) * 5000, "u2"),
        (GREY.astype(np.float32) * 1e-7, "f4"),
        (GREY.astype(">f4"), "f4"),
        (GREY.astype(np.float64), "f4"),
        (GREY.astype(np.int16) - 5, "f4"),
        (GREY.T[::-1].astype(np.uint16).T, "u2"),
        (np.stack([GREY] * 3, axis=-1), "u1"),
    ],
)
def test_pixels_arrive_with_the_values_that_were_given(array, kind) -> None:
    (layer,), shelf = packed(ImageLayer(array, NAME))
    assert layer["pixels"]["type"] == kind
    np.testing.assert_array_equal(read_back(layer["pixels"], shelf), array)


def test_equal_pixels_are_stored_once_and_others_apart() -> None:
    changed = GREY.copy()
    changed[1, 1] += 1
    layers, shelf = packed(
        ImageLayer(GREY, NAME), ImageLayer(GREY.copy(), NAME), ImageLayer(changed, NAME)
    )
    first, second, third = (layer["pixels"]["urls"] for layer in layers)
    assert first == second != third
    assert len(shelf.stored) == 2


def test_a_new_threshold_changes_a_number_and_no_pixels() -> None:
    probability = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    (low,), shelf_low = packed(ThresholdLayer(probability, 0.2, NAME))
    (high,), shelf_high = packed(ThresholdLayer(probability, 0.8, NAME))
    assert (low.pop("threshold"), high.pop("threshold")) == (0.2, 0.8)
    assert low == high
    assert shelf_low.stored == shelf_high.stored


def test_masks_travel_as_zero_and_one_and_labels_as_ids() -> None:
    mask, labels = GREY.astype(np.int64) % 2 * 255, GREY.astype(np.int64) * 1000
    (image, tinted, cells), shelf = packed(
        ImageLayer(GREY, NAME), MaskLayer(mask, NAME), LabelsLayer(labels, NAME)
    )
    np.testing.assert_array_equal(read_back(tinted["pixels"], shelf), GREY % 2)
    np.testing.assert_array_equal(read_back(cells["pixels"], shelf), labels)
    assert image["kind"] == "image"


def test_every_layer_is_described_as_json() -> None:
    probability = np.full((3, 4), 0.5, np.float32)
    layers, _ = packed(
        ImageLayer(GREY, NAME, window=(2, 9)),
        ScalarLayer(probability, NAME, low=0.0),
        CompareLayer(probability, GREY > 3, 0.5, NAME),
        PointsLayer(np.array([[1.0, 2.0]]), NAME, colours=["#fff"], styles=["cross"]),
        LinesLayer([np.array([[0.0, 0.0], [2.0, 3.0]])], NAME),
    )
    assert [layer["kind"] for layer in layers] == ["image", "scalar", "compare", "points", "lines"]
    assert layers[0]["window"] == [2.0, 9.0]
    assert layers[3]["centres"] == [[[1.0, 2.0]]]
    assert layers[4]["lines"] == [[[0.0, 0.0], [2.0, 3.0]]]


def test_no_points_are_no_error() -> None:
    layers, _ = packed(ImageLayer(GREY, NAME), PointsLayer(np.empty((0, 2)), NAME))
    assert layers[1]["centres"] == [[]]


def test_a_stack_gives_one_address_a_section() -> None:
    stack = [GREY, GREY + 1, GREY + 2]
    options = Options(section_index=1, section_count=3)
    (layer,), shelf = packed(ImageLayer(stack, NAME), options=options)
    assert len(layer["pixels"]["urls"]) == len(shelf.stored) == 3


REFUSED = {
    "canvas.error_layer_sizes": lambda: packed(
        ImageLayer(GREY, NAME), MaskLayer(GREY[:2] > 0, NAME)
    ),
    "canvas.error_opacity": lambda: packed(ImageLayer(GREY, NAME, opacity=1.5)),
    "canvas.error_threshold": lambda: packed(ThresholdLayer(GREY, -0.1, NAME)),
    "canvas.error_shape": lambda: packed(ImageLayer(np.zeros((2, 3, 4, 5), np.uint8), NAME)),
    "canvas.error_type": lambda: packed(MaskLayer(GREY.astype(np.float32), NAME)),
    "canvas.error_empty": lambda: packed(ImageLayer(np.zeros((0, 4), np.uint8), NAME)),
    "canvas.error_points": lambda: packed(
        ImageLayer(GREY, NAME), PointsLayer(np.array([[1.0, np.nan]]), NAME)
    ),
    "canvas.error_points_fields": lambda: packed(
        ImageLayer(GREY, NAME), PointsLayer(np.zeros((3, 2)), NAME, styles=["full"])
    ),
    "canvas.error_frames_differ": lambda: packed(
        ImageLayer([GREY, GREY[:2]], NAME), options=Options(section_index=0, section_count=2)
    ),
    "canvas.error_stacks": lambda: packed(
        ImageLayer([GREY, GREY], NAME), options=Options(section_index=0, section_count=3)
    ),
    "canvas.error_pixel_size": lambda: packed(
        ImageLayer(GREY, NAME), options=Options(pixel_size=0.0)
    ),
    "canvas.error_section": lambda: packed(
        ImageLayer(GREY, NAME), options=Options(section_index=4, section_count=4)
    ),
    "canvas.error_panes": lambda: pack([], Options(), Packer(Shelf(), "en")),
}


@pytest.mark.parametrize("text_id", REFUSED)
def test_what_cannot_be_shown_is_refused_in_both_languages(text_id: str) -> None:
    with pytest.raises(DataFormatError) as refused:
        REFUSED[text_id]()
    assert refused.value.text.id == text_id
    english, french = (render(refused.value.text, language) for language in ("en", "fr"))
    assert english != french
    assert "{" not in english + french


def test_labels_that_do_not_fit_32_bits_are_refused() -> None:
    with pytest.raises(DataFormatError):
        packed(LabelsLayer(np.array([[2**31]], np.int64), NAME))


@pytest.mark.parametrize("word", _WORDS)
def test_every_word_of_the_tools_is_in_both_catalogues(word: str) -> None:
    for language in ("en", "fr"):
        assert render(Text(f"canvas.{word}"), language) != f"canvas.{word}"


def test_the_words_that_the_browser_asks_for_are_sent() -> None:
    import re

    asked = set(re.findall(r"\bwords\.(\w+)", _script()))
    assert asked <= {*_WORDS, "section", "axis"}


def test_an_event_comes_back_with_its_pixel() -> None:
    event = _event({"kind": "click", "pane": 1, "y_px": 56.6, "x_px": -0.4, "modifiers": ["shift"]})
    assert event == CanvasEvent("click", pane=1, y_px=56.6, x_px=-0.4, modifiers=("shift",))
    assert event.pixel == (57, 0)


def test_an_event_without_a_place_has_no_pixel() -> None:
    """A step has no place; asking for its pixel once broke the page."""
    assert CanvasEvent("step", section_index=3).pixel is None


@pytest.mark.parametrize("found", [None, 3, "click", []])
def test_what_is_no_event_is_none(found: object) -> None:
    assert _event(found) is None


def test_the_canvas_is_drawn_by_a_script_and_keeps_its_pixels_where_they_are_served() -> None:
    app = AppTest.from_string(SCRIPT, default_timeout=90).run()
    assert not app.exception
    assert app.session_state["address"].startswith("/mock/media/")
    assert app.session_state["event"] is None


def test_files_above_one_mebibyte_are_told_apart_by_all_their_bytes() -> None:
    """Streamlit names a large file after a sample; two maps that differ elsewhere were one."""
    app = AppTest.from_string(LARGE_SCRIPT, default_timeout=90).run()
    assert not app.exception
    assert app.session_state["first"] != app.session_state["second"]


SCRIPT = """
import numpy as np
import streamlit as st
from dashboard.canvas import ImageLayer, Pane, canvas
from dashboard.canvas.component import _store
from pipelines.text import verbatim

st.session_state["event"] = canvas(
    [Pane([ImageLayer(np.zeros((8, 8), np.uint8), verbatim("a"))])],
    key="shown", alt=verbatim("nothing"), language="fr",
)
st.session_state["address"] = _store("shown")(b"1234", "content", "0.0")
"""

LARGE_SCRIPT = """
import hashlib
import numpy as np
import streamlit as st
from dashboard.canvas.component import _store
from dashboard.canvas.layers import ImageLayer, Options, Pane
from dashboard.canvas.packing import Packer, pack
from pipelines.text import verbatim

def address(array):
    tree = pack([Pane([ImageLayer(array, verbatim("a"))])], Options(), Packer(_store("k"), "en"))
    return tree["panes"][0]["layers"][0]["pixels"]["urls"][0]

large = np.zeros((1200, 1200), np.uint8)
st.session_state["first"] = address(large)
large[300, 17] = 1
st.session_state["second"] = address(large)
"""


def test_a_picture_is_drawn_without_pandas() -> None:
    """Streamlit looked for tables in a component's data; pandas took half of the first picture."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nfrom streamlit.testing.v1 import AppTest\n"
            f"app = AppTest.from_string({SCRIPT!r}, default_timeout=90).run()\n"
            "assert not app.exception\n"
            "print(len(app.get('bidi_component')), 'pandas' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == ["1", "False"]
