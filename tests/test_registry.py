"""A task folder that is broken says so in one sentence, and the others go on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pipelines.tasks
from pipelines import registry, text
from pipelines.cli import main
from pipelines.errors import TaskLoadError
from pipelines.jobs.worker import explain
from pipelines.text import LANGUAGES, Text, render

Plant = Callable[..., None]
NAME = "planted_task"
SOUND = f"""
class Task:
    id = "{NAME}"
TASK = Task()
"""


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """Return a function that writes files of one more task folder."""
    folder = tmp_path / "tasks" / NAME
    folder.mkdir(parents=True)
    for real in registry._FOLDER.glob("*/__init__.py"):
        (tmp_path / "tasks" / real.parent.name).mkdir()
        (tmp_path / "tasks" / real.parent.name / "__init__.py").touch()
    monkeypatch.setattr(registry, "_FOLDER", tmp_path / "tasks")
    path = [*pipelines.tasks.__path__, str(tmp_path / "tasks")]
    monkeypatch.setattr(pipelines.tasks, "__path__", path)

    def write(**files: str) -> None:
        for name, content in files.items():
            (folder / f"{name}.py").write_text(content)
        importlib.invalidate_caches()

    yield write
    sys.modules.pop(f"pipelines.tasks.{NAME}", None)


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        ({"__init__": "def broken(:"}, "SyntaxError"),
        ({"__init__": "import a_package_that_nobody_has"}, "a_package_that_nobody_has"),
        ({"__init__": "raise SystemExit('unfit')"}, "unfit"),
        ({"__init__": ""}, "TASK"),
        ({"task": SOUND}, "TASK"),
        ({"__init__": "TASK = None"}, "NoneType"),
        ({"__init__": SOUND}, "title"),
        ({"__init__": SOUND.replace(NAME, "another_name")}, "another_name"),
    ],
)
def test_a_broken_folder_is_named_with_its_cause_and_the_others_load(
    plant: Plant, files: dict[str, str], cause: str
) -> None:
    plant(**files)

    working, broken = registry.load_tasks()

    assert len(working) == len(registry.task_ids()) - 1
    assert [b.task_id for b in broken] == [NAME]
    for language in LANGUAGES:
        words = render(broken[0].text, language)
        assert NAME in words
        assert cause in words
        assert ".." not in words


def test_a_task_without_words_is_broken_and_told_which_files_it_lacks(plant: Plant) -> None:
    """Pages and menus once showed `nuclei.title` where its catalogue was forgotten."""
    plant(
        __init__="from pipelines.text import Text\n"
        + SOUND.replace("TASK", 'Task.title = Task.summary = Text("planted.title")\nTASK')
    )

    with pytest.raises(TaskLoadError, match=r"locale/planted\.en\.po"):
        registry.get_task(NAME)


def test_a_folder_that_holds_no_module_is_no_task(plant: Plant, tmp_path: Path) -> None:
    """Another branch leaves `__pycache__` behind; an editor leaves a hidden folder."""
    (tmp_path / "tasks" / NAME / "__pycache__").mkdir()
    hidden = tmp_path / "tasks" / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "copy.py").touch()

    assert NAME not in registry.task_ids()
    assert hidden.name not in registry.task_ids()


def test_the_command_line_lists_the_others_and_says_one_sentence(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(__init__="def broken(:")

    assert main(["list", "--language", "en"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(registry.task_ids())
    assert NAME in lines[-1]
    assert "The other tasks work" in lines[-1]


@pytest.mark.parametrize(
    "content", [b'msgstr "a"\nmsgid "damaged.one"\nmsgstr "b"\n', b"\xff\xfe\x00msgid"]
)
def test_a_damaged_catalogue_does_not_silence_the_others(
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One task's file in another encoding once ended every command and every page."""
    (tmp_path / "damaged.en.po").write_bytes(content)
    (tmp_path / "sound.en.po").write_text('msgid "sound.one"\nmsgstr "One"\n', encoding="utf-8")
    monkeypatch.setattr(text, "_extra_folders", [*text._extra_folders, tmp_path])
    text._catalogue.cache_clear()
    try:
        assert render(Text("sound.one"), "en") == "One"
        assert render(Text("core.seconds", n=2), "en") == "2 seconds"
        assert "damaged.en.po" in caplog.text
        assert not text.has_words(Text("damaged.one"))
    finally:
        monkeypatch.undo()
        text._catalogue.cache_clear()


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ModuleNotFoundError("No module named 'a.b'", name="a.b"), "a"),
        (ModuleNotFoundError("No module named 'pipelines.x'", name="pipelines.x"), None),
        (ImportError("cannot import name 'y' from 'a'", name="a"), None),
    ],
)
def test_a_package_that_is_missing_in_the_middle_of_the_work_is_named(
    error: Exception, package: str | None, tmp_path: Path
) -> None:
    """A task imports heavy packages late, so that their lack shows when it trains."""
    said = explain(error, tmp_path)

    assert said.id == ("jobs.bug" if package is None else "jobs.no_package")
    assert said.params.get("package") == package
