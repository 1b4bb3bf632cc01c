"""The faults that must still be undone, recorded with the healer before each one is made."""

import contextlib
import json
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from chatswarm.loadtests.system.children import python

if TYPE_CHECKING:
    from .healer import UndoAction


class UndoLog:
    """The pending undo actions of one run. The first one starts the healer, a separate process. Thread-safe."""

    def __init__(self, log: Path) -> None:
        """`log`: where the healer's errors go."""
        self._log = log
        self._lock = threading.Lock()
        self._healer: subprocess.Popen[bytes] | None = None
        self._actions: dict[int, UndoAction] = {}
        self._last_id = 0

    def add(self, *action: object) -> int:
        """Records a healer's action, before the fault that it undoes is made. Returns its id."""
        with self._lock:
            self._last_id += 1
            self._actions[self._last_id] = list(action)
            self._send({"number": self._last_id, "undo": list(action)})
            return self._last_id

    def undo(self, undo_id: int) -> None:
        """Performs the action now, once. Raises what the action raises; the action then stays pending."""
        from .healer import perform

        action = self._actions.get(undo_id)
        if action is not None:
            perform(action)
            self.drop(undo_id)

    def drop(self, undo_id: int) -> None:
        """Forgets an action that is no longer needed."""
        with self._lock:
            if self._actions.pop(undo_id, None) is not None:
                self._send({"number": undo_id})

    def close(self) -> None:
        """Has the healer undo what is left, and waits for it to exit."""
        with self._lock:
            if self._healer is None or self._healer.stdin is None:
                return
            with contextlib.suppress(OSError):
                self._healer.stdin.close()
            self._healer.wait()
            self._healer = None

    def _send(self, entry: dict[str, object]) -> None:
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
        # Even if the healer has died, each fault still heals itself.
        with contextlib.suppress(OSError):
            self._healer.stdin.write(json.dumps(entry).encode() + b"\n")
            self._healer.stdin.flush()
