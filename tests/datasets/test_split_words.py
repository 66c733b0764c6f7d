import pytest

from pipelines.datasets.split_words import split_words
from pipelines.text import render


@pytest.mark.parametrize(
    ("method", "seed", "english", "french"),
    [
        (
            "groups share=0.25",
            3,
            "whole groups drawn at random (25% for validation, seed 3)",
            "groupes entiers tirés au sort (25 % pour la validation, graine 3)",
        ),
        (
            "blocks share=0.2 gap=2",
            0,
            "blocks of neighbouring items (20% for validation, 2 items left out between blocks)",
            "blocs d’éléments voisins (20 % pour la validation,"
            " 2 éléments écartés entre les blocs)",
        ),
        (
            "blocks share=0 gap=0",
            0,
            "blocks of neighbouring items",
            "blocs d’éléments voisins",
        ),
        ("given", 0, "chosen in the options or by hand", "choisie dans les options ou à la main"),
        (
            "group share=0.2 fold=0 locked=9",
            None,
            "whole groups drawn at random (20% for validation,"
            " 9 items of the locked test set left out)",
            "groupes entiers tirés au sort (20 % pour la validation,"
            " sans les 9 éléments du jeu de test verrouillé)",
        ),
        (
            "group share=0.2 fold=3 groups-unknown near-unchecked",
            None,
            "whole groups drawn at random (fold 3 of 5, groups unknown,"
            " not searched for near-copies)",
            "groupes entiers tirés au sort (pli 3 sur 5, groupes inconnus,"
            " sans recherche de quasi-copies)",
        ),
        (
            "fold 2/4 random LEAK=1",
            None,
            "items drawn at random (fold 2 of 4, 1 known leak)",
            "éléments tirés au sort (pli 2 sur 4, 1 fuite connue)",
        ),
    ],
)
def test_the_method_of_a_split_is_said_in_words(method, seed, english, french):
    """Reports and the page that compares runs showed "share=0.25 fold=0" as it stands in files."""
    words = split_words(method, seed)
    assert render(words, "en") == english
    assert render(words, "fr").replace("\N{NO-BREAK SPACE}", " ") == french


@pytest.mark.parametrize("method", ["", "by hand of Ada", "fold 2"])
def test_a_method_that_nobody_knows_stands_as_it_is(method):
    assert render(split_words(method), "en") == method
