import json
import shutil
import zipfile

import numpy as np
import pytest
import tifffile
import zarr
from numpy.testing import assert_allclose

from pipelines.errors import DataError, DataFormatError
from pipelines.tasks.cryoet_picking import copick_files, particles, volumes
from pipelines.tasks.cryoet_picking.data import inspect_source, open_samples
from pipelines.tasks.cryoet_picking.picks import Picks
from pipelines.tasks.cryoet_picking.report import num_near_duplicates
from tests.tasks.cryoet_picking.conftest import record_of
from tests.wording import assert_clear

SPACING = 10.012444


@pytest.fixture
def copy(tree, tmp_path):
    """A copy of the tree that a test may damage."""
    volumes.forget_opened()
    return shutil.copytree(tree, tmp_path / "czii")


def zarr_of(root, experiment="TS_1"):
    return root / "static/ExperimentRuns" / experiment / "VoxelSpacing10.000/denoised.zarr"


def picks_of(root, kind, experiment="TS_1"):
    return root / "overlay/ExperimentRuns" / experiment / "Picks" / f"{kind}.json"


def problems(source, options=None):
    found = inspect_source(source, options or {})
    for problem in found.problems:
        assert_clear(problem.text)
    return {(p.severity, p.text.id) for p in found.problems}


def test_tree_zip_and_copick_config_open_the_same_samples(tree, tmp_path):
    archive = tmp_path / "tree.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(tree).as_posix())
    opened = [
        list(open_samples(record_of(source)))
        for source in (tree, archive, tree / "copick_config.json")
    ]
    for samples in opened[1:]:
        for first, other in zip(opened[0], samples, strict=True):
            assert first.item_id == other.item_id
            assert_allclose(np.asarray(first.image), np.asarray(other.image))
            assert_allclose(first.truth.picks.positions, other.truth.picks.positions)


def test_spacing_shape_and_groups_come_from_the_files(tree):
    sample = open_samples(record_of(tree))[1]
    assert sample.item_id == sample.group == "TS_2"
    assert sample.image.shape == (48, 64, 64)
    assert sample.meta["geometry"].spacing_angstrom == pytest.approx(SPACING)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_multiscale_zarr_round_trips_in_both_formats(tmp_path, volume, zarr_format):
    path = tmp_path / "a.zarr"
    volumes.write_zarr(path, volume, spacing_angstrom=7.5, zarr_format=zarr_format)
    opened = volumes.open_volume(path)
    assert_allclose(np.asarray(opened), volume)
    assert opened.spacing_angstrom == pytest.approx(7.5)
    assert [lv.shape for lv in opened.levels] == [(20, 24, 28), (10, 12, 14), (5, 6, 7)]
    assert_allclose(opened.read(..., level=1)[0, 0, 0], volume[:2, :2, :2].mean(), rtol=1e-5)


def test_slices_of_a_volume_are_slices_of_the_array(tmp_path, volume):
    path = tmp_path / "a.zarr"
    volumes.write_zarr(path, volume, spacing_angstrom=10)
    opened = volumes.open_volume(path)
    assert_allclose(opened[3], volume[3])
    assert_allclose(opened[:, 5], volume[:, 5])
    assert_allclose(opened[2:6, :, 7], volume[2:6, :, 7])


