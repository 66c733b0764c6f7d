"""Files that somebody made to do harm, or that a copy broke, end in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from pipelines.contract import Inspection
from pipelines.errors import DataError
from pipelines.tasks.cryoet_picking.data import inspect_source
from pipelines.tasks.cryoet_picking.particles import CHALLENGE
from pipelines.tasks.cryoet_picking.sources import open_tree
from pipelines.tasks.cryoet_picking.submission import check_submission
from pipelines.tasks.cryoet_picking.volumes import open_volume
from pipelines.text import LANGUAGES, render

GROUP = {".zgroup": {"zarr_format": 2}}
ARRAY = {
    "zarr_format": 2, "shape": [16, 16, 16], "chunks": [16, 16, 16], "dtype": "<f4",
    "compressor": None, "fill_value": 0, "order": "C", "filters": None,
}  # fmt: skip


class Harm:
    """Leave a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def complaint(source: Path) -> str:
    """Return what is said about a source that must not be usable, in English."""
    try:
        found = inspect_source(source, {})
    except DataError as error:
        texts = [error.text]
    else:
        assert not found.is_usable
        texts = [p.text for p in found.problems if p.severity == "error"]
    said = [render(texts[0], language) for language in LANGUAGES]
    assert len(set(said)) == len(LANGUAGES)
    assert not any("\n" in words for words in said)
    return said[0]


def write_zarr(folder: Path, files: Mapping[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(data)
    return folder


def multiscale(path: Any = "0", **entry: Any) -> dict[str, Any]:
    dataset = {"path": path, **entry}
    return {"multiscales": [{"axes": ["z", "y", "x"], "datasets": [dataset]}]}


@pytest.mark.parametrize(
    "files",
    [
        {".zattrs": {"multiscales": {"a": 1}}},
        {".zattrs": {"multiscales": ["x"]}},
        {".zattrs": {"ome": [1]}},
        {".zattrs": [1, 2]},
        {".zattrs": b'{"a":' * 100_000},
        {".zattrs": {"multiscales": [{"axes": ["z", "y", "x"], "datasets": None}]}},
        {".zattrs": {"multiscales": [{"axes": ["z", "y", "x"], "datasets": ["0"]}]}},
        {".zattrs": multiscale("../elsewhere.zarr")},
        {".zattrs": multiscale("/etc")},
        {".zattrs": multiscale(), "0/.zgroup": {"zarr_format": 2}},
        {".zattrs": multiscale(), "0/.zarray": b'{"zarr_for'},
        {".zattrs": multiscale(), "0/.zarray": {**ARRAY, "compressor": {"id": "nosuch"}}},
        {".zattrs": multiscale(), "0/.zarray": {**ARRAY, "shape": [-1, 16, 16]}},
        {".zattrs": multiscale(), "0/.zarray": {**ARRAY, "chunks": [0, 0, 0]}},
        {".zattrs": multiscale(), "0/.zarray": {**ARRAY, "dtype": "<c8"}},
        {".zattrs": multiscale(coordinateTransformations=[{"type": "scale", "scale": ["a"]}]),
         "0/.zarray": ARRAY},
        {".zattrs": multiscale(), "0/.zarray": ARRAY, "0/0.0.0": b"abc"},
    ],
)  # fmt: skip
def test_a_zarr_may_say_anything_and_gets_one_sentence(
    tmp_path: Path, files: Mapping[str, Any]
) -> None:
    write_zarr(tmp_path / "elsewhere.zarr", {".zarray": ARRAY})
    complaint(write_zarr(tmp_path / "in" / "odd.zarr", {**GROUP, **files}))


@pytest.mark.parametrize("size", [{"shape": [100_000] * 3, "chunks": [64] * 3},
                                  {"shape": [1500] * 3, "chunks": [1500] * 3}])  # fmt: skip
def test_sizes_that_only_the_header_claims_are_refused(
    tmp_path: Path, size: Mapping[str, Any]
) -> None:
    files = {**GROUP, ".zattrs": multiscale(), "0/.zarray": {**ARRAY, **size}}
    words = complaint(write_zarr(tmp_path / "big.zarr", files))
    assert "far more than a tomogram" in words or "in one piece" in words


@pytest.mark.parametrize(
    "array",
    [
        {"filters": [{"id": "pickle", "protocol": 4}]},
        {"compressor": {"id": "pickle", "protocol": 4}},
        {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 4}], "fill_value": None},
    ],
)
def test_a_zarr_of_pickles_is_never_read(tmp_path: Path, array: Mapping[str, Any]) -> None:
    """A chunk is decoded by the codec that the file itself names; one of them runs code."""
    mark = tmp_path / "harm"
    chunk = pickle.dumps(Harm(mark))
    files = {**GROUP, ".zattrs": multiscale(), "0/.zarray": {**ARRAY, **array}, "0/0.0.0": chunk}
    words = complaint(write_zarr(tmp_path / "pickled.zarr", files))
    assert not mark.exists()
    assert "run code" in words or "grey values" in words or "damaged" in words


