"""Say in words how a split was made; its method is kept short, as it stands in files."""

from __future__ import annotations

from typing import Final

from pipelines.text import Text, verbatim

# Each word of a method that is a rule by itself; the plural is how rules of folders are kept.
_RULES: Final = {
    "blocks": "block",
    "groups": "group",
    "group": "group",
    "random": "random",
    "given": "given",
}
_DRAWN: Final = ("group", "random")
_FLAGS: Final = ("groups-unknown", "near-unchecked")
_FIFTHS: Final = 5  # how many parts a share is cut into where one of them is chosen by number


def split_words(method: str, seed: int | None = None) -> Text:
    """Return how the parts of a split were chosen, as words without a full stop.

    Args:
        method: As a manifest keeps it, for instance "groups share=0.25".
        seed: Of the draw, to be named where one decided.

    Example:
        >>> from pipelines.text import render
        >>> render(split_words("blocks share=0.25 gap=1"), "en")
        'blocks of neighbouring items (25% for validation, 1 item left out between blocks)'
    """
    words = method.split()
    facts = []
    if words[:1] == ["fold"] and len(words) > 2:
        number, _, count = words[1].partition("/")
        facts.append(Text("splits.fold", number=number, count=count))
        words = words[2:]
    if not words or words[0] not in _RULES:
        return verbatim(method)
    rule = _RULES[words[0]]
    facts += _facts(words[1:])
    if seed is not None and rule in _DRAWN:
        facts.append(Text("splits.seed", seed=seed))
    named = Text(f"splits.rule.{rule}")
    return Text("splits.rule_with", rule=named, facts=facts) if facts else named


def _facts(words: list[str]) -> list[Text]:
    given = dict(word.partition("=")[::2] for word in words)
    if given.get("fold", "0") != "0":
        given.pop("share", None)  # a fifth that is named takes the place of a share that is drawn
    # nothing is said of what there is none of
    return [_fact(name, value) for name, value in given.items() if value != "0"]


def _fact(name: str, value: str) -> Text:
    if name in _FLAGS:
        return Text(f"splits.{name.replace('-', '_')}")
    if name == "share":
        return Text("splits.share", share=float(value))
    if name == "fold":
        return Text("splits.fold", number=value, count=str(_FIFTHS))
    if name in ("gap", "locked", "LEAK"):
        return Text(f"splits.{name.lower()}", n=int(value))
    return verbatim(f"{name}={value}" if value else name)
