"""Chats that show messages late, each for a different reason: they stop, fall behind, or do more and more: `late`."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .chat import Message, Reader, Response
from .plant import Plant, TracksConnections, Truth, without

UPDATE_TARGET = 2.0  # seconds, the scenarios' default


@dataclass
class StopsEvery5s(Plant):
    """The whole server does nothing for 2.4 s, every 5 s, for the first time 0.95 s after the first message.

    Of the messages that come meanwhile at 10 per second, those of the first 0.4 s are late. Those of the next 0.4 s may
    be, because a dashboard may have to wait before it refetches.
    """

    finding = "late"
    cause = "pauses"
    resumed: float = -1.0  # when it last went on, in the loop's time
    hurtful: set[float] = field(default_factory=set)  # those times after which messages were waiting

    async def send(self, chat_id: str, text: str) -> Response:
        loop = asyncio.get_running_loop()
        if self.sends == 1:
            loop.call_later(0.95, self.stop)
        if self.resumed <= loop.time() < self.resumed + 0.1:
            self.hurtful.add(self.resumed)
        return await super().send(chat_id, text)

    def stop(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(5, self.stop)
        time.sleep(2.4)
        self.resumed = loop.time()

    def truth(self) -> Truth:
        stops = len(self.hurtful)
        return {"late": range(4 * stops * self.audience, 8 * stops * self.audience + 1)}


@dataclass
class FixedRateWorker(Plant):
    """Messages are stored at once, and then announced and listed by one worker, which takes 80 ms for each."""

    finding = "late"
    cause = "backlog"
    waiting: deque[tuple[str, Message, float]] = field(default_factory=deque)  # with when they were stored
    _waits: list[float] = field(default_factory=list)  # seconds, of those that were announced
    _ready: float = 0.0  # when the worker has finished what it has taken

    async def send(self, chat_id: str, text: str) -> Response:
        loop, message = asyncio.get_running_loop(), self.store(chat_id, text)
        self.waiting.append((chat_id, message, loop.time()))
        self._ready = max(self._ready, loop.time()) + 0.08
        loop.call_at(self._ready, self.work)
        return self.sent(message)

    def work(self) -> None:
        chat_id, message, stored = self.waiting.popleft()
        self._waits.append(asyncio.get_running_loop().time() - stored)
        self.announce(chat_id, message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return without(self.chats, {message.number for _, message, _ in self.waiting})

    def truth(self) -> Truth:
        # After its frame, a message is shown within the 0.33 s until the next refetch, or a little later.
        late, most = (sum(wait > least for wait in self._waits) for least in (UPDATE_TARGET, UPDATE_TARGET - 0.5))
        return {"late": range(late * self.audience, most * self.audience + 1)}


@dataclass
class UnboundedList(TracksConnections):
    """The list takes 30 ms for each message that is stored, and shows what was stored when it was asked for."""

    finding = "late"
    cause = "growing_list"
    stored: dict[int, float] = field(default_factory=dict)  # by number, in the loop's time
    _waits: list[float] = field(default_factory=list)  # seconds, of each delivery

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        self.stored[message.number] = asyncio.get_running_loop().time()
        return message

    async def list_chats(self, reader: Reader) -> Response:
        before = set(self.seen[reader.slot]) if reader.slot >= 0 else set()
        response = await super().list_chats(reader)
        await asyncio.sleep(0.03 * self.messages)
        if reader.slot >= 0:
            now = asyncio.get_running_loop().time()
            self._waits += [now - self.stored[number] for number in reader.shown - before]
        return response

    def truth(self) -> Truth:
        late, most = (sum(wait > least for wait in self._waits) for least in (UPDATE_TARGET, UPDATE_TARGET - 0.1))
        return {"late": range(late, most + 1)}
