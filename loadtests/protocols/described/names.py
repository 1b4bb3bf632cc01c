"""The variables of a protocol file: where each is kept, where each is used, and whether it can be known there."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .requests import RequestStep
from .tables import FileTable
from .templates import COMPUTED, Template

EVERYWHERE = frozenset({"run", "base_url", "host", *COMPUTED})
"""What is known wherever there is a hole."""

_LOCAL = {
    "text": "[send]",
    "uid": "[send]",
    "traceparent": "[send]",
    "body": "the request of [send]",
    "ref": "steps of the socket, [heartbeat] and [send] frame",
    "room": "joins, [send], [history], [rooms.add] and [rooms.remove]",
    "index": "[users.each] and [rooms]",
    "role": "[users.each]",
    "members": "[[rooms.create]]",
}
"""Where each of these is known."""


@dataclass(frozen=True, slots=True)
class _Use:
    """A template in its place. `known`: the kind of place, which decides what is known there."""

    table: FileTable
    key: str
    template: Template
    known: str


class Names:
    """All of one file."""

    def __init__(self) -> None:
        self._uses: list[_Use] = []
        self._kept: dict[str, dict[str, int]] = {}  # by place: variables, with the line that keeps them

    def used(self, table: FileTable, key: str, template: Template, known: str) -> None:
        """A template stands there."""
        self._uses.append(_Use(table, key, template, known))

    def kept(self, place: str, name: str, line: int) -> None:
        """A place keeps a variable."""
        self._kept.setdefault(place, {}).setdefault(name, line)

    def check(self, *, each_sender: bool, one_room: bool) -> None:
        """Reports each variable that cannot be known where it is used."""
        login = {*self._kept.get("login", {}), *self._kept.get("socket.before", {})}
        sockets = {
            name for place in ("socket.open", "socket.again", "socket.join", "socket.rejoin", "frame")
            for name in self._kept.get(place, {})
        }  # fmt: skip
        of_rooms = {name for name in sockets if name.startswith("room.")}
        connection = sockets - of_rooms
        user = login | {"user.*"}
        room = {"room", *of_rooms}
        own_room = room if one_room else set()
        known = {
            "users.each": {"index", "role"},
            "login": user,
            "socket.before": user,
            "rooms.id": {"index"},
            "rooms.create": {"index", "members", "room", *user, *self._kept.get("rooms.create", {})},
            "rooms.add": user | {"room"},
            "rooms.remove": user | {"room"},
            "handshake": user | connection | {"room"},
            "socket.open": user | connection | own_room | {"ref"},
            "socket.again": user | connection | own_room | {"ref"},
            "socket.join": user | connection | room | {"ref"},
            "socket.rejoin": user | connection | room | {"ref"},
            "frame": user | connection | room,
            "heartbeat": user | connection | own_room | {"ref"},
            "send.frame": user | connection | room | {"text", "uid", "traceparent", "ref"},
            "send.request": user | {"room", "text", "uid", "traceparent", "body"},
            "history": user | room | set(self._kept.get("history", {})),
            "refetch": user,
        }
        if each_sender:
            known["rooms.create"] -= {"index", "members", "room"} - set(self._kept.get("rooms.create", {}))
        for use in self._uses:
            here = EVERYWHERE | known[use.known]
            for name in sorted(use.template.names):
                if name in here or name.startswith("env.") or (name.startswith("user.") and "user.*" in here):
                    continue
                use.table.problem(use.key, *self._unknown(name, here))

    def _unknown(self, name: str, here: Collection[str]) -> tuple[str, str]:
        known = "variables that are known here"
        places = [(place, names[name]) for place, names in self._kept.items() if name in names]
        if places:
            place, line = places[0]
            return known, f"${{{name}}}, which line {line} ({place}) keeps for other places"
        if name in _LOCAL:
            return known, f"${{{name}}}, which is known in {_LOCAL[name]} only"
        near = difflib.get_close_matches(name, here, 1)
        hint = f"did you mean {near[0]}?" if near else f"these are: {', '.join(sorted(here))}"
        return known, f"${{{name}}} ({hint})"

    def columns(self, users: Mapping[str, Template]) -> dict[str, int]:
        """The columns that the users' file must have, each with the line that needs it."""
        columns: dict[str, int] = {}
        for use in self._uses:
            for name in sorted(use.template.needed):
                if name.startswith("user.") and (column := name.removeprefix("user.")) not in {*users, "name"}:
                    columns.setdefault(column, use.table.line_of(use.key))
        return columns

    def needed_environment(self) -> dict[str, int]:
        """The environment variables that have to be set, each with the line."""
        found: dict[str, int] = {}
        for use in self._uses:
            for name in sorted(use.template.needed):
                if name.startswith("env."):
                    found.setdefault(name.removeprefix("env."), use.table.line_of(use.key))
        return found

    def environment(self) -> frozenset[str]:
        """All environment variables that are used."""
        names = set[str]().union(*(use.template.names for use in self._uses))
        return frozenset(name.removeprefix("env.") for name in names if name.startswith("env."))

    def of_users(self, steps: Sequence[RequestStep]) -> set[str]:
        """The variables of a user that steps need."""
        names = set[str]().union(*(one.names for step in steps for one in step.request.templates))
        return {name for name in names if name.startswith("user.") or name in self._kept.get("login", {})}
