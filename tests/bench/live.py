"""What the live figures cost the rig, from the recorder's columns to the text, at 300 dashboards and 50 messages/s.

And what frames with texts cost beyond being recorded, in rooms of 20 and in one of 10,000.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .figure import Figure, fresh

if TYPE_CHECKING:
    from chatswarm.loadtests.swarm.live.increment import Increment

MICROSECONDS = 0.3
"""A delivery is a frame, and a message that became visible. At 300 × 50/s this is 1 % of the 0.45 cores of the rig."""
FRAME_MICROSECONDS = 0.2
"""A frame with a text in Locust's rows, whether anybody watches or not."""
MILLISECONDS = 5.0
DASHBOARDS, WIDGETS, RATE, SECONDS = 300, 100, 50, 20
REPORTS = 2
"""Reports per second."""


def figures() -> Iterator[Figure]:
    measured = fresh("live")
    yield Figure("live figures: per delivery", measured["microseconds"], MICROSECONDS, "µs")
    yield Figure("live figures: per scrape", measured["milliseconds"], MILLISECONDS, "ms")
    for name in ("60 rooms of 20", "2000 rooms of 20", "1 room of 10000"):
        yield Figure(f"Locust's rows: per frame with a text, {name}", measured[name], FRAME_MICROSECONDS, "µs")
    watched = measured["60 rooms of 20, watched"]
    yield Figure("live figures: per frame with a text, 60 rooms of 20", watched, MICROSECONDS, "µs")


def main() -> None:
    """Runs in a fresh process, because the recorder imports Locust, which patches the process."""
    with tempfile.TemporaryDirectory() as folder:
        swarm = _SimulatedSwarm(Path(folder))
        per_delivery: list[float] = []
        per_scrape: list[float] = []
        for second in range(SECONDS):
            spent, deliveries = 0.0, 0
            for part in range(REPORTS):
                newly_shown = swarm.record(second + part / REPORTS)
                spent += swarm.report(second + part / REPORTS, newly_shown)
                deliveries += sum(len(new) for _, new in newly_shown)
            spent += swarm.collect()
            per_delivery.append(spent / deliveries * 1e6)
            per_scrape.append(swarm.scrape(second + 1.0) * 1e3)
            swarm.recorder.flush()
        swarm.recorder.close()
    total = swarm.total
    assert total.delivered == total.notified.count == RATE * SECONDS * DASHBOARDS, "expected every delivery to count"
    texts = {
        "60 rooms of 20": _per_frame(300, 60, 20, 1500),
        "60 rooms of 20, watched": _per_frame(300, 60, 20, 1500, watched=True),
        "2000 rooms of 20": _per_frame(10_000, 2000, 20, 1500),
        "1 room of 10000": _per_frame(10_000, 1, 10_000, 3),
    }
    print(json.dumps({"microseconds": median(per_delivery), "milliseconds": median(per_scrape), **texts}))


