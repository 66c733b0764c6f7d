"""Where two models differ: items with pictures side by side, groups, metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard.address import keep, restore
from dashboard.compare.choice import Chosen
from dashboard.errors import frame
from dashboard.renderers import draw
from dashboard.words import number, say, tr
from pipelines.compare.comparison import Comparison, differences_of
from pipelines.compare.differences import GroupGaps, ItemGaps, group_gaps, item_gaps
from pipelines.compare.pictures import Shown, open_shown
from pipelines.contract import MetricInfo
from pipelines.text import Text, verbatim
from pipelines.views import ImageView, IntervalsView, TableView

_MOST_GROUPS = 30
_MOST_ITEMS = 200


def show(comparison: Comparison, chosen: Chosen, metric: MetricInfo) -> None:
    """Draw where two of the models differ."""
    first, second = _pick_pair(comparison)
    gaps = item_gaps(comparison, first, second)
    if gaps is not None:
        _draw_items(comparison, gaps, (first, second))
    draw(_metric_view(comparison, first, second), "compare.metrics")
    table = _group_table(comparison, metric, first, second)
    if table is not None:
        draw(table, "compare.groups")


def _group_table(
    comparison: Comparison, metric: MetricInfo, first: int, second: int
) -> TableView | None:
    """List the groups where both models have a figure, the first model's best lead on top.

    A subject of one class has no area under the ROC curve: then another metric takes its place.
    """
    wanted = [metric, *(m for m in comparison.task.metrics if m.name != metric.name)]
    for metric in wanted:
        found = group_gaps(comparison, metric, first, second)
        if found is None:
            return None
        if np.isfinite(found.first - found.second).any():
            return _table_of_groups(found, metric, comparison, (first, second))
    return None


def _table_of_groups(
    found: GroupGaps, metric: MetricInfo, comparison: Comparison, places: tuple[int, int]
) -> TableView:
    gap = found.first - found.second
    rows = tuple(
        (
            found.groups[i],
            int(found.counts[i]),
            *(number(float(v[i])) for v in (found.first, found.second, gap)),
        )
        for i in np.flatnonzero(np.isfinite(gap))[:_MOST_GROUPS]
    )
    columns = (
        Text("compare_page.group"),
        Text("compare_page.count"),
        *(comparison.standings[place].entry.name for place in places),
        Text("compare_page.pair_difference"),
    )
    title = Text("compare_page.groups", metric=metric.label)
    return TableView(title, columns, rows, filename="groups.csv")


def _pick_pair(comparison: Comparison) -> tuple[int, int]:
    """Draw the pickers of two models; with two there is nothing to pick."""
    names = [standing.entry.entry_id for standing in comparison.standings]
    if len(names) == 2:
        return 0, 1
    words = {s.entry.entry_id: say(s.entry.name) for s in comparison.standings}
    with st.container(horizontal=True):
        for place, name in enumerate(("first", "second")):
            key = f"compare.{name}"
            restore(name, key, names, names[place])
            st.selectbox(
                tr(f"compare_page.pair_{name}"), names, format_func=words.__getitem__, key=key
            )
            keep(name, str(st.session_state[key]))
    first, second = (names.index(st.session_state[f"compare.{n}"]) for n in ("first", "second"))
    return first, second


# --- items ----------------------------------------------------------------------------------------


def _draw_items(comparison: Comparison, gaps: ItemGaps, places: tuple[int, int]) -> None:
    names = [comparison.standings[place].entry.name for place in places]
    counts = [len(gaps.better(is_first=is_first)) for is_first in (True, False)]
    if gaps.is_yes_no:
        both, only_first, only_second, neither = gaps.agreement()
        st.markdown(
            tr("compare_page.agreement", first=names[0], second=names[1], both=both,
               only_first=only_first, only_second=only_second, neither=neither)
        )  # fmt: skip
    if not any(counts):
        st.caption(tr("compare_page.no_item_differs"))
        return
    side = _pick_side(names, counts, is_yes_no=gaps.is_yes_no)
    order = gaps.better(is_first=side == "first")[:_MOST_ITEMS]
    place = _pick_item(order)
    item = gaps.item_ids[order[place]]
    st.caption(_item_words(gaps, order[place], names))
    with frame():
        _draw_pictures(comparison, item, places)


def _pick_side(names: Sequence[Text], counts: Sequence[int], *, is_yes_no: bool) -> str:
    sides = [s for s, count in zip(("first", "second"), counts, strict=True) if count]
    restore("better", "compare.better", sides, sides[0])
    words = {
        side: tr(f"compare_page.{'only' if is_yes_no else 'better'}", model=name, n=count)
        for side, name, count in zip(("first", "second"), names, counts, strict=True)
    }
    st.segmented_control(
        tr("compare_page.side"), sides, format_func=words.__getitem__, key="compare.better",
        required=True, label_visibility="collapsed",
    )  # fmt: skip
    keep("better", str(st.session_state["compare.better"]))
    return str(st.session_state["compare.better"])


def _pick_item(order: Sequence[int]) -> int:
    if len(order) == 1:
        return 0
    key = "compare.item"
    st.session_state[key] = min(max(1, int(st.session_state.get(key, 1))), len(order))
    return int(st.slider(tr("compare_page.item", n=len(order)), 1, len(order), key=key)) - 1


def _item_words(gaps: ItemGaps, place: int, names: Sequence[Text]) -> str:
    if gaps.is_yes_no:
        return gaps.item_ids[place]
    values = [number(float(values[place])) for values in (gaps.first, gaps.second)]
    return tr("compare_page.item_values", item=verbatim(gaps.item_ids[place]),
              metric=gaps.metric.label, first=names[0], a=values[0], second=names[1],
              b=values[1])  # fmt: skip


@st.cache_resource(show_spinner=False, max_entries=8)
def _opened(key: tuple[tuple[str, str], ...], _comparison: Comparison, _place: int) -> Shown:
    return open_shown(_comparison.task, _comparison.standings[_place].entry)


def _draw_pictures(comparison: Comparison, item: str, places: tuple[int, int]) -> None:
    opened = []
    for place in places:
        entry = comparison.standings[place].entry
        opened.append(_opened(((entry.entry_id, entry.stamp),), comparison, place))
    section = _pick_section(opened[0], item)
    panes = [pane for shown in opened if (pane := shown.pane(item, section)) is not None]
    if len(panes) < len(places):
        st.caption(tr("compare_page.no_picture"))
        return
    is_wiped = st.toggle(tr("compare_page.wipe"), key="compare.wipe")
    title = Text("compare_page.pictures", item=verbatim(item))
    size, unit = panes[0].pixel_size, panes[0].unit
    view = ImageView(title, tuple(panes), pixel_size=size, unit=unit, wipe=is_wiped)
    draw(view, "compare.pictures")


def _pick_section(shown: Shown, item: str) -> int | None:
    """Draw the slider through a volume, on the section that tells most at first."""
    found = shown.section_to_show(item)
    if found is None:
        return None
    first, count = found
    key = f"compare.section.{item}"
    st.session_state[key] = min(int(st.session_state.get(key, first + 1)), count)
    return int(st.slider(tr("compare_page.section", n=count), 1, count, key=key)) - 1


# --- metrics --------------------------------------------------------------------------------------


def _metric_view(comparison: Comparison, first: int, second: int) -> IntervalsView:
    """Draw the difference by every metric: per class where a task has a metric a class."""
    found = differences_of(comparison, first, second)
    bounds = [d.interval or (np.nan, np.nan) for _, d in found]
    names = [comparison.standings[place].entry.name for place in (first, second)]
    return IntervalsView(
        Text("compare_page.metric_gaps", first=names[0], second=names[1]),
        names=tuple(metric.label for metric, _ in found),
        values=np.array([d.value for _, d in found]),
        low=np.array([low for low, _ in bounds]),
        high=np.array([high for _, high in bounds]),
        x_label=Text("compare_page.gap_axis", first=names[0], second=names[1]),
        mark_x=0.0,
    )
