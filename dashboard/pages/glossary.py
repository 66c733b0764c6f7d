"""Glossary: the words of the field, each in two sentences."""

from __future__ import annotations

import streamlit as st

from dashboard.layout import draw_head
from dashboard.words import tr

TERMS = (
    "augmentation", "auc", "checkpoint", "confidence_interval", "cross_entropy", "elastic",
    "epoch", "f4", "fold", "held_out", "iou", "label", "loss", "mask", "overfitting", "patch",
    "precision", "recall", "run", "seed", "threshold", "tomogram", "training_set", "unet",
    "v_info", "v_rand", "validation", "voxel_spacing", "watershed",
)  # fmt: skip


def show() -> None:
    """Draw the page; `?term=` in the address opens one of them."""
    draw_head("menu_book", tr("pages.glossary"), tr("glossary.summary"))
    wanted = st.query_params.get("term", "")
    looked_for = st.text_input(
        tr("glossary.search"), key="glossary.search", icon=":material/search:"
    )
    words = {term: (tr(f"glossary.{term}"), tr(f"glossary.{term}.text")) for term in TERMS}
    for term, (name, meaning) in sorted(words.items(), key=lambda item: item[1][0].casefold()):
        if looked_for.casefold() in f"{name} {meaning}".casefold():
            mark = ":material/arrow_right: " if term == wanted else ""
            st.markdown(f"{mark}**{name}**  \n{meaning}")
