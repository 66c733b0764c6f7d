"""Texts as message ids with parameters, translated only where a person reads them.

A `Text` is data: it travels through state files, errors and views in no language at all. `render`
turns it into words of one language at the border (a page, a terminal). Catalogues are gettext
`.po` files named `<area>.<language>.po`, read at run time: the shared ones in `pipelines/locale`, a
task's own in `pipelines/tasks/<task_id>/locale`, and whatever `add_catalogue_folder` registers.
"""

from __future__ import annotations

import functools
import logging
import math
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

Language = Literal["en", "fr"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
DEFAULT_LANGUAGE: Final[Language] = "en"

_PACKAGE = Path(__file__).parent
_extra_folders: list[Path] = []
_log = logging.getLogger(__name__)

# `:name:` is an icon's, not a colon
_BEFORE_SIGNS = re.compile(r"(?<=«) | (?=[;?!»%]|:(?:\s|$))")
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PO_LINE = re.compile(r'^(msgid_plural|msgid|msgstr(?:\[\d\])?|) *"(.*)" *$', re.MULTILINE)
_PO_ESCAPE = re.compile(r"\\(.)")
_PO_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}  # any other sign stands for itself
_LONGEST = 4000  # characters of one parameter; the options of a task are half of that
Param = Any  # str, int, float, bool, None, Text, or a list of those: what JSON and a sentence carry


