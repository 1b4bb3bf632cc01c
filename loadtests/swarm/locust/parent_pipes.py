"""The two pipes to the parent process: one for progress lines, one whose closing ends this process."""

import os
import stat

import msgspec

from chatswarm.loadtests.system.children import LIFELINE, PROGRESS
from chatswarm.loadtests.system.progress import ProgressMessage


def driven() -> bool:
    """Whether `chatswarm run` started this swarm, reads its progress and judges it."""
    return _pipe(os.environ.get(PROGRESS)) is not None


def lifeline() -> int | None:
    """The descriptor of the pipe that closes when the parent process ends; None if there is none."""
    return _pipe(os.environ.get(LIFELINE))


class ProgressPipe:
    """Reports to the parent process. Does nothing if there is no pipe, or once nobody reads it."""

    def __init__(self) -> None:
        self.descriptor = _pipe(os.environ.get(PROGRESS))

    def write(self, message: ProgressMessage) -> None:
        if self.descriptor is None:
            return
        try:
            os.write(self.descriptor, msgspec.json.encode(message) + b"\n")
        except OSError:
            self.descriptor = None


def _pipe(descriptor: str | None) -> int | None:
    """The descriptor, if it is a pipe. The variable alone proves nothing: it may be left over, or inherited by a
    process that did not inherit the pipe.
    """
    if descriptor is None or not (descriptor.isascii() and descriptor.isdecimal()):
        return None
    try:
        return int(descriptor) if stat.S_ISFIFO(os.fstat(int(descriptor)).st_mode) else None
    except (OSError, OverflowError):
        return None
