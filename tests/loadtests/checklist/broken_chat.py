"""A small chat over real sockets with one switch per defect. It speaks the original protocol, without message ids.

It shares no code with the reference backend, so neither can hide a bug of the other.
"""

import base64
import gzip
import hashlib
import json
import ssl
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any
from urllib.parse import unquote

import brotli
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
}
_HANG = 20.0  # seconds; longer than any test waits


@dataclass
class Defects:
    """Nothing is broken by default. Times are seconds."""

    root: str = ""  # "hangs", "closes", "garbage", "drips"
    handshake: int = 101
    handshake_hangs: bool = False
    connected: str = "ok"  # "silent", "close", "error", "garbage"
    subscribed: str = "ok"  # "silent", "error", "close"
    list_status: int = 200
    list_body: bytes | None = None
    list_fails_after_send: int = 200
    list_hangs_after_send: bool = False
    list_takes: float = 0.0  # after a send
    contact_status: int = 200
    create_status: int = 200
    create_body: bytes | None = None
    send_status: int = 200
    send_body: bytes | None = None
    send_hangs: str = ""  # "before" or "after" it stores and announces the message
    send_takes: float = 0.0  # before it stores the message
    stores: bool = True
    announces: bool = True
    announces_other: int = 0  # frames for other chats in place of this one's
    announces_garbage: bool = False
    closes_on_send: bool = False  # the dashboards' sockets
    frame_delay: float = 0.0
    list_delay: float = 0.0  # how long after it is stored a message appears in the list
    never_listed: str = ""  # "chat": the chat is not in the list; "text": the chat is, but unchanged
    every_step_takes: float = 0.0
    other_chats: int = 0  # in the list, before the others
    texts: bool = True  # the list has texts, not only counts
    # Not defects for a browser.
    token: str = ""  # the only token that is accepted
    origins: tuple[str, ...] = ()  # the only origins that are accepted; empty: all
    prefix: str = ""  # a prefix of all paths
    encoding: str = ""  # a Content-Encoding
    framing: str = "length"  # "chunked", "until close", "HTTP/1.0"
    early_hints: bool = False  # a 103 before each response
    moved: int = 0  # redirects once, with this status, to `moved_to` and the path
    moved_to: str = "/moved"
    retry_after: str = ""
    chat_id: str = ""  # in place of a random one


@dataclass
class _Stored:
    text: str
    at: float


