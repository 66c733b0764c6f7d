"""Points in a box that can be turned, drawn by deck.gl; a click moves the planes of the volume.

Plotly's 3D scatter returns no clicks and forgets its camera, so `st.pydeck_chart` with an
OrbitView draws it. Thousands of rows are written as JSON once, not at every run of the script.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import partial
from html import escape
from typing import Any

import numpy as np
import streamlit as st

from dashboard.palette import colour
from dashboard.planes import move_crosshair
from dashboard.words import language, number, say
from pipelines.views import CloudView

_LAYERS = ("picks", "small_picks")
_HEIGHT = 460
_POINT_SIZES = (9, 5)


def show_cloud(view: CloudView, key: str) -> None:
    """Draw the cloud; a click on a point moves the crosshair of its volume there."""
    import pydeck  # type: ignore[import-untyped]

    class Drawn(pydeck.Deck):  # type: ignore[misc] # an untyped base
        """A picture whose JSON was written before."""

        def to_json(self) -> str:
            return written

    _draw_legend(view)
    written = _deck_json(_stamp(view), _View(view))
    st.pydeck_chart(
        Drawn(map_provider=None), key=key, height=_HEIGHT, on_select=partial(_react, view, key),
        selection_mode="single-object",
    )  # fmt: skip


def _draw_legend(view: CloudView) -> None:
    """Name each colour, with the number of its points."""
    if not view.legend:
        return
    count = Counter(view.meanings)
    entries = "".join(
        f'<span><i style="background:{colour(meaning)}"></i>{escape(say(name))} '
        f"<small>{count[meaning]}</small></span>"
        for meaning, name in view.legend
    )
    st.html(f'<div class="cloud-legend">{entries}</div>')


def _react(view: CloudView, key: str) -> None:
    clicked = _clicked(st.session_state.get(key))
    if clicked is not None and view.places_vox is not None:
        move_crosshair(view.place, view.places_vox[clicked].tolist())


class _View:
    """Carry a view past the cache, which knows it by its stamp."""

    def __init__(self, view: CloudView) -> None:
        self.view = view


def _stamp(view: CloudView) -> str:
    digest = hashlib.blake2b(np.ascontiguousarray(view.points).tobytes(), digest_size=16)
    for column in (view.small, view.scores):
        digest.update(b"" if column is None else np.ascontiguousarray(column).tobytes())
    alike = {id(text): text for text in view.labels}  # thousands of points share few labels
    order = {name: number for number, name in enumerate(alike)}
    labels = [order[id(text)] for text in view.labels]
    words = [say(text) for text in alike.values()]
    digest.update(repr((view.meanings, view.box, labels, words, language())).encode())
    return digest.hexdigest()


@st.cache_data(show_spinner=False, max_entries=16)
def _deck_json(stamp: str, _held: _View) -> str:
    view = _held.view
    small = np.zeros(len(view.points), bool) if view.small is None else view.small
    layers = [
        _points(view, rows, name, size)
        for name, size, rows in zip(_LAYERS, _POINT_SIZES, (~small, small), strict=True)
        if rows.any()
    ]
    deck = {
        "initialViewState": _camera(view.box),
        "layers": [_box(view.box), *layers],
        "views": [{"@@type": "OrbitView", "controller": True}],
        "tooltip": {"text": "{what}\nz {z}, y {y}, x {x} Å{score}"},
        "mapProvider": None,
    }
    return json.dumps(deck, separators=(",", ":"))


def _points(view: CloudView, is_wanted: Any, name: str, size: int) -> dict[str, Any]:
    """Describe points: x to the right, y down and z towards the viewer, centred."""
    centre = np.array(view.box) / 2
    places = np.round((view.points - centre)[:, ::-1], 1).tolist()
    whole = np.rint(view.points).astype(int).tolist()
    said = {key: say(text) for key, text in {id(t): t for t in view.labels}.items()}
    tints = {meaning: _rgb(colour(meaning)) for meaning in set(view.meanings)}
    scores = _score_words(view)
    rows = [
        {
            "index": i,
            "place": places[i],
            "colour": tints[view.meanings[i]],
            "what": said[id(view.labels[i])],
            **dict(zip("zyx", whole[i], strict=True)),
            "score": scores[i],
        }
        for i in np.flatnonzero(is_wanted).tolist()
    ]
    return {
        "@@type": "PointCloudLayer",
        "id": name,
        "data": rows,
        "getPosition": "@@=place",
        "getColor": "@@=colour",
        "pointSize": size,
        "pickable": True,
        "autoHighlight": True,
        "material": {"ambient": 1, "diffuse": 0, "shininess": 1, "specularColor": [0, 0, 0]},
    }


def _score_words(view: CloudView) -> list[str]:
    if view.scores is None:
        return [""] * len(view.points)
    rounded = np.round(view.scores, 2).tolist()
    said = {score: f" · {number(score)}" for score in set(rounded)}
    return [said[score] for score in rounded]


def _box(box: tuple[float, float, float]) -> dict[str, Any]:
    return {
        "@@type": "LineLayer",
        "id": "box",
        "data": _box_edges(box),
        "getSourcePosition": "@@=start",
        "getTargetPosition": "@@=end",
        "getColor": [127, 127, 127],
        "getWidth": 1,
    }


def _box_edges(box: tuple[float, float, float]) -> list[dict[str, list[float]]]:
    z, y, x = (side / 2 for side in box)
    corners = [(a * x, b * y, c * z) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    return [
        {"start": list(p), "end": list(q)}
        for i, p in enumerate(corners)
        for q in corners[i + 1 :]
        if sum(a != b for a, b in zip(p, q, strict=True)) == 1
    ]


def _camera(box: tuple[float, float, float]) -> dict[str, Any]:
    """Look from above at an angle from which the whole box is seen."""
    zoom = float(np.log2(_HEIGHT / max(float(np.linalg.norm(box)), 1.0))) - 0.2
    return {
        "target": [0, 0, 0],
        "rotationX": 35,
        "rotationOrbit": 30,
        "zoom": zoom,
        "minZoom": -12,
        "maxZoom": 4,
    }


def _clicked(event: Any) -> int | None:  # Streamlit's selection has no public type
    selection = getattr(event, "selection", None) or {}
    for name in _LAYERS:
        if objects := selection.get("objects", {}).get(name, []):
            return int(objects[0]["index"])
    return None


def _rgb(hexadecimal: str) -> list[int]:
    return [int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5)]
