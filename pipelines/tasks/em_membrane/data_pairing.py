"""Find out which file is the label of which image, from names, from order, or from content."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from pipelines.core.images import ImageFile, natural_key

Method = Literal["name", "order", "content", "none"]

# fmt: off
_LABEL_WORDS: Final = frozenset({
    "label", "labels", "lbl", "lbls", "mask", "masks", "gt", "groundtruth", "truth", "annotation",
    "annotations", "annot", "seg", "segs", "segmentation", "segmentations", "membrane",
    "membranes", "target", "targets", "manual",
})
_IMAGE_WORDS: Final = frozenset({
    "image", "images", "img", "imgs", "raw", "volume", "volumes", "vol", "em", "data", "input",
    "inputs", "ground",
})
# fmt: on
_MAX_LOOKED_AT: Final = 24  # files whose pixels are looked at when names say nothing


@dataclass(frozen=True)
class Pairing:
    """Hold which label belongs to which image.

    Attributes:
        pairs: Each image with its label, or with None.
        lonely_labels: Labels that no image was found for.
        method: How labels were recognised and matched; "none" without labels.
    """

    pairs: tuple[tuple[ImageFile, ImageFile | None], ...]
    lonely_labels: tuple[ImageFile, ...]
    method: Method


def pair_files(files: Sequence[ImageFile], looks_like_mask: Callable[[ImageFile], bool]) -> Pairing:
    """Match labels with images.

    A word such as "labels", "mask" or "gt" in a file or folder name makes a label. Names match
    when they are equal without such words: `train-volume` with `train-labels`, `images/07` with
    `masks/07`, `07` with `07_mask`. What is left over is matched in natural order when there are
    as many labels as images. Where no name tells a label, files that hold two values are taken for
    labels of the files that hold many.

    Args:
        files: Files in natural order.
        looks_like_mask: Tells whether a file holds two values only; asked when names say nothing.
    """
    keys = {file: _words(name) for file, name in base_names(files).items()}
    labels = [f for f in files if _LABEL_WORDS & set(keys[f])]
    is_by_content = not labels or len(labels) == len(files)
    if is_by_content:
        labels = _labels_by_content(files, looks_like_mask)
    images = [f for f in files if f not in set(labels)]
    if not labels or not images:
        return Pairing(tuple((f, None) for f in files), (), "none")
    matched = _match_by_name(images, labels, keys)
    left_images = [f for f in images if f not in matched]
    left_labels = [f for f in labels if f not in set(matched.values())]
    is_by_order = bool(left_labels) and len(left_images) == len(left_labels)
    if is_by_order:
        matched |= dict(zip(left_images, left_labels, strict=True))
        left_labels = []
    method: Method = "content" if is_by_content else "order" if is_by_order else "name"
    pairs = tuple((image, matched.get(image)) for image in images)
    return Pairing(pairs, tuple(left_labels), method)


def base_names(files: Sequence[ImageFile]) -> dict[ImageFile, str]:
    """Name files by their path below the folder that they share, without suffix where unique.

    A zip and the folder that it was packed from give the same names.
    """
    parents = [file.inner.parent.as_posix() for file in files]
    shared = PurePosixPath(os.path.commonpath(parents)) if parents else PurePosixPath()
    paths = {file: file.inner.relative_to(shared) for file in files}
    plain = [path.with_suffix("").as_posix() for path in paths.values()]
    names = {}
    for (file, path), name in zip(paths.items(), plain, strict=True):
        unique = name if plain.count(name) == 1 else path.as_posix()
        names[file] = unique.replace(":", "_")
    return names


def _words(name: str) -> tuple[str, ...]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[^\W\d_]+|\d+", spaced.casefold()))


def _key(words: tuple[str, ...]) -> tuple[str, ...]:
    kept = (w for w in words if w not in _LABEL_WORDS and w not in _IMAGE_WORDS)
    return tuple(w.lstrip("0") or "0" if w.isdecimal() else w for w in kept)


def _match_by_name(
    images: Sequence[ImageFile],
    labels: Sequence[ImageFile],
    words: dict[ImageFile, tuple[str, ...]],
) -> dict[ImageFile, ImageFile]:
    """Match names that are equal without their role; a name that two files share matches none."""
    image_of = _by_unique_key(images, words)
    label_of = _by_unique_key(labels, words)
    return {image: label_of[key] for key, image in image_of.items() if key in label_of}


def _by_unique_key(
    files: Sequence[ImageFile], words: dict[ImageFile, tuple[str, ...]]
) -> dict[tuple[str, ...], ImageFile]:
    keys = [_key(words[f]) for f in files]
    seen: dict[tuple[str, ...], int] = {}
    for key in keys:
        seen[key] = seen.get(key, 0) + 1
    return {key: file for key, file in zip(keys, files, strict=True) if seen[key] == 1}


def _labels_by_content(
    files: Sequence[ImageFile], looks_like_mask: Callable[[ImageFile], bool]
) -> list[ImageFile]:
    """Take files of two values for labels; of many files, one a folder is looked at."""
    if len(files) < 2:
        return []
    if len(files) <= _MAX_LOOKED_AT:
        return [f for f in files if looks_like_mask(f)]
    folders: dict[str, list[ImageFile]] = {}
    for file in sorted(files, key=lambda f: natural_key(f.label)):
        folders.setdefault(file.inner.parent.as_posix(), []).append(file)
    if not 1 < len(folders) <= _MAX_LOOKED_AT:
        return []
    return [f for inside in folders.values() if looks_like_mask(inside[0]) for f in inside]
