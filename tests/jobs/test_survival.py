"""What happens to a run when processes die, and when a person pauses, stops and resumes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest

from pipelines.errors import RunConflictError
from pipelines.jobs import store
from pipelines.jobs.engines import local
from pipelines.jobs.store import Run, Status
from pipelines.settings import REPOSITORY, Settings
from pipelines.text import render
from tests.jobs.conftest import wait_for, wait_until

NewRunFixture = Callable[..., Run]
pytestmark = pytest.mark.usefixtures("launched")


def test_a_launched_run_finishes_with_checkpoint_scores_curve_and_pictures(
    new_run: NewRunFixture,
) -> None:
    run = wait_for(local.launch(new_run(steps=5)), Status.FINISHED, Status.FAILED)

    assert run.status is Status.FINISHED, run.log_tail()
    assert run.checkpoint is not None
    assert [point["step"] for point in run.metric_points()] == [1, 2, 3, 4, 5]
    assert [p.path.is_file() for p in run.pictures("validation")] == [True]
    scores = run.scores()
    assert scores is not None
    assert scores["parts"]["validation"]["metrics"]["accuracy"] == 1.0
    assert scores["operating_point"] == {"thresholds": {"threshold": 0.5}, "source": "validation"}
    assert run.state.memory_peak_bytes > 1_000_000
    assert run.state.fraction == 1.0
    assert not (run.folder / store.RESERVE).exists()


def test_a_run_finishes_after_the_process_that_launched_it_was_killed(
    new_run: NewRunFixture,
) -> None:
    run = new_run(steps=20, step_ms=50)
    code = (
        "import sys, time; from pathlib import Path;"
        "from pipelines.jobs import store; from pipelines.jobs.engines import local;"
        "command = lambda f, q: [sys.executable, '-m', 'tests.jobs.fake_worker', 'work', str(f),"
        " '--queue', str(q)];"
        "local.worker_command = command;"
        "local.launch(store.read_run(Path(sys.argv[1]))); print('launched', flush=True);"
        "time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(run.folder)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline().strip() == b"launched"
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    assert wait_for(run, Status.FINISHED, Status.FAILED).status is Status.FINISHED


def test_a_launched_worker_leaves_no_zombie_behind(new_run: NewRunFixture) -> None:
    run = local.launch(new_run(steps=3))
    wait_until(lambda: run.reread().state.pid > 0)
    worker = psutil.Process(run.reread().state.pid)

    assert worker.ppid() != os.getpid()
    wait_for(run, Status.FINISHED)
    wait_until(lambda: not psutil.pid_exists(worker.pid), 5)
    assert all(c.status() != psutil.STATUS_ZOMBIE for c in psutil.Process().children())


def test_a_killed_worker_reads_as_lost_and_goes_on_from_its_last_checkpoint(
    new_run: NewRunFixture,
) -> None:
    run = local.launch(new_run(steps=40, step_ms=50))
    wait_until(lambda: run.reread().state.done >= 5)
    psutil.Process(run.reread().state.pid).kill()

    lost = wait_for(run, Status.LOST, seconds=5)
    assert lost.error is not None
    assert "checkpoint" in render(lost.error, "en")
    assert "repren" in render(lost.error, "fr")
    assert lost.checkpoint is not None

    num_points = len(lost.events()[0])
    run = wait_for(local.resume(lost), Status.FINISHED, Status.FAILED)
    assert run.status is Status.FINISHED, run.log_tail()
    steps = [point["step"] for point in run.events()[0]]
    assert steps[num_points] in (num_points, num_points + 1), "it did not start from zero"
    assert [p["step"] for p in run.metric_points()] == list(range(1, 41))


def test_pause_then_resume_does_no_step_twice_and_counts_only_time_at_work(
    new_run: NewRunFixture,
) -> None:
    run = local.launch(new_run(steps=30, step_ms=30))
    wait_until(lambda: run.reread().state.done >= 3)
    local.pause(run)
    paused = wait_for(run, Status.PAUSED, Status.FINISHED)
    assert paused.status is Status.PAUSED
    wait_until(lambda: not psutil.pid_exists(paused.state.pid), 5)

    run = wait_for(local.resume(paused), Status.FINISHED, Status.FAILED)
    assert [point["step"] for point in run.events()[0]] == list(range(1, 31))
    assert run.state.worked_s < (run.state.ended or 0) - (run.state.started or 0)
    assert run.state.worked_s > paused.state.worked_s


def test_a_cancelled_run_keeps_its_checkpoint_and_can_be_resumed(new_run: NewRunFixture) -> None:
    run = local.launch(new_run(steps=30, step_ms=30))
    wait_until(lambda: run.reread().state.done >= 3)
    local.cancel(run)
    run = wait_for(run, Status.CANCELLED, Status.FINISHED)

    assert run.status is Status.CANCELLED
    assert run.checkpoint is not None
    with pytest.raises(RunConflictError):
        local.pause(run)
    assert wait_for(local.resume(run), Status.FINISHED).state.error is None
    with pytest.raises(RunConflictError):
        local.resume(run)


def test_a_run_that_does_not_obey_is_ended_by_a_signal(new_run: NewRunFixture) -> None:
    run = local.launch(new_run(steps=1000, step_ms=50, fault="deaf"))
    wait_until(lambda: run.reread().state.done >= 2)

    stopped = local.force_stop(run, grace_s=0.3)

    assert stopped.status is Status.CANCELLED
    wait_until(lambda: not psutil.pid_exists(stopped.state.pid), 5)
    assert stopped.checkpoint is not None


def test_one_run_works_and_the_other_waits_its_turn(
    new_run: NewRunFixture, settings: Settings
) -> None:
    first = local.launch(new_run(steps=1000, step_ms=50))
    wait_for(first, Status.RUNNING)
    second = local.launch(new_run(steps=3))
    wait_until(lambda: second.reread().state.queue_position == 1)
    third = local.launch(new_run(steps=3))
    wait_until(lambda: third.reread().state.queue_position == 2)
    stage = third.reread().state.stage
    assert stage is not None
    assert "2" in render(stage, "fr")

    local.cancel(second)
    assert wait_for(second, Status.CANCELLED).state.started is None
    wait_until(lambda: third.reread().state.queue_position == 1)
    assert first.reread().status is Status.RUNNING

    local.cancel(first)
    assert wait_for(third, Status.FINISHED).state.queue_position == 0


def test_the_place_in_the_queue_of_a_killed_worker_is_given_to_the_next(
    new_run: NewRunFixture,
) -> None:
    first = local.launch(new_run(steps=1000, step_ms=50))
    wait_for(first, Status.RUNNING)
    second = local.launch(new_run(steps=3))
    wait_until(lambda: second.reread().state.queue_position == 1)
    third = local.launch(new_run(steps=3))
    wait_until(lambda: third.reread().state.queue_position == 2)

    psutil.Process(second.reread().state.pid).kill()
    wait_until(lambda: third.reread().state.queue_position == 1)
    psutil.Process(first.reread().state.pid).kill()

    assert wait_for(third, Status.FINISHED).status is Status.FINISHED
    assert first.reread().status is Status.LOST
