"""The laws of the address: it restores a view, it wins when it changes, and nonsense is ignored."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.settings import REPOSITORY

PAGE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import streamlit as st
from dashboard.address import keep, restore
from dashboard.words import choose_language, language

OPTIONS = ["red", "green", "blue"]
restore("colour", "choice.colour", OPTIONS, "red")
names = {{"en": str.upper, "fr": lambda name: f"le {{name}}"}}[language()]
value = st.session_state["choice.colour"]
if not st.session_state.get("is_hidden"):
    st.segmented_control("colour", OPTIONS, format_func=names, key="choice.colour", required=True)
    value = st.session_state["choice.colour"]
keep("colour", value if value != "red" else None)
st.session_state["shown"] = value
"""


def visit(**query: str) -> AppTest:
    app = AppTest.from_string(PAGE, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def shown(app: AppTest) -> str:
    assert not app.exception
    return str(app.session_state["shown"])


def address(app: AppTest) -> dict[str, str]:
    return {name: str(value) for name, value in app.query_params.items()}


def test_an_empty_address_shows_the_default_and_stays_empty() -> None:
    app = visit()

    assert shown(app) == "red"
    assert "colour" not in address(app)


@pytest.mark.parametrize("colour", ["green", "blue"])
def test_what_was_kept_restores_the_view_in_another_session(colour: str) -> None:
    first = visit()
    first.button_group(key="choice.colour").set_value(colour).run()
    assert address(first)["colour"] == colour

    second = visit(colour=address(first)["colour"])

    assert shown(second) == colour
    assert address(second) == address(first)


@pytest.mark.parametrize("nonsense", ["", "purple", "GREEN", "../green", "0"])
def test_a_value_that_is_no_option_is_ignored_and_leaves_the_address(nonsense: str) -> None:
    app = visit(colour=nonsense)

    assert shown(app) == "red"
    assert "colour" not in address(app)


def test_nonsense_in_a_changed_address_keeps_what_was_chosen() -> None:
    app = visit(colour="green")
    app.query_params["colour"] = "purple"
    app.run()

    assert shown(app) == "green"
    assert address(app)["colour"] == "green"


def test_a_changed_address_wins_over_the_session() -> None:
    """Back and Forward change the address alone; the page must follow."""
    app = visit()
    app.button_group(key="choice.colour").set_value("blue").run()

    app.query_params["colour"] = "green"
    app.run()

    assert shown(app) == "green"


def test_an_unchanged_address_does_not_undo_a_choice() -> None:
    app = visit(colour="green")
    app.button_group(key="choice.colour").set_value("blue").run()
    assert shown(app) == "blue"

    app.run()
    assert shown(app) == "blue"
    assert address(app)["colour"] == "blue"


def test_a_choice_outlives_steps_that_do_not_draw_its_widget() -> None:
    """A data set chosen on one step was forgotten on the next: training took the sample instead."""
    app = visit()
    app.button_group(key="choice.colour").set_value("blue").run()

    app.session_state["is_hidden"] = True
    for _ in range(3):
        app.run()
        assert shown(app) == "blue"
        assert address(app)["colour"] == "blue"
    app.session_state["is_hidden"] = False
    app.run()

    assert shown(app) == "blue"


def test_back_to_an_address_without_the_name_shows_the_default() -> None:
    app = visit()
    app.button_group(key="choice.colour").set_value("blue").run()

    del app.query_params["colour"]
    app.run()

    assert shown(app) == "red"


def test_a_visit_to_another_page_keeps_what_was_chosen() -> None:
    """Links of the navigation lead to addresses without parameters; that is no way back."""
    app = visit()
    app.button_group(key="choice.colour").set_value("blue").run()

    del app.query_params["colour"]
    app.session_state["address.is_other_page"] = True
    app.run()

    assert shown(app) == "blue"
    assert address(app)["colour"] == "blue"


def test_the_default_removes_the_name_from_the_address() -> None:
    app = visit(colour="green")
    app.button_group(key="choice.colour").set_value("red").run()

    assert "colour" not in address(app)


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_address_means_the_same_in_every_language(lang: str) -> None:
    app = visit(colour="blue", lang=lang)

    assert shown(app) == "blue"
    assert address(app)["colour"] == "blue"


def test_changing_the_language_keeps_the_choice() -> None:
    app = visit(lang="en")
    app.button_group(key="choice.colour").set_value("green").run()

    app.query_params["lang"] = "fr"
    app.run()

    assert shown(app) == "green"
    assert address(app)["colour"] == "green"


# --- sliders --------------------------------------------------------------------------------------

SLIDER = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import streamlit as st
from dashboard.steps.items import pick_item

st.session_state["index"] = pick_item([f"section {{i}}" for i in range(9)])
"""


def slide(**query: str) -> AppTest:
    app = AppTest.from_string(SLIDER, default_timeout=60)
    for name, value in {"lang": "en", **query}.items():
        app.query_params[name] = value
    return app.run()


def test_the_item_of_the_address_is_shown_and_an_item_that_is_not_there_is_bounded() -> None:
    assert slide(item="4").session_state["index"] == 3
    assert slide(item="99").session_state["index"] == 8
    assert slide(item="no number").session_state["index"] == 0
    assert "item" not in address(slide())


def test_an_older_address_of_its_own_does_not_pull_a_fast_slider_back() -> None:
    """The browser sends the address it has: while a handle is dragged, an older one."""
    app = slide()
    for number in (3, 6, 8):
        app.slider(key="choice.item").set_value(number).run()
    app.query_params["item"] = "6"
    app.run()

    assert app.session_state["index"] == 7
    assert app.slider(key="choice.item").value == 8
    assert address(app)["item"] == "8"


def test_going_back_to_an_older_item_later_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back asks for an item that the page itself wrote a while ago; it did nothing."""
    app = slide()
    for number in (3, 6):
        app.slider(key="choice.item").set_value(number).run()
    monkeypatch.setattr("dashboard.address._LATE_S", 0.0)
    app.query_params["item"] = "3"
    app.run()

    assert app.session_state["index"] == 2
    assert app.slider(key="choice.item").value == 3


def test_an_item_chosen_in_the_picture_moves_the_slider() -> None:
    app = slide()
    app.session_state["item.shown"] = 5  # what a step inside the picture sets before the rerun
    app.run()

    assert app.slider(key="choice.item").value == 5
    assert address(app)["item"] == "5"


def test_a_widget_that_comes_back_is_told_its_value_by_the_page() -> None:
    """A choice was lost on the way over steps without its picker.

    The value was set on such a step, one run before the picker came back: Streamlit then tells the
    browser nothing, the browser shows the first option, and sends that with the next click.
    """
    app = visit(colour="green")
    app.session_state["is_hidden"] = True
    app.run()
    app.run()
    app.session_state["is_hidden"] = False
    app.run()

    widget = app.button_group(key="choice.colour")
    assert widget.proto.set_value
    assert widget.value == "green"


LOST = (
    PAGE
    + """
from dashboard.address import take_lost
st.session_state["lost"] = take_lost()
"""
)


def test_what_the_address_names_in_vain_is_told_once() -> None:
    """A link to a deleted run showed the figures of another one without a word."""
    app = AppTest.from_string(LOST, default_timeout=60)
    app.query_params["colour"] = "purple"
    app.run()
    assert (shown(app), app.session_state["lost"]) == ("red", {"colour": "purple"})
    app.button_group(key="choice.colour").set_value("green").run()
    assert app.session_state["lost"] == {}
    app.query_params["colour"] = "blue"
    app.run()
    assert app.session_state["lost"] == {}
