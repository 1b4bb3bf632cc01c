"""The faults that the swarm itself commits: each is a process of rogues, started for one occurrence.

What each kind does, and its parameters, are in `rogues/`.
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
from chatswarm.loadtests.protocols import TOKEN
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan
from chatswarm.loadtests.system.children import Child, python

from . import rogues
from .error import FaultError
from .fault import Fault, FaultContext

_BEGINNING = 30.0  # seconds until the fault must be in force
_ENDING = 10.0  # seconds until the evidence must be there
_LOOK = 0.1  # seconds between two looks at whether the run is given up


class RogueFault(Fault):
    """Clients that behave badly on purpose, in a process of their own, so that they do not slow the measured users."""

    rogue: ClassVar[type[rogues.Rogue]]
    _conversation: "_Conversation | None" = None

    @classmethod
    def unfit(cls, plan: FaultPlan, world: FaultContext) -> str | None:
        del plan
        if cls.rogue.needs_token and world.token is None:
            return f"expected a target that asks dashboards for a token, and that token in ${TOKEN}, got none"
        return None

    def begin(self) -> None:
        log = self.world.folder / f"rogues-{self.plan.name}-{self.number}.log"
        child = Child(python(rogues.__name__), log, talks=True)
        conversation = self._conversation = _Conversation(child)
        conversation.say(
            {
                "kind": self.plan.kind,
                "target": self.world.target,
                "protocol": self.world.protocol,
                "token": self.world.token,
                "parameters": self.plan.values,
            }
        )
        try:
            answer = conversation.hear(_BEGINNING, self.world.giving_up)
        except TimeoutError as error:
            raise FaultError(f"expected rogues that begin within {_BEGINNING:g} s, got {error}") from None
        if answer is None:
            raise FaultError(f"expected rogues that begin, got their end:\n{child.last_words()}")
        if "problem" in answer:
            self._conversation = None
            child.kill()
            raise FaultError(str(answer["problem"]))

    def heal(self) -> Evidence:
        if self._conversation is None:
            return {}
        conversation, self._conversation = self._conversation, None
        child = conversation.child
        evidence: Evidence | None = None
        try:
            conversation.tell_to_stop()
            while (said := conversation.hear(_ENDING)) is not None:
                if "begun" not in said:
                    evidence = said
        except TimeoutError as error:
            raise FaultError(f"expected rogues that end within {_ENDING:g} s, got {error}") from None
        finally:
            child.kill()
        if evidence is None:
            raise FaultError(f"expected rogues that end with evidence, got none:\n{child.last_words()}")
        return evidence


class _Conversation:
    """Lines of JSON with a child that talks."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._heard = b""

    def say(self, words: object) -> None:
        assert self.child.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # that it has ended shows in listening
            self.child.process.stdin.write(msgspec.json.encode(words) + b"\n")

    def tell_to_stop(self) -> None:
        assert self.child.process.stdin is not None
        self.child.process.stdin.close()

    def hear(self, seconds: float, giving_up: threading.Event | None = None) -> dict[str, float | str] | None:
        """The next line; None: there is none, it has ended. Raises TimeoutError, which says why it waits no more."""
        assert self.child.process.stdout is not None
        descriptor = self.child.process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._heard:
            if time.monotonic() > deadline:
                raise TimeoutError(f"silence for {seconds:g} s")
            if giving_up is not None and giving_up.is_set():
                raise TimeoutError("the run being given up")
            if not select.select([descriptor], [], [], _LOOK)[0]:
                continue
            if not (data := os.read(descriptor, 1 << 16)):
                return None
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return msgspec.json.decode(line, type=dict[str, bool | int | float | str])


def _fault(rogue: type[rogues.Rogue]) -> type[Fault]:
    return type(rogue.__name__, (RogueFault,), {"rogue": rogue, "__doc__": rogue.__doc__})


ROGUES: Mapping[str, type[Fault]] = {kind: _fault(rogue) for kind, rogue in rogues.KINDS.items()}
