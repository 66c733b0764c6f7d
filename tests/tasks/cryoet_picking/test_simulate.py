import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pipelines.errors import DiskFullError
from pipelines.tasks.cryoet_picking import TASK, simulate
from pipelines.tasks.cryoet_picking.densities import (
    add_density,
    density_from_map,
    density_of,
    random_density,
)
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, names
from pipelines.tasks.cryoet_picking.report import nearest_distances
from pipelines.tasks.cryoet_picking.simulate import (
    SMALL,
    SPACING_ANGSTROM,
    SimulationConfig,
    contrast_transfer,
    image,
    missing_wedge,
    restoration,
    simulate_tomogram,
    varied,
    write_tomogram,
    write_tree,
)
from pipelines.tasks.cryoet_picking.simulate_command import _holds_files
from pipelines.tasks.cryoet_picking.volumes import write_mrc, write_zarr
from tests.tasks.cryoet_picking.conftest import TINY


def test_the_same_seed_gives_the_same_tomogram():
    first, second = simulate_tomogram(TINY, 5), simulate_tomogram(TINY, 5)
    assert_array_equal(first.volume, second.volume)
    assert_array_equal(first.picks.positions, second.picks.positions)
    assert not np.array_equal(first.volume, simulate_tomogram(TINY, 6).volume)


def test_particles_do_not_overlap():
    picks = simulate_tomogram(TINY, 1).picks
    for kind in names(CHALLENGE):
        distances = nearest_distances(picks, kind)
        reach = density_of(kind).reach_angstrom
        assert not (distances < 2 * (reach - 10) - 1e-6).any()


def test_nothing_is_measured_in_the_wedge():
    config = SimulationConfig(depth_vox=32, side_vox=48, tilt_range_degrees=60.0)
    volume = image(np.zeros(config.shape, np.float32), config, np.random.default_rng(0))
    power = np.abs(np.fft.rfftn(volume)) ** 2
    kz = np.fft.fftfreq(32)[:, None, None]
    kx = np.fft.rfftfreq(48)[None, None, :]
    outside = np.broadcast_to(np.abs(kz) > np.tan(np.deg2rad(60)) * kx + 1e-9, power.shape)
    assert power[outside].max() < 1e-9 * power.max()


def test_wedge_of_ninety_degrees_measures_everything():
    kz, kx = np.fft.fftfreq(8)[:, None, None], np.fft.rfftfreq(8)[None, None, :]
    assert missing_wedge(kz, kx, 90.0).all()


def test_wedge_fades_top_and_bottom_of_a_shell_more_than_its_sides():
    config = SimulationConfig(depth_vox=64, side_vox=64, dose_electrons=400.0)
    specimen = np.zeros(config.shape, np.float32)
    centre = np.full(3, 31.5 * SPACING_ANGSTROM)
    add_density(
        specimen, density_of("virus-like-particle"), centre_angstrom=centre,
        rotation=np.eye(3), spacing_angstrom=SPACING_ANGSTROM,
    )  # fmt: skip
    volume = image(specimen, config, np.random.default_rng(0))
    top = volume[18:22, 28:36, 28:36].mean()
    side = volume[28:36, 28:36, 18:22].mean()
    assert side < 3 * top < 0  # protein is dark; a single tilt axis keeps the sides


def test_contrast_is_dark_at_low_frequencies_and_crosses_zero_where_theory_says():
    k2 = np.linspace(0, 1 / 25**2, 4000)
    transfer = contrast_transfer(k2, 4.0)
    assert transfer[0] == pytest.approx(-0.07, abs=1e-3)  # amplitude contrast alone
    first = k2[np.flatnonzero(np.diff(np.sign(transfer)))[0]]
    # pi lambda dz k^2 + asin A = pi, spherical aberration being negligible there
    expected = (np.pi - np.arcsin(0.07)) / (np.pi * 0.0197 * 4e4)
    assert first == pytest.approx(expected, rel=0.01)


def test_restoration_undoes_the_transfer_where_there_is_signal_and_keeps_its_zeros():
    k2 = np.linspace(0, 1 / 30**2, 400)
    transfer = contrast_transfer(k2, 2.0)
    whole = transfer * restoration(transfer, k2, 1e12)
    assert_allclose(whole[k2 < 1 / 60**2], -1, rtol=1e-6)  # protein stays dark
    weak = transfer * restoration(transfer, k2, 10.0)
    assert -1 < weak.min() < weak.max() <= 0
    level = 10.0 * np.exp(-80 * np.sqrt(k2[50]))
    assert weak[50] == pytest.approx(-(transfer[50] ** 2) / (transfer[50] ** 2 + 1 / level))


@pytest.mark.parametrize(
    ("kind", "kilodalton"),
    [
        ("apo-ferritin", 480),
        ("beta-amylase", 220),
        ("beta-galactosidase", 465),
        ("thyroglobulin", 660),
        ("ribosome", 3300),
    ],
)
def test_shapes_have_the_volume_of_their_molecules(kind: str, kilodalton: float):
    volume = _drawn(kind, np.eye(3))
    density = density_of(kind)
    protein = volume.sum() * 1000 / (density.weights[0] / density_of("apo-ferritin").weights[0])
    # Protein has 0.81 dalton a cubic angstrom; shapes are rough.
    assert 0.7 * kilodalton < 0.81e-3 * protein < 1.7 * kilodalton


