"""The null chat: it speaks the guide's protocol and answers at once, so that what gives out with it is the rig.

It keeps messages in memory, tells every dashboard of each, and shows each chat's last text and its total in the list.
It has no store, no limits and no log. `python -m chatswarm.loadtests.capacity.null_chat PORT` serves it on loopback.
"""

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from chatswarm.loadtests.system.children import end_with_parent

PROTOCOL = "reference"
"""The protocol that it speaks."""
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)


class _NullSend(msgspec.Struct):
    content: str


@dataclass
class NullChat:
    """What the null chat keeps: chats by id, each with its texts as JSON, and the sockets that are subscribed."""

    texts: dict[str, list[bytes]] = field(default_factory=dict)
    listed: dict[str, bytes] = field(default_factory=dict)  # each chat as the list shows it
    watching: dict["NullConnection", None] = field(default_factory=dict)
    messages: int = 0
    _list: bytes | None = None  # until the next message

    def respond(self, method: str, path: str, body: bytes) -> bytes:
        """The response to a request."""
        parts = path.split("/")
        if path == "/api/debug/users-chats":
            self._list = self._list or b'{"users":[{"chats":[%s]}]}' % b",".join(self.listed.values())
            return _response(200, self._list)
        if path == "/api/users/data":
            return _response(200, b'{"success":true,"message":"thanks"}')
        if path == "/api/users/chats/create":
            return _response(200, b'{"success":true,"chat_id":"%s"}' % self._create().encode())
        if method == "POST" and path.endswith("/send") and len(parts) == 6 and parts[4] in self.texts:
            number = self._store(parts[4], msgspec.json.decode(body, type=_NullSend).content)
            return _response(200, b'{"success":true,"message":"sent","message_id":%d}' % number)
        if method == "GET" and path.startswith("/api/chats/") and parts[3] in self.texts:
            return _response(200, _chat(parts[3], len(self.texts[parts[3]]), b",".join(self.texts[parts[3]])))
        return _response(404, b'{"detail":"not found"}')

    def _create(self) -> str:
        chat_id = f"chat-{len(self.texts)}"
        self.texts[chat_id] = []
        self.listed[chat_id] = _chat(chat_id, 0, b"")
        self._list = None
        return chat_id

    def _store(self, chat_id: str, content: str) -> int:
        self.messages += 1
        text = b'{"role":"user","text":%s,"message_id":%d}' % (msgspec.json.encode(content), self.messages)
        texts = self.texts[chat_id]
        texts.append(text)
        self.listed[chat_id], self._list = _chat(chat_id, len(texts), text), None
        announced = {"type": "chat_message_notification", "chat_id": chat_id, "message_role": "user"}
        frame = _frame({"type": "chat_updates", "data": {**announced, "message_id": self.messages}})
        for dashboard in self.watching:
            dashboard.write(frame)
        return self.messages


class NullConnection(asyncio.Protocol):
    """A connection: requests, and after a handshake the frames of a dashboard."""

    def __init__(self, chat: NullChat) -> None:
        self._chat = chat
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._read: Callable[[], bool] = self._request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._chat.watching.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and self._read():
            pass

    def write(self, data: bytes) -> None:
        """Sends bytes; what the kernel does not take at once is sent later."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _request(self) -> bool:
        """Answers the next request. False: it has not come whole."""
        head, ended, rest = self._buffer.partition(b"\r\n\r\n")
        if not ended:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return False
        self._buffer = rest[length:]
        method, target, _ = first.split(" ")
        path = target.partition("?")[0]
        if headers.get("upgrade", "").lower() == "websocket":
            key = hashlib.sha1(headers["sec-websocket-key"].encode() + _WEBSOCKET, usedforsecurity=False)
            self.write(_UPGRADED % base64.b64encode(key.digest()))
            self.write(_frame({"type": "connected", "connection_id": "null", "message": "hello"}))
            self._read = self._socket
        else:
            self.write(self._chat.respond(method, path, rest[:length]))
        return True

    def _socket(self) -> bool:
        """Reacts to the next frame. False: it has not come whole."""
        frame = _unmasked(self._buffer)
        if frame is None:
            return False
        opcode, payload, length = frame
        self._buffer = self._buffer[length:]
        if opcode == _CLOSE:
            self.write(_encoded(_CLOSE, payload[:2]))
            if self._transport is not None:
                self._transport.close()
        elif opcode == _PING:
            self.write(_encoded(_PONG, payload))
        elif opcode == _TEXT:
            asked = json.loads(payload)
            if asked.get("action") == "subscribe":
                self._chat.watching[self] = None
                self.write(_frame({"type": "subscribed", "subscription_type": asked["subscription_type"]}))
            elif asked.get("action") == "ping":
                self.write(_frame({"type": "pong", "timestamp": "t"}))
        return True


def _chat(chat_id: str, total: int, texts: bytes) -> bytes:
    return b'{"chat_id":"%s","status":"active","total_messages":%d,"messages":[%s]}' % (chat_id.encode(), total, texts)


def _response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status, len(body), body,
    )  # fmt: skip


def _frame(message: dict[str, Any]) -> bytes:
    return _encoded(_TEXT, json.dumps(message).encode())


def _encoded(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a server. Its payloads are short."""
    length = len(payload)
    assert length < 1 << 16
    size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + payload


def _unmasked(data: bytes) -> tuple[int, bytes, int] | None:
    """The first frame of a client: its opcode, its payload and its whole length. None: it has not come whole."""
    if len(data) < 2:
        return None
    length, at = data[1] & 0x7F, 2
    if length >= 126:
        size = 2 if length == 126 else 8
        length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    end = at + 4 + length
    if len(data) < end:
        return None
    mask, masked = data[at : at + 4], data[at + 4 : end]
    payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
    return data[0] & 0x0F, payload, end


async def _serve(port: int) -> None:
    chat = NullChat()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: NullConnection(chat), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Serves until the process ends."""
    end_with_parent()
    _run(_serve(int(sys.argv[1])))


def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)


if __name__ == "__main__":
    main()
