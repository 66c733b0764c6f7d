"""One colour a meaning, the same on every picture (Okabe-Ito), each with a second cue elsewhere."""

from __future__ import annotations

COLOURS: dict[str, str] = {
    "membrane": "#E69F00",
    "truth": "#009E73",
    "prediction": "#56B4E9",
    "inside": "#56B4E9",
    "true_positive": "#009E73",
    "false_positive": "#D55E00",
    "missed": "#CC79A7",
    "weight": "#E69F00",
    "grid": "#56B4E9",
    "neutral": "#7F7F7F",
    # kinds of particle, in the order of the project
    "kind_1": "#0072B2",
    "kind_2": "#999999",
    "kind_3": "#D55E00",
    "kind_4": "#009E73",
    "kind_5": "#CC79A7",
    "kind_6": "#E69F00",
    "kind_7": "#56B4E9",
    "kind_8": "#F0E442",
}
SEQUENCE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")


def colour(meaning: str) -> str:
    """Return the colour of a meaning.

    Raises:
        KeyError: Nothing in the product has that meaning.
    """
    return COLOURS[meaning]
