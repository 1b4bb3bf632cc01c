"""How long a judgement of five million deliveries takes, and how much memory: `python -m tests.loadtests.bench_judge`.

500 dashboards, 10,000 messages in 100 chats over 100 s, a refetch every third of a second on each dashboard, one frame
for each delivery, two processes.
"""

import argparse
import resource
import sys
import tempfile
import time
from array import array
from pathlib import Path

import numpy as np
import tomli_w

from chatswarm.loadtests.history.files import Header, Writer
from chatswarm.loadtests.history.manifest import Manifest, history_file
from chatswarm.loadtests.history.schema import FORMAT, ConnectionEvent
from chatswarm.loadtests.judge import judge
from chatswarm.loadtests.scenario import parse
from chatswarm.loadtests.schedule import intended_times

TAIL = 3


def write(
    folder: Path, dashboards: int, messages: int, ids: bool, defect: str = "", processes: int = 2, widgets: int = 100
) -> None:
    seconds = 100.0
    table = {
        "swarm": {
            "dashboards": dashboards, "widgets": widgets, "rate": messages / seconds, "duration": seconds,
            "arrivals": "even", "list_window": widgets,
        }
    }  # fmt: skip
    names = [f"worker{number}" for number in range(processes)]
    manifest = Manifest("bench", "bench", "-", "reference", None, 1, "-", "host", names, 1000.0, 1000.0 + seconds, True)
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
    random = np.random.default_rng(1)
    for process, name in enumerate(names):
        writer = Writer(history_file(folder, name), Header(FORMAT, "bench", name, "host"))
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dashboards", type=int, default=500)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--no-ids", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--defect", choices=["stale", "blind", "uncounted", "silent", "lagging"], default="")
    given = parser.parse_args()
    if given.folder is None:
        # Judged in a process of its own, so that the memory is the judge's alone.
        import subprocess

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "run", given.dashboards, given.messages, not given.no_ids, given.defect)
            size = sum(path.stat().st_size for path in Path(folder).rglob("*.cs1"))
            print(f"{size / given.dashboards / given.messages:.1f} bytes on disk per delivery")
            subprocess.run(
                [sys.executable, "-m", "tests.loadtests.bench_judge", "--folder", f"{folder}/run"], check=True
            )
        return
    begun = time.perf_counter()
    verdict = judge(given.folder)
    took = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{verdict.verdict}: {verdict.deliveries.expected} deliveries in {took:.2f} s, {memory:.0f} MiB at the most")
    print(verdict.reasons, [(found.check, found.count) for found in verdict.findings])


if __name__ == "__main__":
    main()
