import hashlib
from pathlib import Path

import pytest

from pipelines.contract import Inspection, Item, Problem, SourceFile
from pipelines.settings import Settings
from pipelines.text import Text


class TextTask:
    """Read a folder of text files, one item each; the group is the first letter."""

    id = "words"

    def inspect(self, source: Path, options):
        files, items, problems = [], [], []
        for path in sorted(source.glob("*.txt")):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            files.append(SourceFile(path.name, "text", len(content), digest))
            items.append(Item(path.stem, path.stem[0], not content.startswith(b"?")))
        if not items:
            problems.append(Problem("error", Text("data.no_items", path=source.name)))
        chosen = {"case": options.get("case", "lower")}
        title = source.name
        return Inspection(title, source, tuple(files), tuple(items), chosen, (), tuple(problems))

    def write_builtin_sample(self, folder: Path) -> None:
        (folder / "a1.txt").write_text("generated")


@pytest.fixture
def task():
    return TextTask()


@pytest.fixture
def settings(tmp_path):
    roots = (tmp_path / "home", tmp_path / "allowed")
    for root in roots:
        root.mkdir()
    return Settings(roots[0], roots, "marie", 1_000_000)


@pytest.fixture
def source(settings):
    folder = settings.data_roots[1] / "Été 2012"
    folder.mkdir()
    for name in ("a1", "a2", "a3", "b1", "b2"):
        (folder / f"{name}.txt").write_text(name)
    return folder
