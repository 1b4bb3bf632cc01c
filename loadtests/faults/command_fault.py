"""A fault of your own: a shell command that makes it, and one that heals it, such as `docker compose stop redis`."""

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

    Its evidence is what `start` says in its last line, and how long both took.
    """

    pledge = 0
    said: str | None = None  # by `start`, once it has worked

    def begin(self) -> None:
        self.pledge = self.world.pledges.make("shell", self.plan.text("stop"))
        self.said = self._run("start")

    def heal(self) -> Evidence:
        began = time.monotonic()
        self._run("stop")
        self.world.pledges.drop(self.pledge)
        if self.said is None:
            return {}
        return {"start": "exit code 0", "said": self.said, "stopped_in": round(time.monotonic() - began, 3)}

    def _run(self, key: str) -> str:
        """Returns the last line that it says. Raises FaultError."""
        command, timeout = self.plan.text(key), self.plan.number("timeout")
        path = self.world.folder / f"fault-{self.plan.name}.log"
        with path.open("a+", encoding="utf-8", errors="replace") as log:
            said_before = log.seek(0, os.SEEK_END)
            # In a session of its own, so that Ctrl-C does not cut it short. Into a file, not a pipe: what it leaves
            # running in the background may keep that open.
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
            log.seek(said_before)
            lines = log.read().strip().splitlines()
        last = lines[-1][:200] if lines else ""
        if code:
            raise FaultError(f"{key}: expected exit code 0, got {code}: {command}: {last}")
        return last


COMMAND: dict[str, type[Fault]] = {"command": CommandFault}
