from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.core import files
from pipelines.datasets import builtin_sample
from pipelines.errors import DiskFullError, JobError, RunConflictError, RunNotFoundError
from pipelines.jobs import store, worker
from pipelines.jobs.engines import local
from pipelines.jobs.reporter import FolderReporter, fresh_state
from pipelines.jobs.store import NewRun, Run, RunState, Status
from pipelines.settings import Settings
from pipelines.text import Text, render
from tests.jobs import fake_task

NewRunFixture = Callable[..., Run]


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:3])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "_write_through", full)


# --- creating and reading


def test_a_run_folder_says_everything_that_was_asked_for(
    new_run: NewRunFixture, settings: Settings
) -> None:
    run = store.read_run(new_run(steps=7, seed=3).folder)

    assert run.status is Status.QUEUED
    assert run.request.config == {"steps": 7, "seed": 3}
    assert run.request.versions["numpy"] == np.__version__
    assert run.request.owner == settings.owner
    assert run.dataset().items[0].item_id == "i0"
    split = run.split()
    assert split is not None
    assert split.parts["validation"] == ("i4", "i5")


def test_runs_of_one_second_are_listed_newest_first(
    new_run: NewRunFixture, settings: Settings
) -> None:
    made = [new_run().run_id for _ in range(5)]

    assert [run.run_id for run in store.list_runs(settings)] == made[::-1]


def test_creating_a_run_in_a_used_folder_is_refused_and_changes_nothing(
    new_run: NewRunFixture, settings: Settings
) -> None:
    run = new_run()
    before = (run.folder / "request.json").read_bytes()
    new = store.NewRun("fake", "train", {"steps": 1}, run.dataset(), run.split())
    with pytest.raises(RunConflictError, match="not empty"):
        store.create_run(new, settings, folder=run.folder)
    assert (run.folder / "request.json").read_bytes() == before


def test_a_state_survives_json_with_texts_in_no_language() -> None:
    state = RunState(
        Status.FAILED,
        done=2.5,
        stage=Text("jobs.stage.queued", n=2),
        error=Text("jobs.disk_full", file="weights", folder="runs", free=12),
        notes=(Text("jobs.lost"),),
    )
    again = RunState.from_json(json.loads(json.dumps(state.to_json())))
    assert again == state
    assert again.error is not None
    assert "disk is full" in render(again.error, "en")
    assert "disque est plein" in render(again.error, "fr")


def test_runs_are_listed_newest_first_and_by_task(
    new_run: NewRunFixture, settings: Settings
) -> None:
    made = [new_run().run_id for _ in range(3)]
    other = store.read_run(settings.runs / made[0])
    request = json.loads((other.folder / "request.json").read_text())
    (other.folder / "request.json").write_text(
        json.dumps({**request, "task_id": "other", "created": "1999-01-01"})
    )
    assert {r.run_id for r in store.list_runs(settings, "fake")} == set(made[1:])
    assert store.list_runs(settings)[-1].run_id == made[0]


