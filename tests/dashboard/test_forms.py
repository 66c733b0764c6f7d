"""Options become widgets: which kind, when marked, how reset, what a preset sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import forms
from pipelines import config as configs
from pipelines import registry
from pipelines.jobs import warm
from pipelines.settings import REPOSITORY
from pipelines.tasks.em_membrane import fake
from pipelines.text import Text, render

TASK = registry.get_task("em_membrane")
TIMEOUT_S = 60

# One option a kind of widget; what a person would read are its ids, for no catalogue has them.
FORM = """
import sys
sys.path.insert(0, ROOT)
from dataclasses import dataclass
from typing import ClassVar
import streamlit as st
from dashboard.forms import draw_options
from pipelines import config as configs
from pipelines.config import option

@dataclass(frozen=True)
class Config:
    texts: ClassVar[str] = "test_form"
    few: str = option("a", choices=("a", "b"))
    many: str = option("a", choices=tuple("abcdefg"))
    bounded: float = option(0.5, low=0.0, high=1.0, step=0.05)
    whole: int = option(4, low=1, high=9, unit="px")
    wide: int = option(7, low=0, high=2**31 - 1)
    small: float = option(2e-3, low=1e-6, high=1.0)
    switch: bool = option(False)
    name: str = option("")
    only_b: int = option(3, low=1, high=9, only_if=("few", ("b",)))

