"""The metrics: their names, and that each changes on its event and only then."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from chatswarm.backend.fanout.hub import Hub
from chatswarm.backend.fanout.turns import SLICE
from chatswarm.backend.metrics.histogram import FastHistogram
from chatswarm.backend.metrics.loop_lag import measure_lag
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.frames import OutgoingFrame
from tests.backend.servers import (
    HANDSHAKE,
    Backend,
    client_frame,
    close_code,
    frame,
    raw_dashboard,
    running,
    say,
    until,
)

ROOT = Path(__file__).parents[3]

LATENCY = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 5, 10]
LAG = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

COUNTERS = {
    "chat_messages_accepted_total": {"role": "user agent"},
    "chat_messages_refused_total": {"reason": "unreadable empty no_chat no_member too_long rate unavailable unknown"},
    "chat_messages_repeated_total": {},
    "chat_notifications_replayed_total": {},
    "chat_refetch_told_total": {},
    "chat_dashboards_cut_total": {"reason": "buffer age"},
    "chat_dashboards_refused_total": {"reason": "origin token full"},
    "chat_closes_total": {"code": "1000 1001 1006 1008 1009 1011 1012 1013 4401 other"},
    "chat_commits_failed_total": {},
    "chat_refetches_total": {"outcome": "200 304 failed"},
    "chat_refetch_bytes_total": {},
    "chat_requests_unauthorized_total": {},
    "chat_connections_timed_out_total": {"what": "request answer idle"},
    "chat_connections_evicted_total": {"reason": "newcomer idle full"},
    "chat_bells_rung_total": {"outcome": "sent failed"},
    "chat_bells_heard_total": {"outcome": "news nothing"},
    "chat_log_reads_total": {"cause": "bell clock request commit"},
}
GAUGES = (
    "chat_dashboards_connected",
    "chat_rooms",
    "chat_rooms_joined",
    "chat_dashboards_subscribed",
    "chat_unsent_bytes",
    "chat_wal_bytes",
    "chat_bus_connected",
)
HISTOGRAMS = {
    "chat_fanout_dashboards": None,
    "chat_broadcast_seconds": LATENCY,
    "chat_delivery_seconds": LATENCY,
    "chat_commit_seconds": LATENCY,
    "chat_commit_writes": None,
    "chat_refetch_seconds": LATENCY,
    "chat_loop_lag_seconds": LAG,
}


def families(text: str) -> Iterator[Metric]:
    """Without the metrics that prometheus_client adds: the process, and creation times of counters."""
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("process_") and not family.name.endswith("_created"):
            yield family


def samples(text: str) -> dict[str, float]:
    """Every sample, by name and labels."""
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in families(text)
        for sample in family.samples
    }


FRESH = BackendMetrics().exposition().decode()


class TestNames:
    def test_the_names_are_the_contract(self) -> None:
        found = {(family.type, family.name) for family in families(FRESH)}
        # The parser strips _total.
        agreed = {("counter", name.removesuffix("_total")) for name in COUNTERS}
        agreed |= {("gauge", name) for name in GAUGES} | {("histogram", name) for name in HISTOGRAMS}
        assert found == agreed

    @pytest.mark.parametrize("family", list(families(FRESH)), ids=lambda family: family.name)
    def test_each_has_help_that_names_its_unit(self, family: Metric) -> None:
        assert len(family.documentation) > 10
        unit = family.name.rpartition("_")[2]
        if unit in ("seconds", "bytes", "writes", "dashboards"):
            assert unit in family.documentation.lower()
        else:
            assert family.type != "histogram"
            assert not re.search(r"\b(seconds|bytes)\b", family.documentation.lower())
        assert (family.type == "counter") == all(sample.name.endswith("_total") for sample in family.samples)

    @pytest.mark.parametrize(("name", "edges"), HISTOGRAMS.items())
    def test_the_edges_are_the_contract(self, name: str, edges: list[float] | None) -> None:
        found = [float(key.rpartition("=")[2]) for key in samples(FRESH) if key.startswith(f"{name}_bucket")]
        assert found == sorted(found)
        assert found[-1] == float("inf")
        if edges is not None:
            assert found[:-1] == edges

    @pytest.mark.parametrize(("name", "labels"), COUNTERS.items())
    def test_all_values_of_a_label_exist_from_the_start(self, name: str, labels: dict[str, str]) -> None:
        expected = {f"{name} {label}={value}" for label, values in labels.items() for value in values.split()}
        assert {key for key in samples(FRESH) if key.split(" ")[0] == name} == (expected or {name})

    def test_each_is_documented(self) -> None:
        manual = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
        missing = [name for name in (*COUNTERS, *GAUGES, *HISTOGRAMS, "chat_workers_up") if f"`{name}`" not in manual]
        assert missing == []


class TestHistogram:
    def test_equal_values_are_counted_in_one_step_in_their_bucket(self) -> None:
        registry = CollectorRegistry()
        it = FastHistogram("x_seconds", "X.", (1, 2.5), registry)
        it.observe(1.0, 3)
        it.observe(1.5)
        it.observe(2.5, 2)
        it.observe(2.6, 4)
        it.observe(99, 0)
        up_to = [registry.get_sample_value("x_seconds_bucket", {"le": edge}) for edge in ("1.0", "2.5", "+Inf")]
        assert up_to == [3, 6, 10]
        assert registry.get_sample_value("x_seconds_count") == 10
        assert registry.get_sample_value("x_seconds_sum") == pytest.approx(3 + 1.5 + 5 + 10.4)


class Clock:
    """A clock that only tests and writes advance."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Sink:
    """Accepts all writes, or none; each takes `slow` seconds of the clock."""

    def __init__(self, clock: Clock, *, slow: float = 0.0, takes: bool = True) -> None:
        self.clock = clock
        self.slow = slow
        self.takes = takes

    def write(self, data: bytes) -> bool:
        self.clock.now += self.slow
        return self.takes

    def unsent(self) -> int:
        return 0


