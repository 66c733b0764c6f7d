"""The one image component of the product: raw pixels, overlays, wipe, points, keys, clicks.

    from dashboard.canvas import ImageLayer, Options, Pane, ThresholdLayer, canvas

    event = canvas(
        [Pane([ImageLayer(section, name), ThresholdLayer(probability, 0.5, name)])],
        key="em_membrane.viewer",
        alt=alt,
        language="en",
        options=Options(height_px=560, pixel_size=4.0, unit="nm"),
    )

How pixels reach the browser, and why so: docs/decisions/0003-image-canvas.md.
"""

from dashboard.canvas.component import canvas
from dashboard.canvas.layers import (
    CanvasEvent,
    CompareLayer,
    ImageLayer,
    LabelsLayer,
    Layer,
    LinesLayer,
    Look,
    MaskLayer,
    Options,
    Pane,
    PointsLayer,
    ScalarLayer,
    SpheresLayer,
    ThresholdLayer,
)

__all__ = [
    "CanvasEvent",
    "CompareLayer",
    "ImageLayer",
    "LabelsLayer",
    "Layer",
    "LinesLayer",
    "Look",
    "MaskLayer",
    "Options",
    "Pane",
    "PointsLayer",
    "ScalarLayer",
    "SpheresLayer",
    "ThresholdLayer",
    "canvas",
]
