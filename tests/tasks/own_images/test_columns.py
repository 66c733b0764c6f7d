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
