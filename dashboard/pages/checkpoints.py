"""Checkpoints: what models there are, how they were made, how good they were where measured."""

from __future__ import annotations

import json

import streamlit as st

from dashboard.choices import list_models, model_title
from dashboard.layout import draw_empty, draw_head
from dashboard.renderers import value_words
from dashboard.words import number, say, tr
from pipelines.contract import Task
from pipelines.core.checkpoints import CheckpointEntry
from pipelines.registry import load_tasks


def show() -> None:
    """Draw the page."""
    draw_head("deployed_code", tr("pages.checkpoints"), tr("checkpoints_page.summary"))
    tasks, _ = load_tasks()
    is_empty = True
    for task in tasks:
        models = list_models(task)
        if models:
            is_empty = False
            st.markdown(f"### :material/{task.icon}: {say(task.title)}")
        for name, entry in models.items():
            _draw_card(task, name, entry)
    if is_empty:
        draw_empty("inbox", tr("checkpoints_page.empty_title"), tr("checkpoints_page.empty"))


def _draw_card(task: Task, name: str, entry: CheckpointEntry) -> None:
    card = entry.card
    with st.container(border=True):
        st.markdown(f"**{model_title(entry)}** :gray[{name}]")
        st.caption(
            tr(
                "checkpoints_page.facts",
                data=card.dataset_title,
                parameters=card.num_parameters,
                time=value_words(card.seconds, "duration"),
                device=card.device,
                seed=card.seed,
            )
        )
        if card.is_generated_data:
            st.caption(f":material/science: {tr('checkpoints_page.generated')}")
        for part, scores in card.scores.items():
            st.markdown(f"{tr(f'pages.part.{part}')}: {_scores(task, scores)}")
        with st.expander(tr("checkpoints_page.card")):
            st.json(json.dumps({"config": dict(card.config), "versions": dict(card.versions)}))
            st.caption(str(entry.folder.name))


def _scores(task: Task, scores: object) -> str:
    values = dict(scores) if isinstance(scores, dict) else {}
    shown = [m for m in task.metrics if m.name in values][:5]
    return " · ".join(f"{say(m.label)} {number(float(values[m.name]))}" for m in shown)
