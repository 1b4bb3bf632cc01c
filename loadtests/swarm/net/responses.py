"""Parses HTTP/1 responses as leniently as a browser. No I/O: feed it bytes, then read its state.

It uses llhttp, which is strict. If llhttp refuses a head that a browser would accept, the head is repaired and fed
again.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from chatswarm.loadtests.net.encodings import LARGEST
from chatswarm.loadtests.net.headers import Headers

LONGEST_HEAD = 256 << 10
"""Bytes of a head, including all interim responses before it; Chromium's limit."""

BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/\S+[ \t]+1(?!01)[0-9]{2}(?![0-9])", re.IGNORECASE)
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*?)[ \t]*", re.DOTALL)
_SENDABLE = re.compile(rb"[!-~\x80-\xff]{1,256}")  # as a tag: more could not be sent back in one header
_LENIENT = {
    "lenient_headers": True,  # folded lines, control characters in values
    "lenient_optional_cr_before_lf": True,
    "lenient_optional_lf_after_cr": True,
    "lenient_optional_crlf_after_chunk": True,
    "lenient_spaces_after_chunk_size": True,
    "lenient_version": True,
}


class Malformed(ValueError):
    """The bytes are not an HTTP response."""


class TooLarge(ValueError):
    """The response is larger than this rig accepts."""


class HeaderFields(NamedTuple):
    """The header fields that the swarm uses."""

    encoding: str = ""
    location: str = ""
    retry_after: str = ""
    keep_alive: str = ""


