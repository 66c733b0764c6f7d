"""Train, predict, write, open and score, on tiny simulated tomograms."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pipelines import actions, cli
from pipelines.contract import OperatingPoint, TrainingData
from pipelines.datasets import given_split, split_to_json
from pipelines.errors import CheckpointMismatchError, ConfigError, DataFormatError
from pipelines.settings import REPOSITORY
from pipelines.tasks.cryoet_picking import TASK
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.predictions import candidates_of, picks_at
from tests.tasks.cryoet_picking.conftest import record_of

torch = pytest.importorskip("torch")

QUICK = dataclasses.replace(
    Config(), max_steps=2, time_limit_s=60.0, width=8, patch_vox=32, batch_size=2, device="cpu",
    symmetries="none", window_vox=64, pretrained=False,
)  # fmt: skip


class Reporter:
    """Take reports and wish nothing."""

    def __init__(self, folder):
        self.folder = folder
        self.points = []
        self.pictures = []
        self.notes = []

    def progress(self, done, total, stage, seconds_left):
        pass

    def metrics(self, values):
        self.points.append(dict(values))

    def picture(self, name, pixels, caption):
        self.pictures.append(pixels)

    def note(self, text):
        self.notes.append(text)

    def stop_wish(self):
        return None


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tree):
    run = Reporter(tmp_path_factory.mktemp("run"))
    samples = TASK.open_dataset(record_of(tree))
    folder = TASK.train(TrainingData(samples[:1], samples[1:]), QUICK, run)
    return folder, run


@pytest.fixture(scope="module")
def predicted(trained, tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prediction")
    record = record_of(tree)
    made = TASK.predict(trained[0], TASK.open_dataset(record), QUICK, Reporter(folder))
    return folder, list(TASK.write_predictions(made, record, folder))


def test_training_reports_f4_of_a_validation_tomogram_and_its_picks_in_a_slab(trained):
    _, run = trained
    assert any("f4" in p for p in run.points)
    assert run.pictures[-1].shape == (128, 128, 3)
    assert run.pictures[-1].dtype == np.uint8


def test_predictions_open_as_they_were_written(predicted):
    folder, made = predicted
    opened = TASK.open_predictions(folder)
    assert list(opened) == [p.item_id for p in made] == ["TS_1", "TS_2"]
    for one in made:
        for name, values in one.values.items():
            if values.dtype.kind == "f":
                assert_allclose(opened[one.item_id].values[name], values)


def test_written_files_hold_the_picks_above_the_threshold(predicted):
    folder, made = predicted
    rows = (folder / "submission.csv").read_text().splitlines()[1:]
    kept = [picks_at(candidates_of(p), {"threshold": 0.3}) for p in made]
    scored = sum(len(k) - len(k.of_kind("beta-amylase")) for k in kept)
    assert len(rows) == scored
    stored = folder / "picks/ExperimentRuns/TS_1/Picks/model_1_ribosome.json"
    points = json.loads(stored.read_text())["points"]
    assert len(points) == len(kept[0].of_kind("ribosome"))


def test_network_of_a_checkpoint_predicts_the_same_again(trained, tree, tmp_path):
    samples = TASK.open_dataset(record_of(tree), ["TS_1"])
    first, second = (
        next(iter(TASK.predict(trained[0], samples, QUICK, Reporter(tmp_path)))) for _ in range(2)
    )
    assert_allclose(first.values["scores"], second.values["scores"])


@pytest.fixture
def ready(trained):
    from pipelines.core.checkpoints import load_card, load_weights
    from pipelines.tasks.cryoet_picking.infer import make_ready
    from pipelines.tasks.cryoet_picking.model import build_network

    model = build_network(load_card(trained[0]).architecture)
    model.load_state_dict(load_weights(trained[0]))
    return make_ready(model, torch.device("cpu"), is_heat=False)


def test_windows_of_any_size_give_nearly_the_same_scores(ready, tree):
    from pipelines.tasks.cryoet_picking.infer import predict_scores
    from pipelines.tasks.cryoet_picking.volumes import normalised

    volume = normalised(TASK.open_dataset(record_of(tree))[0].image)
    full = dataclasses.replace(QUICK, precision="full", overlap=0.5)
    whole = predict_scores([ready], volume, full)
    assert whole.shape == (6, 24, 32, 32)
    cut = predict_scores([ready], volume, dataclasses.replace(full, window_vox=48))
    inner = (slice(None), slice(8, -8), slice(8, -8), slice(8, -8))
    assert np.abs(whole - cut)[inner].max() < 0.05


@pytest.mark.parametrize("batch", [2, 3, 16])
def test_windows_computed_together_score_as_one_by_one(ready, batch, monkeypatch):
    """Rotated and mirrored copies too; the last batch is smaller."""
    from pipelines.tasks.cryoet_picking import infer

    volume = np.random.default_rng(0).normal(size=(40, 70, 90)).astype(np.float16)
    config = dataclasses.replace(QUICK, window_vox=32, symmetries="all", precision="full")
    alone = infer.predict_scores([ready, ready], volume, config)
    shares = []
    monkeypatch.setattr(infer, "_fit", lambda *_: infer._Fit(32, batch))
    together = infer.predict_scores([ready, ready], volume, config, on_progress=shares.append)
    assert_allclose(together, alone, atol=1e-5)  # the order of sums in a convolution
    assert shares[-1] == 1.0
    assert len(shares) > 1 or batch == 16


def test_a_gpu_takes_as_many_windows_as_half_of_its_free_memory_holds(ready, monkeypatch):
    from pipelines.tasks.cryoet_picking import infer

    gpu = dataclasses.replace(ready, device=torch.device("cuda"))
    config = dataclasses.replace(QUICK, window_vox=64)
    a_window = 10 * 4 * 5 * QUICK.width / 8 * 64**3
    for free, expected in (
        (2.5 * a_window, infer._Fit(64, 1)),
        (8.5 * a_window, infer._Fit(64, 4)),
        (1e12, infer._Fit(64, 16)),
        (a_window / 2, infer._Fit(32, 2)),  # a smaller window before none at all
    ):
        monkeypatch.setattr(infer, "free_memory_bytes", lambda _, free=free: int(free))
        assert infer._fit(gpu, (184, 630, 630), config) == expected
    assert infer._fit(ready, (184, 630, 630), config).batch == 1, "alone on a CPU"


def test_memory_that_runs_out_halves_the_batch_and_then_the_window(ready, monkeypatch):
    from pipelines.errors import DeviceMemoryError
    from pipelines.tasks.cryoet_picking import infer

    tried = []

    def full(networks, windows, config):
        tried.append((len(windows), windows.shape[-1]))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(infer, "_fit", lambda *_: infer._Fit(96, 4))
    monkeypatch.setattr(infer, "_answer", full)
    with pytest.raises(DeviceMemoryError):
        infer.predict_scores([ready], np.zeros((96, 192, 192), np.float16), QUICK)
    assert tried == [(4, 96), (2, 96), (1, 96), (1, 48), (1, 32)]


def test_odd_sides_are_predicted_whole(ready):
    from pipelines.tasks.cryoet_picking.infer import predict_scores

    volume = np.random.default_rng(0).normal(size=(21, 43, 70)).astype(np.float16)
    scores = predict_scores([ready], volume, QUICK)
    assert scores.shape == (6, 11, 22, 35)
    assert (scores.sum(0) > 0).all()


def test_perfect_candidates_score_one(tree):
    for sample in TASK.open_dataset(record_of(tree)):
        from pipelines.tasks.cryoet_picking.predictions import to_prediction

        made = to_prediction(sample.truth.picks, sample.truth.particles, {}, group=sample.group)
        rows = TASK.statistics(made, sample.truth)
        figures = TASK.reduce(rows, TASK.best_operating_point(rows))
        present = {k for k, n in sample.truth.picks.counts().items() if n}
        assert all(figures[f"f4_{k}"] == pytest.approx(1.0) for k in present)


def test_submission_alone_is_evaluated_and_missing_tomograms_count(tree, tmp_path):
    from pipelines.tasks.cryoet_picking.picks import Picks
    from pipelines.tasks.cryoet_picking.submission import to_csv

    truths = TASK.open_truth(tree, ())
    everything = Picks.concatenate([t.picks for t in truths.values()])
    path = tmp_path / "submission.csv"
    path.write_bytes(to_csv(everything, truths["TS_1"].particles))
    _, whole = actions.run_evaluation(TASK, path, tree)
    (part,) = whole.parts.values()
    assert part.metrics["recall"] == pytest.approx(1.0)
    assert whole.operating_point.source == "default", "nothing in a submission can be tuned"
    path.write_bytes(to_csv(everything.of_experiment("TS_1"), truths["TS_1"].particles))
    _, half = actions.run_evaluation(TASK, path, tree)
    (part,) = half.parts.values()
    assert part.item_ids == ("TS_1", "TS_2")
    assert part.metrics["recall"] < 0.8


def test_evaluation_uses_the_thresholds_that_the_prediction_was_written_with(predicted, tree):
    folder, _ = predicted
    _, scores = actions.run_evaluation(TASK, folder, tree)
    assert scores.operating_point.source == "validation"
    assert set(scores.operating_point.thresholds.values()) == {0.3}


@pytest.mark.parametrize("name", ["templates", "blobs"])
def test_a_baseline_is_a_checkpoint_like_any_other(tree, tmp_path, name):
    config = dataclasses.replace(QUICK, architecture=name)
    samples = TASK.open_dataset(record_of(tree))
    folder = TASK.train(TrainingData(samples, ()), config, Reporter(tmp_path))
    made = next(iter(TASK.predict(folder, samples[:1], config, Reporter(tmp_path))))
    assert len(made.values["scores"]) > 0
    assert made.values["scores"].max() <= 1.0


def test_picks_without_tomograms_cannot_be_predicted(trained, tree, tmp_path):
    import shutil

    shutil.copytree(tree / "overlay", tmp_path / "overlay")
    samples = TASK.open_dataset(record_of(tmp_path))
    with pytest.raises(DataFormatError, match="TS_1"):
        next(iter(TASK.predict(trained[0], samples, QUICK, Reporter(tmp_path))))


def test_split_keeps_tomograms_whole_and_obeys_a_name(tree):
    record = record_of(tree)
    split = TASK.split(record, QUICK)
    assert sorted([*split.parts["train"], *split.parts["validation"]]) == ["TS_1", "TS_2"]
    named = TASK.split(record, dataclasses.replace(QUICK, validation_item="TS_1"))
    assert named.parts["validation"] == ("TS_1",)
    with pytest.raises(ConfigError):
        TASK.split(record, dataclasses.replace(QUICK, validation_item="TS_7"))


def test_simulate_command_writes_a_tree_that_opens(tmp_path, capsys):
    words = ["simulate", TASK.id, "--out", str(tmp_path / "sim"), "--tomograms", "1", "--seed", "4"]
    sizes = ["--set", "depth_vox=32", "--set", "side_vox=48", "--set", "num_vesicles=0"]
    assert cli.main([*words, *sizes, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["simulated"] is True
    assert TASK.inspect(tmp_path / "sim", {}).is_usable
    assert cli.main([*words, *sizes]) == 2


@pytest.mark.parametrize("name", ["monai_unet", "segresnet", "dynunet"])
@pytest.mark.slow
def test_networks_of_monai_answer_at_full_resolution(name):
    from pipelines.tasks.cryoet_picking.model import build_network

    model = build_network({"name": name, "width": 16, "num_outputs": 7}).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 32, 32, 32)).shape == (1, 7, 32, 32, 32)


@pytest.mark.parametrize("name", ["monai_unet", "segresnet", "dynunet"])
@pytest.mark.slow
def test_networks_of_monai_train_and_pick(name, tree, tmp_path):
    config = dataclasses.replace(QUICK, architecture=name, width=16, networks=1)
    samples = TASK.open_dataset(record_of(tree))
    folder = TASK.train(TrainingData(samples, ()), config, Reporter(tmp_path))
    made = next(iter(TASK.predict(folder, samples[:1], config, Reporter(tmp_path))))
    assert len(made.values["scores"]) > 0


def test_several_checkpoints_are_averaged(trained, tree, tmp_path):
    from pipelines.core.checkpoints import load_card
    from pipelines.tasks.cryoet_picking.infer import make_ready, predict_scores
    from pipelines.tasks.cryoet_picking.model import load_networks
    from pipelines.tasks.cryoet_picking.predictions import predict_samples
    from pipelines.tasks.cryoet_picking.volumes import normalised

    samples = TASK.open_dataset(record_of(tree))[:1]
    other = dataclasses.replace(QUICK, seed=5, networks=1)
    second = TASK.train(TrainingData(samples, ()), other, Reporter(tmp_path))
    config = dataclasses.replace(QUICK, more_checkpoints=str(second))
    made = next(predict_samples(trained[0], samples, config, Reporter(tmp_path)))
    networks = [
        make_ready(m, torch.device("cpu"), is_heat=False)
        for folder in (trained[0], second)
        for m in load_networks(folder)
    ]
    volume = normalised(samples[0].image)
    alone = [predict_scores([n], volume, QUICK) for n in networks]
    mean = predict_scores(networks, volume, QUICK)
    assert_allclose(mean, (alone[0] + alone[1]) / 2, atol=1e-5)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    assert load_card(trained[0]).architecture == load_card(second).architecture
    assert len(made.values["scores"]) > 0


def test_a_training_goes_on_from_the_weights_of_another(trained, tree, tmp_path):
    """Pre-trained on simulated tomograms, fine-tuned on one's own: one careful step stays near."""
    from pipelines.core.checkpoints import load_weights

    samples = TASK.open_dataset(record_of(tree))
    parts = TrainingData(samples[:1], samples[1:])
    careful = dataclasses.replace(QUICK, max_steps=1, learning_rate=1e-6, seed=9, ema_decay=0.0)
    start = dataclasses.replace(careful, initial_checkpoint=str(trained[0]))
    for name in ("tuned", "anew"):
        (tmp_path / name).mkdir()
    before = load_weights(trained[0])
    after = load_weights(TASK.train(parts, start, Reporter(tmp_path / "tuned")))
    anew = load_weights(TASK.train(parts, careful, Reporter(tmp_path / "anew")))
    learned = [n for n, t in before.items() if t.dim() == 5]

    assert learned
    for name in learned:
        assert_allclose(after[name], before[name], atol=1e-4)
    assert any(not np.allclose(anew[n], before[n], atol=1e-2) for n in learned)