@dataclass(frozen=True, init=False)
class Text:
    """Hold one message: its id in the catalogues and the values that its placeholders take.

    A parameter named `n` chooses the plural form. Parameters may be texts themselves.

    Example:
        >>> render(Text("core.seconds", n=2), "fr")
        '2 secondes'
    """

    id: str
    params: Mapping[str, Param]

    def __init__(self, id: str, /, **params: Param) -> None:
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "params", params)

    def __hash__(self) -> int:
        return hash((self.id, repr(sorted(self.params.items(), key=lambda item: item[0]))))

    def to_json(self) -> dict[str, Any]:
        """Return the message as plain JSON values."""
        return {"id": self.id, "params": {k: _param_to_json(v) for k, v in self.params.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Text:
        """Rebuild a message from `to_json`."""
        params = {str(k): _param_from_json(v) for k, v in data.get("params", {}).items()}
        return cls(str(data["id"]), **params)


def verbatim(value: str) -> Text:
    """Wrap words that have no translation: a file name, a person's own title, a model name."""
    return Text("core.verbatim", value=value)


def render(text: Text, language: Language, *, escape: Callable[[str], str] | None = None) -> str:
    """Return `text` in words of `language`; an unknown id falls back to English, then to the id.

    Args:
        text: Message.
        language: Language of the reader.
        escape: Called with each string parameter, where the words are read as markup.
    """
    pattern = _pattern(text, language)
    if pattern is None:
        pattern = _pattern(text, DEFAULT_LANGUAGE)
    if pattern is None:
        _log.warning("text %r stands in no catalogue", text.id)
        return text.id
    try:
        return _SentenceFormatter(language, escape).vformat(pattern, (), text.params)
    except (KeyError, ValueError, IndexError) as error:
        _log.warning("text %r cannot be filled in: %s", text.id, error)
        return pattern


def has_words(text: Text) -> bool:
    """Tell whether a message stands in the English catalogues, which every reader falls back to."""
    return _pattern(text, DEFAULT_LANGUAGE) is not None


def add_catalogue_folder(folder: Path) -> None:
    """Let `render` also read the `<area>.<language>.po` files of `folder`."""
    if folder not in _extra_folders:
        _extra_folders.append(folder)
        _catalogue.cache_clear()


def catalogue_folders() -> list[Path]:
    """List every folder that holds catalogues, shared ones first."""
    tasks = sorted(p / "locale" for p in (_PACKAGE / "tasks").iterdir() if (p / "locale").is_dir())
    return [_PACKAGE / "locale", *tasks, *_extra_folders]


def format_number(value: float, language: Language, *, digits: int = 3) -> str:
    """Write a number with `digits` significant digits and the decimal mark of `language`."""
    if isinstance(value, int):
        return str(int(value)) if abs(value) < 1000 else _grouped(value, language)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value and (abs(value) < 1e-3 or abs(value) >= 1e7):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_decimal(mantissa, language)} × 10{_superscript(int(exponent))}"
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    rounded = round(float(value), max(0, digits - 1 - magnitude))
    if abs(rounded) < 1000:
        return _decimal(repr(rounded).removesuffix(".0"), language)
    return _grouped(rounded, language)


def _grouped(value: float, language: Language) -> str:
    """Write a number from 1000 on; babel knows how thousands are set apart, and takes 75 us."""
    from babel.numbers import format_decimal

    return str(format_decimal(value, locale=language, decimal_quantization=False))


def format_bytes(count: float, language: Language) -> str:
    """Write a size in bytes with its decimal unit (kB, MB, GB; ko, Mo, Go in French)."""
    units = ("o", "ko", "Mo", "Go", "To") if language == "fr" else ("B", "kB", "MB", "GB", "TB")
    step = 0
    while abs(count) >= 1000 and step < len(units) - 1:
        count, step = count / 1000, step + 1
    shown = int(count) if step == 0 else float(count)
    return f"{format_number(shown, language)}{_before_unit(language)}{units[step]}"


def format_duration(seconds: float, language: Language) -> str:
    """Write a duration in its two largest units: "45 s", "3 min 20 s", "2 h 5 min"."""
    if not math.isfinite(seconds):
        return "–"
    gap = _before_unit(language)
    if 0 < seconds < 10:
        return f"{format_number(round(seconds, 1), language, digits=2)}{gap}s"
    total = round(seconds)
    hours, minutes, rest = total // 3600, total % 3600 // 60, total % 60
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    said = [f"{count}{gap}{unit}" for count, unit in parts if count]
    return " ".join(said) or f"0{gap}s"


def _before_unit(language: Language) -> str:
    """Return the space before a unit: in French it never ends a line."""
    return "\N{NO-BREAK SPACE}" if language == "fr" else " "


class _SentenceFormatter(string.Formatter):
    """Fill placeholders with values written for one language.

    Beside Python's format specifications it knows `pct` (0.5 as a percentage), `bytes`,
    `duration` (seconds) and `raw` (as `str` writes it, no grouping).
    """

    def __init__(self, language: Language, escape: Callable[[str], str] | None) -> None:
        self._language = language
        self._escape = escape

    def format_field(self, value: Any, format_spec: str) -> str:  # any parameter value
        if isinstance(value, Text):
            return render(value, self._language, escape=self._escape)
        if isinstance(value, (list, tuple)):
            return ", ".join(self.format_field(item, format_spec) for item in value)
        if isinstance(value, str):
            return self._escape(_tame(value)) if self._escape else _tame(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or format_spec == "raw":
            return str(value)
        return self._format_number(value, format_spec)

    def _format_number(self, value: float, spec: str) -> str:
        from babel.numbers import format_percent

        if spec == "pct":
            digits = 0 if abs(value) >= 0.0995 else 1
            gap = _before_unit("fr") if self._language == "fr" else ""
            pattern = f"0{'.0' if digits else ''}{gap}%"
            return str(format_percent(value, format=pattern, locale=self._language))
        if spec == "bytes":
            return format_bytes(value, self._language)
        if spec == "duration":
            return format_duration(value, self._language)
        if spec:
            return _decimal(format(value, spec), self._language)
        return format_number(value, self._language)

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:  # as in string.Formatter
        return kwargs[key]


def _tame(value: str) -> str:
    """Keep a name of somebody else from breaking the sentence that it stands in, or the terminal.

    A file name may hold escape sequences and marks that turn the direction of writing; a table may
    have 200,000 columns.
    """
    value = _HARMFUL.sub("\N{REPLACEMENT CHARACTER}", value)
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"


def _decimal(number: str, language: Language) -> str:
    return number.replace(".", ",") if language == "fr" else number


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _pattern(text: Text, language: Language) -> str | None:
    forms = _catalogue(language).get(text.id)
    if forms is None:
        return None
    n = text.params.get("n")
    is_plural = isinstance(n, int) and _is_plural(n, language)
    return forms[-1] if is_plural else forms[0]


def _is_plural(n: int, language: Language) -> bool:
    """Say which form a number takes; the catalogues state the same rule for other programs."""
    return n > 1 if language == "fr" else n != 1


@functools.cache
def _catalogue(language: Language) -> dict[str, tuple[str, ...]]:
    """Read every catalogue of a language: id to its sentence, or to its singular and plural."""
    merged: dict[str, tuple[str, ...]] = {}
    for folder in catalogue_folders():
        for path in sorted(folder.glob(f"*.{language}.po")):
            try:
                messages = _read_catalogue(path)
            except (OSError, ValueError) as error:  # of one task: the others keep their words
                _log.error("the catalogue %s cannot be read: %s", path, error)
                continue
            for text_id, forms in messages.items():
                merged[text_id] = tuple(_typeset(form, language) for form in forms)
    return merged


def _typeset(words: str, language: Language) -> str:
    """Keep the signs that French sets off by a space on the line of their word."""
    return _BEFORE_SIGNS.sub("\N{NO-BREAK SPACE}", words) if language == "fr" else words


def _read_catalogue(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the messages of a `.po` file that have words.

    Ours instead of babel's reader, which keeps comments, places and context for editors: every
    process reads 150 files before it says its first word, in 10 ms instead of 90.
    """
    messages: list[tuple[str, list[str]]] = []
    for keyword, quoted in _PO_LINE.findall(path.read_text(encoding="utf-8")):
        words = _PO_ESCAPE.sub(_unescape, quoted) if "\\" in quoted else quoted
        if keyword == "msgid":
            messages.append((words, []))
        elif keyword.startswith("msgstr"):
            if not messages:
                raise ValueError("it begins with a msgstr that has no msgid")
            messages[-1][1].append(words)
        elif not keyword and messages and messages[-1][1]:  # a sentence goes on
            messages[-1][1][-1] += words
    return {text_id: tuple(forms) for text_id, forms in messages if text_id and all(forms)}


def _unescape(found: re.Match[str]) -> str:
    return _PO_ESCAPES.get(found[1], found[1])


def _param_to_json(value: Param) -> Any:
    if isinstance(value, Text):
        return {"text": value.to_json()}
    if isinstance(value, (list, tuple)):
        return [_param_to_json(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return value.item() if hasattr(value, "item") else str(value)


def _param_from_json(value: Any) -> Param:
    if isinstance(value, dict):
        return Text.from_json(value["text"])
    return [_param_from_json(item) for item in value] if isinstance(value, list) else value
