"""The whole error hierarchy: one clear, translatable sentence for whatever a user can cause.

    PipelineError
      ConfigError       LeakError
      DataError         DatasetNotFoundError  DataFormatError  MissingUnitsError
      CheckpointError   CheckpointNotFoundError  CheckpointMismatchError
      TaskError         UnknownTaskError  TaskLoadError
      ComputeError      NoDeviceError  DeviceMemoryError  NonFiniteLossError
      JobError          RunNotFoundError  RunConflictError  DiskFullError  NotWritableError

The text says what was got, what is allowed, and what to do next. `missing_package` is for what the
borders (worker, page, terminal) meet that is no `PipelineError`.
"""

from __future__ import annotations

from pipelines.text import DEFAULT_LANGUAGE, Text, render


class PipelineError(Exception):
    """Report something that a user can understand and mend."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.id)
        self.text = text

    def __str__(self) -> str:
        return render(self.text, DEFAULT_LANGUAGE)

    def __reduce__(self) -> tuple[type[PipelineError], tuple[Text]]:
        return type(self), (self.text,)


class ConfigError(PipelineError, ValueError):
    """Report options that do not fit, all of them at once."""


class LeakError(ConfigError):
    """Report a split that leaks; whoever asks for it on purpose gets it, marked for ever."""


class DataError(PipelineError):
    """Report data that cannot be used."""


class DatasetNotFoundError(DataError, FileNotFoundError):
    """Report a path or a data set that is not there."""


class DataFormatError(DataError, ValueError):
    """Report a file or an array of another form than the task reads."""


class MissingUnitsError(DataError, ValueError):
    """Report a physical size that the file does not state and that must be given."""


class CheckpointError(PipelineError):
    """Report a checkpoint that cannot be used."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """Report a folder without weights or card."""


class CheckpointMismatchError(CheckpointError, ValueError):
    """Report weights of another task or another architecture."""


class TaskError(PipelineError):
    """Report a problem with a task folder."""


class UnknownTaskError(TaskError, LookupError):
    """Report a task id that no folder has."""


class TaskLoadError(TaskError, ImportError):
    """Report a task folder that fails to import."""


class ComputeError(PipelineError):
    """Report a computation that could not be finished."""


class NoDeviceError(ComputeError, RuntimeError):
    """Report a device that this machine lacks."""


class DeviceMemoryError(ComputeError, MemoryError):
    """Report that memory ran out, and what to make smaller."""


class NonFiniteLossError(ComputeError, ArithmeticError):
    """Report a training that diverged."""


class JobError(PipelineError):
    """Report a run that cannot be started, read or changed."""


class RunNotFoundError(JobError, LookupError):
    """Report a run folder that is not there."""


class RunConflictError(JobError, RuntimeError):
    """Report an action that does not fit the state of the run."""


class DiskFullError(JobError, OSError):
    """Report that a file could not be written for lack of space."""


class NotWritableError(JobError, OSError):
    """Report a place that may not be written to, or that cannot be a file or folder."""


def missing_package(error: BaseException) -> Text | None:
    """Return the sentence for a package that is not installed, or None for any other error.

    A module of the product itself that is not there is a bug, and none of the reader's business.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    if package in ("pipelines", "dashboard"):
        return None
    return Text("jobs.no_package", package=package)