class ResponseReader:
    """Reads the responses on one connection, one after another.

    For each: `begin`, then `feed` until `complete`, or `end` if the connection ends first.
    """

    def __init__(self) -> None:
        self._parser = self._new_parser()
        self.begin()

    def begin(self, *, bodiless: bool = False) -> None:
        """Starts the next response. `bodiless`: it belongs to a HEAD request."""
        self.status = 0  # 0 until a final head has been read
        self.complete = False
        self.reusable = False  # whether the connection may be used for the next request
        self.began = False  # whether any byte has arrived
        self.raw_head: Sequence[
            bytes
        ] = ()  # what arrived up to the final head, and some bytes after it: see headers_in
        self._bodiless = bodiless
        self._fed = 0
        self._head: list[bytes] | None = []  # what was fed up to the end of the head; None after it
        self._repaired = False
        self._parts: list[bytes] = []
        self._forget_fields()

    def _forget_fields(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._etag = b""
        self._may_be_kept = True
        self._has_length = False  # whether the response itself says where it ends

    def feed(self, data: bytes) -> None:
        """Takes received bytes. Raises Malformed or TooLarge; the connection is then unusable."""
        self._fed += len(data)
        self.began = True
        head = self._head
        if head is not None:
            head.append(data)
        elif self._fed > LARGEST + LONGEST_HEAD:
            raise TooLarge(f"more than {LARGEST >> 20} MiB")
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.status:
                self._repair(error)
            elif not self.complete:
                raise Malformed(f"the answer is broken: {error}") from error
        if self._head is not None and self._fed > LONGEST_HEAD:
            raise Malformed(f"the head of the answer is longer than {LONGEST_HEAD >> 10} KiB")

    def end(self) -> None:
        """The other side closed the connection, which completes a response that does not say where it ends."""
        self.reusable = False
        if self.status and not self._has_length:
            self.complete = True

    def forget(self) -> None:
        """Drops what came. Otherwise each idle connection would keep its last response."""
        self._parts, self.raw_head = [], ()

    @property
    def body(self) -> bytes:
        """The body so far, still encoded."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    @property
    def head(self) -> HeaderFields:
        """The header fields of the final head."""
        if not self._fields:
            return _NO_FIELDS
        found: dict[bytes, str] = {}
        for name, value in self._fields:
            text = value.decode("utf-8", "replace").strip()
            # Only encodings form a list. Of other repeated fields, a browser takes the first.
            if name not in found:
                found[name] = text
            elif name == b"content-encoding":
                found[name] += f", {text}"
        return HeaderFields(*(found.get(name, "") for name in _WANTED))

    @property
    def validator(self) -> bytes:
        """The ETag of a response that a browser would keep, and ask with whether it has changed; empty: none."""
        return self._etag if self._may_be_kept and _SENDABLE.fullmatch(self._etag) else b""

    def close(self) -> None:
        """Drops the parser, which refers back to this object."""
        del self._parser

    # Callbacks of llhttp.

    def on_message_begin(self) -> None:
        if self.complete:
            self.reusable = False  # more arrived than was requested

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is None:
            return  # a trailer
        name = name.lower()
        if name == b"content-length":
            self._has_length = True
        elif name == b"transfer-encoding":
            self._has_length = value.strip().lower().endswith(b"chunked")
        elif name == b"etag":
            self._etag = self._etag or value.strip()
        elif name == b"cache-control":
            self._may_be_kept = self._may_be_kept and b"no-store" not in value.lower()
        elif name in _WANTED:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._forget_fields()  # an interim response; the final one follows
            return
        self.raw_head, self._head = self._head or (), None
        self.status = status
        if self._bodiless:
            # llhttp does not know the request, and would wait for the body that the head describes.
            self.complete = True
        elif status in (101, 204, 304):
            self._has_length = True

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        if self.status and not self.complete:
            self.complete = True
            self.reusable = self.status != 101 and self._parser.should_keep_alive()

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(**_LENIENT)
        return parser

    def _repair(self, error: Exception) -> None:
        """Once the head is complete, feeds it again without the faults that browsers ignore."""
        came = b"".join(self._head or [])
        end = BLANK_LINE.search(came)
        if self._repaired:
            raise Malformed(f"no HTTP answer: {error}, got {came[:100]!r}") from error
        if not came.lstrip(b"\r\n")[:5].upper().startswith(b"HTTP/"[: len(came)]):
            raise Malformed(f"no HTTP answer: {error}, got {came[:100]!r}") from error
        if end is None:
            # Every feed raises the same error again until the head is complete.
            return
        self._repaired = True
        self._parser = self._new_parser()
        self._forget_fields()
        self._head = []
        self._fed -= len(came)
        self.feed(repaired(came[: end.start()]) + b"\r\n\r\n" + came[end.end() :])


_WANTED = (b"content-encoding", b"location", b"retry-after", b"keep-alive")  # in the order of HeaderFields
_NO_FIELDS = HeaderFields()


def headers_in(came: Sequence[bytes]) -> Headers:
    """The fields of the final head among the bytes that came, which may begin with interim responses."""
    rest = b"".join(came)
    while end := BLANK_LINE.search(rest):
        head, rest = rest[: end.start()].lstrip(b"\r\n"), rest[end.end() :]
        if head and not _INTERIM.match(head):
            return fields_of(head)
    return Headers()


def fields_of(head: bytes) -> Headers:
    """The fields of a head, without its blank line, as a browser understands it."""
    lines = (line.partition(b":") for line in repaired(head).split(b"\r\n")[1:])
    return Headers((name.decode().lower(), value.strip().decode("utf-8", "replace")) for name, _, value in lines)


def repaired(head: bytes) -> bytes:
    """A head, without its blank line, as a browser understands it.

    Drops lines that are not fields, repeated equal lengths, lengths beside chunked, and transfer encodings without
    chunked.
    """
    status, *lines = re.sub(rb"\r?\n[ \t]+", b" ", head.lstrip(b"\r\n")).splitlines()
    fields = [match.groups() for match in map(_FIELD.fullmatch, lines) if match]
    chunked = any(name.lower() == b"transfer-encoding" and value.lower().endswith(b"chunked") for name, value in fields)
    kept: list[bytes] = [re.sub(rb"[^ -~]", b"", status)]
    length = b""
    for name, value in fields:
        match name.lower():
            case b"content-length":
                lengths = {part.strip() for part in value.split(b",")}
                if chunked or lengths == {length}:
                    continue
                if len(lengths) == 1:
                    (length,) = lengths
                    kept.append(name + b": " + length)
                    continue
            case b"transfer-encoding" if not chunked:
                continue
            case _:
                pass
        kept.append(name + b": " + value)
    return b"\r\n".join(kept)
