"""What a classification model answers: at its temperature, averaged, and of pictures dropped in."""

import csv
import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from pipelines import actions, cli, datasets
from pipelines import config as configs
from pipelines.contract import TrainingData
from pipelines.core.checkpoints import load_card, update_card
from pipelines.core.classification import embedding, prediction, work
from pipelines.core.classification.statistics import temper
from pipelines.errors import CheckpointError, CheckpointMismatchError
from pipelines.registry import get_task
from pipelines.settings import REPOSITORY, Settings
from pipelines.text import Text
from tests.tasks.test_classification import Run
from tests.wording import assert_clear

TINY = {"network": "statistics", "image_px": 64, "max_images": 90}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two baselines of the built-in sample of own images, of different draws."""
    home = tmp_path_factory.mktemp("home")
    task = get_task("own_images")
    record = datasets.builtin_sample(task, Settings(home, (home,), "tester", 10**9))
    folders = []
    for seed in (0, 1):
        config = configs.parse(task.config_type, {**TINY, "seed": seed})
        split = task.split(record, config)
        data = TrainingData(*(task.open_dataset(record, split.parts[p])
                              for p in ("train", "validation")))  # fmt: skip
        run = Run(home / f"run{seed}")
        run.folder.mkdir()
        folders.append(task.train(data, config, run))
    samples = task.open_dataset(record, split.parts["validation"][:5])
    return task, record, folders, samples, config


def _odds(trained, checkpoint, **changes):
    task, _, _, samples, config = trained
    run = Run(checkpoint)
    found = task.predict(checkpoint, samples, dataclasses.replace(config, **changes), run)
    return np.stack([p.values["probabilities"] for p in found])


def test_training_fits_a_temperature_and_every_answer_uses_it(trained):
    folder = trained[2][0]
    card = load_card(folder)
    temperature = card.extra["temperature"]
    assert 0.05 < temperature < 20
    assert card.extra["ece_after"] >= 0
    scaled = _odds(trained, folder)
    update_card(folder, extra={**card.extra, "temperature": 1.0})
    raw = _odds(trained, folder)
    update_card(folder, extra=card.extra)
    assert not np.allclose(raw, scaled, atol=1e-4)
    np.testing.assert_allclose(temper(raw, temperature), scaled, atol=1e-6)


def test_rows_and_files_carry_the_temperature(trained, tmp_path):
    task, record, (folder, _), samples, config = trained
    temperature = load_card(folder).extra["temperature"]
    predictions = list(
        task.write_predictions(
            task.predict(folder, samples, config, Run(tmp_path)), record, tmp_path
        )
    )
    rows = task.statistics(predictions[0], 0)
    assert rows.columns["temperature"].tolist() == [temperature]
    opened = task.open_predictions(tmp_path)[predictions[0].item_id]
    assert float(opened.values["temperature"]) == temperature


def test_several_models_answer_with_the_mean_of_their_probabilities(trained):
    first, second = trained[2]
    both = _odds(trained, first, average_with=str(second))
    np.testing.assert_allclose(both, (_odds(trained, first) + _odds(trained, second)) / 2)
    three = _odds(trained, first, average_with=os.pathsep.join([str(second), str(second)]))
    np.testing.assert_allclose(three, (_odds(trained, first) + 2 * _odds(trained, second)) / 3)


def test_models_of_other_classes_are_not_averaged(trained, tmp_path):
    first, second = trained[2]
    other = shutil.copytree(second, tmp_path / "other")
    card = load_card(other)
    update_card(other, extra={**card.extra, "classes": ["cat", "dog", "owl"]})
    with pytest.raises(CheckpointMismatchError) as caught:
        _odds(trained, first, average_with=str(other))
    assert_clear(caught.value.text, "cat", "round")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("extra", "classes", None),
        ("extra", "classes", 3),
        ("config", "image_px", None),
        ("config", "crop_px", "wide"),
        ("architecture", "kind", None),
    ],
)
def test_a_card_that_lacks_what_is_needed_is_named_with_it(trained, tmp_path, part, name, value):
    """A card completed by hand used to end in a KeyError, which reads as a bug of ours."""
    other = shutil.copytree(trained[2][0], tmp_path / "other")
    known = {n: v for n, v in getattr(load_card(other), part).items() if n != name}
    update_card(other, **{part: known if value is None else {**known, name: value}})
    with pytest.raises(CheckpointError) as caught:
        _odds(trained, other)
    assert_clear(caught.value.text, "card.json", f"{part}.{name}")


def test_a_network_without_its_colours_is_refused(trained, tmp_path):
    task, _, _, samples, config = trained
    folder = REPOSITORY / "checkpoints" / "own_images" / "demo"
    other = shutil.copytree(folder, tmp_path / "other")
    card = load_card(other)
    extra = {n: v for n, v in card.extra.items() if n != "colour_mean"}
    update_card(other, extra=extra)
    with pytest.raises(CheckpointError) as caught:
        list(task.predict(other, samples, config, Run(other)))
    assert_clear(caught.value.text, "card.json", "extra.colour_mean")


def _png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_turned_copies_of_a_dropped_picture_are_asked_on_wish_alone(trained, monkeypatch):
    task, _, (folder, _), samples, _ = trained
    asked = []
    answer = prediction.Model.answer

    def spy(model, pictures, *, has_flips, has_cams):
        asked.append(has_flips)
        return answer(model, pictures, has_flips=has_flips, has_cams=has_cams)

    monkeypatch.setattr(prediction.Model, "answer", spy)
    files = [("mine.png", _png(np.asarray(samples[0].image)))]
    for words in ((), (False,), (True,)):
        work.predict_files(task.id, [str(folder)], files, "cpu", *words)
    assert asked == [True, False, True]


def test_a_dropped_picture_is_answered_as_the_same_item_is(trained):
    task, _, (folder, _), samples, config = trained
    pixels = np.asarray(samples[0].image)
    (answer,) = work.predict_files(task.id, [str(folder)], [("mine.png", _png(pixels))], "cpu")
    prediction, shown = answer
    np.testing.assert_array_equal(shown, pixels)
    (same,) = task.predict(folder, samples[:1], config, Run(folder))
    np.testing.assert_allclose(prediction.values["probabilities"], same.values["probabilities"])
    assert prediction.values["nearest"].tolist() == same.values["nearest"].tolist()


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.tif", b"only words"), ("cut.png", b"\x89PNG\r\n\x1a\n"), ("empty.bmp", b"")],
)
def test_a_dropped_file_that_is_no_picture_is_one_sentence_and_the_others_are_answered(
    trained, name, content
):
    task, _, (folder, _), samples, _ = trained
    good = ("good.png", _png(np.asarray(samples[0].image)))
    bad, found = work.predict_files(task.id, [str(folder)], [(name, content), good], "cpu")
    assert isinstance(bad, Text)
    assert_clear(bad, name)
    assert found[0].item_id == "good.png"


def test_a_table_is_scored_by_the_classes_that_it_names(tmp_path):
    """It used to be scored at the threshold that is best on the labels it is scored against."""
    mine, truth = tmp_path / "submission.csv", tmp_path / "labels.csv"
    mine.write_text("id,label\na,0.1\nb,0.3\nc,0.4\nd,0.6\n")
    truth.write_text("id,label\na,0\nb,1\nc,1\nd,1\n")
    _, scores = actions.run_evaluation(get_task("histo_patches"), mine, truth)
    (part,) = scores.parts.values()
    assert scores.operating_point.thresholds == {"threshold": 0.5}
    assert scores.operating_point.source == "default"
    assert part.metrics["auc"] == 1.0
    assert part.metrics["accuracy"] == 0.5
    assert part.metrics["balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_labels_saved_by_a_french_excel_score_a_prediction(tmp_path, encoding):
    """Accents of an older Excel became other classes, and columns in French were none."""
    mine, truth = tmp_path / "predictions.csv", tmp_path / "vérité.csv"
    mine.write_text(
        "file,class,confidence,p_sain,p_touché\na.png,sain,0.9,0.9,0.1\nb.png,sain,0.6,0.6,0.4\n"
    )
    truth.write_bytes("fichier;classe\r\na.png;sain\r\nb.png;touché\r\n".encode(encoding))
    _, scores = actions.run_evaluation(get_task("own_images"), mine, truth)
    (part,) = scores.parts.values()
    assert (part.metrics["auc"], part.metrics["accuracy"]) == (1.0, 0.5)


def test_cluster_writes_a_row_a_picture_with_its_class_and_its_group(tmp_path, monkeypatch, capsys):
    data = tmp_path / "animals"
    rng = np.random.default_rng(0)
    lines = ["file,label,patient"]
    for number in range(12):
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        pixels[:16] //= 1 + number % 2
        data.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(data / f"{number}.png")
        if number < 10:  # the last two have no label
            lines.append(f"{number}.png,{('cat', 'dog')[number % 2]},p{number // 3}")
    (data / "labels.csv").write_text("\n".join(lines))
    plane = embedding.project
    monkeypatch.setattr(embedding, "project", lambda features, how: plane(features, "pca"))
    checkpoint, out = REPOSITORY / "checkpoints" / "own_images" / "demo", tmp_path / "map"
    words = ["cluster", "own_images", "--checkpoint", checkpoint, "--data", data, "--out", out]
    assert cli.main([str(w) for w in words]) == 0
    with (out / "embedding.csv").open(encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert len(rows) == 12
    assert (rows["3.png"]["label"], rows["3.png"]["group"]) == ("dog", "p1")
    assert (rows["11.png"]["label"], rows["11.png"]["group"]) == ("", "")
    assert {"pca_x", "tsne_y", "umap_x", "kmeans", "gaussian", "hdbscan"} <= set(rows["0.png"])
    found = json.loads((out / "clusters.json").read_text())
    assert set(found["clusters"]) == {"kmeans", "gaussian", "hdbscan"}
    assert "nmi_groups" in found["clusters"]["kmeans"]
    assert "silhouette" in capsys.readouterr().out
