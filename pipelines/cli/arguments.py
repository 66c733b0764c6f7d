"""What stands behind the commands: which arguments each of them takes."""

from __future__ import annotations

from pipelines.commands import JSON, Argument
from pipelines.core.device import DEVICE_WISHES
from pipelines.studies import commands as study_commands
from pipelines.text import Text

TASK = Argument("task", Text("cli.arg.task"), is_required=True)
RUN = Argument("run", Text("cli.arg.run"), is_required=True)
SETTINGS = (
    Argument("--device", Text("cli.arg.device"), "|".join(DEVICE_WISHES)),
    Argument("--set", Text("cli.arg.set"), "NAME=VALUE", is_repeated=True),
)
FORCE = Argument("--force", Text("cli.arg.force"))
TRAIN = (
    TASK,
    Argument("--data", Text("cli.arg.data"), "PATH|sample", is_required=True),
    Argument("--run", Text("cli.arg.run_folder"), "DIR", is_required=True),
    Argument("--preset", Text("cli.arg.preset"), "quick|standard|best"),
    Argument("--time-limit", Text("cli.arg.time_limit"), "SECONDS"),
    *SETTINGS,
    *study_commands.TRAIN_ARGUMENTS,
    Argument("--title", Text("cli.arg.title"), "WORDS"),
    JSON,
)
INSPECT = (
    TASK,
    Argument("--data", Text("cli.arg.data"), "PATH|sample", is_required=True),
    SETTINGS[1],
    JSON,
)
PREDICT = (
    TASK,
    Argument("--checkpoint", Text("cli.arg.checkpoint"), "DIR", is_required=True),
    Argument("--input", Text("cli.arg.input"), "PATH|sample", is_required=True),
    Argument("--output", Text("cli.arg.output"), "DIR", is_required=True),
    Argument("--all", Text("cli.arg.all_items")),
    *SETTINGS,
    JSON,
)
EVALUATE = (
    TASK,
    Argument("--prediction", Text("cli.arg.prediction"), "DIR", is_required=True),
    Argument("--truth", Text("cli.arg.truth"), "PATH", is_required=True),
    JSON,
)
COMPARE = (
    Argument("run", Text("compare.arg_run"), is_required=True, is_repeated=True),
    JSON,
)
WORK = (
    Argument("folder", Text("cli.arg.run_folder"), is_required=True),
    Argument("--queue", Text("cli.arg.queue"), "DIR"),
)