def test_files_that_have_not_changed_are_not_read_again_for_a_list_of_two_thousand_runs(
    new_run: NewRunFixture, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    request = json.loads((run.folder / "request.json").read_text())
    state = replace(run.state, status=Status.FINISHED).to_json()
    for number in range(2000):
        folder = settings.runs / f"copy-{number:04d}"
        folder.mkdir()
        (folder / "request.json").write_text(json.dumps({**request, "run_id": folder.name}))
        (folder / "state.json").write_text(json.dumps(state))
    assert len(store.list_runs(settings)) == 2001
    monkeypatch.setattr(json, "loads", lambda words: pytest.fail("read again"))
    assert len(store.list_runs(settings)) == 2001


def test_a_damaged_state_reads_as_lost_with_one_clear_sentence_and_hides_nothing(
    new_run: NewRunFixture, settings: Settings
) -> None:
    good, bad = new_run(), new_run()
    (bad.folder / "state.json").write_text('{"status": "runn')

    found = {r.run_id: r for r in store.list_runs(settings)}
    assert found[good.run_id].status is Status.QUEUED
    assert found[bad.run_id].status is Status.LOST
    error = found[bad.run_id].error
    assert error is not None
    assert "state.json is damaged" in render(error, "en")
    assert "state.json est endommagé" in render(error, "fr")
    assert local.make_resumable(found[bad.run_id]).status is Status.QUEUED


def test_a_damaged_request_is_a_problem_of_its_own_folder_only(
    new_run: NewRunFixture, settings: Settings
) -> None:
    good, bad = new_run(), new_run()
    (bad.folder / "request.json").write_text("[]")

    listing = store.scan_runs(settings)
    assert [r.run_id for r in listing.runs] == [good.run_id]
    ((folder, problem),) = listing.problems
    assert folder == bad.folder
    assert "damaged" in render(problem, "en")
    assert "endommagé" in render(problem, "fr")
    with pytest.raises(JobError, match="damaged"):
        store.read_run(bad.folder)


def test_a_run_is_found_by_folder_by_name_and_by_the_end_of_its_name(
    new_run: NewRunFixture, settings: Settings
) -> None:
    run = new_run()
    for name in (str(run.folder), run.run_id, run.short_id):
        assert store.find_run(name, settings).run_id == run.run_id
    with pytest.raises(RunNotFoundError) as caught:
        store.find_run("nothing", settings)
    assert "Aucun essai" in render(caught.value.text, "fr")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("dataset.json", Run.dataset),
        ("split.json", Run.split),
        ("scores.json", Run.scores),
        ("statistics.npz", Run.statistics),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"PK\x03\x04half"])
def test_a_damaged_file_of_a_run_is_named_in_both_languages(
    new_run: NewRunFixture, name: str, read: Callable[[Run], object], content: bytes
) -> None:
    run = new_run()
    (run.folder / name).write_bytes(content)
    with pytest.raises(JobError) as caught:
        read(run)
    assert name in render(caught.value.text, "en")
    assert "endommagé" in render(caught.value.text, "fr")