def _per_frame(dashboards: int, rooms: int, members: int, rate: int, *, watched: bool = False) -> float:
    """CPU microseconds for each frame with a text, with `rate` messages a second, each to all members of a room."""
    from locust.env import Environment

    from chatswarm.loadtests.protocols.promises import Promises
    from chatswarm.loadtests.scenario import scenario
    from chatswarm.loadtests.swarm.live.live_audience import LiveAudience
    from chatswarm.loadtests.swarm.live.newly_shown import ShownMessages
    from chatswarm.loadtests.swarm.live.process_figures import ProcessFigures
    from chatswarm.loadtests.swarm.locust.stats_rows import StatsRows
    from chatswarm.loadtests.swarm.recorder import Recorder

    swarm = {"dashboards": dashboards, "widgets": rooms, "rate": rate, "duration": f"{SECONDS}s"}
    plan = scenario.parse({"swarm": swarm, "rooms": {"count": rooms, "members": members}}, "bench", "bench")
    audience = LiveAudience(plan, Promises(visible="frame", has_rooms=True))
    assert audience.memberships is not None
    inside = [audience.memberships.at_start(room) for room in range(rooms)]

    def intended(widget: int, n: int) -> float:
        return (n * rooms + widget) / rate

    with tempfile.TemporaryDirectory() as folder:
        recorder, rows = Recorder(Path(folder), "bench", "swarm-0"), StatsRows(Environment())
        live = ProcessFigures(recorder, ShownMessages(intended), plan, intended, audience, rows.shown, watched=watched)
        live.begin(0.0)
        for dashboard in range(dashboards):
            recorder.opening(dashboard, -1.0)
        spent: list[float] = []
        for number in range(rate * SECONDS):
            at, room = number / rate, number % rooms
            row = (number, room, True, number, room, number // rooms, 0, 0)
            for column, value in zip(recorder._writer.columns["announcement"], row, strict=True):
                column.append(value)  # type: ignore[arg-type]
            for dashboard in inside[room]:
                recorder.frame(dashboard + 1, number, at + 0.01 + 1e-5 * dashboard)
            if (number + 1) % rate == 0:
                clock = time.process_time()
                if watched:
                    live.take_increment()
                live.collect()
                rows.flush()
                spent.append(time.process_time() - clock)
                recorder.flush()
        recorder.close()
    assert rows.progress.updates == rate * SECONDS * members, "expected every frame to be an update"
    return median(spent) / (rate * members) * 1e6


class _SimulatedSwarm:
    """A swarm of one process: what it records, and the live figures of that. Durations are in CPU seconds."""

    def __init__(self, folder: Path) -> None:
        from chatswarm.loadtests.history.tables import ConnectionEvent
        from chatswarm.loadtests.scenario import scenario
        from chatswarm.loadtests.swarm.live.combined_figures import CombinedFigures
        from chatswarm.loadtests.swarm.live.newly_shown import ShownMessages, Viewer
        from chatswarm.loadtests.swarm.live.process_figures import ProcessFigures
        from chatswarm.loadtests.swarm.recorder import Recorder

        swarm = {"dashboards": DASHBOARDS, "widgets": WIDGETS, "rate": RATE, "duration": f"{SECONDS}s"}
        plan = scenario.parse({"swarm": swarm}, "bench", "bench")
        schedule = [[turn * 2.0 + widget / RATE for turn in range(SECONDS)] for widget in range(WIDGETS)]
        self._messages = sorted((at, widget, n) for widget, times in enumerate(schedule) for n, at in enumerate(times))
        self._version = -1
        self._viewers = [Viewer() for _ in range(DASHBOARDS)]
        self._shown = ShownMessages(lambda widget, n: schedule[widget][n])
        self.recorder: Recorder = Recorder(folder, "bench", "swarm-0")
        self._live = ProcessFigures(self.recorder, self._shown, plan, lambda widget, n: schedule[widget][n])
        self._live.begin(0.0)
        self.total = CombinedFigures(plan, schedule, "bench", "http://chat")
        for dashboard in range(DASHBOARDS):
            connection = self.recorder.opening(dashboard, -1.0)
            self.recorder.connection(connection, dashboard, ConnectionEvent.SUBSCRIBED, -0.9)

    def record(self, begun: float) -> list[tuple[int, range]]:
        """Records what happens until the next report. Returns the messages newly shown on each dashboard."""
        from chatswarm.loadtests.swarm.net.http import Response

        shown_version = -1
        for at, widget, n in self._messages:
            if begun <= at < begun + 1 / REPORTS:
                self._record_message(at, widget, n)
                shown_version = self._version
        newly_shown: list[tuple[int, range]] = []
        for dashboard, viewer in enumerate(self._viewers):
            response = Response(200, b"", True, begun, begun + 0.2)
            self.recorder.refetch(dashboard + 1, dashboard, begun, response, shown_version)
            newly_shown += [(dashboard, new) for new in self._shown.newly(viewer, shown_version)]
        for _ in range(100 // REPORTS):
            self.recorder.lag(begun, 0.001)
        return newly_shown

    def report(self, begun: float, newly_shown: list[tuple[int, range]]) -> float:
        """Counts what was shown, and sends a report to the combined figures. Returns the duration."""
        from chatswarm.loadtests.swarm.plan import ProcessProgress

        clock = time.process_time()
        for dashboard, new in newly_shown:
            self._live.add_shown(dashboard, begun + 0.3, new)
        found = self.total.take("swarm-0", _over_the_wire(self._live.take_increment()))
        self.total.progressed(ProcessProgress())
        self._live.identify(found)
        return time.process_time() - clock

    def collect(self) -> float:
        """Collects what is left before a flush. Returns the duration."""
        clock = time.process_time()
        self._live.collect()
        return time.process_time() - clock

    def scrape(self, now: float) -> float:
        """Renders the metrics. Returns the duration."""
        from chatswarm.loadtests.swarm.live.prometheus import Snapshot, exposition

        clock = time.process_time()
        exposition(Snapshot("measuring", now, figures=self.total))
        return time.process_time() - clock

    def _record_message(self, at: float, widget: int, n: int) -> None:
        """Records a message that is accepted, announced to every dashboard, and in the list's next version."""
        from chatswarm.loadtests.history.tables import SendOutcome
        from chatswarm.loadtests.messages.identity import Condition, ParsedText
        from chatswarm.loadtests.protocols.protocol import Frame, Kind
        from chatswarm.loadtests.swarm.net.http import Response

        message_id = widget * 1000 + n
        response = Response(200, b"", True, at, at + 0.01)
        self.recorder.send(widget, n, widget, at, at, response, SendOutcome.ACCEPTED, message_id)
        frame = Frame(Kind.MESSAGE, str(widget), True, message_id)
        announcement = self.recorder.announcement(frame)
        for connection in range(1, DASHBOARDS + 1):
            self.recorder.frame(connection, announcement, at + 0.02)
        self._shown.change(str(widget), n + 1, 0 if n < 3 else 1, [ParsedText(widget, n, Condition.INTACT)])
        self._shown.end_version()
        self._version += 1


def _over_the_wire(increment: "Increment") -> "Increment":
    """The increment as it arrives at the master."""
    from chatswarm.loadtests.swarm.locust.messages import ProgressReport, decode, encode
    from chatswarm.loadtests.swarm.plan import ProcessProgress

    report = ProgressReport("bench", "swarm-0", ProcessProgress(), increment)
    received = decode(ProgressReport, encode(report)).increment
    assert received is not None
    return received


if __name__ == "__main__":
    main()
