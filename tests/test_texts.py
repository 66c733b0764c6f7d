"""Every word that a person reads stands in both catalogues, and nothing goes around them."""

from __future__ import annotations

import importlib
import math
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from pipelines import config, registry
from pipelines.contract import PARTS, STEPS, Lesson
from pipelines.jobs.store import Status
from pipelines.text import (
    LANGUAGES,
    Language,
    Text,
    _read_catalogue,
    _typeset,
    add_catalogue_folder,
    catalogue_folders,
    format_bytes,
    format_duration,
    format_number,
    render,
)
from tests.texts_in_sources import bypasses, id_like_strings, ids_of_options, said_in

ROOT = Path(__file__).resolve().parents[1]
DASHBOARD = ROOT / "dashboard"
add_catalogue_folder(DASHBOARD / "locale")

SAME_IN_BOTH = {
    # names of networks, measures, methods and particles
    "AUC", "Adam", "AdamW", "ConvNeXt atto", "DeLong", "Dice", "DynUNet", "EfficientNet-B0",
    "HDBSCAN", "McNemar",
    "ResNet-18", "ResNet-50", "SGD", "SegResNet", "Tversky", "U-Net", "V_Info", "V_Rand",
    "ViT tiny", "t-SNE",
    "efficientnet-b0", "efficientnet-b3", "mit_b0", "mobilenet_v2", "resnet18", "resnet34",
    "resnet50", "timm-mobilenetv3_large_100",
    "apo-ferritin", "beta-amylase", "beta-galactosidase", "ribosome", "thyroglobulin",
    "virus-like-particle",
    # words that are French as well
    "32 bits", "ARI, classes", "Augmentation", "Calibration", "Compression", "Dose", "Image",
    "Membrane", "NMI, classes", "Position x", "Position y", "Score", "Silhouette", "Standard",
    "UMAP", "Validation", "Zoom", "gamma {value}", "place {place}", "voxels", "zoom × {value}",
}  # fmt: skip
"""Sentences that are rightly equal in English and French; placeholders as they stand."""
SAME_MARK = "same in both languages"
"""Comment above a message that says so in the French catalogue itself, as a new task does."""


@dataclass(frozen=True)
class Entry:
    """One message of one language."""

    forms: tuple[str, ...]
    is_plural: bool
    file: str
    is_same: bool = False

    @property
    def placeholders(self) -> set[str]:
        return {
            re.split(r"[.\[]", name)[0]
            for form in self.forms
            for _, name, _, _ in string.Formatter().parse(form)
            if name is not None
        }


def read_catalogues() -> tuple[dict[str, dict[str, Entry]], list[str]]:
    """Return language to id to entry, and the ids that stand in two files."""
    found: dict[str, dict[str, Entry]] = {language: {} for language in LANGUAGES}
    twice: list[str] = []
    for language in LANGUAGES:
        for path in product_catalogues(language):
            for message in read_po(path.open("rb"), locale=language):
                if not message.id:
                    continue
                text_id = message.id[0] if message.pluralizable else message.id
                forms = message.string if message.pluralizable else (message.string,)
                if text_id in found[language]:
                    twice.append(f"{text_id} in {path.name}")
                is_same = SAME_MARK in message.user_comments
                entry = Entry(tuple(forms), bool(message.pluralizable), path.name, is_same)
                found[language][text_id] = entry
    return found, twice


def product_catalogues(language: str) -> list[Path]:
    inside = [f for f in catalogue_folders() if ROOT / "tests" not in f.parents]
    return [path for folder in inside for path in sorted(folder.glob(f"*.{language}.po"))]


CATALOGUES, TWICE = read_catalogues()
ENGLISH, FRENCH = CATALOGUES["en"], CATALOGUES["fr"]


def sources() -> dict[str, str]:
    folders = (ROOT / "pipelines", DASHBOARD)
    paths = [ROOT / "streamlit_app.py", *(p for f in folders for p in sorted(f.rglob("*.py")))]
    return {str(p.relative_to(ROOT)): p.read_text() for p in paths}


SOURCES = sources()


