"""`python -m pipelines` with the fake task as its only one."""

import sys

from pipelines import cli
from tests.jobs.fake_task import install

if __name__ == "__main__":
    install(setattr)
    sys.exit(cli.main(sys.argv[1:]))
