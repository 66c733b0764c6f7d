"""Commands that work: train, predict, score, compare."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipelines import config as configs
from pipelines import registry, studies
from pipelines.cli.ending import (
    BUG,
    INTERRUPTED,
    MISTAKE,
    OK,
    end_code,
    figure,
    run_json,
    show_scores,
    work_here,
)
from pipelines.cli.options import Options, open_data, preset_of, refuse_file
from pipelines.commands import Terminal, Values
from pipelines.contract import DatasetRecord, Task
from pipelines.jobs import store
from pipelines.jobs.store import NewRun, Run, Status
from pipelines.studies import commands as study_commands
from pipelines.terminal import ConsoleTerminal
from pipelines.text import Text, verbatim


def train(values: Values, terminal: Terminal) -> int:
    """Train a model in this process, or the several of a study, and say its scores."""
    from pipelines import actions

    task = registry.get_task(values["task"])
    options = Options.of(task, values)
    config = configs.parse(task.config_type, {**preset_of(task, values), **options.work})
    folder = Path(values["run"])
    is_study = study_commands.wanted(values) is not None
    record = open_data(task, values["data"], options)
    if is_study:
        return _end_study(_train_study(task, record, config, values, terminal), terminal)
    new = NewRun(
        task_id=task.id,
        action="train",
        config=configs.to_json(config),
        record=record,
        split=task.split(record, config),
        title=values.get("title", ""),
        preset=values.get("preset", ""),
        seed=int(getattr(config, "seed", 0)),
    )
    run = work_here(store.create_run(new, folder=folder.resolve()), terminal)
    if (code := end_code(run, terminal)) != OK:
        return code
    scores = run.scores()
    terminal.say(Text("cli.trained", folder=str(run.checkpoint)))
    show_scores(task, scores, record, terminal)
    if run.has_leak:
        terminal.say(Text("leaks.words"))
    report = {**run_json(run), "checkpoint": str(run.checkpoint), "scores": scores}
    terminal.result(actions.plain_numbers(report))
    return OK


def _train_study(
    task: Task, record: DatasetRecord, config: Any, values: Values, terminal: Terminal
) -> studies.Study:
    def work_one(run: Run) -> Run:
        return work_here(run, terminal)

    return study_commands.train(task, record, config, values, terminal, work_one)


def _end_study(study: studies.Study, terminal: Terminal) -> int:
    """Say which runs did not end well, and return the exit status."""
    if study.status is Status.FINISHED:
        return OK
    assert isinstance(terminal, ConsoleTerminal)
    failed = [run for run in study.runs() if run is not None and run.status is Status.FAILED]
    for run in failed:
        terminal.fail(run.error or Text("study.run_failed", run=str(run.folder)))
    if failed and study.wish is None:
        return MISTAKE
    terminal.fail(Text("study.left_resumable", folder=str(study.folder)))
    return INTERRUPTED


def predict(values: Values, terminal: Terminal) -> int:
    """Predict data with a checkpoint into a folder of the user; the run itself is thrown away."""
    from pipelines import actions
    from pipelines.core.checkpoints import find_checkpoint, load_card

    task = registry.get_task(values["task"])
    checkpoint = find_checkpoint(Path(values["checkpoint"]))
    card = load_card(checkpoint, task_id=task.id)
    options = Options.of(task, values)
    config = actions.prediction_config(task, card, options.work)
    output = Path(values["output"])
    refuse_file(output)
    record = open_data(task, values["input"], options)
    predicted = [i.item_id for i in record.items] if "all" in values else []
    new = NewRun(
        task.id, "predict", configs.to_json(config), record, checkpoint=checkpoint,
        parent_run=card.run_id, output=output, item_ids=tuple(predicted),
    )  # fmt: skip
    run = work_here(store.create_run(new, folder=Path(tempfile.mkdtemp()) / "run"), terminal)
    code, scores = end_code(run, terminal), run.scores()
    if code == BUG:
        return code  # the folder stays, its log tells what happened
    shutil.rmtree(run.folder.parent, ignore_errors=True)
    if code != OK:
        return code
    predicted = predicted or list(task.default_items(record))
    terminal.say(Text("cli.predicted", folder=str(output), items=task.items_text(len(predicted))))
    show_scores(task, scores, record, terminal)
    if scores and card.has_leak:
        terminal.say(Text("leaks.words"))
    terminal.result(
        {"output": str(output), "items": predicted, "scores": actions.plain_numbers(scores)}
    )
    return OK


def evaluate(values: Values, terminal: Terminal) -> int:
    """Score a written prediction against labels."""
    from pipelines import actions

    task = registry.get_task(values["task"])
    # resolved, so that a sentence about "." names the folder
    folder, truth = Path(values["prediction"]).resolve(), Path(values["truth"]).resolve()
    _, scores = actions.run_evaluation(task, folder, truth)
    (part,) = scores.parts.values()
    point = scores.operating_point
    terminal.table(
        [(verbatim(n), figure(v, part.intervals.get(n))) for n, v in part.metrics.items()]
        + [(verbatim(n), Text("cli.number", value=v)) for n, v in point.thresholds.items()]
    )
    terminal.say(Text(f"cli.source.{point.source}", n=len(part.item_ids)))
    result: dict[str, Any] = {**part.metrics, **point.thresholds, "threshold_source": point.source}
    result |= {"intervals": part.intervals, "interval_unit": part.interval_unit}
    result |= {"items": list(part.item_ids)}
    terminal.result(actions.plain_numbers(result))
    return OK


def compare(values: Values, terminal: Terminal) -> int:
    """Compare runs; see `pipelines.compare.command`, which other commands need not load."""
    from pipelines.compare.command import run_command

    return run_command(values, terminal)