@dataclass
class BrokenChat:
    """The state that all connections share."""

    defects: Defects = field(default_factory=Defects)
    chats: dict[str, list[_Stored]] = field(default_factory=dict)
    dashboards: set["_Handler"] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    customers: list[str] = field(default_factory=list)
    port: int = 0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """The address, the path and the header lines of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.defects.prefix}"

    def pause(self, seconds: float) -> None:
        self.ended.wait(seconds)

    def listing(self, now: float) -> dict[str, Any]:
        chats = [_chat(f"other-{n}", ["hello"]) for n in range(self.defects.other_chats)]
        for chat_id, stored in self.chats.items():
            if self.defects.never_listed == "chat":
                continue
            texts = [one.text for one in stored if now >= one.at + self.defects.list_delay]
            shown = [] if self.defects.never_listed == "text" else texts
            chats.append(_chat(chat_id, shown) | ({} if self.defects.texts else {"messages": []}))
        return {"users": [{"_id": chat["chat_id"], "chats": [chat]} for chat in chats]}

    def announce(self, chat_id: str) -> None:
        if self.defects.announces_garbage:
            self.broadcast('{"type": "chat_updates", "data": [1]}')
        for n in range(self.defects.announces_other):
            self.broadcast(_notification(f"other-{n}"))
        if self.defects.announces:
            self.pause(self.defects.frame_delay)
            self.broadcast(_notification(chat_id))

    def broadcast(self, text: str) -> None:
        with self.lock:
            dashboards = list(self.dashboards)
        for dashboard in dashboards:
            with suppress(OSError, InvalidState):  # it has disconnected
                dashboard.frame(text)


def _chat(chat_id: str, texts: list[str]) -> dict[str, Any]:
    messages = [{"role": "user", "text": text, "timestamp": "2025-11-08T12:00:00", "read": False} for text in texts]
    return {"chat_id": chat_id, "status": "open", "total_messages": len(texts), "messages": messages}


def _notification(chat_id: str) -> str:
    data = {"type": "chat_message_notification", "chat_id": chat_id, "message_role": "user", "timestamp": "2025"}
    return json.dumps({"type": "chat_updates", "data": data})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    chat: BrokenChat
    websocket: ServerProtocol
    connection: socket

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def respond(self, status: int, body: bytes | dict[str, Any]) -> None:
        defects = self.chat.defects
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if defects.early_hints:
            self.send_response_only(103)
            self.send_header("Link", "</style.css>")
            self.end_headers()
        if defects.framing == "HTTP/1.0":
            self.protocol_version = "HTTP/1.0"
        self.send_response(status)
        if defects.encoding:
            data = ENCODERS.get(defects.encoding, bytes)(data)
            self.send_header("Content-Encoding", defects.encoding)
        if defects.retry_after:
            self.send_header("Retry-After", defects.retry_after)
        if defects.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        elif defects.framing == "length":
            self.send_header("Content-Length", str(len(data)))
        else:
            self.close_connection = True
        self.send_header("Access-Control-Allow-Origin", "*")
        if 300 <= status < 400:
            moved = f"{defects.moved_to}{self.path}" if defects.moved else "https://elsewhere.example/"
            self.send_header("Location", moved)
        self.end_headers()
        self.wfile.write(data)

    def do_OPTIONS(self) -> None:
        """The preflight request of a browser."""
        self.send_response(204)
        for name in ("Origin", "Headers", "Methods"):
            self.send_header(f"Access-Control-Allow-{name}", "*")
        self.end_headers()

    def do_GET(self) -> None:
        chat, defects = self.chat, self.chat.defects
        chat.pause(defects.every_step_takes)
        chat.asked.append((str(self.connection.getsockname()[0]), self.path, dict(self.headers)))
        self.path = self.path.removeprefix(defects.prefix)
        if self.redirect():
            return
        if self.path == "/ws/dashboard":
            self.dashboard()
        elif self.path == "/":
            self.root()
        elif self.path.partition("?")[0] == "/api/debug/users-chats":
            sent = any(chat.chats.values())
            if defects.token and self.headers["Authorization"] != f"Bearer {defects.token}":
                self.respond(401, b"who are you?")
                return
            if defects.list_hangs_after_send and sent:
                chat.pause(_HANG)
            status = defects.list_fails_after_send if sent else defects.list_status
            listing = chat.listing(time.monotonic())
            chat.pause(defects.list_takes if sent else 0)
            self.respond(status, defects.list_body or listing)
        else:
            chat_id = unquote(self.path.rpartition("/")[2])
            stored = chat.chats.get(chat_id)
            self.respond(404 if stored is None else 200, _chat(chat_id, [one.text for one in stored or []]))

    def root(self) -> None:
        match self.chat.defects.root:
            case "hangs":
                self.chat.pause(_HANG)
            case "closes":
                self.close_connection = True
            case "garbage":
                self.wfile.write(b"220 mail.example ESMTP\r\n")
                self.close_connection = True
            case "zstd without an end":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\n(\xb5/\xfd")
                self.chat.pause(_HANG)
            case "drips":  # a byte at a time: no single read waits for long
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
                    self.wfile.write(bytes([byte]))
                    if self.chat.ended.wait(0.1):
                        return
            case _:
                self.respond(404, b"nothing here")

    def redirect(self) -> bool:
        """Responds with the redirect, if there is one. Returns whether it did."""
        moved, self.path = self.path.startswith("/moved"), self.path.removeprefix("/moved")
        if moved or not self.chat.defects.moved or self.path in ("/", "/ws/dashboard"):
            return False
        self.respond(self.chat.defects.moved, b"")
        return True

    def do_POST(self) -> None:
        chat, defects = self.chat, self.chat.defects
        chat.asked.append((str(self.connection.getsockname()[0]), self.path, dict(self.headers)))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.path = self.path.removeprefix(defects.prefix)
        if self.redirect():
            return
        if self.path == "/api/users/data":
            chat.customers.append(body["email"])
            self.respond(defects.contact_status, {"success": True, "message": "thanks"})
        elif self.path == "/api/users/chats/create":
            chat_id = defects.chat_id or str(uuid.uuid4())
            chat.chats[chat_id] = []
            created = {"success": True, "chat_id": chat_id, "user_id": "1"}
            self.respond(defects.create_status, defects.create_body or created)
        else:
            self.take(unquote(self.path.split("/")[4]), body["content"])

    def take(self, chat_id: str, text: str) -> None:
        chat, defects = self.chat, self.chat.defects
        if defects.send_hangs == "before":
            chat.pause(_HANG)
        chat.pause(defects.send_takes)
        if defects.send_status == 200:
            if defects.stores:
                chat.chats[chat_id].append(_Stored(text, time.monotonic()))
            if defects.closes_on_send:
                for dashboard in list(chat.dashboards):
                    dashboard.close_socket(1011, "boom")
            if defects.frame_delay:
                threading.Thread(target=chat.announce, args=(chat_id,), daemon=True).start()
            else:
                chat.announce(chat_id)
        if defects.send_hangs == "after":
            chat.pause(_HANG)
        self.respond(defects.send_status, defects.send_body or {"success": True, "message": "sent"})

    def dashboard(self) -> None:
        chat, defects = self.chat, self.chat.defects
        self.close_connection = True
        if defects.handshake_hangs:
            chat.pause(_HANG)
        if defects.origins and self.headers["Origin"] not in defects.origins:
            self.respond(403, b"from where?")
            return
        if defects.token and self.headers["Authorization"] != f"Bearer {defects.token}":
            self.respond(401, b"who are you?")
            return
        if defects.handshake != 101:
            self.respond(defects.handshake, b"no dashboards here")
            return
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.websocket = ServerProtocol(state=State.OPEN)
        self.greet()
        while data := self.connection.recv(4096):
            self.websocket.receive_data(data)
            for event in self.websocket.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    self.handle_action(json.loads(bytes(event.data)))
            self.flush()
        with chat.lock:
            chat.dashboards.discard(self)

    def greet(self) -> None:
        match self.chat.defects.connected:
            case "ok":
                self.frame('{"type": "connected", "connection_id": "1", "message": "welcome"}')
            case "close":
                self.close_socket(4401, "token required")
            case "error":
                self.frame('{"type": "error", "message": "who are you?"}')
            case "garbage":
                self.frame("\x1b[31mhello")

    def handle_action(self, message: dict[str, str]) -> None:
        assert message["action"] == "subscribe"
        self.chat.pause(self.chat.defects.every_step_takes)
        match self.chat.defects.subscribed:
            case "ok":
                with self.chat.lock:
                    self.chat.dashboards.add(self)
                self.frame(json.dumps({"type": "subscribed", "subscription_type": message["subscription_type"]}))
            case "error":
                self.frame('{"type": "error", "message": "Unknown action: subscribe"}')
            case "close":
                self.close_socket(1008, "not allowed")

    def frame(self, text: str) -> None:
        self.websocket.send_text(text.encode())
        self.flush()

    def close_socket(self, code: int, reason: str) -> None:
        self.websocket.send_close(code, reason)
        self.flush()

    def flush(self) -> None:
        for data in self.websocket.data_to_send():
            if data:
                self.connection.sendall(data)
            else:
                self.connection.shutdown(SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            if self.tls is not None:
                request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that disconnect: the tests make them do so."""


@contextmanager
def broken_chat(
    defects: Defects | None = None, tls: ssl.SSLContext | None = None, *also_at: str
) -> Iterator[BrokenChat]:
    """A running chat on a free port of 127.0.0.1, and on the same port of the addresses in `also_at`."""
    chat = BrokenChat(defects or Defects())
    servers: list[_Server] = []
    for address in ("127.0.0.1", *also_at):
        server = _Server((address, chat.port), type("Handler", (_Handler,), {"chat": chat}))
        server.tls = tls
        chat.port = server.server_address[1]
        servers.append(server)
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True) for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield chat
    finally:
        chat.ended.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
