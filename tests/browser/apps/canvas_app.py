"""A page for the browser tests of the canvas: `?case=...` chooses what it shows."""

import sys
from pathlib import Path

import numpy as np
import streamlit as st
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[3]))

from dashboard.canvas import (
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
    canvas,
)
from pipelines.text import verbatim

SECTIONS = 12
ALT = verbatim("Synthetic cells")


@st.cache_data
def stack(side: int = 512) -> dict[str, np.ndarray]:
    """Make cells that drift from section to section, with what a model might say of them."""
    rng = np.random.default_rng(7)
    seeds = rng.uniform(0, side, (90, 2))
    drift = rng.normal(0, 4, (90, 2))
    yy, xx = np.mgrid[:side, :side]
    warp = [ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 14) * 220 for _ in "yx"]
    images, labels, probabilities = [], [], []
    for z in range(SECTIONS):
        places = np.stack([yy + warp[0], xx + warp[1]], -1).reshape(-1, 2)
        from scipy.spatial import cKDTree

        distance, nearest = cKDTree(seeds + z * drift).query(places, k=2)
        gap = (distance[:, 1] - distance[:, 0]).reshape(side, side)
        ids = nearest[:, 0].reshape(side, side) + 1
        inside = 1 / (1 + np.exp(-(gap - 5) / 1.5))
        texture = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 1.2) * 55
        image = 60 + 120 * inside + texture
        wrong = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 6) * 2.2
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        labels.append(np.where(gap > 5, ids, 0).astype(np.int32))
        probabilities.append(np.clip(inside + wrong * 0.35, 0, 1).astype(np.float32))
    return {
        "image": np.stack(images),
        "labels": np.stack(labels),
        "probability": np.stack(probabilities),
    }


def go_to(event) -> None:
    if event.kind == "step":
        st.session_state["section"] = event.section_index
    if event.kind == "threshold":
        st.session_state["threshold"] = event.threshold


def report(event) -> None:
    if event is not None:
        st.session_state["events"] = [*st.session_state.get("events", []), event]
    with st.container(key="report"):
        for found in st.session_state.get("events", [])[-1:]:
            st.code(
                f"{found.kind} pane={found.pane} pixel={found.pixel} "
                f"y={found.y_px:.2f} x={found.x_px:.2f} "
                f"end={found.end_y_px:.2f},{found.end_x_px:.2f} "
                f"button={found.button} mods={found.modifiers} layer={found.layer} "
                f"point={found.point_index} section={found.section_index} t={found.threshold}",
                language=None,
            )
        st.caption(f"events: {len(st.session_state.get('events', []))}")


def options(**more) -> Options:
    return Options(pixel_size=4.0, unit="nm", **more)


@st.fragment
def case_viewer(data, language) -> None:
    section = st.slider("Section", 0, SECTIONS - 1, key="section")
    threshold = st.slider("Threshold", 0.0, 1.0, step=0.01, key="threshold")
    st.caption(f"runs: {st.session_state.setdefault('runs', 0)}")
    st.session_state["runs"] += 1
    image = ImageLayer(data["image"][section], verbatim("Image"))
    cut = ThresholdLayer(
        data["probability"][section], threshold, verbatim("Membrane"), side="below"
    )
    event = canvas(
        [Pane([image, cut])],
        key="viewer",
        alt=ALT,
        language=language,
        options=options(
            height_px=620,
            section_index=section,
            section_count=SECTIONS,
            events=("click", "step", "threshold"),
        ),
        on_event=go_to,
    )
    report(event)


@st.fragment
def case_panes(data, language) -> None:
    section = st.slider("Section", 0, SECTIONS - 1, key="section")
    image = ImageLayer(data["image"][section], verbatim("Image"))
    panes = [
        Pane([image], verbatim("Image")),
        Pane(
            [
                MaskLayer(
                    data["labels"][section] == 0, verbatim("Membrane"), style="fill", opacity=1.0
                )
            ],
            verbatim("Mask"),
        ),
        Pane([image, LabelsLayer(data["labels"][section], verbatim("Cells"))], verbatim("Overlay")),
    ]
    event = canvas(
        panes, key="panes", alt=ALT, language=language, options=options(events=("click",))
    )
    report(event)


