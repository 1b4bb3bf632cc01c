"""A run of five million deliveries, made up: 500 dashboards, 10,000 messages in 100 chats over 100 s.

A refetch every third of a second on each dashboard, one frame for each delivery, two processes.
"""

from array import array
from pathlib import Path
from typing import Literal

import numpy as np
import tomli_w

from chatswarm.loadtests.history.faults import FaultWriter
from chatswarm.loadtests.history.files import Header, Writer
from chatswarm.loadtests.history.manifest import NEMESIS, Manifest, boot_id, history_file
from chatswarm.loadtests.history.tables import FORMAT, ConnectionEvent
from chatswarm.loadtests.scenario.scenario import parse
from chatswarm.loadtests.scenario.schedule import intended_times

TAIL = 3
DASHBOARDS, MESSAGES = 500, 10_000
DELIVERIES = DASHBOARDS * MESSAGES
Defect = Literal["", "stale", "blind", "uncounted", "silent", "lagging"]
"""Lists that go back in time, that never come, without counts; frames that hardly come; a rig that lags."""


def write(
    folder: Path,
    dashboards: int = DASHBOARDS,
    messages: int = MESSAGES,
    *,
    ids: bool = True,
    defect: Defect = "",
    fault: bool = False,
    processes: int = 2,
    widgets: int = 100,
) -> None:
    """Leaves the run in `folder`. `fault`: with a fault from 30 to 40 s that changed nothing."""
    seconds = 100.0
    table = {
        "swarm": {
            "dashboards": dashboards, "widgets": widgets, "rate": messages / seconds, "duration": seconds,
            "arrivals": "even", "list_window": widgets,
        }
    }  # fmt: skip
    names = [f"worker{number}" for number in range(processes)]
    host = boot_id()
    all_names = [*names, NEMESIS] if fault else names
    manifest = Manifest(
        "bench", "bench", "-", "reference", None, 1, "-", host, all_names, 1000.0, 1000.0 + seconds, True
    )
    (folder / "history").mkdir(parents=True)
    manifest.write(folder)
    (folder / "scenario.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    scenario = parse(table, "bench", "bench")
    sends = sorted(
        (1000 + at, widget, n)
        for widget in range(widgets)
        for n, at in enumerate(intended_times(1, widget, widgets, scenario.rates, "even"))
    )
    moments = np.array([at for at, _, _ in sends])
    if fault:
        nemesis = FaultWriter(folder, "bench")
        nemesis.start("slow-net", "latency", 1030.0)
        nemesis.stop("slow-net", "latency", 1040.0, {"bytes_delayed": 1})
        nemesis.close()
    random = np.random.default_rng(1)
    for process, name in enumerate(names):
        writer = Writer(history_file(folder, name), Header(FORMAT, "bench", name, host))
        for widget in range(widgets):
            writer.append("chat", widget, widget if process == 0 else -1, f"chat-{widget}")
        version = -1
        for index, (at, widget, n) in enumerate(sends):
            if process == 0:
                writer.append("send", widget, n, widget, at, at, at, at + 0.005, 0, 200, index if ids else -1)
            version += 1
            writer.append("version", version, widget, 0 if defect == "uncounted" else n + 1, int(n >= TAIL), 1)
            writer.append("text", version, widget, widget, n, 0)
            writer.append("announcement", index, widget, 1, index if ids else -1)
        for step in range(int(seconds * 100) + 500):
            writer.append("lag", 1000 + step / 100, 0.5 if defect == "lagging" else 0.0003)
        mine = np.arange(process, dashboards, processes)
        for dashboard in mine.tolist():
            writer.append("connection", dashboard, dashboard, ConnectionEvent.OPENING, 0, 998.0, "")
            writer.append("connection", dashboard, dashboard, ConnectionEvent.SUBSCRIBED, 0, 998.1, "")
            writer.append("connection", dashboard, dashboard, ConnectionEvent.STOPPED, 1000, 1000 + seconds + 5, "")
        order = np.tile(mine, len(sends))
        which = np.repeat(np.arange(len(sends)), len(mine))
        when = np.repeat(moments + 0.01, len(mine)) + np.tile(np.linspace(0, 0.005, len(mine)), len(sends))
        if defect == "silent":
            order, which, when = order[::100], which[::100], when[::100]
        for column, values in zip(writer.columns["frame"], (order.astype("i4"), which.astype("i4"), when), strict=True):
            assert isinstance(column, array)
            column.frombytes(values.tobytes())
        started = (1000.3 + np.arange(0, seconds + 1, 1 / 3))[:, None] + random.random(len(mine)) * 0.3
        rows = np.stack([started.ravel(), np.tile(mine, len(started)).astype(float)])
        rows = rows[:, np.argsort(rows[0])]
        shown = np.searchsorted(moments + 0.002, rows[0]) - 1
        if defect == "stale":
            shown = np.where(random.random(len(shown)) < 0.5, shown, np.maximum(-1, shown - 500))
        if defect == "blind":
            rows, shown = rows[:, :0], shown[:0]
        for at, dashboard, seen in zip(*rows.tolist(), shown.tolist(), strict=True):
            writer.append("refetch", int(dashboard), int(dashboard), at, at + 0.01, 200, seen, 1000)
        if process == 0:
            for widget in range(widgets):
                mine_too = [(index, n) for index, (_, owner, n) in enumerate(sends) if owner == widget]
                writer.append("final", widget, 200, len(mine_too), 1106.0, 1106.1, "")
                for position, (index, n) in enumerate(mine_too, 1):
                    writer.append("final_text", widget, position, widget, n, 0, index if ids else -1)
        writer.close()
