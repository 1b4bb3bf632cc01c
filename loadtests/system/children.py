"""Child processes, each in its own session, none of which outlives this process; and free ports."""

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
"""The variable with the file descriptor on which the swarm reports its progress, as lines of JSON."""

_SIGTERM_GRACE = (1.0, 15.0)  # seconds to wait after the first and the second SIGTERM


class Child:
    """A child process in its own session, so that Ctrl-C in the terminal does not reach it.

    It holds the reading end of a pipe whose writing end only this process has, and ends when that is closed. So no
    child is left behind, however this process ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        piped: bool = False,
        cwd: Path | None = None,
        hidden_prefixes: tuple[str, ...] = (),
    ) -> None:
        """Starts `command` with its output going to `log`, and `fds` inherited.

        The lifeline's file descriptor is in its environment, and replaces `{lifeline}` in the command. With `piped`,
        `process.stdin` and `process.stdout` are unbuffered pipes, and only its standard error goes to `log`. `env` is
        added to this process's environment, without the variables that begin with one of `hidden_prefixes`.
        """
        lifeline, self._hold = os.pipe()
        self.command = [part.replace("{lifeline}", str(lifeline)) for part in command]
        self.log = log
        try:
            with log.open("ab") as output:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if piped else output,
                    stderr=output,
                    bufsize=0,
                    env={**_environment(hidden_prefixes), **(env or {}), LIFELINE: str(lifeline)},
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
        """Sends a signal to the child itself, if it is still running."""
        if self.running:
            self.process.send_signal(number)

    def stop(self, grace: float) -> int:
        """Sends SIGTERM, and after `grace` seconds kills it and everything it started. Returns its exit code."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """Kills it and everything it started. Returns its exit code."""
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

    def disown(self) -> None:
        """In a process forked from this one: lets go of the pipes, whose ends tell each side that the other is gone."""
        pipes = [pipe.fileno() for pipe in (self.process.stdin, self.process.stdout) if pipe and not pipe.closed]
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (*pipes, self._hold):
            if descriptor >= 0:
                # Whatever still refers to the descriptor may close it.
                os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _environment(hidden_prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden_prefixes)}


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of chatswarm's modules in a new process.

    It imports nothing from the working folder (-P). It ignores PYTHONPATH and Python's other variables, such as
    PYTHONWARNINGS and PYTHONDEVMODE (-E), unless chatswarm itself is found through PYTHONPATH.
    """
    flags = {
        "P": True,
        "E": not _found_by_pythonpath(),
        "s": sys.flags.no_user_site,
        "B": sys.flags.dont_write_bytecode,
    }
    return [sys.executable, f"-{''.join(flag for flag, is_set in flags.items() if is_set)}m", module, *arguments]


def _found_by_pythonpath() -> bool:
    here = Path(__file__).resolve().parents[3]
    with contextlib.suppress(OSError):  # the working folder may have been deleted
        return any(Path(part).resolve() == here for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)
    return False


def end_with_parent() -> None:
    """Makes a process that was started as a Child, and starts others itself, end when its parent has gone.

    It gets SIGTERM, then another, and is killed if it takes longer than `_SIGTERM_GRACE`. Does nothing in any other
    process.
    """
    number = os.environ.pop(LIFELINE, None)
    if number is None or not number.isdecimal():
        return

    def wait() -> None:
        with contextlib.suppress(OSError):
            if os.read(int(number), 1):
                return
            for pause in _SIGTERM_GRACE:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(pause)
            os._exit(70)

    threading.Thread(target=wait, daemon=True).start()


def free_port(host: str = "127.0.0.1", port: int = 0) -> int:
    """A port on `host` that nobody listens on: `port`, or any if that is 0. Raises OSError with a readable message.

    Any port stays reserved while this process lives: the kernel gives it to nobody who asks for any port, so a server
    on it can be killed and started again. A server can listen there if it sets SO_REUSEADDR, as nearly all do.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if port:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            found = int(probe.getsockname()[1])
            if not port and sys.platform == "linux":  # others let nobody listen where a socket is bound
                # Only now: asked for any port, the kernel may give one that another such socket holds.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.detach()  # it stays bound
            return found
    except OSError as error:
        raise OSError(f"expected a free port on {host}, got: {error}") from None
