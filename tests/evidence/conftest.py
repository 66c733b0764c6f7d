from tests.jobs.conftest import new_run, settings, task  # noqa: F401 - fixtures