@st.fragment
def case_compare(data, language) -> None:
    threshold = st.slider("Threshold", 0.0, 1.0, step=0.01, key="threshold")
    image = ImageLayer(data["image"][3], verbatim("Image"))
    panes = [
        Pane(
            [
                image,
                CompareLayer(
                    data["probability"][3],
                    data["labels"][3] == 0,
                    threshold,
                    verbatim("Comparison"),
                    side="below",
                ),
            ],
            verbatim("Truth and prediction"),
        ),
        Pane(
            [image, ScalarLayer(data["probability"][3], verbatim("Probability"), opacity=1.0)],
            verbatim("Probability"),
        ),
    ]
    report(
        canvas(
            panes,
            key="compare",
            alt=ALT,
            language=language,
            options=options(height_px=640, events=("threshold",)),
            on_event=go_to,
        )
    )


@st.fragment
def case_wipe(data, language) -> None:
    image = ImageLayer(data["image"][3], verbatim("Image"))
    inverse = ImageLayer(255 - data["image"][3], verbatim("Inverse"))
    panes = [Pane([image], verbatim("Image")), Pane([inverse], verbatim("Inverse"))]
    canvas(
        panes,
        key="wipe",
        alt=ALT,
        language=language,
        options=options(height_px=620, layout="wipe"),
    )


@st.fragment
def case_points(data, language) -> None:
    """Points, a deformed grid, and single bright pixels whose place is known."""
    image = np.full((200, 300), 40, np.uint8)
    image[57, 123] = image[150, 20] = image[10, 290] = 255
    centres = np.array([[60.0, 60.0], [60.0, 200.0], [140.0, 130.0], [140.0, 240.0]])
    t = np.linspace(0, 299, 60)
    grid = [np.stack([y + 4 * np.sin(t / 25), t], -1) for y in range(20, 200, 40)]
    layers = [
        ImageLayer(image, verbatim("Image")),
        LinesLayer(grid, verbatim("Deformation"), opacity=0.5),
        PointsLayer(
            centres,
            verbatim("Picks"),
            radius_px=12,
            colours=["#009E73", "#009E73", "#D55E00", "#56B4E9"],
            styles=["full", "full", "dashed", "cross"],
            is_editable=True,
        ),
    ]
    event = canvas(
        [Pane(layers)],
        key="points",
        alt=ALT,
        language=language,
        options=options(height_px=600, events=("click", "drag", "delete")),
    )
    report(event)


@st.fragment
def case_stack(data, language) -> None:
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    st.caption(f"runs: {st.session_state['runs']}")
    layers = [
        ImageLayer(list(data["image"]), verbatim("Image")),
        LabelsLayer(list(data["labels"]), verbatim("Cells")),
    ]
    canvas(
        [Pane(layers)],
        key="stack",
        alt=ALT,
        language=language,
        options=options(height_px=560, section_index=0, section_count=SECTIONS),
    )


@st.fragment
def case_numbers(data, language) -> None:
    """One image of 16 bits and one of floats, with outliers."""
    wide = data["image"][0].astype(np.uint16) * 90 + 1200
    wide[0, 0] = 65535
    floats = data["image"][0].astype(np.float32) * 1e-7
    floats[5, 5] = np.nan
    panes = [
        Pane([ImageLayer(wide, verbatim("16 bits"))], verbatim("16 bits")),
        Pane([ImageLayer(floats, verbatim("Floats"))], verbatim("Floats")),
    ]
    canvas(
        panes,
        key="numbers",
        alt=ALT,
        language=language,
        options=Options(height_px=520, pixel_size=10.0, unit="angstrom"),
    )


CASES = {name.removeprefix("case_"): f for name, f in list(globals().items()) if "case_" in name}

st.set_page_config(layout="wide")
st.session_state.setdefault("section", 3)
st.session_state.setdefault("threshold", 0.5)
language = st.query_params.get("language", "en")
side = int(st.query_params.get("side", "512"))
CASES[st.query_params.get("case", "viewer")](stack(side), language)
