"""Standard streams that cannot end the command: closed ones are opened, and a reader who goes away is no error."""

import contextlib
import io
import os
import select
import sys
from typing import Any, TextIO


class Output(io.FileIO):
    """A descriptor for output. From the first write that fails on, everything is dropped; `problem` says why.

    A pager that ended, a full disk or a terminal that hung up must change no exit code.
    """

    problem: OSError | None = None

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer, as its parent takes it
        """Writes what can be written, and says that it has written all."""
        size = memoryview(data).nbytes
        while self.problem is None:
            try:
                written: int | None = super().write(data)
            except OSError as error:
                self.problem = error
            else:
                if written is not None:
                    return written
                # Somebody who shares this pipe or terminal, such as Node.js, made it non-blocking.
                select.select([], [self], [])
        return size


def open_standard_files() -> None:
    """Opens those of the descriptors 0, 1 and 2 that are closed on /dev/null.

    Otherwise the next pipe or file would be one of them, and every child process would get something else in its place.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, which is this one.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def forgiving(number: int, stream: TextIO | None) -> TextIO:
    """A text stream over a standard descriptor, in place of `stream`, that never raises OSError or UnicodeError."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    encoding = "utf-8" if stream is None else stream.encoding
    buffer = io.BufferedWriter(Output(number, "w", closefd=False))
    lines = number == 2 or os.isatty(number)
    return io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", line_buffering=lines)


def problem_of(stream: TextIO) -> OSError | None:
    """Why what was written to `stream` did not arrive; None if it did, as far as can be known, or nobody wants it.

    A reader who went away has read what he wanted: that is none.
    """
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    output = getattr(getattr(stream, "buffer", None), "raw", None)
    problem = output.problem if isinstance(output, Output) else None
    return None if isinstance(problem, BrokenPipeError) else problem
