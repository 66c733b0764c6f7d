"""A page for the browser tests of charts: `?curves=...` says how many curves with long names."""

import sys
from pathlib import Path

import numpy as np
import streamlit as st

sys.path.insert(0, str(Path(__file__).parents[3]))

from dashboard.renderers import draw
from pipelines.text import verbatim
from pipelines.views import Curve, CurveView

count = int(st.query_params["curves"])
x = np.linspace(0, 1, 50)
names = [verbatim(f"Entraînement sur l’exemple intégré ({i:04x})") for i in range(count)]
curves = tuple(Curve(name, x, x ** (i + 1)) for i, name in enumerate(names))
st.set_page_config(layout="wide")
draw(CurveView(verbatim("a"), verbatim("x"), verbatim("y"), curves), "chart")