def test_every_volume_of_numbers_still_opens(tmp_path: Path) -> None:
    values = np.arange(16 * 16 * 16, dtype=np.float32).reshape(16, 16, 16)
    array = zarr.create_array(str(tmp_path / "plain.zarr"), data=values, chunks=(8, 8, 8))
    assert array.shape == (16, 16, 16)
    np.testing.assert_array_equal(open_volume(tmp_path / "plain.zarr")[3], values[3])


def npy(header: str) -> bytes:
    head = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (8, 8, 8), }") + bytes(5000),
        npy("{'descr': '<c8', 'fortran_order': False, 'shape': (8, 8, 8), }") + bytes(5000),
        npy("{'descr': '<U4', 'fortran_order': False, 'shape': (8, 8, 8), }") + bytes(9000),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 1000, 1000), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-5, 1000, 1000), }"),
        npy("(" * 5000),
        b"",
    ],
)
def test_an_npy_is_numbers_that_are_there_or_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.npy").write_bytes(content)
    complaint(tmp_path / "odd.npy")


def test_a_pickled_npy_is_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "harm"
    array = np.empty((4, 4, 4), object)
    array[...] = Harm(mark)
    np.save(tmp_path / "pickled.npy", array, allow_pickle=True)
    complaint(tmp_path / "pickled.npy")
    assert not mark.exists()


def test_a_tiff_does_not_choose_what_else_is_read(tmp_path: Path) -> None:
    """OME-TIFF lists further files; a name such as ../../x would be opened by the library."""
    (tmp_path / "in").mkdir()
    secret = np.full((8, 8), 77, np.uint8)
    tifffile.imwrite(tmp_path / "secret.tif", secret, metadata=None)
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0">'
        f'<UUID FileName="../secret.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(8)
    )
    ome = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels BigEndian="false" DimensionOrder="XYZCT" ID="Pixels:0" '
        'SizeC="1" SizeT="1" SizeX="8" SizeY="8" SizeZ="8" Type="uint8">'
        f"{planes}</Pixels></Image></OME>"
    )
    own = np.arange(64, dtype=np.uint8).reshape(8, 8)
    tifffile.imwrite(tmp_path / "in" / "x.ome.tif", own, description=ome, metadata=None)
    with pytest.raises(DataError):  # what is left is one section
        open_volume(tmp_path / "in" / "x.ome.tif")


def test_a_bomb_in_a_zip_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    head = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (200, 400, 400), }")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("volume.npy", head + bytes(200 * 400 * 400 * 4))
    assert "bomb.zip" in complaint(tmp_path / "bomb.zip")