def test_built_in_weights_are_the_start_where_they_fit(trained, tree, tmp_path, monkeypatch):
    """The product's own network of the same shape and kinds; else from scratch, and it is said."""
    from pipelines.core.checkpoints import load_weights
    from pipelines.settings import Settings

    shipped = tmp_path / "checkpoints" / "cryoet_picking" / "demo"
    shutil.copytree(trained[0], shipped)
    monkeypatch.setattr(Settings, "checkpoints", property(lambda _: tmp_path / "checkpoints"))
    samples = TASK.open_dataset(record_of(tree))
    parts = TrainingData(samples[:1], samples[1:])
    careful = dataclasses.replace(
        QUICK, pretrained=True, max_steps=1, learning_rate=1e-6, seed=9, ema_decay=0.0
    )
    before = load_weights(shipped)
    for config, fits in ((careful, True), (dataclasses.replace(careful, width=16), False)):
        run = Reporter(tmp_path / str(config.width))
        run.folder.mkdir()
        after = load_weights(TASK.train(parts, config, run))
        said = "cryoet.starts_built_in" if fits else "cryoet.from_scratch"
        assert [note.id for note in run.notes] == [said]
        if fits:
            learned = [n for n, t in before.items() if t.dim() == 5]
            assert all(np.allclose(after[n], before[n], atol=1e-4) for n in learned)


