"""Versions of the chat list as this process saw it, each recorded as its difference from the one before.

Many dashboards refetch the same bytes. They are decoded once, and a refetch is one row in the history that names the
version it showed, however many messages are in it.
"""

from collections import deque
from collections.abc import Sequence

from chatswarm.loadtests.messages.identity import parse_text
from chatswarm.loadtests.protocols.protocol import Chat, ChatProtocol, Text, read

from .live.newly_shown import Intended, ShownMessages
from .recorder import Recorder

_MAX_BODIES = 16  # remembered; dashboards woken by one broadcast fetch the same few


class ListVersions:
    """Turns bodies of the list into version numbers, and records what each version changed."""

    def __init__(self, protocol: ChatProtocol, run: str, recorder: Recorder, intended: Intended) -> None:
        """`intended` is only for the live figures."""
        self._protocol = protocol
        self._run = run
        self._recorder = recorder
        self.messages = ShownMessages(intended)
        self._recent: deque[tuple[bytes, int]] = deque(maxlen=_MAX_BODIES)
        self._shown: dict[str, Chat] = {}
        self._version = -1

    def version_of(self, body: bytes) -> int:
        """The number of the version in these bytes. Raises Unreadable."""
        # Compared, not hashed: two lists differ near their start, but a hash reads all of both.
        for seen, version in self._recent:
            if seen == body:
                return version
        version = self._read(read(self._protocol.read_list, body))
        self._recent.appendleft((body, version))
        return version

    def _read(self, chats: Sequence[Chat]) -> int:
        changes: list[tuple[str, int, int, Sequence[Text]]] = []
        now = {chat.chat_id: chat for chat in chats}
        for chat_id, chat in now.items():
            before = self._shown.get(chat_id)
            if before is None:
                changes.append((chat_id, chat.total, 0, chat.texts))
            elif before.total != chat.total or before.texts != chat.texts:
                dropped = _dropped(before.texts, chat.texts)
                changes.append((chat_id, chat.total, dropped, chat.texts[len(before.texts) - dropped :]))
        for chat_id, gone in self._shown.items():
            if chat_id not in now:
                changes.append((chat_id, -1, len(gone.texts), []))
        if not changes and self._version >= 0:
            return self._version
        self._version += 1
        self._shown = now
        for chat_id, total, dropped, added in changes:
            parsed = [parse_text(text.text, self._run, from_customer=text.from_customer) for text in added]
            self._recorder.change(self._version, chat_id, total, dropped, parsed)
            self.messages.change(chat_id, total, dropped, parsed)
        self.messages.end_version()
        return self._version


def _dropped(before: Sequence[Text], after: Sequence[Text]) -> int:
    """How many texts were dropped at the front, if texts were only added at the end; else all of them."""
    for dropped in range(len(before)):
        kept = before[dropped:]
        if after[: len(kept)] == kept:
            return dropped
    return len(before)
