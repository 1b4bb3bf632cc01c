"""A custom fault: one shell command makes it, another heals it, such as `docker compose stop redis`."""

import contextlib
import os
import signal
import subprocess
import time

from chatswarm.loadtests.history.faults import Evidence

from .error import FaultError
from .fault import Fault


class CommandFault(Fault):
    """Runs `start`, and `stop` after `for`. Both must end with exit code 0 within `timeout`.

    Its evidence: the last line that `start` printed, and how long `stop` took.
    """

    undo_id = 0
    last_line: str | None = None  # of `start`'s output, once it has succeeded

    def begin(self) -> None:
        self.undo_id = self.context.undo_log.add("shell", self.plan.text("stop"))
        self.last_line = self._run("start")

    def heal(self) -> Evidence:
        began = time.monotonic()
        self._run("stop")
        self.context.undo_log.drop(self.undo_id)
        if self.last_line is None:
            return {}
        return {"start": "exit code 0", "said": self.last_line, "stopped_in": round(time.monotonic() - began, 3)}

    def _run(self, key: str) -> str:
        """Runs the command under `key`. Returns the last line of its output. Raises FaultError."""
        command, timeout = self.plan.text(key), self.plan.number("timeout")
        path = self.context.folder / f"fault-{self.plan.name}.log"
        with path.open("a+", encoding="utf-8", errors="replace") as log:
            output_start = log.seek(0, os.SEEK_END)
            # A new session keeps Ctrl-C from cutting it short. The output goes into a file, because a process that it
            # leaves in the background would keep a pipe open.
            started = subprocess.Popen(  # noqa: S602
                command, shell=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            try:
                code = started.wait(timeout)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)
                started.wait()
                raise FaultError(f"{key}: expected an end within {timeout:g} s, got none: {command}") from None
            log.seek(output_start)
            lines = log.read().strip().splitlines()
        last = lines[-1][:200] if lines else ""
        if code:
            raise FaultError(f"{key}: expected exit code 0, got {code}: {command}: {last}")
        return last


COMMAND: dict[str, type[Fault]] = {"command": CommandFault}
