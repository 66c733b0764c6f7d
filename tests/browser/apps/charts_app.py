"""A page for the browser tests of views: `?curves=...` and `?pictures=...` say how many."""

import sys
from pathlib import Path

import numpy as np
import streamlit as st

sys.path.insert(0, str(Path(__file__).parents[3]))

from dashboard.layout import CONTROLS_AND_PICTURE, apply_style
from dashboard.renderers import draw
from pipelines.text import verbatim
from pipelines.views import Curve, CurveView, GalleryView


def show_curves(count: int) -> None:
    x = np.linspace(0, 1, 50)
    names = [verbatim(f"Entraînement sur l’exemple intégré ({i:04x})") for i in range(count)]
    curves = tuple(Curve(name, x, x ** (i + 1)) for i, name in enumerate(names))
    draw(CurveView(verbatim("a"), verbatim("x"), verbatim("y"), curves), "chart")


def show_pictures(count: int) -> None:
    pictures = tuple(np.full((128, 128), i, np.uint8) for i in range(count))
    draw(GalleryView(verbatim("a"), pictures, (verbatim("b"),) * count), "data.pictures")


st.set_page_config(layout="wide")
apply_style()
_, right = st.columns(CONTROLS_AND_PICTURE)
with right:
    show_curves(int(st.query_params.get("curves", 1)))
    show_pictures(int(st.query_params.get("pictures", 0)))
