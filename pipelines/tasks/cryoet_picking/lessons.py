"""Small lessons: what the wedge eats, what beta means, and whether the score knows the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import ItemStatistics, OperatingPoint, Sample
from pipelines.tasks.cryoet_picking import metrics
from pipelines.tasks.cryoet_picking.config import Config
from pipelines.tasks.cryoet_picking.densities import add_density, density_of
from pipelines.tasks.cryoet_picking.patches import cut_patch, make_tomogram
from pipelines.tasks.cryoet_picking.picks import Floats, Picks
from pipelines.tasks.cryoet_picking.simulate import SPACING_ANGSTROM, SimulationConfig, image
from pipelines.tasks.cryoet_picking.volumes import normalised
from pipelines.text import Text
from pipelines.views import (
    Curve,
    CurveView,
    FormulaView,
    ImageView,
    Pane,
    PixelLayer,
    TableView,
    TextView,
    View,
)

_NUM_PATCHES = 8
_MOST_SHIFT = 6.0  # voxels along each axis: farther than half the largest radius


def wedge_pictures(particle: str, config: SimulationConfig) -> list[View]:
    """Simulate one particle and cut it along and across the beam: the wedge smears z."""
    specimen = np.zeros(config.shape, np.float32)
    centre = (np.array(config.shape) - 1) / 2 * SPACING_ANGSTROM
    add_density(
        specimen,
        density_of(particle),
        centre_angstrom=centre,
        rotation=np.eye(3),
        spacing_angstrom=SPACING_ANGSTROM,
    )
    volume = image(specimen, config, np.random.default_rng(0))
    middle = config.depth_vox // 2
    panes = [
        _pane("cryoet.wedge_true", specimen[:, middle]),
        _pane("cryoet.wedge_xy", volume[middle]),
        _pane("cryoet.wedge_xz", volume[:, middle]),
        _pane("cryoet.wedge_yz", volume[:, :, middle]),
    ]
    missing = max(0.0, 1 - config.tilt_range_degrees / 90)
    title = Text("cryoet.wedge_title", missing=missing, angle=config.tilt_range_degrees)
    return [
        ImageView(title, panes=tuple(panes), pixel_size=SPACING_ANGSTROM, unit="angstrom"),
        TextView(Text("cryoet.wedge_explained")),
        FormulaView(
            Text("cryoet.ctf_title"),
            r"-\sin\left(\pi\lambda\,\Delta z\,k^2 - \tfrac{\pi}{2} C_s\lambda^3k^4"
            r" + \arcsin A\right)",
            {
                r"\lambda": Text("cryoet.ctf_lambda"),
                r"\Delta z": Text("cryoet.ctf_defocus"),
                "C_s": Text("cryoet.ctf_cs"),
                "A": Text("cryoet.ctf_amplitude"),
                "k": Text("cryoet.ctf_k"),
            },
        ),
    ]


def _pane(text_id: str, plane: NDArray[np.float32]) -> Pane:
    return Pane(Text(text_id), (PixelLayer(np.ascontiguousarray(plane)),))


def beta_curves(rows: ItemStatistics, point: OperatingPoint) -> list[View]:
    """Show the score over beta from 1/4 to 4 at the thresholds of the page."""
    betas = 2.0 ** np.linspace(-2, 2, 33)
    pooled = metrics.pool_rows(rows)
    at = {k: (c.weight, c.at(metrics.threshold_of(point, k))) for k, c in pooled.items()}
    weights = sum(w for w, _ in at.values()) or 1.0
    score = [
        sum(w * metrics.f_beta_score(c, beta=b) for w, c in at.values()) / weights for b in betas
    ]
    shown = metrics.reduce_rows(rows, point)
    flat = np.ones_like(betas)
    return [
        CurveView(
            Text("cryoet.beta_title", precision=shown["precision"], recall=shown["recall"]),
            x_label=Text("cryoet.axis_beta"),
            y_label=Text("cryoet.axis_score"),
            curves=(
                Curve(Text("cryoet.series_score"), betas, np.array(score)),
                Curve(Text("cryoet_metric.precision"), betas, flat * shown["precision"]),
                Curve(Text("cryoet_metric.recall"), betas, flat * shown["recall"], is_dashed=True),
            ),
            mark_x=metrics.BETA,
            y_range=(0.0, 1.0),
        ),
        TextView(Text("cryoet.beta_explained")),
    ]


def self_check(sample: Sample) -> dict[str, float]:
    """Score the truth against itself, and against common mistakes.

    Returns:
        Name of the case to its score: "same" must be 1.
    """
    truth, particles = sample.truth.picks, sample.truth.particles
    spacing = sample.meta["geometry"].spacing_angstrom or SPACING_ANGSTROM
    cases: dict[str, Picks] = {
        "same": truth,
        "shift_1": _moved(truth, truth.positions + spacing),
        "shift_3": _moved(truth, truth.positions + 3 * spacing),
        "shift_6": _moved(truth, truth.positions + 6 * spacing),
        "swapped": _moved(truth, truth.positions[:, ::-1]),
        "voxels": _moved(truth, truth.positions / spacing),
        "doubled": Picks.concatenate([truth, truth]),
        "nothing": truth.take(np.zeros(len(truth), bool)),
    }
    present = [p for p in particles if truth.counts().get(p.name, 0)]
    return {name: metrics.f4_score(picks, truth, present) for name, picks in cases.items()}


def shift_curve(sample: Sample) -> CurveView:
    """Show how the score of the truth falls as all of it is moved away from itself."""
    truth, particles = sample.truth.picks, sample.truth.particles
    spacing = sample.meta["geometry"].spacing_angstrom or SPACING_ANGSTROM
    present = [p for p in particles if truth.counts().get(p.name, 0)]
    shifts = np.arange(0, _MOST_SHIFT + 0.01, 0.25)
    scores = [
        metrics.f4_score(_moved(truth, truth.positions + s * spacing), truth, present)
        for s in shifts
    ]
    return CurveView(
        Text("cryoet.shift_title"),
        x_label=Text("cryoet.axis_shift"),
        y_label=Text("cryoet.axis_f4"),
        curves=(Curve(Text("cryoet_metric.f4"), shifts, np.array(scores)),),
        y_range=(0.0, 1.0),
        source=Text("cryoet.source_item", item=sample.item_id),
    )


def self_check_table(sample: Sample) -> TableView:
    """Show the self-check as a table."""
    found = self_check(sample)
    return TableView(
        Text("cryoet.self_check_title", f4=found["same"]),
        columns=(Text("cryoet.column_case"), Text("cryoet.column_f4")),
        rows=tuple((Text(f"cryoet.case_{name}"), score) for name, score in found.items()),
        filename="self_check.csv",
        source=Text("cryoet.source_item", item=sample.item_id),
    )


def _moved(picks: Picks, positions: Floats) -> Picks:
    return Picks.of_one(
        picks.experiments[0], picks.kinds, picks.kind_index, positions, picks.scores
    )


def patch_pictures(sample: Sample, config: Config) -> tuple[NDArray[np.uint8], ...]:
    """Draw patches as training would cut them: section on the left, target on the right."""
    truth = sample.truth
    tomogram = make_tomogram(
        _normalised(sample),
        sample.meta["geometry"],
        truth.picks.positions,
        truth.picks.kind_index,
    )
    rng = np.random.default_rng(config.seed)
    pictures = []
    for _ in range(_NUM_PATCHES):
        patch = cut_patch([tomogram], truth.particles, config, 1, rng)
        pictures.append(_patch_picture(patch.volume, patch.target, truth.particles))
    return tuple(pictures)


def _patch_picture(
    volume: NDArray[np.float32], target: NDArray[Any], particles: Any
) -> NDArray[np.uint8]:
    section = _fullest_section(target)
    grey = np.clip(volume[section] * 40 + 128, 0, 255).astype(np.uint8)
    left = np.repeat(grey[..., None], 3, 2)
    right = np.zeros_like(left)
    for k, particle in enumerate(particles):
        share = (target[section] == k + 1) if target.ndim == 3 else target[k, section]
        right = np.maximum(right, (share[..., None] * np.array(particle.colour)).astype(np.uint8))
    return np.concatenate([left, right], 1)


def _fullest_section(target: NDArray[Any]) -> int:
    """Return the section with most of the target, the middle one of an empty patch.

    A patch lies anywhere around its particle: its middle section often misses the sphere.
    """
    drawn = target > 0 if target.ndim == 3 else target.max(0)
    shares = drawn.sum((1, 2))
    return int(shares.argmax()) if shares.any() else len(shares) // 2


_kept: dict[str, NDArray[np.float16]] = {}


def _normalised(sample: Sample) -> NDArray[np.float16]:
    """Keep the tomogram that the playground stands on, and only that one."""
    key = f"{getattr(sample.image, 'path', '')}:{sample.item_id}"
    if key not in _kept or not getattr(sample.image, "path", ""):
        _kept.clear()
        _kept[key] = normalised(sample.image)
    return _kept[key]
