"""What the workers of one supervisor say to each other, in datagrams over socket pairs that all of them inherit.

    !              the log has grown (a bell)
    ? from id      tell me your metrics
    = from id …    here they are

Worker i reads the inbox i and can write into each. The supervisor keeps all ends open, so that they outlive a worker
and serve the next one with its number; nothing is left in any folder. A full inbox loses what comes: whoever does not
read it has bells to hear, and does not answer questions anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chatswarm.backend.metrics.metrics import BackendMetrics

from .supervisor import WorkerPlace

_TRIES: Final = 5
"""How often a question is asked: a full inbox may have swallowed it."""

_LONGEST: Final = 1 << 18
_HEAD: Final = struct.Struct("!cBQ")


@dataclass
class _Question:
    answers: dict[int, bytes]
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerDatagrams:
    """One worker's end. Belongs to the event loop.

    `on_bell` is called once for all bells that came together, `metrics.exposition` answers the others' questions.
    """

    def __init__(self, place: WorkerPlace, on_bell: Callable[[], None], metrics: BackendMetrics) -> None:
        self._number = place.number
        self._inbox = place.inboxes[place.number]
        self._outboxes = place.outboxes
        self._on_bell = on_bell
        self._metrics = metrics
        self._numbers = itertools.count()
        self._questions: dict[int, _Question] = {}

    def start(self) -> None:
        """Begin to hear."""
        asyncio.get_running_loop().add_reader(self._inbox, self._hear)

    def close(self) -> None:
        """Hear no more."""
        asyncio.get_running_loop().remove_reader(self._inbox)

    def ring(self) -> None:
        """Ring at all others, without waiting; at those that do not listen, in vain."""
        for number, outbox in enumerate(self._outboxes):
            if number != self._number:
                self._metrics.rung["sent" if _put(outbox, b"!") else "failed"].inc()

    async def everybodys_metrics(self, patience: float) -> dict[int, bytes]:
        """The metrics of each worker, by number; of those that do not answer within `patience` seconds, none."""
        number = next(self._numbers)
        question = self._questions[number] = _Question({self._number: self._metrics.exposition()})
        try:
            for _ in range(_TRIES):
                for worker, outbox in enumerate(self._outboxes):
                    if worker not in question.answers:
                        _put(outbox, _HEAD.pack(b"?", self._number, number))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience / _TRIES):
                        await question.answered.wait()
                        break
            return question.answers
        finally:
            del self._questions[number]

    def _hear(self) -> None:
        """Take everything that is there."""
        rung = False
        with contextlib.suppress(BlockingIOError):
            while True:
                said = self._inbox.recv(_LONGEST)
                if said == b"!":
                    rung = True
                else:
                    self._understand(said)
        if rung:
            self._on_bell()

    def _understand(self, said: bytes) -> None:
        kind, number, question = _HEAD.unpack_from(said)
        if kind == b"?":
            answer = _HEAD.pack(b"=", self._number, question) + self._metrics.exposition()
            _put(self._outboxes[number], answer)
        elif waiting := self._questions.get(question):
            waiting.answers[number] = said[_HEAD.size :]
            if len(waiting.answers) == len(self._outboxes):
                waiting.answered.set()


def _put(outbox: socket.socket, data: bytes) -> bool:
    try:
        outbox.send(data)
    except OSError:
        return False
    return True
