"""The threshold slider that moves curve point, figures and pictures together."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.address import keep_moved, moved_value
from dashboard.words import slider_format, tr
from pipelines.contract import OperatingPoint
from pipelines.core.checkpoints import CheckpointEntry

_DEFAULT = 0.5


def recommended_thresholds(model: CheckpointEntry | None) -> dict[str, float]:
    """Return the thresholds that the model's card recommends, by name."""
    point = model.card.operating_point if model is not None else {}
    return {name: float(value) for name, value in point.items()} or {"threshold": _DEFAULT}


def draw_point(recommended: Mapping[str, float], place: str) -> OperatingPoint:
    """Draw a slider for each threshold: the address's one, or one a class where there are many.

    Args:
        recommended: Threshold name to the value that the sliders start from.
        place: Part of the widgets' keys.

    Returns:
        What the sliders stand on; its source is "user" once one was moved.
    """
    if len(recommended) < 2:
        value = draw_threshold(next(iter(recommended.values()), _DEFAULT), place)
        return OperatingPoint({"threshold": value}, source="user")
    values = {}
    for name, default in recommended.items():
        key = f"threshold.{place}.{name}"
        st.session_state.setdefault(key, round(float(default), 2))
        chosen = st.slider(name, 0.0, 1.0, step=0.01, key=key, format=slider_format("%.2f"))
        values[name] = _exact(float(chosen), float(default), 2)
    return OperatingPoint(values, source="user")


def draw_threshold(default: float, place: str) -> float:
    """Draw the slider; a value in the address wins over the default."""
    key = f"threshold.{place}"
    asked = moved_value("threshold")
    if asked is not None:
        st.session_state[key] = _number(asked, default)
    st.session_state.setdefault(key, round(default, 3))
    label, shape = tr("pages.threshold"), slider_format("%.3f")
    chosen = st.slider(label, 0.0, 1.0, step=0.005, key=key, format=shape)
    value = _exact(float(chosen), default, 3)
    written = None if abs(value - default) < 1e-9 else f"{value:g}"
    keep_moved("threshold", written)
    return value


def _exact(value: float, default: float, decimals: int) -> float:
    """Return the recommended threshold itself while the slider stands on it.

    The slider shows it rounded, and items may lie between the two: the figures of the page would
    then differ from those of the run's report.
    """
    return default if value == round(default, decimals) else value


def _number(words: str, default: float) -> float:
    try:
        return min(max(float(words), 0.0), 1.0)
    except ValueError:
        return default
