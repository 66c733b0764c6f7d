"""Which processor computes, in which precision, with how much memory.

What a page needs (`list_devices`, `DeviceInfo.meaning`) asks the system, not torch, so that drawing
a form stays instant; what a worker needs (`choose_device`, `autocast`) asks torch.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from pipelines.errors import NoDeviceError
from pipelines.text import Text

if TYPE_CHECKING:
    import torch

DeviceKind = Literal["cpu", "cuda", "mps"]
DeviceWish = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "full"]
DEVICE_WISHES: Final[tuple[DeviceWish, ...]] = get_args(DeviceWish)

_FALLBACK_MEMORY_BYTES: Final = 2_000_000_000  # a system that tells nothing: assume a small one


@dataclass(frozen=True)
class DeviceInfo:
    """Describe a device as the system reports it.

    Attributes:
        kind: "cpu", "cuda" or "mps".
        name: The maker's name.
        memory_bytes: Memory of a GPU; memory that is free now for the CPU.
        num_cores: Cores that this process may use.
        has_bf16: Whether the CPU multiplies bfloat16 matrices in hardware.
    """

    kind: DeviceKind
    name: str
    memory_bytes: int
    num_cores: int
    has_bf16: bool = False

    @property
    def meaning(self) -> Text:
        """One sentence: what computing on it means in time."""
        name = "cpu_bf16" if self.kind == "cpu" and self.has_bf16 else self.kind
        return Text(
            f"compute.device.{name}",
            name=self.name,
            memory=self.memory_bytes,
            n=self.num_cores,
        )


@functools.cache
def list_devices() -> tuple[DeviceInfo, ...]:
    """List the devices of this machine, the fastest first, without importing torch."""
    cores = num_usable_cores()
    found = [DeviceInfo("cuda", name, memory, cores) for name, memory in _nvidia_gpus()[:1]]
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.append(DeviceInfo("mps", "Apple GPU", free_memory_bytes(), cores))
    flags = _cpu_flags()
    has_bf16 = bool({"amx_bf16", "avx512_bf16"} & flags)
    name = platform.processor() or platform.machine()
    return (*found, DeviceInfo("cpu", name, free_memory_bytes(), cores, has_bf16))


def describe_wish(wish: DeviceWish) -> Text:
    """Say what a choice in the form means on this machine, in time.

    Args:
        wish: The option's value; "auto" means the fastest device there is.
    """
    devices = list_devices()
    if wish == "auto":
        if devices[0].kind == "cpu":
            return Text("compute.device.no_gpu", n=devices[0].num_cores)
        return Text("compute.device.auto", choice=devices[0].meaning)
    for device in devices:
        if device.kind == wish:
            return device.meaning
    return Text("compute.device.absent", wish=wish.upper())


def choose_device(wish: DeviceWish) -> torch.device:
    """Return the torch device that a wish names.

    Raises:
        NoDeviceError: The wished device is not there, or torch was built without it.
    """
    import torch

    usable: list[DeviceKind] = ["cpu"]
    if torch.backends.mps.is_available():
        usable.insert(0, "mps")
    if torch.cuda.is_available():
        usable.insert(0, "cuda")
    if wish == "auto":
        return torch.device(usable[0])
    if wish not in usable:
        allowed = ", ".join(["auto", *usable])
        raise NoDeviceError(Text("compute.no_device", wish=wish, allowed=allowed))
    return torch.device(wish)


def autocast_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype | None:
    """Return the reduced precision that is faster on a device, or None for float32.

    bfloat16 keeps float32's range and so needs no loss scaling. Without matrix units for it a CPU
    only emulates it, slower than float32. Measured for a 16-channel U-Net on 512 x 512, two cores
    with AMX, time for a section: float32 189 ms, channels last 122 ms, and with bfloat16 42 ms.
    """
    import torch

    if precision == "full":
        return None
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if supported else torch.float16
    if device.type == "cpu" and cpu_has_bf16():
        return torch.bfloat16
    return None


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[object]:
    """Return a context in which the model's matrix products run in the device's fast precision."""
    import torch

    dtype = autocast_dtype(device, precision)
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def cpu_has_bf16() -> bool:
    """Tell whether torch may use bfloat16 matrix units of this CPU (AMX or AVX512-BF16)."""
    import torch

    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return torch.backends.mkldnn.is_available() and any(  # type: ignore[no-untyped-call]
        bool(getattr(torch.cpu, name, bool)()) for name in probes
    )


def num_usable_cores() -> int:
    """Count the cores that this process may use: affinity and container quota respected."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _read_words(Path("/sys/fs/cgroup/cpu.max"))
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, max(1, round(int(quota[0]) / int(quota[1]))))
    return cores


def free_memory_bytes(device: torch.device | None = None) -> int:
    """Return the memory that a computation may still take.

    Args:
        device: A GPU, or None for main memory (container limits respected).
    """
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    free = _system_memory_bytes()
    limit = _read_words(Path("/sys/fs/cgroup/memory.max"))
    used = _read_words(Path("/sys/fs/cgroup/memory.current"))
    if limit and used and limit[0] != "max":
        free = min(free, max(0, int(limit[0]) - int(used[0])))
    return free


def _system_memory_bytes() -> int:
    for line in _read_lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _windows_memory_bytes()
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names:  # macOS tells the total only; half of it is taken as free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return _FALLBACK_MEMORY_BYTES


def _windows_memory_bytes() -> int:
    """Read `ullAvailPhys` of the system's MEMORYSTATUSEX: two 32-bit and seven 64-bit words."""
    status = (ctypes.c_uint64 * 8)()
    ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - the name exists on Windows only
    return int(status[2]) if kernel.GlobalMemoryStatusEx(status) else _FALLBACK_MEMORY_BYTES


def _nvidia_gpus() -> list[tuple[str, int]]:
    """Ask the driver's own tool for name and memory of each GPU; none if it does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [gpu for gpu in map(_parse_gpu, answer.stdout.splitlines()) if gpu is not None]


def _parse_gpu(line: str) -> tuple[str, int] | None:
    name, _, mebibytes = line.rpartition(",")
    if not mebibytes.strip().isdigit():
        return None
    return name.strip(), int(mebibytes) * 2**20


def _cpu_flags() -> frozenset[str]:
    for line in _read_lines(Path("/proc/cpuinfo")):
        if line.startswith("flags"):
            return frozenset(line.split())
    return frozenset()


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _read_words(path: Path) -> list[str]:
    return [word for line in _read_lines(path) for word in line.split()]
