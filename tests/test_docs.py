"""What the documents say is so: commands, links, the parts of a task's README, drawn views."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from pipelines import cli, commands, config, contract, registry, views

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PARTS = ("Data", "Licence", "Split", "Metric")


def code_lines(text: str) -> list[str]:
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def part(text: str, name: str) -> str:
    """Return the words under `## Name`, or behind `**Name.**`, up to the next such mark."""
    found = re.search(rf"^(?:## {name}|\*\*{name}\.\*\*)(.*?)(?=^## |^\*\*|\Z)", text, re.M | re.S)
    return found.group(1).strip() if found else ""


@pytest.mark.parametrize("task_id", registry.task_ids())
@pytest.mark.parametrize("name", PARTS)
def test_the_readme_of_a_task_names_data_licence_split_and_metric(task_id: str, name: str) -> None:
    readme = ROOT / "pipelines" / "tasks" / task_id / "README.md"

    assert len(part(readme.read_text(), name)) >= 40, f"{readme} says nothing under {name}"


@pytest.mark.parametrize("task_id", registry.task_ids())
def test_a_task_is_listed_in_the_changelog(task_id: str) -> None:
    """Its English title stands there, so that users learn that it exists."""
    from pipelines.text import render

    title = render(registry.get_task(task_id).title, "en")
    assert title.lower() in (ROOT / "CHANGELOG.md").read_text().lower()


def test_the_readme_shows_every_command_as_it_is() -> None:
    shown = [line for line in code_lines(README) if line.startswith("python -m pipelines")]
    for command in cli.commands():
        assert command.usage in shown


def test_the_examples_of_the_readme_are_understood() -> None:
    known = {command.name: command for command in cli.commands()}
    usages = {command.usage for command in cli.commands()}
    examples = [
        line
        for line in code_lines(README)
        if line.startswith("python -m pipelines") and line not in usages
    ]
    assert examples
    for line in examples:
        name, *words = shlex.split(line)[3:]
        values = commands.parse(known[name], words)
        if "task" not in values:
            continue
        task = registry.get_task(values["task"])
        options = {info.name for info in config.describe(task.config_type)}
        assert {pair.partition("=")[0] for pair in values.get("set", ())} <= options
        assert values.get("preset", "quick") in task.presets


def test_the_readme_names_every_setting() -> None:
    settings = (ROOT / "pipelines" / "settings.py").read_text()
    assert set(re.findall(r'"(MICROSCOPY_\w+)"', settings)) <= set(
        re.findall(r"`(MICROSCOPY_\w+)`", README)
    )


def test_the_check_script_calls_the_test_command_of_the_readme() -> None:
    commands_shown = [line for line in code_lines(README) if line.startswith("pip install")]

    assert commands_shown[0] == "pip install -r requirements.txt && streamlit run streamlit_app.py"
    assert commands_shown[1] == "pip install -r requirements-dev.txt && pytest"
    script = (ROOT / ".ci" / "run").read_text()
    assert "pip install -q -r requirements-dev.txt && pytest" in script


def test_every_link_leads_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            is_file = not re.match(r"https?:|mailto:", target)
            if is_file and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert broken == []


def test_every_decision_stands_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    notes = {path.name for path in folder.glob("[0-9]*.md")}

    assert notes == set(re.findall(r"\]\((\d[^)]*\.md)\)", (folder / "README.md").read_text()))
    numbers = [name.split("-")[0] for name in notes]
    assert len(set(numbers)) == len(numbers)


def test_the_diagram_shows_the_whole_way_of_the_data() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    diagram = re.search(r"```mermaid\n(.*?)```", text, flags=re.DOTALL)
    assert diagram is not None
    stages = (
        "file", "dataset", "split", "run", "checkpoint", "prediction", "statistics", "figures",
        "view",
    )  # fmt: skip
    places = [diagram.group(1).find(f"{stage}[") for stage in stages]
    assert -1 not in places
    assert places == sorted(places)


def test_every_name_on_an_arrow_of_the_diagram_is_in_the_code() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    arrows = " ".join(re.findall(r"-->\|(.*?)\|", text))
    names = re.findall(r"\b([A-Za-z_]+(?:\.[a-z_]+)+)", arrows)
    assert len(names) > 10
    for name in names:
        owner, _, last = name.rpartition(".")
        if owner == "dashboard":
            assert (ROOT / "dashboard" / f"{last}.py").is_file(), name
        elif owner in ("Task", "Panel"):
            holder = getattr(contract, owner)
            assert hasattr(holder, last) or last in holder.__dataclass_fields__, name
        else:
            assert hasattr(importlib.import_module(f"pipelines.{owner}"), last), name


def test_the_guide_to_a_new_task_names_what_there_is() -> None:
    """Every method that must be written, and every function that helps, under its real name."""
    text = (ROOT / "docs" / "adding_a_task.md").read_text()
    names = set(re.findall(r"`([\w.]+)`", text))

    assert contract.Task.__abstractmethods__ <= names
    helpers = [n for n in names if n.split(".")[0] in ("core", "datasets", "config", "palette")]
    assert len(helpers) > 10
    for name in helpers:
        owner, _, last = name.rpartition(".")
        if last != "py":
            assert hasattr(importlib.import_module(f"pipelines.{owner}"), last), name
    optional = re.search(r"Optional, each with a default:\n(.*?)\. A demo", text, re.S)
    assert optional is not None
    for name in re.findall(r"`(\w+)`", optional.group(1)):
        assert name in vars(contract.Task), name


def test_every_requirement_is_pinned_and_has_its_reason() -> None:
    note = (ROOT / "docs" / "decisions" / "0008-dependencies.md").read_text()
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, f"{name} is not pinned"
            assert re.search(rf"\b{re.escape(name)}\b", note), f"{name} has no reason in note 8"


def test_every_view_has_a_renderer() -> None:
    from dashboard.renderers import draw

    kinds = [
        kind
        for kind in vars(views).values()
        if isinstance(kind, type) and issubclass(kind, views.View) and kind is not views.View
    ]
    assert len(kinds) > 5
    drawn = draw.registry.keys()
    assert [kind.__name__ for kind in kinds if kind not in drawn] == []
