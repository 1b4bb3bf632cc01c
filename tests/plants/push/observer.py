"""A small run against a push chat, and what can be found in it: a second, much simpler judge.

One member sends 60 messages to three rooms, one after the other. After every six, each viewer reads all that has come:
a pong follows everything that was sent before its ping.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from .chat import PushChat
from .client import Client, Frame, bearer, listen, tell, until

Transport = Literal["http", "ack", "echo", "written"]
"""How messages are sent and accepted: `written` ones once their bytes have gone out."""

MEMBERS = {"red": ["v1", "v2"], "green": ["v2", "v3"], "blue": ["v3", "v4"]}
"""The rooms' viewers. The sender is a member of all of them."""

SENDER, STRANGER = "sender", "stranger"
MESSAGES, BURST = 60, 6
CHANGE = 36  # messages: after them, v4 leaves blue, and v1 becomes a member of it

_NUMBER = re.compile(r"m(\d+)")


def text_of(number: int) -> str:
    return f"m{number} the quick brown fox jumps over the lazy dog m{number}"


class Send(NamedTuple):
    """A message that was sent, and whether it was accepted (True), rejected (False), or neither for certain."""

    room: str
    accepted: bool | None


class Sighting(NamedTuple):
    """A message that was announced to a user. `number` is None for a text that nobody sent."""

    user: str
    connection: int
    room: str
    id: int
    number: int | None
    text: str
    late: bool  # it came after its burst had been read


@dataclass
class Viewer:
    """A user with a socket. `gaps`: the numbers of the messages that were sent between two connections."""

    name: str
    token: str
    rooms: list[str]
    socket: ClientConnection
    connection: int = 0
    last: dict[str, int] = field(default_factory=dict)  # by room: the id of the last message seen
    seen: int = 0  # the highest number
    gaps: set[int] = field(default_factory=set)
    left: set[str] = field(default_factory=set)  # the rooms that it was told that it has left


@dataclass
class Run:
    """Everything that was observed."""

    sends: dict[int, Send] = field(default_factory=dict)  # by number
    sightings: list[Sighting] = field(default_factory=list)
    history: dict[str, list[Frame]] = field(default_factory=dict)  # by room
    viewers: list[Viewer] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    audience: dict[int, list[str]] = field(default_factory=dict)  # by number: who must see a message
    let_in: int = 0  # strangers' joins that were not refused
    shown: int = 0  # texts that strangers' reads showed


class Observer:
    """Makes a run."""

    def __init__(self, client: Client, chat: PushChat, transport: Transport, *, changes: bool) -> None:
        self.client, self.chat, self.transport, self.changes = client, chat, transport, changes
        self.run = Run()
        self.members = {room: list(names) for room, names in MEMBERS.items()}
        self.sending: Viewer | None = None

    def observe(self) -> Run:
        for room, names in self.members.items():
            assert self.client.room(room, [*names, SENDER]).status_code == 200
        for name in sorted({name for names in self.members.values() for name in names}):
            self._come(name)
        token = self.client.token(SENDER)
        if self.transport != "http":
            self.sending = self._view(SENDER, token, list(MEMBERS) if self.transport == "echo" else [])
        for number in range(1, MESSAGES + 1):
            room = list(MEMBERS)[number % len(MEMBERS)]
            self.run.audience[number] = list(self.members[room])
            accepted = self._send(token, room, number)
            self.run.sends[number] = Send(room, accepted)
            if number % BURST == 0:
                self._catch_up(number)
            if number == CHANGE:
                self._change()
                self._intrude()
        while self.chat.on_their_way():
            self._catch_up(MESSAGES)
        self._catch_up(MESSAGES)
        self.run.history = {room: self.client.history(token, room) for room in MEMBERS}
        return self.run

    def _come(self, name: str) -> None:
        response = self.client.log_in(name)
        rooms = [room for room, names in self.members.items() if name in names]
        try:
            if response.status_code != 200:
                raise PermissionError
            self.run.viewers.append(self._view(name, response.json()["token"], rooms))
        except (PermissionError, InvalidStatus):
            self.run.absent.add(name)

    def _view(self, name: str, token: str, rooms: list[str]) -> Viewer:
        viewer = Viewer(name, token, rooms, self.client.connect(token))
        assert listen(viewer.socket)[0]["user"] == name
        for room in rooms:
            self._join(viewer, room)
        return viewer

    def _join(self, viewer: Viewer, room: str) -> None:
        after = {"after": viewer.last[room]} if room in viewer.last else {}
        tell(viewer.socket, type="join", ref=room, room=room, **after)
        frames = until(viewer.socket, "joined")
        self._note(viewer, frames)
        viewer.last.setdefault(room, frames[-1]["last"])

    def _note(self, viewer: Viewer, frames: list[Frame]) -> None:
        for frame in frames:
            if frame["type"] == "left":
                viewer.left.add(frame["room"])
            if frame["type"] != "message":
                continue
            found = _NUMBER.search(frame["text"])
            number = int(found[1]) if found else None
            late = number is not None and number <= len(self.run.sends) - BURST
            self.run.sightings.append(
                Sighting(viewer.name, viewer.connection, frame["room"], frame["id"], number, frame["text"], late)
            )
            viewer.last[frame["room"]] = frame["id"]
            viewer.seen = max(viewer.seen, number or 0)

    def _catch_up(self, sent: int) -> None:
        """Each viewer reads all that has been sent to it; if it was disconnected, it comes back."""
        for viewer in self.run.viewers:
            try:
                tell(viewer.socket, type="ping")
                caught_up = False
                while not caught_up:
                    frames = listen(viewer.socket)
                    caught_up = frames[0]["type"] == "pong"
                    self._note(viewer, frames)
            except ConnectionClosed:
                self._read_rest(viewer)
                viewer.gaps |= set(range(viewer.seen + 1, sent + 1))
                viewer.connection += 1
                viewer.socket = self.client.connect(viewer.token)
                assert listen(viewer.socket)[0]["type"] == "hello"
                for room in viewer.rooms:
                    self._join(viewer, room)

    def _read_rest(self, viewer: Viewer) -> None:
        try:
            while True:
                self._note(viewer, listen(viewer.socket))
        except ConnectionClosed:
            viewer.socket.close()

    def _send(self, token: str, room: str, number: int) -> bool | None:
        text = text_of(number)
        if self.sending is None:
            try:
                response = self.client.send(token, room, text, f"k{number}")
            except httpx.RemoteProtocolError:
                return None
            if response.status_code >= 500:
                return None
            return response.status_code == 201 and "id" in response.json()
        tell(self.sending.socket, type="send", ref=f"k{number}", room=room, text=text)
        tell(self.sending.socket, type="ping")
        if self.transport == "written":
            until(self.sending.socket, "pong")
            return True
        for frame in until(self.sending.socket, "pong"):
            if frame["type"] == "ack" or frame.get("text") == text:
                return True
            if frame["type"] == "nack":
                return None if frame["status"] == 500 else False
        return None

    def _change(self) -> None:
        if not self.changes:
            return
        viewers = {viewer.name: viewer for viewer in self.run.viewers}
        assert self.client.remove("blue", "v4").status_code == 204
        assert self.client.add("blue", "v1").status_code == 204
        self.members["blue"] = ["v1", "v3"]
        viewers["v4"].rooms.remove("blue")
        viewers["v1"].rooms.append("blue")
        self._join(viewers["v1"], "blue")

    def _intrude(self) -> None:
        """A user who is a member of no room tries to read one, and to join one."""
        token = self.client.token(STRANGER)
        response = self.client.http.get("/api/rooms/red/messages", headers=bearer(token))
        self.run.shown += len(response.json().get("messages", []))
        socket = self.client.connect(token)
        listen(socket)
        tell(socket, type="join", ref="1", room="red")
        self.run.let_in += listen(socket)[0]["type"] == "joined"
        socket.close()


