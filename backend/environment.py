"""Cleans up the inherited environment: closed standard streams, and variables meant for other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final, TextIO

_FOREIGN_VARIABLES: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
"""Meant for gunicorn. prometheus_client would write our metrics to files there, which nobody reads or removes, or fail
if the folder does not exist."""


def drop_foreign_variables(environment: MutableMapping[str, str]) -> None:
    """Drop variables that would change how our libraries work. Call this before importing prometheus_client."""
    for name in _FOREIGN_VARIABLES:
        environment.pop(name, None)


def open_closed_streams() -> None:
    """Open /dev/null for every standard stream that is closed (`<&- >&- 2>&-`).

    Call this before opening anything else: the database or a listening socket would become descriptor 0, 1 or 2, and
    output to standard error would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # open() takes the lowest free number, and all lower ones are open.
            os.open(os.devnull, os.O_RDWR)
    # Python set closed streams to None, which loggers and uvicorn's colours do not expect.
    if sys.stdout is None:
        sys.stdout = _null()
    if sys.stderr is None:
        sys.stderr = _null()


def print_stderr(text: str) -> None:
    """Print to standard error; ignore a reader that has gone."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def flush_streams() -> None:
    """Flush standard output and error; a reader that has gone is not a failure.

    Python also flushes when it exits, and for a pipe whose reader has gone it would exit with 120.
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