infos = configs.describe(Config)
values = draw_options("form", infos, {i.name: i.default for i in infos})
st.session_state["result"] = values
""".replace("ROOT", repr(str(REPOSITORY)))


@pytest.fixture
def form() -> AppTest:
    return AppTest.from_string(FORM, default_timeout=TIMEOUT_S).run()


def result(app: AppTest) -> dict[str, object]:
    assert not app.exception
    return dict(app.session_state["result"])


# --- which widget ---------------------------------------------------------------------------------


def test_each_kind_of_option_gets_its_widget(form: AppTest) -> None:
    assert [b.key for b in form.button_group] == ["form.few"]
    assert [s.key for s in form.selectbox] == ["form.many"]
    assert [s.key for s in form.slider] == ["form.bounded", "form.whole"]
    assert [n.key for n in form.number_input] == ["form.wide", "form.small"]
    assert [t.key for t in form.toggle] == ["form.switch"]
    assert [t.key for t in form.text_input] == ["form.name"]


def test_an_untouched_form_returns_the_defaults_with_their_types(form: AppTest) -> None:
    values = result(form)

    assert values == {
        "few": "a", "many": "a", "bounded": 0.5, "whole": 4, "wide": 7, "small": 2e-3,
        "switch": False, "name": "", "only_b": 3,
    }  # fmt: skip
    assert {type(values[n]) for n in ("whole", "wide")} == {int}
    assert not form.button, "nothing is marked, so nothing can be reset"


def test_a_widget_shows_the_range_and_the_unit_of_its_option(form: AppTest) -> None:
    whole = form.slider(key="form.whole")

    assert (whole.min, whole.max, whole.step) == (1, 9, 1)
    assert "(px)" in whole.label
    assert "4 px" in whole.help, "the help ends with the default"


def test_an_option_that_does_not_matter_is_left_out_and_keeps_its_value(form: AppTest) -> None:
    assert "form.only_b" not in [s.key for s in form.slider]

    form.button_group(key="form.few").set_value("b").run()
    assert "form.only_b" in [s.key for s in form.slider]

    form.slider(key="form.only_b").set_value(8).run()
    form.button_group(key="form.few").set_value("a").run()
    assert "form.only_b" not in [s.key for s in form.slider]
    assert result(form)["few"] == "a"


@pytest.mark.parametrize("info", configs.describe(TASK.config_type), ids=lambda info: info.name)
def test_a_slider_can_show_the_default_of_its_option(info: configs.OptionInfo) -> None:
    """The learning rate, 0.002 in [0.000001, 1], once stood on a slider of steps of 0.01 as 0."""
    if forms._drawer(info) != "slider":
        return
    step = forms._step(info)
    values = [info.default, *(p[info.name] for p in TASK.presets.values() if info.name in p)]
    for value in values:
        positions = (float(value) - float(info.low or 0)) / step
        assert abs(positions - round(positions)) < 1e-6, (info.name, value, step)


# --- mark and reset -------------------------------------------------------------------------------


def test_a_changed_option_is_marked_and_reset_brings_the_default_back(form: AppTest) -> None:
    form.slider(key="form.bounded").set_value(0.75).run()

    assert result(form)["bounded"] == 0.75
    assert "●" in form.slider(key="form.bounded").label
    assert "●" not in form.slider(key="form.whole").label
    assert [b.key for b in form.button] == ["form.bounded.reset"]

    form.button(key="form.bounded.reset").click().run()
    assert result(form)["bounded"] == 0.5
    assert "●" not in form.slider(key="form.bounded").label
    assert not form.button


def test_every_kind_can_be_changed_and_reset(form: AppTest) -> None:
    form.button_group(key="form.few").set_value("b")
    form.selectbox(key="form.many").set_value("g")
    form.number_input(key="form.wide").set_value(123)
    form.toggle(key="form.switch").set_value(True)
    form.text_input(key="form.name").set_value("mine").run()

    values = result(form)
    changed = {n: values[n] for n in ("few", "many", "wide", "switch", "name")}
    assert changed == {"few": "b", "many": "g", "wide": 123, "switch": True, "name": "mine"}

    for name in changed:
        form.button(key=f"form.{name}.reset").click().run()
    assert {n: result(form)[n] for n in changed} == {
        "few": "a", "many": "a", "wide": 7, "switch": False, "name": "",
    }  # fmt: skip


# --- presets, on the real form --------------------------------------------------------------------


@pytest.fixture
def train_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], AppTest]]:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    monkeypatch.setattr(fake, "SAMPLE_SIDE_PX", 96)
    monkeypatch.setattr(warm, "prewarm", lambda *_: None)
    st.cache_resource.clear()

    def start() -> AppTest:
        page = f"from dashboard.pages.task import show\nshow({TASK.id!r})"
        app = AppTest.from_string(f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n{page}")
        app.default_timeout = TIMEOUT_S
        app.query_params["step"] = "train"
        return app.run()

    yield start
    st.cache_resource.clear()


def options_of(app: AppTest) -> dict[str, object]:
    found = {}
    for info in configs.describe(TASK.config_type):
        key = f"{TASK.id}.{info.name}"
        found[info.name] = app.session_state[key] if key in app.session_state else info.default  # noqa: SIM401 - it has no `get`
    return found


def test_the_first_preset_is_applied_on_the_first_visit(train_step: Callable) -> None:
    name, values = next(iter(TASK.presets.items()))
    app = train_step()

    assert app.button_group(key=f"{TASK.id}.preset").value == name
    assert options_of(app).items() >= dict(values).items()


def test_another_preset_sets_its_options_and_takes_back_those_of_the_former(
    train_step: Callable,
) -> None:
    app = train_step()
    app.button_group(key=f"{TASK.id}.preset").set_value("standard").run()

    assert not app.exception
    wanted = configs.to_json(configs.parse(TASK.config_type, TASK.presets["standard"]))
    assert options_of(app) == wanted


def test_an_own_change_survives_until_another_preset_is_chosen(train_step: Callable) -> None:
    app = train_step()
    app.number_input(key=f"{TASK.id}.time_limit_s").set_value(33.0).run()
    assert options_of(app)["time_limit_s"] == 33.0
    start = app.button(key=f"{TASK.id}.train").label
    assert start == render(Text("train_step.start", duration="33 s"), "en")

    app.run()
    assert options_of(app)["time_limit_s"] == 33.0
    app.button_group(key=f"{TASK.id}.preset").set_value("best").run()
    assert options_of(app)["time_limit_s"] == TASK.presets["best"]["time_limit_s"]


def test_options_survive_a_visit_to_another_step(train_step: Callable) -> None:
    """Streamlit forgets the state of widgets that are not drawn; a form must not."""
    app = train_step()
    app.number_input(key=f"{TASK.id}.time_limit_s").set_value(33.0).run()

    app.button_group(key="task.step").set_value("data").run()
    app.button_group(key="task.step").set_value("train").run()

    assert app.number_input(key=f"{TASK.id}.time_limit_s").value == 33.0


def test_what_is_for_experts_is_folded_away_and_says_what_was_changed() -> None:
    """`expert=True` stood at 57 options and no form looked at it: all stood in one long list."""
    code = FORM
    for usual, folded in (
        ("import draw_options", "import draw_group as draw_options"),
        ("switch: bool = option(False)", "switch: bool = option(False, expert=True)"),
        ("infos, {i.name: i.default", "infos, option_values('form', {i.name: i.default"),
        ("for i in infos})", "for i in infos}))\n"),
        (
            "import streamlit as st",
            "import streamlit as st\nfrom dashboard.state import option_values",
        ),
    ):
        assert usual in code
        code = code.replace(usual, folded)
    app = AppTest.from_string(code, default_timeout=TIMEOUT_S).run()

    (fold,) = app.expander
    assert fold.label == render(Text("forms.expert"), "en")
    assert [toggle.key for toggle in fold.toggle] == ["form.switch"]
    assert not fold.slider
    fold.toggle[0].set_value(v=True).run()
    assert app.expander[0].label.endswith(":primary[● 1]")
    assert result(app)["switch"] is True
