"""Starts a command with a fifth of a core, as a container with a small quota does. Needs the right to make a cgroup.

As a script, it makes the cgroup, enters it, and replaces itself by the command in its arguments.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

STARVED = (sys.executable, __file__)
"""What to put before a command."""
_QUOTA, _PERIOD = 20_000, 100_000  # microseconds
_NAME = "chatswarm-starved"
_FIRST, _SECOND = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
"""Where the two versions of cgroups are mounted."""


def enter() -> None:
    """Makes the cgroup and puts this process into it. Raises OSError without the right."""
    is_first = (_FIRST / "cpu.cfs_quota_us").exists()
    group = (_FIRST if is_first else _SECOND) / _NAME
    group.mkdir(exist_ok=True)
    if is_first:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD), encoding="ascii")
        (group / "cpu.cfs_quota_us").write_text(str(_QUOTA), encoding="ascii")
    else:
        (group / "cpu.max").write_text(f"{_QUOTA} {_PERIOD}", encoding="ascii")
    (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def remove() -> None:
    """Removes the cgroup, if no process is left in it."""
    for version in (_FIRST, _SECOND):
        with suppress(OSError):
            (version / _NAME).rmdir()


if __name__ == "__main__":
    enter()
    os.execv(sys.argv[1], sys.argv[1:])
