"""Simulate tomograms with known picks, with the physics that makes picking hard.

The specimen is a sum of densities in units of protein over ice: particles in random orientation
without overlap, closed membranes of two leaflets, gold beads, and smaller proteins without a label.
The microscope is a linear filter of it, applied once in Fourier space:

- contrast transfer of a weak phase object at 300 kV,
  `CTF(k) = -sin(pi lambda dz k^2 - pi/2 Cs lambda^3 k^4 + asin A)` with defocus `dz`, spherical
  aberration `Cs` = 2.7 mm and amplitude contrast `A` = 0.07; protein is dark;
- an envelope `exp(-B k^2 / 4)` for what the dose and the detector take away;
- the missing wedge: a tilt series about the y axis samples `|atan2(kz, kx)| <= tilt range`, so
  nothing else of the spectrum is measured, which smears along z;
- shot noise of the dose: white in the projections, so white in the sampled part of the spectrum,
  with a spread that falls as `1 / sqrt(dose)`;
- restoration, as released tomograms had it: a Wiener filter `-CTF / (CTF^2 + 1 / SNR(k))`, whose
  assumed signal-to-noise ratio falls as `SNR exp(-80 angstrom k)`, gives back the low frequencies
  (Wiener 1949; for tomograms: Tegunov and Cramer 2019).

Left out: the change of defocus over the thickness and with tilt, the finite number of tilts,
multiple scattering, alignment errors. The result is low-passed as a denoised tomogram is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.config import describe, option, parse
from pipelines.core.files import disk_full, free_bytes, new_folder
from pipelines.tasks.cryoet_picking.copick_files import CURATED_USER, SIMULATED, write_picks
from pipelines.tasks.cryoet_picking.densities import (
    Density,
    add_density,
    density_from_map,
    density_of,
    random_density,
    random_rotation,
    resized,
)
from pipelines.tasks.cryoet_picking.particles import CHALLENGE, names, write_copick_config
from pipelines.tasks.cryoet_picking.picks import Floats, Picks
from pipelines.tasks.cryoet_picking.volumes import write_zarr

SPACING_ANGSTROM = 10.012444
WAVELENGTH_ANGSTROM = 0.0197  # electrons of 300 kV
_CS_ANGSTROM = 2.7e7
_AMPLITUDE_CONTRAST = 0.07
_SNR_FALL_ANGSTROM = 80.0
# Picks a cubic micrometre in the challenge's seven training tomograms (1,269 in 0.51).
_PICKS_PER_CUBIC_MICROMETRE: Mapping[str, float] = {
    "apo-ferritin": 730.0,
    "beta-amylase": 170.0,
    "beta-galactosidase": 220.0,
    "ribosome": 645.0,
    "thyroglobulin": 490.0,
    "virus-like-particle": 220.0,
}
_BYTES_A_VOXEL = 4.0  # float32 with its smaller levels, as packed as noise can be
_OUTPUT_STD = 7.5e-6  # spread of the released tomograms
_LABEL = f"{SIMULATED} tomograms in the layout of the CZII challenge; not measured data."


@dataclass(frozen=True)
class SimulationConfig:
    """Hold what a simulated tomogram is made of."""

    texts: ClassVar[str] = "cryoet_sim"

    depth_vox: int = option(112, low=32, high=256, unit="vx")
    side_vox: int = option(256, low=48, high=768, unit="vx")
    tilt_range_degrees: float = option(60.0, low=20.0, high=90.0, unit="°", step=1.0)
    defocus_micrometres: float = option(3.5, low=0.5, high=8.0, unit="µm", step=0.1)
    dose_electrons: float = option(100.0, low=10.0, high=400.0, unit="e⁻/Å²", step=10.0)
    envelope_b: float = option(600.0, low=0.0, high=4000.0, unit="Å²", expert=True)
    deconvolution_snr: float = option(10.0, low=0.0, high=1000.0, step=1.0, expert=True)
    crowding: float = option(6.0, low=0.1, high=12.0, step=0.1)
    num_vesicles: int = option(3, low=0, high=20)
    num_gold_beads: int = option(4, low=0, high=40)
    unlabelled_share: float = option(0.3, low=0.0, high=2.0, step=0.1)
    variation: float = option(0.0, low=0.0, high=1.0, step=0.1, expert=True)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Z, Y, X."""
        return self.depth_vox, self.side_vox, self.side_vox


SMALL = SimulationConfig(
    depth_vox=64, side_vox=128, dose_electrons=200.0, num_vesicles=1, num_gold_beads=2, crowding=9.0
)


