"""Chats that change characters, as real ones were seen to: `corrupted`. ASCII goes through all but one unharmed."""

import html
import re
import unicodedata

from .chat import Message
from .plant import Plant

_FOUR_BYTES = re.compile("[\U00010000-\U0010ffff]")


class Rewrites(Plant):
    """Stores each text as `rewritten` gives it."""

    finding = "corrupted"

    def rewritten(self, text: str) -> str:
        raise NotImplementedError

    def store(self, chat_id: str, text: str) -> Message:
        kept = self.rewritten(text)
        message = super().store(chat_id, kept)
        if kept != text:
            self.broken.add(message.number)
        return message


class Normalises(Rewrites):
    """Brings texts into the form NFC, as some databases and file systems do."""

    def rewritten(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)


class CutsAtFourBytes(Rewrites):
    """Keeps what comes before the first character of four bytes, as MySQL's utf8mb3 does in its old mode."""

    def rewritten(self, text: str) -> str:
        return _FOUR_BYTES.split(text)[0]


class EscapesHtml(Rewrites):
    """Escapes for HTML when it stores, and so once too often."""

    def rewritten(self, text: str) -> str:
        return html.escape(text)


class KeepsLatin1(Rewrites):
    """Has a ? for each character that Latin-1 does not have."""

    def rewritten(self, text: str) -> str:
        return text.encode("latin-1", "replace").decode("latin-1")


class JoinsLines(Rewrites):
    """Drops line ends."""

    def rewritten(self, text: str) -> str:
        return text.replace("\n", "")


class CutsInHalf(Rewrites):
    """Cuts texts at 60 units of UTF-16, which may leave half of a character; its JSON then has a lone surrogate."""

    def rewritten(self, text: str) -> str:
        return text.encode("utf-16-le")[:120].decode("utf-16-le", "surrogatepass")
