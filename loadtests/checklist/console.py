"""The guide's console lines, which the two pages must log word for word and in this order.

`[…]` stands for what differs from run to run: connection ids and timestamps.
"""

import re
from collections.abc import Sequence

MESSAGE = "Hello from customer"

_ANY, _MORE = "[…]", "[more]"
_PATTERNS = {_ANY: r'[^"\n]+', _MORE: r'(?:,\n +"\w+": [^\n]+)*'}  # a backend may give more fields than the guide


def connecting(socket_url: str) -> list[str]:
    """The inbox's lines until its WebSocket is confirmed."""
    return [
        f"🔌 Attempting to connect to WebSocket: {socket_url}",
        "✅ WebSocket connected",
        f"✅ WebSocket connection confirmed: {_ANY}",
    ]


SUBSCRIBING = [
    "📝 Subscribing to chat_updates...",
    "📊 Total subscribers for chat_updates: 1",
    "📤 Sending subscribe message for chat_updates...",
    "✅ Subscribed to: chat_updates",
]

SENDING = [f'📤 Sending message: "{MESSAGE}"', "✅ Message sent successfully"]


def notified(chat_id: str) -> list[str]:
    """The inbox's lines for the one message of this chat."""
    fields = [
        '"type": "chat_message_notification"',
        f'"chat_id": "{chat_id}"',
        '"message_role": "user"',
        f'"timestamp": "{_ANY}"{_MORE}',
    ]
    raw, update = ",\n    ".join(fields), ",\n  ".join(fields)
    details = f'  chat_id: "{chat_id}",\n  message_role: "user",\n  timestamp: "{_ANY}"'
    return [
        f'🔵 Raw WebSocket message received: {{\n  "type": "chat_updates",\n  "data": {{\n    {raw}\n  }}\n}}',
        "📡 Broadcasting chat_updates to subscribers...",
        "📬 Found 1 subscriber(s) for chat_updates",
        "  → Calling callback 1...",
        f"📨 Received WebSocket update: {{\n  {update}\n}}",
        "🔔 New message notification received, refetching chats...",
        f"📊 Notification details: {{\n{details}\n}}",
        "  ✅ Callback 1 executed successfully",
    ]


class ExpectedLines:
    """Lines that must come in this order. Others may come in between, because the chat may have other users."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._patterns = [_pattern(line) for line in lines]
        self._read = 0
        self.positions: list[int] = []  # indexes in the console of the lines found so far

    def read(self, console: Sequence[str]) -> bool:
        """Whether all lines have come. `console` has every line so far, and only grows from call to call."""
        for line in console[self._read :]:
            if self.missing is not None and self._patterns[len(self.positions)].fullmatch(line):
                self.positions.append(self._read)
            self._read += 1
        return self.missing is None

    @property
    def missing(self) -> str | None:
        """The first line that has not come; None if all have."""
        found = len(self.positions)
        return self._lines[found] if found < len(self._lines) else None

    def __len__(self) -> int:
        return len(self._lines)


def _pattern(line: str) -> re.Pattern[str]:
    parts = re.split(f"({re.escape(_ANY)}|{re.escape(_MORE)})", line)
    return re.compile("".join(_PATTERNS.get(part) or re.escape(part) for part in parts))
