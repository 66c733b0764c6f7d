from tests.jobs.conftest import launched, new_run, settings, task  # noqa: F401 - fixtures
