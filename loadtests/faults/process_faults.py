"""Faults of processes: killed, told to end, paused, started anew.

`on` says which: the target, one of its workers (the oldest process that it started), or its broker. Signals go to a
process and all that it started, except SIGTERM, which a process passes on by itself.
"""

import signal
import time

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from . import target_processes
from .error import FaultError
from .fault import Fault, FaultContext
from .target_processes import Managed

_DYING = 5.0  # seconds that a process may take to be gone after SIGKILL, or stopped after SIGSTOP
_LOOK = 0.01


class ProcessFault(Fault):
    """What they share: the process."""

    starts_again = True
    """Whether it has to be started again."""

    def __init__(self, plan: FaultPlan, number: int, world: FaultContext) -> None:
        super().__init__(plan, number, world)
        self.evidence: dict[str, float | str] = {}
        self.siblings = 0  # workers that there were
        self.pledge = 0
        self.began: float | None = None  # when it was struck

    @classmethod
    def unfit(cls, plan: FaultPlan, world: FaultContext) -> str | None:
        if plan.on == "broker":
            broker = "expected a reference backend with a broker (`[backend] broker = true`), got none"
            return None if "broker" in world.processes else broker
        managed = world.processes.get("target")
        if managed is None or not managed.known:
            return "expected --pid, the target's process, because chatswarm did not start it"
        if plan.on == "worker":
            return (
                None if target_processes.workers(managed.pid) else f"expected workers: pid {managed.pid} started none"
            )
        if cls.starts_again and not managed.startable:
            return "expected --restart-command, because nothing else would start the target again"
        return None

    @property
    def managed(self) -> Managed:
        return self.world.processes["broker" if self.plan.on == "broker" else "target"]

    def struck(self) -> int:
        """The pid that is to be struck. Raises FaultError if nobody is there."""
        pid = self.managed.pid
        if not target_processes.alive(pid):
            raise FaultError(f"pid {pid}: expected a process that runs, got none")
        if self.plan.on != "worker":
            return pid
        workers = target_processes.workers(pid)
        if not workers:
            raise FaultError(f"pid {pid}: expected workers that it started, got none")
        self.siblings = len(workers)
        return workers[0]

    def promise_start(self) -> None:
        """Called before it is struck: it is started again even if this process is killed meanwhile."""
        if self.plan.on != "worker" and self.managed.command is not None:
            self.pledge = self.world.pledges.make("shell", self.managed.command)

    def start_again(self) -> None:
        """If it was struck, and where nobody else does it. Raises FaultError."""
        if self.began is None:
            return
        began = time.monotonic()
        if self.plan.on == "worker":
            self._await_worker()
        else:
            self.world.pledges.drop(self.pledge)
            self.managed.start()
        now = time.monotonic()
        self.evidence |= {"started_in": round(now - began, 3), "down": round(now - self.began, 3)}

    def heal(self) -> Evidence:
        self.start_again()
        return self.evidence

    def _await_worker(self) -> None:
        """Its supervisor starts another."""
        deadline = time.monotonic() + target_processes.STARTING
        while len(target_processes.workers(self.managed.pid)) < self.siblings:
            if time.monotonic() > deadline:
                raise FaultError(f"expected another worker within {target_processes.STARTING:g} s, got none")
            time.sleep(_LOOK)


class KillFault(ProcessFault):
    """SIGKILL, and after `for` it is started again. Ends when it answers."""

    def begin(self) -> None:
        pid = self.struck()
        self.promise_start()
        self.began = time.monotonic()
        target_processes.send(signal.SIGKILL, *target_processes.tree(pid))
        if not target_processes.await_end(pid, _DYING):
            raise FaultError(f"pid {pid}: expected its end after SIGKILL, got none in {_DYING:g} s")
        self.evidence |= {"pid": str(pid), "killed": 1}


class TerminateFault(ProcessFault):
    """SIGTERM, as a deploy does it. It is killed after `grace`, and started again when it has ended and `for` is over.

    The evidence says how long its end took, and whether it had to be killed.
    """

    def begin(self) -> None:
        pid, grace = self.struck(), self.plan.number("grace")
        family = target_processes.tree(pid)
        self.promise_start()
        self.began = time.monotonic()
        target_processes.send(signal.SIGTERM, pid)
        ended = target_processes.await_end(pid, grace)
        self.evidence |= {"pid": str(pid), "exit_seconds": round(time.monotonic() - self.began, 3)}
        if not ended:
            target_processes.send(signal.SIGKILL, *family)
            target_processes.await_end(pid, _DYING)
        self.evidence["killed"] = int(not ended)


class PauseFault(ProcessFault):
    """SIGSTOP, and SIGCONT after `for`."""

    starts_again = False

    def begin(self) -> None:
        family = target_processes.tree(self.struck())
        self.pledge = self.world.pledges.make("signal", signal.SIGCONT, *family)
        target_processes.send(signal.SIGSTOP, *family)
        deadline = time.monotonic() + _DYING
        while not all(target_processes.stopped(pid) or not target_processes.alive(pid) for pid in family):
            if time.monotonic() > deadline:
                raise FaultError(f"pids {family}: expected them to stop, got some running {_DYING:g} s after SIGSTOP")
            time.sleep(_LOOK)
        self.evidence |= {"pid": str(family[0]), "processes": len(family), "state": "stopped"}

    def heal(self) -> Evidence:
        self.world.pledges.redeem(self.pledge)
        return self.evidence


class RestartFault(ProcessFault):
    """Ended and started by its owners' way: `--restart-command`; for what chatswarm started, SIGTERM and start."""

    @classmethod
    def unfit(cls, plan: FaultPlan, world: FaultContext) -> str | None:
        managed = world.processes.get(plan.on)
        if plan.on == "target" and (managed is None or not managed.startable):
            return "expected --restart-command, because chatswarm did not start the target"
        return super().unfit(plan, world) if plan.on == "broker" else None

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
