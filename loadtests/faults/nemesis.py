"""The nemesis: injects a scenario's faults on schedule, heals them on every way out, and records their evidence.

Each occurrence runs in its own thread, so a slow one delays no other:

    wait until `at` ─► start row ─► begin ─► wait `for`, or until the nemesis gives up ─► heal ─► stop row, evidence
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chatswarm.loadtests.history.faults import NOT_BEGUN, NOT_HEALED, Evidence, FaultWriter, ProxyWriter
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from .error import FaultError
from .fault import FaultContext
from .kinds import KINDS

_PROXY_POLL = 0.5  # seconds between reads of the proxy's loop lag
_HEALING = 90.0
"""Seconds that healing may take at the end before the run goes on without it."""


class Nemesis:
    """The faults of one run. `say` reports progress to people; it is called from several threads."""

    def __init__(
        self,
        plans: Sequence[FaultPlan],
        duration: float,
        context: FaultContext,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._plans = plans
        self._duration = duration
        self._world = context
        self._folder = folder
        self._say = say
        self._threads: list[threading.Thread] = []
        self._writer: FaultWriter | None = None
        self._proxy_writer: ProxyWriter | None = None

    def begin(self, run: str, start: float, rooms: Sequence[str] = ()) -> None:
        """Schedules all faults. The measured part begins at `start`, in monotonic seconds. Returns at once.

        `rooms`: the ids of the run's rooms, if it has some.
        """
        self._world.run, self._world.rooms = run, rooms
        self._writer = FaultWriter(self._folder, run)
        for plan in self._plans:
            for number, at in enumerate(plan.occurrences(self._duration)):
                self._spawn(self._run_occurrence, plan, number, start + at)
        if set(self._world.proxies) - {"broker"}:
            self._proxy_writer = ProxyWriter(self._folder, run)
            self._spawn(self._watch_proxy)

    def give_up(self) -> None:
        """Heals every active fault now, and begins no more. Returns at once."""
        self._world.giving_up.set()

    def end(self) -> None:
        """Gives up, and returns when all faults are healed or healing has taken too long. Safe to call twice."""
        self.give_up()
        deadline = time.monotonic() + _HEALING
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._writer is None:
            return
        if any(thread.is_alive() for thread in self._threads):
            self._writer.trouble(time.monotonic(), f"the faults were not healed within {_HEALING:g} s")
        self._writer.close()
        if self._proxy_writer is not None:
            self._proxy_writer.close()
        self._writer = None

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_occurrence(self, plan: FaultPlan, number: int, at: float) -> None:
        writer, wait = self._writer, self._world.giving_up.wait
        assert writer is not None
        if wait(max(0.0, at - time.monotonic())):
            return
        fault = KINDS[plan.kind](plan, number, self._world)
        evidence: Evidence = {}
        began = time.monotonic()
        writer.start(plan.name, plan.kind, began)
        self._say(f"fault {plan.name} begins")
        try:
            fault.begin()
            wait(max(0.0, began + plan.length - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - whatever went wrong is reported, and the fault is healed
            self._report(writer, plan, NOT_BEGUN, error)
        try:
            evidence = fault.heal()
        except Exception as error:  # noqa: BLE001
            self._report(writer, plan, NOT_HEALED, error)
        else:
            writer.stop(plan.name, plan.kind, time.monotonic(), evidence)
            self._say(f"fault {plan.name} is over")

    def _report(self, writer: FaultWriter, plan: FaultPlan, what: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, FaultError) else f"{type(error).__name__}: {error}"
        writer.failed(time.monotonic(), plan.name, what, reason)
        self._say(f"fault {plan.name} {what}: {reason}")

    def _watch_proxy(self) -> None:
        """Records the proxy's lag: it is part of the rig, so its slowness must not count as the target's."""
        api, writer = self._world.toxiproxy, self._proxy_writer
        assert api is not None
        assert writer is not None
        over = not api.has_evidence  # a real Toxiproxy does not report its lag
        while not over:
            over = self._world.giving_up.wait(_PROXY_POLL)
            with contextlib.suppress(FaultError):
                lag = api.lag()
                writer.looked(lag.samples, lag.time, lag.cpu)
