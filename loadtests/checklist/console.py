"""The guide's console lines, as the browser's consoles must write them: word for word, and in this order.

What differs from run to run stands as `[…]`: connection ids and timestamps. Values in, values out: no browser here.
"""

import re
from collections.abc import Sequence

MESSAGE = "Hello from customer"

_ANY, _MORE = "[…]", "[more]"
_PATTERNS = {_ANY: r'[^"\n]+', _MORE: r'(?:,\n +"\w+": [^\n]+)*'}  # a backend may say more than the guide of a message


def connecting(socket_url: str) -> list[str]:
    """The inbox, until its WebSocket is confirmed."""
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
    """The inbox, for the one message of this chat."""
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


class ExpectedLine:
    """Lines that must come in this order; other lines may stand between them, for others use the chat as well."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._patterns = [_pattern(line) for line in lines]
        self._read = 0
        self.places: list[int] = []  # of those that have come, among the lines of the console

    def read(self, console: Sequence[str]) -> bool:
        """Whether all have come, among the lines of a console, which only grows from call to call."""
        for line in console[self._read :]:
            if self.missing is not None and self._patterns[len(self.places)].fullmatch(line):
                self.places.append(self._read)
            self._read += 1
        return self.missing is None

    @property
    def missing(self) -> str | None:
        """The first that has not come; None: all have."""
        come = len(self.places)
        return self._lines[come] if come < len(self._lines) else None

    def __len__(self) -> int:
        return len(self._lines)


def _pattern(line: str) -> re.Pattern[str]:
    parts = re.split(f"({re.escape(_ANY)}|{re.escape(_MORE)})", line)
    return re.compile("".join(_PATTERNS.get(part) or re.escape(part) for part in parts))
