"""Standard streams that cannot end the command: closed ones are reopened, and lost readers are no error."""

import contextlib
import io
import os
import select
import sys
from typing import Any, TextIO


class Output(io.FileIO):
    """An output file descriptor. After the first failed write, everything is dropped; `problem` is the error.

    A pager that has ended, a full disk or a closed terminal must not change the exit code.
    """

    problem: OSError | None = None

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer, as its parent takes it
        """Writes what it can, and always reports everything as written."""
        size = memoryview(data).nbytes
        while self.problem is None:
            try:
                written: int | None = super().write(data)
            except OSError as error:
                self.problem = error
            else:
                if written is not None:
                    return written
                # Another process on this pipe or terminal, such as Node.js, has made it non-blocking.
                select.select([], [self], [])
        return size


def open_standard_files() -> None:
    """Opens any closed descriptor among 0, 1 and 2 on /dev/null.

    Otherwise the next pipe or file would take its number, and every child process would use that as a standard stream.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The system assigns the lowest free number, which is this one.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def forgiving(number: int, stream: TextIO | None) -> TextIO:
    """A text stream over a standard descriptor that replaces `stream` and never raises OSError or UnicodeError."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    encoding = "utf-8" if stream is None else stream.encoding
    buffer = io.BufferedWriter(Output(number, "w", closefd=False))
    lines = number == 2 or os.isatty(number)
    return io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", line_buffering=lines)


def problem_of(stream: TextIO) -> OSError | None:
    """Why text written to `stream` did not arrive; None if it did, as far as is known.

    A reader that has closed its end has read all it wanted, so that is not a problem.
    """
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    output = getattr(getattr(stream, "buffer", None), "raw", None)
    problem = output.problem if isinstance(output, Output) else None
    return None if isinstance(problem, BrokenPipeError) else problem
