"""Random composites of geometry and grey values, moving image, mask and weight map together.

Every geometric step is folded into one coordinate map: for each pixel of the patch, the place in
the section that it is read from. All layers are then read through the same map, once, so nothing
is blurred by repeated interpolation and no layer can drift from another. Training and the
playground call the same functions; nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.tasks.em_membrane.config import AugmentOptions

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_BORDERS = {
    "reflect": cv2.BORDER_REFLECT,
    "constant": cv2.BORDER_CONSTANT,
    "nearest": cv2.BORDER_REPLICATE,
    "wrap": cv2.BORDER_WRAP,
}


@dataclass(frozen=True)
class Section:
    """Hold the layers of one section that move together.

    Attributes:
        image: `(H, W)` float32 grey values in [0, 1].
        mask: `(H, W)` bool, True inside a cell.
        weight: `(H, W)` float32 loss weights, at least 0, or None.
        mean: Mean of the image.
        std: Standard deviation of the image, above 0.
    """

    image: Image
    mask: Mask
    weight: Image | None
    mean: float
    std: float

    @staticmethod
    def of(image: Image, mask: Mask, weight: Image | None = None) -> Section:
        """Measure the statistics that grey value steps refer to; a flat image counts as std 1."""
        return Section(image, mask, weight, float(image.mean()), float(image.std()) or 1.0)


@dataclass(frozen=True)
class Composite:
    """Hold what was drawn for one sample; a step that does not take part has its neutral value.

    Attributes:
        centre_yx: Place in the section, in px, that the middle of the patch is read from.
        quarter_turns: Number of 90 degree turns.
        rotation_deg: Free turn, in degrees.
        flip_y: Whether the vertical axis is mirrored.
        flip_x: Whether the horizontal axis is mirrored.
        shear_deg: Shear angle, in degrees.
        zoom: Factor by which structures grow.
        elastic_alpha: Strength of the deformation; 0 for none.
        elastic_sigma: Smoothing of its noise, in px.
        brightness: Shift, in standard deviations.
        contrast: Factor about the mean.
        gamma: Exponent.
        blur_px: Sigma of the blur; 0 for none.
        noise: Noise, in standard deviations; 0 for none.
        hidden: Number of rectangles that are covered.
        seed: Seed of the random fields, so that a composite can be replayed.
    """

    centre_yx: tuple[float, float]
    quarter_turns: int = 0
    rotation_deg: float = 0.0
    flip_y: bool = False
    flip_x: bool = False
    shear_deg: float = 0.0
    zoom: float = 1.0
    elastic_alpha: float = 0.0
    elastic_sigma: float = 0.0
    brightness: float = 0.0
    contrast: float = 1.0
    gamma: float = 1.0
    blur_px: float = 0.0
    noise: float = 0.0
    hidden: int = 0
    seed: int = 0


@dataclass(frozen=True)
class CoordinateMap:
    """Say where each pixel of a patch is read from.

    Attributes:
        y: `(P, P)` float32 row in the section, in px.
        x: `(P, P)` float32 column in the section, in px.
    """

    y: Image
    x: Image


@dataclass(frozen=True)
class Augmented:
    """Hold one sample as it comes out.

    Attributes:
        image: `(P, P)` float32 grey values; steps may carry them beyond [0, 1].
        mask: `(P, P)` bool, True inside a cell.
        weight: `(P, P)` float32 loss weights, 0 beyond the edge under fill "constant", or None.
        composite: What was drawn.
    """

    image: Image
    mask: Mask
    weight: Image | None
    composite: Composite


def augment(section: Section, options: AugmentOptions, rng: np.random.Generator) -> Augmented:
    """Draw one random composite and apply it to all layers of a section.

    Args:
        section: Layers of one section, of one shape.
        options: Chances and bounds.
        rng: Source of randomness; the same state gives the same sample.
    """
    return apply(section, draw(section.image.shape, options, rng), options)


def apply(section: Section, composite: Composite, options: AugmentOptions) -> Augmented:
    """Apply a composite that was drawn (or set by hand) to all layers of a section."""
    places = coordinate_map(composite, options.patch_px)
    image = read_linear(section.image, places, options.fill, beyond=section.mean)
    weight = section.weight
    if weight is not None:
        weight = np.maximum(read_linear(weight, places, options.fill, beyond=0.0), 0.0)
    changed = change_grey(image, composite, mean=section.mean, std=section.std)
    return Augmented(
        image=hide_places(changed, composite, largest_px=options.hide_px, std=section.std),
        mask=read_nearest(section.mask, places, options.fill),
        weight=weight,
        composite=composite,
    )


def draw(shape: tuple[int, ...], options: AugmentOptions, rng: np.random.Generator) -> Composite:
    """Draw the parameters of one composite.

    Args:
        shape: `(H, W)` of the section.
        options: Chances and bounds.
        rng: Source of randomness. Each step draws its numbers whether it takes part or not, so
            that changing one probability leaves all other steps of a seed as they were.
    """
    o, take = options, _Dice(rng)
    return Composite(
        centre_yx=_draw_centre(shape, o, take),
        quarter_turns=take.one_of((1, 2, 3), o.quarter_turn_probability, neutral=0),
        rotation_deg=take.within(o.rotation_deg, o.rotation_probability),
        flip_y=take.happens(o.flip_probability),
        flip_x=take.happens(o.flip_probability),
        shear_deg=take.within(o.shear_deg, o.shear_probability),
        zoom=take.factor(o.zoom, o.zoom_probability),
        elastic_alpha=take.between(
            o.elastic_alpha_low, o.elastic_alpha_high, o.elastic_probability
        ),
        elastic_sigma=take.between(o.elastic_sigma_low, o.elastic_sigma_high, 1.0),
        brightness=take.within(o.brightness, o.brightness_probability),
        contrast=take.factor(o.contrast, o.contrast_probability),
        gamma=take.factor(o.gamma, o.gamma_probability),
        blur_px=take.between(0.0, o.blur_px, o.blur_probability),
        noise=take.between(0.0, o.noise, o.noise_probability),
        hidden=take.one_of(range(1, o.hide_count + 1), o.hide_probability, neutral=0),
        seed=int(rng.integers(2**31)),
    )


def coordinate_map(composite: Composite, patch_px: int) -> CoordinateMap:
    """Fold all geometric steps of a composite into one map.

    Returns:
        The place in the section, `centre + A (pixel - middle of the patch) + displacement`, where
        `A` turns, mirrors, shears and scales.
    """
    A, (cy, cx) = _matrix(composite), composite.centre_yx
    offset = np.arange(patch_px, dtype=np.float64) - (patch_px - 1) / 2
    v, u = offset[:, None], offset[None, :]
    y = (A[0, 0] * v + A[0, 1] * u + cy).astype(np.float32)
    x = (A[1, 0] * v + A[1, 1] * u + cx).astype(np.float32)
    if composite.elastic_alpha == 0:
        return CoordinateMap(y, x)
    rng = np.random.default_rng([composite.seed, 0])
    dy, dx = elastic_displacement(
        (patch_px, patch_px),
        alpha=composite.elastic_alpha,
        sigma_px=composite.elastic_sigma,
        rng=rng,
    )
    return CoordinateMap(y + dy, x + dx)


def elastic_displacement(
    shape: tuple[int, int], *, alpha: float, sigma_px: float, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Draw a smooth random displacement field.

    The convention of Simard (2003) as the field uses it: uniform(-1, 1) noise, smoothed by a
    Gaussian, times alpha. OpenCV's blur with a radius of four sigmas and the mirrored edge is the
    same sum as `scipy.ndimage.gaussian_filter` and several times faster.

    Returns:
        `(H, W)` float32 row and column displacement, in px.
    """
    side = 2 * int(4 * sigma_px + 0.5) + 1
    noise = rng.random((2, *shape), dtype=np.float32) * 2 - 1
    dy, dx = (
        cv2.GaussianBlur(field, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT)
        for field in noise
    )
    return np.asarray(alpha * dy, np.float32), np.asarray(alpha * dx, np.float32)


