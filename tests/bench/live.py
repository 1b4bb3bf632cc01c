"""What the live figures cost the rig, from the recorder's columns to the text, at 300 dashboards × 50/s."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from .figure import Figure, fresh

MICROSECONDS = 0.3
"""A delivery is a frame, and a message that became visible. At 300 × 50/s this is 1 % of the 0.45 cores of the rig."""
MILLISECONDS = 5.0
DASHBOARDS, WIDGETS, RATE, SECONDS, REPORTS = 300, 100, 50, 20, 2


def figures() -> Iterator[Figure]:
    measured = fresh("live")
    yield Figure("live figures: for each delivery", measured["microseconds"], MICROSECONDS, "µs")
    yield Figure("live figures: for each scrape", measured["milliseconds"], MILLISECONDS, "ms")


def main() -> None:
    """In a process of its own, because the recorder comes with Locust, which patches it."""
    from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome
    from chatswarm.loadtests.messages.identity import Condition, ParsedText
    from chatswarm.loadtests.protocols.protocol import Frame, Kind
    from chatswarm.loadtests.scenario import scenario
    from chatswarm.loadtests.swarm.live.combined_figures import CombinedFigures
    from chatswarm.loadtests.swarm.live.newly_shown import ShownMessages, Viewer
    from chatswarm.loadtests.swarm.live.process_figures import ProcessFigures
    from chatswarm.loadtests.swarm.live.prometheus import Snapshot, exposition
    from chatswarm.loadtests.swarm.locust.messages import ProgressReport, decode, encode
    from chatswarm.loadtests.swarm.net.http import Response
    from chatswarm.loadtests.swarm.plan import ProcessProgress
    from chatswarm.loadtests.swarm.recorder import Recorder

    swarm = {"dashboards": DASHBOARDS, "widgets": WIDGETS, "rate": RATE, "duration": f"{SECONDS}s"}
    of = scenario.parse({"swarm": swarm}, "bench", "bench")
    schedule = [[turn * 2.0 + widget / RATE for turn in range(SECONDS)] for widget in range(WIDGETS)]
    messages = sorted((at, widget, n) for widget, times in enumerate(schedule) for n, at in enumerate(times))
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), "bench", "swarm-0")
        shown = ShownMessages(lambda widget, n: schedule[widget][n])
        live, viewers = (
            ProcessFigures(recorder, shown, of, lambda widget, n: schedule[widget][n]),
            [Viewer() for _ in range(300)],
        )
        live.begin(0.0)
        total = CombinedFigures(of, schedule, "bench", "http://chat")
        for dashboard in range(DASHBOARDS):
            connection = recorder.opening(dashboard, -1.0)
            recorder.connection(connection, dashboard, ConnectionEvent.SUBSCRIBED, -0.9)
        used: list[float] = []
        scraped: list[float] = []
        for second in range(SECONDS):
            spent, deliveries = 0.0, 0
            for half in range(REPORTS):
                begun = second + half / REPORTS
                version = -1
                for at, widget, n in messages:
                    if not begun <= at < begun + 1 / REPORTS:
                        continue
                    number = widget * 1000 + n
                    response = Response(200, b"", True, at, at + 0.01)
                    recorder.send(widget, n, widget, at, at, response, SendOutcome.ACCEPTED, number)
                    announcement = recorder.announcement(b"%d" % number, Frame(Kind.MESSAGE, str(widget), True, number))
                    for connection in range(1, DASHBOARDS + 1):
                        recorder.frame(connection, announcement, at + 0.02)
                    shown.change(str(widget), n + 1, 0 if n < 3 else 1, [ParsedText(widget, n, Condition.INTACT)])
                    shown.end_version()
                    version = len(shown._until) - 1
                seen: list[tuple[int, range]] = []
                for dashboard, viewer in enumerate(viewers):
                    recorder.refetch(
                        dashboard + 1, dashboard, begun, Response(200, b"", True, begun, begun + 0.2), version
                    )
                    seen += [(dashboard, new) for new in shown.newly(viewer, version)]
                clock = time.process_time()
                for dashboard, new in seen:
                    live.add_shown(dashboard, begun + 0.3, new)
                spent += time.process_time() - clock
                deliveries += sum(len(new) for _, new in seen)
                for _ in range(100 // REPORTS):
                    recorder.lag(begun, 0.001)
                clock = time.process_time()
                report = ProgressReport("bench", "swarm-0", ProcessProgress(), live.take_increment())
                increment = decode(ProgressReport, encode(report)).increment
                assert increment is not None
                found = total.take("swarm-0", increment)
                total.progressed(ProcessProgress())
                live.identify(found)
                spent += time.process_time() - clock
            clock = time.process_time()
            live.collect()
            used.append((spent + time.process_time() - clock) / deliveries * 1e6)
            clock = time.process_time()
            exposition(Snapshot("measuring", second + 1.0, figures=total))
            scraped.append((time.process_time() - clock) * 1e3)
            recorder.flush()
        recorder.close()
    assert total.delivered == total.notified.count == RATE * SECONDS * DASHBOARDS, "it must be measured at work"
    print(json.dumps({"microseconds": median(used), "milliseconds": median(scraped)}))


if __name__ == "__main__":
    main()
