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
from typing import Final

from chatswarm.backend.metrics import Metrics
from chatswarm.backend.supervisor import WorkerPlace

_ASK_AGAIN: Final = 0.1
_LONGEST: Final = 1 << 18
_HEAD: Final = struct.Struct("!cBQ")


class Intercom:
    """One worker's end. Belongs to the event loop.

    `on_bell` is called once for all bells that came together, `metrics.exposition` answers the others' questions.
    """

    def __init__(self, place: WorkerPlace, on_bell: Callable[[], None], metrics: Metrics) -> None:
        self._number = place.number
        self._inbox = place.inboxes[place.number]
        self._outboxes = place.outboxes
        self._on_bell = on_bell
        self._metrics = metrics
        self._ids = itertools.count()
        self._answers: dict[int, dict[int, bytes]] = {}

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
        question = next(self._ids)
        answers = self._answers[question] = {self._number: self._metrics.exposition()}
        end = asyncio.get_running_loop().time() + patience
        try:
            while missing := set(range(len(self._outboxes))) - set(answers):
                # A full inbox may have swallowed the question.
                for number in missing:
                    _put(self._outboxes[number], _HEAD.pack(b"?", self._number, question))
                again = asyncio.get_running_loop().time() + _ASK_AGAIN
                while len(answers) < len(self._outboxes) and (now := asyncio.get_running_loop().time()) < again:
                    if now > end:
                        return answers
                    await asyncio.sleep(0.002)
            return answers
        finally:
            del self._answers[question]

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
        elif question in self._answers:
            self._answers[question][number] = said[_HEAD.size :]


def _put(outbox: socket.socket, data: bytes) -> bool:
    try:
        outbox.send(data)
    except OSError:
        return False
    return True
