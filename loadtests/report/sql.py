"""A run as SQL tables: `open_sql(folder).sql("from delivery limit 5").show()`."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec
import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent, MembershipEvent, SendOutcome, Sighting
from chatswarm.loadtests.judge.judge import NoRunError, read_run
from chatswarm.loadtests.judge.ledger import Ledger, build, merge_histories
from chatswarm.loadtests.judge.ledger.arrays import Numbers
from chatswarm.loadtests.judge.ledger.observations import MachineSamples

TABLES = (
    "message", "delivery", "refetch", "frame", "unreadable", "connection", "chat", "membership", "fault", "server",
    "machine", "process",
)  # fmt: skip


def open_sql(folder: Path | str) -> duckdb.DuckDBPyConnection:
    """Loads the run in `folder` into tables in memory.

    Times are seconds after the start of the measured part. NULL means never, or not measured.

    - `message`: one row per send, with its chat and its `position` in the final read
    - `delivery`: one row per message and dashboard that should show it; `outcome` is visible, lost, excused or unproven
    - `refetch`, `frame` and `connection`: what the dashboards did
    - `unreadable`: the frames that could not be read, and why
    - `chat`: the chats, and the `widget` that created each, or its `room` in the scenario
    - `membership`: what happened to dashboards' memberships and subscriptions in rooms
    - `fault`: the faults, with `start`, `stop` and their `evidence` as JSON
    - `server`: who served; `message`, `refetch` and `connection` name it by its number
    - `machine` and `process`: the rig's machines and the target's processes, second by second

    Raises NoRunError.
    """
    folder = Path(folder)
    manifest, scenario = read_run(folder)
    if manifest.start is None:
        raise NoRunError(f"{folder}: expected a run whose measured part began, got one that did not")
    end = manifest.end if manifest.end is not None else manifest.start + scenario.duration
    ledger = build(merge_histories(folder, manifest), manifest, scenario, manifest.start, end)
    connection = duckdb.connect()
    for name, columns in _tables(ledger).items():
        connection.register(f"_{name}", columns)
        connection.execute(f"create table {name} as select {_selected(columns)} from _{name}")  # noqa: S608 - our names
        connection.unregister(f"_{name}")
    return connection


def _selected(columns: dict[str, Numbers]) -> str:
    """The select list. NaN, infinite times and -1 for a missing number become NULL."""
    parts = []
    for name, values in columns.items():
        kind = values.dtype.kind
        missing = f"isfinite({name})" if kind == "f" else f"{name} >= 0" if kind == "i" else "true"
        parts.append(f"case when {missing} then {name} end as {name}")
    return ", ".join(parts)


def _tables(ledger: Ledger) -> dict[str, dict[str, Numbers]]:
    """The columns of each table, by name. Times count from the start of the measured part."""
    chat_ids = np.array([*ledger.observations.chat_ids, ""])
    return {
        "message": _messages(ledger, chat_ids),
        "delivery": _deliveries(ledger),
        "refetch": _refetches(ledger),
        "frame": _frames(ledger, chat_ids),
        "unreadable": _unreadable(ledger),
        "connection": _connections(ledger),
        "chat": {
            "chat_id": chat_ids[:-1],
            "widget": ledger.observations.chat_widget,
            "room": ledger.observations.chat_room,
        },
        "membership": _memberships(ledger, chat_ids),
        "fault": _faults(ledger),
        "server": _servers(ledger),
        "machine": _machines(ledger),
        "process": _processes(ledger),
    }


def _messages(ledger: Ledger, chat_ids: Numbers) -> dict[str, Numbers]:
    messages, start = ledger.messages, ledger.start
    stored_in, position = ledger.copies.locations()
    outcomes = np.array([outcome.name.lower() for outcome in SendOutcome])
    return {
        "message": np.arange(len(messages)),
        "widget": messages.widget,
        "n": messages.n,
        "chat_id": chat_ids[messages.chat],
        "intended": messages.intended - start,
        "handed": messages.handed - start,
        "sent": messages.sent - start,
        "done": messages.done - start,
        "outcome": outcomes[messages.outcome],
        "status": messages.status,
        "stored_in": chat_ids[stored_in],
        "position": position,
        "server": messages.server,
    }


def _deliveries(ledger: Ledger) -> dict[str, Numbers]:
    cell = np.flatnonzero(ledger.expected)
    rows = ledger.deliveries.message[cell]
    return {
        "message": rows,
        "dashboard": ledger.deliveries.dashboard[cell],
        "notified": ledger.announcements.notified[cell] - ledger.start,
        "visible": ledger.visible[cell] - ledger.start,
        "latency": ledger.visible[cell] - ledger.messages.intended[rows],
        "as_text": ledger.visibility.as_text[cell],
        "outcome": np.select(
            [ledger.lost[cell], ledger.excused[cell], ledger.unproven[cell]],
            ["lost", "excused", "unproven"],
            "visible",
        ),
        "gap": np.zeros(len(cell), bool) if ledger.gap is None else ledger.gap[cell],
    }


def _refetches(ledger: Ledger) -> dict[str, Numbers]:
    refetches = ledger.observations.refetches
    return {
        "dashboard": refetches.dashboard,
        "started": refetches.started - ledger.start,
        "done": refetches.done - ledger.start,
        "status": refetches.status,
        "version": refetches.version,
        "server": refetches.server,
        "n": refetches.n,
    }


def _frames(ledger: Ledger, chat_ids: Numbers) -> dict[str, Numbers]:
    frames = ledger.observations.frames
    return {
        "dashboard": ledger.observations.connections.dashboard[frames.connection],
        "connection": frames.connection,
        "chat_id": chat_ids[frames.chat[frames.announcement]],
        "message_id": frames.message_id[frames.announcement],
        "widget": frames.widget[frames.announcement],
        "n": frames.n[frames.announcement],
        "how": np.array([how.name.lower() for how in Sighting])[frames.how[frames.announcement]],
        "time": frames.time - ledger.start,
    }


def _unreadable(ledger: Ledger) -> dict[str, Numbers]:
    table = ledger.observations.unreadable
    return {
        "dashboard": ledger.observations.connections.dashboard[table.connection],
        "connection": table.connection,
        "time": table.time - ledger.start,
        "detail": np.array(table.detail, str),
    }


def _memberships(ledger: Ledger, chat_ids: Numbers) -> dict[str, Numbers]:
    table = ledger.observations.memberships
    return {
        "dashboard": table.dashboard,
        "connection": table.connection,
        "chat_id": chat_ids[table.chat],
        "event": np.array([event.name.lower() for event in MembershipEvent])[table.event],
        "time": table.time - ledger.start,
        "detail": np.array(table.detail, str),
    }


def _connections(ledger: Ledger) -> dict[str, Numbers]:
    connections = ledger.observations.connections
    events = np.array([event.name.lower() for event in ConnectionEvent])
    return {
        "connection": np.arange(len(connections.dashboard)),
        "dashboard": connections.dashboard,
        "opening": connections.opening - ledger.start,
        "subscribed": connections.subscribed - ledger.start,
        "ended": connections.ended - ledger.start,
        "last_event": events[connections.event],
        "code": connections.code,
        "server": connections.server,
    }


def _faults(ledger: Ledger) -> dict[str, Numbers]:
    faults = ledger.observations.faults
    return {
        "name": np.array([fault.name for fault in faults], str),
        "kind": np.array([fault.kind for fault in faults], str),
        "start": np.array([fault.start - ledger.start for fault in faults], np.float64),
        "stop": np.array([fault.stop - ledger.start for fault in faults], np.float64),
        "evidence": np.array([msgspec.json.encode(fault.evidence).decode() for fault in faults], str),
    }


def _servers(ledger: Ledger) -> dict[str, Numbers]:
    servers = ledger.observations.servers
    return {
        "server": np.arange(len(servers)),
        "address": np.array([server.address for server in servers], str),
        "name": np.array([server.name for server in servers], str),
    }


def _machines(ledger: Ledger) -> dict[str, Numbers]:
    machines = ledger.observations.machines
    names = [name for machine in machines for name in [machine.process] * len(machine.time)]

    def column(of: Callable[[MachineSamples], Numbers], kind: type = float) -> Numbers:
        return np.concatenate([np.zeros(0, kind), *map(of, machines)])

    return {
        "sampled_by": np.array(names, str),
        "time": column(lambda machine: machine.time - ledger.start),
        "cpu": column(lambda machine: machine.cpu),
        "cores": column(lambda machine: machine.cores, int),
        "cpu_pressure": column(lambda machine: machine.cpu_pressure),
        "io_pressure": column(lambda machine: machine.io_pressure),
        "memory_pressure": column(lambda machine: machine.memory_pressure),
    }


def _processes(ledger: Ledger) -> dict[str, Numbers]:
    samples = ledger.observations.target_processes
    return {
        "time": samples.time - ledger.start,
        "pid": samples.pid,
        "name": np.array(samples.name, str),
        "cpu": samples.cpu,
        "memory": samples.memory,
    }