def varied(config: SimulationConfig, rng: np.random.Generator) -> SimulationConfig:
    """Draw a microscope around the configured one, so that a tree teaches more than one of them.

    With a variation of 1, dose and envelope change by a factor of up to e either way, defocus by
    up to 1.6, the ratio of the restoration by up to 20, and the tilt range shrinks by up to 15
    degrees. What is drawn stays within bounds.
    """
    if not config.variation:
        return config
    drawing = config.variation * rng.uniform(-1, 1, 4) * (1, 1, 0.5, 3)
    dose, envelope, defocus, snr = np.exp(drawing)
    drawn = {
        "dose_electrons": config.dose_electrons * dose,
        "envelope_b": config.envelope_b * envelope,
        "defocus_micrometres": config.defocus_micrometres * defocus,
        "deconvolution_snr": config.deconvolution_snr * snr,
        "tilt_range_degrees": config.tilt_range_degrees - 15 * config.variation * rng.random(),
    }
    bounds = {info.name: (info.low, info.high) for info in describe(SimulationConfig)}
    kept: dict[str, Any] = {n: float(np.clip(v, *bounds[n])) for n, v in drawn.items()}
    return replace(config, variation=0.0, **kept)


@dataclass(frozen=True)
class Simulated:
    """Hold one simulated tomogram.

    Attributes:
        volume: `(Z, Y, X)` float32 with the spread of released tomograms.
        picks: True centres.
        spacing_angstrom: Side of a voxel.
    """

    volume: NDArray[np.float32]
    picks: Picks
    spacing_angstrom: float = SPACING_ANGSTROM


def simulate_tomogram(
    config: SimulationConfig,
    seed: int,
    *,
    experiment: str = "TS_1",
    densities: Mapping[str, Density] | None = None,
) -> Simulated:
    """Simulate one tomogram; the same seed gives the same one."""
    rng = np.random.default_rng(seed)
    known = {name: density_of(name) for name in names(CHALLENGE)} | dict(densities or {})
    known = {n: _varied_density(d, config.variation, rng) for n, d in known.items()}
    config = varied(config, rng)
    specimen = np.zeros(config.shape, np.float32)
    scene = _Scene(np.array(config.shape) * SPACING_ANGSTROM, rng)
    _add_membranes(specimen, scene, config)
    kinds, places = _add_particles(specimen, scene, config, known)
    _add_unlabelled(specimen, scene, config, len(kinds))
    _add_gold(specimen, scene, config)
    volume = image(specimen, config, rng)
    picks = Picks.of_one(experiment, tuple(known), kinds, places)
    return Simulated(volume, picks)


def _varied_density(density: Density, variation: float, rng: np.random.Generator) -> Density:
    """Change size by up to 15 % and contrast by up to 35 % either way at a variation of 1."""
    if not variation:
        return density
    size, strength = np.exp(variation * rng.uniform(-1, 1, 2) * (0.14, 0.3))
    return resized(density, size=float(size), strength=float(strength))


