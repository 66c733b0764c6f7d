"""Who may import whom, read from every import in the sources, wherever it stands in a file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import registry

ROOT = Path(__file__).resolve().parents[1]
STDLIB = set(sys.stdlib_module_names)

# What each part may import of the product; a name covers everything below it. The most specific
# part counts, and every part may import itself.
PRODUCT = {
    "pipelines": (),
    "pipelines.__main__": ("pipelines.cli",),
    "pipelines.text": (),
    "pipelines.errors": ("pipelines.text",),
    "pipelines.settings": ("pipelines.errors", "pipelines.text"),
    "pipelines.views": ("pipelines.text",),
    "pipelines.commands": ("pipelines.errors", "pipelines.text"),
    "pipelines.config": ("pipelines.errors", "pipelines.text"),
    "pipelines.contract": ("pipelines.commands", "pipelines.text", "pipelines.views"),
    "pipelines.registry": ("pipelines.contract", "pipelines.errors", "pipelines.text"),
    "pipelines.terminal": ("pipelines.commands", "pipelines.text"),
    "pipelines.palette": (),
    # what a run keeps; it is written by the work itself
    "pipelines.evidence.keep": (
        "pipelines.contract",
        "pipelines.core.device",
        "pipelines.core.files",
        "pipelines.core.provenance",
        "pipelines.errors",
        "pipelines.text",
    ),
    # what is made of runs afterwards: it stands beside the command line, above the work
    "pipelines.evidence": (
        "pipelines.actions",
        "pipelines.commands",
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.jobs",
        "pipelines.palette",
        "pipelines.registry",
        "pipelines.settings",
        "pipelines.studies",  # what several runs of a recipe are called on the command line
        "pipelines.text",
        "pipelines.views",
    ),
    "pipelines.core": ("pipelines.errors", "pipelines.text"),
    # what several tasks share beyond a single function: a task without data of its own
    "pipelines.core.classification": (
        "pipelines.commands",
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core",
        "pipelines.errors",
        "pipelines.text",
        "pipelines.views",
    ),
    "pipelines.datasets": (
        "pipelines.contract",
        "pipelines.core.dealing",
        "pipelines.core.files",
        "pipelines.core.images_files",  # natural order and members of archives
        "pipelines.errors",
        "pipelines.settings",
        "pipelines.text",
    ),
    "pipelines.actions": (
        "pipelines.settings",  # where locks lie
        "pipelines.compare.figures",
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core.checkpoints",
        "pipelines.core.files",
        "pipelines.core.intervals",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.evidence.keep",
        "pipelines.jobs.store",
        "pipelines.registry",
        "pipelines.text",
    ),
    "pipelines.compare": (
        "pipelines.actions",
        "pipelines.commands",
        "pipelines.contract",
        "pipelines.core.checkpoints",
        "pipelines.core.energy",
        "pipelines.core.files",
        "pipelines.core.intervals",
        "pipelines.core.metrics",
        "pipelines.core.paired",
        "pipelines.core.ranking",
        "pipelines.core.resampling",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.config",
        "pipelines.jobs.engines.local",  # opening the locked test set is a run
        "pipelines.jobs.store",
        "pipelines.registry",
        "pipelines.settings",
        "pipelines.text",
        "pipelines.views",
    ),
    # what a run's own scores are made with
    "pipelines.compare.figures": (
        "pipelines.contract",
        "pipelines.core.intervals",
        "pipelines.core.metrics",
        "pipelines.core.resampling",
        "pipelines.text",
    ),
    "pipelines.jobs": (
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core.files",
        "pipelines.core.provenance",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.registry",
        "pipelines.settings",
        "pipelines.text",
    ),
    "pipelines.jobs.worker": (
        "pipelines.actions",
        "pipelines.contract",
        "pipelines.core.energy",
        "pipelines.core.files",
        "pipelines.core.provenance",
        "pipelines.errors",
        "pipelines.jobs",
        "pipelines.text",
    ),
    "pipelines.studies": (
        "pipelines.actions",
        "pipelines.commands",
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core.files",
        "pipelines.core.intervals",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.jobs",
        "pipelines.registry",
        "pipelines.settings",
        "pipelines.text",
    ),
    "pipelines.cli": (
        "pipelines.actions",
        "pipelines.commands",
        "pipelines.compare",
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core.checkpoints",
        "pipelines.core.device",  # the names of devices
        "pipelines.core.files",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.evidence",
        "pipelines.jobs",
        "pipelines.registry",
        "pipelines.settings",
        "pipelines.studies",
        "pipelines.terminal",
        "pipelines.text",
    ),
    "pipelines.tasks": (
        "pipelines.commands",
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.text",
        "pipelines.views",
    ),
    # a copick configuration may name folders anywhere that data may be read by path
    "pipelines.tasks.cryoet_picking.data": (
        "pipelines.config",
        "pipelines.contract",
        "pipelines.errors",
        "pipelines.settings",
        "pipelines.text",
    ),
    # it may start from the weights that come with the product
    "pipelines.tasks.cryoet_picking.train": (
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core",
        "pipelines.errors",
        "pipelines.settings",
        "pipelines.text",
    ),
    "dashboard": (
        "pipelines.actions",
        "pipelines.compare",
        "pipelines.config",
        "pipelines.contract",
        "pipelines.core.checkpoints",  # lists them and reads cards; weights need torch, cards not
        "pipelines.core.device",  # what a device means in time, without torch
        "pipelines.core.files",
        "pipelines.core.intervals",
        "pipelines.datasets",
        "pipelines.errors",
        "pipelines.evidence",
        "pipelines.jobs",
        "pipelines.palette",
        "pipelines.registry",
        "pipelines.settings",
        "pipelines.studies",
        "pipelines.text",
        "pipelines.views",
    ),
    "streamlit_app": ("dashboard",),
}

# Packages from outside that the light parts may use; the others may use any but the banned ones.
LIGHT = {
    "pipelines": (),
    "pipelines.__main__": (),
    "pipelines.text": ("babel",),
    "pipelines.errors": (),
    "pipelines.settings": (),
    "pipelines.views": ("numpy",),
    "pipelines.commands": (),
    "pipelines.config": (),
    "pipelines.contract": ("numpy",),
    "pipelines.registry": (),
    "pipelines.terminal": (),
    "pipelines.palette": (),
    "pipelines.datasets": ("filelock", "numpy"),
    "pipelines.actions": (),
    "pipelines.compare": ("numpy",),
    "pipelines.studies": ("filelock", "numpy"),
    "pipelines.cli": (),
    "dashboard": ("numpy", "pandas", "plotly", "pydeck", "streamlit"),
    "streamlit_app": ("streamlit",),
}
ONLY_IN_THE_DASHBOARD = {"streamlit", "dashboard", "plotly", "pydeck"}


def is_below(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def part_of(module: str, parts: dict[str, tuple[str, ...]]) -> str:
    """Return the most specific part; `pipelines` alone stands for the empty package file."""
    found = [p for p in parts if is_below(module, p) and (p != "pipelines" or module == p)]
    assert found, f"{module} belongs to no part of the architecture: say where it belongs"
    return max(found, key=len)


def module_name(path: Path, root: Path = ROOT) -> str:
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports_of(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """List what a source imports, anywhere in it, relative imports resolved."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{origin}.{alias.name}"
                yield name if is_module(name) else origin


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def wrong_arrow(module: str, imported: str) -> str | None:
    """Say why `module` must not import `imported`, or return None."""
    if imported.split(".")[0] in STDLIB:
        return None
    part = part_of(module, PRODUCT)
    if imported.split(".")[0] in ("pipelines", "dashboard", "streamlit_app"):
        return _wrong_inside(module, part, imported)
    package = imported.split(".")[0]
    if part not in ("dashboard", "streamlit_app") and package in ONLY_IN_THE_DASHBOARD:
        return f"{module} imports {imported}: only dashboard/ draws"
    if part in LIGHT and package not in LIGHT[part]:
        return f"{module} imports {imported}: {part} may use {LIGHT[part]} from outside"
    return None