def test_an_encrypted_zip_gets_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "locked.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("volume.mrc", b"x" * 2000)
        archive.writestr("config.json", b"{}")
    content = bytearray(file.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 4)
    file.write_bytes(content)
    assert "cannot be read" in complaint(file)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"pickable_objects": ' + b"[" * 100_000,
        b'{"pickable_objects": [1, null]}',
        b'{"pickable_objects": [{"name": {"a": 1}, "radius": "abc"}]}',
        b'{"pickable_objects": [{"name": "x", "radius": 9, "label": 1e400}]}',
        b'{"pickable_objects": [{"name": "x", "radius": 9, "label": 1, "color": [null, 1, 2]}]}',
        b'{"pickable_objects": [{"name": "x", "radius": 9, "label": 1, "metadata": 3}]}',
        b'{"pickable_objects": [{"name": "x", "radius": 9, "label": 1,'
        b' "metadata": {"score_weight": NaN}}]}',
    ],
)
def test_a_configuration_may_say_anything_and_gets_one_sentence(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "config.json").write_bytes(content)
    complaint(tmp_path / "config.json")


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":' * 100_000,
        b'{"pickable_object_name": {"a": [1]}, "points": []}',
        b'{"pickable_object_name": "ribosome", "points": {"x": 1}}',
        b'{"pickable_object_name": "ribosome", "points": "abc"}',
        b'{"pickable_object_name": "ribosome", "points": [1, 2]}',
        b'{"pickable_object_name": "ribosome",'
        b' "points": [{"location": {"x": NaN, "y": 1, "z": 2}}]}',
    ],
)
def test_picks_may_say_anything_and_get_one_sentence(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "overlay" / "ExperimentRuns" / "TS_1" / "Picks"
    folder.mkdir(parents=True)
    (folder / "ribosome.json").write_bytes(content)
    complaint(tmp_path)


def test_a_spacing_that_is_no_number_is_no_tomogram(tmp_path: Path) -> None:
    folder = tmp_path / "static" / "ExperimentRuns" / "TS_1" / "VoxelSpacing1.2.3" / "wbp.zarr"
    write_zarr(folder, {**GROUP, ".zattrs": multiscale(), "0/.zarray": ARRAY})
    found: Inspection = inspect_source(tmp_path, {"voxel_spacing_angstrom": "10"})
    assert found.items


def test_links_out_of_a_folder_and_pipes_are_no_part_of_it(tmp_path: Path) -> None:
    """Below an allowed folder a link may not open the rest of the disk; a pipe would never end."""
    (tmp_path / "secret.json").write_text("{}")
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    (inside / "own.json").write_text("{}")
    (inside / "link.json").symlink_to(tmp_path / "secret.json")
    (inside / "sub" / "own2.json").symlink_to(inside / "own.json")
    (inside / "up").symlink_to(tmp_path)
    (inside / "circle.json").symlink_to(inside / "circle.json")
    if hasattr(os, "mkfifo"):
        os.mkfifo(inside / "pipe.mrc")
    assert open_tree(inside).names == ("own.json", "sub/own2.json")


@pytest.mark.parametrize(
    "rows", [b"0,TS,ribosome," + b"1" * 200_000 + b",2,3\n", b"\xff\xfe", b'0,TS,"ribosome,1,2,3']
)
def test_a_submission_may_hold_anything_and_gets_one_sentence(rows: bytes) -> None:
    content = b"id,experiment,particle_type,x,y,z\n" + rows
    (problem, *_) = check_submission(content, CHALLENGE, {})
    assert problem.severity == "error"


def test_a_zip_is_parsed_once_for_all_its_small_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory was parsed for each of them: minutes for a thousand picks."""
    path = tmp_path / "tree.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(30):
            archive.writestr(f"ExperimentRuns/TS_{i}/Picks/ribosome.json", json.dumps(PICKS))
    opened = []
    former = zipfile.ZipFile.__init__

    def count(self: zipfile.ZipFile, *arguments: Any, **options: Any) -> None:
        opened.append(1)
        former(self, *arguments, **options)

    monkeypatch.setattr(zipfile.ZipFile, "__init__", count)
    assert len(inspect_source(path, {}).items) == 30
    assert len(opened) <= 3


PICKS = {
    "pickable_object_name": "ribosome",
    "user_id": "curation",
    "session_id": "0",
    "run_name": "TS",
    "points": [{"location": {"x": 1.0, "y": 2.0, "z": 3.0}}],
}


def test_pages_without_values_are_one_sentence(tmp_path: Path) -> None:
    """The reader of TIFFs ended in an assertion of its own."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8, 8), np.uint8), compression="zlib")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    at = content.find(struct.pack("<HHI", 258, 3, 1))
    struct.pack_into("<H", content, at + 8, 67)  # bits of a value
    (tmp_path / "a.tif").write_bytes(content)
    assert "a.tif" in complaint(tmp_path / "a.tif")


def test_a_chunk_that_its_codec_cannot_read_is_one_sentence(tmp_path: Path) -> None:
    """LZMA raises an exception of its own kind."""
    array = {**ARRAY, "compressor": {"id": "lzma", "format": 1, "check": -1, "preset": None,
                                     "filters": None}}  # fmt: skip
    size = [{"type": "scale", "scale": [10.0] * 3}]
    attributes = multiscale(coordinateTransformations=size)
    files = {**GROUP, ".zattrs": attributes, "0/.zarray": array, "0/0.0.0": b"abc" * 100}
    assert "damaged" in complaint(write_zarr(tmp_path / "a.zarr", files))


def test_a_submission_of_a_million_columns_is_one_sentence() -> None:
    """Each of its rows took 10 MB."""
    columns = "id,experiment,particle_type,x,y,z" + "".join(f",c{i}" for i in range(1000))
    content = f"{columns}\n0,TS_1,ribosome,1,2,3\n".encode()
    (problem,) = check_submission(content, CHALLENGE, {})
    assert "submission.csv" in render(problem.text, "en")


@pytest.mark.parametrize("place", ["1e308", "-1e40", "NaN", "1e999"])
def test_a_place_that_lies_nowhere_is_one_sentence(tmp_path: Path, place: str) -> None:
    """Squares of such numbers are infinite, and the search for near picks ended in a bug."""
    picks = json.dumps(PICKS).replace("2.0", place)
    (tmp_path / "ExperimentRuns" / "TS_1" / "Picks").mkdir(parents=True)
    (tmp_path / "ExperimentRuns" / "TS_1" / "Picks" / "ribosome.json").write_text(picks)
    complaint(tmp_path)
    content = f"id,experiment,particle_type,x,y,z\n0,TS_1,ribosome,1,{place},3\n".encode()
    assert check_submission(content, CHALLENGE, {})[0].severity == "error"


def test_folders_without_end_are_left_out(tmp_path: Path) -> None:
    """A thousand folders in one another were a RecursionError."""
    path = tmp_path / "x.json"
    path.write_text("{}")
    deep = tmp_path
    for _ in range(60):
        deep = deep / "d"
        deep.mkdir()
    (deep / "y.json").write_text("{}")
    assert open_tree(tmp_path).names == ("x.json",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files there")
def test_a_pipe_is_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mrc")
    assert "x.mrc" in complaint(tmp_path / "x.mrc")
