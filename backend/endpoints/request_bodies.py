"""Reads request bodies within a limit, decodes JSON and forms, and validates fields and query parameters."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message as MimePart
from email.parser import BytesParser
from email.policy import HTTP
from email.utils import collapse_rfc2231_value
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive

MAX_FORM: Final = 64 << 10
"""Longest form body, in bytes; sends have their own limit."""

MAX_FIELD: Final = 320
"""Longest form field, in characters: the longest valid email address."""

NOT_BLANK: Final = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""A character for which `str.isspace` is false, for JSON Schema, whose \\S is JavaScript's and knows fewer blanks."""

DRAIN: Final = 4 << 20
"""Bytes read and discarded beyond a body's limit: a client that is still sending when the connection closes would not
get to read the response."""

S = TypeVar("S", bound=msgspec.Struct)


class UnreadableError(Exception):
    """The request cannot be understood; the message says what was expected and what came."""


class TooLongError(Exception):
    """The body exceeds its limit, which is the argument, in bytes. The rest of it was not read, or was discarded."""


class GoneError(Exception):
    """The client disconnected before its request was complete."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises TooLongError beyond `limit` bytes, GoneError if the client disconnects."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise TooLongError(limit)
        return body
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        part = message.get("body", b"")
        size += len(part)
        if size > limit + DRAIN or (size > limit and not message.get("more_body")):
            raise TooLongError(limit)
        if size <= limit:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise GoneError


def fields(body: bytes, content_type: bytes | None) -> Mapping[str, object]:
    """The fields of a JSON object or a form; without a form's content type, JSON is assumed. Raises UnreadableError."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    try:
        if kind == b"application/x-www-form-urlencoded":
            pairs = parse_qsl(
                body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=1000
            )
            return dict(pairs)
        if kind == b"multipart/form-data":
            return _multipart(body, content_type or b"")
        return msgspec.json.decode(body, type=dict[str, object])
    except (ValueError, msgspec.MsgspecError, RecursionError, LookupError) as error:
        raise UnreadableError(f"body: expected a JSON object or a form, got: {error}") from None


def text_fields(values: Mapping[str, object], shape: type[S], limit: int) -> S:
    """The fields of a shape that has only text fields; None for missing ones. Raises UnreadableError."""
    return shape(**{name: text_field(values, name, limit) for name in shape.__struct_fields__})


def form_as_json(values: Mapping[str, object]) -> str:
    """A whole form as JSON, for the store. Raises UnreadableError for values that JSON or the store cannot hold."""
    try:
        return msgspec.json.encode(values).decode()
    # Half a surrogate pair, a number of more than 64 bits, or too many levels.
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise UnreadableError(f"body: expected Unicode text and numbers of 64 bits, got: {error}") from None


def text_field(values: Mapping[str, object], name: str, limit: int) -> str | None:
    """A field's text; None if it is missing. Raises UnreadableError for other types, long text and unstorable text."""
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableError(f"{name}: expected text, got {type(value).__name__}")
    if len(value) > limit:
        raise UnreadableError(f"{name}: expected at most {limit} characters, got {len(value)}")
    storable(name, value)
    return value


def storable(name: str, value: str) -> None:
    """Raise UnreadableError for a lone surrogate, which UTF-8 cannot encode: it would fail a whole batch."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnreadableError(f"{name}: expected Unicode text, got half a surrogate pair") from None


def whole_number(text: str | None, name: str, low: int, high: int, default: int) -> int:
    """A query parameter as a number. Raises UnreadableError unless it is a whole number from `low` to `high`."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19) or not low <= int(text) <= high:
        raise UnreadableError(f"{name}: expected a whole number from {low} to {high}, got {text[:40]!r}")
    return int(text)


def _multipart(body: bytes, content_type: bytes) -> dict[str, object]:
    whole = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type + b"\r\n\r\n" + body)
    if not whole.is_multipart():
        boundary = whole.get_boundary()
        if boundary is not None and body.strip() == f"--{boundary}--".encode():
            return {}  # a form without fields
        raise ValueError("no parts")
    values: dict[str, object] = {}
    for part in whole.get_payload():
        assert isinstance(part, MimePart)
        name = part.get_param("name", header="content-disposition")
        if name is None:
            raise ValueError("a part without a name")
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            values[collapse_rfc2231_value(name)] = payload.decode()
    return values