def _wrong_inside(module: str, part: str, imported: str) -> str | None:
    if is_below(imported, "pipelines.tasks") and is_below(module, "pipelines.tasks"):
        own = ".".join(module.split(".")[:3])
        return None if is_below(imported, own) else f"{module} imports another task: {imported}"
    if imported == "pipelines" or is_below(imported, part):
        return None
    if any(is_below(imported, allowed) for allowed in PRODUCT[part]):
        return None
    return f"{module} imports {imported}: {part} may import {PRODUCT[part]}"


def sources() -> list[Path]:
    folders = [ROOT / "pipelines", ROOT / "dashboard"]
    return [ROOT / "streamlit_app.py", *(p for f in folders for p in sorted(f.rglob("*.py")))]


def test_every_import_follows_the_arrows() -> None:
    wrong = []
    for path in sources():
        module = module_name(path)
        found = imports_of(path.read_text(), module, is_package=path.name == "__init__.py")
        wrong += [problem for name in found if (problem := wrong_arrow(module, name))]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pipelines.core.tiling", "import streamlit as st"),
        ("pipelines.core.tiling", "def f():\n    from dashboard.words import tr"),
        ("pipelines.tasks.one.data", "from pipelines.tasks.two.data import read"),
        ("pipelines.tasks.one.data", "from ..two import data"),
        ("pipelines.tasks.one.data", "from pipelines import registry"),
        ("pipelines.tasks.one.data", "from pipelines.jobs import store"),
        ("pipelines.core.tiling", "from pipelines.contract import Task"),
        ("pipelines.contract", "import torch"),
        ("pipelines.contract", "from pipelines.registry import get_task"),
        ("pipelines.settings", "import numpy"),
        ("pipelines.jobs.store", "from pipelines.actions import perform"),
        ("dashboard.pages.task", "import torch"),
        ("dashboard.pages.task", "from pipelines.core.training import fit"),
        ("dashboard.pages.task", "from pipelines.tasks.em_membrane import metrics"),
        ("streamlit_app", "from pipelines.registry import load_tasks"),
    ],
)
def test_a_wrong_arrow_is_found(module: str, source: str) -> None:
    """The test above would pass on anything if this one did not hold."""
    assert any(wrong_arrow(module, name) for name in imports_of(source, module))


DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
}
# torchvision: timm and the encoders import it, and it must fit torch; onnx, onnxscript: torch.onnx
NEEDED_BY_OTHERS = {"torchvision", "onnx", "onnxscript"}


def test_requirements_name_what_is_imported_and_nothing_else() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    required = {line.partition("==")[0] for line in lines if line and not line.startswith("#")}
    imported = (
        {
            name.split(".")[0]
            for path in sources()
            for name in imports_of(path.read_text(), module_name(path))
        }
        - STDLIB
        - {"pipelines", "dashboard"}
    )

    assert {DISTRIBUTIONS.get(name, name) for name in imported} == required - NEEDED_BY_OTHERS


def test_only_settings_read_the_environment() -> None:
    readers = set()
    for path in (ROOT / "pipelines").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_read = isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "os.environ.get", "os.getenv", "environ.get", "getenv",
            )  # fmt: skip
            if is_read:
                readers.add(module_name(path))
    # The engines hand an environment on to a worker and text libraries read none of it.
    assert readers == {"pipelines.settings"}


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


HEAVY = ("torch", "monai", "timm", "torchvision", "segmentation_models_pytorch", "captum")
SHOW_HEAVY = f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"


def test_listing_and_describing_all_tasks_does_not_import_torch() -> None:
    found = run_python(
        "import sys\n"
        "from pipelines import config, registry\n"
        "from pipelines.text import render\n"
        "for task in registry.load_tasks()[0]:\n"
        "    render(task.title, 'fr'), render(task.summary, 'en')\n"
        "    for kind in (task.config_type, task.data_options):\n"
        "        [render(i.label, 'en') for i in config.describe(kind)]\n"
        "    [render(p.title, 'en') for p in task.panels()]\n"
        "    task.commands(), task.metrics, task.presets\n"
        "    task.estimate_seconds(task.config_type(), 'cpu')\n" + SHOW_HEAVY
    )
    assert found == "[]"


def test_importing_every_module_of_the_dashboard_does_not_import_torch() -> None:
    modules = [module_name(path) for path in sorted((ROOT / "dashboard").rglob("*.py"))]
    found = run_python(
        f"import importlib, logging, sys\nlogging.disable()\nfor name in {modules!r}:\n"
        "    importlib.import_module(name)\n" + SHOW_HEAVY
    )
    assert found == "[]"


def test_every_task_folder_can_be_loaded() -> None:
    assert registry.task_ids()
    for task_id in registry.task_ids():
        assert registry.get_task(task_id).id == task_id
