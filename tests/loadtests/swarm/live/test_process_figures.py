"""What one process reports from its recorder's columns."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome, Sighting
from chatswarm.loadtests.messages.identity import Condition, ParsedText
from chatswarm.loadtests.protocols.protocol import Frame, Kind
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.swarm.live.buckets import DeliveryCounts, Floats
from chatswarm.loadtests.swarm.live.increment import RIG_FAILED, Increment
from chatswarm.loadtests.swarm.live.newly_shown import ShownMessages
from chatswarm.loadtests.swarm.live.process_figures import ProcessFigures
from chatswarm.loadtests.swarm.net.http import Response
from chatswarm.loadtests.swarm.recorder import Recorder

T0 = 1000.0


class Process:
    """Two dashboards for 10 s, and a third for the first 5 s. Widget w's n-th message is intended at T0 + w + n."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder, "abc", "swarm-0")
        stages = [{"for": "5s", "rate": 1, "dashboards": 3}, {"for": "5s", "rate": 1, "dashboards": 2}]
        of = scenario.parse({"swarm": {"widgets": 2}, "stage": stages}, "some", "some")
        self.shown = ShownMessages(lambda widget, n: T0 + widget + n)
        self.live = ProcessFigures(self.recorder, self.shown, of, lambda widget, n: T0 + widget + n)
        self.live.begin(T0)
        self.connections = [self.recorder.opening(dashboard, T0 - 2) for dashboard in range(3)]

    def send(self, n: int, message_id: int, handed: float = 0.0) -> None:
        at = T0 + n
        response = Response(200, b"", True, at, at + 0.25)
        self.recorder.send(0, n, 0, at, at + handed, response, SendOutcome.ACCEPTED, message_id)

    def frame(self, message_id: int, dashboard: int, time: float) -> None:
        frame = Frame(Kind.MESSAGE, "a", True, message_id)
        self.recorder.frame(self.connections[dashboard], self.recorder.announcement(frame), T0 + time)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    made.recorder.close()


def test_sends_that_failed_on_a_rig_limit_are_not_rejections(process: Process) -> None:
    response = Response(-24, b"", False, float("nan"), T0 + 0.1, "open files")
    process.recorder.send(0, 0, 0, T0, T0, response, SendOutcome.REJECTED, None)
    assert [send.outcome for send in process.live.take_increment().sends] == [RIG_FAILED]


def summary(rows: list[DeliveryCounts]) -> list[tuple[int, int, int, float]]:
    return [(row.widget, row.n, sum(row.counts), round(row.seconds, 6)) for row in rows]


def test_frames_count_once_their_id_is_known_and_only_the_first_per_dashboard(process: Process) -> None:
    process.frame(7, 0, 0.1)
    process.frame(7, 1, 0.2)
    process.frame(7, 0, 0.4)
    assert process.live.take_increment().notified == []
    process.live.identify([(7, 0, 0)])
    assert summary(process.live.take_increment().notified) == [(0, 0, 2, 0.3)]
    process.frame(7, 1, 0.5)
    process.frame(7, 2, 0.6)
    assert summary(process.live.take_increment().notified) == [(0, 0, 1, 0.6)]


def test_a_process_knows_the_ids_of_its_own_sends_at_once(process: Process) -> None:
    process.send(1, 8, handed=0.3)
    process.frame(8, 0, 1.5)
    report = process.live.take_increment()
    assert summary(report.notified) == [(0, 1, 1, 0.5)]
    assert [tuple(send) for send in report.sends] == [(0, 1, SendOutcome.ACCEPTED, 1.25, 8)]
    assert report.late_sends == 1
    assert process.live.take_increment().sends == []


def test_visible_messages_count_only_on_dashboards_that_should_show_them(process: Process) -> None:
    process.shown.change("a", 5, 0, [ParsedText(0, n, Condition.INTACT) for n in range(5)])
    process.shown.end_version()
    for dashboard in range(3):
        process.live.add_shown(dashboard, T0 + 7.0, range(2, 5))
    # The third dashboard leaves after 5 s, which is less than the target of 2 s after the message of 4 s.
    assert [(row.n, sum(row.counts), row.late, row.most) for row in process.live.take_increment().visible] == [
        (2, 3, 3, 5.0), (3, 3, 3, 4.0), (4, 2, 2, 3.0),
    ]  # fmt: skip
    assert process.live.take_increment().visible == []


def test_only_refetches_and_lags_of_the_measured_part_count(process: Process) -> None:
    for started, status, version in (
        (-0.1, 200, 0), (0.0, 200, 0), (9.9, 203, 0), (9.9, 500, -1), (9.9, 200, -1), (10.1, 200, 0),
    ):  # fmt: skip
        response = Response(status, b"", True, T0 + started, T0 + started + 0.5)
        process.recorder.refetch(1, 0, T0 + started, response, version)
    process.recorder.refetch(-1, -1, T0 + 1, Response(200, b"", True, T0 + 1, T0 + 2), 0)
    for time in (-0.1, 0.1, 11.9, 12.1):
        process.recorder.lag(T0 + time, 0.004)
    report = process.live.take_increment()
    assert (sum(report.refetch.counts), round(report.refetch.seconds, 6)) == (2, 1.0)
    assert (sum(report.lag.counts), round(report.lag.seconds, 6)) == (2, 0.008)