def fitting_ids(pattern: str) -> list[str]:
    """Return the ids that a pattern with `*` can become."""
    if "*" not in pattern:
        return [pattern] if pattern in ENGLISH else []
    rule = re.compile(".+".join(re.escape(part) for part in pattern.split("*")) + r"\Z")
    return [text_id for text_id in ENGLISH if rule.match(text_id)]


# --- the catalogues themselves ------------------------------------------------------------------


def test_every_message_has_english_and_french() -> None:
    assert sorted(set(ENGLISH) - set(FRENCH)) == [], "these lack their French"
    assert sorted(set(FRENCH) - set(ENGLISH)) == [], "these lack their English"
    empty = [i for book in CATALOGUES.values() for i, e in book.items() if not all(e.forms)]
    assert empty == []


def test_no_message_stands_twice() -> None:
    assert TWICE == []


def test_catalogues_are_read_as_babel_reads_them() -> None:
    """Ours is ten times as fast; babel is the reference for what a file says."""
    for language in LANGUAGES:
        wrong = [
            f"{path.name}: {text_id}"
            for path in product_catalogues(language)
            for text_id, forms in _read_catalogue(path).items()
            if forms != CATALOGUES[language][text_id].forms
        ]
        read = {i for path in product_catalogues(language) for i in _read_catalogue(path)}
        assert wrong == []
        assert read == CATALOGUES[language].keys()


def test_signs_and_long_sentences_of_a_catalogue_are_read(tmp_path: Path) -> None:
    path = tmp_path / "area.en.po"
    path.write_text(
        '# a comment "with quotes"\nmsgid ""\nmsgstr ""\n"Language: en\\n"\n\n'
        'msgid "a.long"\nmsgstr ""\n"one \\"two\\"\\n"\n"three \\\\ \\t."\n\n'
        'msgid "a.count"\nmsgid_plural "a.count"\n'
        'msgstr[0] "{n} cell"\nmsgstr[1] "{n} "\n"cells"\n\n'
        'msgid "a.empty"\nmsgstr ""\n\n#~ msgid "a.old"\n#~ msgstr "gone"\n',
        encoding="utf-8",
    )
    expected = {
        "a.long": ('one "two"\nthree \\ \t.',),
        "a.count": ("{n} cell", "{n} cells"),
    }
    assert _read_catalogue(path) == expected
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert _read_catalogue(path) == expected, "as an editor on Windows saves it"


def test_both_languages_take_the_same_values() -> None:
    different = [
        f"{text_id}: {sorted(ENGLISH[text_id].placeholders)} {sorted(FRENCH[text_id].placeholders)}"
        for text_id in ENGLISH.keys() & FRENCH.keys()
        if (ENGLISH[text_id].placeholders - {"n"}) != (FRENCH[text_id].placeholders - {"n"})
    ]
    assert different == []


def test_both_languages_have_singular_and_plural_or_neither() -> None:
    both = ENGLISH.keys() & FRENCH.keys()
    assert [i for i in both if ENGLISH[i].is_plural != FRENCH[i].is_plural] == []
    plurals = [e for book in CATALOGUES.values() for e in book.values() if e.is_plural]
    assert [e for e in plurals if len(e.forms) != 2] == []


def test_what_is_counted_is_written_in_singular_and_plural() -> None:
    """A message with `{n}` and a word behind it needs two forms; a bare number does not."""
    counted = re.compile(r"\{n\} [a-z]+s\b")
    wrong = [i for i, e in ENGLISH.items() if not e.is_plural and counted.search(e.forms[0])]
    assert wrong == []


def test_french_is_not_english() -> None:
    same = [
        f"{text_id}: {words}"
        for text_id in ENGLISH.keys() & FRENCH.keys()
        for words in set(ENGLISH[text_id].forms) & set(FRENCH[text_id].forms)
        if has_words(words) and words not in SAME_IN_BOTH and not FRENCH[text_id].is_same
    ]
    assert same == []


def has_words(pattern: str) -> bool:
    literal = "".join(part for part, *_ in string.Formatter().parse(pattern))
    return bool(re.search(r"[A-Za-zÀ-ÿ]{3,}", literal))


