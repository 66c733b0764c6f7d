"""What holds for every test: an own home folder, and threads that leave room for others."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

HOME = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Point the product at an empty home before anything is imported.

    A test that forgets to name its own folder then writes there, never into the repository.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    config.stash[HOME] = tempfile.mkdtemp(prefix="microscopy-tests-")
    os.environ["MICROSCOPY_HOME"] = config.stash[HOME]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what such tests wrote."""
    shutil.rmtree(config.stash[HOME], ignore_errors=True)
