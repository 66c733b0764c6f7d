"""Say which code, which packages and which machine made a run or a checkpoint."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.core.device import DeviceInfo, list_devices, num_usable_cores

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "scikit-image", "scikit-learn",
    "opencv-python-headless", "pillow", "safetensors", "tifffile", "imagecodecs", "zarr",
    "segmentation-models-pytorch", "timm", "monai", "onnx", "onnxruntime", "onnxscript", "typst",
)  # fmt: skip


@functools.cache
def code_version() -> str:
    """Return the commit of the code, with "+changes" behind it where files differ from it.

    Outside of git it is the version of the package with a fingerprint of its sources.
    """
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return f"{_package_version()} (sources {_source_fingerprint()})"
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changed else commit


@functools.cache
def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_machine(wish: str) -> dict[str, Any]:
    """Describe the machine and the device that a wish means on it, without importing torch.

    Args:
        wish: Option of the run: "auto", "cpu", "cuda" or "mps".

    Returns:
        Plain JSON values; no name of the machine or its user.
    """
    devices = list_devices()
    chosen = next((d for d in devices if d.kind == wish), devices[0])
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": num_usable_cores(),
        "device_wish": wish,
        "device": _device(chosen),
    }


def _device(device: DeviceInfo) -> dict[str, Any]:
    name = (_processor_name() or device.name) if device.kind == "cpu" else device.name
    return {"kind": device.kind, "name": name, "memory_bytes": device.memory_bytes}


@functools.cache
def _processor_name() -> str:
    """Return the maker's name of the processor, "" where the system keeps it elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")


def _package_version() -> str:
    try:
        project = tomllib.loads((_REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def _source_fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted((_REPOSITORY / "pipelines").rglob("*.py")):
        digest.update(path.relative_to(_REPOSITORY).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(_REPOSITORY), *arguments],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
