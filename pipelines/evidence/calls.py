"""Write what was done as a command line and as Python, so that it can be done again elsewhere."""

from __future__ import annotations

import pprint
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipelines import config as configs
from pipelines import registry
from pipelines.contract import DatasetRecord, Task
from pipelines.core.checkpoints import load_card
from pipelines.errors import CheckpointError, PipelineError
from pipelines.evidence.looks import Look
from pipelines.jobs.store import Run
from pipelines.studies import Kind

_SHORTHANDS: Final = {"device": "--device", "time_limit_s": "--time-limit"}
_WIDTH: Final = 92


@dataclass(frozen=True)
class Source:
    """Say which data a call is about.

    Attributes:
        path: Path of the data, or "sample" for the built-in one.
        options: How the files are read, where that is not the default.
    """

    path: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, record: DatasetRecord, path: str = "") -> Source:
        """Return what to hand to `--data` for a data set; `path` stands for its place if given."""
        if record.is_generated:
            return cls("sample")
        place = path or str(task.path_of(record) or source_path(record))
        return cls(place, data_options(task, record))


@dataclass(frozen=True)
class Call:
    """Hold one thing that was done, in two languages of machines.

    Attributes:
        shell: Command line, long ones over several lines.
        python: The same through the library.
    """

    shell: str
    python: str


@dataclass(frozen=True)
class Several:
    """Say that a recipe is trained several times.

    Attributes:
        kind: What varies between the runs.
        count: Seeds or folds; 0 folds leave one group out at a time.
    """

    kind: Kind
    count: int

    @property
    def words(self) -> list[str]:
        """How it is asked for on the command line."""
        if self.kind == "folds" and not self.count:
            return ["--leave-one-out"]
        return [f"--{'leak-it' if self.kind == 'leak' else self.kind}", str(self.count)]


def training_call(
    task: Task,
    config: Mapping[str, Any],
    data: Source,
    *,
    run: str,
    preset: str = "",
    several: Several | None = None,
) -> Call:
    """Return a training, or a study of several, as it would be typed.

    Args:
        task: Task that is trained.
        config: Every option with its value.
        data: Data that it is trained on.
        run: Folder of the run.
        preset: Preset that the options started from, or "".
        several: How often it is trained; None for once.
    """
    base = task.presets.get(preset, {})
    start = configs.to_json(configs.parse(task.config_type, base))
    words = ["train", task.id, "--data", data.path, "--run", run]
    words += ["--preset", preset] if preset in task.presets else []
    words += _option_words({**_changed(start, config), **data.options})
    words += several.words if several is not None else []
    defaults = configs.to_json(task.config_type())
    body = _TRAIN.format(run=run)
    if several is not None:
        body = _STUDY.format(run=run, kind=several.kind, count=several.count)
    return Call(_shell(words), _python(task, data, _changed(defaults, config), body))


def prediction_call(
    task: Task,
    config: Mapping[str, Any],
    data: Source,
    *,
    checkpoint: str,
    output: str,
    has_all: bool = False,
) -> Call:
    """Return a prediction as it would be typed.

    Args:
        task: Task that predicts.
        config: Options that differ from those of the checkpoint's training.
        data: Data that is predicted.
        checkpoint: Folder of the checkpoint.
        output: Folder that is written.
        has_all: Whether every item is predicted, where a task would by itself take some of them.
    """
    words = ["predict", task.id, "--checkpoint", checkpoint, "--input", data.path]
    words += ["--output", output, *(["--all"] if has_all else [])]
    words += _option_words({**config, **data.options})
    items = _ALL if has_all else ""
    body = _PREDICT.format(checkpoint=checkpoint, output=output, items=items)
    return Call(_shell(words), _python(task, data, config, body))


def run_call(run: Run) -> Call:
    """Return what was asked of a run, with the paths of this machine."""
    task, record, request = registry.get_task(run.request.task_id), run.dataset(), run.request
    source = Source.of(task, record)
    if request.action == "train":
        folder = f"runs/{run.run_id}-again"
        return training_call(task, request.config, source, run=folder, preset=request.preset)
    try:
        trained = load_card(Path(request.checkpoint)).config
    except CheckpointError:
        trained = {}
    known = {**configs.to_json(task.config_type()), **trained}
    changed = {n: v for n, v in request.config.items() if n in known and known[n] != v}
    return prediction_call(
        task,
        changed,
        source,
        checkpoint=request.checkpoint,
        output="prediction",
        has_all=takes_all(task, record, request.item_ids),
    )


def takes_all(task: Task, record: DatasetRecord, item_ids: Sequence[str]) -> bool:
    """Tell whether a prediction of these items takes more than the task would by itself."""
    try:
        usual = task.default_items(record)
    except (PipelineError, OSError):
        return False  # the data are gone
    return len(item_ids) == len(record.items) != len(usual)


