"""`python -m chatswarm.loadtests.faults.healer`: a dead man's switch that undoes faults.

It reads lines of JSON from standard input: `{"number": 1, "undo": [...]}` before a fault is made, `{"number": 1}` once
it is undone. At the end of its input it undoes what is left, latest first, and exits. It imports next to nothing,
because it must still work when everything else has failed.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import urllib.request
from typing import Any

UndoAction = list[Any]
"""A name in ACTIONS, then that action's arguments; ready for JSON."""

_REQUEST_TIMEOUT = 5.0  # seconds


def send_signal(number: int, *pids: int) -> None:
    """Signals each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def set_file_limit(pid: int, soft: int, hard: int) -> None:
    """Limits the size of the files that a process may write, in bytes."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def start_shell(command: str) -> None:
    """Starts a shell command without waiting for it: it may be a server. Raises OSError."""
    subprocess.Popen(command, shell=True, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S602


def request(method: str, url: str) -> None:
    """Sends an HTTP request without a body. Raises OSError."""
    # Ignores any HTTP proxy in the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url, method=method), timeout=_REQUEST_TIMEOUT).close()  # noqa: S310


ACTIONS = {"signal": send_signal, "file_limit": set_file_limit, "shell": start_shell, "request": request}


def perform(action: UndoAction) -> None:
    """Performs an action. Raises what the action raises."""
    name, *arguments = action
    ACTIONS[name](*arguments)  # type: ignore[operator]


def main() -> None:
    """Reads its input to the end, then undoes what is left."""
    # Ctrl-C and a hang-up are not for the healer: only the end of its input counts.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Not SIG_IGN, which what an action starts would inherit.
        signal.signal(number, lambda *_: None)
    pending: dict[int, UndoAction] = {}
    for line in sys.stdin:
        with contextlib.suppress(ValueError):  # a line cut short when the writer died
            entry = json.loads(line)
            if "undo" in entry:
                pending[entry["number"]] = entry["undo"]
            else:
                pending.pop(entry["number"], None)
    for action in reversed(pending.values()):
        try:
            perform(action)
        except Exception as error:  # noqa: BLE001 - the rest must still be undone
            print(f"healer: could not undo {action[0]}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
