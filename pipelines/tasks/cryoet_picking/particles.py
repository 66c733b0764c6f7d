"""The kinds of particle that are looked for: names, labels, radii, weights and colours."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.core.files import parse_json
from pipelines.errors import DataFormatError
from pipelines.text import Text

# A candidate hits a reference within this share of the particle's radius (rule of the challenge).
HIT_SHARE = 0.5
_LONGEST_NAME = 100
_LARGEST_RADIUS = 1e6
_SHOWN_NAMES = 20


@dataclass(frozen=True)
class Particle:
    """Describe one kind of particle.

    Attributes:
        name: Name in files and submissions, such as "apo-ferritin".
        label: Number of the kind, 1 or more, unique.
        radius_angstrom: Radius; a candidate counts within half of it.
        weight: Weight of its F4 in the score; 0 means that it trains but is not scored.
        colour: Red, green, blue, each 0 to 255.
    """

    name: str
    label: int
    radius_angstrom: float
    weight: float
    colour: tuple[int, int, int]

    @property
    def hit_radius_angstrom(self) -> float:
        """Largest distance between a candidate and the reference that it hits."""
        return HIT_SHARE * self.radius_angstrom


# Radii and weights: rules of the CZII CryoET Object Identification challenge. Colours: Okabe-Ito.
CHALLENGE: tuple[Particle, ...] = (
    Particle("apo-ferritin", 1, 60.0, 1.0, (0, 114, 178)),
    Particle("beta-amylase", 2, 65.0, 0.0, (153, 153, 153)),
    Particle("beta-galactosidase", 3, 90.0, 2.0, (213, 94, 0)),
    Particle("ribosome", 4, 150.0, 1.0, (0, 158, 115)),
    Particle("thyroglobulin", 5, 130.0, 2.0, (204, 121, 167)),
    Particle("virus-like-particle", 6, 135.0, 1.0, (230, 159, 0)),
)
_BY_NAME = {p.name: p for p in CHALLENGE}


def names(particles: Iterable[Particle]) -> tuple[str, ...]:
    """List the names in order."""
    return tuple(p.name for p in particles)


def by_name(particles: Iterable[Particle], name: str) -> Particle:
    """Return the kind of that name.

    Raises:
        DataFormatError: No kind has it; the text lists those that there are.
    """
    known = {p.name: p for p in particles}
    if name not in known:
        raise DataFormatError(
            Text("cryoet.unknown_particle", name=name, known=", ".join(sorted(known)))
        )
    return known[name]


def from_copick(entries: Sequence[Mapping[str, Any]]) -> tuple[Particle, ...]:
    """Read the `pickable_objects` of a copick configuration.

    A kind of the challenge takes its weight from the rules, another kind counts once. A missing
    radius falls back to the challenge's, and else is asked for.

    Raises:
        DataFormatError: An entry without a name, label or radius, or two of one name.
    """
    if not all(isinstance(entry, dict) for entry in entries):
        raise DataFormatError(Text("cryoet.config_entry", name="?"))
    particles = tuple(_particle(entry) for entry in entries if entry.get("is_particle", True))
    found = names(particles)
    if len(set(found)) < len(found) or not particles:
        raise DataFormatError(Text("cryoet.config_names", names=", ".join(found[:_SHOWN_NAMES])))
    return particles


def _particle(entry: Mapping[str, Any]) -> Particle:
    name = str(entry.get("name", ""))
    known = _BY_NAME.get(name)
    radius = entry.get("radius") or (known.radius_angstrom if known else None)
    label = entry.get("label") or (known.label if known else None)
    notes = entry.get("metadata") or {}
    try:
        values = float(radius), int(label)  # type: ignore[arg-type]  # None is refused below
        weight = float(notes.get("score_weight", known.weight if known else 1.0))
        colour = _colour(entry.get("color"), known)
    except (TypeError, ValueError, OverflowError, AttributeError):
        raise DataFormatError(Text("cryoet.config_entry", name=name or "?")) from None
    if not is_name(name) or not 0 < values[0] <= _LARGEST_RADIUS or values[1] < 1:
        raise DataFormatError(Text("cryoet.config_entry", name=name or "?"))
    if not 0 <= weight < math.inf:
        raise DataFormatError(Text("cryoet.config_entry", name=name))
    return Particle(name, values[1], values[0], weight, colour)


def _colour(value: Any, known: Particle | None) -> tuple[int, int, int]:
    if known is not None:  # one palette everywhere, chosen for people who see colours differently
        return known.colour
    if isinstance(value, (list, tuple)) and len(value) >= 3:
        red, green, blue = (max(0, min(255, int(v))) for v in value[:3])
        return red, green, blue
    return (86, 180, 233)


def to_json(particles: Iterable[Particle]) -> str:
    """Write particles as one line of JSON, as a data set's options and a checkpoint keep them."""
    return json.dumps([vars(p) for p in particles])


