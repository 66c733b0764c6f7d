"""Which language a visitor reads: the address, then the choice, then the browser's."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import words
from pipelines.settings import REPOSITORY
from pipelines.text import LANGUAGES, Text, render

PAGE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import streamlit as st
from dashboard.navigation import draw_language_switch
from dashboard.words import language, number, tr

draw_language_switch()
st.session_state["read"] = language()
st.text(tr("pages.data"))
st.text(number(0.25))
"""


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch):
    """Let the visitor's browser ask for a language."""

    def speak(tag: str) -> None:
        monkeypatch.setattr(words, "_browser_language", lambda: (tag or "en")[:2])

    return speak


def visit(session: str | None = None, **query: str) -> AppTest:
    app = AppTest.from_string(PAGE, default_timeout=60)
    if session is not None:
        app.session_state["language"] = session
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def read(app: AppTest) -> str:
    assert not app.exception
    return str(app.session_state["read"])


@pytest.mark.parametrize(
    ("asked", "chosen", "spoken", "wanted"),
    [
        ("fr", "en", "en", "fr"),
        ("en", "fr", "fr", "en"),
        (None, "fr", "en", "fr"),
        (None, "en", "fr", "en"),
        (None, None, "fr-CH", "fr"),
        (None, None, "en-GB", "en"),
        (None, None, "de-DE", "en"),
        (None, None, "", "en"),
    ],
)
def test_the_address_wins_over_the_choice_and_the_choice_over_the_browser(
    browser, asked: str | None, chosen: str | None, spoken: str, wanted: str
) -> None:
    browser(spoken)

    app = visit(chosen, **({"lang": asked} if asked else {}))

    assert read(app) == wanted


@pytest.mark.parametrize("nonsense", ["xx", "FR", "../en", "français"])
def test_a_language_that_there_is_not_does_not_break_the_page(browser, nonsense: str) -> None:
    browser("en")

    assert read(visit(lang=nonsense)) in LANGUAGES


def test_the_switch_changes_words_numbers_and_address(browser) -> None:
    browser("en")
    app = visit()
    assert [t.value for t in app.text] == ["Data", "0.25"]

    app.button_group(key="language.switch").set_value("fr").run()

    assert [t.value for t in app.text] == ["Données", "0,25"]
    assert app.query_params["lang"] == "fr"
    assert app.button_group(key="language.switch").value == "fr"


def test_the_choice_lasts_on_a_page_without_it_in_the_address(browser) -> None:
    """Links of the navigation lead to addresses without parameters."""
    browser("en")
    app = visit()
    app.button_group(key="language.switch").set_value("fr").run()

    del app.query_params["lang"]
    app.run()

    assert read(app) == "fr"


def test_french_signs_keep_their_line() -> None:
    """A line began with ": 1 est parfait" where the column was narrow."""
    said = Text("data.fact", name="a", value="b")

    assert render(said, "fr") == "a\u00a0: b"
    assert render(said, "en") == "a: b"


def test_a_file_name_is_not_read_as_markdown() -> None:
    """`![x](http://...)` in the name of a class had the page load a picture from elsewhere."""
    name = "![x](http://a.b/c.png) :red[y] $z$ <b>_é_"
    shown = words.say_plainly(Text("core.verbatim", value=name))
    assert shown == r"!\[x\](http://a.b/c.png) \:red\[y\] \$z\$ \<b>\_é\_"
    for usual in ("section 12.tif", "train_labels.csv", "C : x", "a/b-c.zip!d.png"):
        assert words.say_plainly(Text("core.verbatim", value=usual)) == usual
