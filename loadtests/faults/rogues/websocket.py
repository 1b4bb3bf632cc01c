"""A dashboard that can misbehave: a WebSocket that reads only when it is asked to, and writes whatever it is given."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from chatswarm.loadtests.net.dialing import request_target
from chatswarm.loadtests.protocols.protocol import Frame as Said
from chatswarm.loadtests.protocols.protocol import Kind, Unreadable

from .attacked_chat import PATIENCE, AttackedChat, final_answer, why
from .tcp import READ_SIZE, TcpConnection

_MAX_MESSAGE = 16 << 20  # bytes; a chat's frames have a few hundred
_MOST_HEAD = 1 << 18  # bytes of an answer to a handshake, as a browser has it
_GOODBYE = 1.0  # seconds for words that nobody may be listening to
_GOING_AWAY = 1001
_BROKEN_OFF = 1006


class NotLetInError(Exception):
    """No WebSocket came about. `status` is that of the HTTP answer, 0 if there was none."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class EndedError(Exception):
    """The other side has ended the connection. `code` is its close code, 1006 if it just broke off."""

    def __init__(self, code: int) -> None:
        super().__init__(f"close code {code}")
        self.code = code


class Dashboard:
    """An open WebSocket. One task may read while another writes."""

    def __init__(self, site: AttackedChat, pipe: TcpConnection, protocol: ClientProtocol) -> None:
        self.pipe = pipe
        self._site = site
        self._protocol = protocol
        self._pieces: list[bytes] = []
        self._messages: deque[bytes] = deque()

    @classmethod
    async def open(
        cls,
        site: AttackedChat,
        headers: Mapping[str, str] | None = None,
        *,
        query: str = "",
        subprotocols: Sequence[str] = (),
        receive_buffer: int | None = None,
    ) -> "Dashboard":
        """Connects and completes the handshake, in the way that is let in, or else with these headers.

        Raises NotLetInError.
        """
        url = replace(site.address, prefix="").socket_url + request_target(
            site.address, site.target.socket_path + query
        )
        offered = [Subprotocol(name) for name in subprotocols] or None
        protocol = ClientProtocol(parse_uri(url), subprotocols=offered, max_size=_MAX_MESSAGE)
        request = protocol.connect()
        request.headers.update(site.target.socket_headers if headers is None else headers)
        try:
            self = cls(site, await site.connect(receive_buffer=receive_buffer), protocol)
        except OSError as error:
            raise NotLetInError(0, why(error)) from error
        try:
            async with asyncio.timeout(PATIENCE):
                protocol.send_request(request)
                await self._flush()
                status = await self._shake_hands()
        except OSError as error:
            self.pipe.close()
            raise NotLetInError(0, f"no answer to the handshake: {why(error)}") from error
        except BaseException:
            self.pipe.close()
            raise
        if status == 101 and protocol.handshake_exc is None:
            return self
        self.pipe.close()
        if status is not None and status != 101:
            raise NotLetInError(status, f"HTTP {status} to the handshake")
        raise NotLetInError(0, f"no good answer to the handshake: {type(protocol.handshake_exc).__name__}")

    async def _shake_hands(self) -> int | None:
        """Reads the answer to the handshake; its status. The protocol sees none but 101: it wants others to the letter,
        and to their end, which may never come.
        """
        heard = b""
        while (status := final_answer(heard)[0]) is None and len(heard) < _MOST_HEAD:
            if (data := await self.pipe.read()) is None:
                break
            heard += data
        if status is not None and status != 101:
            return status
        self._protocol.receive_data(final_answer(heard)[1])
        if status is None:
            self._protocol.receive_eof()
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            await self.read()
        self._take()
        await self._flush()  # what came together with the answer may be a ping
        return status

    async def subscribe(self) -> None:
        """Returns once it is subscribed. Raises EndedError, or TimeoutError if there is no answer."""
        async with asyncio.timeout(PATIENCE):
            await self.say(self._site.target.subscribe())
            while (await self.hear()).kind is not Kind.SUBSCRIBED:
                pass

    async def say(self, text: str) -> None:
        """Sends a text message. Raises EndedError."""
        if self._protocol.state is not State.OPEN:
            raise self._ended()
        self._protocol.send_text(text.encode())
        with contextlib.suppress(OSError):  # that it has ended shows in reading
            await self._flush()

    async def hear(self) -> Said:
        """What the next readable message says; control frames are answered as they should be. Raises EndedError."""
        while True:
            while not self._messages:
                if self._protocol.state is not State.OPEN:
                    raise self._ended()
                await self.read()
            with contextlib.suppress(Unreadable):
                return self._site.target.read_frame(self._messages.popleft())

    async def read(self, most: int = READ_SIZE) -> bool:
        """Takes in what one read of at most so many bytes gives. False: the connection is over."""
        data = await self.pipe.read(most)
        if data is None:
            self._protocol.receive_eof()
        elif data:
            self._protocol.receive_data(data)
        self._take()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_GOODBYE):  # a pong or a Close, which a peer that does not read never takes
                await self._flush()
        return data is not None and self._protocol.close_rcvd is None

    def _take(self) -> None:
        """The messages in what was received."""
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._pieces.append(bytes(event.data))
                if event.fin:
                    self._messages.append(b"".join(self._pieces))
                    self._pieces.clear()

    async def skip(self, most: int = READ_SIZE) -> bool:
        """The same, and throws away what was said."""
        alive = await self.read(most)
        self._messages.clear()
        return alive

    async def drain(self, seconds: float) -> int | None:
        """Reads for so long, or to the end: the close code then, else None. What is read is thrown away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.skip():
                    pass
                return self._ended().code
        return None

    async def close(self) -> None:
        """Says goodbye if it is open, and reads what is left, so that the server sees no reset. Raises nothing."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(_GOING_AWAY)
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_GOODBYE):
                    await self._flush()
                    while await self.pipe.read() is not None:
                        pass
        finally:
            self.pipe.close()

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            await self.pipe.write(data)

    def _ended(self) -> EndedError:
        received = self._protocol.close_rcvd
        return EndedError(_BROKEN_OFF if received is None else received.code)