class TestFanOut:
    """The hub's bookkeeping, on a fake clock."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr("chatswarm.backend.fanout.hub.time", clock)
        return clock

    def within(self, hub: Hub, name: str) -> dict[float, float]:
        """The number of values in each bucket alone."""
        found = samples(hub._metrics.exposition().decode())
        start = f"{name}_bucket le="
        buckets = {float(key.removeprefix(start)): count for key, count in found.items() if key.startswith(start)}
        below = 0.0
        own: dict[float, float] = {}
        for edge, count in buckets.items():
            if count > below:
                own[edge] = count - below
            below = count
        return own

    def count(self, hub: Hub, name: str) -> float:
        return samples(hub._metrics.exposition().decode())[f"{name}_count"]

    def hub(self, window: float = 0.0) -> Hub:
        return Hub(BackendMetrics(), join_window=window, held_limit=1000)

    def test_each_delivery_is_as_late_as_its_slice_and_each_message_as_the_last(self, clock: Clock) -> None:
        async def scenario() -> None:
            it = self.hub()
            for _ in range(3 * SLICE):
                it.subscribe(Sink(clock, slow=0.6 / SLICE), "x")
            it.publish([OutgoingFrame(1, b"x", 100.0), OutgoingFrame(2, b"y", 99.0), OutgoingFrame(3, b"z", 100.0)])
            while it._frames:  # noqa: ASYNC110
                await asyncio.sleep(0)
            # After 0.6, 1.2 and 1.8 s; one message was a second old, two shared a commit.
            latest = {0.75: 2, 1.25: 2, 2: 2, 1.75: 1, 2.5: 1, 5: 1}
            assert self.within(it, "chat_delivery_seconds") == {edge: n * SLICE for edge, n in sorted(latest.items())}
            assert self.within(it, "chat_broadcast_seconds") == {2: 2, 5: 1}
            assert self.within(it, "chat_fanout_dashboards") == {1000: 3}

        asyncio.run(scenario())

    def test_a_slice_is_counted_as_soon_as_it_is_written(self, clock: Clock) -> None:
        async def scenario() -> None:
            it = self.hub()
            it.subscribe(Sink(clock, slow=3), "x")
            it.publish([OutgoingFrame(1, b"x", 100.0)])
            assert self.within(it, "chat_delivery_seconds") == self.within(it, "chat_broadcast_seconds") == {5: 1}

        asyncio.run(scenario())

    def test_subscribers_that_take_nothing_or_have_left_are_not_counted(self, clock: Clock) -> None:
        async def scenario() -> None:
            it = self.hub()
            it.subscribe(Sink(clock, takes=False), "cut off")
            it.publish([OutgoingFrame(1, b"x", 100.0)])
            it.flush()
            assert self.count(it, "chat_delivery_seconds") == 0
            assert self.count(it, "chat_broadcast_seconds") == 0, "it reached nobody"
            gone = it.subscribe(Sink(clock), "gone")
            it.subscribe(Sink(clock), "there")
            for number in (2, 3):
                it.publish([OutgoingFrame(number, b"x", 100.0)])
                it.flush()
                it.unsubscribe(gone)
            assert self.count(it, "chat_delivery_seconds") == 3
            assert self.count(it, "chat_broadcast_seconds") == 2

        asyncio.run(scenario())

    def test_without_subscribers_nothing_is_broadcast(self, clock: Clock) -> None:
        async def scenario() -> None:
            it = self.hub()
            it.publish([OutgoingFrame(1, b"x", 100.0)])
            it.flush()
            for name in ("chat_delivery_seconds", "chat_broadcast_seconds", "chat_fanout_dashboards"):
                assert self.count(it, name) == 0

        asyncio.run(scenario())

    def test_a_late_subscriber_counts_only_what_it_is_due(self, clock: Clock) -> None:
        async def scenario() -> None:
            it = self.hub(window=60)
            it.subscribe(Sink(clock, slow=1), "old")
            it.publish([OutgoingFrame(1, b"x", 100.0)])
            await asyncio.sleep(0)
            it.publish([OutgoingFrame(2, b"x", 100.0), OutgoingFrame(3, b"x", 100.0)])
            it.subscribe(Sink(clock), "new")
            it.publish([OutgoingFrame(4, b"x", 100.0)])
            it.flush()
            assert self.count(it, "chat_delivery_seconds") == 1 + 3 + 1
            assert self.count(it, "chat_broadcast_seconds") == 4

        asyncio.run(scenario())

    def test_a_flush_counts_a_broadcast_in_progress_once(self, clock: Clock) -> None:
        async def scenario() -> None:
            it = self.hub()
            for _ in range(2 * SLICE):
                it.subscribe(Sink(clock), "x")
            it.publish([OutgoingFrame(1, b"x", 100.0)])
            it.publish([OutgoingFrame(2, b"x", 100.0)])
            it.flush()
            for _ in range(5):
                await asyncio.sleep(0)
            it.publish([OutgoingFrame(3, b"x", 100.0)])
            await asyncio.sleep(0)
            # Everything is written, but not counted yet.
            it.flush()
            assert self.count(it, "chat_delivery_seconds") == 3 * 2 * SLICE
            assert self.count(it, "chat_broadcast_seconds") == 3

        asyncio.run(scenario())

    def test_held_frames_are_counted_when_they_are_written(self, clock: Clock) -> None:
        async def scenario() -> None:
            it = self.hub()
            subscriber = it.subscribe(Sink(clock), "x", hold=True)
            it.publish([OutgoingFrame(1, b"x", 97.0), OutgoingFrame(2, b"x", 98.0)])
            it.flush()
            assert self.count(it, "chat_delivery_seconds") == 0
            assert subscriber.release() == [97.0, 98.0]
            cut_off = it.subscribe(Sink(clock, takes=False), "y", hold=True)
            it.publish([OutgoingFrame(3, b"x", 97.0)])
            it.flush()
            assert cut_off.release() == []

        asyncio.run(scenario())


def test_a_blocked_loop_is_late() -> None:
    async def scenario() -> None:
        lags: list[float] = []
        watch = asyncio.create_task(measure_lag(lags.append))
        await asyncio.sleep(0)
        time.sleep(1.0)  # noqa: ASYNC251
        while not lags:  # noqa: ASYNC110
            await asyncio.sleep(0)
        watch.cancel()
        # It was due after 0.1 s; on a busy machine it is even later.
        assert lags[0] > 0.8

    asyncio.run(scenario())


@contextlib.contextmanager
def moves(backend: Backend, **expected: float) -> Iterator[dict[str, float]]:
    """Assert that within the block exactly these counters change, by these amounts. The block may add to the dict.

    For histograms, the number of values counts. Lag and log size are left out: they change by themselves.
    """

    def counted() -> dict[str, float]:
        quiet = ("chat_loop_lag", "chat_wal", "chat_unsent", "chat_dashboards_connected", "chat_dashboards_subscribed")
        return {
            key: value
            for key, value in samples(backend.http.get("/metrics").text).items()
            if not key.startswith(quiet) and not key.split(" ")[0].endswith(("_bucket", "_sum"))
        }

    before = counted()
    wanted: dict[str, float] = dict(expected)
    yield wanted
    moved: dict[str, float] = {}

    def settled() -> bool:
        moved.clear()
        moved.update({key: value - before[key] for key, value in counted().items() if value != before[key]})
        return moved == wanted

    with contextlib.suppress(AssertionError):
        until(settled)
    assert moved == wanted


STORED = {"chat_commit_seconds_count": 1, "chat_commit_writes_count": 1}
TOLD = {"chat_delivery_seconds_count": 1, "chat_broadcast_seconds_count": 1, "chat_fanout_dashboards_count": 1}


def refused(reason: str) -> dict[str, float]:
    return {f"chat_messages_refused_total reason={reason}": 1}


class TestMessages:
    def test_accepted_by_role(self, shared: Backend) -> None:
        chat_id = shared.new_chat()
        with moves(shared, **{"chat_messages_accepted_total role=user": 1}, **STORED):
            assert shared.send(chat_id, "x").status_code == 200
        with moves(shared, **{"chat_messages_accepted_total role=agent": 1}, **STORED):
            path = f"/api/dashboard/chats/{chat_id}/send"
            assert shared.http.post(path, json={"content": "x"}).status_code == 200

    def test_a_retry_is_neither_accepted_nor_announced_again(self, shared: Backend) -> None:
        chat_id = shared.new_chat()
        with shared.dashboard():
            with moves(shared, **{"chat_messages_accepted_total role=user": 1}, **STORED, **TOLD):
                shared.send(chat_id, "x", "key")
            with moves(shared, chat_messages_repeated_total=1, **STORED):
                shared.send(chat_id, "x", "key")

    @pytest.mark.parametrize(
        ("reason", "chat", "body"),
        [
            ("unreadable", "", b"{"),
            ("empty", "", b'{"content": " "}'),
            ("too_long", "", b'{"content": "%s"}' % (b"x" * 20_000)),
            ("too_long", "", b'{"content": "%s"}' % (b"x" * 1_000_000)),
            ("no_chat", "nobody's", b'{"content": "x"}'),
        ],
    )
    def test_refused_by_reason(self, shared: Backend, reason: str, chat: str, body: bytes) -> None:
        path = f"/api/users/chats/{chat or shared.new_chat()}/send"
        with moves(shared, **refused(reason)):
            assert 400 <= shared.http.post(path, content=body).status_code < 500

    def test_refused_for_the_rate(self, tmp_path: Path) -> None:
        with running(tmp_path, "--sends-per-second", "0.001") as backend:
            chat_id = backend.new_chat()
            with moves(backend, **{"chat_messages_accepted_total role=user": 1}, **STORED):
                backend.send(chat_id, "x")
            with moves(backend, **refused("rate")):
                assert backend.send(chat_id, "x").status_code == 429

    def test_refused_without_the_store(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        with closing(sqlite3.connect(backend.database, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            with moves(backend, **refused("unavailable"), chat_commits_failed_total=1):
                assert backend.send(chat_id, "x").status_code == 503

    def test_deliveries_are_messages_times_subscribers_and_broadcasts_are_messages(self, backend: Backend) -> None:
        chats = [backend.new_chat(f"{number}@x") for number in range(8)]
        messages, subscribers = 200, 3
        with ExitStack() as stack:
            dashboards = [stack.enter_context(backend.dashboard()) for _ in range(subscribers)]
            stack.enter_context(backend.dashboard(subscribe=False))
            before = backend.metric("chat_commit_writes_count"), backend.metric("chat_commit_writes_sum")
            backend.send_many(chats, messages)
            for dashboard in dashboards:
                for _ in range(messages):
                    frame(dashboard)
            until(lambda: backend.metric("chat_broadcast_seconds_count") == messages)
            assert backend.metric("chat_delivery_seconds_count") == messages * subscribers
            assert backend.metric("chat_fanout_dashboards_sum") == messages * subscribers
            assert backend.metric('chat_fanout_dashboards_bucket{le="2.0"}') == 0
            assert backend.metric("chat_commit_writes_sum") - before[1] == messages
            commits = backend.metric("chat_commit_writes_count") - before[0]
            assert 0 < commits <= messages
            assert backend.metric("chat_dashboards_subscribed") == subscribers
            assert backend.metric("chat_dashboards_connected") == subscribers + 1

    def test_a_replay_is_not_a_delivery(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        backend.send_many([chat_id], 5)
        with backend.dashboard(subscribe=False) as dashboard:
            with moves(backend, chat_notifications_replayed_total=3):
                say(dashboard, action="subscribe", subscription_type="chat_updates", after=2)
            with moves(backend, chat_refetch_told_total=1):
                say(dashboard, action="subscribe", subscription_type="chat_updates", after=99)


class TestRefetches:
    def test_200_with_its_bytes_then_304_without(self, shared: Backend) -> None:
        shared.send(shared.new_chat(), "x")
        with moves(shared, **{"chat_refetches_total outcome=200": 1}, chat_refetch_seconds_count=1) as expected:
            answer = shared.http.get("/api/debug/users-chats")
            expected["chat_refetch_bytes_total"] = len(answer.content)
        with moves(shared, **{"chat_refetches_total outcome=304": 1}, chat_refetch_seconds_count=1):
            known = {"If-None-Match": answer.headers["ETag"]}
            assert shared.http.get("/api/debug/users-chats", headers=known).status_code == 304

    def test_a_wrong_limit_failed(self, shared: Backend) -> None:
        with moves(shared, **{"chat_refetches_total outcome=failed": 1}, chat_refetch_seconds_count=1):
            assert shared.http.get("/api/debug/users-chats?limit=many").status_code == 400


def plain_close(backend: Backend, payload: bytes) -> None:
    with raw_dashboard(backend.port) as raw:
        raw.sendall(client_frame(0x88, payload))
        close_code(raw)


def say_and_be_closed(backend: Backend, said: bytes) -> None:
    with raw_dashboard(backend.port) as raw:
        with contextlib.suppress(ConnectionError):
            raw.sendall(said)
        close_code(raw)


def code(number: int) -> bytes:
    return number.to_bytes(2, "big")


ENDINGS: dict[str, tuple[str, Callable[[Backend], None]]] = {
    "a tab that is closed": ("1001", lambda backend: plain_close(backend, code(1001))),
    "a goodbye": ("1000", lambda backend: plain_close(backend, code(1000))),
    "a goodbye without a code": ("other", lambda backend: plain_close(backend, b"")),
    "a code of its own": ("other", lambda backend: plain_close(backend, code(4001))),
    "1008": ("1008", lambda backend: plain_close(backend, code(1008))),
    "1011": ("1011", lambda backend: plain_close(backend, code(1011))),
    "1012": ("1012", lambda backend: plain_close(backend, code(1012))),
    "1013": ("1013", lambda backend: plain_close(backend, code(1013))),
    "no goodbye": ("1006", lambda backend: raw_dashboard(backend.port).close()),
    "a frame too big": ("1009", lambda backend: say_and_be_closed(backend, client_frame(0x81, b"x" * (1 << 20)))),
    "bad text": ("other", lambda backend: say_and_be_closed(backend, client_frame(0x81, b"\xff"))),
    "a broken frame": ("other", lambda backend: say_and_be_closed(backend, client_frame(0x83, b"x"))),
    "endless fragments": (
        "1008",
        lambda backend: say_and_be_closed(backend, client_frame(0x01, b"") + client_frame(0x00, b"") * 2000),
    ),
}


class TestCloses:
    @pytest.mark.parametrize(("told", "end"), ENDINGS.values(), ids=ENDINGS)
    def test_each_is_counted_once_by_the_code_that_was_sent_first(
        self, shared: Backend, told: str, end: Callable[[Backend], None]
    ) -> None:
        with shared.dashboard(), moves(shared, **{f"chat_closes_total code={told}": 1}):
            end(shared)

    def test_a_refused_or_aborted_handshake_is_not_a_close(self, tmp_path: Path) -> None:
        with running(tmp_path, "--max-connections", "1") as backend, backend.dashboard():
            with moves(backend, **{"chat_dashboards_refused_total reason=full": 1}):
                url = f"ws://127.0.0.1:{backend.port}/ws/dashboard"
                with pytest.raises(InvalidStatus), connect(url, proxy=None):
                    pass
            with moves(backend), socket.create_connection(("127.0.0.1", backend.port)) as raw:
                raw.sendall(HANDSHAKE[:-2])

    def test_beyond_its_buffer_it_is_cut_off_with_1013(self, tmp_path: Path) -> None:
        with running(tmp_path, "--buffer-limit", "20000", "--unsent-limit", "60s") as backend:
            raw = raw_dashboard(backend.port, receive_buffer=4096)
            raw.setblocking(False)
            with moves(backend, **{"chat_dashboards_cut_total reason=buffer": 1, "chat_closes_total code=1013": 1}):
                while backend.metric("chat_dashboards_connected"):
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        raw.send(client_frame(0x81, b"?") * 1000)
            raw.close()

    def test_with_a_byte_unsent_for_too_long_it_is_reset(self, tmp_path: Path) -> None:
        with running(tmp_path, "--unsent-limit", "2s") as backend:
            raw = raw_dashboard(backend.port, receive_buffer=4096)
            raw.setblocking(False)
            with moves(backend, **{"chat_dashboards_cut_total reason=age": 1, "chat_closes_total code=1006": 1}):
                while not backend.metric("chat_unsent_bytes"):
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        raw.send(client_frame(0x81, b"?") * 100)
                until(lambda: backend.metric("chat_dashboards_connected") == 0)
            raw.close()

    def test_a_silent_dashboard_is_closed_with_1008(self, tmp_path: Path) -> None:
        with running(tmp_path, "--idle-timeout", "1s") as backend:
            expected = {"chat_connections_timed_out_total what=idle": 1, "chat_closes_total code=1008": 1}
            with moves(backend, **expected), backend.dashboard(subscribe=False):
                until(lambda: backend.metric("chat_dashboards_connected") == 0)


def test_the_loops_lag_is_measured_continuously(shared: Backend) -> None:
    before = shared.metric("chat_loop_lag_seconds_count")
    until(lambda: shared.metric("chat_loop_lag_seconds_count") > before + 3)


def test_labels_have_no_other_values(backend: Backend) -> None:
    for number in range(3):
        backend.send(backend.new_chat(f"{number}@x"), "x")
        with backend.dashboard():
            backend.send("nobody's", "x")
        plain_close(backend, code(4000 + number))
        backend.http.get(f"/api/debug/users-chats?limit={number}")
        backend.http.get(f"/{number}")
    assert set(samples(backend.http.get("/metrics").text)) == set(samples(FRESH))


def test_several_workers_report_their_metrics_together(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2") as backend:
        until(lambda: backend.metric("chat_workers_up") == 2)
        chat_id = backend.new_chat()
        with backend.dashboards_everywhere(2) as dashboards, backend.each_worker(2) as clients:
            for client in clients:
                for _ in range(3):
                    client.post(f"/api/users/chats/{chat_id}/send", json={"content": "x"})

            def total(name: str) -> float:
                return sum(backend.by_worker(f"{name}{{worker}}").values())

            until(lambda: total("chat_broadcast_seconds_count") == 6 * 2)
            assert total("chat_delivery_seconds_count") == 6 * len(dashboards)
            found = samples(backend.http.get("/metrics").text)
            assert {re.sub(" worker=.", "", key) for key in found} == {*samples(FRESH), "chat_workers_up"}
            by_worker = {key for key in found if "worker=" in key}
            assert len(by_worker) == 2 * len(samples(FRESH))
