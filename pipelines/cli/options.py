"""What the words of a command mean: options of the work, and the data that it is done on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import config as configs
from pipelines.commands import UsageError, Values
from pipelines.contract import DatasetRecord, Task
from pipelines.core.files import existing_path
from pipelines.errors import ConfigError
from pipelines.jobs import store
from pipelines.settings import load_settings
from pipelines.text import Text


@dataclass(frozen=True)
class Options:
    """Hold what `--set` and its shorthands say.

    Attributes:
        work: Options of the task's configuration.
        data: Options of how files are read.
    """

    work: Mapping[str, Any]
    data: Mapping[str, str]

    @classmethod
    def of(cls, task: Task, values: Values) -> Options:
        """Tell options of the data from those of the work by their names."""
        shorthands = {"device": "device", "time_limit": "time_limit_s"}
        work = {name: values[key] for key, name in shorthands.items() if key in values}
        work_names = {info.name for info in configs.describe(task.config_type)}
        data_names = {info.name for info in configs.describe(task.data_options)} - work_names
        data: dict[str, str] = {}
        for pair in values.get("set", ()):
            name, has_value, value = pair.partition("=")
            if not has_value:
                raise UsageError(Text("cli.not_a_pair", word=pair))
            name = name.strip().replace("-", "_")
            (data if name in data_names else work)[name] = value.strip()
        configs.parse(task.data_options, data)
        return cls(work, data)


def preset_of(task: Task, values: Values) -> Mapping[str, Any]:
    """Return what `--preset` changes.

    Raises:
        ConfigError: The task has no preset of that name.
    """
    name = values.get("preset")
    if name is None:
        return {}
    if name not in task.presets:
        allowed = ", ".join(task.presets)
        raise ConfigError(Text("cli.unknown_preset", got=name, allowed=allowed))
    return task.presets[name]


def is_sample(source: str) -> bool:
    """Tell whether the built-in sample is meant, and not something of that name on the disk."""
    return source == "sample" and not Path(source).exists()


def open_data(task: Task, source: str, options: Options) -> DatasetRecord:
    """Register what stands at a path; the command line may read wherever its user may."""
    from pipelines import datasets

    settings = load_settings()
    if is_sample(source):
        return datasets.builtin_sample(task, settings)
    return datasets.register(task, existing_path(source), options.data, settings)


def open_for_view(task: Task, values: Values) -> tuple[DatasetRecord, Mapping[str, Any]]:
    """Return what `view` looks at, the data of a run where one is named, and the options."""
    options = Options.of(task, values)
    if "run" in values:
        return store.find_run(values["run"]).dataset(), options.work
    return open_data(task, values["data"], options), options.work


def refuse_file(path: Path) -> None:
    """Refuse to write a folder where a file stands.

    Raises:
        UsageError: There is a file.
    """
    if path.is_file():
        raise UsageError(Text("cli.output_is_file", path=str(path)))
