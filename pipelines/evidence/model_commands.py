"""The commands `checkpoints` and `unpack`: what the pages of checkpoints and runs do, as typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pipelines import registry
from pipelines.commands import JSON, Argument, Command, Terminal, UsageError, Values
from pipelines.core.checkpoints import CheckpointEntry, find_checkpoint, load_card, verify_weights
from pipelines.core.files import existing_path
from pipelines.errors import CheckpointMismatchError, CheckpointNotFoundError
from pipelines.evidence.models import (
    all_checkpoints,
    delete_checkpoint,
    export_checkpoint,
    import_checkpoint,
    import_foreign,
    kind_of,
    match_foreign,
    restore_checkpoint,
)
from pipelines.settings import load_settings
from pipelines.text import Text, verbatim

CHECKPOINTS: Final = Command(
    "checkpoints",
    Text("models_cmd.command"),
    (
        Argument("action", Text("models_cmd.arg.action"), is_required=True),
        Argument("what", Text("models_cmd.arg.what")),
        Argument("--output", Text("models_cmd.arg.output"), "ZIP"),
        Argument("--like", Text("models_cmd.arg.like"), "CHECKPOINT"),
        Argument("--title", Text("models_cmd.arg.title"), "WORDS"),
        JSON,
    ),
    lambda values, terminal: _dispatch(values, terminal),
)
UNPACK: Final = Command(
    "unpack",
    Text("models_cmd.unpack"),
    (Argument("file", Text("models_cmd.arg.pack"), is_required=True), JSON),
    lambda values, terminal: _unpack(values, terminal),
)


def _dispatch(values: Values, terminal: Terminal) -> int:
    action = values["action"]
    if action not in _ACTIONS:
        raise UsageError(Text("models_cmd.no_action", got=action, allowed=", ".join(_ACTIONS)))
    if action != "list" and "what" not in values:
        raise UsageError(Text("models_cmd.what_is_missing", action=action))
    return _ACTIONS[action](values, terminal)


def _list(values: Values, terminal: Terminal) -> int:
    found = [(task, e) for task in registry.load_tasks()[0] for e in _entries(task.id)]
    terminal.table(
        [
            (verbatim(task.id), verbatim(e.card.title or e.card.run_id), verbatim(str(e.folder)))
            for task, e in found
        ]
    )
    terminal.result([_entry_json(entry) for _, entry in found])
    return 0


def _entry_json(entry: CheckpointEntry) -> dict[str, Any]:
    return {
        "task_id": entry.card.task_id,
        "title": entry.card.title,
        "folder": str(entry.folder),
        "scores": {part: dict(scores) for part, scores in entry.card.scores.items()},
        "sha256": entry.card.weights_sha256,
        "is_builtin": entry.is_builtin,
        "is_imported": entry.is_imported,
    }


def _export(values: Values, terminal: Terminal) -> int:
    if "output" not in values:
        raise UsageError(Text("models_cmd.no_output"))
    file = export_checkpoint(find_checkpoint(Path(values["what"])), Path(values["output"]))
    terminal.say(Text("models_cmd.exported", file=str(file)))
    terminal.result({"file": str(file)})
    return 0


def _verify(values: Values, terminal: Terminal) -> int:
    has_mark = verify_weights(Path(values["what"]))
    terminal.say(Text("models_cmd.verified" if has_mark else "models_cmd.no_fingerprint"))
    terminal.result({"has_fingerprint": has_mark})
    return 0


def _import(values: Values, terminal: Terminal) -> int:
    path, title, settings = existing_path(values["what"]), values.get("title", ""), load_settings()
    if path.is_dir() or kind_of(path.name) != "foreign":
        entry = import_checkpoint(path, settings, title=title)
    else:
        entry = import_foreign(path, _template(path, values, terminal), settings, title=title)
    terminal.say(Text("models_cmd.imported", folder=str(entry.folder)))
    terminal.result(_entry_json(entry))
    return 0


def _template(path: Path, values: Values, terminal: Terminal) -> Path:
    """Return the checkpoint whose network foreign weights are for: the named or the best one."""
    if "like" in values:
        return find_checkpoint(Path(values["like"]))
    best = match_foreign(path, load_settings())[0]
    terminal.say(best.report.text)
    if not best.report.is_complete:
        text = Text("models.incomplete", file=path.name, report=best.report.text)
        raise CheckpointMismatchError(text)
    return best.template.folder


def _delete(values: Values, terminal: Terminal) -> int:
    wanted = find_checkpoint(Path(values["what"])).resolve()
    entries = _entries(load_card(wanted).task_id)
    entry = next((e for e in entries if e.folder.resolve() == wanted), None)
    if entry is None:
        raise CheckpointNotFoundError(Text("models_cmd.not_listed", folder=str(wanted)))
    aside = delete_checkpoint(entry)
    terminal.say(Text("models_cmd.deleted", folder=str(wanted), aside=str(aside)))
    terminal.result({"restore": str(aside)})
    return 0


def _restore(values: Values, terminal: Terminal) -> int:
    folder = restore_checkpoint(Path(values["what"]))
    terminal.say(Text("models_cmd.restored", folder=str(folder)))
    terminal.result({"folder": str(folder)})
    return 0


def _entries(task_id: str) -> list[CheckpointEntry]:
    return all_checkpoints(task_id, load_settings())


_ACTIONS: Final[Mapping[str, Callable[[Values, Terminal], int]]] = {
    "list": _list,
    "export": _export,
    "import": _import,
    "verify": _verify,
    "delete": _delete,
    "restore": _restore,
}


def _unpack(values: Values, terminal: Terminal) -> int:
    from pipelines.evidence.unpack import import_pack

    run = import_pack(existing_path(values["file"]), load_settings())
    terminal.say(Text("models_cmd.unpacked", run=run.run_id, folder=str(run.folder)))
    terminal.result({"run_id": run.run_id, "folder": str(run.folder)})
    return 0
