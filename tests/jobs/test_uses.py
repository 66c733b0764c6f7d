"""Data and weights that a run needs are not taken away from under it."""

from pathlib import Path

import pytest

from pipelines.core.files import parse_json, write_json
from pipelines.errors import JobError, RunConflictError
from pipelines.jobs import store
from pipelines.jobs.store import NewRun, Status
from pipelines.jobs.uses import refuse_used_checkpoint, refuse_used_dataset
from pipelines.text import LANGUAGES, render


def put(run, status: Status):
    write_json(run.folder / "state.json", {"status": status.value})
    return run.reread()


def test_data_of_a_waiting_run_stay(new_run, settings) -> None:
    run = new_run()
    assert run.status is Status.QUEUED
    with pytest.raises(RunConflictError) as caught:
        refuse_used_dataset(run.request.dataset_id, settings)
    for language in LANGUAGES:
        assert run.short_id in render(caught.value.text, language)
    refuse_used_dataset("another-1", settings)


@pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED, Status.CANCELLED])
def test_data_of_a_run_that_ended_may_go(new_run, settings, status: Status) -> None:
    run = put(new_run(), status)
    refuse_used_dataset(run.request.dataset_id, settings)
    refuse_used_checkpoint(run.folder / "checkpoint", settings)


def test_data_of_a_paused_run_stay(new_run, settings) -> None:
    """It would go on from where it paused, and find its images gone."""
    run = put(new_run(), Status.PAUSED)
    with pytest.raises(RunConflictError):
        refuse_used_dataset(run.request.dataset_id, settings)


def test_the_model_that_a_run_predicts_with_stays(new_run, settings, tmp_path: Path) -> None:
    trained = put(new_run(), Status.FINISHED)
    model = trained.folder / "checkpoint"
    model.mkdir()
    refuse_used_checkpoint(model, settings)
    new = NewRun("fake", "predict", {}, trained.dataset(), checkpoint=model)
    predicting = store.create_run(new, settings)
    with pytest.raises(RunConflictError) as caught:
        refuse_used_checkpoint(model, settings)
    assert caught.value.text.params["run"] == predicting.short_id
    refuse_used_checkpoint(tmp_path / "another", settings)


def test_the_model_that_a_training_starts_from_or_writes_stays(new_run, settings, tmp_path) -> None:
    first = tmp_path / "models" / "first"
    first.mkdir(parents=True)
    run = new_run()
    request = parse_json((run.folder / "request.json").read_bytes())
    request["config"]["initial_checkpoint"] = str(first)
    write_json(run.folder / "request.json", request)
    for folder in (first, run.folder / "checkpoint"):
        with pytest.raises(RunConflictError):
            refuse_used_checkpoint(folder, settings)
    refuse_used_checkpoint(tmp_path / "models", settings)


def test_a_run_that_was_deleted_in_another_tab_says_so(new_run) -> None:
    """Both tabs showed the run; the second one to delete it met a missing folder."""
    run = put(new_run(), Status.FINISHED)
    store.delete_run(run)
    with pytest.raises(JobError) as caught:
        store.delete_run(run)
    for language in LANGUAGES:
        assert run.run_id in render(caught.value.text, language)