def test_a_chosen_model_takes_the_place_of_the_built_in_weights(
    trained, tree, tmp_path, monkeypatch
):
    """Both could be asked for at once, and nothing said which of them the training began with."""
    from pipelines.core.checkpoints import load_card, load_weights, save_checkpoint
    from pipelines.settings import Settings

    zeros = {n: torch.zeros_like(t) for n, t in load_weights(trained[0]).items()}
    shipped = tmp_path / "checkpoints" / "cryoet_picking" / "demo"
    save_checkpoint(shipped, zeros, load_card(trained[0]))
    monkeypatch.setattr(Settings, "checkpoints", property(lambda _: tmp_path / "checkpoints"))
    both = dataclasses.replace(
        QUICK, pretrained=True, initial_checkpoint=str(trained[0]), max_steps=1,
        learning_rate=1e-6, ema_decay=0.0,
    )  # fmt: skip
    samples = TASK.open_dataset(record_of(tree))
    run = Reporter(tmp_path)
    after = load_weights(TASK.train(TrainingData(samples[:1], samples[1:]), both, run))
    before = load_weights(trained[0])
    learned = [n for n, t in before.items() if t.dim() == 5]
    assert all(np.allclose(after[n], before[n], atol=1e-4) for n in learned)
    assert [note.id for note in run.notes] == ["cryoet.starts_from"]