def from_json(text: str) -> tuple[Particle, ...]:
    """Read what `to_json` wrote; an empty text means the challenge's particles.

    Raises:
        DataFormatError: It is something else.
    """
    if not text:
        return CHALLENGE
    try:
        found = tuple(_kept(entry) for entry in parse_json(text))
    except (ValueError, KeyError, TypeError) as error:
        raise DataFormatError(Text("cryoet.config_entry", name="?")) from error
    if len(set(names(found))) < len(found) or not found:
        shown = ", ".join(names(found)[:_SHOWN_NAMES])
        raise DataFormatError(Text("cryoet.config_names", names=shown))
    return found


def _kept(entry: Mapping[str, Any]) -> Particle:
    red, green, blue = (int(v) for v in entry["colour"])
    radius, weight = float(entry["radius_angstrom"]), float(entry["weight"])
    particle = Particle(str(entry["name"]), int(entry["label"]), radius, weight, (red, green, blue))
    if not (is_name(particle.name) and 0 < radius <= _LARGEST_RADIUS and 0 <= weight < math.inf):
        raise ValueError(f"no kind of particle: {particle}")
    return particle


def is_name(name: str) -> bool:
    """Tell whether a name can be part of a file name, as copick makes it one.

    A kind called `/../../x` had its picks written outside of the folder of the prediction.
    """
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not set(name) & set("/\\:")


def with_overrides(particles: Iterable[Particle], text: str) -> tuple[Particle, ...]:
    """Change kinds as a person wrote it: `name radius=90 weight=2 label=3 colour=#0072B2; ...`.

    Raises:
        DataFormatError: An unknown name, or something that is no such assignment.
    """
    result = {p.name: p for p in particles}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, *assignments = entry.split()
        result[name] = by_name(result.values(), name)
        for assignment in assignments:
            result[name] = _changed(result[name], assignment)
    return tuple(result.values())


def _changed(particle: Particle, assignment: str) -> Particle:
    key, _, value = assignment.partition("=")
    try:
        if key == "radius" and float(value) > 0:
            return replace(particle, radius_angstrom=float(value))
        if key == "weight" and float(value) >= 0:
            return replace(particle, weight=float(value))
        if key == "label" and int(value) > 0:
            return replace(particle, label=int(value))
        if key == "colour":
            red, green, blue = bytes.fromhex(value.removeprefix("#"))
            return replace(particle, colour=(red, green, blue))
    except ValueError:
        pass
    raise DataFormatError(Text("cryoet.bad_override", text=assignment))


def write_copick_config(
    path: Path,
    particles: Iterable[Particle],
    *,
    name: str,
    text: str,
    static_root: str = "static",
) -> None:
    """Write a copick configuration whose overlay, and by default static, trees stand beside it."""
    objects = [
        {
            "name": p.name,
            "is_particle": True,
            "label": p.label,
            "color": [*p.colour, 128],
            "radius": p.radius_angstrom,
            "metadata": {"score_weight": p.weight},
        }
        for p in particles
    ]
    config = {
        "config_type": "filesystem",
        "name": name,
        "description": text,
        "version": "1.0.0",
        "pickable_objects": objects,
        "overlay_root": "overlay",
        "static_root": static_root,
    }
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
