"""Say which code and which packages made a run or a checkpoint."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "scikit-image", "opencv-python-headless",
    "safetensors", "tifffile", "imagecodecs", "segmentation-models-pytorch", "timm", "monai",
)  # fmt: skip


@functools.cache
def code_version() -> str:
    """Return the commit of the code, with "+changes" behind it, or "unknown" outside of git."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
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


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(_REPOSITORY), *arguments],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
