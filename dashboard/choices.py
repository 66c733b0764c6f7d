"""What a task's page is about: the chosen data set, model and run, each kept in the address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.address import keep, restore
from dashboard.words import number, say, tr
from pipelines import datasets
from pipelines.contract import HONEST_FIRST, DatasetRecord, Task
from pipelines.core.checkpoints import RUN_SUBFOLDER, CheckpointEntry
from pipelines.evidence.models import all_checkpoints
from pipelines.jobs.store import Run, list_runs, short_id_of
from pipelines.settings import load_settings
from pipelines.text import Text


@dataclass(frozen=True)
class Choices:
    """Hold what the page is about.

    Attributes:
        record: Chosen data set.
        model: Chosen checkpoint, or None when there is none.
        run: Run that scored this model on these data, shown on Evaluate, or None.
    """

    record: DatasetRecord
    model: CheckpointEntry | None
    run: Run | None


@st.cache_resource(show_spinner=False)
def builtin_sample(task_id: str) -> DatasetRecord:
    """Return the task's built-in sample, written on first use."""
    from pipelines.registry import get_task

    return datasets.builtin_sample(get_task(task_id), load_settings())


def list_records(task: Task) -> dict[str, DatasetRecord]:
    """List the task's data sets by id, the built-in sample first."""
    with st.spinner(tr("pages.making_sample")):  # seen at the very first visit only
        sample = builtin_sample(task.id)
    others = datasets.list_datasets(load_settings(), task.id)
    return {r.dataset_id: r for r in (sample, *others)}


def list_models(task: Task) -> dict[str, CheckpointEntry]:
    """List the task's checkpoints by name, those that come with the product first."""
    found = all_checkpoints(task.id, load_settings())
    return {model_name(entry): entry for entry in found}


def model_name(entry: CheckpointEntry) -> str:
    """Return the name of a checkpoint in the address."""
    if entry.is_imported:
        return f"imported-{entry.folder.name}"
    return entry.folder.name if entry.is_builtin else entry.card.run_id or entry.folder.parent.name


def model_title(entry: CheckpointEntry) -> str:
    """Return what people see of a checkpoint."""
    title = entry.card.title or tr("pages.run_title", run=short_id_of(model_name(entry)))
    if entry.card.has_leak:
        title = f"{title} · {tr('leaks.mark')}"
    return tr("pages.demo_model") if entry.is_builtin else title


def scored_runs(task: Task, record: DatasetRecord) -> dict[str, Run]:
    """List the runs with scores on this data set, newest first."""
    runs = list_runs(load_settings(), task.id)
    return {
        run.run_id: run
        for run in runs
        if run.request.dataset_id == record.dataset_id and (run.folder / "scores.json").is_file()
    }


def model_of_run(run: Run, models: Mapping[str, CheckpointEntry]) -> str | None:
    """Return the name of the model whose scores a run holds, or None when it is gone."""
    folder = run.checkpoint
    if folder is None:
        return None
    here = (folder.resolve(), (folder / RUN_SUBFOLDER).resolve())
    return next((name for name, entry in models.items() if entry.folder.resolve() in here), None)


def read_choices(task: Task) -> Choices:
    """Read data set, model and run from session and address; the pickers stand on the steps.

    The three always belong together: the run is one that scored this model on these data.
    """
    records, models = list_records(task), list_models(task)
    data = restore("data", "choice.data", list(records), next(iter(records)))
    record = records[str(data)]
    keep("data", data if data != next(iter(records)) else None)
    made_with = _models_of_runs(task, record, models)
    _follow_run_of_address(made_with)
    first = next(iter(made_with.values()), next(iter(models), None))
    model = _restore_or_follow("model", "choice.model", list(models), first)
    keep("model", model if model != first else None)
    own = [run_id for run_id, name in made_with.items() if name == model]
    newest = next(iter(own), None)
    run = _restore_or_follow("run", "choice.run", own, newest)
    keep("run", run if run != newest else None)
    return Choices(record, models.get(str(model)), scored_runs(task, record).get(str(run)))


