"""Three planes through a volume on the page: which sections go to the browser, and the crosshair.

The crosshair belongs to the volume, not to a picture: planes, cloud and every step of the page that
show one volume share it. The browser steps alone between the sections that it has; each step tells
Python, which sends the next ones in that direction, so that a held key does not wait. A jump brings
three sections and nothing else; their neighbours follow once somebody rests there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import streamlit as st

from dashboard import canvas as cv
from dashboard.errors import fragment
from dashboard.palette import colour
from dashboard.words import language, say
from pipelines.text import Text
from pipelines.views import Spheres, VolumeView

Voxel = tuple[int, int, int]
Change = Literal["spheres", "page"] | None
_AHEAD, _BEHIND = 14, 2  # sections sent along the axis that moves
_AROUND = 2  # and along the others, or along all of them where somebody rests
_NEAR = 20  # a longer move is a jump, after which no direction is known
_PLANE_AXES: tuple[tuple[Any, Any], ...] = (("y", "x"), ("z", "x"), ("y", "z"))
_SPHERES = 1  # index of the layer over the pixels


def crosshair(place: str, shape: Sequence[int]) -> Voxel:
    """Return the voxel z, y, x at which the planes of a volume cut; the middle at first."""
    middle = tuple(n // 2 for n in shape)
    at = st.session_state.setdefault(_key(place), middle)
    z, y, x = (int(np.clip(v, 0, n - 1)) for v, n in zip(at, shape, strict=True))
    return z, y, x


def move_crosshair(place: str, at: Sequence[float]) -> None:
    """Let the planes of a volume cut at a voxel z, y, x; the next run of the script draws them."""
    st.session_state[_key(place)] = tuple(round(float(v)) for v in at)


def _key(place: str) -> str:
    return f"planes.{place}.at"


@fragment
def show_planes(
    view: VolumeView,
    key: str,
    *,
    is_editable: bool = False,
    selected: int | None = None,
    on_event: Callable[[cv.CanvasEvent], Change] | None = None,
) -> None:
    """Draw the planes; steps and clicks move the crosshair, and only the planes are drawn again.

    Args:
        view: The volume.
        key: Unique in the session.
        is_editable: Whether spheres can be dragged and deleted.
        selected: Index of the sphere that is set off.
        on_event: Told of clicks, drags and deletions instead of moving the crosshair; returns what
            else it changed, so that the whole page is drawn again.
    """
    changed: Change = st.session_state.pop(f"{key}.changed", None)
    if changed == "spheres":
        st.rerun()  # those that this part knows are out of date
    at = crosshair(view.place, view.shape)
    windows = _windows(key, at, view.shape)
    spheres = _spheres_layer(view.spheres, is_editable=is_editable)
    panes = [
        cv.Pane(
            [
                cv.ImageLayer(
                    {i: view.section(axis, i) for i in windows[axis]},
                    Text("pages.layer_image"),
                    window=view.window,
                ),
                *spheres,
            ],
            title=view.plane_titles[axis],
            axes=_PLANE_AXES[axis],
        )
        for axis in range(3)
    ]
    options = cv.Options(
        pixel_size=view.pixel_size,
        unit=view.unit if view.pixel_size else "px",  # type: ignore[arg-type] # units of views
        events=("click", "step", "near", *(("drag", "delete") if is_editable else ())),
        layout="orthogonal",
        at=at,
        volume_shape=view.shape,
        offset_vox=view.offset_vox,
        selected=None if selected is None or not spheres else (_SPHERES, selected),
    )
    cv.canvas(
        panes,
        key=key,
        alt=view.alt or view.title,
        language=language(),
        options=options,
        on_event=partial(_react, view, key, on_event),
    )
    if changed == "page":
        st.rerun()


def _react(
    view: VolumeView,
    key: str,
    on_event: Callable[[cv.CanvasEvent], Change] | None,
    event: cv.CanvasEvent,
) -> None:
    if event.kind == "near":
        st.session_state[f"{key}.rests"] = event.at
    elif event.kind == "step" and event.at is not None:
        move_crosshair(view.place, event.at)
    elif on_event is not None:
        st.session_state[f"{key}.changed"] = on_event(event)
    elif event.kind == "click" and event.at is not None:
        move_crosshair(view.place, place_in_volume(event, event.at))


def place_in_volume(event: cv.CanvasEvent, at: Sequence[float]) -> tuple[float, float, float]:
    """Return z, y, x in voxels of the place of an event; its depth is that of `at`."""
    place = dict(zip("zyx", at, strict=True))
    rows, columns = _PLANE_AXES[event.pane]
    is_drag = event.kind == "drag"
    place[rows] = event.end_y_px if is_drag else event.y_px
    place[columns] = event.end_x_px if is_drag else event.x_px
    return float(place["z"]), float(place["y"]), float(place["x"])


def _windows(key: str, at: Voxel, shape: Voxel) -> list[range]:
    """Choose the sections of each plane that go to the browser."""
    is_step, moved = _moved(key, at)
    around = _AROUND if is_step or st.session_state.get(f"{key}.rests") == at else 0
    windows = []
    for place, size, step in zip(at, shape, moved, strict=True):
        ahead, behind = (_AHEAD, _BEHIND) if is_step and step else (around, around)
        low, high = (behind, ahead) if step >= 0 else (ahead, behind)
        windows.append(range(max(0, place - low), min(size, place + high + 1)))
    return windows


def _moved(key: str, at: Voxel) -> tuple[bool, Voxel]:
    """Return how far the crosshair went since this picture was drawn last, and if by one plane."""
    last = st.session_state.get(f"{key}.last", at)
    moved: Voxel = st.session_state.get(f"{key}.moved", (0, 0, 0))
    if last != at:  # else drawn again for another reason: the direction stays
        z, y, x = (a - b for a, b in zip(at, last, strict=True))
        moved = (z, y, x)
    st.session_state[f"{key}.last"], st.session_state[f"{key}.moved"] = at, moved
    distances = [abs(step) for step in moved if step]
    return len(distances) == 1 and distances[0] <= _NEAR, moved


def _spheres_layer(spheres: Spheres | None, *, is_editable: bool) -> list[cv.SpheresLayer]:
    if spheres is None:
        return []
    looks = [
        cv.Look(colour(look.meaning), say(look.name), look.style, say(look.label))
        for look in spheres.palette
    ]
    return [
        cv.SpheresLayer(
            spheres.centres_vox, spheres.radii_vox, spheres.looks, looks, spheres.name,
            is_editable=is_editable,
        )
    ]  # fmt: skip
