"""What a person hands on and brings in: pack, report, checkpoints, weights of other programs.

One visit, told in order, in French; the report is opened as a file of its own, on a phone's width.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pipelines import config as configs
from pipelines import datasets, registry
from pipelines.evidence.manifest import MANIFEST
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Run
from pipelines.settings import load_settings
from pipelines.tasks.em_membrane import fake
from tests.browser.test_em_journey import keyed, settle

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

APP = Path(__file__).parents[2] / "streamlit_app.py"
WAIT_MS = 240_000
PHONE_PX = 420

pytestmark = pytest.mark.browser


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Make a home with one finished run: the filter that stands beside the networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
        images, inside = fake.generate_stack(6, 96, seed=3)
        stack = tmp_path / "stack"
        stack.mkdir()
        tifffile.imwrite(stack / "train-volume.tif", images)
        tifffile.imwrite(stack / "train-labels.tif", inside.astype(np.uint8) * 255)
        settings, task = load_settings(), registry.get_task("em_membrane")
        record = datasets.register(task, stack, {}, settings)
        config = configs.parse(task.config_type, {"architecture": "baseline"})
        new = NewRun(task.id, "train", configs.to_json(config), record, task.split(record, config))
        yield worker.work(store.create_run(new, settings).folder)


@pytest.fixture
def address(run: Run, serve: Callable[..., str], tmp_path: Path) -> str:
    env = {"MICROSCOPY_HOME": str(tmp_path / "home"), "MICROSCOPY_DATA_ROOTS": str(tmp_path)}
    return serve(APP, env=env | {"OMP_NUM_THREADS": "1"})


def test_evidence_is_handed_on_and_what_comes_in_is_looked_at(
    run: Run, address: str, page, context, tmp_path: Path, screenshot
) -> None:
    page.goto(f"{address}/runs?lang=fr&open={run.run_id}")
    archive = make_the_pack(page, run, tmp_path)
    open_the_report(context, archive, run, screenshot)
    bring_the_pack_back(page, address, run, archive)
    refuse_a_later_pack(page, address, archive, tmp_path)
    delete_and_restore(page, address, run, screenshot)
    refuse_code(page, address, tmp_path, screenshot)


def make_the_pack(page, run: Run, folder: Path) -> Path:
    keyed(page, f"pack.{run.run_id}").get_by_role("button").click(timeout=WAIT_MS)
    button = keyed(page, f"pack.{run.run_id}..zip").get_by_role("button")
    button.wait_for(timeout=WAIT_MS)
    with page.expect_download(timeout=WAIT_MS) as download:
        button.click()
    target = folder / "evidence.zip"
    download.value.save_as(target)
    return target


def open_the_report(context, archive: Path, run: Run, screenshot) -> None:
    """It reads in French, says the run's figure, draws vectors, and asks nothing of a server."""
    with zipfile.ZipFile(archive) as file:
        file.extract("report.fr.html", archive.parent)
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.set_viewport_size({"width": PHONE_PX, "height": 900})
    opened.goto((archive.parent / "report.fr.html").as_uri())
    expect(opened.get_by_role("heading", name="Comment le refaire")).to_be_visible()
    assert opened.evaluate("document.documentElement.lang") == "fr"
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE_PX
    assert opened.locator("figure svg text").count() > 10  # words of figures stay words
    scores = run.scores()
    assert scores
    value = scores["parts"]["validation"]["metrics"]["v_rand"]
    expect(opened.get_by_text(f"{value:.3g}".replace(".", ",")).first).to_be_visible()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    screenshot(opened, "evidence-report-fr")
    opened.close()


def bring_the_pack_back(page, address: str, run: Run, archive: Path) -> None:
    store.delete_run(run)
    page.goto(f"{address}/runs?lang=fr")
    page.get_by_text("Importer un dossier de preuves").click(timeout=WAIT_MS)
    page.locator("input[type=file]").set_input_files(archive)
    page.get_by_role("button", name="Importer", exact=True).click(timeout=WAIT_MS)
    expect(keyed(page, f"pack.{run.run_id}")).to_be_visible(timeout=WAIT_MS)
    settle(page)


def refuse_a_later_pack(page, address: str, archive: Path, folder: Path) -> None:
    later = folder / "later.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(later, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == MANIFEST:
                content = json.dumps({**json.loads(content), "version": 99}).encode()
            new.writestr(name, content)
    page.goto(f"{address}/runs?lang=fr")
    page.get_by_text("Importer un dossier de preuves").click(timeout=WAIT_MS)
    page.locator("input[type=file]").set_input_files(later)
    page.get_by_role("button", name="Importer", exact=True).click(timeout=WAIT_MS)
    expect(page.get_by_text("une version plus récente")).to_be_visible(timeout=WAIT_MS)


def delete_and_restore(page, address: str, run: Run, screenshot) -> None:
    page.goto(f"{address}/checkpoints?lang=fr")
    card = keyed(page, f"checkpoint-em_membrane-{run.run_id}")
    expect(card).to_be_visible(timeout=WAIT_MS)
    card.get_by_role("button", name="Supprimer").click()
    keyed(page, f"checkpoint.em_membrane.{run.run_id}.delete").get_by_role("button").click()
    expect(card).to_have_count(0, timeout=WAIT_MS)
    keyed(page, "checkpoints.undo").get_by_role("button").click()
    expect(card).to_be_visible(timeout=WAIT_MS)
    settle(page)
    screenshot(page, "evidence-checkpoints-fr")


def refuse_code(page, address: str, folder: Path, screenshot) -> None:
    """A `.pth` that would run a command is named as such, and the command never runs."""
    import torch

    mark, file = folder / "was-run", folder / "evil.pth"
    torch.save({"conv.weight": Evil(mark)}, file)
    page.get_by_text("Importer un modèle").first.click()
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.get_by_text("du code").first).to_be_visible(timeout=WAIT_MS)
    assert not mark.exists()
    screenshot(page, "evidence-code-refused-fr")
