"""Points in a box that can be turned, drawn by deck.gl; a click names a point.

Plotly's 3D scatter returns no clicks and forgets its camera, so `st.pydeck_chart` with an
OrbitView draws it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from dashboard.palette import colour
from dashboard.words import say
from pipelines.views import CloudView

_LAYER = "picks"
_HEIGHT = 460


def show_cloud(view: CloudView, key: str) -> int | None:
    """Draw the cloud; return the index of the point that was clicked, or None."""
    import pydeck  # type: ignore[import-untyped]

    rows = _rows(view)
    points = pydeck.Layer(
        "PointCloudLayer",
        rows,
        id=_LAYER,
        get_position="place",
        get_color="colour",
        point_size=9,
        pickable=True,
        auto_highlight=True,
        material=False,
    )
    box = pydeck.Layer(
        "LineLayer", _box_edges(view.box), get_source_position="start", get_target_position="end",
        get_color=[127, 127, 127], get_width=1,
    )  # fmt: skip
    deck = pydeck.Deck(
        [box, points],
        initial_view_state=_camera(view.box),
        views=[pydeck.View(type="OrbitView", controller=True)],
        map_provider=None,
        tooltip={"text": "{label}"},
    )
    event = st.pydeck_chart(
        deck, key=key, height=_HEIGHT, on_select="rerun", selection_mode="single-object"
    )
    return _clicked(event)


def _rows(view: CloudView) -> list[dict[str, Any]]:
    """Turn points into rows: x to the right, y down and z towards the viewer, centred."""
    centre = np.array(view.box) / 2
    places = (view.points - centre)[:, ::-1] if len(view.points) else np.zeros((0, 3))
    return [
        {
            "index": index,
            "place": [float(v) for v in place],
            "colour": _rgb(colour(meaning)),
            "label": say(label),
        }
        for index, (place, meaning, label) in enumerate(
            zip(places, view.meanings, view.labels, strict=True)
        )
    ]


def _box_edges(box: tuple[float, float, float]) -> list[dict[str, list[float]]]:
    z, y, x = (side / 2 for side in box)
    corners = [(a * x, b * y, c * z) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    return [
        {"start": list(p), "end": list(q)}
        for i, p in enumerate(corners)
        for q in corners[i + 1 :]
        if sum(a != b for a, b in zip(p, q, strict=True)) == 1
    ]


def _camera(box: tuple[float, float, float]) -> Any:  # pydeck.ViewState
    import pydeck

    zoom = float(np.log2(_HEIGHT / max(*box, 1.0))) - 0.3
    return pydeck.ViewState(
        target=[0, 0, 0], rotation_x=35, rotation_orbit=30, zoom=zoom, min_zoom=-12, max_zoom=4
    )


def _clicked(event: Any) -> int | None:  # Streamlit's selection state has no public type
    selection = getattr(event, "selection", None) or {}
    objects = selection.get("objects", {}).get(_LAYER, [])
    return int(objects[0]["index"]) if objects else None


def _rgb(hexadecimal: str) -> list[int]:
    return [int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5)]
