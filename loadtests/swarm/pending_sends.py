"""A user's sends over its socket that wait for what makes them accepted or rejected."""

from collections.abc import Iterator
from contextlib import contextmanager

from gevent.event import AsyncResult

from chatswarm.loadtests.protocols.protocol import Frame

from .net.websocket import Closed

Reply = tuple[Frame, float]
"""The frame that says what became of a send, and when it came, in monotonic seconds."""


class PendingSends:
    """Those of one user."""

    def __init__(self, *, by_echo: bool) -> None:
        """`by_echo`: a send's own message is what makes it accepted."""
        self._by_echo = by_echo
        self._replies: dict[str, AsyncResult[Reply]] = {}  # by reference
        self.echoes: dict[tuple[str, str], str] = {}
        """The references of sends by room and text, where their own message makes them accepted."""

    @contextmanager
    def waiting(self, room: str, text: str, reference: str) -> Iterator["AsyncResult[Reply]"]:
        """The reply to a send, which is waited for until the context ends. Getting it raises Closed if the connection
        ends first.
        """
        reply: AsyncResult[Reply] = AsyncResult()
        self._replies[reference] = reply
        if self._by_echo:
            self.echoes[room, text] = reference
        try:
            yield reply
        finally:
            self._replies.pop(reference, None)
            self.echoes.pop((room, text), None)

    def resolve(self, reference: str, frame: Frame, at: float) -> None:
        """What became of the send with this reference, if it still waits."""
        reply = self._replies.pop(reference, None)
        if reply is not None:
            reply.set((frame, at))

    def end(self) -> None:
        """The connection has ended: nothing more comes."""
        for reply in self._replies.values():
            reply.set_exception(Closed(1006, "lost before an acknowledgement"))
        self._replies.clear()
