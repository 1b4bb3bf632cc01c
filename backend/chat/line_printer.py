"""Prints the chat's log lines from a thread, so that a blocked terminal cannot block the chat."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from typing import TextIO


def saved_line(trace: str, number: int, *, fresh: bool) -> str:
    """The line about a traced message that is on disk. `fresh`: stored now, and not by an earlier send of the same."""
    return f"🔎 Trace {trace}: message {number} {'saved' if fresh else 'was saved before'}"


def refused_line(trace: str, status: int, reason: str) -> str:
    """The line about a traced message that was answered with the status of an error, which may mean anything."""
    return f"🔎 Trace {trace}: answered {status} ({reason})"


class LinePrinter:
    """Prints lines to `out`. Its methods never block; when the queue is full, lines are dropped."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._lines: queue.Queue[list[str] | None] = queue.Queue(1000)
        self._thread = threading.Thread(target=self._print, name="log-lines", daemon=True)
        self._thread.start()

    def put(self, lines: list[str]) -> None:
        """Queue these lines for printing."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(lines)

    def close(self) -> None:
        """Print what is left, within half a second."""
        self.put([])
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(0.5)

    def _print(self) -> None:
        while (lines := self._lines.get()) is not None:
            try:
                # A terminal that cannot show emojis gets question marks instead of an error.
                encoding = self._out.encoding or "utf-8"
                text = "".join(f"{line}\n" for line in lines)
                self._out.write(text.encode(encoding, "replace").decode(encoding))
                self._out.flush()
            except (OSError, ValueError):
                return
