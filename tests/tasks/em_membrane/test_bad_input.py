"""Every kind of bad file: one clear sentence in both languages, and the good files are kept."""

import errno
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

from pipelines.core.images import open_stack
from pipelines.errors import DataError, DataFormatError, DiskFullError
from pipelines.tasks.em_membrane.convert import convert_to_png
from pipelines.tasks.em_membrane.data import inspect_source, open_label_stack
from tests.core.test_images import tiff_header
from tests.wording import assert_clear

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(60, 200, (4, 32, 40)).astype(np.uint8)
LABELS = np.full((4, 32, 40), 255, np.uint8)
LABELS[:, :, ::10] = LABELS[:, ::10] = 0


@pytest.fixture
def folder(tmp_path):
    """Hold a good labelled stack, so that it can be asked whether it was lost."""
    return write_pair(tmp_path / "set", "good", IMAGES, LABELS)


def write_pair(folder, name, images, labels, photometric="minisblack"):
    folder.mkdir(exist_ok=True)
    imwrite(folder / f"{name}-volume.tif", images, photometric=photometric)
    if labels is not None:
        imwrite(folder / f"{name}-labels.tif", labels, photometric="minisblack")
    return folder


def assert_reported(source, text_id, *names, options=None):
    """The bad file is named with what to do, and the four good sections are still usable."""
    found = inspect_source(source, options or {})
    (problem,) = (p for p in found.problems if p.text.id == text_id)
    assert_clear(problem.text, *names)
    assert problem.severity == "warning"
    assert found.is_usable
    assert {i.item_id for i in found.items if i.group == "good-volume"} == {
        f"good-volume:{i:03d}" for i in range(4)
    }
    assert sum(item.has_truth for item in found.items) == 4
    return found


def reason_against(source):
    """Return why a source cannot be used, raised or reported."""
    try:
        found = inspect_source(source, {})
    except DataError as error:
        return error.text
    assert not found.is_usable
    return next(p.text for p in found.problems if p.severity == "error")


def assert_refused(source, text_id, *names):
    """There is nothing good beside it: the whole source is refused with the same sentence."""
    text = reason_against(source)
    assert text.id == text_id
    assert_clear(text, *names)


def test_not_a_tiff(folder):
    bad = folder / "bad.tif"
    bad.write_text("this is a text file with a wrong name\n" * 20)
    assert_reported(folder, "images.not_an_image", "bad.tif")
    assert_refused(bad, "images.not_an_image", "bad.tif")


def test_a_truncated_tiff(folder):
    bad = folder / "bad.tif"
    imwrite(bad, IMAGES, compression="lzw", photometric="minisblack")
    bad.write_bytes(bad.read_bytes()[:2500])
    assert_reported(folder, "images.truncated", "bad.tif")
    assert_refused(bad, "images.truncated", "bad.tif")


def test_an_empty_file(folder):
    (folder / "bad.png").touch()
    assert_reported(folder, "images.empty_file", "bad.png")


def test_a_40_gb_header_in_a_1_kb_file(folder):
    bad = folder / "bad.tif"
    bad.write_bytes(tiff_header(200_000, 200_000, strip_bytes=700))
    assert bad.stat().st_size == 1000
    assert_reported(folder, "images.too_short", "bad.tif", "40", "1")
    assert_refused(bad, "images.too_short", "bad.tif")


def test_a_label_stack_of_another_length(folder, tmp_path):
    write_pair(folder, "bad", IMAGES, LABELS[:3])
    names = ("bad-volume.tif", "bad-labels.tif", "3", "4")
    found = assert_reported(folder, "em_data.other_length", *names)
    assert len(found.items) == 8  # the images without their label can still be predicted
    alone = write_pair(tmp_path / "alone", "bad", IMAGES, LABELS[:3])
    assert_refused(alone, "em_data.other_length", *names)


def test_a_label_stack_of_another_size(folder, tmp_path):
    write_pair(folder, "bad", IMAGES, LABELS[:, :30])
    names = ("bad-volume.tif", "bad-labels.tif", "40 × 32", "40 × 30")
    assert_reported(folder, "em_data.other_size", *names)
    alone = write_pair(tmp_path / "alone", "bad", IMAGES, LABELS[:, :30])
    assert_refused(alone, "em_data.other_size", *names)


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_mask(folder, tmp_path, value):
    constant = np.full_like(LABELS, value)
    write_pair(folder, "bad", IMAGES, constant)
    assert_reported(folder, "em_data.constant", "bad-labels.tif", str(value))
    alone = write_pair(tmp_path / "alone", "bad", IMAGES, constant)
    assert_refused(alone, "em_data.constant", "bad-labels.tif", str(value))
    with pytest.raises(DataFormatError) as caught:
        open_label_stack(alone / "bad-labels.tif")
    assert_clear(caught.value.text, "bad-labels.tif")


def test_one_constant_section_of_a_stack_is_no_fault(tmp_path):
    labels = LABELS.copy()
    labels[2] = 255
    found = inspect_source(write_pair(tmp_path / "set", "good", IMAGES, labels), {})
    assert found.is_usable
    assert not [p for p in found.problems if p.text.id == "em_data.constant"]


def test_nan_in_an_image(folder):
    images = IMAGES.astype(np.float32)
    images[1, 3, 4:6] = np.nan
    write_pair(folder, "bad", images, None)
    assert_reported(folder, "em_data.not_a_number", "bad-volume.tif", "2")


