"""Write the model card: what the model is for, made from, worth, and where it ends."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines import datasets
from pipelines.evidence.document import Block, Document, Part
from pipelines.evidence.facts import RunFacts
from pipelines.evidence.markdown import to_markdown
from pipelines.evidence.report import day, figures_table, limits_of, point_sentence
from pipelines.text import Language, Text, verbatim
from pipelines.views import TableView, TextView

_FRONT = """---
language: {language}
library_name: pytorch
tags: [microscopy, {task}]
license: {license}
---

"""


def to_card(facts: RunFacts, language: Language, *, weights_sha256: str, onnx: Text) -> str:
    """Return the model card of a run's checkpoint as Markdown with a front matter.

    Args:
        facts: The run.
        language: Language of the words.
        weights_sha256: Fingerprint of the weights, or "" without any.
        onnx: What came of the ONNX export.
    """
    card = facts.card
    license_name = (card.license if card is not None else "") or "other"
    front = _FRONT.format(language=language, task=facts.task.id, license=license_name)
    return front + to_markdown(_document(facts, weights_sha256, onnx), language)


def _document(facts: RunFacts, weights_sha256: str, onnx: Text) -> Document:
    known = facts.task.model_facts()
    files: tuple[Block, ...] = (onnx,)
    if weights_sha256:
        files = (Text("evidence.card.weights", sha256=weights_sha256), onnx)
    sections: tuple[tuple[str, tuple[Block, ...]], ...] = (
        ("purpose", (facts.task.summary, known.purpose)),
        ("data", tuple(_data(facts))),
        ("training", (_facts_table(facts),)),
        ("scores", _scores(facts)),
        ("limits", (TextView(Text("evidence.limits_words"), details=tuple(limits_of(facts))),)),
        ("licence", (known.licence, _weights_licence(facts))),
        ("files", files),
    )
    return Document(
        Text("evidence.card.title", task=facts.task.title),
        Text("evidence.card.subtitle", run=facts.run.run_id, date=day(facts.run)),
        tuple(Part(Text(f"evidence.card.{name}"), blocks) for name, blocks in sections),
    )


def _data(facts: RunFacts) -> Iterator[Block]:
    card = facts.card
    is_generated = facts.record.is_generated if card is None else card.is_generated_data
    if is_generated:
        yield TextView(Text("evidence.generated"), tone="warning")
    title = datasets.dataset_title(facts.record)
    if card is not None and facts.run.request.action == "predict":
        title = Text("data.sample") if card.is_generated_data else verbatim(card.dataset_title)
    yield Text("evidence.card.data_words", data=title)


def _scores(facts: RunFacts) -> tuple[Block, ...]:
    if not facts.parts:
        return (Text("evidence.not_scored"),)
    return (figures_table(facts), point_sentence(facts.point))


def _weights_licence(facts: RunFacts) -> Text:
    name = facts.card.license if facts.card is not None else ""
    return (
        Text("evidence.card.licence_named", name=name)
        if name
        else Text("evidence.card.licence_open")
    )


def _facts_table(facts: RunFacts) -> TableView:
    card = facts.card
    rows: list[tuple[Text, object]] = []
    if card is not None:
        network = ", ".join(f"{n} = {v}" for n, v in card.architecture.items())
        rows += [
            (Text("evidence.card.network"), verbatim(network)),
            (Text("evidence.card.parameters"), card.num_parameters),
            (Text("evidence.card.steps"), card.steps),
            (Text("evidence.environment.time"), Text("evidence.seconds", seconds=card.seconds)),
            (Text("evidence.environment.device"), verbatim(card.device or "–")),
            (Text("evidence.card.seed"), verbatim(str(card.seed))),
            (Text("evidence.environment.code"), verbatim(card.code_version)),
            (Text("evidence.card.fingerprint"), verbatim(card.data_fingerprint or "–")),
        ]
    names = (Text("evidence.column.what"), Text("evidence.column.value"))
    return TableView(Text("evidence.card.training_table"), names, tuple(rows))
