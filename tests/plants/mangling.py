"""Chats that change characters, as real ones do: `corrupted`. Only one of them changes ASCII."""

import html
import re
import unicodedata

from .chat import Message
from .plant import Plant

_FOUR_BYTES = re.compile("[\U00010000-\U0010ffff]")


class Rewrites(Plant):
    """Stores each text as `rewritten` returns it."""

    finding = "corrupted"
    cause = "text_changed"

    def rewritten(self, text: str) -> str:
        raise NotImplementedError

    def store(self, chat_id: str, text: str) -> Message:
        kept = self.rewritten(text)
        message = super().store(chat_id, kept)
        if kept != text:
            self.broken.add(message.number)
        return message


class Normalises(Rewrites):
    """Normalises texts to NFC, as some databases and file systems do."""

    def rewritten(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)


class CutsAtFourBytes(Rewrites):
    """Cuts texts at the first four-byte character, as MySQL's utf8mb3 does in non-strict mode."""

    def rewritten(self, text: str) -> str:
        return _FOUR_BYTES.split(text)[0]


class EscapesHtml(Rewrites):
    """Escapes HTML when it stores a text, which is once too often."""

    def rewritten(self, text: str) -> str:
        return html.escape(text)


class KeepsLatin1(Rewrites):
    """Replaces each character that Latin-1 lacks by a question mark."""

    def rewritten(self, text: str) -> str:
        return text.encode("latin-1", "replace").decode("latin-1")


class JoinsLines(Rewrites):
    """Removes line breaks."""

    def rewritten(self, text: str) -> str:
        return text.replace("\n", "")


class CutsInHalf(Rewrites):
    """Cuts texts after 60 UTF-16 code units, which may leave a lone surrogate in its JSON."""

    def rewritten(self, text: str) -> str:
        return text.encode("utf-16-le")[:120].decode("utf-16-le", "surrogatepass")
