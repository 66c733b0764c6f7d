"""Start a command that outlives whoever asked for it: `python -m pipelines.jobs.engines.detach`.

The asker waits for this process only, which ends at once; the command is then adopted by the
system, so that nobody keeps a zombie and no signal to the asker reaches it.
"""

from __future__ import annotations

import os
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Start `arguments[1:]`, its output appended to the file `arguments[0]`; print its number."""
    log, *command = arguments
    with open(log, "ab") as file:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            close_fds=True,
            start_new_session=os.name == "posix",
            creationflags=_windows_flags(),
        )
    # its end is not waited for on purpose; without this line Python would warn about it
    child.returncode = 0
    sys.stdout.write(f"{child.pid}\n")
    return 0


def _windows_flags() -> int:
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return int(group | getattr(subprocess, "DETACHED_PROCESS", 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
