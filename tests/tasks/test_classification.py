"""All classification tasks from data to figures: sample, split, training, prediction, pages."""

import csv
import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from pipelines import config as configs
from pipelines import datasets
from pipelines.contract import ItemStatistics, OperatingPoint, PanelContext, TrainingData
from pipelines.core.classification import files
from pipelines.errors import ConfigError, DataFormatError
from pipelines.registry import get_task
from pipelines.settings import Settings
from pipelines.text import LANGUAGES, Text, render
from tests.wording import assert_clear

TASKS = ("histo_patches", "blood_cells", "own_images")
TINY = {
    "epochs": 2, "image_px": 32, "width": 0.5, "batch_size": 8, "crop_px": 0,
    "validation_share": 0.2,
}  # fmt: skip


class Run:
    """Take reports and keep what is asked about later."""

    def __init__(self, folder):
        self.folder = folder
        self.notes = []

    def progress(self, *args):
        pass

    def metrics(self, values):
        pass

    def picture(self, name, pixels, caption):
        assert pixels.dtype == np.uint8

    def note(self, text):
        self.notes.append(text)

    def stop_wish(self):
        return None


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    return Settings(folder, (folder,), "tester", 10**9)


def _train(task, record, folder, **options):
    config = configs.parse(task.config_type, {**TINY, **options})
    split = task.split(record, config)
    data = TrainingData(
        task.open_dataset(record, split.parts["train"]),
        task.open_dataset(record, split.parts["validation"]),
    )
    folder.mkdir(exist_ok=True)
    run = Run(folder)
    return task.train(data, config, run), config, split, run


def _predict(task, checkpoint, config, record, ids, folder):
    samples = task.open_dataset(record, ids)
    run = Run(folder)
    found = task.write_predictions(
        task.predict(checkpoint, samples, config, run), record, folder / "prediction"
    )
    return list(found), samples, run


@pytest.mark.parametrize("name", TASKS)
def test_the_baseline_learns_the_builtin_sample_and_files_give_the_predictions_back(
    name, home, tmp_path
):
    task = get_task(name)
    record = datasets.builtin_sample(task, home)
    assert record.is_generated
    checkpoint, config, split, _ = _train(
        task, record, tmp_path / "run", network="statistics", image_px=96
    )
    predictions, samples, _ = _predict(
        task, checkpoint, config, record, split.parts["validation"], tmp_path
    )
    rows = ItemStatistics.concatenate(
        [task.statistics(p, s.truth) for p, s in zip(predictions, samples, strict=True)]
    )
    assert task.reduce(rows, OperatingPoint({"threshold": 0.5}))["auc"] > 0.8
    opened = task.open_predictions(tmp_path / "prediction")
    assert list(opened) == [p.item_id for p in predictions]
    for p in predictions:
        np.testing.assert_allclose(
            opened[p.item_id].values["probabilities"], p.values["probabilities"]
        )
    by_table = files.read(tmp_path / "prediction" / files.TABLE)
    for p in predictions:
        np.testing.assert_allclose(
            by_table[p.item_id].values["probabilities"], p.values["probabilities"], atol=1e-6
        )


def test_a_network_trains_saves_loads_and_explains(home, tmp_path):
    task = get_task("own_images")
    record = datasets.builtin_sample(task, home)
    checkpoint, config, split, _ = _train(
        task, record, tmp_path / "run", network="symmetric", max_images=48
    )
    ids = split.parts["validation"][:6]
    predictions, _, _ = _predict(task, checkpoint, config, record, ids, tmp_path)
    again, _, _ = _predict(task, checkpoint, config, record, ids, tmp_path)
    for a, b in zip(predictions, again, strict=True):
        np.testing.assert_array_equal(a.values["probabilities"], b.values["probabilities"])
        assert a.values["probabilities"].sum() == pytest.approx(1)
        assert 0 <= a.values["cam"].min() <= a.values["cam"].max() <= 1
        assert set(a.values["nearest"].tolist()) <= set(split.parts["train"])


@pytest.mark.parametrize("name", TASKS)
def test_every_panel_shows_something_in_both_languages(name, home, tmp_path):
    task = get_task(name)
    record = datasets.builtin_sample(task, home)
    checkpoint, config, split, _ = _train(
        task, record, tmp_path / "run", network="statistics", image_px=64
    )
    ids = split.parts["validation"][:20]
    predictions, samples, _ = _predict(task, checkpoint, config, record, ids, tmp_path)
    rows = ItemStatistics.concatenate(
        [task.statistics(p, s.truth) for p, s in zip(predictions, samples, strict=True)]
    )
    context = PanelContext(
        record, samples, 0, config, task.open_predictions(tmp_path / "prediction"),
        OperatingPoint({"threshold": 0.5}), rows,
    )  # fmt: skip
    for panel in task.panels():
        controls = panel.controls() if panel.controls else None
        views = panel.compute(context, controls)
        assert views, panel.panel_id
        for text in [panel.title, panel.help, *(t for v in views for t in _texts(v))]:
            for language in LANGUAGES:
                words = render(text, language)
                assert words != text.id, text.id
                assert "{" not in words, words


