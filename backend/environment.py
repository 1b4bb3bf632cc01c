"""What a process inherits and did not ask for: standard streams that are closed or gone, other programs' variables."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final, TextIO

_OTHERS: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
"""Meant for somebody's gunicorn. prometheus_client would keep our metrics in files there, which nobody reads or
removes, or fail where the folder does not exist."""


def forget_others_variables(environment: MutableMapping[str, str]) -> None:
    """Drop what would change how our libraries work. To be called before prometheus_client is imported."""
    for name in _OTHERS:
        environment.pop(name, None)


def open_closed_streams() -> None:
    """Put /dev/null in the place of standard streams that are closed (`<&- >&- 2>&-`).

    To be called before anything is opened: the database or a listening socket would become descriptor 0, 1 or 2, and
    whatever writes to standard error would write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, and all below this one are open.
            os.open(os.devnull, os.O_RDWR)
    # Python had None for them, which loggers and the colours of uvicorn's do not expect.
    if sys.stdout is None:
        sys.stdout = _null()
    if sys.stderr is None:
        sys.stderr = _null()


def tell(text: str) -> None:
    """Say something on standard error, if anybody still reads it."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def flush_streams() -> None:
    """Write out what is left for standard output and error. If nobody reads them any more, that is no failure.

    Python flushes at its end as well, and would make its exit code 120 of a pipe whose reader has gone.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # open until the process ends