def test_damage_that_was_not_sampled_does_not_stop_the_inspection(folder, monkeypatch):
    """Of a long stack only some sections are read; the others may hold anything."""
    from pipelines.tasks.em_membrane import data_report

    monkeypatch.setattr(data_report, "_MEASURED_SECTIONS", 4)
    images, labels = np.tile(IMAGES, (5, 1, 1)), np.tile(LABELS, (5, 1, 1)).astype(np.float32)
    labels[1::2] = np.nan
    write_pair(folder, "long", images, labels)
    found = inspect_source(folder, {})
    assert "good-volume:000" in {item.item_id for item in found.items}


def test_an_image_of_nothing_but_nan(folder):
    bad = np.full((32, 40), np.nan, np.float32)
    write_pair(folder, "bad", bad, None)
    assert_reported(folder, "em_data.not_a_number", "bad-volume.tif")
    assert_refused(folder / "bad-volume.tif", "em_data.not_a_number", "bad-volume.tif")


def test_nan_in_a_label(folder):
    labels = LABELS.astype(np.float32)
    labels[2, 3, 4] = np.nan
    write_pair(folder, "bad", IMAGES, labels)
    assert_reported(folder, "em_data.label_nan", "bad-labels.tif", "3")


def test_colour_where_grey_is_expected(folder):
    colour = RNG.integers(0, 255, (4, 32, 40, 3)).astype(np.uint8)
    write_pair(folder, "bad", colour, None, photometric="rgb")
    assert_reported(folder, "images.colour", "bad-volume.tif")
    assert_refused(folder / "bad-volume.tif", "images.colour", "bad-volume.tif")
    allowed = inspect_source(folder / "bad-volume.tif", {"colour": "luminance"})
    assert len(allowed.items) == 4


def test_an_empty_zip(tmp_path):
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    assert_refused(tmp_path / "empty.zip", "images.empty_zip", "empty.zip")


def test_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "images.empty_folder", "empty")


def zipped(folder, extra=()):
    archive = Path(shutil.make_archive(str(folder), "zip", folder))
    with zipfile.ZipFile(archive, "a") as target:
        for name, content in extra:
            target.writestr(name, content)
    return archive


def test_a_zip_with_a_name_that_leads_out(folder):
    content = (folder / "good-volume.tif").read_bytes()
    source = zipped(folder, [("../../evil.tif", content)])
    assert_refused(source, "images.zip_unsafe_name", "set.zip", "../../evil.tif")
    assert not list(folder.parent.parent.glob("evil.tif"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(folder):
    content = (folder / "good-volume.tif").read_bytes()
    source = zipped(folder, [("bad.tif", content), ("bad.tif", content[::-1])])
    assert_reported(source, "images.zip_twice", "bad.tif")


def test_a_damaged_member_of_a_zip(folder):
    (folder / "bad.tif").write_bytes(RNG.bytes(5000))
    source = zipped(folder)
    content = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        start = archive.getinfo("bad.tif").header_offset
    content[start + 300 : start + 400] = b"\0" * 100
    source.write_bytes(content)
    assert_reported(source, "images.zip_member_broken", "bad.tif")


def test_pages_of_different_size_in_one_file(folder):
    from tifffile import TiffWriter

    with TiffWriter(folder / "bad.tif") as tiff:
        tiff.write(IMAGES[0], photometric="minisblack")
        tiff.write(IMAGES[0, :20], photometric="minisblack")
    assert_reported(folder, "images.mixed_pages", "bad.tif", "40 × 32", "40 × 20")


def test_a_label_without_its_image(folder):
    write_pair(folder, "bad", IMAGES, LABELS)
    (folder / "bad-volume.tif").unlink()
    imwrite(folder / "other.tif", IMAGES[:2], photometric="minisblack")
    imwrite(folder / "another.tif", IMAGES[:2], photometric="minisblack")
    assert_reported(folder, "em_data.lonely_label", "bad-labels.tif")


def test_a_mask_that_is_given_for_an_image(folder):
    found = inspect_source(folder / "good-labels.tif", {})
    (text,) = (p.text for p in found.problems if p.text.id == "em_data.image_is_mask")
    assert_clear(text, "good-labels.tif")


def test_a_single_bad_section_of_a_folder_is_named_and_the_others_stay(tmp_path):
    for index in range(4):
        for name, stack in (("images", IMAGES), ("labels", LABELS)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(stack[index]).save(tmp_path / name / f"{index}.png")
    content = (tmp_path / "images" / "2.png").read_bytes()
    (tmp_path / "images" / "2.png").write_bytes(content[: len(content) // 2])
    found = inspect_source(tmp_path, {})
    assert found.is_usable
    assert [i.item_id for i in found.items] == ["images/0", "images/1", "images/3"]
    (problem,) = (p for p in found.problems if p.path == "images/2.png")
    assert_clear(problem.text, "images/2.png")


def test_a_folder_of_sections_of_different_size_can_be_used(tmp_path):
    for index, side in enumerate((32, 24)):
        Image.fromarray(IMAGES[0, :side]).save(tmp_path / f"{index}.png")
        Image.fromarray(LABELS[0, :side]).save(tmp_path / f"{index}_mask.png")
    found = inspect_source(tmp_path, {})
    assert found.is_usable
    assert sum(item.has_truth for item in found.items) == 2


def test_a_disk_that_is_full_while_a_stack_is_converted(folder, monkeypatch):
    stack = open_stack(folder / "good-volume.tif")

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(DiskFullError) as caught:
        convert_to_png(stack, folder / "png.zip")
    assert_clear(caught.value.text)
    assert not [p for p in folder.iterdir() if "png.zip" in p.name]
