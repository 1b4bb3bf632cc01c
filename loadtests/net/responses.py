"""HTTP answers read from a blocking socket by a deadline, as tolerantly as a browser reads them.

`http.client` takes any 1xx but 100 for the final answer, gives up at 100 headers and at a line that is none, and its
time starts again with every byte. Every `deadline` is a reading of `time.monotonic()`.
"""

import re
import socket
from dataclasses import dataclass

from .dialing import left

MOST_HEAD = 1 << 18
"""Bytes of a head, as a browser has it."""

_BLOCK = 1 << 16
_HTTP = b"HTTP/"
_STATUS = re.compile(rb"HTTP/[0-9]+(?:\.[0-9]+)?[ \t]+([1-9][0-9]{2})(?![0-9])", re.IGNORECASE)
_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(;.*)?", re.DOTALL)


class NotHttpError(ValueError):
    """What came is no HTTP answer. The text shows its beginning, just as it came."""


class EndedEarlyError(ConnectionError):
    """The connection ended in the middle of an answer."""


class NothingCameError(ConnectionError):
    """The connection ended without an answer."""


class TooLargeError(ValueError):
    """The answer has more bytes than were to be read."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The status and the header lines of an answer, as text in which each character is a byte."""

    status: int
    version: str
    fields: tuple[tuple[str, str], ...]  # names in lower case

    def value(self, name: str) -> str:
        """All values of that name, joined by commas; empty if there is none."""
        return ", ".join(value for key, value in self.fields if key == name)

    def first(self, name: str) -> str:
        """The first value of that name; empty if there is none."""
        return next((value for key, value in self.fields if key == name), "")


class Reader:
    """Reads from a socket ahead of what is asked for. What is left over is in `buffer`."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self.deadline = deadline
        self.buffer = bytearray()

    def more(self) -> bool:
        """Takes in what one read gives; False: the connection has ended. Raises OSError, TimeoutError among them."""
        self._sock.settimeout(left(self.deadline))
        data = self._sock.recv(_BLOCK)
        self.buffer += data
        return bool(data)

    def line(self, most: int) -> bytes:
        """The next line, without its end."""
        looked = 0
        while (end := self.buffer.find(b"\n", looked)) < 0:
            looked = len(self.buffer)
            if looked > most:
                raise NotHttpError(_beginning(self.buffer))
            if not self.more():
                raise EndedEarlyError("in the middle of the answer")
        found = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return found.removesuffix(b"\r")

    def exactly(self, count: int) -> bytes:
        """That many bytes."""
        while len(self.buffer) < count:
            if not self.more():
                raise EndedEarlyError("in the middle of the answer")
        found = bytes(self.buffer[:count])
        del self.buffer[:count]
        return found


def read_head(reader: Reader) -> ResponseHead:
    """The head of the final answer; those before it (100 to 199, but not 101) are passed over.

    Raises NotHttpError, and OSError: EndedEarlyError if it broke off, NothingCameError if it never began.
    """
    while True:
        head = _read_one_head(reader)
        if head.status == 101 or not 100 <= head.status < 200:
            return head


def read_body(reader: Reader, head: ResponseHead, most: int) -> bytes:
    """The whole body, still encoded. Raises EndedEarlyError, NotHttpError, TooLargeError and OSError."""
    if head.status in (101, 204, 304):
        return b""
    if "chunked" in head.value("transfer-encoding").lower():
        return _read_chunks(reader, most)
    length = _length(head)
    if length is None:
        while len(reader.buffer) <= most and reader.more():
            pass
        if len(reader.buffer) > most:
            raise TooLargeError
        found = bytes(reader.buffer)
        reader.buffer.clear()
        return found
    if length > most:
        raise TooLargeError
    return reader.exactly(length)


def stays_open(head: ResponseHead) -> bool:
    """Whether another request may follow on the connection, once the body was read."""
    options = {option.strip().lower() for option in head.value("connection").split(",")}
    if "close" in options or (head.version == "HTTP/1.0" and "keep-alive" not in options):
        return False
    ends_itself = head.status in (204, 304) or "chunked" in head.value("transfer-encoding").lower()
    return ends_itself or _length(head) is not None


def _read_one_head(reader: Reader) -> ResponseHead:
    while not reader.buffer.strip(b"\r\n"):
        reader.buffer.clear()  # empty lines before an answer are left over from the one before it
        if not reader.more():
            raise NothingCameError("the connection ended without an answer")
    reader.buffer[:] = reader.buffer.lstrip(b"\r\n")
    while len(reader.buffer) < len(_HTTP) and b"\n" not in reader.buffer and reader.more():
        pass
    if not reader.buffer[: len(_HTTP)].upper() == _HTTP:
        raise NotHttpError(_beginning(reader.buffer))
    status_line = reader.line(MOST_HEAD)
    match = _STATUS.match(status_line)
    if match is None:
        raise NotHttpError(_beginning(status_line))
    version = status_line.split(None, 1)[0].decode("latin-1").upper()
    fields: list[tuple[str, str]] = []
    size = 0
    while line := reader.line(MOST_HEAD):
        size += len(line)
        if size > MOST_HEAD:
            raise NotHttpError(_beginning(line))
        text = line.decode("latin-1")
        if text[0] in " \t" and fields:
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {text.strip()}")
            continue
        name, colon, value = text.partition(":")
        if colon and name.strip():
            fields.append((name.strip().lower(), value.strip()))
    return ResponseHead(int(match[1]), version, tuple(fields))


def _length(head: ResponseHead) -> int | None:
    """The length that an answer tells, once or several times alike; None if it tells none that can be relied on."""
    told = {text.strip() for text in head.value("content-length").split(",")}
    text = told.pop()
    return int(text) if not told and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _read_chunks(reader: Reader, most: int) -> bytes:
    body = bytearray()
    while True:
        line = reader.line(_BLOCK)
        match = _SIZE.fullmatch(line)
        if match is None:
            raise NotHttpError(f"a chunk's size was expected, {_beginning(line)} came")
        size = int(match[1], 16)
        if size == 0:
            while reader.line(_BLOCK):  # trailers
                pass
            return bytes(body)
        if len(body) + size > most:
            raise TooLargeError
        body += reader.exactly(size)
        if reader.line(_BLOCK):
            raise NotHttpError("a chunk is longer than its size")


def _beginning(data: bytes | bytearray) -> str:
    return bytes(data[:200]).decode(errors="replace")
