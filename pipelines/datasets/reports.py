"""What was found in the files of a data set when it was registered, kept beside its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.contract import Inspection, Problem
from pipelines.core.files import write_json
from pipelines.datasets.storage import dataset_folder
from pipelines.settings import Settings
from pipelines.text import Text


@dataclass(frozen=True)
class DatasetReport:
    """Hold the report on a registered data set.

    Attributes:
        source: What was inspected; inspecting it again reads the files anew.
        chosen: Options that a person chose in place of what is detected.
        facts: What was measured, with its value (number, `Text`, or string).
        problems: What is wrong with which file.
    """

    source: Path
    chosen: Mapping[str, str]
    facts: tuple[tuple[Text, Any], ...]
    problems: tuple[Problem, ...]


def save_report(
    dataset_id: str,
    source: Path,
    chosen: Mapping[str, str],
    found: Inspection,
    settings: Settings,
) -> None:
    """Write the report of an inspection."""
    # a text carries values of any kind through JSON, texts among them
    facts = [Text("data.fact", name=name, value=value).to_json() for name, value in found.facts]
    problems = [
        {"severity": p.severity, "text": p.text.to_json(), "path": p.path} for p in found.problems
    ]
    content = {
        "source": str(source.resolve()),
        "chosen": dict(chosen),
        "facts": facts,
        "problems": problems,
    }
    write_json(_path(dataset_id, settings), content, makes_folder=True)


def load_report(dataset_id: str, settings: Settings) -> DatasetReport | None:
    """Read the report, or None where there is none or it cannot be read: it can be made again."""
    try:
        data = json.loads(_path(dataset_id, settings).read_bytes())
        facts = [Text.from_json(fact).params for fact in data["facts"]]
        return DatasetReport(
            source=Path(data["source"]),
            chosen={str(name): str(value) for name, value in data["chosen"].items()},
            facts=tuple((fact["name"], fact["value"]) for fact in facts),
            problems=tuple(
                Problem(p["severity"], Text.from_json(p["text"]), str(p["path"]))
                for p in data["problems"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _path(dataset_id: str, settings: Settings) -> Path:
    return dataset_folder(dataset_id, settings) / "report.json"