def test_a_full_disk_while_a_run_is_created_leaves_nothing_behind(
    new_run: NewRunFixture, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    fill_disk(monkeypatch)
    with pytest.raises(DiskFullError):
        store.create_run(store.NewRun("fake", "train", {}, run.dataset(), run.split()), settings)
    assert [r.run_id for r in store.list_runs(settings)] == [run.run_id]
    assert len([f for f in settings.runs.iterdir() if f.is_dir()]) == 1


# --- liveness


def test_running_without_a_lock_reads_as_lost_whatever_the_heartbeat_says(
    new_run: NewRunFixture,
) -> None:
    run = new_run()
    store.write_state(run.folder, replace(fresh_state(run.state), status=Status.RUNNING))
    assert run.reread().status is Status.LOST
    with store.lock_of(run.folder):
        assert run.reread().status is Status.RUNNING
    assert run.reread().status is Status.LOST


def test_on_another_machine_the_heartbeat_decides(new_run: NewRunFixture) -> None:
    run = new_run()
    state = replace(run.state, status=Status.RUNNING, host="elsewhere")
    store.write_state(run.folder, replace(state, heartbeat=time.time()))
    assert run.reread().status is Status.RUNNING
    for away_s in (-3600, 3600):  # a clock that was set back would keep it running for an hour
        store.write_state(run.folder, replace(state, heartbeat=time.time() + away_s))
        assert run.reread().status is Status.LOST


def test_sessions_that_create_runs_at_one_moment_get_a_folder_each(
    new_run: NewRunFixture, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both took a name that was free, and the second one wrote over the first one's request."""
    ids = iter(["20260101-000000-0000"] * 2 + ["20260101-000000-0001"])
    monkeypatch.setattr(store, "new_run_id", lambda: next(ids))
    monkeypatch.setattr(Path, "exists", lambda path, **_: False)  # what each of them saw
    first, second = new_run(seed=1), new_run(seed=2)
    assert [first.request.config["seed"], second.request.config["seed"]] == [1, 2]
    assert [r.folder.name for r in (first, second)] == [f"20260101-000000-000{i}" for i in (0, 1)]


def test_a_queued_run_that_no_worker_took_up_reads_as_lost_after_the_grace_time(
    new_run: NewRunFixture,
) -> None:
    run = new_run()
    assert run.status is Status.QUEUED
    store.write_state(run.folder, replace(run.state, heartbeat=time.time() - 3600))
    assert run.reread().status is Status.LOST


def test_a_finished_run_is_not_done_again(new_run: NewRunFixture) -> None:
    run = worker.work(new_run(steps=1).folder)
    with pytest.raises(RunConflictError):
        worker.work(run.folder)
    assert run.reread().status is Status.FINISHED


def test_a_run_that_cannot_be_launched_says_why_and_can_be_resumed(
    new_run: NewRunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local.sys, "executable", "/no/python")
    run = new_run()
    with pytest.raises(JobError) as caught:
        local.launch(run)
    assert "could not be started" in render(caught.value.text, "en")
    assert "n’a pas pu être lancé" in render(caught.value.text, "fr")
    assert run.reread().status.is_resumable


def test_a_run_stopped_before_its_first_checkpoint_is_stopped_and_not_failed(
    new_run: NewRunFixture, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    store.wish(run.folder, "cancel")
    monkeypatch.setattr(type(task), "train", lambda self, data, config, run: run.folder / "none")
    assert worker.work(run.folder).status is Status.CANCELLED


def test_a_second_worker_on_the_same_run_is_refused(
    new_run: NewRunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    monkeypatch.setattr(worker, "LOCK_TIMEOUT_S", 0.1)
    with store.lock_of(run.folder), pytest.raises(RunConflictError):
        worker.work(run.folder)


# --- atomic writing


def test_readers_never_meet_half_a_state(new_run: NewRunFixture) -> None:
    run = new_run()
    seen: list[float] = []
    torn: list[bytes] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            content = (run.folder / "state.json").read_bytes()
            try:
                seen.append(json.loads(content)["done"])
            except ValueError:
                torn.append(content)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    padding = tuple(Text("jobs.lost", padding="x" * 500) for _ in range(20))
    for done in range(60):
        store.write_state(run.folder, RunState(Status.PAUSED, done=float(done), notes=padding))
    is_over.set()
    for reader in readers:
        reader.join()

    assert torn == []
    assert len(set(seen)) > 1, "the readers saw it change"
    assert run.reread().state.done == 59.0
    assert not list(run.folder.glob(".state.json.*"))


def test_a_full_disk_leaves_the_former_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "card.json"
    files.write_json(file, {"a": 1})
    fill_disk(monkeypatch)
    with pytest.raises(DiskFullError) as caught:
        files.write_json(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["card.json"]
    assert "card.json" in render(caught.value.text, "fr")


def test_a_full_disk_while_a_folder_is_filled_leaves_the_former_folder(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    with files.new_folder(target) as fresh:
        (fresh / "weights").write_text("old")
    with pytest.raises(DiskFullError):
        _half_fill(target)
    assert (target / "weights").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


def _half_fill(target: Path) -> None:
    with files.new_folder(target) as fresh:
        (fresh / "weights").write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_end_of_a_run_is_recorded_on_a_full_disk_with_the_space_set_aside(
    new_run: NewRunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    (run.folder / store.RESERVE).write_bytes(b"x" * store.RESERVE_BYTES)
    real = files._write_through

    def full_while_reserved(path: Path, content: bytes) -> None:
        if (run.folder / store.RESERVE).exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(files, "_write_through", full_while_reserved)
    store.write_state(run.folder, RunState(Status.FAILED, error=Text("jobs.out_of_memory")))
    assert run.reread().status is Status.FAILED


def test_a_full_disk_at_a_heartbeat_does_not_end_the_work(
    new_run: NewRunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    reporter = FolderReporter(run.folder, fresh_state(run.state))
    reporter.start()
    real = files._write_through
    fill_disk(monkeypatch)
    reporter.progress(1, 2, Text("jobs.stage.predicting"), None)
    time.sleep(0.3)
    assert json.loads((run.folder / "state.json").read_text())["done"] == 0.0
    monkeypatch.setattr(files, "_write_through", real)
    reporter.end(Status.FINISHED)
    assert run.reread().state.done == 1.0


# --- what the work reports


def test_points_are_read_on_from_an_offset_and_half_a_line_waits(new_run: NewRunFixture) -> None:
    run = new_run()
    events = run.folder / "events.jsonl"
    events.write_text('{"step": 1}\n{"step": 2}\n{"st')
    points, offset = run.events()
    assert [p["step"] for p in points] == [1, 2]
    with events.open("a") as file:
        file.write('ep": 3}\n')
    assert run.events(offset)[0] == [{"step": 3}]


def test_steps_done_again_after_a_resume_replace_the_former_points(new_run: NewRunFixture) -> None:
    run = new_run()
    steps = [(1, 0.9), (2, 0.8), (3, 0.7), (2, 0.6), (3, 0.5)]
    lines = [json.dumps({"step": s, "loss": v}) for s, v in steps]
    lines.append(json.dumps({"step": 3, "validation": 0.4}))
    (run.folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    assert run.metric_points() == [
        {"step": 1, "loss": 0.9},
        {"step": 2, "loss": 0.6},
        {"step": 3, "loss": 0.5},
        {"step": 3, "validation": 0.4},
    ]


def test_time_left_follows_from_the_speed(
    new_run: NewRunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    reporter = FolderReporter(run.folder, fresh_state(run.state))
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for done in range(5):
        reporter.progress(done, 20, Text("jobs.stage.predicting"), None)
        now[0] += 0.5
    assert reporter.state.speed == pytest.approx(2.0)
    assert reporter.state.seconds_left == pytest.approx(8.0)
    reporter.progress(5, 20, Text("jobs.stage.predicting"), 77.0)
    assert reporter.state.seconds_left == 77.0


def test_the_first_item_that_loads_the_model_does_not_tell_the_speed(
    new_run: NewRunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    reporter = FolderReporter(run.folder, fresh_state(run.state))
    now, said = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for done, seconds in enumerate([7.0, 0.5, 0.5, 0.5]):
        reporter.progress(done, 300, Text("jobs.stage.predicting"), None)
        said.append(reporter.state.seconds_left)
        now[0] += seconds
    assert said == [None, None, pytest.approx(298 * 0.5), pytest.approx(297 * 0.5)]


def test_reporting_a_step_never_waits_for_the_disk(
    new_run: NewRunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of its own writes the state through; the training goes on meanwhile."""
    run = new_run()
    reporter = FolderReporter(run.folder, fresh_state(run.state))
    reporter.start()
    waiting: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: waiting.append(threading.get_ident()))
    for step in range(1000):
        reporter.progress(step, 1000, Text("jobs.stage.predicting"), None)
        reporter.metrics({"step": step, "loss": 1.0})
        reporter.stop_wish()
    assert threading.get_ident() not in waiting
    reporter.end(Status.FINISHED)
    assert threading.get_ident() in waiting, "the end is written through before it returns"


def test_pictures_are_kept_in_order_with_captions(new_run: NewRunFixture) -> None:
    from PIL import Image

    run = new_run()
    reporter = FolderReporter(run.folder, fresh_state(run.state))
    for value in (10, 20):
        reporter.picture(
            "validation", np.full((3, 5), value, np.uint8), Text("fake.picture", step=1)
        )
    reporter.picture("other", np.zeros((3, 5, 3), np.uint8), Text("fake.picture", step=2))
    kept = run.pictures("validation")
    assert [np.asarray(Image.open(p.path))[0, 0] for p in kept] == [10, 20]
    assert kept[0].caption == Text("fake.picture", step=1)
    assert len(run.pictures()) == 3


# --- the end of a run


@pytest.mark.parametrize(
    ("fault", "words_en", "words_fr"),
    [
        ("bug", "inside the program (ZeroDivisionError)", "erreur interne"),
        ("data", "values.json” is not a list", "pas une liste"),
        ("memory", "Memory ran out", "mémoire est épuisée"),
        ("disk", "disk is full", "disque est plein"),
    ],
)
def test_a_failed_run_says_why_in_both_languages_and_keeps_its_checkpoint(
    new_run: NewRunFixture, fault: str, words_en: str, words_fr: str
) -> None:
    run = worker.work(new_run(fault=fault, fault_step=3).folder)
    assert run.status is Status.FAILED
    assert run.error is not None
    assert words_en in render(run.error, "en")
    assert words_fr in render(run.error, "fr")
    assert "secret detail" not in render(run.error, "en")
    assert run.checkpoint is not None
    assert [p["step"] for p in run.metric_points()] == [1, 2]


def test_an_option_that_does_not_fit_fails_the_run_with_its_name(new_run: NewRunFixture) -> None:
    run = worker.work(new_run(steps=-1).folder)
    assert run.status is Status.FAILED
    assert "steps" in render(run.error or Text(""), "en")


# --- changing


def test_a_deleted_run_comes_back_as_it_was(new_run: NewRunFixture, settings: Settings) -> None:
    run = worker.work(new_run(steps=2).folder)
    store.delete_run(run)
    assert store.list_runs(settings) == []
    assert store.restore_run(run.run_id, settings) == run


def test_deleting_frees_the_space_of_what_was_deleted_long_ago(
    new_run: NewRunFixture, settings: Settings
) -> None:
    """A person whose disk is full deletes runs; none of them ever left the disk."""
    old, young, last = (worker.work(new_run(steps=1).folder) for _ in range(3))
    thrown = store.delete_run(old)
    store.delete_run(young)
    long_ago = time.time() - store.TRASH_KEPT_S - 1
    os.utime(thrown, (long_ago, long_ago))
    store.delete_run(last)
    assert store.restore_run(young.run_id, settings) == young
    with pytest.raises(RunNotFoundError):
        store.restore_run(old.run_id, settings)


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ""])
def test_only_names_of_the_trash_can_be_restored(settings: Settings, name: str) -> None:
    with pytest.raises(RunNotFoundError):
        store.restore_run(name, settings)


def test_a_run_at_work_cannot_be_deleted(new_run: NewRunFixture) -> None:
    run = new_run()
    with store.lock_of(run.folder), pytest.raises(RunConflictError):
        store.delete_run(run)
    assert run.folder.is_dir()


def test_a_new_title_replaces_the_one_made_of_the_request(new_run: NewRunFixture) -> None:
    run = new_run()
    assert render(run.title, "fr").startswith("Entraînement sur values")
    assert render(store.rename_run(run, " My run ").title, "fr") == "My run"
    assert store.rename_run(run, "").title == run.title


def test_a_run_on_the_built_in_sample_is_named_in_the_language_of_the_reader(
    task: fake_task.FakeTask, settings: Settings
) -> None:
    record = builtin_sample(task, settings)
    split = task.split(record, None)
    run = store.create_run(NewRun("fake", "train", {}, record, split), settings)
    assert render(run.title, "en") == f"Training on the built-in sample ({run.short_id})"
    assert render(run.title, "fr") == f"Entraînement sur l’exemple intégré ({run.short_id})"
