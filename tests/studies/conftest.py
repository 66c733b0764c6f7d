from __future__ import annotations

from tests.jobs.conftest import launched, settings, task

__all__ = ["launched", "settings", "task"]