def inspection_call(task: Task, data: Source) -> Call:
    """Return the report on a data set as it would be typed."""
    words = ["inspect", task.id, "--data", data.path, *_option_words(data.options)]
    if data.path == "sample":
        head, place = _head(task, data), "record.root"
    else:
        head, place = _head(task, None), f"Path({data.path!r}).resolve()"
    return Call(_shell(words), head + _INSPECT.format(place=place, options=dict(data.options)))


def view_call(task: Task, panel: str, data: Source, look: Look) -> Call:
    """Return what a panel of the page shows as it would be typed.

    Args:
        task: Task.
        panel: Name of the panel.
        data: Data that are shown; those of the run where `look` names one.
        look: What of it, and how.
    """
    words = ["view", task.id, panel]
    words += ["--data", data.path] if look.run is None else ["--run", look.run.run_id]
    words += ["--part", look.part] if look.part else []
    words += ["--checkpoint", str(look.checkpoint)] if look.checkpoint is not None else []
    words += ["--item", look.item] if look.item else []
    read = data.options if look.run is None else {}
    words += _option_words({**look.options, **read}, shorthands={})
    words += _pair_words("--control", look.controls) + _pair_words("--threshold", look.thresholds)
    words += ["--output", f"{panel}.html"]
    return Call(_shell(words), _view_python(task, panel, data, look))


def _view_python(task: Task, panel: str, data: Source, look: Look) -> str:
    values = {
        "item": look.item,
        "options": dict(look.options),
        "controls": dict(look.controls),
        "thresholds": dict(look.thresholds),
        "part": look.part,
    }
    given = [f"    {name}={value!r}," for name, value in values.items() if value]
    if look.checkpoint is not None:
        given.append(f"    checkpoint=Path({str(look.checkpoint)!r}),")
    opened = ""
    if look.run is not None:
        given.append("    run=run,")
        opened = f"run = store.find_run({look.run.run_id!r})\nrecord = run.dataset()\n"
    body = _VIEW.format(panel=panel, look="\n".join(["look = Look(", *given, ")"]))
    return _head(task, data if look.run is None else None) + opened + body


def scores_call(run: Run, part: str = "", thresholds: Mapping[str, float] | None = None) -> Call:
    """Return the figures of a run's part, at its own or at moved thresholds, as typed."""
    words = ["scores", run.run_id, *(["--part", part] if part else [])]
    words += _pair_words("--threshold", thresholds or {})
    python = _SCORES.format(run=run.run_id, part=part, thresholds=dict(thresholds or {}))
    return Call(_shell(words), python)


def comparison_call(runs: Sequence[str]) -> Call:
    """Return a comparison of runs as it would be typed; the command is the whole interface."""
    words = ["compare", *runs]
    python = f"from pipelines.cli import main\n\nmain({['compare', *runs, '--json']!r})"
    return Call(_shell(words), python)


def handing_on_call(run: Run) -> Call:
    """Return how the evidence pack of a run is written, and how the run is done again."""
    pack = ["pack", run.run_id, "--output", "evidence"]
    return _commands_call(pack, ["repeat", run.run_id])


def unpacking_call(file: str) -> Call:
    """Return how an evidence pack is brought in as a run."""
    return _commands_call(["unpack", file])


def checkpoint_import_call(file: str, *, template: str = "", title: str = "") -> Call:
    """Return how a checkpoint, or weights of another program, are brought in."""
    words = ["checkpoints", "import", file, *(["--like", template] if template else [])]
    return _commands_call([*words, *(["--title", title] if title else [])])


def checkpoint_call(folder: str, name: str) -> Call:
    """Return how a checkpoint is handed out, compared with its fingerprint, and deleted."""
    export = ["checkpoints", "export", folder, "--output", f"{name}.zip"]
    others = [["checkpoints", action, folder] for action in ("verify", "delete")]
    return _commands_call(export, *others)


def _commands_call(*commands: Sequence[str]) -> Call:
    """Return commands that are the whole interface, one a line."""
    mains = "\n".join(f"main({list(words)!r})" for words in commands)
    shell = "\n".join(_shell(words) for words in commands)
    return Call(shell, f"from pipelines.cli import main\n\n{mains}")


def cluster_call(task: Task, features: str, record: DatasetRecord, *, number: int) -> Call:
    """Return a map of pictures as it would be typed; the command is the whole interface.

    Args:
        task: Task that has the command `cluster`.
        features: Folder of a checkpoint, or `timm:NAME`.
        record: Data whose pictures are mapped.
        number: Number of clusters.
    """
    words = ["cluster", task.id, "--checkpoint", features, "--data", source_path(record)]
    words += ["--out", "map", "--clusters", str(number)]
    return Call(_shell(words), f"from pipelines.cli import main\n\nmain({words!r})")