def _models_of_runs(
    task: Task, record: DatasetRecord, models: Mapping[str, CheckpointEntry]
) -> dict[str, str]:
    """Return the scored runs on these data, newest first, each with the name of its model."""
    named = {i: model_of_run(run, models) for i, run in scored_runs(task, record).items()}
    return {run_id: name for run_id, name in named.items() if name is not None}


def _follow_run_of_address(made_with: Mapping[str, str]) -> None:
    """Let a link that newly names a run bring along the model that it scored."""
    asked = st.query_params.get("run")
    if (
        asked is not None
        and asked in made_with
        and asked != st.session_state.get("choice.run_followed")
    ):
        st.session_state["choice.model"] = made_with[asked]
    st.session_state["choice.run_followed"] = asked


def _restore_or_follow(
    name: str, key: str, options: Sequence[str], default: str | None
) -> str | None:
    """Restore a choice; one that stands on the default moves on with it, as to a new run."""
    before = st.session_state.get(f"{key}.default")
    if before not in (None, default) and st.session_state.get(key) == before:
        st.session_state[key] = default
    st.session_state[f"{key}.default"] = default
    return restore(name, key, options, default)


def _told_apart(titles: Mapping[str, str]) -> Callable[[str], str]:
    """Return what a picker says of each name: its title, and the end of its name if titles repeat.

    Streamlit finds a choice again by its words: of two alike it would take the first.
    """
    often = Counter(titles.values())
    return lambda name: (
        titles[name] if often[titles[name]] == 1 else f"{titles[name]} ({short_id_of(name)})"
    )


def pick_data(task: Task) -> None:
    """Draw the picker of the data set."""
    records = list_records(task)
    st.selectbox(
        tr("pages.data"),
        list(records),
        format_func=_told_apart({n: say(datasets.dataset_title(r)) for n, r in records.items()}),
        key="choice.data",
    )


def pick_model(task: Task) -> None:
    """Draw the picker of the model."""
    models = list_models(task)
    if models:
        st.selectbox(
            tr("pages.model"),
            list(models),
            format_func=_told_apart({n: model_title(entry) for n, entry in models.items()}),
            key="choice.model",
        )


def pick_run(task: Task, record: DatasetRecord) -> None:
    """Draw the picker of the run whose scores are shown, among those of the chosen model."""
    models = list_models(task)
    chosen = st.session_state.get("choice.model")
    runs = scored_runs(task, record)
    own = [i for i, name in _models_of_runs(task, record, models).items() if name == chosen]
    if own:
        st.selectbox(
            tr("pages.scored_run"),
            own,
            format_func=_told_apart({n: say(runs[n].title) for n in own}),
            key="choice.run",
        )


def order_parts(parts: Iterable[str]) -> list[str]:
    """Order the scored parts of a run: what the model never saw comes first."""
    return sorted(parts, key=HONEST_FIRST.index)


def score_words(task: Task, run: Run | None) -> str:
    """Write the main figure of a run with its interval and count."""
    scores = run.scores() if run is not None else None
    if run is None or scores is None:
        return tr("pages.no_score")
    name = order_parts(scores["parts"])[0]
    part = scores["parts"][name]
    metric = task.main_metric.name
    value, interval = part["metrics"].get(metric), part["intervals"].get(metric)
    label = say(task.main_metric.label)
    if value is None or value != value:
        return tr("pages.no_score")
    low, high = (number(b) for b in interval) if interval else ("", "")
    text_id = "pages.score_interval" if interval else "pages.score"
    part_name = Text(f"pages.part.{name}")
    items = task.items_text(len(part["item_ids"]))
    words = tr(text_id, metric=label, value=value, low=low, high=high, items=items, part=part_name)
    return f"{words} · {tr('leaks.mark')}" if run.has_leak else words


def scratch_folder(record: DatasetRecord) -> Path:
    """Return the folder for files that panels make of a data set."""
    folder = load_settings().data / "scratch" / record.dataset_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder
