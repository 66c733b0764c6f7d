"""Terms of the glossary inside sentences: underlined, explained when pointed at, and opened."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from dashboard.words import language
from pipelines.text import Language, Text, render

TERMS: Final = (
    "augmentation", "auc", "bootstrap", "checkpoint", "confidence_interval", "cross_entropy",
    "dice", "elastic", "epoch", "f4", "fold", "held_out", "iou", "label", "leak", "loss", "mask",
    "missing_wedge", "overfitting", "patch", "pick", "pixel_error", "precision", "recall", "run",
    "seed", "sensitivity", "specificity", "test_time", "threshold", "tomogram", "training_set",
    "unet", "v_info", "v_rand", "validation", "voxel_spacing", "watershed", "weight_map",
)  # fmt: skip
_KEPT_AS_IT_IS: Final = re.compile(
    r"(\[[^\]]*\]\([^)]*\)|`[^`]*`|:[a-z]+/[a-z_]+:|\$[^$]+\$|https?://\S+)"
)


def link_terms(words: str) -> str:
    """Return Markdown in which each term's first mention leads to the glossary."""
    return "".join(
        part if term is None else f'[{part}]({_address(term)} "{_meaning(term)}")'
        for part, term in _split(words)
    )


def link_terms_html(words: str) -> str:
    """Return HTML in which each term's first mention leads to the glossary."""
    return "".join(
        html.escape(part)
        if term is None
        else f'<a class="term" href="{html.escape(_address(term))}" target="_blank" '
        f'title="{html.escape(_meaning(term))}">{html.escape(part)}</a>'
        for part, term in _split(words)
    )


def _address(term: str) -> str:
    return f"glossary?{urlencode({'term': term, 'lang': language()})}"


def _meaning(term: str) -> str:
    return render(Text(f"glossary.{term}.text"), language())


def _split(words: str) -> Iterator[tuple[str, str | None]]:
    """Cut a sentence into pieces, each with the term that it mentions for the first time."""
    pattern, term_of = _forms(language())
    met: set[str] = set()
    for index, part in enumerate(_KEPT_AS_IT_IS.split(words)):
        if index % 2:  # links, code, icons and formulas
            yield part, None
            continue
        last = 0
        for found in pattern.finditer(part):
            term = term_of[found.group().casefold()]
            if term in met:
                continue
            met.add(term)
            yield part[last : found.start()], None
            yield found.group(), term
            last = found.end()
        yield part[last:], None


@functools.cache
def _forms(spoken: Language) -> tuple[re.Pattern[str], dict[str, str]]:
    """Return a pattern of all forms, the longest first, and the term of each form."""
    term_of = {
        form.casefold(): term
        for term in TERMS
        for form in render(Text(f"glossary.{term}.forms"), spoken).split("|")
    }
    longest_first = sorted(term_of, key=len, reverse=True)
    alternatives = "|".join(re.escape(form) for form in longest_first)
    return re.compile(rf"(?<![\w-])(?:{alternatives})(?![\w-])", re.IGNORECASE), term_of
