"""All metrics of the backend: names, units, labels and meaning.

Labels have few, fixed values, which all exist from the start: never a chat, a user or a connection. Histograms belong
to the event loop; any thread may change counters and gauges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from .histogram import FastHistogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

ROLES: Final = ("user", "agent")
REFUSALS: Final = ("unreadable", "empty", "no_chat", "no_member", "too_long", "rate", "unavailable", "unknown")
CUTS: Final = ("buffer", "age")
TURNED_AWAY: Final = ("origin", "token", "full")
CLOSES: Final = ("1000", "1001", "1006", "1008", "1009", "1011", "1012", "1013", "4401", "other")
TIMEOUTS: Final = ("request", "answer", "idle")
EVICTIONS: Final = ("newcomer", "idle", "full")

Refetch = Literal["200", "304", "failed"]
"""The outcome of a read of the list."""
REFETCHES: Final[tuple[Refetch, ...]] = ("200", "304", "failed")

Cause = Literal["bell", "clock", "request", "commit"]
"""Why a worker polled the log; `bell` is a wake-up by another worker."""
CAUSES: Final[tuple[Cause, ...]] = ("bell", "clock", "request", "commit")

# Seconds. Fine steps between 1 and 2, where the promise to a dashboard is kept or broken.
LATENCY: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 5, 10)
LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
WRITES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
DASHBOARDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)

WORKERS_UP: Final = ("chat_workers_up", "Workers that reported their metrics in time; only with several workers.")
"""Name and help of the one gauge that belongs to no single worker: see exposition.py."""


class BackendMetrics:
    """The metrics of one backend, or of one of its workers, on their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._messages()
        self._fan_out()
        self._dashboards()
        self._store()
        self._http()
        self._workers()

    def _messages(self) -> None:
        self.accepted = self._counters("chat_messages_accepted", "Messages on disk, by role.", "role", ROLES)
        self.refused = self._counters(
            "chat_messages_refused", "Sends that were refused, by reason.", "reason", REFUSALS
        )
        self.repeated = self._counter(
            "chat_messages_repeated", "Retries with a known idempotency key: nothing was stored."
        )

    def _fan_out(self) -> None:
        self.fanout_dashboards = self._histogram(
            "chat_fanout_dashboards",
            "Dashboards that a message was broadcast to, one value per message.",
            DASHBOARDS,
        )
        self.broadcast_seconds = self._histogram(
            "chat_broadcast_seconds",
            "For each message with subscribers: seconds from its commit until its last byte was written to a socket.",
            LATENCY,
        )
        self.delivery_seconds = self._histogram(
            "chat_delivery_seconds",
            "For each message and dashboard: seconds from the commit until its bytes were written to that dashboard's "
            "socket. Bytes that a socket does not take at once are in chat_unsent_bytes.",
            LATENCY,
        )
        self.replayed = self._counter(
            "chat_notifications_replayed", "Notifications of older messages that were replayed to dashboards."
        )
        self.refetch_told = self._counter(
            "chat_refetch_told",
            "Dashboards asked to refetch because what they missed could not be replayed.",
        )

    def _dashboards(self) -> None:
        self.connected = self._gauge("chat_dashboards_connected", "Connected dashboards.")
        self.subscribed = self._gauge("chat_dashboards_subscribed", "Dashboards subscribed to chat updates.")
        self.unsent = self._gauge("chat_unsent_bytes", "Bytes written that dashboards have not taken yet.")
        self.rooms = self._gauge("chat_rooms", "Rooms of the push chat.")
        self.joined = self._gauge("chat_rooms_joined", "Rooms that connections of the push chat have joined, in sum.")
        self.turned_away = self._counters(
            "chat_dashboards_refused", "Dashboards refused at the handshake, by reason.", "reason", TURNED_AWAY
        )
        self.cut = self._counters(
            "chat_dashboards_cut",
            "Dashboards cut off because too much was unsent (buffer), or for too long (age).",
            "reason",
            CUTS,
        )
        self._closes = self._counters(
            "chat_closes",
            "Closed dashboards' connections, by the close code of the side that sent one first; 1006: neither did.",
            "code",
            CLOSES,
        )

    def _store(self) -> None:
        self.commit_seconds = self._histogram(
            "chat_commit_seconds",
            "Seconds that a commit took, from the first wait for the lock until it was on disk.",
            LATENCY,
        )
        self.commit_writes = self._histogram("chat_commit_writes", "Writes that shared one commit.", WRITES)
        self.commits_failed = self._counter("chat_commits_failed", "Commits that failed.")
        self.wal_bytes = self._gauge("chat_wal_bytes", "Size of the write-ahead log in bytes when it was last checked.")

    def _http(self) -> None:
        self._refetches = self._counters("chat_refetches", "Reads of the chat list, by outcome.", "outcome", REFETCHES)
        self._refetch_seconds = self._histogram(
            "chat_refetch_seconds", "Seconds that a read of the chat list took, whatever its outcome.", LATENCY
        )
        self._refetch_bytes = self._counter("chat_refetch_bytes", "Bytes of chat lists in responses.")
        self.unauthorized = self._counter("chat_requests_unauthorized", "HTTP requests without a valid token.")
        self.timeouts = self._counters(
            "chat_connections_timed_out", "Connections closed by a timeout, by what was late.", "what", TIMEOUTS
        )
        self.evicted = self._counters(
            "chat_connections_evicted",
            "HTTP connections closed at the limit, by reason.",
            "reason",
            EVICTIONS,
        )
        self.loop_lag_seconds = self._histogram(
            "chat_loop_lag_seconds", "Seconds that the event loop was late, measured ten times a second.", LAG
        )

    def _workers(self) -> None:
        self.wakeups_sent = self._counters(
            "chat_bells_rung", "Wake-ups sent to other workers, by outcome.", "outcome", ("sent", "failed")
        )
        self.wakeups_received = self._counters(
            "chat_bells_heard",
            "Wake-ups by other workers, by whether the log had news.",
            "outcome",
            ("news", "nothing"),
        )
        self.log_reads = self._counters(
            "chat_log_reads", "Reads of the log that found new commits, by what caused the read.", "cause", CAUSES
        )
        self.bus_connected = self._gauge("chat_bus_connected", "1 if the broker of --bus is connected, else 0.")

    def set_unsent_source(self, total: Callable[[], float]) -> None:
        """Call `total` for the unsent bytes at every scrape."""
        self.unsent.set_function(total)

    def closed(self, code: int) -> None:
        """Count a dashboard's connection that closed with this code."""
        self._closes[str(code) if str(code) in CLOSES else "other"].inc()

    def refetched(self, outcome: Refetch, seconds: float, size: int) -> None:
        """Record a read of the list, with `size` bytes in the response."""
        self._refetches[outcome].inc()
        self._refetch_seconds.observe(seconds)
        self._refetch_bytes.inc(size)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help_: str) -> Counter:
        return Counter(name, help_, registry=self.registry)

    def _counters(self, name: str, help_: str, label: str, values: Sequence[str]) -> dict[str, Counter]:
        counter = Counter(name, help_, [label], registry=self.registry)
        return {value: counter.labels(value) for value in values}

    def _gauge(self, name: str, help_: str) -> Gauge:
        return Gauge(name, help_, registry=self.registry)

    def _histogram(self, name: str, help_: str, edges: Sequence[float]) -> FastHistogram:
        return FastHistogram(name, help_, edges, self.registry)
