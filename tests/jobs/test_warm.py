from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.errors import CheckpointNotFoundError, ComputeError
from pipelines.jobs.warm import WarmProcess, warm_call
from pipelines.settings import REPOSITORY
from pipelines.text import render
from tests.jobs.conftest import wait_until

WHO = "pipelines.jobs.warm:process_number"


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmProcess]:
    process = WarmProcess(idle_s=60)
    yield process
    process.close()


def test_calls_are_answered_by_one_other_process(warm: WarmProcess) -> None:
    first, second = warm.call(WHO), warm.call(WHO)
    assert first == second != os.getpid()


def test_what_a_person_can_mend_crosses_over_with_its_text(warm: WarmProcess) -> None:
    with pytest.raises(CheckpointNotFoundError) as caught:
        warm.call("pipelines.core.checkpoints:find_checkpoint", Path("/nowhere"))
    assert "/nowhere" in render(caught.value.text, "fr")


def test_a_call_that_takes_too_long_is_broken_off_and_the_next_one_answered(
    warm: WarmProcess,
) -> None:
    before = warm.call(WHO)
    with pytest.raises(ComputeError) as caught:
        warm.call("pipelines.jobs.warm:wait", 30.0, timeout_s=0.3)
    assert "0.3 s" in render(caught.value.text, "en")
    assert "0,3\N{NO-BREAK SPACE}s" in render(caught.value.text, "fr")
    wait_until(lambda: not psutil.pid_exists(before), 10)
    assert warm.call(WHO) != before


def test_a_process_that_dies_is_told_and_replaced(warm: WarmProcess) -> None:
    before = warm.call(WHO)
    psutil.Process(before).kill()
    wait_until(lambda: not psutil.pid_exists(before) or _is_zombie(before), 10)
    with pytest.raises(ComputeError) as caught:
        warm.call(WHO)
    assert "ended unexpectedly" in render(caught.value.text, "en")
    assert "s’est arrêté de façon inattendue" in render(caught.value.text, "fr")
    assert warm.call(WHO) != before


def test_it_closes_when_nobody_asks_and_starts_again(warm: WarmProcess) -> None:
    idle = WarmProcess(idle_s=0.2)
    number = idle.call(WHO)
    wait_until(lambda: not idle.is_running, 10)
    wait_until(lambda: not psutil.pid_exists(number), 10)
    assert idle.call(WHO) != number
    idle.close()
    assert not idle.is_running


@pytest.mark.parametrize("name", ["os:system", "pipelines.text", "pipelinesx:f", "pipelines:a.b"])
def test_only_functions_of_the_product_are_called(name: str) -> None:
    with pytest.raises(ValueError, match="pipelines"):
        warm_call(name, "true")


def _is_zombie(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_script_that_is_imported_once_more_starts_no_chain_of_processes(tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text(
        "import time\n"
        "from pipelines.jobs import warm\n"
        "warm.load_torch = warm.process_number\n"
        "warm.prewarm_later(1)  # by then the import of the script is over\n"
        "if __name__ == '__main__':\n"
        "    import psutil\n"
        "    time.sleep(5)\n"
        "    mine = psutil.Process().children(recursive=True)\n"
        "    print(sum('spawn_main' in ' '.join(p.cmdline()) for p in mine))\n"
        "    warm.close_warm()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.stdout.split() == ["1"]
