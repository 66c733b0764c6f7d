from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines import actions, config, datasets, registry
from pipelines.contract import ExportableNetwork
from pipelines.core.checkpoints import load_card
from pipelines.errors import CheckpointMismatchError
from pipelines.evidence import onnx_file
from pipelines.evidence.onnx_file import export_network
from pipelines.evidence.pack import write_pack
from pipelines.jobs import store, worker
from pipelines.jobs.store import NewRun, Status
from pipelines.settings import REPOSITORY, load_settings
from pipelines.text import render, verbatim

torch = pytest.importorskip("torch")
DEMOS = REPOSITORY / "checkpoints"


def network(module) -> ExportableNetwork:
    inputs = np.random.default_rng(0).normal(size=(3, 1, 12, 16)).astype(np.float32)
    axes = ("batch", "channel", "y", "x")
    return ExportableNetwork(
        module.eval(), inputs, axes, free=("batch", "y", "x"), note=verbatim("-")
    )


def test_an_exported_network_answers_as_torch_does_at_any_size(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU())
    path = tmp_path / "model.onnx"
    outcome = export_network(lambda: network(module), path)

    assert outcome.check is not None
    assert outcome.check.is_passed
    assert outcome.check.largest_difference < 1e-5
    assert "3 real inputs" in render(outcome.text, "en")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    other = np.random.default_rng(1).normal(size=(2, 1, 7, 9)).astype(np.float32)
    (found,) = session.run(None, {"input": other})
    wanted = module(torch.from_numpy(other)).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_file_that_answers_otherwise_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    monkeypatch.setattr(onnx_file, "_write", lambda network, path: path.write_bytes(b"onnx"))
    monkeypatch.setattr(onnx_file, "_onnx_answers", lambda path, inputs: inputs + 0.01)
    outcome = export_network(lambda: network(torch.nn.Identity()), path)

    assert outcome.check is not None
    assert not outcome.check.is_passed
    assert "differed from PyTorch by 0.01" in render(outcome.text, "en")
    assert not path.exists()


def test_a_network_that_cannot_be_exported_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(network: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("operator foo is unknown\nand much more")

    monkeypatch.setattr(onnx_file, "_write", fail)
    outcome = export_network(lambda: network(torch.nn.Identity()), tmp_path / "model.onnx")
    assert outcome.check is None
    assert "operator foo is unknown" in render(outcome.text, "fr")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_their_network_are_said_as_well(tmp_path: Path) -> None:
    def open_network() -> ExportableNetwork:
        raise CheckpointMismatchError(verbatim("the weights are of another network"))

    outcome = export_network(open_network, tmp_path / "model.onnx")
    assert "the weights are of another network" in render(outcome.text, "en")


def test_a_model_that_is_no_network_is_said_in_one_sentence(tmp_path: Path) -> None:
    outcome = export_network(lambda: None, tmp_path / "model.onnx")
    assert outcome.check is None
    assert "no network" in render(outcome.text, "en")


@pytest.mark.slow
@pytest.mark.parametrize(
    "task_id", [t for t in registry.task_ids() if (DEMOS / t / "demo").is_dir()]
)
def test_the_demo_model_of_every_task_that_has_one_is_packed(
    task_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path))
    settings, task = load_settings(), registry.get_task(task_id)
    checkpoint = settings.checkpoints / task_id / "demo"
    card = load_card(checkpoint)
    wanted = config.to_json(actions.prediction_config(task, card, {"device": "cpu"}))
    record = datasets.builtin_sample(task, settings)
    labelled = tuple(item.item_id for item in record.items if item.has_truth)[:40]
    new = NewRun(task_id, "predict", wanted, record, checkpoint=checkpoint, item_ids=labelled)
    run = worker.work(store.create_run(new, settings).folder)
    assert run.status is Status.FINISHED

    pack = write_pack(run, tmp_path / "pack", settings)

    assert pack.notes == ()
    # forty pictures may be of one class: figures not defined then are left out, not made up
    has_network = card.num_parameters > 0
    assert (pack.folder / "model.onnx").is_file() == has_network
    assert (pack.onnx.check is not None) == has_network
    page = (pack.folder / "report.fr.html").read_text()
    assert page.count("<figure>") >= 2
    for metric in task.metrics[:1]:
        assert render(metric.label, "fr") in page
