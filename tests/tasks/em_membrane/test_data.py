import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

from pipelines.contract import DatasetRecord
from pipelines.errors import ConfigError, DataError
from pipelines.tasks.em_membrane.data import (
    inspect_source,
    open_label_stack,
    open_samples,
    split_sections,
)
from pipelines.tasks.em_membrane.fake import generate_stack
from pipelines.text import Text, render

IMAGES, INSIDE = generate_stack(3, 96, 7)
LABELS = INSIDE.astype(np.uint8) * 255


def as_record(found):
    return DatasetRecord(
        "set-1", "em_membrane", found.title, found.root, found.files, found.items, found.options,
        "marie", "2026-01-01",
    )  # fmt: skip


def opened(source, **options):
    found = inspect_source(source, {k: str(v) for k, v in options.items()})
    assert found.is_usable, found.problems
    return open_samples(as_record(found))


def write_folder(folder, images=IMAGES, labels=LABELS, names=("images", "labels"), suffix="png"):
    for name, stack in zip(names, (images, labels), strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index, section in enumerate(stack):
            path = folder / name / f"{index:02d}.{suffix}"
            Image.fromarray(section).save(path) if suffix == "png" else imwrite(path, section)
    return folder


def write_stacks(folder, images=IMAGES, labels=LABELS, names=("train-volume", "train-labels")):
    folder.mkdir(parents=True, exist_ok=True)
    for name, stack in zip(names, (images, labels), strict=True):
        imwrite(folder / f"{name}.tif", stack, photometric="minisblack")
    return folder


def assert_holds(samples, images=IMAGES, inside=INSIDE):
    assert len(samples) == len(images)
    for sample, image, truth in zip(samples, images, inside, strict=True):
        assert sample.image.dtype == np.float32
        np.testing.assert_allclose(sample.image, image / 255.0, atol=1e-6)
        np.testing.assert_array_equal(sample.truth, truth)


# --- layouts ----------------------------------------------------------------------------------


def test_two_stacks_of_the_challenge_make_labelled_sections(tmp_path):
    samples = opened(write_stacks(tmp_path / "isbi"))
    assert_holds(samples)
    assert [s.item_id for s in samples][1] == "train-volume:001"
    assert {s.group for s in samples} == {"train-volume"}
    assert samples[2].meta == {
        "section": 2, "pixel_size_nm": 0.0, "stack": "train-volume", "file": "train-volume.tif",
        "label_file": "train-labels.tif",
    }  # fmt: skip


def test_a_stack_without_labels_belongs_to_the_data_set(tmp_path):
    folder = write_stacks(tmp_path)
    imwrite(folder / "test-volume.tif", IMAGES[:2], photometric="minisblack")
    samples = opened(folder)
    assert [s.item_id for s in samples][3:] == ["test-volume:000", "test-volume:001"]
    assert [s.truth is None for s in samples] == [False] * 3 + [True] * 2
    np.testing.assert_allclose(samples[4].image, IMAGES[1] / 255.0, atol=1e-6)


@pytest.mark.parametrize(
    "names",
    [("images", "labels"), ("raw", "gt"), ("img", "masks"), ("train/image", "train/label")],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_folders_of_single_sections_are_matched_by_name(tmp_path, names, suffix):
    samples = opened(write_folder(tmp_path / "set", names=names, suffix=suffix))
    assert_holds(samples)
    assert samples[1].item_id.endswith("/01")
    assert len({s.group for s in samples}) == 1


def test_pairs_in_one_folder_are_matched_by_their_suffix(tmp_path):
    for index in range(3):
        Image.fromarray(IMAGES[index]).save(tmp_path / f"cell_{index}.png")
        Image.fromarray(LABELS[index]).save(tmp_path / f"cell_{index}_mask.png")
    assert_holds(opened(tmp_path))


def test_numbers_match_whatever_their_zeros(tmp_path):
    write_folder(tmp_path)
    for index in range(3):
        (tmp_path / "labels" / f"{index:02d}.png").rename(tmp_path / "labels" / f"label{index}.png")
    assert_holds(opened(tmp_path))


def test_names_that_do_not_match_are_matched_in_order_and_it_is_said(tmp_path):
    write_folder(tmp_path)
    for index, letter in enumerate("abc"):
        (tmp_path / "labels" / f"{index:02d}.png").rename(tmp_path / "labels" / f"{letter}.png")
    assert_holds(opened(tmp_path))
    facts = {name.id: value for name, value in inspect_source(tmp_path, {}).facts}
    assert facts["em_data.fact.matched"] == Text("em_data.matched.order")


def test_two_stacks_without_telling_names_are_told_apart_by_content(tmp_path):
    assert_holds(opened(write_stacks(tmp_path, names=("b", "a"))))


@pytest.mark.parametrize("layout", [write_stacks, write_folder])
def test_a_zip_gives_the_same_samples_as_its_folder(tmp_path, layout):
    folder = layout(tmp_path / "set" / "inner")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set"))
    from_folder, from_zip = opened(folder), opened(archive)
    assert from_zip.item_ids == from_folder.item_ids
    assert_holds(from_zip)


def test_a_single_stack_has_sections_without_truth(tmp_path):
    write_stacks(tmp_path)
    samples = opened(tmp_path / "train-volume.tif")
    assert [s.truth for s in samples] == [None] * 3


def test_two_specimens_are_two_groups(tmp_path):
    write_stacks(tmp_path / "all", names=("fly-image", "fly-label"))
    write_stacks(tmp_path / "all", names=("mouse-image", "mouse-label"), images=IMAGES[::-1])
    samples = opened(tmp_path / "all")
    assert [s.group for s in samples] == ["fly-image"] * 3 + ["mouse-image"] * 3
    np.testing.assert_allclose(samples[3].image, IMAGES[2] / 255.0, atol=1e-6)


# --- labels -----------------------------------------------------------------------------------


def coloured(labels, inside_colour, membrane_colour):
    return np.where(
        (labels > 0)[..., None], *(np.uint8(c) for c in (inside_colour, membrane_colour))
    )


@pytest.mark.parametrize(
    ("labels", "polarity"),
    [
        (LABELS, "low"),
        (255 - LABELS, "high"),
        (LABELS // 255, "low"),
        (1 - LABELS // 255, "high"),
        (LABELS.astype(np.uint16) * 257, "low"),
        ((LABELS // 255).astype(np.float32), "low"),
        (LABELS // 255 + 1, "low"),
        (LABELS > 0, "low"),
    ],
    ids=["255", "255 inverted", "1", "1 inverted", "16 bit", "float", "1 and 2", "bool"],
)
def test_truth_is_inside_whatever_the_labels_look_like(tmp_path, labels, polarity):
    folder = write_stacks(tmp_path, labels=labels)
    assert inspect_source(folder, {}).options["membrane_value"] == polarity
    assert_holds(opened(folder))
    np.testing.assert_array_equal(open_label_stack(folder / "train-labels.tif")[:], INSIDE)


@pytest.mark.parametrize(
    "colours",
    [((255, 255, 255), (0, 0, 0)), ((0, 255, 0), (255, 0, 0)), ((0, 0, 0), (255, 255, 0))],
)
def test_two_colours_are_two_classes(tmp_path, colours):
    folder = write_folder(tmp_path, labels=coloured(LABELS, *colours))
    assert_holds(opened(folder))


def test_soft_edges_are_cut_in_the_middle_and_it_is_said(tmp_path):
    soft = LABELS.copy()
    soft[:, ::7, ::7] = np.where(soft[:, ::7, ::7] > 0, 190, 60)
    found = inspect_source(write_stacks(tmp_path, labels=soft), {})
    assert "em_data.soft_labels" in [p.text.id for p in found.problems]
    assert_holds(open_samples(as_record(found)))


def test_labels_that_are_probabilities_are_cut_in_the_middle(tmp_path):
    soft = np.where(INSIDE, 0.8, 0.1).astype(np.float32)
    soft[:, ::3] += 0.05
    found = inspect_source(write_stacks(tmp_path, labels=soft), {})
    assert found.options["label_kind"] == "soft"
    assert_holds(open_samples(as_record(found)))


def test_numbered_cells_are_inside_and_their_borders_membrane(tmp_path):
    from scipy.ndimage import label

    numbered = np.stack([label(section)[0] for section in INSIDE]).astype(np.uint16)
    numbered[0, :40, :40] = 0
    numbered[0, 10:20, 10:20], numbered[0, 10:20, 20:30] = 901, 902  # two cells that touch
    found = inspect_source(write_stacks(tmp_path, labels=numbered), {})
    assert "em_data.cell_labels" in [p.text.id for p in found.problems]
    samples = open_samples(as_record(found))
    np.testing.assert_array_equal(samples[1].truth, INSIDE[1])
    row = samples[0].truth[15, 8:32]
    np.testing.assert_array_equal(row[[3, 11, 12, 20]], [True, False, False, True])
    assert label(samples[0].truth[9:21, 9:31])[1] == 2


def test_labels_of_0_and_1_may_stand_beside_labels_of_0_and_255(tmp_path):
    write_folder(tmp_path)
    Image.fromarray(LABELS[1] // 255).save(tmp_path / "labels" / "01.png")
    assert_holds(opened(tmp_path))


def test_the_polarity_can_be_switched_and_is_then_remarked(tmp_path):
    folder = write_stacks(tmp_path)
    found = inspect_source(folder, {"membrane_value": "high"})
    assert found.options["membrane_value"] == "high"
    assert "em_data.unlikely_polarity" in [p.text.id for p in found.problems]
    np.testing.assert_array_equal(open_samples(as_record(found))[0].truth, ~INSIDE[0])
    assert not open_label_stack(folder / "train-labels.tif", "high")[0][INSIDE[0]].any()


def test_the_resolved_options_inspect_to_themselves(tmp_path):
    folder = write_stacks(tmp_path)
    found = inspect_source(folder, {})
    assert inspect_source(folder, found.options).options == found.options


def test_an_option_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError):
        inspect_source(write_stacks(tmp_path), {"polarity": "low"})


# --- values and facts -------------------------------------------------------------------------


def test_16_bit_sections_are_scaled_alike_over_the_stack(tmp_path):
    wide = IMAGES.astype(np.uint16) * 20 + 3000
    samples = opened(write_stacks(tmp_path, images=wide))
    slopes = [np.polyfit(IMAGES[i].ravel(), s.image.ravel(), 1)[0] for i, s in enumerate(samples)]
    assert np.ptp(slopes) / np.mean(slopes) < 0.02
    assert 0 <= min(s.image.min() for s in samples) < max(s.image.max() for s in samples) <= 1


def test_the_pixel_size_of_the_file_is_used_unless_one_is_given(tmp_path):
    metadata = {"axes": "ZYX", "unit": "micron"}
    for name, stack in (("train-volume", IMAGES), ("train-labels", LABELS)):
        path = tmp_path / f"{name}.tif"
        imwrite(path, stack, imagej=True, resolution=(250, 250), metadata=metadata)
    assert opened(tmp_path)[0].meta["pixel_size_nm"] == 4.0
    assert opened(tmp_path, pixel_size_nm=5.5)[0].meta["pixel_size_nm"] == 5.5


def test_the_report_states_what_was_measured(tmp_path):
    facts = {name.id: value for name, value in inspect_source(write_stacks(tmp_path), {}).facts}
    shown = {k: render(v, "en") if isinstance(v, Text) else v for k, v in facts.items()}
    share = round(100 * (1 - INSIDE.mean()))
    assert shown["em_data.fact.share"] == f"{share}%"
    assert shown["em_data.fact.sections"] == shown["em_data.fact.labelled"] == 3
    assert shown["em_data.fact.size"] == "96 × 96 px"
    assert shown["em_data.fact.range"] == f"{IMAGES.min()} to {IMAGES.max()}"
    assert shown["em_data.fact.membrane"] == "the lower value (0)"
    assert shown["em_data.fact.evidence"].startswith("4 of 4 signs")


def test_every_fact_and_problem_is_in_both_languages(tmp_path):
    found = inspect_source(write_stacks(tmp_path), {"membrane_value": "high"})
    texts = [name for name, _ in found.facts] + [v for _, v in found.facts if isinstance(v, Text)]
    for text in texts + [p.text for p in found.problems]:
        assert render(text, "en") != text.id
        assert render(text, "fr") != text.id
        assert "{" not in render(text, "fr") + render(text, "en")


def test_a_small_data_set_says_that_nothing_can_be_set_aside(tmp_path):
    found = inspect_source(write_stacks(tmp_path, images=IMAGES[:1], labels=LABELS[:1]), {})
    assert found.is_usable
    assert "em_data.one_labelled" in [p.text.id for p in found.problems]
    assert split_sections(as_record(found)).parts["validation"] == ()


def test_the_last_sections_are_set_aside(tmp_path):
    record = as_record(inspect_source(write_stacks(tmp_path), {}))
    parts = split_sections(record, 0.2).parts
    assert parts["train"] == ("train-volume:000", "train-volume:001")
    assert parts["validation"] == ("train-volume:002",)


# --- opening ----------------------------------------------------------------------------------


def test_items_are_opened_in_the_order_asked_for(tmp_path):
    record = as_record(inspect_source(write_stacks(tmp_path), {}))
    samples = open_samples(record, ["train-volume:002", "train-volume:000"])
    assert [s.item_id for s in samples] == ["train-volume:002", "train-volume:000"]
    np.testing.assert_array_equal(samples[0].truth, INSIDE[2])
    assert [s.item_id for s in samples[1:]] == ["train-volume:000"]


def test_an_unknown_item_is_named(tmp_path):
    record = as_record(inspect_source(write_stacks(tmp_path), {}))
    with pytest.raises(DataError) as caught:
        open_samples(record, ["train-volume:007"])
    assert "train-volume:007" in str(caught.value)


def test_samples_travel_to_worker_processes(tmp_path):
    samples = opened(write_folder(tmp_path))
    samples[0]
    assert_holds(pickle.loads(pickle.dumps(samples)))  # noqa: S301 our own


def test_nothing_is_read_before_a_section_is_asked_for(tmp_path):
    folder = write_folder(tmp_path)
    record = as_record(inspect_source(folder, {}))
    shutil.rmtree(folder / "images")
    samples = open_samples(record)
    assert len(samples) == 3
    with pytest.raises(DataError):
        samples[0]


def test_a_label_folder_is_opened_alone_or_with_its_images(tmp_path):
    folder = write_folder(tmp_path)
    np.testing.assert_array_equal(open_label_stack(folder)[:], INSIDE)
    np.testing.assert_array_equal(open_label_stack(folder / "labels")[:], INSIDE)
    assert open_label_stack(folder / "labels").shape == INSIDE.shape


def test_a_label_stack_is_found_beside_its_image_by_content(tmp_path):
    folder = write_stacks(tmp_path, names=("b", "a"))
    np.testing.assert_array_equal(open_label_stack(folder)[:], INSIDE)


@pytest.mark.data
def test_the_real_stack_reads_as_the_challenge_describes_it():
    folder = Path(os.environ.get("MICROSCOPY_TEST_DATA", "../shared/data")) / "isbi2012"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; set MICROSCOPY_TEST_DATA")
    found = inspect_source(folder, {})
    assert found.is_usable
    assert not found.problems
    assert found.options["membrane_value"] == "low"
    assert sum(item.has_truth for item in found.items) >= 24
    assert {item.group for item in found.items} == {"train-volume", "test-volume"}
    samples = open_samples(as_record(found))
    labels = open_label_stack(folder / "train-labels.tif")
    shares = [1 - sample.truth.mean() for sample in samples[:24]]
    assert np.mean(shares) == pytest.approx(0.22, abs=0.02)
    np.testing.assert_array_equal(samples[5].truth, labels[5])
