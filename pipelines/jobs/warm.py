"""Answer short questions (one image, one slider) in one warm process beside the dashboard.

torch, its memory and its crashes stay out of the pages. The process starts with the first question,
closes when nobody has asked for a while, and is replaced when it broke or took too long.
"""

from __future__ import annotations

import atexit
import importlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pipelines.errors import ComputeError, PipelineError
from pipelines.text import Text

if TYPE_CHECKING:  # loaded with the first question, not with the first page
    from concurrent.futures import ProcessPoolExecutor

IDLE_S: Final = 600.0
TIMEOUT_S: Final = 120.0
_CHECK_EVERY_S: Final = 5.0


class WarmProcess:
    """Keep one worker process for as long as it is asked something.

    Attributes:
        idle_s: How long it stays without a question, in seconds.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self.idle_s = idle_s
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._num_waiting = 0
        self._last_use = time.monotonic()

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._pool is not None

    def call(self, function_name: str, *arguments: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """Run `module:function` of `pipelines` in the warm process and return its result.

        Args:
            function_name: `pipelines.some.module:function`; anything else is refused.
            *arguments: Positional arguments, plain data that can be sent to a process.
            timeout_s: How long to wait; then the process is ended and the next call starts another.

        Raises:
            PipelineError: What the function raised, or `ComputeError` when the process died or
                took too long.
        """
        check_name(function_name)
        pool = self._enter()
        try:
            return pool.submit(_call, function_name, arguments).result(timeout=timeout_s)
        except FutureTimeoutError as error:
            self._replace(pool)
            raise ComputeError(Text("jobs.warm_timeout", seconds=timeout_s)) from error
        except BrokenExecutor as error:
            self._replace(pool)
            raise ComputeError(Text("jobs.warm_broken")) from error
        except MemoryError as error:
            raise ComputeError(Text("jobs.out_of_memory")) from error
        finally:
            self._leave()

    def prewarm(self, function_name: str = "pipelines.jobs.warm:load_torch") -> Future[Any]:
        """Start the process and let it import what is slow, without waiting for it."""
        check_name(function_name)
        pool = self._enter()
        try:
            future = pool.submit(_call, function_name, ())
        except BrokenExecutor as error:
            self._replace(pool)
            raise ComputeError(Text("jobs.warm_broken")) from error
        finally:
            self._leave()
        return future

    def close(self) -> None:
        """End the process, if it runs."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            _end(pool)

    def _enter(self) -> ProcessPoolExecutor:
        with self._lock:
            self._num_waiting += 1
            if self._pool is None:
                import multiprocessing
                from concurrent.futures import ProcessPoolExecutor

                # spawn everywhere: a forked copy of a server with threads may hang
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(
                    max_workers=1, mp_context=context, initializer=_end_with_parent
                )
                threading.Thread(
                    target=self._close_when_idle, args=(self._pool,), daemon=True
                ).start()
            return self._pool

    def _leave(self) -> None:
        with self._lock:
            self._num_waiting -= 1
            self._last_use = time.monotonic()

    def _replace(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        _end(pool)

    def _close_when_idle(self, pool: ProcessPoolExecutor) -> None:
        while self._pool is pool:
            time.sleep(min(_CHECK_EVERY_S, self.idle_s / 4))
            with self._lock:
                is_idle = time.monotonic() - self._last_use > self.idle_s
                if self._pool is not pool or self._num_waiting or not is_idle:
                    continue
                self._pool = None
            _end(pool)


def warm_call(function_name: str, *arguments: Any, timeout_s: float = TIMEOUT_S) -> Any:
    """Run `pipelines.module:function` in the warm process of this server; see `WarmProcess`."""
    return _process.call(function_name, *arguments, timeout_s=timeout_s)


def prewarm() -> None:
    """Start the warm process and import torch in it, without waiting."""
    _process.prewarm()


def prewarm_later(after_s: float) -> None:
    """Prewarm once the page that is drawn now had the processor to itself."""
    timer = threading.Timer(after_s, _prewarm_quietly, (prewarm,))
    timer.daemon = True
    timer.start()


def _prewarm_quietly(start: Callable[[], None]) -> None:
    """Start the warm process, in the process of the server alone.

    The warm process imports the script of the server once more. Where that draws a page, as a
    script without `if __name__ == "__main__"` does, it would start a warm process of its own, and
    so would that one.
    """
    import multiprocessing

    if multiprocessing.parent_process() is not None:
        return
    with suppress(PipelineError):  # whoever asks a question meets the same, and is told
        start()


def close_warm() -> None:
    """End the warm process of this server."""
    _process.close()


def load_torch() -> str:
    """Import torch and return its version."""
    import torch

    return str(torch.__version__)


def process_number() -> int:
    """Return the number of the process that answers, which shows that it is another one."""
    return os.getpid()


def wait(seconds: float) -> None:
    """Do nothing for a while; what tests of a slow answer ask for."""
    time.sleep(seconds)


def check_name(function_name: str) -> None:
    """Refuse a function that is not one of `pipelines`.

    Raises:
        ValueError: Another name; names come from the code of pages, never from a user.
    """
    module, colon, name = function_name.partition(":")
    if not colon or not name.isidentifier() or module.split(".")[0] != "pipelines":
        raise ValueError(f"{function_name!r} is not of the form 'pipelines.module:function'")


def _call(function_name: str, arguments: tuple[Any, ...]) -> Any:
    module, _, name = function_name.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    try:
        return function(*arguments)
    except (PipelineError, MemoryError):
        raise
    except RuntimeError as error:
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise MemoryError(str(error)) from None  # torch's own class may not cross over
        raise


def _end_with_parent() -> None:
    """Let this worker end when its server does, even one that was killed and closed nothing."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a worker"

    def wait_and_end() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=wait_and_end, daemon=True).start()


def _end(pool: ProcessPoolExecutor) -> None:
    """End the worker now, whatever it is doing."""
    processes = list((pool._processes or {}).values())  # no public way before Python 3.14
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=5)
        if process.is_alive():
            process.kill()


_process = WarmProcess()
atexit.register(close_warm)
