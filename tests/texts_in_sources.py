"""Find in Python sources which messages are said, and which words bypass the catalogues."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SPEAKERS = {"Text", "tr"}
"""Functions whose first argument is a message id."""

WIDGETS = {
    "badge", "button", "caption", "chat_input", "checkbox", "code", "color_picker", "date_input",
    "dialog", "download_button", "error", "expander", "feedback", "file_uploader", "form",
    "form_submit_button", "header", "info", "link_button", "markdown", "metric", "multiselect",
    "number_input", "page_link", "pills", "popover", "progress", "radio", "segmented_control",
    "select_slider", "selectbox", "slider", "spinner", "status", "subheader", "success", "table",
    "tabs", "text", "text_area", "text_input", "time_input", "title", "toast", "toggle", "warning",
    "write", "menu_button",
}  # fmt: skip
"""Methods of Streamlit, and of its containers, whose first argument a person reads."""

READ_BY_PEOPLE = {
    "label", "body", "help", "placeholder", "title", "text", "page_title", "caption", "alt",
    "delta", "subtitle", "empty", "words", "summary",
}  # fmt: skip
"""Keyword arguments that a person reads, of any function of the dashboard."""

NAMES = {"CSV", "PNG", "SVG", "JSON", "ZIP"}
"""Names of formats, equal in every language."""

# Page furniture that holds letters and says nothing: icons, colours, HTML, the address of a link.
_FURNITURE = re.compile(r":material/[^:]*:|:[a-z]+(-[a-z]+)*\[|<[^>]*>|https?://\S*|\x00")


@dataclass(frozen=True)
class Said:
    """Hold one place that says a message.

    Attributes:
        pattern: The id; `*` where it is computed.
        params: Names of its parameters, or None when they are handed on as a whole.
        line: Line in the source.
    """

    pattern: str
    params: frozenset[str] | None
    line: int


def said_in(source: str) -> list[Said]:
    """List the messages that a source says with a literal or partly literal id."""
    tree = ast.parse(source)
    constants = _module_constants(tree)
    helpers = _helpers(tree, constants)
    found: list[Said] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = _called(node)
        if name in SPEAKERS:
            patterns = _patterns(node.args[0], constants)
        elif name in helpers:
            inner = _patterns(node.args[0], constants)
            patterns = [helpers[name].replace("*", p, 1) for p in inner]
        else:
            continue
        found += [Said(p, _params(node), node.lineno) for p in patterns if p.strip("*.")]
    return found


def id_like_strings(source: str) -> set[str]:
    """Collect every string of a source: an id may reach its speaker through a table."""
    tree = ast.parse(source)
    constants = _module_constants(tree)
    found = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and _is_str(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.update(_patterns(node, constants))
    return found


def ids_of_options(source: str) -> Iterator[str]:
    """Give the ids that follow from the option dataclasses of a source: label and help."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        prefix = _module_constants(node).get("texts")
        fields = [a.target.id for a in node.body if _is_field(a)] if prefix else []
        yield from (f"{prefix}.{name}{end}" for name in fields for end in ("", ".help"))


def bypasses(source: str) -> list[tuple[int, str]]:
    """List line and words of every literal that a page shows without a catalogue."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found += [(node.lineno, w) for shown in _shown(node) for w in _words(shown)]
    return sorted(set(found))


def _shown(call: ast.Call) -> Iterator[ast.expr]:
    """Give the arguments of a call that a person reads."""
    is_widget = (
        isinstance(call.func, ast.Attribute)
        and call.func.attr in WIDGETS
        and ast.unparse(call.func.value) != "_log"  # a log is in English, for who maintains it
    )
    if is_widget and call.args:
        yield call.args[0]
    if _called(call) in SPEAKERS:
        return  # parameters of a message: values, not words
    for keyword in call.keywords:
        if keyword.arg in READ_BY_PEOPLE and (is_widget or _called(call) != "dict"):
            yield keyword.value


def _words(node: ast.expr) -> Iterator[str]:
    """Give the literals with letters in an expression; what a call returns is its own affair."""
    if isinstance(node, ast.Constant) and _is_str(node):
        yield from _if_words(node.value)
    elif isinstance(node, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else "\x00" for v in node.values]
        yield from _if_words("".join(map(str, parts)))
    for inner in _parts(node):
        yield from _words(inner)


def _parts(node: ast.expr) -> Sequence[ast.expr]:
    """Return the expressions that a shown expression is put together of."""
    match node:
        case ast.JoinedStr(values=values):
            return [v.value for v in values if isinstance(v, ast.FormattedValue)]
        case ast.IfExp(body=first, orelse=second) | ast.BinOp(left=first, right=second):
            return [first, second]
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.BoolOp(values=items):
            return items
        case ast.Call(func=ast.Attribute(value=pattern, attr="format" | "join")):
            return [pattern]
    return []


def _if_words(value: str) -> Iterator[str]:
    rest = _FURNITURE.sub("", value).strip()
    if any(c.isalpha() for c in rest) and rest not in NAMES:
        yield value.replace("\x00", "{}")


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _params(call: ast.Call) -> frozenset[str] | None:
    names = [k.arg for k in call.keywords]
    return None if None in names else frozenset(n for n in names if n)


def _patterns(node: ast.expr, constants: dict[str, str]) -> list[str]:
    if isinstance(node, ast.Constant) and _is_str(node):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return [*_patterns(node.body, constants), *_patterns(node.orelse, constants)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(_piece(value, constants) for value in node.values)]
    return ["*"]


def _piece(value: ast.expr, constants: dict[str, str]) -> str:
    if isinstance(value, ast.Constant):
        return str(value.value)
    inner = value.value if isinstance(value, ast.FormattedValue) else value
    return constants.get(inner.id, "*") if isinstance(inner, ast.Name) else "*"


def _module_constants(tree: ast.Module | ast.ClassDef) -> dict[str, str]:
    """Return the strings named at the top of a body, such as a prefix of its messages."""
    found = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and _is_str(value):
            found[target.id] = str(value.value)
    return found


def _helpers(tree: ast.Module, constants: dict[str, str]) -> dict[str, str]:
    """Find functions that only put a prefix before an id: name to pattern with one `*`."""
    found = {}
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        last = node.body[-1]
        call = last.value if isinstance(last, ast.Return) else None
        if isinstance(call, ast.Call) and _called(call) in SPEAKERS and call.args:
            (pattern, *_) = _patterns(call.args[0], constants)
            if pattern.count("*") == 1 and isinstance(call.args[0], ast.JoinedStr):
                found[node.name] = pattern
    return found


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _is_str(node: ast.Constant) -> bool:
    return isinstance(node.value, str)