def read_linear(layer: Image, places: CoordinateMap, fill: str, *, beyond: float) -> Image:
    """Read a layer of numbers through a map, between pixels linearly.

    Args:
        layer: `(H, W)` float32.
        places: Where each pixel of the patch is read from.
        fill: What stands beyond the edge.
        beyond: Value beyond the edge under fill "constant".

    Returns:
        `(P, P)` float32.
    """
    return np.asarray(_remap(layer, places, fill, cv2.INTER_LINEAR, beyond), np.float32)


def read_nearest(mask: Mask, places: CoordinateMap, fill: str) -> Mask:
    """Read a mask through a map, from the nearest pixel, so that no third value appears.

    Args:
        mask: `(H, W)` bool.
        places: Where each pixel of the patch is read from.
        fill: What stands beyond the edge; False under "constant".

    Returns:
        `(P, P)` bool.
    """
    return _remap(mask.astype(np.uint8), places, fill, cv2.INTER_NEAREST, 0.0) > 0


def change_grey(image: Image, composite: Composite, *, mean: float, std: float) -> Image:
    """Apply contrast, brightness, gamma, blur and noise to a patch.

    Args:
        image: `(P, P)` float32 grey values.
        composite: What was drawn.
        mean: Mean of the section, the fixed point of contrast and gamma.
        std: Standard deviation of the section, the unit of brightness and noise.

    Returns:
        `(P, P)` float32, not clipped: a clipped patch would lose what the network still can use.
    """
    c, changed = composite, image
    if c.contrast != 1.0 or c.brightness != 0.0:
        changed = (changed - mean) * np.float32(c.contrast) + np.float32(mean + c.brightness * std)
    if c.gamma != 1.0:
        changed = _bend(changed, c.gamma, mean=mean, std=std)
    if c.blur_px > 0.0:
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), max(c.blur_px, 0.05)), np.float32)
    if c.noise > 0.0:
        rng = np.random.default_rng([c.seed, 1])
        changed = changed + np.float32(c.noise * std) * rng.standard_normal(
            changed.shape, dtype=np.float32
        )
    return np.asarray(changed, np.float32)


