"""`python -m chatswarm.loadtests.faults.healer`: a dead man's switch. Undoes faults when whoever made them is gone.

It reads lines of JSON from standard input: `{"number": 1, "undo": [...]}` when something is about to be done that must
be undone, `{"number": 1}` when that has happened. At the end of its input it undoes what is left, latest first, and
ends. Imports next to nothing: it must be there when all else has failed.
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

Undo = list[Any]
"""An action by its name in ACTIONS and what that takes, ready for JSON."""

_REQUEST = 5.0


def send_signal(number: int, *pids: int) -> None:
    """To each of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def set_file_limit(pid: int, soft: int, hard: int) -> None:
    """The largest file that a process may write, in bytes."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def start_shell(command: str) -> None:
    """Not waited for: it may be a server that goes on. Raises OSError."""
    subprocess.Popen(command, shell=True, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S602


def request(method: str, url: str) -> None:
    """An HTTP request without a body. Raises OSError."""
    # Not by way of an HTTP proxy that the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url, method=method), timeout=_REQUEST).close()  # noqa: S310


ACTIONS = {"signal": send_signal, "file_limit": set_file_limit, "shell": start_shell, "request": request}


def perform(undo: Undo) -> None:
    """Raises what its action raises."""
    name, *arguments = undo
    ACTIONS[name](*arguments)  # type: ignore[operator]


def main() -> None:
    """Reads to the end, then undoes what is left."""
    # Ctrl-C and the end of a session are for others: this one waits for the end of its input.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pledged: dict[int, Undo] = {}
    for line in sys.stdin:
        with contextlib.suppress(ValueError):  # a line that was cut by the writer's death
            entry = json.loads(line)
            if "undo" in entry:
                pledged[entry["number"]] = entry["undo"]
            else:
                pledged.pop(entry["number"], None)
    for undo in reversed(pledged.values()):
        try:
            perform(undo)
        except Exception as error:  # noqa: BLE001 - the others must still be undone
            print(f"healer: could not undo {undo[0]}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
