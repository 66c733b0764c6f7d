"""Terms of the glossary are found in sentences of both languages, once each, and lead to it."""

from __future__ import annotations

import re

import pytest

from dashboard import terms
from dashboard.terms import TERMS, link_terms, link_terms_html
from pipelines.text import LANGUAGES, Language, Text, render


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch):
    def choose(spoken: Language) -> None:
        monkeypatch.setattr(terms, "language", lambda: spoken)

    choose("en")
    return choose


def found(markdown: str) -> list[tuple[str, str]]:
    return re.findall(r"\[([^\]]+)\]\(glossary\?term=(\w+)", markdown)


@pytest.mark.parametrize("spoken", LANGUAGES)
@pytest.mark.parametrize("term", TERMS)
def test_every_form_of_a_term_leads_to_it(speak, spoken: Language, term: str) -> None:
    speak(spoken)
    for form in render(Text(f"glossary.{term}.forms"), spoken).split("|"):
        assert found(link_terms(f"a {form}, b")) == [(form, term)]


def test_a_term_is_linked_once_in_a_sentence_with_its_meaning(speak) -> None:
    words = link_terms("A threshold is a threshold. Thresholds cut.")

    assert found(words) == [("threshold", "threshold")]
    assert render(Text("glossary.threshold.text"), "en") in words
    assert words.endswith("is a threshold. Thresholds cut.")


def test_the_longest_form_wins_and_parts_of_words_do_not_count(speak) -> None:
    assert found(link_terms("a confidence interval")) == [
        ("confidence interval", "confidence_interval")
    ]
    assert found(link_terms("unmasked, labelled, runner, epoch-making")) == []


def test_links_code_icons_and_formulas_stay_as_they_are(speak) -> None:
    for kept in ("[run](runs)", "`seed`", ":material/label: x", "$loss$", "https://x.org/run"):
        assert link_terms(kept) == kept


def test_html_is_escaped_around_the_links(speak) -> None:
    words = link_terms_html("<b> V_Rand & more")

    assert words.startswith("&lt;b&gt; <a ")
    assert words.endswith("V_Rand</a> &amp; more")


def test_french_sentences_are_read_in_french(speak) -> None:
    speak("fr")

    assert found(link_terms("Le seuil, les étiquettes et the threshold")) == [
        ("seuil", "threshold"),
        ("étiquettes", "label"),
    ]
    assert "lang=fr" in link_terms("seuil")
