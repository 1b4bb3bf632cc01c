"""Reading requests: the body within a limit, as JSON or a form, into text fields."""

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
"""The most bytes of a form; sends have a limit of their own."""

MAX_FIELD: Final = 320
"""The most characters of a form's field: the longest an email address can be."""

NOT_BLANK: Final = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""What `str.isspace` says no to, as a pattern for JSON Schema, whose \\S is JavaScript's: that knows fewer blanks."""

DRAIN: Final = 4 << 20
"""Bytes of a body that is too long that are read and forgotten: hanging up on a client that is still sending would cost
it the answer."""

S = TypeVar("S", bound=msgspec.Struct)


class UnreadableError(Exception):
    """The request cannot be read; the message says what was expected and what came."""


class TooLongError(Exception):
    """The body is longer than it may be. The rest of it was not read, or not kept."""


class GoneError(Exception):
    """The client has left before its request was whole."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises TooLongError beyond `limit` bytes, GoneError if the client leaves."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise TooLongError
        return body
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        part = message.get("body", b"")
        size += len(part)
        if size > limit + DRAIN or (size > limit and not message.get("more_body")):
            raise TooLongError
        if size <= limit:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise GoneError


def fields(body: bytes, content_type: bytes | None) -> Mapping[str, object]:
    """The fields of a JSON object or a form; what is not called a form is taken for JSON. Raises UnreadableError."""
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
    """The fields of a shape that holds nothing but texts, None for those that are missing. Raises UnreadableError."""
    return shape(**{name: text_field(values, name, limit) for name in shape.__struct_fields__})


def whole_form(values: Mapping[str, object]) -> str:
    """All of a form, as JSON to be kept. Raises UnreadableError for what neither JSON nor the store can hold."""
    try:
        return msgspec.json.encode(values).decode()
    # Half a surrogate pair, a number of more than 64 bits, or too many levels.
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise UnreadableError(f"body: expected Unicode text and numbers of 64 bits, got: {error}") from None


def text_field(values: Mapping[str, object], name: str, limit: int) -> str | None:
    """A field's text, or None if there is none. Raises UnreadableError for other types, too long or unstorable text."""
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
    """Raises UnreadableError for half a surrogate pair, which UTF-8 cannot hold: it would fail a whole batch."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnreadableError(f"{name}: expected Unicode text, got half a surrogate pair") from None


def whole_number(text: str | None, name: str, low: int, high: int, default: int) -> int:
    """A number from a query string. Raises UnreadableError if it is none, or not from `low` to `high`."""
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
