"""Unusual but legal copick projects: users and sessions, roots elsewhere, masks beside picks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.contract import Inspection
from pipelines.errors import DataFormatError
from pipelines.tasks.cryoet_picking import copick_files, volumes
from pipelines.tasks.cryoet_picking.data import (
    changed_options,
    inspect_source,
    open_samples,
    path_of_record,
)
from pipelines.tasks.cryoet_picking.picks import Picks
from tests.tasks.cryoet_picking.conftest import record_of
from tests.wording import assert_clear

RUN = "TS_1"


def pick(overlay: Path, user: str, session: str, kind: str = "ribosome", num: int = 1) -> None:
    places = np.full((num, 3), 50.0) + 40.0 * np.arange(num)[:, None]
    table = Picks.of_one(RUN, (kind,), np.zeros(num, int), places)
    copick_files.write_picks(overlay, table, user=user, session=session)


def tomogram(static: Path, volume: np.ndarray) -> None:
    folder = static / "ExperimentRuns" / RUN / "VoxelSpacing10.000"
    folder.mkdir(parents=True)
    volumes.write_zarr(folder / "wbp.zarr", volume, spacing_angstrom=10.0, num_levels=1)


def config(folder: Path, **roots: str | None) -> Path:
    objects = [{"name": "ribosome", "label": 1, "radius": 150, "is_particle": True}]
    objects += [{"name": "thyroglobulin", "label": 2, "radius": 130, "is_particle": True}]
    said = {"pickable_objects": objects, "overlay_root": "overlay", "static_root": "static"}
    path = folder / "config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**said, **roots}))
    return path


def ids(found: Inspection) -> set[str]:
    for problem in found.problems:
        assert_clear(problem.text)
    return {p.text.id for p in found.problems}


def num_picks(source: Path, user: str = "") -> int:
    (sample,) = open_samples(record_of(source, {"picks_user": user}))
    return len(sample.truth.picks) if sample.truth else 0


def test_sessions_are_versions_and_not_summed(tmp_path):
    """Corrections saved under session 1 and again under session 2 held every pick twice."""
    overlay = tmp_path / "overlay"
    for session, num in (("2", 3), ("10", 4)):
        pick(overlay, "ann", session, num=num)
    pick(overlay, "ann", "2", "thyroglobulin", num=2)
    pick(overlay, "bob", "1", num=1)
    assert num_picks(tmp_path) == 4 + 2, "of each kind the last session of the first user"
    assert num_picks(tmp_path, "ann_2") == 3 + 2
    assert num_picks(tmp_path, "bob") == 1
    assert "cryoet.several_users" in ids(inspect_source(tmp_path, {}))


def test_a_user_who_left_no_picks_is_named_with_those_who_did(tmp_path):
    """The picks were called empty instead."""
    pick(tmp_path / "overlay", "ann", "1")
    found = ids(inspect_source(tmp_path, {"picks_user": "anne"}))
    assert "cryoet.no_such_user" in found
    assert "cryoet.empty_overlay" not in found


def test_curated_picks_need_no_word_about_others(tmp_path):
    pick(tmp_path / "overlay", "curation", "0", num=3)
    pick(tmp_path / "overlay", "ann", "1")
    assert num_picks(tmp_path) == 3
    assert "cryoet.several_users" not in ids(inspect_source(tmp_path, {}))


def test_masks_beside_picks_are_no_tomograms(tmp_path, volume):
    """A project of picks and membrane masks opened each mask as a tomogram."""
    pick(tmp_path / "overlay", "ann", "1")
    folder = tmp_path / "overlay" / "ExperimentRuns" / RUN / "Segmentations"
    folder.mkdir()
    volumes.write_zarr(folder / "10.000_ann_1_membrane.zarr", volume, spacing_angstrom=10.0)
    assert [i.item_id for i in inspect_source(tmp_path, {}).items] == [RUN]


@pytest.mark.parametrize("is_absolute", [True, False])
def test_roots_may_lie_where_data_may_be_read(tmp_path, volume, monkeypatch, is_absolute):
    """A project names its tomograms by path; only those below its own folder were read."""
    monkeypatch.setenv("MICROSCOPY_DATA_ROOTS", str(tmp_path))
    tomogram(tmp_path / "data", volume)
    pick(tmp_path / "project" / "overlay", "ann", "1")
    root = f"local://{tmp_path / 'data'}" if is_absolute else "../data"
    source = config(tmp_path / "project", static_root=root)
    (sample,) = open_samples(record_of(source))
    np.testing.assert_allclose(np.asarray(sample.image), volume)
    assert [p.name for p in sample.meta["particles"]] == ["ribosome", "thyroglobulin"]


def test_roots_elsewhere_are_refused(tmp_path, volume, monkeypatch):
    monkeypatch.setenv("MICROSCOPY_DATA_ROOTS", str(tmp_path / "allowed"))
    tomogram(tmp_path / "data", volume)
    pick(tmp_path / "project" / "overlay", "ann", "1")
    with pytest.raises(DataFormatError) as caught:
        inspect_source(config(tmp_path / "project", static_root="../data"), {})
    assert caught.value.text.id == "cryoet.far_root"
    assert_clear(caught.value.text)


def test_a_root_that_is_not_here_is_named_and_the_rest_is_read(tmp_path):
    pick(tmp_path / "overlay", "ann", "1")
    found = inspect_source(config(tmp_path, static_root="s3://bucket/static"), {})
    assert "cryoet.root_missing" in ids(found)
    assert [i.item_id for i in found.items] == [RUN]
    assert "cryoet.root_missing" not in ids(inspect_source(config(tmp_path, static_root=None), {}))


def test_picks_without_a_tomogram_are_left_out_beside_tomograms(tmp_path, volume):
    """Prediction and training broke off at the first of them, minutes later."""
    tomogram(tmp_path / "static", volume)
    pick(tmp_path / "overlay", "curation", "0")
    there = tmp_path / "overlay" / "ExperimentRuns"
    (there / "TS_0" / "Picks").mkdir(parents=True)
    picked = there / RUN / "Picks" / "ribosome.json"
    (there / "TS_0" / "Picks" / picked.name).write_bytes(picked.read_bytes())
    found = inspect_source(tmp_path, {})
    assert [i.item_id for i in found.items] == [RUN]
    assert "cryoet.picks_alone" in ids(found)
    assert found.is_usable
    facts = {k.id: v for k, v in found.facts}
    assert (facts["cryoet.fact_tomograms"], facts["cryoet.fact_picks"]) == (1, 1)
    assert facts["cryoet.fact_spacing"].id == "cryoet.fact_spacing.known"


def test_a_data_set_is_opened_again_by_what_was_opened(tmp_path, volume):
    """The notebook of a submission opened the folder of the configuration, with all beside it."""
    tomogram(tmp_path / "static", volume)
    pick(tmp_path / "overlay", "curation", "0")
    folder = record_of(tmp_path)
    assert path_of_record(folder) == tmp_path
    pick(tmp_path / "more" / "overlay", "curation", "0")
    path = config(tmp_path)
    assert path_of_record(record_of(path)) == path
    volumes.write_zarr(tmp_path / "a.zarr", volume, spacing_angstrom=10.0, num_levels=1)
    assert path_of_record(record_of(tmp_path / "a.zarr")) == tmp_path / "a.zarr"
    volumes.write_mrc(tmp_path / "b.mrc", volume, spacing_angstrom=10.0)
    assert path_of_record(record_of(tmp_path / "b.mrc")) == tmp_path / "b.mrc"


def test_a_configuration_that_names_other_roots_does_not_stand_for_the_folder(tmp_path, volume):
    tomogram(tmp_path / "static", volume)
    pick(tmp_path / "overlay", "curation", "0")
    (tmp_path / "README").touch()
    config(tmp_path, static_root="elsewhere")
    assert path_of_record(record_of(tmp_path)) == tmp_path


def test_only_what_differs_from_the_defaults_is_an_option():
    options = {"tomogram_type": "wbp", "voxel_spacing_angstrom": "0.0", "picks_user": ""}
    assert changed_options(options) == {"tomogram_type": "wbp"}