def source_path(record: DatasetRecord) -> str:
    """Return the file, archive or folder that holds a data set."""
    outer = {file.path.partition("!")[0] for file in record.files}
    only = record.root / next(iter(outer), "")
    return str(only if len(outer) == 1 and only.is_file() else record.root)


def data_options(task: Task, record: DatasetRecord) -> dict[str, str]:
    """Return how the files are read, as `--set` takes it; what is at its default is left out."""
    infos = configs.describe(task.data_options)
    return {
        i.name: record.options[i.name]
        for i in infos
        if i.name in record.options and record.options[i.name] != str(i.default)
    }


def _changed(start: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in config.items() if n in start and start[n] != v}


def _option_words(
    options: Mapping[str, Any], shorthands: Mapping[str, str] = _SHORTHANDS
) -> list[str]:
    words = []
    for name, value in options.items():
        if name in shorthands:
            words += [shorthands[name], str(value)]
        else:
            words += ["--set", f"{name}={value}"]
    return words


def _pair_words(option: str, values: Mapping[str, Any]) -> list[str]:
    return [word for name, value in values.items() for word in (option, f"{name}={value}")]


def _shell(words: Sequence[str]) -> str:
    """Join words; an option begins a new line where the command is long."""
    lines = ["python -m pipelines"]
    for word in words:
        quoted = shlex.quote(word)
        is_long = sum(map(len, words)) > _WIDTH - 24
        if is_long and word.startswith("--"):
            lines.append(f"    {quoted}")
        else:
            lines[-1] += f" {quoted}"
    return " \\\n".join(lines)


def _python(task: Task, data: Source, options: Mapping[str, Any], body: str) -> str:
    values = pprint.pformat(dict(options), width=_WIDTH, sort_dicts=False)
    return _head(task, data) + (f"options = {values}\n" if "options" in body else "") + body


def _head(task: Task, data: Source | None) -> str:
    """Write what opens the task and, unless they come from elsewhere, the data."""
    head = _HEAD.format(task=task.id)
    if data is None:
        return head
    if data.path == "sample":
        return head + "record = datasets.builtin_sample(task, settings)\n"
    place, how = f"Path({data.path!r}).resolve()", repr(dict(data.options))
    return head + f"record = datasets.register(task, {place}, {how}, settings)\n"


_HEAD: Final = """from pathlib import Path

from pipelines import actions, config, datasets, registry
from pipelines.jobs import store, worker
from pipelines.settings import load_settings

settings = load_settings()
task = registry.get_task({task!r})
"""
_TRAIN: Final = """wanted = config.parse(task.config_type, options)
new = store.NewRun(
    task.id, "train", config.to_json(wanted), record, task.split(record, wanted),
    seed=getattr(wanted, "seed", 0),
)
run = worker.work(store.create_run(new, settings, folder=Path({run!r}).resolve()).folder)
print(run.status.value, run.error)
print(run.scores())"""
_STUDY: Final = """from pipelines import studies

wanted = config.parse(task.config_type, options)
new = studies.NewStudy(task, {kind!r}, {count}, wanted, record)
study = studies.work(studies.create_study(new, settings, folder=Path({run!r}).resolve()))
print(study.status.value)
print(studies.read_summary(study))"""
_ALL: Final = "\n    item_ids=tuple(item.item_id for item in record.items),"
_INSPECT: Final = """from pipelines.text import Text, render

found = task.inspect({place}, {options})
print(len(found.items), "items, usable:", found.is_usable)
for name, value in found.facts:
    print(render(name, "en"), render(value, "en") if isinstance(value, Text) else value, sep=": ")
for problem in found.problems:
    print(problem.severity, render(problem.text, "en"), sep=": ")"""
_VIEW: Final = """
from pipelines.evidence.looks import Look, compute_views, write_page

{look}
views = compute_views(task, {panel!r}, record, look)
write_page(task, {panel!r}, views, Path("{panel}.html"), "en")"""
_PREDICT: Final = """from pipelines.core.checkpoints import find_checkpoint, load_card

checkpoint = find_checkpoint(Path({checkpoint!r}))
wanted = actions.prediction_config(task, load_card(checkpoint, task_id=task.id), options)
new = store.NewRun(
    task.id, "predict", config.to_json(wanted), record, checkpoint=checkpoint,
    output=Path({output!r}),{items}
)
run = worker.work(store.create_run(new, settings).folder)
print(run.status.value, run.error)
print(run.scores())"""
_SCORES: Final = """from pipelines.evidence.looks import score_again
from pipelines.jobs import store

point, part = score_again(store.find_run({run!r}), {part!r}, {thresholds!r})
print(dict(point.thresholds), part.metrics, part.intervals)"""
