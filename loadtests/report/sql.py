"""A run as SQL tables: `open_sql(folder).sql("from delivery limit 5").show()`."""

from pathlib import Path

import duckdb
import msgspec
import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome
from chatswarm.loadtests.judge.judge import NoRunError, read_run
from chatswarm.loadtests.judge.ledger import Ledger, build, merge_histories
from chatswarm.loadtests.judge.ledger.arrays import Numbers

TABLES = ("message", "delivery", "refetch", "frame", "connection", "chat", "fault")


def open_sql(folder: Path | str) -> duckdb.DuckDBPyConnection:
    """Loads the run in `folder` into tables in memory.

    Times are seconds after the start of the measured part. NULL means never, or not measured.

    - `message`: one row per send, with its chat and its `position` in the final read
    - `delivery`: one row per message and dashboard that should show it; `outcome` is visible, lost, excused or unproven
    - `refetch`, `frame` and `connection`: what the dashboards did
    - `chat`: the chats, and the `widget` that created each
    - `fault`: the faults, with `start`, `stop` and their `evidence` as JSON

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
        "connection": _connections(ledger),
        "chat": {"chat_id": chat_ids[:-1], "widget": ledger.observations.chat_widget},
        "fault": _faults(ledger),
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
    }


def _deliveries(ledger: Ledger) -> dict[str, Numbers]:
    rows, dashboards = np.nonzero(ledger.expected)
    cell = (rows, dashboards)
    return {
        "message": rows,
        "dashboard": dashboards,
        "notified": ledger.announcements.notified[cell] - ledger.start,
        "visible": ledger.visible[cell] - ledger.start,
        "latency": ledger.visible[cell] - ledger.messages.intended[rows],
        "as_text": ledger.visibility.as_text[cell],
        "outcome": np.select(
            [ledger.lost[cell], ledger.excused[cell], ledger.unproven[cell]],
            ["lost", "excused", "unproven"],
            "visible",
        ),
    }


def _refetches(ledger: Ledger) -> dict[str, Numbers]:
    refetches = ledger.observations.refetches
    return {
        "dashboard": refetches.dashboard,
        "started": refetches.started - ledger.start,
        "done": refetches.done - ledger.start,
        "status": refetches.status,
        "version": refetches.version,
    }


def _frames(ledger: Ledger, chat_ids: Numbers) -> dict[str, Numbers]:
    frames = ledger.observations.frames
    return {
        "dashboard": ledger.observations.connections.dashboard[frames.connection],
        "connection": frames.connection,
        "chat_id": chat_ids[frames.chat[frames.announcement]],
        "message_id": frames.message_id[frames.announcement],
        "time": frames.time - ledger.start,
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