def test_a_start_that_has_seen_what_is_held_out_is_told(trained, tree, tmp_path):
    """A model of the same data as the start, then one tomogram left out: the score flattered."""
    record = record_of(tree)
    start = tmp_path / "start"
    shutil.copytree(trained[0], start)
    split = given_split(record, {"train": ["TS_2"], "validation": ["TS_1"]})
    (start / "split.json").write_text(json.dumps(split_to_json(split)))
    samples = TASK.open_dataset(record)
    config = dataclasses.replace(QUICK, initial_checkpoint=str(start), max_steps=1)
    for name, seen in ((record.dataset_id, ["TS_2"]), ("other-data", None)):
        run = Reporter(tmp_path / name)
        run.folder.mkdir()
        (run.folder / "dataset.json").write_text(json.dumps({"dataset_id": name}))
        TASK.train(TrainingData(samples[:1], samples[1:]), config, run)
        told = [note.params["names"] for note in run.notes if note.id == "cryoet.start_has_seen"]
        assert told == ([seen] if seen else [])


def test_the_last_network_learns_as_long_as_the_folds_were_good_for(tmp_path):
    from pipelines.tasks.cryoet_picking.train import _Best, _Training

    work = _Training((), QUICK, torch.device("cpu"), Reporter(tmp_path))
    for number, step in enumerate((100, 200, 300)):
        _Best(work._best_file(number)).offer(torch.nn.Conv3d(1, 1, 1), 0.5, step)
    config = dataclasses.replace(QUICK, max_steps=0, time_limit_s=60.0)
    free = dataclasses.replace(work, config=config)
    assert free._plan_of(3, 20.0, num_validation=0).max_steps == 300, "a mean of 200, times 3 / 2"
    assert free._plan_of(2, 20.0, num_validation=1).max_steps == 0