def found_in(run: Run) -> dict[str, int]:
    """How often each finding is made; those that are not made are left out."""
    seen = {(sighting.user, sighting.number) for sighting in run.sightings}
    shown = {sighting.number for sighting in run.sightings}
    stored = [(room, message["id"], _number(message["text"]), message["text"])
              for room, messages in run.history.items() for message in messages]  # fmt: skip
    kept = {number for _, _, number, _ in stored}
    accepted = {number for number, send in run.sends.items() if send.accepted}
    lost = {(name, number) for number in accepted for name in run.audience[number]} - seen
    copies = [(s.room, s.id, s.number, s.text) for s in run.sightings] + stored
    rejected = {number for number, send in run.sends.items() if send.accepted is False}
    unknown = {number for number, send in run.sends.items() if send.accepted is None}
    counts = {
        "lost": len(lost),
        "gap": sum(number in viewer.gaps for viewer in run.viewers for name, number in lost if name == viewer.name),
        "store_lost": len(accepted - kept),
        "vanished": len(shown & run.sends.keys() - kept),
        "duplicated": _repeated([(s.user, s.connection, s.number) for s in run.sightings if s.number])
        + _repeated([number for _, _, number, _ in stored if number]),
        "reordered": len(_out_of_order(run)),
        "phantom": len({id_ for _, id_, number, _ in copies if number is None}) + len(rejected & (shown | kept)),
        "corrupted": len({number for _, _, number, text in copies if number and text != text_of(number)}),
        "misplaced": len({number for room, _, number, _ in copies if number and room != run.sends[number].room}),
        "silent_socket": sum(_silent(run, viewer, seen) for viewer in run.viewers),
        "refused": len(rejected | unknown),
        "recovered": len(unknown & kept),
        "absent": len(run.absent),
        "leaked": run.let_in + run.shown + sum(s.user not in run.audience[s.number] for s in run.sightings if s.number),
    }
    return {name: count for name, count in counts.items() if count}


def _number(text: str) -> int | None:
    found = _NUMBER.search(text)
    return int(found[1]) if found else None


def _repeated(items: list[object]) -> int:
    return len(items) - len(set(items))


def _out_of_order(run: Run) -> set[int]:
    """The messages that came after a later one: in a room on one connection, or in the store."""
    sequences: dict[tuple[object, ...], list[int]] = {}
    for sighting in run.sightings:
        if sighting.number:
            sequences.setdefault((sighting.user, sighting.connection, sighting.room), []).append(sighting.number)
    for room, messages in run.history.items():
        sequences[(room,)] = [number for message in messages if (number := _number(message["text"]))]
    wrong = set()
    for sequence in sequences.values():
        latest = 0
        for number in dict.fromkeys(sequence):
            if number < latest:
                wrong.add(number)
            latest = max(latest, number)
    return wrong


def _silent(run: Run, viewer: Viewer, seen: set[tuple[str, int | None]]) -> bool:
    """Whether a viewer got none of the last five messages that it should have got, in rooms that it has not left."""
    due = [
        number
        for number, send in run.sends.items()
        if send.accepted and viewer.name in run.audience[number] and send.room not in viewer.left
    ]
    return len(due) >= 5 and not any((viewer.name, number) in seen for number in due[-5:])
