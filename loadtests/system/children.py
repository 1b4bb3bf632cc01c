"""The processes that a run starts: each in a session of its own, and none of them outlives it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LIFELINE = "CHATSWARM_LIFELINE_FD"
PROGRESS = "CHATSWARM_PROGRESS_FD"
"""The variable with the pipe on which the swarm tells its progress, a line of JSON each."""

_ORDERLY = (1.0, 15.0)  # seconds after the first and the second SIGTERM


class Child:
    """A child process in a session of its own, so that Ctrl-C in the terminal does not reach it.

    It holds the reading end of a pipe whose writing end only this process has, and ends when that closes: however this
    process ends, no child is left behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        talks: bool = False,
        cwd: Path | None = None,
        hidden: tuple[str, ...] = (),
    ) -> None:
        """Starts `command`, with its output going to `log`; `fds` are inherited. The lifeline's number is in its
        environment, and replaces `{lifeline}` in the command. With `talks`, `process.stdin` and `process.stdout` are
        unbuffered pipes, and only its standard error goes to `log`. `env` is added to this process's environment, of
        which variables that begin with one of `hidden` are left out.
        """
        lifeline, self._hold = os.pipe()
        self.command = [part.replace("{lifeline}", str(lifeline)) for part in command]
        self.log = log
        try:
            with log.open("ab") as output:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if talks else output,
                    stderr=output,
                    bufsize=0,
                    env={**_seen(hidden), **(env or {}), LIFELINE: str(lifeline)},
                    cwd=cwd,
                    pass_fds=[lifeline, *fds],
                    start_new_session=True,
                )
        finally:
            os.close(lifeline)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the child itself, if it still runs."""
        if self.running:
            self.process.send_signal(number)

    def stop(self, grace: float) -> int:
        """Asks it to end, and after `grace` seconds ends it and all that it started. Returns its exit code."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """Ends it at once, and all that it started. Returns its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def last_words(self, lines: int = 8) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _seen(hidden: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules as a process of its own.

    It looks for modules neither in the working folder (-P) nor where PYTHONPATH says, and no other variable of Python's
    (PYTHONWARNINGS, PYTHONDEVMODE, …) changes how it runs (-E), unless PYTHONPATH is how chatswarm itself is found.
    """
    flags = {
        "P": True,
        "E": not _found_by_pythonpath(),
        "s": sys.flags.no_user_site,
        "B": sys.flags.dont_write_bytecode,
    }
    return [sys.executable, f"-{''.join(flag for flag, given in flags.items() if given)}m", module, *arguments]


def _found_by_pythonpath() -> bool:
    here = Path(__file__).resolve().parents[3]
    with contextlib.suppress(OSError):  # the working folder may have been deleted
        return any(Path(part).resolve() == here for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)
    return False


def end_with_parent() -> None:
    """In a process that was started as a Child, and starts others itself: has it end in order when its parent is gone.

    As by SIGTERM, and then once more; at once if that takes longer than `_ORDERLY`. Nothing, in any other process.
    """
    number = os.environ.pop(LIFELINE, None)
    if number is None or not number.isdecimal():
        return

    def wait() -> None:
        with contextlib.suppress(OSError):
            if os.read(int(number), 1):
                return
            for pause in _ORDERLY:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(pause)
            os._exit(70)

    threading.Thread(target=wait, daemon=True).start()


def free_port(host: str = "127.0.0.1", port: int = 0) -> int:
    """A port that nobody listens on: this one, or any if it is 0. Raises OSError, with words."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if port:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise OSError(f"expected a free port on {host}, got: {error}") from None