def _texts(value):
    """Find every text inside a view."""
    if isinstance(value, Text):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _texts(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _texts(getattr(value, field.name))


def test_every_option_and_choice_has_words_in_both_languages():
    from pipelines.core.classification import panels

    kinds = [get_task(n).config_type for n in TASKS] + [get_task("own_images").data_options]
    kinds += [panels.WallControls, panels.LeakControls]
    for kind in kinds:
        for info in configs.describe(kind):
            texts = [info.label, info.help, *(info.choice_label(c) for c in info.choices)]
            texts.append(Text(f"{info.texts}.group.{info.group}"))
            for text in texts:
                assert all(render(text, language) != text.id for language in LANGUAGES), text.id
    for name in TASKS:
        for metric in get_task(name).metrics:
            assert render(metric.label, "fr") != metric.label.id


def test_a_random_split_of_copies_is_refused_unless_it_is_allowed_and_then_marked(home, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / kind / f"{i}.png")
            Image.fromarray(pixels).save(tmp_path / kind / f"{i}_again.png")
    task = get_task("own_images")
    record = datasets.register(task, tmp_path, {}, home)
    by_group = task.split(record, task.config_type())
    assert "LEAK" not in by_group.method
    with pytest.raises(ConfigError) as caught:
        task.split(record, task.config_type(split_by="random"))
    assert_clear(caught.value.text)
    leaky = task.split(record, task.config_type(split_by="random", allow_leak=True))
    assert "LEAK" in leaky.method


def test_one_class_only_is_refused_with_its_name(home, tmp_path):
    from PIL import Image

    (tmp_path / "cats").mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "cats" / f"{i}.png")
    task = get_task("own_images")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n" + "\n".join(f"{i}.png,cats" for i in range(6)))
    record = datasets.register(task, tmp_path, {}, home)
    with pytest.raises(DataFormatError) as caught:
        _train(task, record, tmp_path / "run")
    assert_clear(caught.value.text, "cats")


def test_own_images_read_a_table_with_groups_and_parts(tmp_path):
    from PIL import Image

    rows = ["image;diagnosis;patient;split"]
    for i in range(8):
        Image.new("RGB", (20, 20), (i * 20, 0, 0)).save(tmp_path / f"p{i}.png")
        part = "test" if i > 5 else "train"
        rows.append(f"p{i}.png;{'ill' if i % 2 else 'healthy'};P{i // 2};{part}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    task = get_task("own_images")
    index = task.open(tmp_path, {"label_column": "diagnosis"})
    assert index.labels.classes == ("healthy", "ill")
    assert [t.group for t in index.labels.tags][:4] == ["P0", "P0", "P1", "P1"]
    assert [t.part for t in index.labels.tags][-1] == "test"


def test_a_submission_stands_in_the_order_of_the_sample_and_is_accepted(home, tmp_path):
    task = get_task("histo_patches")
    record = datasets.builtin_sample(task, home)
    checkpoint, config, _, _ = _train(
        task, record, tmp_path / "run", network="statistics", image_px=64, max_images=60
    )
    ids = list(task.default_items(record))
    _predict(task, checkpoint, config, record, ids, tmp_path)
    text = (tmp_path / "prediction" / "submission.csv").read_text()
    wanted = [r["id"] for r in csv.DictReader((record.root / "sample_submission.csv").open())]
    assert files.check_submission(text, wanted, "submission.csv") == []


@pytest.mark.parametrize(
    ("text", "text_id"),
    [
        ("id,label\na,0.1\n", "classes.submission_missing"),
        ("id,label\na,0.1\nb,1.5\n", "classes.submission_range"),
        ("id,label\nb,0.1\na,0.2\n", "classes.submission_order"),
        ("id,label\na,0.1\nb,0.2\nc,0.3\n", "classes.submission_foreign"),
        ("id,label\na,0.1\nb,0.2\nb,0.2\n", "classes.submission_twice"),
        ("file,p\na,0.1\nb,0.2\n", "classes.submission_columns"),
        ("id;label\r\na;0.1\r\nb;0.2\r\n", "classes_submission.separator"),
        ('id,label\na,"0,1"\nb,"0,2"\n', "classes_submission.comma"),
        ("id,label\na,\nb,0.2\n", "classes_submission.blank"),
        ("id,label\na.tif,0.1\nb.tif,0.2\n", "classes_submission.endings"),
    ],
)
def test_a_wrong_submission_is_told_what_is_wrong(text, text_id):
    (problem,) = files.check_submission(text, ["a", "b"], "submission.csv")
    assert problem.id == text_id
    assert_clear(problem, "submission.csv")


def test_an_unreadable_picture_is_predicted_by_the_class_shares_with_a_note(home, tmp_path):
    from PIL import Image

    task = get_task("own_images")
    record = datasets.builtin_sample(task, home)
    checkpoint, config, _, _ = _train(
        task, record, tmp_path / "run", network="statistics", image_px=64, max_images=60
    )
    folder = tmp_path / "new"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "b.png").write_text("no picture")
    other = datasets.register(task, folder, {}, home)
    predictions, _, run = _predict(task, checkpoint, config, other, None, tmp_path)
    assert [p.item_id for p in predictions] == ["a.png", "b.png"]
    assert [n.id for n in run.notes] == ["classes.not_predicted"]
    files.write_table(tmp_path / "predictions.csv", predictions, record_classes(task, record))
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert lines[1].split(",")[1] in record_classes(task, record)
    assert lines[2].startswith("b.png,,,0."), "a file of words has no class and no confidence"
    assert set(files.read(tmp_path / "predictions.csv")) == {"a.png", "b.png"}


def record_classes(task, record):
    return task.index_of(record).labels.classes


def test_panels_and_data_reports_do_not_load_torch():
    code = (
        "import sys; from pipelines.registry import get_task\n"
        f"for n in {TASKS!r}:\n"
        "    t = get_task(n); t.panels(); t.fake_samples(2, 0); t.commands()\n"
        "    t.estimate_seconds(t.config_type(), 'cpu')\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
