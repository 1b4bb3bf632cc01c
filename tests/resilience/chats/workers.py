"""Chats of several processes that know of each other's messages only by hearsay."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import ClassVar

from chatswarm.loadtests.system.children import LIFELINE

from .bus import Bus
from .chat import Answer, Chat
from .server import Server, hold_to_lifeline, limit_files, listener_on
from .store import Message, Room

_WORKERS = 2
_PATIENCE = 10.0  # seconds that workers have to end
_PATIENCE_WITH_THE_BROKER = 2.0  # seconds that a worker waits for it at its start
_BEHIND = 0.05  # seconds: a frame's refetch may go to another worker, whose list must be as far


@dataclass
class PublishesAtMostOnce(Chat):
    """Not kept: *messages become visible without the broker, too*. What it did not deliver, others never show.

    Two workers over one database file. Each reads it at its start, and from then on keeps the list in memory, from its
    own messages and from what it hears by publish/subscribe: the usual way to scale a chat out. While the broker is
    down, a message is known to the worker that took it and to nobody else, and nothing makes up for it later.
    """

    _bus: Bus | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    publish_after: ClassVar[float] = 0
    """Seconds from the commit to the publication."""

    def serve(self) -> None:
        if not self.settings.bus or not self.settings.database:
            sys.exit(f"{self.settings.name}: expected --bus and --database")
        if self.settings.listener is None:
            _Supervisor(self.settings.port).run()
        else:
            limit_files(self.most_files)
            asyncio.run(Server(self).run(socket.socket(fileno=self.settings.listener)))

    async def start(self) -> None:
        self._bus = Bus(self.settings.bus, self._hear)
        self._spawn(self._bus.listen())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bus.subscribed.wait(), _PATIENCE_WITH_THE_BROKER)
        # Read only now: what was committed before is in the file, what is published from now on is heard.
        for room in self.store.rooms():
            self.rooms.setdefault(room.id, room).messages.update(room.messages)

    async def create(self, room: Room) -> None:
        await super().create(room)
        assert self._bus is not None
        await self._bus.publish(json.dumps([room.id, room.email, room.name]).encode())

    async def send(self, room: Room, role: str, text: str) -> Answer:
        message = await self.keep(room, role, text)
        self.show(message)
        self._spawn(self._announce_here(message))
        if self.publish_after:
            self._spawn(self._publish(room, message))
        else:
            await self._publish(room, message)
        return self.accepted(message)

    async def find(self, chat: str) -> Room | None:
        if chat not in self.rooms and (room := self.store.room(chat)):
            self.rooms[chat] = room
        return await super().find(chat)

    def all_messages(self, room: Room) -> list[Message]:
        """The whole chat is read from the file: nothing is ever gone, it is only not shown."""
        return self.store.messages_of(room.id)

    async def _publish(self, room: Room, message: Message) -> None:
        assert self._bus is not None
        if self.publish_after:
            await asyncio.sleep(self.publish_after)
        await self._bus.publish(json.dumps([room.id, room.email, room.name, *message]).encode())

    async def _hear(self, data: bytes) -> None:
        chat, email, name, *rest = json.loads(data)
        room = self.rooms.setdefault(chat, Room(chat, email, name))
        if rest and rest[0] not in room.messages:
            message = Message(*rest)
            self.show(message)
            room.messages = dict(sorted(room.messages.items()))
            self._spawn(self._announce_here(message))

    async def _announce_here(self, message: Message) -> None:
        await asyncio.sleep(_BEHIND)
        await self.announce(message)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass
class PublishesLater(PublishesAtMostOnce):
    """Not kept: *what a killed worker accepted is shown by the others*. It told them 0.45 s later, and no more.

    Publications are held back a little, to join those of a busy chat and spare the broker. Whatever a worker had
    accepted and held back when it was killed is in the database, and no other worker ever looks there.
    """

    publish_after: ClassVar[float] = 0.45


class _Supervisor:
    """Keeps the workers running. They end with it, however it ends.

    It holds a listener for each of them, between which the system divides connections: those of a worker that has just
    died, or has not come up, wait for the next one.
    """

    def __init__(self, port: int) -> None:
        self._stopping = False
        self._lifeline, self._hold = os.pipe()
        self._listeners = [listener_on(port, shared=True) for _ in range(_WORKERS)]

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        hold_to_lifeline()
        workers = [self._start(listener) for listener in self._listeners]
        while not self._stopping:
            for number, listener in enumerate(self._listeners):
                if workers[number].poll() is not None:
                    workers[number] = self._start(listener)
            time.sleep(0.1)
        for listener in self._listeners:
            listener.close()
        for worker in workers:
            worker.terminate()
        end = time.monotonic() + _PATIENCE
        for worker in workers:
            try:
                worker.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()

    def _start(self, listener: socket.socket) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.resilience.chats", *sys.argv[1:], "--listener", str(listener.fileno())]
        env = {**os.environ, LIFELINE: str(self._lifeline)}
        return subprocess.Popen(command, env=env, pass_fds=[self._lifeline, listener.fileno()])

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
