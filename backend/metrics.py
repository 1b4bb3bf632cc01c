"""All of the backend's metrics, in one place. Labels have few, fixed values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

REFUSALS: Final = ("unreadable", "empty", "no_chat", "too_long", "rate", "unavailable", "unknown")
CUTS: Final = ("buffer", "age")
TURNED_AWAY: Final = ("origin", "token", "full")
TIMEOUTS: Final = ("request", "answer", "idle")
EVICTIONS: Final = ("newcomer", "idle", "full")

Cause = Literal["bell", "clock", "request", "commit"]
"""What made a worker look at the log."""
CAUSES: Final[tuple[Cause, ...]] = ("bell", "clock", "request", "commit")

# Seconds. Fine between 1 and 2, because that is where the promise to a dashboard is kept or broken.
_UPDATE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 5, 10)
_COMMIT_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 5)
_BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one backend, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        accepted = Counter("chatswarm_messages_accepted", "Messages on disk, by role.", ["role"], registry=registry)
        self.accepted_user = accepted.labels("user")
        self.accepted_agent = accepted.labels("agent")
        self.repeated = Counter(
            "chatswarm_messages_repeated",
            "Retries with a known idempotency key: answered, not stored.",
            registry=registry,
        )
        refused = Counter("chatswarm_messages_refused", "Sends refused, by reason.", ["reason"], registry=registry)
        self.refused = {reason: refused.labels(reason) for reason in REFUSALS}
        self.broadcasts = Counter("chatswarm_broadcasts", "Rounds of writes to all subscribers.", registry=registry)
        self.notifications = Counter(
            "chatswarm_notifications", "Notifications written, one per message and subscriber.", registry=registry
        )
        self.replayed = Counter("chatswarm_notifications_replayed", "Notifications replayed.", registry=registry)
        self.refetch_told = Counter(
            "chatswarm_refetch_told", "Subscribers told to refetch because a replay was too long.", registry=registry
        )
        self.notify_seconds = Histogram(
            "chatswarm_notify_seconds",
            "From a message's arrival (elsewhere: its commit) to its frame being written to the last subscriber.",
            buckets=_UPDATE_BUCKETS,
            registry=registry,
        )
        self.connected = Gauge("chatswarm_dashboards_connected", "Dashboards connected.", registry=registry)
        self.subscribed = Gauge("chatswarm_dashboards_subscribed", "Dashboards subscribed to chats.", registry=registry)
        turned_away = Counter(
            "chatswarm_dashboards_refused",
            "Dashboards refused at the handshake, by reason.",
            ["reason"],
            registry=registry,
        )
        self.turned_away = {reason: turned_away.labels(reason) for reason in TURNED_AWAY}
        self.unauthorized = Counter(
            "chatswarm_requests_unauthorized", "HTTP requests refused without a valid token.", registry=registry
        )
        cut = Counter("chatswarm_dashboards_cut", "Dashboards cut off, by reason.", ["reason"], registry=registry)
        self.cut = {reason: cut.labels(reason) for reason in CUTS}
        timeouts = Counter(
            "chatswarm_connections_timed_out",
            "Connections closed for being late, by what was.",
            ["what"],
            registry=registry,
        )
        self.timeouts = {what: timeouts.labels(what) for what in TIMEOUTS}
        evicted = Counter(
            "chatswarm_connections_evicted",
            "HTTP connections closed for want of room, by reason.",
            ["reason"],
            registry=registry,
        )
        self.evicted = {reason: evicted.labels(reason) for reason in EVICTIONS}
        self.unsent = Gauge("chatswarm_unsent_bytes", "Bytes that dashboards have not taken yet.", registry=registry)
        self.commit_seconds = Histogram(
            "chatswarm_commit_seconds",
            "From the begin to the end of a commit.",
            buckets=_COMMIT_BUCKETS,
            registry=registry,
        )
        self.batch_messages = Histogram(
            "chatswarm_batch_size", "Writes that shared one commit.", buckets=_BATCH_BUCKETS, registry=registry
        )
        self.commits_failed = Counter("chatswarm_commits_failed", "Commits that failed.", registry=registry)
        self.wal_bytes = Gauge("chatswarm_wal_bytes", "Size of the write-ahead log.", registry=registry)
        refetches = Counter("chatswarm_refetches", "Reads of the chat list, by status.", ["status"], registry=registry)
        self.refetched = refetches.labels("200")
        self.unchanged = refetches.labels("304")
        rung = Counter(
            "chatswarm_bells_rung", "Bells rung for other workers, by outcome.", ["outcome"], registry=registry
        )
        self.rung = {outcome: rung.labels(outcome) for outcome in ("sent", "failed")}
        heard = Counter(
            "chatswarm_bells_heard", "Bells of others, by whether the log had news.", ["outcome"], registry=registry
        )
        self.heard = {outcome: heard.labels(outcome) for outcome in ("news", "nothing")}
        reads = Counter(
            "chatswarm_log_reads", "Reads of the log that brought news, by cause.", ["cause"], registry=registry
        )
        self.log_reads = {cause: reads.labels(cause) for cause in CAUSES}
        self.bus_connected = Gauge("chatswarm_bus_connected", "Whether --bus is connected.", registry=registry)
        self.loop_lag = Gauge("chatswarm_loop_lag_seconds", "How late the loop's last tick came.", registry=registry)

    def watch_unsent(self, total: Callable[[], float]) -> None:
        """Ask `total` for the unsent bytes whenever somebody looks."""
        self.unsent.set_function(total)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
