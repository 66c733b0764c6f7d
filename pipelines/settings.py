"""Where things lie on this machine; the only reader of the environment.

| variable | meaning | default |
|---|---|---|
| `MICROSCOPY_HOME` | folder of runs, registered data sets and caches | the repository folder |
| `MICROSCOPY_DATA_ROOTS` | where server paths may lie, separated like `PATH` | `load_settings` |
| `MICROSCOPY_USER` | owner written into new records | the login name |
| `MICROSCOPY_MAX_RUNS` | how many runs work at once, the others wait | 1 |
| `MICROSCOPY_MAX_UPLOAD_MB` | largest upload or unpacked archive | 4000 |
"""

from __future__ import annotations

import getpass
import locale
import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ConfigError
from pipelines.text import Text

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """Hold the folders and limits of this installation.

    Attributes:
        home: Folder that `runs/` and `data/` are created in.
        data_roots: Folders that data may be read from by path.
        owner: Name written into new records.
        max_input_bytes: Largest upload, and largest content of an archive.
        max_runs: How many runs work at once.
    """

    home: Path
    data_roots: tuple[Path, ...]
    owner: str
    max_input_bytes: int
    max_runs: int = 1

    @property
    def runs(self) -> Path:
        """Folder with one folder a run."""
        return self.home / "runs"

    @property
    def data(self) -> Path:
        """Folder of registered data sets and uploads."""
        return self.home / "data"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints that come with the product."""
        return REPOSITORY / "checkpoints"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Server paths may lie below the home folder of this installation and, unless roots are named,
    below the folder that holds the repository and the user's own folder.

    Raises:
        ConfigError: A variable that should hold a number does not.
    """
    home = Path(os.environ.get("MICROSCOPY_HOME", REPOSITORY)).expanduser().resolve()
    listed = os.environ.get("MICROSCOPY_DATA_ROOTS", "")
    named = [Path(p).expanduser().resolve() for p in listed.split(os.pathsep) if p]
    roots = named or [REPOSITORY.parent, Path.home().resolve()]
    return Settings(
        home=home,
        data_roots=(home, *roots),
        owner=os.environ.get("MICROSCOPY_USER") or _login_name(),
        max_input_bytes=_whole("MICROSCOPY_MAX_UPLOAD_MB", 4000) * 1_000_000,
        max_runs=_whole("MICROSCOPY_MAX_RUNS", 1),
    )


def _whole(name: str, default: int) -> int:
    """Read a variable that holds a number from 1 on."""
    got = os.environ.get(name) or str(default)
    try:
        return max(1, int(got))
    except ValueError:
        raise ConfigError(Text("files.no_number", name=name, got=got)) from None


def system_language() -> str:
    """Return the language that the terminal is set to ("fr_FR.UTF-8"), or ""."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return value
    return locale.getlocale()[0] or ""


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        return "local"
