"""Reads HTTP responses from a blocking socket by a deadline, as tolerantly as a browser does.

`http.client` takes any 1xx but 100 for the final response, gives up at 100 headers and at a malformed header line, and
its timeout starts again with every byte. Every `deadline` is a `time.monotonic()` time.
"""

import re
import socket
from dataclasses import dataclass

from .dialing import seconds_left

MAX_HEAD = 1 << 18
"""Maximum bytes of a response's head, the same as in browsers."""

_BLOCK = 1 << 16
_HTTP = b"HTTP/"
_STATUS = re.compile(rb"HTTP/[0-9]+(?:\.[0-9]+)?[ \t]+([1-9][0-9]{2})(?![0-9])", re.IGNORECASE)
_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(;.*)?", re.DOTALL)


class NotHttpError(ValueError):
    """Not an HTTP response. The message is the beginning of what came, unescaped."""


class TruncatedResponseError(ConnectionError):
    """The connection ended in the middle of a response."""


class EmptyResponseError(ConnectionError):
    """The connection ended without a response."""


class TooLargeError(ValueError):
    """The response is larger than the limit."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The status and headers of a response. Each character of the text is one byte."""

    status: int
    version: str
    fields: tuple[tuple[str, str], ...]  # lower-case name, value

    def value(self, name: str) -> str:
        """All values of the header, joined by commas; empty if there is none."""
        return ", ".join(value for key, value in self.fields if key == name)

    def first(self, name: str) -> str:
        """The first value of the header; empty if there is none."""
        return next((value for key, value in self.fields if key == name), "")


class Reader:
    """A buffered reader of a socket. Bytes that were received but not yet read are in `buffer`."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self.deadline = deadline
        self.buffer = bytearray()

    def fill(self) -> bool:
        """Adds the bytes of one `recv` to the buffer. False: the connection has ended. Raises OSError."""
        self._sock.settimeout(seconds_left(self.deadline))
        data = self._sock.recv(_BLOCK)
        self.buffer += data
        return bool(data)

    def read_line(self, limit: int) -> bytes:
        """The next line, without its line end. Raises NotHttpError if there is none within `limit` bytes."""
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched > limit:
                raise NotHttpError(_beginning(self.buffer))
            if not self.fill():
                raise TruncatedResponseError("in the middle of the response")
        found = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return found.removesuffix(b"\r")

    def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        while len(self.buffer) < count:
            if not self.fill():
                raise TruncatedResponseError("in the middle of the response")
        found = bytes(self.buffer[:count])
        del self.buffer[:count]
        return found


def read_head(reader: Reader) -> ResponseHead:
    """The head of the final response; interim ones (100 to 199, except 101) are skipped.

    Raises NotHttpError, TruncatedResponseError, EmptyResponseError, and OSError for other failures of the connection.
    """
    while True:
        head = _read_one_head(reader)
        if head.status == 101 or not 100 <= head.status < 200:
            return head


def read_body(reader: Reader, head: ResponseHead, limit: int) -> bytes:
    """The whole body, still encoded, of at most `limit` bytes.

    Raises TruncatedResponseError, NotHttpError, TooLargeError and OSError.
    """
    if head.status in (101, 204, 304):
        return b""
    if "chunked" in head.value("transfer-encoding").lower():
        return _read_chunks(reader, limit)
    length = _length(head)
    if length is None:
        while len(reader.buffer) <= limit and reader.fill():
            pass
        if len(reader.buffer) > limit:
            raise TooLargeError
        found = bytes(reader.buffer)
        reader.buffer.clear()
        return found
    if length > limit:
        raise TooLargeError
    return reader.read_exactly(length)


def keeps_alive(head: ResponseHead) -> bool:
    """Whether the connection can take another request once the body has been read."""
    options = {option.strip().lower() for option in head.value("connection").split(",")}
    if "close" in options or (head.version == "HTTP/1.0" and "keep-alive" not in options):
        return False
    ends_itself = head.status in (204, 304) or "chunked" in head.value("transfer-encoding").lower()
    return ends_itself or _length(head) is not None


def _read_one_head(reader: Reader) -> ResponseHead:
    while not reader.buffer.strip(b"\r\n"):
        reader.buffer.clear()  # empty lines left over from the response before
        if not reader.fill():
            raise EmptyResponseError("the connection ended without a response")
    reader.buffer[:] = reader.buffer.lstrip(b"\r\n")
    while len(reader.buffer) < len(_HTTP) and b"\n" not in reader.buffer and reader.fill():
        pass
    if not reader.buffer[: len(_HTTP)].upper() == _HTTP:
        raise NotHttpError(_beginning(reader.buffer))
    status_line = reader.read_line(MAX_HEAD)
    match = _STATUS.match(status_line)
    if match is None:
        raise NotHttpError(_beginning(status_line))
    version = status_line.split(None, 1)[0].decode("latin-1").upper()
    fields: list[tuple[str, str]] = []
    size = 0
    while line := reader.read_line(MAX_HEAD):
        size += len(line)
        if size > MAX_HEAD:
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
    """The Content-Length; None if it is missing, contradictory or not a number."""
    values = {text.strip() for text in head.value("content-length").split(",")}
    text = values.pop()
    return int(text) if not values and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _read_chunks(reader: Reader, limit: int) -> bytes:
    body = bytearray()
    while True:
        line = reader.read_line(_BLOCK)
        match = _SIZE.fullmatch(line)
        if match is None:
            raise NotHttpError(f"expected a chunk's size, got {_beginning(line)}")
        size = int(match[1], 16)
        if size == 0:
            while reader.read_line(_BLOCK):  # trailers
                pass
            return bytes(body)
        if len(body) + size > limit:
            raise TooLargeError
        body += reader.read_exactly(size)
        if reader.read_line(_BLOCK):
            raise NotHttpError("a chunk is longer than its size")


def _beginning(data: bytes | bytearray) -> str:
    return bytes(data[:200]).decode(errors="replace")
