"""A run as SQL tables, for the questions that no check asks: `open_sql(folder).sql("from delivery limit 5").show()`."""

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
    """The run in `folder` as tables in memory. Times are seconds after the start; NULL means never, or not measured.

    - `message`: one row for each send, with its chat and its `position` in the final read
    - `delivery`: one row for each message that a dashboard should show; `outcome` is visible, lost, excused or unproven
    - `refetch`, `frame` and `connection`: what the dashboards did
    - `chat`: the chats, and the `widget` that made each
    - `fault`: the faults, from `start` to `stop`, with their `evidence` as JSON

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
    """NaN and infinite times become NULL, and so do numbers that are not there."""
    parts = []
    for name, values in columns.items():
        kind = values.dtype.kind
        missing = f"isfinite({name})" if kind == "f" else f"{name} >= 0" if kind == "i" else "true"
        parts.append(f"case when {missing} then {name} end as {name}")
    return ", ".join(parts)


def _tables(ledger: Ledger) -> dict[str, dict[str, Numbers]]:
    messages, refetches, frames = ledger.messages, ledger.evidence.refetches, ledger.evidence.frames
    connections, start = ledger.evidence.connections, ledger.start
    faults = ledger.evidence.faults
    chats = np.array([*ledger.evidence.chat_ids, ""])
    place_chat, position = ledger.copies.place()
    outcomes = np.array([outcome.name.lower() for outcome in SendOutcome])
    events = np.array([event.name.lower() for event in ConnectionEvent])
    rows, dashboards = np.nonzero(ledger.expected)
    cell = (rows, dashboards)
    return {
        "message": {
            "message": np.arange(len(messages)),
            "widget": messages.widget,
            "n": messages.n,
            "chat_id": chats[messages.chat],
            "intended": messages.intended - start,
            "handed": messages.handed - start,
            "sent": messages.sent - start,
            "done": messages.done - start,
            "outcome": outcomes[messages.outcome],
            "status": messages.status,
            "stored_in": chats[place_chat],
            "position": position,
        },
        "delivery": {
            "message": rows,
            "dashboard": dashboards,
            "notified": ledger.announced.notified[cell] - start,
            "visible": ledger.visible[cell] - start,
            "latency": ledger.visible[cell] - messages.intended[rows],
            "as_text": ledger.sight.as_text[cell],
            "outcome": np.select(
                [ledger.lost[cell], ledger.excused[cell], ledger.unproven[cell]],
                ["lost", "excused", "unproven"],
                "visible",
            ),
        },
        "refetch": {
            "dashboard": refetches.dashboard,
            "started": refetches.started - start,
            "done": refetches.done - start,
            "status": refetches.status,
            "version": refetches.version,
        },
        "frame": {
            "dashboard": connections.dashboard[frames.connection],
            "connection": frames.connection,
            "chat_id": chats[frames.chat[frames.announcement]],
            "message_id": frames.message_id[frames.announcement],
            "time": frames.time - start,
        },
        "connection": {
            "connection": np.arange(len(connections.dashboard)),
            "dashboard": connections.dashboard,
            "opening": connections.opening - start,
            "subscribed": connections.subscribed - start,
            "ended": connections.ended - start,
            "last_event": events[connections.event],
            "code": connections.code,
        },
        "chat": {"chat_id": chats[:-1], "widget": ledger.evidence.chat_widget},
        "fault": {
            "name": np.array([fault.name for fault in faults], str),
            "kind": np.array([fault.kind for fault in faults], str),
            "start": np.array([fault.start - start for fault in faults], np.float64),
            "stop": np.array([fault.stop - start for fault in faults], np.float64),
            "evidence": np.array([msgspec.json.encode(fault.evidence).decode() for fault in faults], str),
        },
    }