def test_connections(process: Process) -> None:
    first, second, third = process.connections
    process.recorder.connection(first, 0, ConnectionEvent.SUBSCRIBED, T0 - 1.5)
    process.recorder.connection(first, 0, ConnectionEvent.CLOSED, T0 + 1, 1012)
    process.recorder.connection(second, 1, ConnectionEvent.FAILED, T0 - 1, 503)
    process.recorder.connection(third, 2, ConnectionEvent.CLOSED, T0 + 1, 4000)
    report = process.live.take_increment()
    assert (sum(report.connect.counts), report.connect.seconds) == (1, 0.5)
    assert report.lost == {"1012": 1, "other": 1}


def test_flushing_the_history_neither_loses_nor_repeats_anything(process: Process) -> None:
    process.send(0, 5)
    process.live.collect()
    process.recorder.flush()
    process.send(1, 6)
    process.recorder.cpu(T0 + 1, 0.25, 0)
    report = process.live.take_increment()
    assert [send.n for send in report.sends] == [0, 1]
    assert report.cpu == process.live.take_increment().cpu == 0.25


class TextProcess:
    """Two dashboards whose frames carry texts, and a widget's socket. `latencies`: what Locust's rows are given."""

    def __init__(self, folder: Path, *, watched: bool) -> None:
        self.recorder = Recorder(folder, "abc", "swarm-0")
        of = scenario.parse({"swarm": {"dashboards": 2, "widgets": 1}}, "some", "some")
        self.latencies: list[float] = []
        self.live = ProcessFigures(
            self.recorder, ShownMessages(lambda *_: None), of, lambda widget, n: T0 + widget + n, None, self.count,
            watched=watched,
        )  # fmt: skip
        self.live.begin(T0)
        self.sockets = [self.recorder.opening(dashboard, T0 - 2) for dashboard in (0, -1, 1)]

    def count(self, latencies: Floats) -> None:
        self.latencies += np.round(latencies, 6).tolist()

    def announce(self, number: int, widget: int, n: int) -> None:
        row = (number, 0, True, 7, widget, n, Condition.INTACT, Sighting.LIVE)
        for column, value in zip(self.recorder._writer.columns["announcement"], row, strict=True):
            column.append(value)  # type: ignore[arg-type]

    def frames(self, number: int, time: float) -> None:
        for socket in self.sockets:
            self.recorder.frame(socket, number, T0 + time)


def test_frames_with_texts_are_updates_and_visible_deliveries(tmp_path: Path) -> None:
    process = TextProcess(tmp_path, watched=True)
    process.announce(0, 0, 1)
    process.frames(0, 1.5)
    process.live.collect()
    process.recorder.flush()
    process.announce(1, 0, 2)
    process.frames(1, 2.25)
    process.frames(0, 2.5)
    report = process.live.take_increment()
    assert process.latencies == [0.5, 0.5, 0.25, 0.25]
    assert summary(report.visible) == summary(report.notified) == [(0, 1, 2, 1.0), (0, 2, 2, 0.5)]
    process.recorder.close()


def test_frames_with_texts_are_updates_even_if_nobody_watches(tmp_path: Path) -> None:
    process = TextProcess(tmp_path, watched=False)
    process.announce(0, 0, 1)
    process.frames(0, 1.5)
    response = Response(200, b"", True, T0, T0 + 0.25)
    process.recorder.send(0, 1, 0, T0, T0, response, SendOutcome.ACCEPTED, 7)
    process.live.collect()
    assert process.latencies == [0.5, 0.5]
    report = process.live.take_increment()
    assert (report.sends, report.visible, report.notified) == ([], [], [])
    process.recorder.close()


def test_sends_name_no_ids_where_frames_have_texts(tmp_path: Path) -> None:
    process = TextProcess(tmp_path, watched=True)
    response = Response(200, b"", True, T0, T0 + 0.25)
    process.recorder.send(0, 1, 0, T0, T0, response, SendOutcome.ACCEPTED, 7)
    assert [tuple(send) for send in process.live.take_increment().sends] == [(0, 1, SendOutcome.ACCEPTED, 0.25, -1)]
    process.recorder.close()


def test_a_widget_s_socket_is_no_connection_of_a_dashboard(tmp_path: Path) -> None:
    process = TextProcess(tmp_path, watched=True)
    process.recorder.connection(process.sockets[1], -1, ConnectionEvent.SUBSCRIBED, T0 - 1)
    process.recorder.connection(process.sockets[1], -1, ConnectionEvent.CLOSED, T0 + 1, 1012)
    report = process.live.take_increment()
    assert (sum(report.connect.counts), report.lost) == (0, {})
    process.recorder.close()


def test_a_mistake_in_the_figures_costs_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(tmp_path)

    def fail(*_: object) -> None:
        raise IndexError("no such column")

    monkeypatch.setattr(process.live, "_take_connections", fail)
    process.live.collect()
    assert process.live.take_increment() == Increment()
    assert process.recorder.close() is None
    notes = read(history_file(tmp_path, "swarm-0")).tables["note"]["detail"]
    assert notes == ["the live figures of a process stopped: IndexError: no such column"]