def test_weights_of_another_network_are_no_start(trained, tree, tmp_path):
    samples = TASK.open_dataset(record_of(tree))
    wide = dataclasses.replace(QUICK, width=16, initial_checkpoint=str(trained[0]))
    with pytest.raises(CheckpointMismatchError):
        TASK.train(TrainingData(samples[:1], samples[1:]), wide, Reporter(tmp_path))


def test_losses_prefer_the_right_answer_and_tversky_punishes_misses_more():
    from pipelines.tasks.cryoet_picking.losses import loss_of, tversky_loss

    target = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    target[:, 2:5, 2:5, 2:5] = 1
    weights = torch.ones(2)
    right = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float() * 12
    assert loss_of(right, target, weights, QUICK) < 0.02
    missed = torch.zeros_like(right)
    missed[:, 0] = 12
    large = target.clone()
    large[:, 2:5, 2:5, 2:8] = 1  # as many voxels invented as there are
    false = torch.nn.functional.one_hot(large, 3).movedim(-1, 1).float() * 12
    assert tversky_loss(missed, target, weights, beta=0.7) > tversky_loss(
        false, target, weights, beta=0.7
    )


def test_threshold_sources_are_said(predicted):
    point = TASK.recorded_point(predicted[0])
    assert isinstance(point, OperatingPoint)


