"""Broken chats with several workers, which learn of each other's messages only from the message bus."""

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
from .chat import Chat, JsonResponse
from .server import Server, exit_with_parent, limit_files, listener_on
from .store import Conversation, Message

_WORKERS = 2
_GRACE = 10.0  # seconds that workers have to exit
_BROKER_TIMEOUT = 2.0  # seconds that a starting worker waits for the broker
_ANNOUNCE_DELAY = 0.05  # seconds; the refetch may go to another worker, whose list must be up to date


@dataclass
class PublishesAtMostOnce(Chat):
    """Broken: *messages become visible even without the broker*. Workers never show what the broker did not deliver.

    Two workers share one database file. Each reads it once at its start. After that it keeps the list in memory, from
    its own messages and from publish/subscribe: the usual way to scale out a chat. While the broker is down, only the
    worker that accepted a message knows it, and nothing makes up for that later.
    """

    _bus: Bus | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    publish_after: ClassVar[float] = 0
    """Seconds from the commit to the publication."""

    def serve(self) -> None:
        if not self.settings.bus or not self.settings.database:
            sys.exit(f"{self.settings.name}: expected --bus and --database")
        if self.settings.listener is None:
            _Supervisor(self.settings.host, self.settings.port).run()
        else:
            limit_files(self.max_open_files)
            asyncio.run(Server(self).run(socket.socket(fileno=self.settings.listener)))

    async def start(self) -> None:
        self._bus = Bus(self.settings.bus, self._on_message)
        self._spawn(self._bus.listen())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bus.subscribed.wait(), _BROKER_TIMEOUT)
        # Read the file after subscribing: earlier commits are in it, and later ones are published.
        for conversation in self.store.conversations():
            self.conversations.setdefault(conversation.id, conversation).messages.update(conversation.messages)

    async def create(self, conversation: Conversation) -> None:
        await super().create(conversation)
        assert self._bus is not None
        await self._bus.publish(json.dumps([conversation.id, conversation.email, conversation.name]).encode())

    async def send(self, conversation: Conversation, role: str, text: str) -> JsonResponse:
        message = await self.persist(conversation, role, text)
        self.add_to_list(message)
        self._spawn(self._announce_here(message))
        if self.publish_after:
            self._spawn(self._publish(conversation, message))
        else:
            await self._publish(conversation, message)
        return self.accepted(message)

    async def find(self, chat: str) -> Conversation | None:
        if chat not in self.conversations and (conversation := self.store.conversation(chat)):
            self.conversations[chat] = conversation
        return await super().find(chat)

    def all_messages(self, conversation: Conversation) -> list[Message]:
        """Reads the whole chat from the file: no message is ever lost, only not listed."""
        return self.store.messages_of(conversation.id)

    async def _publish(self, conversation: Conversation, message: Message) -> None:
        assert self._bus is not None
        if self.publish_after:
            await asyncio.sleep(self.publish_after)
        await self._bus.publish(json.dumps([conversation.id, conversation.email, conversation.name, *message]).encode())

    async def _on_message(self, data: bytes) -> None:
        chat, email, name, *rest = json.loads(data)
        conversation = self.conversations.setdefault(chat, Conversation(chat, email, name))
        if rest and rest[0] not in conversation.messages:
            message = Message(*rest)
            self.add_to_list(message)
            conversation.messages = dict(sorted(conversation.messages.items()))
            self._spawn(self._announce_here(message))

    async def _announce_here(self, message: Message) -> None:
        await asyncio.sleep(_ANNOUNCE_DELAY)
        await self.announce(message)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass
class PublishesLater(PublishesAtMostOnce):
    """Broken: *other workers show what a killed worker accepted*. It publishes each message only 0.45 s later.

    Such a delay batches a busy chat's messages to relieve the broker. What a killed worker had accepted and not yet
    published is in the database, but no other worker ever looks there.
    """

    publish_after: ClassVar[float] = 0.45


class _Supervisor:
    """Keeps the workers running. They exit when it does, even if it is killed.

    It keeps one listening socket per worker open, and the kernel distributes connections among them. The connections
    for a worker that has died or has not started yet wait for its successor.
    """

    def __init__(self, host: str, port: int) -> None:
        self._stopping = False
        self._lifeline, self._hold = os.pipe()
        self._listeners = [listener_on(host, port, shared=True) for _ in range(_WORKERS)]

    def run(self) -> None:
        """Runs until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        exit_with_parent()
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
        end = time.monotonic() + _GRACE
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
