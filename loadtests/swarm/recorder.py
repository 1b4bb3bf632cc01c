"""Writes what this process observes into its history file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chatswarm.loadtests.history.files import Header, Writer
from chatswarm.loadtests.history.manifest import boot_id, history_file
from chatswarm.loadtests.history.tables import (
    FORMAT,
    MOST_UNREADABLE,
    TABLES,
    ConnectionEvent,
    MembershipEvent,
    Role,
    SendOutcome,
    Sighting,
    UserEvent,
)
from chatswarm.loadtests.messages.identity import ParsedText, parse_text
from chatswarm.loadtests.protocols.protocol import Frame, Page
from chatswarm.loadtests.system.machine import MachineUse

from .net.http import Response

_MAX_FRAMES = 10_000  # to remember; the same bytes reach all dashboards within moments
_CYCLE = 100_000  # new frames, at the start of which it is decided whether to remember the others
_SAMPLE = 2_000  # new frames after which it is clear whether the same bytes reach several dashboards
_LONGEST_NAME = 200  # characters of a server's name
_UNREADABLE_CUT = (
    f"more than {MOST_UNREADABLE:,} frames could not be read in one process: the history has only the first of them"
)
_INT16, _INT32, _INT64 = 2**15 - 1, 2**31 - 1, 2**63 - 1

Announced = tuple[tuple[int, Frame], ...]
"""The messages in one WebSocket message: for each, the number of its announcement, and its frame."""


class Recorder:
    """Writes one process's observations, and numbers its chats, connections and announcements in order.

    It makes whatever a target sends fit the columns: a half-written row would shift all later ones.
    """

    def __init__(self, folder: Path, run: str, process: str) -> None:
        path = history_file(folder, process)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = Writer(path, Header(FORMAT, run, process, boot_id()))
        self._run = run
        self._chats: dict[str, int] = {}
        self._servers: dict[tuple[str, str], int] = {}
        self._announcements = 0
        self._by_id: dict[tuple[str, bool, int], int] = {}
        self._by_text: tuple[dict[tuple[str, str], int], ...] = tuple({} for _ in Sighting)
        self._known: dict[str, dict[bytes, Announced]] = {}
        self._remembers = True
        self._new = self._taken = 0  # new frames in this cycle; frames taken before it
        self._connections = 0
        self._unreadable = 0
        self._noted: set[tuple[str, str]] = set()
        self._rows_read: dict[str, int] = {}  # by table, for `since`
        self._frame_connection, self._frame_announcement, self._frame_time = self._writer.columns["frame"]
        self.closed = False

    def chat(self, chat_id: str, widget: int = -1, room: int = -1) -> int:
        """The chat's number. Pass the widget when this run creates the chat, or the number of the scenario's room,
        before anything else names it.
        """
        number = self._chats.get(chat_id)
        if number is None:
            number = self._chats[chat_id] = len(self._chats)
            self._writer.append("chat", number, widget, _text(chat_id), room)
        return number

    def server(self, address: str, name: str) -> int:
        """The number of the server at the `address` that was connected to, which gave this `name` for itself.

        Empty: unknown. -1 if both are, or if the target has given more names than there are numbers.
        """
        key = (address, name[:_LONGEST_NAME])
        number = self._servers.get(key)
        if number is None:
            number = len(self._servers)
            if number > _INT16 or key == ("", ""):
                return -1
            self._servers[key] = number
            self._writer.append("server", number, _text(address), _text(key[1]))
        return number

    def send(
        self, widget: int, n: int, chat: int, intended: float, handed: float, response: Response, outcome: SendOutcome,
        message_id: int | str | None, *, server: int = -1, connection: int = -1,
    ) -> None:  # fmt: skip
        """Records a send whose outcome is known. `server`: who answered it; `connection`: the socket that it went over;
        -1: unknown, or by HTTP.
        """
        status, identity = _fit(response.status, _INT16), _identity(message_id)
        self._writer.append(
            "send", widget, n, chat, intended, handed, response.sent, response.done, outcome, status, identity, server,
            connection,
        )  # fmt: skip

    def opening(self, dashboard: int, time: float, widget: int = -1) -> int:
        """Records that a dashboard or widget (the other is -1) begins to connect. Returns the connection's number."""
        self._connections += 1
        self.connection(self._connections, dashboard, ConnectionEvent.OPENING, time, widget=widget)
        return self._connections

    def connection(
        self, connection: int, dashboard: int, event: ConnectionEvent, time: float, code: int = 0, detail: str = "",
        *, widget: int = -1, server: int = -1, deflate: bool | None = None,
    ) -> None:  # fmt: skip
        """Records what happened to a connection. `server`: who it is with, needed in one row at most; `deflate`:
        whether compression was agreed, if known.
        """
        agreed = -1 if deflate is None else deflate
        self._writer.append(
            "connection", connection, dashboard, event, _fit(code, _INT16), time, _text(detail), widget, server, agreed
        )

    def membership(
        self, connection: int, dashboard: int, chat_id: str, event: MembershipEvent, time: float, detail: str = ""
    ) -> None:
        """Records what happened to a dashboard's membership in a chat. `connection` -1: not on a connection."""
        self._writer.append("membership", connection, dashboard, self.chat(chat_id), event, time, _text(detail))

    def known_in(self, room: str = "") -> dict[bytes, Announced]:
        """What exactly these bytes announced before, on connections that have only this room."""
        return self._known.setdefault(room, {})

    def remember(self, data: bytes, announced: Announced, taken: int, known: dict[bytes, Announced]) -> None:
        """Remembers in `known` what these bytes announce, unless the target hardly ever sends the same bytes twice.

        `taken`: how many frames this process has taken before.
        """
        if self._new >= _CYCLE or not self._new:
            self._new, self._taken = 0, taken
            self._remembers = True  # it may have been the first dashboard alone
        before = self._new
        self._new += len(announced)
        if before < _SAMPLE <= self._new:
            self._remembers = taken - self._taken - before >= _SAMPLE // 10
            if not self._remembers:
                for each in self._known.values():
                    each.clear()
        if self._remembers:
            if len(known) >= _MAX_FRAMES:
                known.clear()
            known[data] = announced

    def announcement(self, frame: Frame, how: Sighting = Sighting.LIVE) -> int:
        """The number of the announcement in a frame, or of a text in a read.

        A frame with a text is the message in its text, whatever id it has: ids may differ on every connection. The id
        that is kept is that of the first such frame.
        """
        if frame.text is not None:
            number = self._by_text[how].get((frame.chat_id, frame.text))
            return self._new_text(frame, frame.text, how) if number is None else number
        message_id = _identity(frame.message_id)
        key = (frame.chat_id, frame.from_customer, message_id)
        number = self._by_id.get(key)
        if number is None:
            number = self._by_id[key] = self._next_announcement()
            self._writer.append("announcement", number, self.chat(frame.chat_id), frame.from_customer, message_id)
        return number

    def _next_announcement(self) -> int:
        self._announcements += 1
        return self._announcements - 1

    def _new_text(self, frame: Frame, text: str, how: Sighting) -> int:
        number = self._by_text[how][frame.chat_id, text] = self._next_announcement()
        seen = parse_text(text, self._run, from_customer=frame.from_customer)
        self._writer.append(
            "announcement", number, self.chat(frame.chat_id), frame.from_customer, _identity(frame.message_id),
            seen.widget, seen.n, seen.condition, how,
        )  # fmt: skip
        return number

    def frame(self, connection: int, announcement: int, time: float) -> None:
        """Records a frame on a dashboard. The hottest path of all: three appends."""
        self._frame_connection.append(connection)  # type: ignore[arg-type]
        self._frame_announcement.append(announcement)  # type: ignore[arg-type]
        self._frame_time.append(time)  # type: ignore[arg-type]

    def unreadable(self, connection: int, time: float, detail: str) -> None:
        """Records a frame on a dashboard's connection that could not be read, unless there were too many before."""
        self._unreadable += 1
        if self._unreadable <= MOST_UNREADABLE:
            self._writer.append("unreadable", connection, time, _text(detail))
        elif self._unreadable == MOST_UNREADABLE + 1:
            self.note(time, "unreadable_cut", _UNREADABLE_CUT)

    def refetch(
        self, connection: int, dashboard: int, started: float, response: Response, version: int, server: int = -1,
        n: int = -1,
    ) -> None:  # fmt: skip
        """Records a refetch, the `n`-th of its dashboard, from 0. `version` -1: it failed; `dashboard` and `n` -1: the
        final read; `server` -1: unknown.
        """
        status = _fit(response.reading, _INT16)
        self._writer.append(
            "refetch", connection, dashboard, started, response.done, status, version, len(response.body), server, n
        )

    def change(self, version: int, chat_id: str, total: int, dropped: int, added: Sequence[ParsedText]) -> None:
        """Records how one chat changed from the previous version of the list to this one."""
        self._writer.append("version", version, self.chat(chat_id), _fit(total, _INT32), dropped, len(added))
        for seen in added:
            self._writer.append("text", version, self.chat(chat_id), seen.widget, seen.n, seen.condition)

    def final(
        self, chat_id: str, started: float, response: Response, chat: Page | None, parsed: Sequence[ParsedText]
    ) -> None:
        """Records the final read of a whole chat; `chat` is None if it could not be read."""
        number = self.chat(chat_id)
        total = -1 if chat is None or chat.total is None else _fit(chat.total, _INT32)
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

    def machine(self, time: float, use: MachineUse) -> None:
        """Records what this machine did in the second up to `time`."""
        self._writer.append("machine", time, *use)

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


def _identity(message_id: int | str | None) -> int:
    """A message's id; -1: none, or it does not fit. A text becomes a number, the same in every process."""
    if isinstance(message_id, str):
        return int.from_bytes(hashlib.blake2b(message_id.encode("utf-8", "replace"), digest_size=8).digest()) >> 1
    return message_id if message_id is not None and 0 <= message_id <= _INT64 else -1


def _text(text: str) -> str:
    """The text with lone surrogates escaped: UTF-8 cannot encode them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
