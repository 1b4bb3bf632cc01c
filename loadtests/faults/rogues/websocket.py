"""A dashboard that can misbehave: a WebSocket that reads only on request, and writes any bytes."""

import asyncio
import contextlib
from collections import deque
from dataclasses import replace

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from chatswarm.loadtests.net.dialing import request_target
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    Handshake,
    Kind,
    Memory,
    Outgoing,
    Request,
    Session,
    Taken,
    Unreadable,
    User,
    read,
)
from chatswarm.loadtests.protocols.protocol import Frame as ChatFrame

from .attacked_chat import PATIENCE, AttackedChat, NotLetInError, final_response, why
from .tcp import READ_SIZE, TcpConnection

_MAX_MESSAGE = 16 << 20  # bytes; a chat's frames have a few hundred
_MAX_HEAD = 1 << 18  # bytes of a handshake response, as in browsers
_WRITE_TIMEOUT = 1.0  # seconds for a pong or a close frame, which the peer may never read
_GOING_AWAY = 1001
_ABNORMAL_CLOSURE = 1006


class EndedError(Exception):
    """The other side has ended the connection. `code`: its close code, or 1006 without a close frame."""

    def __init__(self, code: int) -> None:
        super().__init__(f"close code {code}")
        self.code = code


class Dashboard:
    """An open WebSocket. One task may read while another writes."""

    def __init__(
        self, chat: AttackedChat, connection: TcpConnection, protocol: ClientProtocol, user: User, session: Session,
        room: str,
    ) -> None:  # fmt: skip
        self.connection = connection
        self.session = session
        self.room = room
        """The only one of this connection, where connections have one; otherwise empty."""
        self.user = user
        self._chat = chat
        self._protocol = protocol
        self._pieces: list[bytes] = []
        self._messages: deque[bytes] = deque()
        self._frames: deque[ChatFrame] = deque()  # as they were read
        self._meanings: deque[ChatFrame] = deque()  # what they mean here

    @classmethod
    async def open(
        cls,
        chat: AttackedChat,
        handshake: Handshake | None = None,
        *,
        user: User | None = None,
        session: Session | None = None,
        room: str = "",
        receive_buffer: int | None = None,
    ) -> "Dashboard":
        """Connects and completes the handshake. Raises NotLetInError.

        `user`: whose connection it is; None: a member of the run's rooms. `handshake` and `session` replace the user's.
        `room`: the only one of the connection, where connections have one.
        """
        # Another browser's: one user has many connections here, and none of them goes on where another ended.
        user = replace(user or await chat.member(), memory=Memory())
        room = (room or chat.room) if chat.protocol.promises.one_room else ""
        wanted = handshake or await chat.handshake(user, room)
        url = replace(chat.address, prefix="").socket_url + request_target(chat.address, wanted.path)
        offered = [Subprotocol(name) for name in wanted.subprotocols] or None
        protocol = ClientProtocol(parse_uri(url), subprotocols=offered, max_size=_MAX_MESSAGE)
        request = protocol.connect()
        request.headers.update(wanted.headers)
        try:
            connection = await chat.connect(receive_buffer=receive_buffer)
        except OSError as error:
            raise NotLetInError(0, why(error)) from error
        self = cls(chat, connection, protocol, user, session or chat.protocol.session(user, room=room), room)
        try:
            async with asyncio.timeout(PATIENCE):
                protocol.send_request(request)
                await self._flush()
                status = await self._shake_hands()
        except OSError as error:
            self.connection.close()
            raise NotLetInError(0, f"no response to the handshake: {why(error)}") from error
        except BaseException:
            self.connection.close()
            raise
        if status == 101 and protocol.handshake_exc is None:
            return self
        self.connection.close()
        if status is not None and status != 101:
            raise NotLetInError(status, f"HTTP {status} to the handshake")
        raise NotLetInError(0, f"no valid response to the handshake: {type(protocol.handshake_exc).__name__}")

    async def _shake_hands(self) -> int | None:
        """Reads the response to the handshake, and returns its status. Only a 101 goes to `websockets`, which parses
        others strictly and to their end, which may never come.
        """
        received = b""
        while (status := final_response(received)[0]) is None and len(received) < _MAX_HEAD:
            if (data := await self.connection.read()) is None:
                break
            received += data
        if status is not None and status != 101:
            return status
        self._protocol.receive_data(final_response(received)[1])
        if status is None:
            self._protocol.receive_eof()
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            await self.read()
        self._collect_messages()
        await self._flush()  # a ping may have come with the response
        return status

    async def subscribe(self) -> None:
        """Subscribes, joins the run's rooms, and waits for each confirmation.

        Raises EndedError, TimeoutError, and NotLetInError if a room refuses.
        """
        async with asyncio.timeout(PATIENCE):
            await self.begin()
            for room in [self.room] if self.room else self._chat.rooms:
                await self.heed(self.session.join(room, None))
                while (frame := await self.receive()).kind is not Kind.JOINED or frame.chat_id != room:
                    if frame.kind is Kind.REFUSED:
                        raise NotLetInError(0, f"a refusal to join a room: {self.user.variables.blanked(frame.detail)}")

    async def begin(self) -> None:
        """Subscribes, and waits until that is in force. Raises EndedError, and NotLetInError if it is refused."""
        await self.heed(self.session.open())
        while (frame := await self.receive()).kind is not Kind.SUBSCRIBED:
            if frame.kind is Kind.ERROR:
                raise NotLetInError(0, f"an error frame: {self.user.variables.blanked(frame.detail)}")

    async def heed(self, taken: Taken) -> None:
        """Follows what something means here: `receive` has its frames next. Raises EndedError and NotLetInError."""
        self._meanings += taken.frames
        for one in taken.replies:
            await self.send(one)

    async def send(self, outgoing: Outgoing) -> None:
        """Sends a message, or makes a request of the session's and goes on with the answer.

        Raises EndedError, and NotLetInError if there is no answer.
        """
        if isinstance(outgoing, Request):
            await self.heed(self.session.answered(outgoing, await self._ask(outgoing)))
            return
        if self._protocol.state is not State.OPEN:
            raise self._ended()
        if isinstance(outgoing, bytes):
            self._protocol.send_binary(outgoing)
        else:
            self._protocol.send_text(outgoing.encode())
        with contextlib.suppress(OSError):  # the reader notices that the connection has ended
            await self._flush()

    async def _ask(self, request: Request) -> Answer:
        try:
            return await self._chat.ask(request, self.user)
        except OSError as error:
            raise NotLetInError(0, f"no response to a request of its connection: {why(error)}") from error

    async def receive(self) -> ChatFrame:
        """The next frame that the protocol can parse, with its meaning on this connection. Replies to it where that is
        due, and to control frames. Raises EndedError.
        """
        while not self._meanings:
            await self._take(await self._next())
        frame = self._meanings.popleft()
        return frame._replace(chat_id=self.room) if self.room and not frame.chat_id else frame

    async def _take(self, frame: ChatFrame) -> None:
        if frame.kind is Kind.MESSAGE and not self.session.expects:
            taken = Taken((frame,), self.session.note(frame))
        else:
            taken = self.session.take(frame)
        with contextlib.suppress(EndedError):  # the next frame may have come before the end
            await self.heed(taken)

    async def _next(self) -> ChatFrame:
        while not self._frames:
            while not self._messages:
                if self._protocol.state is not State.OPEN:
                    raise self._ended()
                await self.read()
            with contextlib.suppress(Unreadable):
                self._frames.extend(read(self._chat.protocol.read_frames, self._messages.popleft()))
        return self._frames.popleft()

    async def read(self, limit: int = READ_SIZE) -> bool:
        """Processes the data of one read of at most `limit` bytes. False once the connection has ended."""
        data = await self.connection.read(limit)
        if data is None:
            self._protocol.receive_eof()
        elif data:
            self._protocol.receive_data(data)
        self._collect_messages()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_WRITE_TIMEOUT):  # a peer that does not read never takes it
                await self._flush()
        return data is not None and self._protocol.close_rcvd is None

    def _collect_messages(self) -> None:
        """Queues the messages that are complete."""
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._pieces.append(bytes(event.data))
                if event.fin:
                    self._messages.append(b"".join(self._pieces))
                    self._pieces.clear()

    async def discard(self, limit: int = READ_SIZE) -> bool:
        """Like `read`, but drops the messages."""
        alive = await self.read(limit)
        self._messages.clear()
        return alive

    async def drain(self, seconds: float) -> int | None:
        """Reads and drops everything for `seconds`. Returns the close code if the connection ended, or else None."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.discard():
                    pass
                return self._ended().code
        return None

    async def close(self) -> None:
        """Sends a close frame if still open, and reads what is left, so that the server sees no reset."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(_GOING_AWAY)
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_WRITE_TIMEOUT):
                    await self._flush()
                    while await self.connection.read() is not None:
                        pass
        finally:
            self.connection.close()

    async def _flush(self) -> None:
        await self.connection.write(b"".join(self._protocol.data_to_send()))

    def _ended(self) -> EndedError:
        received = self._protocol.close_rcvd
        return EndedError(_ABNORMAL_CLOSURE if received is None else received.code)