def test_zarr_with_other_axis_order_reads_as_z_y_x(tmp_path, volume):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    turned = np.ascontiguousarray(volume.transpose(2, 0, 1))[None]
    array = group.create_array("0", shape=turned.shape, dtype="float32")
    array[...] = turned
    axes = [{"name": n, "type": "space", "unit": "nanometer"} for n in ("c", "x", "z", "y")]
    scale = [{"type": "scale", "scale": [1, 1.0, 1.0, 1.0]}]
    group.attrs["multiscales"] = [
        {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    ]
    opened = volumes.open_volume(tmp_path / "a.zarr")
    assert_allclose(np.asarray(opened), volume)
    assert_allclose(opened[:, 4], volume[:, 4])
    assert opened.spacing_angstrom == pytest.approx(10.0)


@pytest.mark.parametrize("name", ["a.mrc", "a.npy", "a.tif"])
def test_single_volumes_are_read(tmp_path, volume, name):
    path = tmp_path / name
    if name.endswith("mrc"):
        volumes.write_mrc(path, volume, spacing_angstrom=5.0)
    elif name.endswith("npy"):
        np.save(path, volume)
    else:
        tifffile.imwrite(path, volume, compression="zlib")
    assert_allclose(np.asarray(volumes.open_volume(path)), volume)
    found = problems(path)
    assert (("error", "cryoet.no_spacing") in found) == (name != "a.mrc")
    assert ("error", "cryoet.no_spacing") not in problems(path, {"voxel_spacing_angstrom": "8"})


def test_a_volume_out_of_the_tree_keeps_the_name_of_its_tomogram(tree):
    (item,) = inspect_source(zarr_of(tree, "TS_2"), {}).items
    assert item.item_id == "TS_2"


@pytest.mark.parametrize("name", ["one.mrc", "deep/one.npy", "one.tif"])
def test_single_volumes_are_read_from_a_zip(tmp_path, volume, name):
    """Only Zarr tomograms could lie in a zip; people zip what their microscope wrote."""
    path = tmp_path / name.split("/")[-1]
    if name.endswith("mrc"):
        volumes.write_mrc(path, volume, spacing_angstrom=5.0)
    elif name.endswith("npy"):
        np.save(path, volume)
    else:
        tifffile.imwrite(path, volume, compression="zlib")
    archive = tmp_path / "several.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, name)
    path.unlink()
    options = {"voxel_spacing_angstrom": "5"}
    (sample,) = open_samples(record_of(archive, options))
    assert sample.item_id == "one"
    assert_allclose(np.asarray(sample.image), volume)
    assert sample.meta["geometry"].spacing_angstrom == pytest.approx(5.0)


def test_a_damaged_volume_in_a_zip_is_named(tmp_path, volume):
    path = tmp_path / "one.mrc"
    volumes.write_mrc(path, volume, spacing_angstrom=5.0)
    archive = tmp_path / "several.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("one.mrc", path.read_bytes()[:3000])
    assert ("error", "cryoet.damaged_volume") in problems(archive)


def test_mrc_with_swapped_axes_and_byte_order_reads_as_z_y_x(tmp_path, volume):
    import struct

    path = tmp_path / "a.rec"
    stored = np.ascontiguousarray(volume.transpose(1, 0, 2))  # slowest y, then z, then x
    head = bytearray(1024)
    ny, nz, nx = stored.shape
    struct.pack_into(">4i", head, 0, nx, nz, ny, 2)
    struct.pack_into(">3i3f", head, 28, nx, nz, ny, nx * 4.0, nz * 4.0, ny * 4.0)
    struct.pack_into(">3i", head, 64, 1, 3, 2)
    head[212:214] = b"\x11\x11"
    path.write_bytes(bytes(head) + stored.astype(">f4").tobytes())
    opened = volumes.open_volume(path)
    assert opened.spacing_angstrom == pytest.approx(4.0)
    assert_allclose(np.asarray(opened), volume, rtol=1e-6)


def test_normalised_volume_has_unit_spread_and_cuts_outliers(volume):
    volume[3, 3, 3] = 1.0
    found = volumes.normalised(volume, slab=7)
    assert found.dtype == np.float16
    assert float(found[3, 3, 3]) == volumes.CLIP_STD
    inner = np.delete(found.astype(float).ravel(), 3 * 24 * 28 + 3 * 28 + 3)
    assert abs(inner.mean()) < 0.02
    assert 0.9 < inner.std() < 1.2


@pytest.mark.parametrize(("value", "text_id"), [(np.nan, "not_finite"), (0.0, "constant")])
def test_nan_and_constant_volumes_are_refused(volume, value, text_id):
    with pytest.raises(DataFormatError) as caught:
        volumes.normalised(np.full_like(volume, value))
    assert caught.value.text.id == f"cryoet.{text_id}"
    assert_clear(caught.value.text)


def test_missing_chunk_is_told(copy):
    next(p for p in (zarr_of(copy) / "0").rglob("*") if p.is_file() and p.name.isdigit()).unlink()
    assert ("warning", "cryoet.chunks_missing") in problems(copy)


def test_missing_lower_level_is_a_warning_and_a_missing_full_one_an_error(copy):
    shutil.rmtree(zarr_of(copy) / "1")
    assert ("warning", "cryoet.level_missing") in problems(copy)
    volumes.forget_opened()
    shutil.rmtree(zarr_of(copy) / "0")
    assert ("error", "cryoet.full_level_missing") in problems(copy)


def test_zarr_without_spacing_takes_the_folder_name_and_else_asks(copy, tmp_path):
    attributes = zarr_of(copy) / ".zattrs"
    content = json.loads(attributes.read_text())
    for level in content["multiscales"][0]["datasets"]:
        del level["coordinateTransformations"]
    attributes.write_text(json.dumps(content))
    sample = open_samples(record_of(copy))[0]
    assert sample.meta["geometry"].spacing_angstrom == pytest.approx(10.0)
    alone = shutil.copytree(zarr_of(copy), tmp_path / "alone.zarr")
    assert ("error", "cryoet.no_spacing") in problems(alone)


def test_zarr_without_z_axis_is_refused(copy):
    attributes = zarr_of(copy) / ".zattrs"
    attributes.write_text(attributes.read_text().replace('"z"', '"t"'))
    assert ("error", "cryoet.axes") in problems(copy)


def test_json_cut_in_half_is_named(copy):
    path = picks_of(copy, "ribosome")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = inspect_source(copy, {})
    (problem,) = [p for p in found.problems if p.text.id == "cryoet.broken_json"]
    assert_clear(problem.text, "ribosome.json")


def test_unknown_particle_is_left_out_and_named(copy):
    path = picks_of(copy, "ribosome")
    path.write_text(path.read_text().replace('"ribosome"', '"ribosom"'))
    assert ("warning", "cryoet.unknown_particle") in problems(copy)


def test_coordinates_in_voxels_are_detected_asked_and_converted(copy):
    truth = {s.item_id: s.truth.picks for s in open_samples(record_of(copy))}
    for path in (copy / "overlay").rglob("*.json"):
        content = json.loads(path.read_text())
        for point in content["points"]:
            point["location"] = {a: v / SPACING for a, v in point["location"].items()}
        path.write_text(json.dumps(content))
    assert ("error", "cryoet.maybe_voxels") in problems(copy)
    record = record_of(copy, {"picks_unit": "voxel"})
    for sample in open_samples(record):
        expected = truth[sample.item_id].positions
        assert_allclose(sample.truth.picks.positions, expected, rtol=1e-6)


def test_picks_outside_and_near_duplicates_are_counted(copy):
    path = picks_of(copy, "ribosome")
    content = json.loads(path.read_text())
    far = {"location": {"x": 1e5, "y": 0.0, "z": 0.0}}
    content["points"] += [content["points"][0], far]
    path.write_text(json.dumps(content))
    found = problems(copy)
    assert ("warning", "cryoet.picks_outside") in found
    assert ("warning", "cryoet.near_duplicates") in found


def test_near_duplicates_are_pairs_of_one_kind_within_half_a_radius():
    places = np.array([[0, 0, 0], [0, 0, 20], [0, 0, 40], [0, 0, 900], [0, 0, 10]], float)
    kinds = np.array([0, 0, 0, 0, 1])
    picks = Picks(
        ("TS",), ("apo-ferritin", "ribosome"), np.zeros(5, int), kinds, places, np.ones(5)
    )
    kinds_of = {p.name: p for p in particles.CHALLENGE}
    pair = (kinds_of["apo-ferritin"], kinds_of["ribosome"])
    assert num_near_duplicates(picks, pair) == 2  # at 20 angstrom; 40 is beyond 30


def test_empty_overlay_can_be_predicted_but_has_no_truth(copy):
    for path in (copy / "overlay/ExperimentRuns/TS_1/Picks").glob("*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "points": []}))
    found = inspect_source(copy, {})
    assert ("warning", "cryoet.empty_overlay") in {(p.severity, p.text.id) for p in found.problems}
    assert [i.has_truth for i in found.items] == [False, True]
    assert found.is_usable


def test_facts_neither_invent_a_spacing_nor_call_an_unreadable_volume_picks_only(tmp_path):
    """A spacing of 0 angstrom and "picks only, no tomogram" stood above the problem itself."""
    np.save(tmp_path / "volume.npy", np.random.default_rng(0).normal(size=(8, 16, 16)))
    facts = {k.id: v for k, v in inspect_source(tmp_path / "volume.npy", {}).facts}
    assert facts["cryoet.fact_spacing"].id == "cryoet.fact_spacing.unknown"
    np.save(tmp_path / "flat.npy", np.zeros((16, 16), np.float32))
    facts = {k.id: v for k, v in inspect_source(tmp_path / "flat.npy", {}).facts}
    assert "cryoet.fact_picks_only" not in facts


def test_two_dimensional_image_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((32, 32), np.float32))
    assert ("error", "cryoet.not_3d") in problems(path)


def test_zip_with_names_that_point_outside_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../overlay/ExperimentRuns/TS_1/Picks/ribosome.json", "{}")
    with pytest.raises(DataFormatError) as caught:
        inspect_source(path, {})
    assert_clear(caught.value.text, "a.zip")


@pytest.mark.parametrize("content", [b"", b"not a zip at all"])
def test_broken_zip_is_refused(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(DataFormatError) as caught:
        inspect_source(path, {})
    assert_clear(caught.value.text, "a.zip")


def test_folder_with_neither_tomogram_nor_picks_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError) as caught:
        inspect_source(tmp_path, {})
    assert_clear(caught.value.text)


def test_truncated_mrc_is_refused(tmp_path, volume):
    path = tmp_path / "a.mrc"
    volumes.write_mrc(path, volume, spacing_angstrom=10)
    path.write_bytes(path.read_bytes()[:5000])
    assert ("error", "cryoet.damaged_volume") in problems(path)


def test_picks_alone_open_as_clouds(tree, tmp_path):
    shutil.copytree(tree / "overlay", tmp_path / "overlay")
    found = inspect_source(tmp_path, {})
    assert found.is_usable
    sample = open_samples(record_of(tmp_path))[0]
    assert not sample.meta["has_volume"]
    assert len(sample.truth.picks) > 5


def test_corrections_stand_beside_the_curated_picks_and_are_not_the_truth(copy):
    before = picks_of(copy, "ribosome").read_bytes()
    moved = Picks.of_one("TS_1", ("ribosome",), np.array([0]), np.array([[1.0, 2.0, 3.0]]))
    copick_files.write_picks(copy / "overlay", moved, user="ada", session="2")
    assert picks_of(copy, "ribosome").read_bytes() == before
    truth = open_samples(record_of(copy))[0].truth.picks
    assert_allclose(truth.of_kind("ribosome").positions[0] != [1.0, 2.0, 3.0], True)
    own = open_samples(record_of(copy, {"picks_user": "ada"}))[0].truth.picks
    assert_allclose(own.positions, [[1.0, 2.0, 3.0]])


def test_user_names_that_copick_could_not_split_are_refused():
    for name in ("Éva", "ada-2", "a.b"):
        assert copick_files.checked_user(name) == name
    for name in ("", ".", "a b", "../x", "a/b", "a:b"):
        with pytest.raises(DataFormatError):
            copick_files.checked_user(name)
    with pytest.raises(DataFormatError) as caught:
        copick_files.checked_user("ada_lovelace")
    assert_clear(caught.value.text, "ada_lovelace")


def test_particles_come_from_the_config_and_can_be_edited(copy):
    config = copy / "copick_config.json"
    content = json.loads(config.read_text())
    content["pickable_objects"].append(
        {"name": "nuclear-pore", "is_particle": True, "label": 7, "radius": 600, "color": [1, 2, 3]}
    )
    config.write_text(json.dumps(content))
    options = {"particles": "ribosome radius=100 weight=3; nuclear-pore colour=#ff0000"}
    kinds = open_samples(record_of(copy, options))[0].meta["particles"]
    ribosome = particles.by_name(kinds, "ribosome")
    assert (ribosome.radius_angstrom, ribosome.weight) == (100.0, 3.0)
    assert particles.by_name(kinds, "nuclear-pore").colour == (255, 0, 0)
    assert particles.from_json(particles.to_json(kinds)) == tuple(kinds)


@pytest.mark.parametrize("text", ["ribosome radius=-1", "ribosome size=3", "ribosom radius=3"])
def test_wrong_edits_of_particles_are_refused(text):
    with pytest.raises(DataFormatError) as caught:
        particles.with_overrides(particles.CHALLENGE, text)
    assert_clear(caught.value.text)


def test_copick_itself_opens_what_is_written_and_is_read(copy, monkeypatch):
    """copick wants `<user>_<session>_<particle>.json`; the challenge's own files lack it."""
    copick = pytest.importorskip("copick")
    from copick.models import CopickPoint

    for path in (copy / "overlay").rglob("*.json"):
        path.rename(path.with_name(f"curation_0_{path.name}"))
    monkeypatch.chdir(copy)
    root = copick.from_file("copick_config.json")
    truth = open_samples(record_of(copy))[0].truth.picks
    (found,) = root.get_run("TS_1").get_picks("ribosome", user_id="curation")
    assert len(found.points) == len(truth.of_kind("ribosome"))
    (tomogram,) = root.get_run("TS_1").get_voxel_spacing(10.0).get_tomograms("denoised")
    assert_allclose(tomogram.numpy(), np.asarray(open_samples(record_of(copy))[0].image))
    copick_files.write_picks(copy / "overlay", truth, user="grace", session="4")
    for kind, count in truth.counts().items():
        (saved,) = copick.from_file("copick_config.json").get_run("TS_1").get_picks(
            kind, user_id="grace", session_id="4"
        ) or (None,)
        places = [[p.location.z, p.location.y, p.location.x] for p in saved.points] if saved else []
        assert len(places) == count
        assert_allclose(np.reshape(places, (-1, 3)), truth.of_kind(kind).positions)
    own = root.get_run("TS_1").new_picks("ribosome", "9", "ada")
    own.points = [CopickPoint(location={"x": 3.0, "y": 2.0, "z": 1.0})]
    own.store()
    read = open_samples(record_of(copy, {"picks_user": "ada"}))[0].truth.picks
    assert_allclose(read.positions, [[1.0, 2.0, 3.0]])


@pytest.mark.data
def test_real_picks_open_on_their_own():
    from pathlib import Path

    root = Path(__file__).resolve()
    folder = next(
        (p / "shared/data/czii/real_picks" for p in root.parents if (p / "shared/data").is_dir()),
        None,
    )
    if folder is None:
        pytest.skip("the real picks are not on this machine")
    samples = open_samples(record_of(folder))
    assert sum(len(s.truth.picks) for s in samples) == 1269
    assert len(samples) == 7
