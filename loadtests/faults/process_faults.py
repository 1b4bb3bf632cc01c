"""Process faults: kill, terminate, pause, restart.

`on` says which process: the target, one of its workers (the oldest process that it started), or its broker. Signals go
to the process and all its descendants, except SIGTERM, which the process passes on itself.
"""

import signal
import time

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from . import target_processes
from .error import FaultError
from .fault import Fault, FaultContext
from .target_processes import Managed

_SIGNAL_TIMEOUT = 5.0  # seconds until SIGKILL or SIGSTOP must have worked
_POLL = 0.01  # seconds between looks at a process


class ProcessFault(Fault):
    """A fault that acts on one process."""

    starts_again = True
    """Whether the process must be started again afterwards."""

    def __init__(self, plan: FaultPlan, number: int, context: FaultContext) -> None:
        super().__init__(plan, number, context)
        self.evidence: dict[str, float | str] = {}
        self.workers_before = 0
        self.undo_id = 0
        self.began: float | None = None  # when the process was signalled

    @classmethod
    def unfit(cls, plan: FaultPlan, context: FaultContext) -> str | None:
        if plan.on == "broker":
            problem = "expected a reference backend with a broker (`[backend] broker = true`), got none"
            return None if "broker" in context.processes else problem
        managed = context.processes.get("target")
        if managed is None or not managed.known:
            return "expected --pid, the target's process, because chatswarm did not start it"
        if plan.on == "worker":
            has_workers = target_processes.workers(managed.pid)
            return None if has_workers else f"expected workers: pid {managed.pid} started none"
        if cls.starts_again and not managed.startable:
            return "expected --restart-command, because nothing else would start the target again"
        return None

    @property
    def managed(self) -> Managed:
        return self.context.processes["broker" if self.plan.on == "broker" else "target"]

    def victim_pid(self) -> int:
        """The pid to signal. Raises FaultError if no such process runs."""
        pid = self.managed.pid
        if not target_processes.alive(pid):
            raise FaultError(f"pid {pid}: expected a process that runs, got none")
        if self.plan.on != "worker":
            return pid
        workers = target_processes.workers(pid)
        if not workers:
            raise FaultError(f"pid {pid}: expected workers that it started, got none")
        self.workers_before = len(workers)
        return workers[0]

    def record_start(self) -> None:
        """Has the process started again even if chatswarm is killed. Call it before signalling."""
        if self.plan.on != "worker" and self.managed.command is not None:
            self.undo_id = self.context.undo_log.add("shell", self.managed.command)

    def start_again(self) -> None:
        """Starts the process again if it was signalled, or waits for its supervisor to do so. Raises FaultError."""
        if self.began is None:
            return
        began = time.monotonic()
        if self.plan.on == "worker":
            self._await_worker()
        else:
            self.context.undo_log.drop(self.undo_id)
            self.managed.start()
        now = time.monotonic()
        self.evidence |= {"started_in": round(now - began, 3), "down": round(now - self.began, 3)}

    def heal(self) -> Evidence:
        self.start_again()
        return self.evidence

    def _await_worker(self) -> None:
        """Waits until its supervisor has started another worker."""
        deadline = time.monotonic() + target_processes.STARTING
        while len(target_processes.workers(self.managed.pid)) < self.workers_before:
            if time.monotonic() > deadline:
                raise FaultError(f"expected another worker within {target_processes.STARTING:g} s, got none")
            time.sleep(_POLL)


class KillFault(ProcessFault):
    """Sends SIGKILL, and after `for` starts the process again. Over once it responds."""

    def begin(self) -> None:
        pid = self.victim_pid()
        self.record_start()
        self.began = time.monotonic()
        target_processes.send(signal.SIGKILL, *target_processes.tree(pid))
        if not target_processes.await_end(pid, _SIGNAL_TIMEOUT):
            raise FaultError(f"pid {pid}: expected its end after SIGKILL, got none in {_SIGNAL_TIMEOUT:g} s")
        self.evidence |= {"pid": str(pid), "killed": 1}


class TerminateFault(ProcessFault):
    """Sends SIGTERM, as a deployment does, and SIGKILL after `grace`. Starts the process again after `for`.

    The evidence says how long the process took to exit, and whether it had to be killed.
    """

    def begin(self) -> None:
        pid, grace = self.victim_pid(), self.plan.number("grace")
        family = target_processes.tree(pid)
        self.record_start()
        self.began = time.monotonic()
        target_processes.send(signal.SIGTERM, pid)
        ended = target_processes.await_end(pid, grace)
        self.evidence |= {"pid": str(pid), "exit_seconds": round(time.monotonic() - self.began, 3)}
        if not ended:
            target_processes.send(signal.SIGKILL, *family)
            target_processes.await_end(pid, _SIGNAL_TIMEOUT)
        self.evidence["killed"] = int(not ended)


class PauseFault(ProcessFault):
    """Sends SIGSTOP, and SIGCONT after `for`."""

    starts_again = False

    def begin(self) -> None:
        family = target_processes.tree(self.victim_pid())
        self.undo_id = self.context.undo_log.add("signal", signal.SIGCONT, *family)
        target_processes.send(signal.SIGSTOP, *family)
        deadline = time.monotonic() + _SIGNAL_TIMEOUT
        while not all(target_processes.stopped(pid) or not target_processes.alive(pid) for pid in family):
            if time.monotonic() > deadline:
                raise FaultError(
                    f"pids {family}: expected them to stop, got some running {_SIGNAL_TIMEOUT:g} s after SIGSTOP"
                )
            time.sleep(_POLL)
        self.evidence |= {"pid": str(family[0]), "processes": len(family), "state": "stopped"}

    def heal(self) -> Evidence:
        self.context.undo_log.undo(self.undo_id)
        return self.evidence


class RestartFault(ProcessFault):
    """Restarts the target by `--restart-command`, or by SIGTERM and a start if chatswarm started it."""

    @classmethod
    def unfit(cls, plan: FaultPlan, context: FaultContext) -> str | None:
        managed = context.processes.get(plan.on)
        if plan.on == "target" and (managed is None or not managed.startable):
            return "expected --restart-command, because chatswarm did not start the target"
        return super().unfit(plan, context) if plan.on == "broker" else None

    def begin(self) -> None:
        known, began = self.managed.known, time.monotonic()
        if known:
            self.evidence["before"] = f"pid {self.managed.pid}"
        self.managed.restart()
        if known:
            self.evidence["after"] = f"pid {self.managed.pid}"
        self.evidence["seconds"] = round(time.monotonic() - began, 3)


PROCESS_FAULTS: dict[str, type[Fault]] = {
    "kill": KillFault,
    "terminate": TerminateFault,
    "pause": PauseFault,
    "restart": RestartFault,
}
