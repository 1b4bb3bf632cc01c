"""Faults by misbehaving clients: each occurrence starts a process of rogues.

What each kind does is in `rogues/`.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.protocols.catalogue import find_protocol
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan
from chatswarm.loadtests.system.children import Child, python

from . import rogues
from .error import FaultError
from .fault import Fault, FaultContext

_BEGIN_TIMEOUT = 30.0  # seconds until the fault must be in force
_END_TIMEOUT = 10.0  # seconds of silence allowed before the evidence
_POLL = 0.1  # seconds between checks whether the run is giving up


class RogueFault(Fault):
    """Clients that misbehave, in a separate process so that they do not slow down the measured users."""

    rogue: ClassVar[type[rogues.Rogue]]
    _messages: "_Messages | None" = None

    @classmethod
    def unfit(cls, plan: FaultPlan, context: FaultContext) -> str | None:
        del plan
        promises = find_protocol(context.protocol, context.protocol_text).promises
        if cls.rogue.needs_members and not promises.has_members:
            return f"expected a protocol whose rooms have members, got {context.protocol}: pass another --protocol"
        if cls.rogue.needs_token and context.token is None and not promises.has_members:
            return f"expected a target that asks dashboards for a token, and that token in ${TOKEN}, got none"
        return None

    def begin(self) -> None:
        log = self.context.folder / f"rogues-{self.plan.name}-{self.number}.log"
        # Secrets are for the environment, because flags are public. Those of the protocol are in this process's own.
        token = {} if self.context.token is None else {TOKEN: self.context.token}
        child = Child(python(rogues.__name__), log, env=token, piped=True)
        messages = self._messages = _Messages(child)
        messages.send(
            {
                "kind": self.plan.kind,
                "target": self.context.target,
                "protocol": self.context.protocol,
                "protocol_text": self.context.protocol_text,
                "run": self.context.run,
                "rooms": self.context.rooms,
                "parameters": self.plan.values,
            }
        )
        try:
            reply = messages.receive(_BEGIN_TIMEOUT, self.context.giving_up)
        except TimeoutError as error:
            raise FaultError(f"expected the rogues to begin within {_BEGIN_TIMEOUT:g} s, got {error}") from None
        if reply is None:
            raise FaultError(f"expected the rogues to begin, but they exited:\n{child.log_tail()}")
        if "problem" in reply:
            self._messages = None
            child.kill()
            raise FaultError(str(reply["problem"]))

    def heal(self) -> Evidence:
        if self._messages is None:
            return {}
        messages, self._messages = self._messages, None
        child = messages.child
        evidence: Evidence | None = None
        try:
            messages.close_input()
            while (message := messages.receive(_END_TIMEOUT)) is not None:
                if "begun" not in message:
                    evidence = message
        except TimeoutError as error:
            raise FaultError(f"expected the rogues to end within {_END_TIMEOUT:g} s, got {error}") from None
        finally:
            child.kill()
        if evidence is None:
            raise FaultError(f"expected evidence from the rogues, got none:\n{child.log_tail()}")
        return evidence


class _Messages:
    """Messages to and from a child process: one line of JSON each, on its standard input and output."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._received = b""

    def send(self, message: object) -> None:
        assert self.child.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `receive` will notice that the child has ended
            self.child.process.stdin.write(msgspec.json.encode(message) + b"\n")

    def close_input(self) -> None:
        assert self.child.process.stdin is not None
        self.child.process.stdin.close()

    def receive(self, seconds: float, giving_up: threading.Event | None = None) -> dict[str, float | str] | None:
        """The next message, or None once the child has ended. Raises TimeoutError, whose text says why it gave up."""
        assert self.child.process.stdout is not None
        descriptor = self.child.process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            if time.monotonic() > deadline:
                raise TimeoutError(f"silence for {seconds:g} s")
            if giving_up is not None and giving_up.is_set():
                raise TimeoutError("the end of the run")
            if not select.select([descriptor], [], [], _POLL)[0]:
                continue
            if not (data := os.read(descriptor, 1 << 16)):
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return msgspec.json.decode(line, type=dict[str, bool | int | float | str])


def _fault(rogue: type[rogues.Rogue]) -> type[Fault]:
    return type(rogue.__name__, (RogueFault,), {"rogue": rogue, "__doc__": rogue.__doc__})


ROGUES: Mapping[str, type[Fault]] = {kind: _fault(rogue) for kind, rogue in rogues.KINDS.items()}
