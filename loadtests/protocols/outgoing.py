"""What comes from outside, made fit for a request: a segment of its path, its body, a token in a header."""

import json
import re
from urllib.parse import quote

import msgspec

_HALF = re.compile("[\ud800-\udfff]")  # half of a surrogate pair, which UTF-8 cannot encode
_TOKEN = re.compile(r"[!-~]+")


def whole(text: str) -> str:
    """The text with each half of a surrogate pair replaced by U+FFFD, as a browser sends it."""
    return _HALF.sub("\ufffd", text)


def segment(name: str) -> str:
    """A name as one segment of a path, whatever characters it has."""
    encoded = quote(whole(name), safe="")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def json_bytes(value: object) -> bytes:
    """A value as JSON. As in a browser, half of a surrogate pair becomes U+FFFD."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return whole(json.dumps(value, ensure_ascii=False)).encode()


def fits_a_header(token: str) -> bool:
    """Whether a token is printable ASCII without spaces: anything else could inject headers."""
    return _TOKEN.fullmatch(token) is not None
