from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.datasets import register
from pipelines.jobs import store
from pipelines.jobs.engines import local
from pipelines.jobs.store import NewRun, Run, Status
from pipelines.settings import Settings, load_settings
from tests.jobs import fake_task


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MICROSCOPY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return load_settings()


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> fake_task.FakeTask:
    fake_task.install(monkeypatch.setattr)
    return fake_task.FakeTask()


@pytest.fixture
def new_run(task: fake_task.FakeTask, settings: Settings, tmp_path: Path) -> Callable[..., Run]:
    """Create a training run of the fake task; keyword arguments are its options."""

    def create(**options: Any) -> Run:
        file = fake_task.write_values(tmp_path / "values.json")
        record = register(task, file, {}, settings)
        split = task.split(record, None)
        return store.create_run(NewRun("fake", "train", options, record, split), settings)

    return create


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let `launch` start workers that know the fake task; none of them outlives the test."""

    def command(folder: Path, queue: Path) -> list[str]:
        words = ["work", str(folder), "--queue", str(queue)]
        return [sys.executable, "-m", "tests.jobs.fake_worker", *words]

    monkeypatch.setattr(local, "worker_command", command)
    yield
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        # those of tests that run beside this one have folders of their own
        is_mine = any(word.startswith(str(tmp_path)) for word in words)
        if "tests.jobs.fake_worker" in words and is_mine:
            process.kill()


def wait_until(claim: Callable[[], bool], seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.02)


def wait_for(run: Run, *statuses: Status, seconds: float = 20.0) -> Run:
    wait_until(lambda: run.reread().status in statuses, seconds)
    return run.reread()
