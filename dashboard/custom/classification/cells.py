"""Step Evaluate of a classification: one threshold, a matrix whose cells open, labels in doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.address import keep
from dashboard.choices import Choices
from dashboard.custom.classification.beside import draw_baseline
from dashboard.custom.classification.desk import (
    PAGE,
    Desk,
    choose_picture,
    class_words,
    draw_more,
    draw_why,
    evaluation_of,
    make_tiles,
    why_key,
)
from dashboard.errors import fragment, frame
from dashboard.layout import CONTROLS_AND_PICTURE
from dashboard.renderers import draw, draw_all
from dashboard.steps.evaluate import draw_scores_call, pick_part
from dashboard.steps.threshold import draw_threshold
from dashboard.tiles import draw_tiles
from dashboard.words import as_plain, number, say, tr
from pipelines import actions
from pipelines.contract import ItemStatistics, OperatingPoint, Task
from pipelines.jobs.store import Run

_MOST_BUTTONS = 6  # classes whose matrix is drawn as buttons; a larger one becomes a table
_MOST_MISTAKES = 5
_MOST_RESAMPLED = 20_000  # rows whose intervals follow the slider
_AT_ANY_THRESHOLD = ("auc", "ece")

Cell = tuple[int, int]


@fragment
def draw_scored(task: Task, choices: Choices, run: Run, rows: ItemStatistics) -> None:
    """Draw controls beside curves, figures and pictures; one threshold moves all of them."""
    desk = Desk(task, choices, run)
    scores = run.scores() or {}
    left, right = st.columns(CONTROLS_AND_PICTURE, gap="large")
    with left, st.container(key="beside"):
        part = pick_part(scores)
        if part == "out_of_fold":
            st.caption(tr("classes_page.out_of_fold"))
        whole = evaluation_of(task.id, run.run_id, part, (), rows, desk)
        wrong = desk.marks.wrong
        with st.container():  # always there: what comes and goes in it moves nothing else
            shown = _pick_rows(desk, part, rows, whole)
        threshold = _draw_threshold(run, scores, shown)
        cell = _draw_matrix(task.id, shown, threshold)
        _draw_marks(desk)
    with right, frame():
        bounds = _intervals(task, scores["parts"][part], shown, threshold)
        draw(shown.figures(threshold, task.metrics, bounds), f"{task.id}.figures")
        with st.container():
            if wrong and len(shown) < len(whole):
                draw(whole.comparison(shown, threshold, task.metrics), f"{task.id}.comparison")
        _draw_curves(task.id, shown, threshold, bounds)
        _draw_cell(desk, shown, threshold, cell)
    draw_baseline(task, run)
    if len(shown) == len(whole):  # no command leaves marked labels out
        (name,) = scores["operating_point"]["thresholds"]
        draw_scores_call(run, scores, part, OperatingPoint({name: threshold}, source="user"))


def _intervals(
    task: Task, part: Mapping[str, Any], shown: Any, threshold: float
) -> Mapping[str, tuple[float, float]]:
    """Return the intervals at this threshold; of very many pictures those of the run's report.

    Only what no threshold changes is taken from there.
    """
    if len(shown) > _MOST_RESAMPLED:
        return {n: b for n, b in part["intervals"].items() if n in _AT_ANY_THRESHOLD}
    point = OperatingPoint({"threshold": threshold}, source="user")
    (found,) = actions.score_parts(task, shown.rows, None, chosen=point).parts.values()
    return found.intervals


def _pick_rows(desk: Desk, part: str, rows: ItemStatistics, whole: Any) -> Any:
    """Offer to leave out the marked labels, where there are some among the scored items."""
    wrong = set(desk.marks.wrong) & set(rows.columns["item_id"].tolist())
    if not wrong:
        return whole
    if not st.toggle(tr("classes_marks.leave_out", n=len(wrong)), key=f"{desk.task.id}.leave_out"):
        return whole
    left_out = tuple(sorted(wrong))
    return evaluation_of(desk.task.id, desk.run.run_id, part, left_out, rows, desk)


def _draw_threshold(run: Run, scores: dict[str, Any], shown: Any) -> float:
    point = scores["operating_point"]
    recommended = float(next(iter(point["thresholds"].values())))
    if not shown.is_binary:
        st.caption(tr("classes_page.no_threshold"))
        return recommended
    place = f"evaluate.{run.run_id}"
    value = draw_threshold(recommended, place)
    st.caption(tr(f"evaluate_step.source.{point['source']}", value=recommended))
    ratio = st.number_input(
        tr("classes_page.cost_ratio"), 0.05, 100.0, 1.0, 0.5, key=f"{place}.cost",
        help=tr("classes_page.cost_ratio_help"), format="%g",
    )  # fmt: skip
    optima = (("youden", shown.optimum()), ("cheapest", shown.optimum(float(ratio))))
    with st.container(horizontal=True, gap="small"):
        for name, optimum in optima:
            st.button(
                tr(f"classes_page.{name}", value=optimum), key=f"{place}.{name}",
                on_click=_stand_on, args=(f"threshold.{place}", optimum),
                help=tr(f"classes_page.{name}_help"),
            )  # fmt: skip
    return value


def _stand_on(key: str, value: float) -> None:
    st.session_state[key] = min(max(round(value, 4), 0.0), 1.0)


# --- matrix ---------------------------------------------------------------------------------------


def _draw_matrix(task_id: str, shown: Any, threshold: float) -> Cell:
    """Draw the confusion matrix; a click on a cell chooses it."""
    counts = shown.cells(threshold)
    key = f"{task_id}.cell"
    cell = _restore_cell(key, counts)
    st.markdown(f"**{tr('classes_page.matrix')}**", help=tr("classes_page.matrix_help"))
    st.caption(tr("classes_page.matrix_axes"))
    names = [say(name) for name in shown.names]
    if len(counts) <= _MOST_BUTTONS:
        _draw_buttons(key, names, counts, cell)
    else:
        cell = _draw_table(key, names, counts, cell)
    keep("cell", f"{cell[0]}-{cell[1]}")
    return cell


def _restore_cell(key: str, counts: Any) -> Cell:
    """Return the chosen cell; at first that of the address, else the fullest mistake."""
    if key not in st.session_state:
        words = str(st.query_params.get("cell", "")).split("-")
        is_cell = len(words) == 2 and all(w.isdecimal() for w in words)
        st.session_state[key] = tuple(int(w) for w in words) if is_cell else _fullest(counts)
    row, column = st.session_state[key]
    return min(row, len(counts) - 1), min(column, len(counts) - 1)


def _fullest(counts: Any) -> Cell:
    """Return the fullest mistake, or where there is none the fullest cell."""
    mistakes = _mistakes(counts)
    return mistakes[0] if mistakes else divmod(int(counts.argmax()), len(counts))


def _mistakes(counts: Any) -> list[Cell]:
    """List the cells of mistakes that hold pictures, the fullest first."""
    size = len(counts)
    cells = [(r, c) for r in range(size) for c in range(size) if r != c and counts[r, c]]
    return sorted(cells, key=lambda cell: -counts[cell])


def _draw_buttons(key: str, classes: Sequence[str], counts: Any, cell: Cell) -> None:
    with st.container(key=f"{key}.matrix", gap="small"):
        widths = [5, *([6] * len(classes))]
        head = st.columns(widths, gap="small", vertical_alignment="bottom")
        for column, name in zip(head[1:], classes, strict=True):
            column.caption(name)
        for row, name in enumerate(classes):
            columns = st.columns(widths, gap="small", vertical_alignment="center")
            columns[0].caption(name)
            total = int(counts[row].sum())
            for decided, place in enumerate(columns[1:]):
                count = int(counts[row, decided])
                has_share = total and len(classes) < 3  # more columns have no room for it
                share = f" · {tr('classes_page.share', value=count / total)}" if has_share else ""
                place.button(
                    f"**{number(count, 6)}**{share}", key=f"{key}.{row}.{decided}",
                    type="primary" if (row, decided) == cell else "secondary", width="stretch",
                    on_click=_choose_cell, args=(key, (row, decided)),
                    help=tr("classes_panel.matrix.cell", n=count, truth=name,
                            decided=classes[decided]),
                )  # fmt: skip


def _draw_table(key: str, classes: Sequence[str], counts: Any, cell: Cell) -> Cell:
    _draw_mistakes(key, classes, counts)
    # zeros would hide the others among many classes
    words = [[number(int(n), 6) if n else "·" for n in row] for row in counts]
    table = pd.DataFrame(words, index=list(classes), columns=list(classes))
    event = st.dataframe(table, key=f"{key}.table", on_select="rerun", selection_mode="single-cell")
    for row, column in event["selection"].get("cells", ()):
        _choose_cell(key, (int(row), list(classes).index(str(column))))
    found: Cell = st.session_state[key]
    return found


def _draw_mistakes(key: str, classes: Sequence[str], counts: Any) -> None:
    """Draw the most frequent mistakes as buttons: a table of many classes is not searched."""
    st.caption(tr("classes_page.mistakes"))
    for row, decided in _mistakes(counts)[:_MOST_MISTAKES]:
        st.button(
            f"{as_plain(classes[row])} → {as_plain(classes[decided])}: "
            f"**{number(int(counts[row, decided]), 6)}**",
            key=f"{key}.mistake.{row}.{decided}", width="stretch",
            on_click=_choose_cell, args=(key, (row, decided)),
            type="primary" if st.session_state[key] == (row, decided) else "secondary",
        )  # fmt: skip


def _choose_cell(key: str, cell: Cell) -> None:
    st.session_state[key] = cell
    st.session_state.pop(f"{key}.shown", None)
    st.session_state.pop(f"{key}.picture", None)


# --- pictures -------------------------------------------------------------------------------------


def _draw_curves(
    task_id: str, shown: Any, threshold: float, bounds: Mapping[str, tuple[float, float]]
) -> None:
    kinds = ("curves", "calibration")
    kind = st.segmented_control(
        tr("pages.views"), kinds, default=kinds[0], required=True, key=f"{task_id}.curves_shown",
        format_func=lambda name: tr(f"classes_page.show.{name}"), label_visibility="collapsed",
    )  # fmt: skip
    if kind == "calibration":
        draw_all(shown.reliability(), f"{task_id}.reliability")
        return
    views = shown.curves(threshold, bounds)
    for column, (number_of, view) in zip(
        st.columns(len(views), gap="medium", vertical_alignment="bottom"),
        enumerate(views),
        strict=True,
    ):
        with column:
            draw(view, f"{task_id}.curve.{number_of}")


def _draw_cell(desk: Desk, shown: Any, threshold: float, cell: Cell) -> None:
    """Draw the pictures of the chosen cell, worst first, and what is known of a clicked one."""
    task_id, (truth, decided) = desk.task.id, cell
    members = shown.members(threshold, truth, decided)
    names = {"truth": say(shown.names[truth]), "decided": say(shown.names[decided])}
    st.markdown(f"**{tr('classes_panel.matrix.cell', n=len(members), **names)}**")
    key = f"{task_id}.cell"
    count = int(st.session_state.get(f"{key}.shown", PAGE))
    here = members[:count]
    picture = st.session_state.get(f"{key}.picture")
    tiles = make_tiles(
        desk, [i for i, _ in here], [number(p, 2) for _, p in here], desk.marks.wrong
    )
    draw_tiles(
        tiles, key=f"{key}.gallery", label=tr("classes_page.gallery"), chosen=picture,
        on_click=lambda item_id: choose_picture(key, item_id), opens=why_key(key),
    )  # fmt: skip
    if here:
        st.caption(tr("classes_page.gallery_help", name=names["truth"]))
    draw_more(key, count, len(members))
    if picture is not None:
        draw_why(desk, picture, key)


# --- marks ----------------------------------------------------------------------------------------


def _draw_marks(desk: Desk) -> None:
    """Draw undo, redo, the list of marked labels and its download."""
    marks, key = desk.marks, f"{desk.task.id}.marks"
    if not marks.num_done and not marks.num_undone:
        st.caption(tr("classes_marks.none"))
        return
    st.markdown(f"**{tr('classes_marks.title', n=len(marks.wrong))}**")
    with st.container(horizontal=True, gap="small"):
        st.button(
            tr("classes_marks.undo"), icon=":material/undo:", disabled=not marks.num_done,
            on_click=lambda: desk.marks.undo(), key=f"{key}.undo",
        )  # fmt: skip
        st.button(
            tr("classes_marks.redo"), icon=":material/redo:", disabled=not marks.num_undone,
            on_click=lambda: desk.marks.redo(), key=f"{key}.redo",
        )  # fmt: skip
    if not marks.wrong:
        return
    labels = desk.task.labels_of(desk.record, marks.wrong)
    with st.expander(tr("classes_marks.list")):
        rows = [
            (i.rsplit("/", 1)[-1], class_words(desk.task, labels.get(i, "–"))) for i in marks.wrong
        ]
        columns = [tr("classes_marks.file"), tr("classes_marks.label")]
        st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, key=f"{key}.list")
    st.download_button(
        tr("classes_marks.export"), data=lambda: marks.to_csv(labels), mime="text/csv",
        file_name=f"wrong_labels_{desk.record.dataset_id}.csv", icon=":material/download:",
        key=f"{key}.export", on_click="ignore",
    )  # fmt: skip
