"""Writes what this process observes into its history file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chatswarm.loadtests.history.files import Header, Writer
from chatswarm.loadtests.history.manifest import boot_id, history_file
from chatswarm.loadtests.history.tables import FORMAT, TABLES, ConnectionEvent, Role, SendOutcome, UserEvent
from chatswarm.loadtests.messages.identity import ParsedText
from chatswarm.loadtests.protocols.protocol import Chat, Frame

from .net.http import Response

_MAX_FRAMES = 10_000  # to remember; the same bytes reach all dashboards within moments
_INT16, _INT32, _INT64 = 2**15 - 1, 2**31 - 1, 2**63 - 1


class Recorder:
    """Writes one process's observations, and numbers its chats, connections and announcements in order.

    It makes whatever a target sends fit the columns: a half-written row would shift all later ones.
    """

    def __init__(self, folder: Path, run: str, process: str) -> None:
        path = history_file(folder, process)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = Writer(path, Header(FORMAT, run, process, boot_id()))
        self._chats: dict[str, int] = {}
        self._announcements: dict[tuple[str, bool, int], int] = {}
        self._announced_bytes: dict[bytes, int] = {}
        self._connections = 0
        self._noted: set[tuple[str, str]] = set()
        self._rows_read: dict[str, int] = {}  # by table, for `since`
        self._frame_connection, self._frame_announcement, self._frame_time = self._writer.columns["frame"]
        self.closed = False

    def chat(self, chat_id: str, widget: int = -1) -> int:
        """The chat's number. Pass the widget when this run creates the chat, before anything else names it."""
        number = self._chats.get(chat_id)
        if number is None:
            number = self._chats[chat_id] = len(self._chats)
            self._writer.append("chat", number, widget, _text(chat_id))
        return number

    def send(
        self, widget: int, n: int, chat: int, intended: float, handed: float, response: Response, outcome: SendOutcome,
        message_id: int | None,
    ) -> None:  # fmt: skip
        """Records a send whose outcome is known."""
        status, identity = _fit(response.status, _INT16), _identity(message_id)
        self._writer.append(
            "send", widget, n, chat, intended, handed, response.sent, response.done, outcome, status, identity
        )

    def opening(self, dashboard: int, time: float) -> int:
        """Records that a dashboard begins to connect. Returns the connection's number."""
        self._connections += 1
        self.connection(self._connections, dashboard, ConnectionEvent.OPENING, time)
        return self._connections

    def connection(
        self, connection: int, dashboard: int, event: ConnectionEvent, time: float, code: int = 0, detail: str = ""
    ) -> None:
        self._writer.append("connection", connection, dashboard, event, _fit(code, _INT16), time, _text(detail))

    def known_announcement(self, data: bytes) -> int | None:
        """The number of the announcement with exactly these bytes; None if they are new."""
        return self._announced_bytes.get(data)

    def announcement(self, data: bytes, frame: Frame) -> int:
        """The number of the announcement in this frame."""
        message_id = _identity(frame.message_id)
        key = (frame.chat_id, frame.from_customer, message_id)
        number = self._announcements.get(key)
        if number is None:
            number = self._announcements[key] = len(self._announcements)
            self._writer.append("announcement", number, self.chat(frame.chat_id), frame.from_customer, message_id)
        if len(self._announced_bytes) >= _MAX_FRAMES:
            self._announced_bytes.clear()
        self._announced_bytes[data] = number
        return number

    def frame(self, connection: int, announcement: int, time: float) -> None:
        """Records a frame on a dashboard. The hottest path of all: three appends."""
        self._frame_connection.append(connection)  # type: ignore[arg-type]
        self._frame_announcement.append(announcement)  # type: ignore[arg-type]
        self._frame_time.append(time)  # type: ignore[arg-type]

    def refetch(self, connection: int, dashboard: int, started: float, response: Response, version: int) -> None:
        """Records a refetch. `version` -1: it failed; `dashboard` -1: the final read."""
        status = _fit(response.reading, _INT16)
        self._writer.append(
            "refetch", connection, dashboard, started, response.done, status, version, len(response.body)
        )

    def change(self, version: int, chat_id: str, total: int, dropped: int, added: Sequence[ParsedText]) -> None:
        """Records how one chat changed from the previous version of the list to this one."""
        self._writer.append("version", version, self.chat(chat_id), _fit(total, _INT32), dropped, len(added))
        for seen in added:
            self._writer.append("text", version, self.chat(chat_id), seen.widget, seen.n, seen.condition)

    def final(
        self, chat_id: str, started: float, response: Response, chat: Chat | None, parsed: Sequence[ParsedText]
    ) -> None:
        """Records the final read of a whole chat; `chat` is None if it could not be read."""
        number = self.chat(chat_id)
        total = -1 if chat is None else _fit(chat.total, _INT32)
        # A final read that was cut short keeps its status; its detail says what is missing.
        status = _fit(response.reading if response.complete else response.status, _INT16)
        self._writer.append("final", number, status, total, started, response.done, _text(response.problem))
        if chat is None:
            return
        for position, (text, seen) in enumerate(zip(chat.texts, parsed, strict=True), 1):
            identity = _identity(text.message_id)
            self._writer.append("final_text", number, position, seen.widget, seen.n, seen.condition, identity)

    def lag(self, time: float, lag: float) -> None:
        """Records that the loop woke `lag` seconds late at `time`."""
        self._writer.append("lag", time, lag)

    def cpu(self, time: float, cpu: float, in_flight: int) -> None:
        self._writer.append("cpu", time, cpu, in_flight)

    def trouble(self, time: float, kind: str, detail: str) -> None:
        """Records a problem of the rig that the judge must know."""
        self._writer.append("trouble", time, kind, _text(detail))

    def note(self, time: float, kind: str, detail: str) -> None:
        """Records something worth knowing that is nobody's fault. Each kind and detail is recorded once."""
        if (kind, detail) not in self._noted:
            self._noted.add((kind, detail))
            self._writer.append("note", time, kind, _text(detail))

    def user(self, role: Role, number: int, event: UserEvent, time: float) -> None:
        """Records that an operator added or withdrew a user."""
        self._writer.append("user", role, number, event, time)

    def since(self, table: str, columns: Sequence[str]) -> list[Any]:
        """Copies of these columns of the rows since the last call for this table. Call it before `flush` drops them."""
        every = self._writer.columns[table]
        start = self._rows_read.get(table, 0)
        self._rows_read[table] = len(every[0])
        return [every[place][start:] for place in map(list(TABLES[table].columns).index, columns)]

    def flush(self) -> None:
        """Writes the buffered rows to the file."""
        if not self.closed:
            self._writer.flush()
            self._rows_read.clear()

    @property
    def failure(self) -> str | None:
        """Why the file could not be completed; None if it could."""
        return self._writer.failure

    def close(self) -> str | None:
        """Ends the file. Returns why it is incomplete, or None. Later observations are dropped."""
        self.closed = True
        self._writer.close()
        return self.failure


def _fit(number: int, largest: int) -> int:
    return max(-largest, min(number, largest))


def _identity(message_id: int | None) -> int:
    """A message's id; -1 if there is none or it does not fit."""
    return message_id if message_id is not None and 0 <= message_id <= _INT64 else -1


def _text(text: str) -> str:
    """The text with lone surrogates escaped: UTF-8 cannot encode them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
