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
from pipelines.errors import CheckpointError
from pipelines.jobs.store import Run

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
        return cls(path or source_path(record), data_options(task, record))


@dataclass(frozen=True)
class Call:
    """Hold one thing that was done, in two languages of machines.

    Attributes:
        shell: Command line, long ones over several lines.
        python: The same through the library.
    """

    shell: str
    python: str


def training_call(
    task: Task, config: Mapping[str, Any], data: Source, *, run: str, preset: str = ""
) -> Call:
    """Return a training as it would be typed.

    Args:
        task: Task that is trained.
        config: Every option with its value.
        data: Data that it is trained on.
        run: Folder of the run.
        preset: Preset that the options started from, or "".
    """
    base = task.presets.get(preset, {})
    start = configs.to_json(configs.parse(task.config_type, base))
    words = ["train", task.id, "--data", data.path, "--run", run]
    words += ["--preset", preset] if preset in task.presets else []
    words += _option_words({**_changed(start, config), **data.options})
    defaults = configs.to_json(task.config_type())
    return Call(
        _shell(words),
        _python(task, data, _changed(defaults, config), _TRAIN.format(run=run)),
    )


def prediction_call(
    task: Task, config: Mapping[str, Any], data: Source, *, checkpoint: str, output: str
) -> Call:
    """Return a prediction as it would be typed.

    Args:
        task: Task that predicts.
        config: Options that differ from those of the checkpoint's training.
        data: Data that is predicted.
        checkpoint: Folder of the checkpoint.
        output: Folder that is written.
    """
    words = [
        "predict",
        task.id,
        "--checkpoint",
        checkpoint,
        "--input",
        data.path,
        "--output",
        output,
    ]
    words += _option_words({**config, **data.options})
    body = _PREDICT.format(checkpoint=checkpoint, output=output)
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
        task, changed, source, checkpoint=request.checkpoint, output="prediction"
    )


def evaluation_call(task: Task, *, prediction: str, truth: str) -> Call:
    """Return an evaluation as it would be typed."""
    words = ["evaluate", task.id, "--prediction", prediction, "--truth", truth]
    python = _EVALUATE.format(task=task.id, prediction=prediction, truth=truth)
    return Call(_shell(words), python)


def comparison_call(runs: Sequence[str]) -> Call:
    """Return a comparison of runs as it would be typed; the command is the whole interface."""
    words = ["compare", *runs]
    python = f"from pipelines.cli import main\n\nmain({['compare', *runs, '--json']!r})"
    return Call(_shell(words), python)


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


def _option_words(options: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in options.items():
        if name in _SHORTHANDS:
            words += [_SHORTHANDS[name], str(value)]
        else:
            words += ["--set", f"{name}={value}"]
    return words


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
    place, how = f"Path({data.path!r}).resolve()", repr(dict(data.options))
    record = (
        "datasets.builtin_sample(task, settings)"
        if data.path == "sample"
        else f"datasets.register(task, {place}, {how}, settings)"
    )
    values = pprint.pformat(dict(options), width=_WIDTH, sort_dicts=False)
    return _HEAD.format(task=task.id, record=record) + f"options = {values}\n" + body


_HEAD: Final = """from pathlib import Path

from pipelines import actions, config, datasets, registry
from pipelines.jobs import store, worker
from pipelines.settings import load_settings

settings = load_settings()
task = registry.get_task({task!r})
record = {record}
"""
_TRAIN: Final = """wanted = config.parse(task.config_type, options)
new = store.NewRun(
    task.id, "train", config.to_json(wanted), record, task.split(record, wanted),
    seed=getattr(wanted, "seed", 0),
)
run = worker.work(store.create_run(new, settings, folder=Path({run!r}).resolve()).folder)
print(run.status.value, run.error)
print(run.scores())"""
_PREDICT: Final = """from pipelines.core.checkpoints import find_checkpoint, load_card

checkpoint = find_checkpoint(Path({checkpoint!r}))
wanted = actions.prediction_config(task, load_card(checkpoint, task_id=task.id), options)
new = store.NewRun(
    task.id, "predict", config.to_json(wanted), record, checkpoint=checkpoint,
    output=Path({output!r}),
)
run = worker.work(store.create_run(new, settings).folder)
print(run.status.value, run.error)
print(run.scores())"""
_EVALUATE: Final = """from pathlib import Path

from pipelines import actions, registry

task = registry.get_task({task!r})
rows, scores = actions.run_evaluation(task, Path({prediction!r}), Path({truth!r}))
print(scores.to_json())"""
