"""The log lines that the guide shows in the backend's terminal.

People follow the guide message by message with these lines. Under load they would cost more than the messages, so one
summary line a second replaces them.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from chatswarm.backend.store.records import Message
from chatswarm.backend.wire.frames import notification

from .line_printer import LinePrinter

MESSAGES_PER_SECOND: Final = 5
SUBSCRIBERS: Final = 10
_RULE: Final = "=" * 60


class Pace:
    """Decides whether a message gets its lines, and when a summary is due. Times are seconds on a monotonic clock."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MESSAGES_PER_SECOND)
        self._since: float | None = None
        self._messages = 0
        self._deliveries = 0

    def every_line(self, now: float, subscribers: int) -> bool:
        """Whether to print all lines for this message; if not, the summary counts it."""
        busy = len(self._recent) == MESSAGES_PER_SECOND and now - self._recent[0] < 1
        self._recent.append(now)
        if not busy and subscribers <= SUBSCRIBERS and self._since is None:
            return True
        if self._since is None:
            self._since = now
        self._messages += 1
        self._deliveries += subscribers
        return False

    def summary(self, now: float) -> tuple[int, int] | None:
        """Messages and deliveries of the elapsed second, returned once; None if no summary is due."""
        if self._since is None or now - self._since < 1:
            return None
        counts = (self._messages, self._deliveries)
        self._messages = self._deliveries = 0
        self._since = None
        return counts


def connected(connection_id: str) -> list[str]:
    """A dashboard has connected."""
    return [f"WebSocket connected: {connection_id}"]


def subscribed(connection_id: str, channel: str, total: int) -> list[str]:
    """A dashboard has subscribed."""
    return [f"✅ Connection {connection_id} subscribed to {channel}", f"Total subscribers for {channel}: {total}"]


def announcement_lines(message: Message, connection_ids: Sequence[str]) -> list[str]:
    """The middle part of a message's lines: the broadcast to its subscribers."""
    kind = "widget" if message.role == "user" else "dashboard"
    frame = json.dumps(json.loads(notification(message)), indent=2, ensure_ascii=False).replace("\n", "\n   ")
    return [
        f"📡 Broadcasting chat_updates to {len(connection_ids)} subscriber(s)",
        f"   Message: {frame}",
        "",
        *[f"✅ Successfully sent message to connection {each}" for each in connection_ids],
        f"✅ Quick notification broadcast completed ({kind} message)",
    ]


def message_lines(message: Message, connection_ids: Sequence[str], *, alone: bool = True) -> list[str]:
    """A message from request to response, as the guide shows it. If not `alone`, other workers may have subscribers."""
    widget = message.role == "user"
    kind = "widget" if widget else "dashboard"
    path = f"/api/{'users' if widget else 'dashboard'}/chats/{message.chat_id}/send"
    lines = [
        _RULE,
        f"📥 {kind.upper()} MESSAGE RECEIVED",
        _RULE,
        f"Chat ID: {message.chat_id}",
        _RULE,
        "",
        f"📥 Parsed JSON body: { {'content': message.text, 'role': message.role} }",
        f"💬 Message content: {message.text!r}",
        f"👤 Message role: {message.role!r}",
        "",
    ]
    if connection_ids:
        lines += announcement_lines(message, connection_ids)
    elif alone:
        lines += ["⚠️ No subscribers for chat_updates, message will not be delivered"]
    lines += [
        f"✅ Message saved to chat {message.chat_id[:8]}... (role: {message.role})",
        "",
        f'INFO: "POST {path} HTTP/1.1" 200 OK',
    ]
    return lines


class GuideLog(LinePrinter):
    """Prints the guide's lines to `out`."""

    def __init__(self, out: TextIO | None = None, *, alone: bool = True) -> None:
        super().__init__(out)
        self._alone = alone
        self._pace = Pace()

    def log_own(self, messages: Iterable[Message], connection_ids: Sequence[str], subscribers: int) -> None:
        """Log this worker's messages; `connection_ids` lists the `subscribers` dashboards if they are few."""
        now = time.monotonic()
        for message in messages:
            if self._pace.every_line(now, subscribers):
                self.put(message_lines(message, connection_ids, alone=self._alone))

    def log_remote(self, messages: Iterable[Message], connection_ids: Sequence[str], subscribers: int) -> None:
        """Log the broadcast of messages that another worker stored; that worker prints the other lines."""
        now = time.monotonic()
        for message in messages:
            if subscribers and self._pace.every_line(now, subscribers):
                self.put(announcement_lines(message, connection_ids))

    def tick(self) -> None:
        """Print the summary if one is due. Call this at least twice a second."""
        if counts := self._pace.summary(time.monotonic()):
            self.put([f"📊 {counts[0]} messages, {counts[1]} notifications due in the last second"])
