"""The Origin that a page's browser would send, read as people write it."""

import re

from .address import parse_address

_EXPECTED = "expected an origin such as https://shop.example.com"
_OTHER = re.compile(r"null|file://|[a-z][a-z0-9+.-]*://[^\s/?#@\\]+")
_NO_PAGES = ("http:", "https:", "ws:", "wss:", "ftp:")  # read as addresses, which says what is wrong with them


def parse_origin(text: str) -> str:
    """The origin as browsers write it: lower case, without the scheme's own port, and without a slash at its end.

    Takes `null` and what pages of extensions and apps have (chrome-extension://…, capacitor://localhost, file://).
    Raises ValueError, in one line.
    """
    if text.lower().startswith(_NO_PAGES):
        try:
            address = parse_address(text)
        except ValueError as error:
            raise ValueError(f"{_EXPECTED}, got {str(error).partition(', got ')[2]}") from None
        if address.prefix:
            raise ValueError(f"{_EXPECTED}, got {text!r} (it has a path)")
        return address.origin
    if not text.isascii() or not text.isprintable() or not _OTHER.fullmatch(text):
        shown = repr(text) if "@" not in text else "one with an @"
        raise ValueError(f"{_EXPECTED}, got {shown}")
    return text