def test_exported_notebook_makes_the_submission_again(trained, tree, tmp_path, monkeypatch):
    """Run it in a kernel of its own, from another folder, as a reader would."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    from pipelines.tasks.cryoet_picking.notebook import to_notebook
    from pipelines.tasks.cryoet_picking.picks import Picks
    from pipelines.tasks.cryoet_picking.submission import to_csv

    thresholds = {"threshold": 0.05}
    content = to_notebook(
        data=str(tree),
        checkpoint=str(trained[0]),
        thresholds=thresholds,
        title="test",
        options={"tomogram_type": "denoised"},
    )
    book = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(book)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    folder = tmp_path / "direct"
    record = record_of(tree)
    made = TASK.predict(trained[0], TASK.open_dataset(record), QUICK, Reporter(folder))
    kept = [picks_at(candidates_of(p), thresholds) for p in made]
    expected = to_csv(Picks.concatenate(kept), TASK.open_dataset(record)[0].meta["particles"])
    assert (tmp_path / "submission.csv").read_bytes() == expected


def test_each_network_of_a_cross_fit_answers_what_it_did_not_see(tree, tmp_path):
    from pipelines.core.checkpoints import load_card
    from pipelines.tasks.cryoet_picking.model import load_mean, load_networks

    config = dataclasses.replace(QUICK, networks=2)
    samples = TASK.open_dataset(record_of(tree))
    run = Reporter(tmp_path)
    folder = TASK.train(TrainingData(samples, ()), config, run)
    networks = load_networks(folder)
    assert len(networks) == 3, "one without each tomogram, and one of both"
    for one, other in itertools.pairwise(networks):
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs)
    assert load_card(folder).extra["held_out"] == {"TS_1": 0, "TS_2": 1}
    assert TASK.cross_fitted_items(folder) == ("TS_1", "TS_2")
    volume = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        mean = torch.stack([n.eval()(volume).softmax(1) for n in networks]).mean(0)
        assert torch.allclose(load_mean(folder)(volume).softmax(1), mean, atol=1e-5)
    steps = [p["step"] for p in run.points]
    assert steps == sorted(steps)
    assert steps[-1] == 6, "two of each network"
    crossed = list(TASK.predict_cross_fitted(folder, samples, config, run))
    averaged = list(TASK.predict(folder, samples, config, run))
    assert [p.item_id for p in crossed] == ["TS_1", "TS_2"]
    for one, both in zip(crossed, averaged, strict=True):
        assert one.values["scores"].shape != both.values["scores"].shape or not np.allclose(
            one.values["scores"], both.values["scores"]
        )


def test_cross_fit_is_scored_and_freezes_thresholds(tree, tmp_path, capsys):
    words = ["train", TASK.id, "--data", str(tree), "--run", str(tmp_path / "run"), "--json"]
    sets = {"max_steps": 1, "width": 8, "patch_vox": 32, "batch_size": 1, "device": "cpu",
            "symmetries": "none", "window_vox": 64, "networks": 2}  # fmt: skip
    for name, value in sets.items():
        words += ["--set", f"{name}={value}"]
    assert cli.main(words) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores["parts"]["out_of_fold"]["item_ids"] == ["TS_1", "TS_2"]
    assert scores["operating_point"]["source"] == "out_of_fold"


def test_a_cross_fit_that_was_paused_trains_the_networks_that_are_missing(tree, tmp_path):
    from pipelines.core.checkpoints import load_card

    config = dataclasses.replace(QUICK, networks=2)
    data = TrainingData(TASK.open_dataset(record_of(tree)), ())

    class Pausing(Reporter):
        def stop_wish(self):
            return "pause" if self.points else None

    folder = TASK.train(data, config, Pausing(tmp_path))
    assert load_card(folder).architecture["networks"] == 1
    folder = TASK.train(data, config, Reporter(tmp_path))
    card = load_card(folder)
    assert (card.architecture["networks"], card.steps) == (3, 6)


def test_the_weights_that_did_best_on_the_unseen_tomogram_are_kept(tmp_path):
    from pipelines.tasks.cryoet_picking.train import _Best

    def network(value):
        layer = torch.nn.Conv3d(1, 1, 1)
        torch.nn.init.constant_(layer.weight, value)
        return layer

    best = _Best(tmp_path / "best.safetensors")
    for value, score in ((1.0, 0.5), (2.0, 0.9), (3.0, 0.7)):
        best.offer(network(value), score, step=int(10 * value))
    again = _Best(tmp_path / "best.safetensors")  # a training that goes on after a pause
    again.offer(network(4.0), 0.8, step=40)
    assert again.step == 20
    last = network(5.0)
    again.restore(last)
    assert last.weight.item() == 2.0


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_own_part_of_a_report_takes_at_most_three_of_its_four_pages(
    trained, tree, tmp_path, language
):
    """With tables, curves and slices, in both languages; the whole was six pages long once."""
    from pipelines.contract import ReportContext
    from pipelines.core.checkpoints import load_card
    from pipelines.evidence.document import Document, Part, Row, lay_out
    from pipelines.evidence.pdf import to_pdf
    from pipelines.text import verbatim

    record = record_of(tree)
    samples = TASK.open_dataset(record)
    found = {p.item_id: p for p in TASK.predict(trained[0], samples, QUICK, Reporter(tmp_path))}
    rows = TASK.statistics(found[samples[0].item_id], samples[0].truth)
    point = TASK.best_operating_point(rows)
    context = ReportContext(
        record, samples, QUICK, load_card(trained[0]).architecture, found, rows, point,
        {"validation": (samples[0].item_id,)},
    )  # fmt: skip
    parts = tuple(Part(s.title, s.blocks) for s in TASK.report_sections(context))
    document = Document(verbatim("Report"), verbatim("of a run"), parts)
    rows_of_figures = [e for e in lay_out(document, language) if isinstance(e, Row)]
    assert len(rows_of_figures) == 2, "curves of two kinds, and one slice twice"
    pages = to_pdf(document, language).count(b"/Type/Page/")
    assert 1 <= pages <= 3


def test_the_last_weights_are_scored_however_long_that_takes(tree, tmp_path, monkeypatch):
    """Where scoring was slow, those of the first step alone were scored and came out as best."""
    from pipelines.tasks.cryoet_picking import train

    monkeypatch.setattr(train, "_SHARE_OF_VALIDATION", 0.0)
    samples = TASK.open_dataset(record_of(tree))
    run = Reporter(tmp_path)
    TASK.train(TrainingData(samples[:1], samples[1:]), dataclasses.replace(QUICK, max_steps=3), run)
    assert [point["step"] for point in run.points if "f4" in point] == [1, 3]


def test_weights_of_long_ago_do_not_come_back_when_a_training_is_stopped(tmp_path):
    """Nothing is known of those that came after: the newest are kept."""
    from pipelines.core.training import Outcome
    from pipelines.tasks.cryoet_picking.train import _Best, _Validation

    best, model = _Best(tmp_path / "best"), torch.nn.Conv3d(1, 1, 1)
    best.offer(model, 0.5, 10)
    check = _Validation(None, None, (), QUICK, Reporter(tmp_path), best)
    check.spent.step = 10
    for steps, is_restored in ((19, True), (30, False)):
        newest = torch.nn.Conv3d(1, 1, 1)
        torch.nn.init.zeros_(newest.weight)
        check.choose(Outcome("stop", newest, steps, 1.0))
        assert torch.equal(newest.weight, model.weight) is is_restored
