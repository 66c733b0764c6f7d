"""A column that somebody names is the one that is read, and one that is not there is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import DataFormatError
from pipelines.registry import get_task
from tests.wording import assert_clear

TASK = get_task("own_images")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Make 12 pictures and a table in which two columns could be the class."""
    (tmp_path / "images").mkdir()
    lines = ["file,kind,other,patient"]
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"p{i:02d}.png")
        lines.append(f"p{i:02d}.png,{'ab'[i % 2]},{'xy'[i // 6]},s{i // 3}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize(
    ("column", "classes"), [("kind", "a,b"), ("other", "x,y"), ("OTHER", "x,y")]
)
def test_the_chosen_column_gives_the_classes_and_is_kept(
    pictures: Path, column: str, classes: str
) -> None:
    found = TASK.inspect(pictures, {"label_column": column, "group_column": "patient"})

    assert found.options["classes"] == classes
    assert found.options["label_column"] == column
    assert {item.group for item in found.items} == {"s0", "s1", "s2", "s3"}


@pytest.mark.parametrize("option", ["label_column", "group_column", "id_column", "part_column"])
def test_a_column_that_no_table_has_is_said_with_those_it_has(pictures: Path, option: str) -> None:
    """The pictures were read without labels, as if nobody had named anything."""
    with pytest.raises(DataFormatError) as caught:
        TASK.inspect(pictures, {"label_column": "kind", option: "nope"})
    assert_clear(caught.value.text, "nope")


def test_a_column_without_any_table_is_said(pictures: Path) -> None:
    (pictures / "labels.csv").unlink()
    with pytest.raises(DataFormatError) as caught:
        TASK.inspect(pictures, {"label_column": "kind"})
    assert_clear(caught.value.text, "kind")


def test_a_table_saved_by_a_french_excel_is_read(pictures: Path) -> None:
    """Its classes were lost without a word: semicolons, a mark in front, and columns in French."""
    lines = ["fichier;classe;patient"]
    lines += [f"p{i:02d}.png;{('malade', 'sain')[i % 2]};s{i // 3}" for i in range(12)]
    (pictures / "labels.csv").unlink()
    content = "\r\n".join(lines).encode("utf-8-sig")
    (pictures / "étiquettes.csv").write_bytes(content)
    found = TASK.inspect(pictures, {})
    assert found.options["classes"] == "sain,malade", "the healthy one first"
    assert {item.group for item in found.items} == {"s0", "s1", "s2", "s3"}
    assert not found.problems


def test_a_table_whose_columns_are_unknown_is_named(pictures: Path) -> None:
    found = TASK.inspect(pictures, {})
    (problem,) = found.problems
    assert_clear(problem.text, "labels.csv", "kind, other")
    for kind in "ab":  # folders say the classes, and the table is another one
        (pictures / "images" / kind).mkdir()
        for file in sorted((pictures / "images").glob("p*.png"))[:6]:
            file.rename(pictures / "images" / kind / file.name)
    assert not TASK.inspect(pictures, {}).problems


@pytest.mark.parametrize("table", ["labels.csv", "images/labels.csv"])
def test_a_table_of_paths_tells_files_of_one_name_apart(tmp_path: Path, table: str) -> None:
    """Numbered files of several folders were taken for one picture with two labels."""
    rng = np.random.default_rng(0)
    lines = ["file,class,animal"]
    for animal in ("m1", "m2", "m3"):
        (tmp_path / "images" / animal).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / animal / f"{i}.png")
            below = "" if table.startswith("images") else "images/"
            lines.append(f"{below}{animal}/{i}.png,{'ab'[(i + int(animal[1])) % 2]},{animal}")
    (tmp_path / table).write_text("\n".join(lines))
    record_items = TASK.inspect(tmp_path, {})
    index = TASK.open(tmp_path, {})
    assert not [p for p in record_items.problems if p.severity == "error"]
    tags = {e.name: t for e, t in zip(index.source.entries, index.labels.tags, strict=True)}
    for animal in ("m1", "m2", "m3"):
        for i in range(4):
            tag = tags[f"images/{animal}/{i}.png"]
            assert index.labels.classes[tag.label] == "ab"[(i + int(animal[1])) % 2]
            assert tag.group == animal


def test_pictures_without_any_class_and_classes_of_one_picture_are_told(tmp_path: Path) -> None:
    """A class of one picture was trained on, never scored, and nobody was told."""
    rng = np.random.default_rng(0)
    for name, count in (("a", 6), ("b", 6), ("rare", 1)):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    (few,) = TASK.inspect(tmp_path, {}).problems
    assert few.severity == "warning"
    assert_clear(few.text, "rare")
    (unsorted,) = TASK.inspect(tmp_path / "a", {}).problems
    assert unsorted.severity == "warning", "they can be predicted"
    assert_clear(unsorted.text)
