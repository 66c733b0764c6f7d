"""What the steps of a classification share: a run's rows and predictions, a person's marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.choices import Choices, list_records
from dashboard.renderers import draw_all
from dashboard.tiles import Tile, draw_tiles
from dashboard.words import number, say, tr
from pipelines.contract import DatasetRecord, ItemStatistics, Prediction
from pipelines.jobs.store import Run
from pipelines.settings import load_settings

PAGE = 24  # tiles that a gallery begins with


@dataclass(frozen=True)
class Desk:
    """Hold what is looked at.

    Attributes:
        task: The classification task (beyond the contract: `evaluation`, `thumbnails`, `explain`,
            `label_marks`, `labels_of`).
        choices: Data, model and run.
        run: The run.
    """

    task: Any
    choices: Choices
    run: Run

    @property
    def record(self) -> DatasetRecord:
        """The data set."""
        return self.choices.record

    @property
    def predictions(self) -> Mapping[str, Prediction]:
        """What the run says of each item; read once."""
        return open_predictions(self.task.id, self.run.run_id, self.run)

    @property
    def marks(self) -> Any:
        """The person's marks on labels of this data set; the file is the truth."""
        settings = load_settings()
        folder = settings.data / "corrections" / self.record.dataset_id
        return self.task.label_marks(folder / f"labels.{settings.owner}.json", settings.owner)

    def training_record(self) -> DatasetRecord | None:
        """Return the data that the model learned from, if they are registered here."""
        model = self.choices.model
        wanted = model.card.dataset_id if model is not None else ""
        return list_records(self.task).get(wanted)


@st.cache_resource(show_spinner=False, max_entries=4)
def open_predictions(task_id: str, run_id: str, _run: Run) -> Mapping[str, Prediction]:
    """Read the predictions of a finished run once."""
    from pipelines.registry import get_task

    return get_task(task_id).open_predictions(_run.prediction_folder)


@st.cache_resource(show_spinner=False, max_entries=8)
def evaluation_of(
    task_id: str,
    run_id: str,
    part: str,
    left_out: Sequence[str],
    _rows: ItemStatistics,
    _desk: Desk,
) -> Any:  # the task's own evaluation
    """Evaluate a part of a run, some items left out; curves and bands are computed once."""
    item_ids = (_desk.run.scores() or {})["parts"][part]["item_ids"]
    first = next(iter(_desk.predictions.values()), None)
    classes = _desk.task.class_names(_desk.record)
    if first is not None and "classes" in first.values:
        classes = tuple(first.values["classes"].tolist())
    whole = _desk.task.evaluation(_rows.of_items(item_ids), classes)
    return whole.without(left_out) if left_out else whole


# --- pictures -------------------------------------------------------------------------------------


def choose_picture(key: str, item_id: str) -> None:
    """Choose the picture that was clicked; a second click lets go of it."""
    is_same = st.session_state.get(f"{key}.picture") == item_id
    st.session_state[f"{key}.picture"] = None if is_same else item_id


def draw_more(key: str, count: int, total: int) -> None:
    """Offer two more pages of tiles than the `count` that are there, while some are left."""
    if total > count:
        more = {f"{key}.shown": count + 2 * PAGE}
        words = tr("classes_page.more", n=total - count)
        st.button(words, key=f"{key}.more", on_click=st.session_state.update, args=(more,))


def make_tiles(
    desk: Desk, item_ids: Sequence[str], captions: Sequence[str], marked: Sequence[str] = ()
) -> list[Tile]:
    """Return tiles of items that are in the data set."""
    pictures = desk.task.thumbnails(desk.record, list(item_ids))
    flagged = set(marked)
    return [
        Tile(item_id, picture, caption, item_id.rsplit("/", 1)[-1], item_id in flagged)
        for item_id, picture, caption in zip(item_ids, pictures, captions, strict=True)
    ]


def why_key(key: str) -> str:
    """Return the key of the container that `draw_why` draws for a gallery."""
    return f"{key}.why_box"


def draw_why(desk: Desk, item_id: str, key: str) -> None:
    """Draw why the model says what it says of an item, and offer to mark its label."""
    prediction = desk.predictions.get(item_id)
    if prediction is None:
        return
    label = desk.task.labels_of(desk.record, [item_id]).get(item_id)
    with st.container(border=True, key=why_key(key)):
        with st.container(horizontal=True, vertical_alignment="center"):
            name = item_id.rsplit("/", 1)[-1]
            shown = "–" if label is None else class_words(desk.task, label)
            st.markdown(tr("classes_page.picture", name=name, label=shown))
            if label is not None:
                _draw_mark(desk, item_id, key)
        left, right = st.columns((3, 4), gap="large")
        with left:
            draw_odds(desk.task, prediction)
            draw_nearest(desk.task, desk.training_record(), prediction, f"{key}.nearest")
        with right:
            views = desk.task.explain(desk.record, item_id, prediction)
            draw_all(views[1:], f"{key}.why")
        st.caption(tr("classes.not_for_diagnosis"))


def _draw_mark(desk: Desk, item_id: str, key: str) -> None:
    is_wrong = item_id in desk.marks.wrong
    st.button(
        tr("classes_marks.unmark" if is_wrong else "classes_marks.mark"),
        icon=":material/flag:",
        type="primary" if is_wrong else "secondary",
        key=f"{key}.mark",
        on_click=lambda: desk.marks.toggle(item_id),
        help=tr("classes_marks.help"),
    )


def class_words(task: Any, name: str) -> str:
    """Name a class of the task in the visitor's language."""
    return say(task.class_text(name))


def draw_odds(task: Any, prediction: Prediction) -> None:
    """Draw the probability of each class as a bar, the decided one first."""
    values = prediction.values
    names = values["classes"].tolist() if "classes" in values else []
    odds = values["probabilities"].tolist()
    names = names or [str(i) for i in range(len(odds))]
    for share, name in sorted(zip(odds, names, strict=True), reverse=True)[:8]:
        st.progress(min(max(share, 0.0), 1.0), f"{class_words(task, name)}  **{number(share)}**")


def draw_nearest(task: Any, record: DatasetRecord | None, prediction: Prediction, key: str) -> None:
    """Draw the training pictures that the model finds most similar.

    Args:
        task: The classification task.
        record: The data that the model learned from, or None when they are not here.
        prediction: With "nearest" where the model remembers its training pictures.
        key: Unique in the session.
    """
    names = [str(i) for i in prediction.values.get("nearest", ())]
    if not names:
        return
    known = task.labels_of(record, names) if record is not None else {}
    shown = [name for name in names if name in known]
    st.markdown(f"**{tr('classes_panel.why.nearest')}**")
    if not shown or record is None:
        st.caption(tr("classes_page.nearest_elsewhere", names=", ".join(names[:3])))
        return
    pictures = task.thumbnails(record, shown)
    tiles = [Tile(n, p, class_words(task, known[n])) for n, p in zip(shown, pictures, strict=True)]
    draw_tiles(tiles, key=key, label=tr("classes_panel.why.nearest"))