def image(
    specimen: NDArray[np.float32], config: SimulationConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Turn a specimen into a tomogram: transfer, envelope, noise, restoration, wedge, low-pass.

    Args:
        specimen: `(Z, Y, X)` float32, 1 is protein over ice.
        config: The microscope.
        rng: Source of the noise.

    Returns:
        `(Z, Y, X)` float32 of zero mean, protein dark.
    """
    kz, ky, kx = _frequencies(specimen.shape)
    k2 = kz**2 + ky**2 + kx**2
    transfer = contrast_transfer(k2, config.defocus_micrometres)
    spectrum = np.fft.rfftn(specimen).astype(np.complex64)
    spectrum *= transfer
    spectrum *= np.exp(-config.envelope_b / 4 * k2)
    # 7 is the spread of the noise, in units of protein, at 1 electron a square angstrom: chosen so
    # that 100 electrons leave single complexes just visible, as in the released tomograms.
    noise = rng.standard_normal(specimen.shape, np.float32)
    noise *= np.float32(7.0 / np.sqrt(config.dose_electrons))
    spectrum += np.fft.rfftn(noise).astype(np.complex64)
    if config.deconvolution_snr:
        spectrum *= restoration(transfer, k2, config.deconvolution_snr)
    spectrum *= missing_wedge(kz, kx, config.tilt_range_degrees)
    spectrum *= np.exp(-0.5 * k2 * (2 * np.pi * 8.0) ** 2)  # low-pass: 8 angstrom Gaussian
    spectrum[0, 0, 0] = 0
    real = np.fft.irfftn(spectrum, specimen.shape, axes=(0, 1, 2))
    volume = np.asarray(real, np.float32)
    volume *= np.float32(_OUTPUT_STD / volume.std())
    return volume


def contrast_transfer(k2: Floats, defocus_micrometres: float) -> NDArray[np.float32]:
    """Return the transfer at squared frequencies (1 / square angstrom); negative is dark."""
    defocus = defocus_micrometres * 1e4
    phase = np.pi * WAVELENGTH_ANGSTROM * defocus * k2
    phase = phase - 0.5 * np.pi * _CS_ANGSTROM * WAVELENGTH_ANGSTROM**3 * k2**2
    return np.asarray(-np.sin(phase + np.arcsin(_AMPLITUDE_CONTRAST)), np.float32)


def restoration(
    transfer: NDArray[np.float32], k2: Floats, signal_to_noise: float
) -> NDArray[np.float32]:
    """Return the Wiener filter that undoes the transfer where there is signal; protein stays dark.

    Args:
        transfer: From `contrast_transfer` at `k2`.
        k2: Squared frequencies, 1 / square angstrom.
        signal_to_noise: Assumed at frequency 0, more than 0.
    """
    level = signal_to_noise * np.exp(-_SNR_FALL_ANGSTROM * np.sqrt(k2))
    return np.asarray(-transfer / (transfer**2 + 1 / level), np.float32)


def missing_wedge(kz: Floats, kx: Floats, tilt_range_degrees: float) -> NDArray[np.bool_]:
    """Tell which frequencies a tilt series about the y axis measures."""
    limit = np.tan(np.deg2rad(min(tilt_range_degrees, 89.999)))
    measured: NDArray[np.bool_] = np.abs(kz) <= limit * np.abs(kx) + 1e-12
    return measured | bool(tilt_range_degrees >= 90)


def write_tree(
    root: Path,
    *,
    num_tomograms: int,
    seed: int,
    config: SimulationConfig | None = None,
    maps: Path | None = None,
    on_done: Callable[[int], None] | None = None,
) -> None:
    """Write simulated tomograms in the challenge's layout with their true picks.

    Args:
        root: Gets `static/`, `overlay/` and `copick_config.json`.
        num_tomograms: Written as TS_1, TS_2, ...
        seed: The same seed writes the same files.
        config: What they are made of; None takes the defaults.
        maps: Folder of the user's own maps, `<particle>.mrc`, that replace built-in shapes.
        on_done: Told how many are written.
    """
    chosen = config or SimulationConfig()
    densities = _user_maps(maps) if maps else {}
    for index in range(num_tomograms):
        _write_one(root, index, seed, chosen, densities)
        if on_done is not None:
            on_done(index + 1)


def refuse_too_many(root: Path, num_tomograms: int, config: SimulationConfig) -> None:
    """Refuse to begin what the disk has no room for; noise hardly packs.

    Raises:
        DiskFullError: There is less space than the tomograms take.
    """
    voxels = config.depth_vox * config.side_vox**2
    if free_bytes(root) < num_tomograms * voxels * _BYTES_A_VOXEL:
        raise disk_full(root / "static")


def write_tomogram(
    root: str, index: int, seed: int, values: Mapping[str, float], maps: str = ""
) -> None:
    """Write tomogram `index` of the tree that `write_tree` writes; arguments are plain data.

    Args:
        root: Folder of the tree.
        index: 0 for TS_1.
        seed: Of the tree.
        values: Options of `SimulationConfig`.
        maps: Folder of the user's own maps, or "".

    Raises:
        ConfigError: An option out of its range.
        DataFormatError: A map that cannot be read.
    """
    densities = _user_maps(Path(maps)) if maps else {}
    _write_one(Path(root), index, seed, parse(SimulationConfig, values), densities)


def _write_one(
    root: Path,
    index: int,
    seed: int,
    config: SimulationConfig,
    densities: Mapping[str, Density],
) -> None:
    name = f"TS_{index + 1}"
    made = simulate_tomogram(config, seed * 1000 + index, experiment=name, densities=densities)
    kinds = made.picks.kinds
    # one that is interrupted leaves no half of a tomogram behind
    with new_folder(root / "static" / "ExperimentRuns" / name) as fresh:
        write_copick_config(root / "copick_config.json", CHALLENGE, name="simulated", text=_LABEL)
        folder = fresh / "VoxelSpacing10.000"
        folder.mkdir()
        write_zarr(folder / "denoised.zarr", made.volume, spacing_angstrom=SPACING_ANGSTROM)
    write_picks(root / "overlay", made.picks, user=CURATED_USER, session="0", kinds=kinds)


def _user_maps(folder: Path) -> dict[str, Density]:
    return {path.stem: density_from_map(path) for path in sorted(folder.glob("*.mrc"))}


# --- the specimen -----------------------------------------------------------------------------


@dataclass
class _Scene:
    """Keep track of what stands where, so that nothing overlaps."""

    extent: Floats
    rng: np.random.Generator
    centres: list[Floats] = field(default_factory=list)
    radii: list[float] = field(default_factory=list)
    shells: list[tuple[Floats, float]] = field(default_factory=list)

    def find_place(self, radius: float, *, margin: float, tries: int = 300) -> Floats | None:
        """Draw centres until one is free; None after `tries`."""
        room = self.extent - 2 * margin
        if (room <= 0).any():
            return None
        centres = np.array(self.centres).reshape(-1, 3)
        radii = np.array(self.radii)
        for _ in range(tries):
            place = margin + self.rng.random(3) * room
            if self._is_free(place, radius, centres, radii):
                return place
        return None

    def _is_free(self, place: Floats, radius: float, centres: Floats, radii: Floats) -> bool:
        gaps = np.linalg.norm(centres - place, axis=1) - radii - radius
        if len(gaps) and gaps.min() < 0:
            return False
        walls = [abs(float(np.linalg.norm(place - c)) - r) for c, r in self.shells]
        return all(w > radius + 30 for w in walls)

    def occupy(self, place: Floats, radius: float) -> None:
        """Reserve a sphere."""
        self.centres.append(place)
        self.radii.append(radius)


def _add_particles(
    specimen: NDArray[np.float32],
    scene: _Scene,
    config: SimulationConfig,
    densities: Mapping[str, Density],
) -> tuple[NDArray[np.int64], Floats]:
    """Place the largest kinds first, since they find room last."""
    volume = float(np.prod(scene.extent)) * 1e-12
    order = sorted(densities, key=lambda n: -densities[n].reach_angstrom)
    kinds: list[int] = []
    places: list[Floats] = []
    for name in order:
        wanted = _PICKS_PER_CUBIC_MICROMETRE.get(name, 200.0) * volume * config.crowding
        for _ in range(max(1, int(scene.rng.poisson(wanted)))):
            place = _add_one(specimen, scene, densities[name])
            if place is not None:
                kinds.append(list(densities).index(name))
                places.append(place)
    return np.array(kinds, np.int64), np.array(places).reshape(-1, 3)


def _add_one(specimen: NDArray[np.float32], scene: _Scene, density: Density) -> Floats | None:
    radius = density.reach_angstrom - 10
    place = scene.find_place(radius, margin=min(140.0, float(scene.extent.min()) / 4))
    if place is None:
        return None
    scene.occupy(place, radius)
    add_density(
        specimen,
        density,
        centre_angstrom=place,
        rotation=random_rotation(scene.rng),
        spacing_angstrom=SPACING_ANGSTROM,
    )
    return place


def _add_unlabelled(
    specimen: NDArray[np.float32], scene: _Scene, config: SimulationConfig, num_labelled: int
) -> None:
    """Add irregular proteins that are nobody's target, as in a real cell extract."""
    for _ in range(int(config.unlabelled_share * num_labelled)):
        _add_one(specimen, scene, random_density(scene.rng))


def _add_membranes(specimen: NDArray[np.float32], scene: _Scene, config: SimulationConfig) -> None:
    """Add closed vesicles: two leaflets 40 angstrom apart."""
    grid = [np.arange(n) * SPACING_ANGSTROM for n in specimen.shape]
    for _ in range(config.num_vesicles):
        centre = scene.rng.random(3) * scene.extent
        radius = float(scene.rng.uniform(0.15, 0.35) * scene.extent[1])
        z, y, x = (((g - c) ** 2).astype(np.float32) for g, c in zip(grid, centre, strict=True))
        distance = np.sqrt(z[:, None, None] + y[None, :, None] + x[None, None, :]) - radius
        for leaflet in (-20.0, 20.0):
            specimen += 1.1 * np.exp(-0.5 * ((distance - leaflet) / 9.0) ** 2).astype(np.float32)
        scene.shells.append((centre, radius))


def _add_gold(specimen: NDArray[np.float32], scene: _Scene, config: SimulationConfig) -> None:
    """Add gold beads of 10 nm, about fifteen times as dense as protein over ice."""
    for _ in range(config.num_gold_beads):
        place = scene.find_place(55, margin=60)
        if place is None:
            return
        scene.occupy(place, 55)
        centre = place / SPACING_ANGSTROM
        low = np.maximum(np.floor(centre) - 7, 0).astype(int)
        high = np.minimum(np.floor(centre) + 8, specimen.shape).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        z, y, x = (np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True))
        distance = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)
        specimen[box] += (15.0 / (1 + np.exp((distance - 5.0) / 0.4))).astype(np.float32)


def _frequencies(shape: Sequence[int]) -> tuple[Floats, Floats, Floats]:
    """Return kz, ky, kx of a real transform in 1 / angstrom, shaped to broadcast."""
    z = np.fft.fftfreq(shape[0], SPACING_ANGSTROM)[:, None, None]
    y = np.fft.fftfreq(shape[1], SPACING_ANGSTROM)[None, :, None]
    x = np.fft.rfftfreq(shape[2], SPACING_ANGSTROM)[None, None, :]
    return np.asarray(z), np.asarray(y), np.asarray(x)
