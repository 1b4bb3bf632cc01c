"""The exit codes of every command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends. If several apply, the first of 70, 1, 3, 0 wins; 2 is decided before any load."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    UNDECIDED = 3
    INTERNAL = 70
