"""Generates the history of a run: by default 500 dashboards and 10,000 messages over 100 s, five million deliveries.

Each dashboard refetches every third of a second, and gets one frame per delivery.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tomli_w

from chatswarm.loadtests.history.faults import FaultWriter
from chatswarm.loadtests.history.files import Header, Writer
from chatswarm.loadtests.history.manifest import NEMESIS, Manifest, boot_id, history_file
from chatswarm.loadtests.history.tables import FORMAT, ConnectionEvent, MembershipEvent, Sighting
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario.rooms import memberships_of
from chatswarm.loadtests.scenario.scenario import parse
from chatswarm.loadtests.scenario.schedule import intended_times

TAIL = 3
DASHBOARDS, MESSAGES = 500, 10_000
DELIVERIES = DASHBOARDS * MESSAGES
SECONDS = 100.0
T0 = 1000.0
Defect = Literal["", "stale", "blind", "uncounted", "silent", "lagging"]
"""Lists that go back in time, lists that never arrive, lists without counts, hardly any frames, a rig that lags."""


class _Message(NamedTuple):
    intended: float
    widget: int
    n: int


@dataclass(frozen=True)
class GeneratedRun:
    """What to generate. `fault`: whether there is a fault, from 30 to 40 s, without an effect."""

    dashboards: int = DASHBOARDS
    messages: int = MESSAGES
    widgets: int = 100
    processes: int = 2
    ids: bool = True
    defect: Defect = ""
    fault: bool = False

    def write(self, folder: Path) -> None:
        """Writes the run into `folder`."""
        (folder / "history").mkdir(parents=True)
        self._write_plan(folder)
        if self.fault:
            _write_fault(folder)
        random = np.random.default_rng(1)
        for process, name in enumerate(self._names):
            writer = Writer(history_file(folder, name), Header(FORMAT, "bench", name, boot_id()))
            dashboards = np.arange(process, self.dashboards, self.processes)
            self._write_messages(writer, sender=process == 0)
            _write_lags(writer, 0.5 if self.defect == "lagging" else 0.0003)
            _write_connections(writer, dashboards.tolist())
            self._write_frames(writer, dashboards)
            self._write_refetches(writer, dashboards, random)
            if process == 0:
                self._write_final_reads(writer)
            writer.close()

    @property
    def _names(self) -> list[str]:
        return [f"worker{number}" for number in range(self.processes)]

    @property
    def _table(self) -> dict[str, object]:
        swarm = {
            "dashboards": self.dashboards, "widgets": self.widgets, "rate": self.messages / SECONDS,
            "duration": SECONDS, "arrivals": "even", "list_window": self.widgets,
        }  # fmt: skip
        return {"swarm": swarm}

    @cached_property
    def _sends(self) -> Sequence[_Message]:
        """All messages, in the order of their intended times."""
        return _schedule(self._table, self.widgets)

    def _message_id(self, index: int) -> int:
        return index if self.ids else -1

    def _write_plan(self, folder: Path) -> None:
        processes = [*self._names, NEMESIS] if self.fault else self._names
        manifest = Manifest(
            "bench", "bench", "-", "reference", None, 1, "-", boot_id(), processes, T0, T0 + SECONDS, True
        )
        manifest.write(folder)
        (folder / "scenario.toml").write_text(tomli_w.dumps(self._table), encoding="utf-8")

    def _write_messages(self, writer: Writer, *, sender: bool) -> None:
        """Chats, list versions and announcements; and sends, if this process is the `sender`."""
        for widget in range(self.widgets):
            writer.append("chat", widget, widget if sender else -1, f"chat-{widget}")
        for index, (at, widget, n) in enumerate(self._sends):
            if sender:
                writer.append("send", widget, n, widget, at, at, at, at + 0.005, 0, 200, self._message_id(index))
            writer.append("version", index, widget, 0 if self.defect == "uncounted" else n + 1, int(n >= TAIL), 1)
            writer.append("text", index, widget, widget, n, 0)
            writer.append("announcement", index, widget, 1, self._message_id(index))

    def _write_frames(self, writer: Writer, dashboards: np.ndarray) -> None:
        """One frame per message and dashboard, 10 to 15 ms after the message."""
        moments = np.array([message.intended for message in self._sends])
        connection = np.tile(dashboards, len(moments))
        announcement = np.repeat(np.arange(len(moments)), len(dashboards))
        spread = np.tile(np.linspace(0, 0.005, len(dashboards)), len(moments))
        time = np.repeat(moments + 0.01, len(dashboards)) + spread
        if self.defect == "silent":
            connection, announcement, time = connection[::100], announcement[::100], time[::100]
        columns = (connection.astype("i4"), announcement.astype("i4"), time)
        _fill(writer, "frame", columns)

    def _write_refetches(self, writer: Writer, dashboards: np.ndarray, random: np.random.Generator) -> None:
        """Refetches of each dashboard, each showing the newest version unless there is a defect."""
        moments = np.array([message.intended for message in self._sends])
        started = (T0 + 0.3 + np.arange(0, SECONDS + 1, 1 / 3))[:, None] + random.random(len(dashboards)) * 0.3
        rows = np.stack([started.ravel(), np.tile(dashboards, len(started)).astype(float)])
        rows = rows[:, np.argsort(rows[0])]
        versions = np.searchsorted(moments + 0.002, rows[0]) - 1
        if self.defect == "stale":
            versions = np.where(random.random(len(versions)) < 0.5, versions, np.maximum(-1, versions - 500))
        if self.defect == "blind":
            rows, versions = rows[:, :0], versions[:0]
        for at, dashboard, version in zip(*rows.tolist(), versions.tolist(), strict=True):
            writer.append("refetch", int(dashboard), int(dashboard), at, at + 0.01, 200, version, 1000)

    def _write_final_reads(self, writer: Writer) -> None:
        for widget in range(self.widgets):
            stored = [(index, message.n) for index, message in enumerate(self._sends) if message.widget == widget]
            writer.append("final", widget, 200, len(stored), T0 + 106.0, T0 + 106.1, "")
            for position, (index, n) in enumerate(stored, 1):
                writer.append("final_text", widget, position, widget, n, 0, self._message_id(index))


@dataclass(frozen=True)
class GeneratedRooms:
    """A run of a chat that pushes texts to the members of rooms. Without `ids`, only the texts identify a message."""

    dashboards: int
    rooms: int
    members: int
    messages: int
    ids: bool = True
    processes: int = 2

    @property
    def deliveries(self) -> int:
        return self.messages * self.members

    def write(self, folder: Path) -> None:
        """Writes the run into `folder`."""
        (folder / "history").mkdir(parents=True)
        names = [f"worker{number}" for number in range(self.processes)]
        manifest = Manifest(
            "bench", "bench", "-", "push", None, 1, "-", boot_id(), names, T0, T0 + SECONDS, True,
            promises=Promises(visible="frame", has_rooms=True, has_members=True),
        )  # fmt: skip
        manifest.write(folder)
        (folder / "scenario.toml").write_text(tomli_w.dumps(self._table), encoding="utf-8")
        for process, name in enumerate(names):
            writer = Writer(history_file(folder, name), Header(FORMAT, "bench", name, boot_id()))
            self._write_messages(writer, sender=process == 0)
            _write_lags(writer)
            self._write_dashboards(writer, process)
            writer.close()

    @cached_property
    def _table(self) -> dict[str, object]:
        swarm = {
            "dashboards": self.dashboards, "widgets": self.rooms, "rate": self.messages / SECONDS,
            "duration": SECONDS, "arrivals": "even",
        }  # fmt: skip
        return {"swarm": swarm, "rooms": {"count": self.rooms, "members": self.members}}

    @cached_property
    def _sends(self) -> Sequence[_Message]:
        """All messages, in the order of their intended times."""
        return _schedule(self._table, self.rooms)

    def _write_messages(self, writer: Writer, *, sender: bool) -> None:
        for room in range(self.rooms):
            writer.append("chat", room, -1, f"room-{room}", room)
        for index, (at, room, n) in enumerate(self._sends):
            number = index if self.ids else -1
            if sender:
                writer.append("send", room, n, room, at, at, at, at + 0.005, 0, 200, number)
            writer.append("announcement", index, room, 1, number, room, n, 0, Sighting.LIVE)
        if sender:
            for room in range(self.rooms):
                stored = [(index, message.n) for index, message in enumerate(self._sends) if message.widget == room]
                writer.append("final", room, 200, len(stored), T0 + 106.0, T0 + 106.1, "")
                for position, (index, n) in enumerate(stored, 1):
                    writer.append("final_text", room, position, room, n, 0, index if self.ids else -1)

    def _write_dashboards(self, writer: Writer, process: int) -> None:
        """Connections, memberships, and a frame per message and member, 10 to 15 ms after the message."""
        scenario = parse(self._table, "bench", "bench")
        assert scenario.rooms is not None
        memberships = memberships_of(scenario.rooms, self.dashboards, 1, self.rooms)
        _write_connections(writer, range(process, self.dashboards, self.processes))
        mine = np.flatnonzero(memberships.dashboard % self.processes == process)
        members: dict[int, np.ndarray] = {}
        for room in range(self.rooms):
            members[room] = memberships.dashboard[mine[memberships.room[mine] == room]]
            for dashboard in members[room].tolist():
                writer.append("membership", dashboard, dashboard, room, MembershipEvent.JOINED, T0 - 1.9, "")
        to = [members[message.widget] for message in self._sends]
        counts = [len(dashboards) for dashboards in to]
        moments = np.repeat([message.intended for message in self._sends], counts)
        columns = (
            np.concatenate(to).astype("i4"), np.repeat(np.arange(len(to), dtype="i4"), counts),
            moments + 0.01 + np.concatenate([np.linspace(0, 0.005, count) for count in counts]),
        )  # fmt: skip
        _fill(writer, "frame", columns)


def _fill(writer: Writer, table: str, columns: Sequence[np.ndarray]) -> None:
    for column, values in zip(writer.columns[table], columns, strict=True):
        assert isinstance(column, array)
        column.frombytes(values.tobytes())


def _schedule(table: dict[str, object], widgets: int) -> Sequence[_Message]:
    rates = parse(table, "bench", "bench").rates
    return sorted(
        _Message(T0 + at, widget, n)
        for widget in range(widgets)
        for n, at in enumerate(intended_times(1, widget, widgets, rates, "even"))
    )


def _write_lags(writer: Writer, lag: float = 0.0003) -> None:
    for step in range(int(SECONDS * 100) + 500):
        writer.append("lag", T0 + step / 100, lag)


def _write_fault(folder: Path) -> None:
    nemesis = FaultWriter(folder, "bench")
    nemesis.start("slow-net", "latency", T0 + 30.0)
    nemesis.stop("slow-net", "latency", T0 + 40.0, {"bytes_delayed": 1})
    nemesis.close()


def _write_connections(writer: Writer, dashboards: Sequence[int]) -> None:
    for dashboard in dashboards:
        writer.append("connection", dashboard, dashboard, ConnectionEvent.OPENING, 0, T0 - 2.0, "")
        writer.append("connection", dashboard, dashboard, ConnectionEvent.SUBSCRIBED, 0, T0 - 1.9, "")
        writer.append("connection", dashboard, dashboard, ConnectionEvent.STOPPED, 1000, T0 + SECONDS + 5, "")
