from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pipelines import config, datasets, registry
from pipelines.evidence.pack import write_pack
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Status
from pipelines.settings import REPOSITORY, load_settings


def test_the_notebook_of_a_pack_repeats_the_run_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run it in a kernel of its own, in the unpacked zip, as a reader would."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    settings, task = load_settings(), registry.get_task("own_images")
    record = datasets.builtin_sample(task, settings)
    wanted = config.parse(task.config_type, {"network": "statistics", "seed": 4})
    split = task.split(record, wanted)
    new = NewRun(task.id, "train", config.to_json(wanted), record, split, seed=4)
    run = worker.work(store.create_run(new, settings).folder)
    assert run.status is Status.FINISHED
    pack = write_pack(run, tmp_path / "pack", settings)
    zipfile.ZipFile(pack.archive).extractall(tmp_path / "elsewhere")
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "another home"))

    book = nbformat.read(tmp_path / "elsewhere" / "repeat.ipynb", as_version=4)
    nbformat.validate(book)
    folder = {"metadata": {"path": str(tmp_path / "elsewhere")}}
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources=folder).execute()

    said = "".join(
        output.get("text", "")
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "same data\n" in said
    assert "same split\n" in said
    assert "finished None\n" in said
    assert "The same: every figure and every answer" in said