def hide_places(image: Image, composite: Composite, *, largest_px: int, std: float) -> Image:
    """Cover rectangles with their own mean grey and noise.

    A faint place in a membrane looks like that; the mask still has the membrane, so the network
    learns to carry it on from what is around (the idea of DeVries 2017, with another purpose).

    Args:
        image: `(P, P)` float32 grey values.
        composite: What was drawn; its `hidden` is the number of rectangles.
        largest_px: Largest side of a rectangle, in px.
        std: Standard deviation of the section; half of it is the noise that covers.

    Returns:
        `(P, P)` float32.
    """
    if composite.hidden == 0:
        return image
    rng = np.random.default_rng([composite.seed, 2])
    covered = image.copy()
    for _ in range(composite.hidden):
        height, width = rng.integers(min(6, largest_px), largest_px + 1, 2)
        top, left = rng.integers(0, image.shape[0]), rng.integers(0, image.shape[1])
        place = covered[top : top + height, left : left + width]
        noise = rng.standard_normal(place.shape, dtype=np.float32)
        place[...] = place.mean() + np.float32(0.5 * std) * noise
    return covered


def grid_overlay(shape: tuple[int, int], *, spacing_px: int = 32) -> Image:
    """Draw a square grid that makes a deformation visible when it is read through the same map.

    Returns:
        `(H, W)` float32, 1 on the lines (two pixels wide) and 0 between them.
    """
    y, x = np.ogrid[: shape[0], : shape[1]]
    return ((y % spacing_px < 2) | (x % spacing_px < 2)).astype(np.float32)


class _Dice:
    """Draw numbers for one composite, the same count of them whatever the probabilities are."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def happens(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def between(self, low: float, high: float, probability: float) -> float:
        value = low + (high - low) * self._rng.random()
        return value if self.happens(probability) else 0.0

    def within(self, bound: float, probability: float) -> float:
        return self.between(-bound, bound, probability)

    def factor(self, bound: float, probability: float) -> float:
        limit = float(np.log1p(bound))
        return float(np.exp(self.within(limit, probability)))

    def one_of(self, values: Sequence[int], probability: float, *, neutral: int) -> int:
        value = values[int(self._rng.integers(len(values)))]
        return value if self.happens(probability) else neutral


def _draw_centre(
    shape: tuple[int, ...], options: AugmentOptions, take: _Dice
) -> tuple[float, float]:
    """Place the window: anywhere inside, or in the middle, then shifted."""
    is_random = take.happens(options.crop_probability)
    centre = []
    for side in shape[:2]:
        free = max(side - options.patch_px, 0)
        start = int(take.between(0, free + 1, 1.0)) if is_random else free // 2
        middle = start + (min(side, options.patch_px) - 1) / 2
        centre.append(middle + take.within(options.shift_px, options.shift_probability))
    return centre[0], centre[1]


def _matrix(composite: Composite) -> npt.NDArray[np.float64]:
    """Return the 2 x 2 matrix from patch offsets (row, column) to section offsets."""
    angle = np.deg2rad(composite.rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    quarter = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), composite.quarter_turns)
    mirror = np.diag([-1.0 if composite.flip_y else 1.0, -1.0 if composite.flip_x else 1.0])
    shear = np.array([[1.0, np.tan(np.deg2rad(composite.shear_deg))], [0.0, 1.0]])
    return np.asarray(turn @ quarter @ shear @ mirror / composite.zoom)


def _remap(
    layer: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    places: CoordinateMap,
    fill: str,
    interpolation: int,
    beyond: float,
) -> npt.NDArray[np.float32] | npt.NDArray[np.uint8]:
    border = _BORDERS[fill]
    return cv2.remap(layer, places.x, places.y, interpolation, None, border, beyond)  # type: ignore[return-value]


def _bend(image: Image, gamma: float, *, mean: float, std: float) -> Image:
    """Raise the grey values, seen as distances below and above the mean, to a power.

    A power of the raw value would need to know where black is; two standard deviations below and
    above the mean are kept in place instead.
    """
    z = (image - np.float32(mean)) / np.float32(2 * std)
    bent = np.sign(z) * np.abs(z) ** np.float32(gamma)
    return np.asarray(mean + 2 * std * bent, np.float32)
