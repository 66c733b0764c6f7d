"""Look at the files of a source once: pair them, measure them, say what is wrong with which."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.config import to_json
from pipelines.contract import Inspection, Item, Problem
from pipelines.core.images import (
    Colour,
    ImageFile,
    Listing,
    Stack,
    list_image_files,
    open_stack,
    row_blocks,
)
from pipelines.errors import DataFormatError, PipelineError
from pipelines.tasks.em_membrane.data import (
    SHOWN_SIDE_PX,
    DataOptions,
    can_be_shown,
    make_item_id,
    source_file,
    spread_indices,
)
from pipelines.tasks.em_membrane.data_labels import (
    PolarityFinding,
    Scheme,
    find_polarity,
    find_scheme,
    inside_mask,
    spread_pieces,
)
from pipelines.tasks.em_membrane.data_pairing import Pairing, base_names, pair_files
from pipelines.text import Text

Array = NDArray[Any]

_MEASURED_SECTIONS: Final = 64  # read for value range, NaN and share; all of them in usual stacks
_MEASURED_PIXELS: Final = 4_000_000_000  # of all files together; one section of each is read
_POLARITY_SECTIONS: Final = 6
_BYTES_A_PIXEL: Final = 20  # a section as float32, what the network says of it, and their copies
_SIGNS: Final = ("minority", "thin", "dark", "connected")


@dataclass
class Unit:
    """Hold an image file with its label while it is looked at.

    Attributes:
        base: Its name in item ids.
        image: The opened image.
        label: The opened label, or None.
        low: Lowest value measured in the image.
        high: Highest value measured in the image.
    """

    base: str
    image: Stack
    label: Stack | None
    low: float = np.inf
    high: float = -np.inf

    @property
    def group(self) -> str:
        """Stack, or folder of single files."""
        return self.base if len(self.image) > 1 else self.base.rpartition("/")[0]


@dataclass
class Findings:
    """Collect what is found.

    Attributes:
        units: Images that can be used.
        lost_images: Why images are left out.
        lost_labels: Why labels are left out.
        remarks: What asks for attention and leaves nothing out.
        num_labels: How many label files there were.
    """

    units: list[Unit] = field(default_factory=list)
    lost_images: list[Problem] = field(default_factory=list)
    lost_labels: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    num_labels: int = 0


def survey(source: Path, options: DataOptions) -> Inspection:
    """Report what stands at a path; see `data.inspect_source`."""
    listing = list_image_files(source)
    pairing = pair_files(listing.files, looks_like_mask)
    findings = _open_all(listing, pairing, options)
    _drop_bad_pixels(findings)
    resolved, facts = _read_labels(findings, options)
    resolved = replace(resolved, pixel_size_nm=_pixel_size_nm(findings, options))
    title = source.stem if source.is_file() else source.name
    items = _items(findings.units, title)
    if not findings.units:
        first = (findings.lost_images or findings.lost_labels)[0]
        raise DataFormatError(first.text)
    return Inspection(
        title=title,
        root=listing.root,
        files=tuple(
            source_file(stack.files[0], role)
            for unit in findings.units
            for stack, role in ((unit.image, "image"), (unit.label, "label"))
            if stack is not None
        ),
        items=items,
        options={name: str(value) for name, value in to_json(resolved).items()},
        facts=(*_image_facts(findings, items, pairing), *facts, *_size_facts(findings, resolved)),
        problems=_problems(findings, items),
    )


# --- opening --------------------------------------------------------------------------------


def looks_like_mask(file: ImageFile) -> bool:
    """Tell whether the middle section of a file holds exactly two values."""
    try:
        stack = open_stack(file, colour="luminance")
        section = stack[len(stack) // 2]
    except PipelineError:
        return False
    values: set[float] = set()
    for rows in row_blocks(section):
        values.update(np.unique(section[rows]).tolist())
        if len(values) > 2:
            return False
    return len(values) == 2


def _open_all(listing: Listing, pairing: Pairing, options: DataOptions) -> Findings:
    findings = Findings(num_labels=sum(label is not None for _, label in pairing.pairs))
    for refusal in listing.refusals:
        findings.lost_images.append(Problem("warning", refusal.text, refusal.name))
    names = base_names(listing.files)
    for image_file, label_file in pairing.pairs:
        image = _open(image_file, findings.lost_images, cast("Colour", options.colour))
        label = _open(label_file, findings.lost_labels, "luminance") if label_file else None
        if image is None:
            continue
        if label is not None and label.shape != image.shape:
            _lose_label(findings, label, _mismatch(image, label))
            label = None
        findings.units.append(Unit(names[image_file], image, label))
    findings.units.sort(key=lambda unit: unit.label is None)  # what has a label is shown first
    for file in pairing.lonely_labels:
        findings.num_labels += 1
        text = Text("em_data.lonely_label", file=file.label)
        findings.lost_labels.append(Problem("warning", text, file.label))
    return findings


def _open(file: ImageFile, problems: list[Problem], colour: Colour) -> Stack | None:
    try:
        stack = open_stack(file, colour=colour)
        stack[0]  # the first section shows colours and damage that the header does not
    except PipelineError as error:
        problems.append(Problem("warning", error.text, file.label))
        return None
    return stack


def _mismatch(image: Stack, label: Stack) -> Text:
    if len(image) != len(label):
        return Text(
            "em_data.other_length", label=label.name, n=len(label), image=image.name, m=len(image)
        )
    return Text(
        "em_data.other_size", label=label.name, image=image.name, of=_size(label), to=_size(image)
    )


def _size(stack: Stack) -> str:
    return f"{stack.shape[2]} × {stack.shape[1]}"


def _lose_label(findings: Findings, label: Stack, text: Text) -> None:
    findings.lost_labels.append(Problem("warning", text, label.name))


# --- pixels ---------------------------------------------------------------------------------


def _drop_bad_pixels(findings: Findings) -> None:
    """Read sections of every file: leave out what is damaged, remark NaN and empty sections."""
    budget = max(1, _num_measured(findings.units) // max(len(findings.units), 1))
    for unit in list(findings.units):
        try:
            for i in spread_indices(len(unit.image), budget):
                _measure_section(findings, unit, int(i))
        except PipelineError as error:
            findings.lost_images.append(Problem("warning", error.text, unit.image.name))
            findings.units.remove(unit)
            continue
        if unit.label is not None:
            try:
                _check_label(findings, unit, budget)
            except PipelineError as error:
                findings.lost_labels.append(Problem("warning", error.text, unit.label.name))
                unit.label = None


def _num_measured(units: Sequence[Unit]) -> int:
    """Return how many sections are read: fewer where they are so large that it takes minutes."""
    largest = max((unit.image.shape[1] * unit.image.shape[2] for unit in units), default=1)
    return max(1, min(_MEASURED_SECTIONS, _MEASURED_PIXELS // max(largest, 1)))


def _range_of(section: Array) -> tuple[float, float, int]:
    """Return the lowest and the highest finite value, and how many are not finite."""
    low, high, num_bad = np.inf, -np.inf, 0
    for rows in row_blocks(section):
        block = section[rows]
        if block.dtype.kind == "f":
            finite = block[np.isfinite(block)]
            num_bad += block.size - finite.size
            block = finite
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high, num_bad


def _measure_section(findings: Findings, unit: Unit, index: int) -> None:
    """Widen the range of the file by a section; remark what is no number, or the same all over.

    Raises:
        DataFormatError: The section holds no number at all.
    """
    name, section = unit.image.name, unit.image[index]
    low, high, num_bad = _range_of(section)
    unit.low, unit.high = min(unit.low, low), max(unit.high, high)
    if num_bad:
        share = num_bad / section.size
        text = Text("em_data.not_a_number", file=name, section=index + 1, n=num_bad, share=share)
        if share == 1.0:
            raise DataFormatError(text)
        if not any(p.path == name for p in findings.remarks):
            findings.remarks.append(Problem("warning", text, name))
    elif section.size and low == high and len(unit.image) == 1:
        text = Text("em_data.empty_section", file=name, value=low)
        findings.remarks.append(Problem("warning", text, name))


def _check_label(findings: Findings, unit: Unit, budget: int) -> None:
    label = unit.label
    if label is None:
        return
    low, high = np.inf, -np.inf
    for i in spread_indices(len(label), budget):
        lowest, highest, num_bad = _range_of(label[int(i)])
        if num_bad:
            raise DataFormatError(Text("em_data.label_nan", file=label.name, section=int(i) + 1))
        low, high = min(low, lowest), max(high, highest)
    if low == high:
        raise DataFormatError(Text("em_data.constant", file=label.name, value=low))


# --- labels ---------------------------------------------------------------------------------


def _read_labels(
    findings: Findings, options: DataOptions
) -> tuple[DataOptions, tuple[tuple[Text, Any], ...]]:
    """Detect how the labels are meant, unless it was chosen."""
    sections = _label_sections(findings.units)
    if not sections:
        return options, ()
    scheme = _chosen_scheme(find_scheme([label for label, _ in sections]), options)
    some = [sections[int(i)] for i in spread_indices(len(sections), _POLARITY_SECTIONS)]
    highs = [
        inside_mask(label, kind=scheme.kind, cut=scheme.cut, membrane="low") for label, _ in some
    ]
    finding = find_polarity(highs, [image for _, image in some])
    membrane = finding.membrane if options.membrane_value == "auto" else options.membrane_value
    if scheme.kind == "cells":
        membrane = "low"
    _remark_scheme(findings, scheme)
    if scheme.kind != "cells" and membrane != finding.membrane:
        findings.remarks.append(Problem("warning", Text("em_data.unlikely_polarity")))
    resolved = replace(
        options, membrane_value=membrane, label_kind=scheme.kind, label_cut=scheme.cut
    )
    share = _membrane_share(sections, resolved)
    return resolved, _label_facts(scheme, finding, membrane, share)


def _label_sections(units: Sequence[Unit]) -> list[tuple[Array, ...]]:
    """Read labels with their images, as many as are measured, of large ones pieces."""
    places = [(u, i) for u in units if u.label is not None for i in range(len(u.image))]
    read: list[tuple[Array, ...]] = []
    for unit, i in (places[int(k)] for k in spread_indices(len(places), _num_measured(units))):
        # Of a long stack not every section was read before; a damaged one shows when it is opened.
        with suppress(PipelineError):
            if unit.label is not None:
                read.append(spread_pieces(unit.label.read(i), unit.image[i]))
    return read


def _chosen_scheme(found: Scheme, options: DataOptions) -> Scheme:
    if options.label_kind == "auto":
        return found
    cut = options.label_cut or (found.cut if found.kind != "cells" else sum(found.values) / 2)
    return replace(found, kind=cast("Any", options.label_kind), cut=cut)  # checked by parse()


def _membrane_share(sections: Sequence[tuple[Array, ...]], options: DataOptions) -> float:
    insides = [
        inside_mask(
            label,
            kind=options.label_kind,
            cut=options.label_cut,
            membrane=options.membrane_value,
        ).mean()
        for label, _ in sections
    ]
    return 1.0 - float(np.mean(insides))


def _remark_scheme(findings: Findings, scheme: Scheme) -> None:
    if scheme.kind == "soft":
        text = Text("em_data.soft_labels", n=scheme.num_values, cut=scheme.cut)
        findings.remarks.append(Problem("warning", text))
    if scheme.kind == "cells":
        text = Text("em_data.cell_labels", n=scheme.num_values)
        findings.remarks.append(Problem("warning", text))


def _pixel_size_nm(findings: Findings, options: DataOptions) -> float:
    """Return the size that was chosen, or the one that the image files state."""
    if options.pixel_size_nm:
        return options.pixel_size_nm
    stated = {u.image.pixel_size_nm for u in findings.units if u.image.pixel_size_nm}
    if len(stated) > 1:
        sizes = sorted(stated)
        findings.remarks.append(Problem("warning", Text("em_data.pixel_sizes", sizes=sizes)))
    return next((u.image.pixel_size_nm for u in findings.units if u.image.pixel_size_nm), 0.0)


# --- report ---------------------------------------------------------------------------------


def _items(units: Sequence[Unit], title: str) -> tuple[Item, ...]:
    return tuple(
        Item(
            item_id=make_item_id(unit.base, index if len(unit.image) > 1 else None),
            group=unit.group or title,
            has_truth=unit.label is not None,
        )
        for unit in units
        for index in range(len(unit.image))
    )


def _problems(findings: Findings, items: Sequence[Item]) -> tuple[Problem, ...]:
    """Grade what is lost: it is an error when nothing of its kind is left."""
    num_labelled = sum(item.has_truth for item in items)
    lost_labels = findings.lost_labels
    if findings.num_labels and not num_labelled:
        lost_labels = [replace(p, severity="error") for p in lost_labels]
    remarks = list(findings.remarks)
    if not findings.num_labels:
        remarks.append(Problem("warning", Text("em_data.no_labels")))
        remarks += [
            Problem("warning", Text("em_data.image_is_mask", file=unit.image.name), unit.image.name)
            for unit in findings.units[:_MEASURED_SECTIONS]
            if looks_like_mask(unit.image.files[0])
        ]
    if num_labelled == 1:
        remarks.append(Problem("warning", Text("em_data.one_labelled")))
    remarks += _too_large(findings.units)
    return (*lost_labels, *findings.lost_images, *remarks)


def _too_large(units: Sequence[Unit]) -> list[Problem]:
    """Say of the largest sections what they need, where that is more than most machines give."""
    large = [u for u in units if not can_be_shown(u.image.shape[1:])]
    if not large:
        return []
    worst = max(large, key=lambda unit: unit.image.shape[1] * unit.image.shape[2])
    height, width = worst.image.shape[1:]
    text = Text(
        "em_data.very_large", file=worst.image.name, size=_size(worst.image), n=len(large),
        side=SHOWN_SIDE_PX, bytes=height * width * _BYTES_A_PIXEL,
    )  # fmt: skip
    return [Problem("warning", text, worst.image.name)]


def _image_facts(
    findings: Findings, items: Sequence[Item], pairing: Pairing
) -> tuple[tuple[Text, Any], ...]:
    units = findings.units
    labelled = sum(item.has_truth for item in items)
    sizes = sorted({_size(u.image) for u in units})
    kinds = sorted({str(u.image.dtype) for u in units})
    facts: list[tuple[Text, Any]] = [
        (Text("em_data.fact.sections"), len(items)),
        (Text("em_data.fact.labelled"), labelled),
        (Text("em_data.fact.unlabelled"), len(items) - labelled),
        (Text("em_data.fact.size"), f"{', '.join(sizes[:4])} px"),
        (Text("em_data.fact.dtype"), ", ".join(kinds)),
        (Text("em_data.fact.range"), _value_range(units)),
    ]
    if pairing.method != "none":
        facts.append((Text("em_data.fact.matched"), Text(f"em_data.matched.{pairing.method}")))
    return tuple(facts)


def _value_range(units: Sequence[Unit]) -> Text:
    low, high = min(u.low for u in units), max(u.high for u in units)
    return Text("em_data.range", low=low, high=high)


def _label_facts(
    scheme: Scheme, finding: PolarityFinding, membrane: str, share: float
) -> tuple[tuple[Text, Any], ...]:
    low, high = scheme.values
    value = low if membrane == "low" else high
    facts: list[tuple[Text, Any]] = [
        (Text("em_data.fact.share"), Text("em_data.share", share=share)),
        (Text("em_data.fact.membrane"), Text(f"em_data.membrane.{membrane}", value=value)),
    ]
    if scheme.kind != "cells":
        signs = [Text(f"em_data.sign.{s}") for s in _SIGNS if finding.votes.get(s)]
        evidence = Text(
            "em_data.evidence",
            n=finding.num_for,
            all=len(finding.votes),
            signs=signs,
            side=Text(f"em_data.membrane_value.{finding.membrane}"),
        )
        facts.append((Text("em_data.fact.evidence"), evidence))
    return tuple(facts)


def _size_facts(findings: Findings, options: DataOptions) -> tuple[tuple[Text, Any], ...]:
    units = findings.units
    stacks = [s for u in units for s in (u.image, u.label) if s is not None]
    size = options.pixel_size_nm
    kinds = sorted({s.compression for s in stacks})
    pixel = Text("em_data.pixel_size", size=size) if size else Text("em_data.pixel_size_unknown")
    return (
        (Text("em_data.fact.pixel_size"), pixel),
        (Text("em_data.fact.groups"), len({u.group for u in units})),
        (Text("em_data.fact.files"), len(stacks)),
        (
            Text("em_data.fact.bytes"),
            Text("em_data.bytes", size=sum(s.num_bytes for s in stacks)),
        ),
        (Text("em_data.fact.compression"), _compression_words(kinds)),
    )


def _compression_words(kinds: Sequence[str]) -> Any:  # names of compressions, or a text
    named = [kind for kind in kinds if kind != "none"]
    return ", ".join(named) if named else Text("em_data.uncompressed")
