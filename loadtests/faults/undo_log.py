"""What must be undone, however this process ends: told to the healer before it is done, and taken back when undone."""

import contextlib
import json
import subprocess
import threading
from pathlib import Path

from chatswarm.loadtests.system.children import python

from .healer import Undo, perform


class UndoLog:
    """The pledges of one run, kept by a healer (a process of its own) from the first one on. Threads may share it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._healer: subprocess.Popen[bytes] | None = None
        self._pledged: dict[int, Undo] = {}
        self._numbers = 0

    def make(self, *undo: object) -> int:
        """Pledges an action of the healer's, before what it undoes is done. Returns the pledge's number."""
        with self._lock:
            self._numbers += 1
            self._pledged[self._numbers] = list(undo)
            self._tell({"number": self._numbers, "undo": list(undo)})
            return self._numbers

    def redeem(self, number: int) -> None:
        """Undoes it here and now, once. Raises what the action raises; then it is still pledged."""
        undo = self._pledged.get(number)
        if undo is not None:
            perform(undo)
            self.drop(number)

    def drop(self, number: int) -> None:
        """It need not be undone any more."""
        with self._lock:
            if self._pledged.pop(number, None) is not None:
                self._tell({"number": number})

    def close(self) -> None:
        """The healer undoes what is left, and ends."""
        with self._lock:
            if self._healer is None or self._healer.stdin is None:
                return
            with contextlib.suppress(OSError):
                self._healer.stdin.close()
            self._healer.wait()
            self._healer = None

    def _tell(self, entry: dict[str, object]) -> None:
        if self._healer is None:
            with self._log.open("ab") as log:
                self._healer = subprocess.Popen(
                    python("chatswarm.loadtests.faults.healer"),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        assert self._healer.stdin is not None
        # If the healer has died, the faults are still healed by whoever made them.
        with contextlib.suppress(OSError):
            self._healer.stdin.write(json.dumps(entry).encode() + b"\n")
            self._healer.stdin.flush()
