"""Odd but legal headers of MRC, TIFF and Zarr: values, byte order and spacing are read right."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose

from pipelines.tasks.cryoet_picking import volumes
from pipelines.tasks.cryoet_picking.data import inspect_source

SHAPE = (6, 8, 10)
PLACE = (2, 5, 7)
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def bright_spot(dtype: str, bright: int = 100) -> np.ndarray:
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 7
    volume[PLACE] = bright
    return volume.astype(dtype)


def write_mrc(path: Path, values: np.ndarray, mode: int, order: str = "<") -> Path:
    """Write a file with the barest header: no stamp, no axes, no extremes; 5 angstrom a voxel."""
    Z, Y, X = values.shape
    head = bytearray(1024)
    struct.pack_into(f"{order}4i", head, 0, X, Y, Z, mode)
    struct.pack_into(f"{order}3i3f", head, 28, X, Y, Z, X * 5.0, Y * 5.0, Z * 5.0)
    path.write_bytes(bytes(head) + values.astype(values.dtype.newbyteorder(order)).tobytes())
    return path


def change(path: Path, where: int, layout: str, *values: float) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, where, *values)
    path.write_bytes(content)
    return path


def found(path: Path, options: dict[str, str] | None = None) -> set[str]:
    return {p.text.id for p in inspect_source(path, options or {}).problems}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_read_in_either_byte_order_without_a_machine_stamp(tmp_path, mode, order):
    values = bright_spot(MODES[mode])
    opened = volumes.open_volume(write_mrc(tmp_path / "a.mrc", values, mode, order))
    assert_allclose(np.asarray(opened), values)
    assert opened.spacing_angstrom == pytest.approx(5.0)


def test_unsigned_bytes_are_told_from_signed_ones(tmp_path):
    """Reconstructions of IMOD in bytes 0 to 255 were read as signed: what was bright turned dark.

    IMOD says so by a flag; other programs wrote the largest value into the header.
    """
    values = bright_spot("u1", 255)
    imod = write_mrc(tmp_path / "imod.rec", values, 0)
    assert_allclose(
        np.asarray(volumes.open_volume(change(imod, 152, "<2i", 1146047817, 0))), values
    )
    plain = write_mrc(tmp_path / "plain.mrc", values, 0)
    assert_allclose(np.asarray(volumes.open_volume(change(plain, 80, "<f", 255.0))), values)
    signed = write_mrc(tmp_path / "signed.rec", bright_spot("i1", -100), 0)
    change(signed, 152, "<2i", 1146047817, 1)
    assert volumes.open_volume(signed)[PLACE] == -100


def test_a_mode_of_complex_numbers_is_named(tmp_path):
    """A file of another kind was called damaged, and to be copied again."""
    path = write_mrc(tmp_path / "a.mrc", bright_spot("c8"), 4)
    assert "cryoet.mrc_mode" in found(path)


@pytest.mark.parametrize("cell", [(0.0, 0.0, 0.0), (np.nan, 5.0, 5.0), (np.inf,) * 3, (-5.0,) * 3])
def test_a_cell_that_is_no_length_states_no_spacing(tmp_path, cell):
    """An infinite cell was accepted, and read on the page as "not stated" without a question."""
    path = write_mrc(tmp_path / "a.mrc", bright_spot("f4"), 2)
    assert "cryoet.no_spacing" in found(change(path, 40, "<3f", *cell))


@pytest.mark.parametrize(
    "notes",
    [
        {"unit": "nm", "spacing": 1.0},
        {"unit": "\\u00B5m", "spacing": 0.001},
        {"unit": "micron", "spacing": 0.001},
        {"unit": "angstrom", "spacing": 10.0},
    ],
)
def test_spacing_of_imagej_is_read_in_its_unit(tmp_path, notes):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, bright_spot("f4"), imagej=True, metadata={"axes": "ZYX", **notes})
    assert volumes.open_volume(path).spacing_angstrom == pytest.approx(10.0)


@pytest.mark.parametrize(("size", "unit"), [(1.0, "nm"), (10.0, "Å"), (0.001, None)])
def test_spacing_of_ome_tiff_is_read_in_its_unit(tmp_path, size, unit):
    notes: dict[str, object] = {"axes": "ZYX"}
    for axis in "XYZ":
        notes[f"PhysicalSize{axis}"] = size
        if unit:
            notes[f"PhysicalSize{axis}Unit"] = unit
    tifffile.imwrite(tmp_path / "a.ome.tif", bright_spot("f4"), metadata=notes)
    opened = volumes.open_volume(tmp_path / "a.ome.tif")
    assert opened.spacing_angstrom == pytest.approx(10.0)
    assert found(tmp_path / "a.ome.tif") == {"cryoet.no_picks"}


def zarr_with(folder: Path, *, unit: str = "angstrom", scale: tuple[float, ...]) -> Path:
    volumes.write_zarr(folder, bright_spot("f4"), spacing_angstrom=10.0, num_levels=1)
    notes = json.loads((folder / ".zattrs").read_text())
    for axis in notes["multiscales"][0]["axes"]:
        axis["unit"] = unit
    notes["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = list(scale)
    (folder / ".zattrs").write_text(json.dumps(notes))
    return folder


@pytest.mark.parametrize("scale", [(-1, 1, 1), (0, 10, 10)])
def test_a_zarr_of_impossible_scale_asks_for_its_spacing(tmp_path, scale):
    """A negative scale became a spacing of NaN that nothing complained of."""
    assert "cryoet.no_spacing" in found(zarr_with(tmp_path / "a.zarr", scale=scale))


def test_an_unknown_unit_is_told_and_a_typed_spacing_settles_it(tmp_path):
    """The message said to type the spacing, and typing it changed nothing."""
    path = zarr_with(tmp_path / "a.zarr", unit="pixel", scale=(1, 1, 1))
    assert {"cryoet.unit", "cryoet.no_spacing"} <= found(path)
    assert found(path, {"voxel_spacing_angstrom": "10"}) == {"cryoet.no_picks"}


def test_voxels_that_are_no_cubes_are_told(tmp_path):
    """Their geometric mean was taken without a word: every pick then stands in a wrong place."""
    path = zarr_with(tmp_path / "a.zarr", scale=(20, 10, 10))
    assert "cryoet.no_cube" in found(path)
    assert "cryoet.no_cube" not in found(path, {"voxel_spacing_angstrom": "10"})
    nearly = zarr_with(tmp_path / "b.zarr", scale=(10.01, 10, 10))
    assert "cryoet.no_cube" not in found(nearly)


@pytest.mark.parametrize("dtype", ["f2", "i1", ">f4", ">i2", "f8", "u4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npy_of_any_numbers_and_order_is_normalised_alike(tmp_path, dtype, order):
    np.save(tmp_path / "a.npy", np.asarray(bright_spot(dtype), order=order))
    np.save(tmp_path / "b.npy", bright_spot("f4"))
    one, other = (volumes.normalised(volumes.open_volume(tmp_path / n)) for n in ("a.npy", "b.npy"))
    assert_allclose(one, other, atol=1e-3)
    assert np.unravel_index(one.argmax(), one.shape) == PLACE