@pytest.mark.parametrize("axes", [(1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1)])
def test_galactosidase_has_three_two_fold_axes(axes: tuple[int, ...]):
    plain = _drawn("beta-galactosidase", np.eye(3))
    turned = _drawn("beta-galactosidase", np.diag(axes[1:]).astype(float))
    assert np.corrcoef(plain.ravel(), turned.ravel())[0, 1] > 0.97
    quarter = _drawn("beta-galactosidase", np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]))
    assert np.corrcoef(plain.ravel(), quarter.ravel())[0, 1] < 0.9


def test_unlabelled_proteins_differ_and_are_centred():
    rng = np.random.default_rng(0)
    drawn = [random_density(rng) for _ in range(20)]
    assert len({len(d.beads) for d in drawn}) > 10
    for density in drawn:
        assert_allclose((density.beads * density.weights[:, None]).sum(0), 0, atol=1e-6)
        assert density.reach_angstrom < 250


def _drawn(kind: str, rotation: np.ndarray) -> np.ndarray:
    volume = np.zeros((48, 48, 48), np.float32)
    add_density(
        volume, density_of(kind), centre_angstrom=np.full(3, 240.0), rotation=rotation,
        spacing_angstrom=10.0,
    )  # fmt: skip
    return volume


def test_ferritin_is_hollow_and_the_ribosome_is_not():
    for kind, is_hollow in (("apo-ferritin", True), ("ribosome", False)):
        volume = np.zeros((48, 48, 48), np.float32)
        add_density(
            volume, density_of(kind), centre_angstrom=np.full(3, 240.0), rotation=np.eye(3),
            spacing_angstrom=10.0,
        )  # fmt: skip
        centre = volume[23:26, 23:26, 23:26].mean()
        assert (centre < 0.3 * volume.max()) == is_hollow


def test_density_does_not_depend_on_where_between_voxels_it_falls():
    sums = []
    for shift in (0.0, 3.3, 5.0):
        volume = np.zeros((32, 32, 32), np.float32)
        add_density(
            volume, density_of("apo-ferritin"), centre_angstrom=np.full(3, 160.0 + shift),
            rotation=np.eye(3), spacing_angstrom=10.0,
        )  # fmt: skip
        sums.append(volume.sum())
    assert_allclose(sums, sums[0], rtol=1e-3)


def test_own_map_becomes_beads_around_its_centre(tmp_path):
    grid = np.indices((40, 40, 40)) - np.array([22, 20, 18])[:, None, None, None]
    ball = ((grid**2).sum(0) < 10**2).astype(np.float32)
    write_mrc(tmp_path / "ribosome.mrc", ball, spacing_angstrom=5.0)
    density = density_from_map(tmp_path / "ribosome.mrc")
    assert_allclose((density.beads * density.weights[:, None]).sum(0), 0, atol=1e-6)
    assert 40 < np.linalg.norm(density.beads, axis=1).max() < 52


def test_tomograms_written_one_by_one_are_those_of_the_tree_and_say_what_they_are(tmp_path):
    config = dataclasses.replace(SMALL, depth_vox=32, side_vox=48, num_vesicles=0)
    write_tree(tmp_path / "tree", num_tomograms=2, seed=4, config=config)
    for index in range(2):
        write_tomogram(str(tmp_path / "single"), index, 4, vars(config))
    names = {p.relative_to(tmp_path / "tree") for p in (tmp_path / "tree").rglob("*")}

    assert names == {p.relative_to(tmp_path / "single") for p in (tmp_path / "single").rglob("*")}
    for name in (n for n in names if (tmp_path / "tree" / n).is_file()):
        assert (tmp_path / "tree" / name).read_bytes() == (tmp_path / "single" / name).read_bytes()
    facts = {text.id: value for text, value in TASK.inspect(tmp_path / "single", {}).facts}
    assert facts["cryoet_sim.origin"].id == "cryoet_sim.origin_simulated"


def test_a_tree_of_varied_microscopes_keeps_to_the_bounds() -> None:
    wide = dataclasses.replace(TINY, variation=1.0, dose_electrons=400.0, tilt_range_degrees=25.0)
    drawn = [varied(wide, np.random.default_rng(seed)) for seed in range(20)]

    assert len({c.defocus_micrometres for c in drawn}) == 20
    assert all(10 <= c.dose_electrons <= 400 and 20 <= c.tilt_range_degrees <= 25 for c in drawn)
    assert {c.shape for c in drawn} == {wide.shape}
    assert varied(TINY, np.random.default_rng(0)) is TINY


def test_a_simulation_that_is_broken_off_leaves_whole_tomograms_alone(tmp_path, monkeypatch):
    def broken(path, *arguments, **options):
        if "TS_2" in str(path):
            (path / "0").mkdir(parents=True)
            raise KeyboardInterrupt
        write_zarr(path, *arguments, **options)

    monkeypatch.setattr(simulate, "write_zarr", broken)
    with pytest.raises(KeyboardInterrupt):
        simulate.write_tree(tmp_path, num_tomograms=3, seed=0, config=TINY)
    left = [p.name for p in (tmp_path / "static" / "ExperimentRuns").iterdir()]
    assert left == ["TS_1"]


def test_more_tomograms_than_the_disk_has_room_for_are_refused_before_the_first(
    tmp_path,
):
    """A billion were begun, and written until the disk was full."""
    with pytest.raises(DiskFullError):
        simulate.refuse_too_many(tmp_path, 1_000_000_000, TINY)
    simulate.refuse_too_many(tmp_path, 1, TINY)


def test_what_was_broken_off_before_the_first_tomogram_can_be_begun_again(tmp_path):
    (tmp_path / "static" / "ExperimentRuns").mkdir(parents=True)
    assert not _holds_files(tmp_path / "static")
    (tmp_path / "static" / "ExperimentRuns" / "x.json").write_text("{}")
    assert _holds_files(tmp_path / "static")