def test_french_uses_the_typographic_apostrophe() -> None:
    wrong = [i for i, e in FRENCH.items() if any(re.search(r"\w'\w", f) for f in e.forms)]
    assert wrong == []


def test_every_explanation_ends_as_a_sentence_does() -> None:
    """Those of one task had no full stop, so that a form of two tasks looked like two products."""
    wrong = [
        f"{language}: {text_id}"
        for language in LANGUAGES
        for text_id, entry in CATALOGUES[language].items()
        if text_id.endswith(".help") and text_id != "cli.help"
        for form in entry.forms
        if not form.rstrip(")").endswith((".", "?", "!", "…"))
    ]
    assert wrong == []


def test_every_help_of_a_command_is_a_sentence() -> None:
    cli = importlib.import_module("pipelines.cli")
    commands = [*cli.commands(), *(c for t in registry.load_tasks()[0] for c in t.commands())]
    texts = {t for c in commands for t in (c.summary, *(a.help for a in c.arguments))}

    said = [render(text, language) for text in texts for language in LANGUAGES]

    assert [words for words in said if not words.endswith(".")] == []


SHARED_OPTIONS = ("device", "max_steps", "precision", "ema_decay", "symmetries")


@pytest.mark.parametrize("option", SHARED_OPTIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_option_of_several_tasks_has_one_name(option: str, language: Language) -> None:
    """« Limite de pas » on one form was « Nombre maximal de pas » on the next."""
    kinds = {task.config_type for task in registry.load_tasks()[0]}
    infos = [i for kind in kinds for i in config.describe(kind) if i.name == option]

    names = {render(info.label, language) for info in infos}

    assert len(infos) > 1
    assert len(names) == 1
    if option == "device":
        choices = [[render(i.choice_label(c), language) for c in i.choices] for i in infos]
        assert all(words == choices[0] for words in choices)


def test_every_pattern_can_be_filled_in() -> None:
    for language in LANGUAGES:
        for text_id, entry in CATALOGUES[language].items():
            values: dict[str, Any] = {name: 2 for name in entry.placeholders}
            for n in (1, 2):
                words = render(Text(text_id, **{**values, "n": n}), language)
                assert words != text_id, text_id
                assert not re.search(r"\{[a-z_]+(:\w+)?\}", words), words


# --- what the sources say -----------------------------------------------------------------------


def test_every_message_that_a_source_names_is_in_the_catalogues() -> None:
    missing = [
        f"{file}:{said.line} {said.pattern}"
        for file, source in SOURCES.items()
        for said in said_in(source)
        if not fitting_ids(said.pattern)
    ]
    assert missing == []


def test_every_message_gets_the_values_that_it_names() -> None:
    missing = []
    for file, source in SOURCES.items():
        for said in said_in(source):
            if "*" in said.pattern or said.params is None or said.pattern not in ENGLISH:
                continue
            lacking = ENGLISH[said.pattern].placeholders - said.params
            if lacking:
                missing.append(f"{file}:{said.line} {said.pattern} lacks {sorted(lacking)}")
    assert missing == []


def test_no_page_shows_words_that_bypass_the_catalogues() -> None:
    found = [
        f"{file}:{line} {words!r}"
        for file, source in SOURCES.items()
        if not file.startswith("pipelines/")
        for line, words in bypasses(source)
    ]
    assert found == []


def test_no_message_is_left_over() -> None:
    """An id counts as used when a source holds it, or a pattern that it fits."""
    only_in_examples = {"core.seconds"}
    strings = set().union(*(id_like_strings(source) for source in SOURCES.values()))
    used = {text_id for s in strings if "*" in s and s.strip("*.") for text_id in fitting_ids(s)}
    used |= {text_id for source in SOURCES.values() for text_id in ids_of_helpers(source)}
    used |= {text_id for source in SOURCES.values() for text_id in ids_of_options(source)}
    used |= {text.id for text in texts_of_tasks()} | (strings & ENGLISH.keys())
    assert sorted(ENGLISH.keys() - used - only_in_examples) == []


def ids_of_helpers(source: str) -> Iterator[str]:
    for said in said_in(source):
        if said.pattern.strip("*."):
            yield from fitting_ids(said.pattern)


@pytest.mark.parametrize(
    "source",
    [
        "st.button('Save')",
        "column.metric(label='Loss', value=3)",
        "st.markdown(f'**{n}** sections')",
        "st.markdown(':gray[Nothing here]')",
        "st.warning('a' if x else tr('pages.bug'))",
        "st.tabs([tr('pages.home'), 'Results'])",
        "st.caption('Run ' + name)",
        "st.write(', '.join(names) + ' sections')",
        "draw_empty('icon', title='Nothing', words=tr('pages.home'))",
        "st.slider(tr('pages.home'), help='Moves it')",
        "st.write('{} sections'.format(3))",
    ],
)
def test_words_that_bypass_the_catalogues_are_found(source: str) -> None:
    """The tests above would pass on anything if this one did not hold."""
    assert bypasses(source)


@pytest.mark.parametrize(
    "source",
    [
        "st.button(tr('pages.home'), key='save', type='primary', icon=':material/save:')",
        "st.markdown(f'# :material/{icon}: {title}')",
        "st.markdown(f':gray[{name}]  \\n**{value}**')",
        "st.download_button('CSV', data=b'')",
        "st.selectbox(tr('pages.home'), ['a', 'b'], format_func=name_of)",
        "path.write_bytes(b'x')",
        "_log.warning('uploads could not be read', exc_info=True)",
    ],
)
def test_what_is_no_word_is_let_through(source: str) -> None:
    assert bypasses(source) == []


def test_an_unknown_message_is_found_through_a_helper_as_well() -> None:
    source = (
        "PREFIX = 'pages'\n"
        "def _text(name, /, **params):\n    return Text(f'{PREFIX}.{name}', **params)\n"
        "_text('no_such_message')\ntr('nowhere.at_all', n=3)\nText(f'nowhere.{name}')\n"
    )
    patterns = [said.pattern for said in said_in(source)]
    assert "pages.no_such_message" in patterns
    assert [p for p in patterns if not fitting_ids(p)] == [
        "pages.no_such_message", "nowhere.at_all", "nowhere.*",
    ]  # fmt: skip


# --- what tasks say through the contract --------------------------------------------------------


def texts_of_tasks() -> Iterator[Text]:
    """Give every text that pages and commands derive from the contract."""
    for task in registry.load_tasks()[0]:
        prefix = task.config_type.texts
        yield from (task.title, task.summary, task.accepts, task.items_text(2))
        for metric in task.metrics:
            yield from (metric.label, metric.help)
        for name in task.presets:
            yield from (task.preset_label(name), task.preset_help(name))
        for info in config.describe(task.config_type):
            yield Text(f"{prefix}.group.{info.group}")
        for panel in task.panels():
            yield from (panel.title, panel.help, *([panel.verb] if panel.is_on_demand else []))
        for lesson in task.lessons():
            yield from texts_of_lesson(lesson)
        for command in task.commands():
            yield from (command.summary, *(a.help for a in command.arguments))
        controls = [p.controls for p in task.panels() if p.controls is not None]
        for kind in (task.config_type, task.data_options, *controls):
            yield from texts_of_options(kind)


def texts_of_lesson(lesson: Lesson) -> Iterator[Text]:
    yield from (lesson.title, lesson.summary)
    for step in range(1, len(lesson.steps) + 1):
        yield from (lesson.doing(step), lesson.seeing(step))


def texts_of_options(kind: type[Any]) -> Iterator[Text]:
    for info in config.describe(kind):
        yield from (info.label, info.help, *(info.choice_label(c) for c in info.choices))


def texts_of_the_product() -> Iterator[Text]:
    yield from (status.label for status in Status)
    yield from (Text(f"pages.step.{step}") for step in STEPS)
    yield from (Text(f"pages.part.{part}") for part in (*PARTS, "unseen"))
    cli = importlib.import_module("pipelines.cli")
    for command in cli.commands():
        yield from (command.summary, *(a.help for a in command.arguments))


def test_every_text_of_the_contract_is_in_the_catalogues() -> None:
    texts = [*texts_of_tasks(), *texts_of_the_product()]
    assert sorted({t.id for t in texts} - ENGLISH.keys()) == []


def test_presets_change_only_options_that_exist() -> None:
    for task in registry.load_tasks()[0]:
        names = {info.name for info in config.describe(task.config_type)}
        for preset in task.presets.values():
            assert set(preset) <= names
            config.parse(task.config_type, preset)


# --- how words are written ----------------------------------------------------------------------


def test_numbers_take_the_decimal_mark_of_the_language() -> None:
    assert format_number(0.9774, "en") == "0.977"
    assert format_number(0.9774, "fr") == "0,977"
    assert format_number(1234567, "en") == "1,234,567"
    assert re.fullmatch(r"1\s234\s567", format_number(1234567, "fr"))
    assert format_number(float("nan"), "fr") == "–"
    assert format_number(0.00012345, "fr") == "1,23 × 10⁻⁴"


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_below_a_thousand_are_written_as_babel_writes_them(language: Language) -> None:
    """They are written without it: a table of 190 pairs of models took half as long again."""
    generator = np.random.default_rng(0)
    sizes = generator.uniform(-3, 2.99, 500)
    values = [*(generator.choice([-1, 1], 500) * 10**sizes).tolist(), 0.0, -0.0, 999.6, 0.5, 2.0]
    for value in [*values, *(np.float32(v) for v in values[:50]), 0, -7, 999, True, 1000]:
        decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 2
        shown = value if isinstance(value, int) else round(float(value), decimals)
        expected = format_decimal(int(shown) if isinstance(value, int) else shown,
                                  locale=language, decimal_quantization=False)  # fmt: skip
        assert format_number(value, language) == expected


def test_french_signs_stay_on_the_line_of_their_word() -> None:
    words = "« un » : 95 % ; quoi ? non ! à 12:30, :material/check:"
    kept = "«_un_»_: 95_%_; quoi_? non_! à 12:30, :material/check:"
    assert _typeset(words, "fr") == kept.replace("_", "\N{NO-BREAK SPACE}")
    assert _typeset(words, "en") == words


def test_sizes_and_durations_take_the_units_of_the_language() -> None:
    assert format_bytes(7_869_390, "en") == "7.87 MB"
    assert format_bytes(7_869_390, "fr") == "7,87\N{NO-BREAK SPACE}Mo"
    assert format_duration(200, "en") == "3 min 20 s"
    assert format_duration(2.5, "fr") == "2,5\N{NO-BREAK SPACE}s"


@pytest.mark.parametrize(
    ("n", "english", "french"),
    [
        (0, "0 seconds", "0 seconde"),  # French counts nought as singular
        (1, "1 second", "1 seconde"),
        (2, "2 seconds", "2 secondes"),
    ],
)
def test_plurals_follow_the_rules_of_each_language(n: int, english: str, french: str) -> None:
    assert render(Text("core.seconds", n=n), "en") == english
    assert render(Text("core.seconds", n=n), "fr") == french


def test_a_text_survives_json_and_is_read_in_the_other_language() -> None:
    inner: Mapping[str, Any] = Text("core.seconds", n=3).to_json()
    text = Text("core.verbatim", value=Text.from_json(inner))
    again = Text.from_json(text.to_json())
    assert again == text
    assert render(again, "fr") == "3 secondes"


def test_a_name_of_somebody_else_cannot_command_the_terminal() -> None:
    """A file name may hold escape sequences; 200,000 columns of a table once filled the page."""
    name = "a\x1b[2J\r\u202egpj.exe\x00é🔬.png"
    for language in LANGUAGES:
        shown = render(Text("core.verbatim", value=name), language)
        assert shown.endswith("é🔬.png")
        assert not set(shown) & set("\x1b\r\x00\u202e")
        assert len(render(Text("core.verbatim", value="x" * 10**6), language)) < 5000
