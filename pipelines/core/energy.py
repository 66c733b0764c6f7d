"""Energy that the processors of this machine used during a run, where the system tells it.

Linux counts it for each processor package (RAPL, `/sys/class/powercap`), often readable by root
alone, and not in a virtual machine. The counters run for the whole machine, whoever works on it,
and start again from 0 after some 10 to 60 minutes of full load, so they are read every few seconds.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from pipelines.core.files import write_json

ENERGY: Final = "energy.json"
_COUNTERS: Final = Path("/sys/class/powercap")
_READ_EVERY_S: Final = 10.0


class EnergyMeter:
    """Add up what the processor packages use while it is entered.

    Args:
        counters: Folder of the counters; tests bring their own.
        read_every_s: Seconds between two readings.
    """

    def __init__(self, counters: Path = _COUNTERS, read_every_s: float = _READ_EVERY_S) -> None:
        found = sorted(counters.glob("intel-rapl:[0-9]*")) if counters.is_dir() else []
        self._packages = [p for p in found if p.name.count(":") == 1]
        self._read_every_s = read_every_s
        self._last: list[int] = []
        self._used_uj = 0
        self._is_readable = bool(self._packages)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_reading, daemon=True)

    def __enter__(self) -> EnergyMeter:
        self.read()
        if self._is_readable:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        self.read()

    @property
    def joules(self) -> float | None:
        """Energy so far, or None where the counters cannot be read."""
        return self._used_uj / 1e6 if self._is_readable else None

    def read(self) -> None:
        """Read the counters once; one that went back began again from 0."""
        if not self._is_readable:
            return
        try:
            now = [int((p / "energy_uj").read_text()) for p in self._packages]
            ranges = [int((p / "max_energy_range_uj").read_text()) for p in self._packages]
        except (OSError, ValueError):  # root alone may read them, or a driver does not answer
            self._is_readable = False
            return
        for new, old, span in zip(now, self._last or now, ranges, strict=True):
            self._used_uj += new - old if new >= old else new - old + span
        self._last = now

    def _keep_reading(self) -> None:
        while not self._end.wait(self._read_every_s):
            self.read()


@contextmanager
def metered(folder: Path, counters: Path = _COUNTERS) -> Iterator[None]:
    """Keep the energy of one sitting in `energy.json` of a run, added to that of earlier ones.

    A sitting that was killed leaves its file open, and the sum is not known any more.
    """
    file, earlier = folder / ENERGY, energy_of(folder)
    if file.is_file() and earlier is None:
        yield
        return
    meter = EnergyMeter(counters)
    with meter:
        if meter.joules is None:
            yield
            return
        write_json(file, {"energy_j": None})
        try:
            yield
        finally:
            meter.read()
            total = None if meter.joules is None else (earlier or 0.0) + meter.joules
            write_json(file, {"energy_j": total})


def energy_of(folder: Path) -> float | None:
    """Return the energy of a run in joule, or None where it is not known."""
    try:
        found = json.loads((folder / ENERGY).read_bytes())["energy_j"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(found) if isinstance(found, (int, float)) else None
