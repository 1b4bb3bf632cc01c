"""The dashboard *Where does the time go?*: each stage from intended to visible, and the backend meanwhile."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from .board import Board, BoardRow
from .panels import BYTES, CORES, COUNT, GREEN, PER_SECOND, RED, SECONDS, TARGET, PanelSeries, cloud, lines
from .queries import average, increase, of_backend, of_swarm, quantile, rate, total, update_quantile

_UPDATE_TARGET = f"max({of_swarm('chatswarm_update_target_seconds')})"


def all_stages() -> Builder[Panel]:
    """Which stage takes the time?"""
    return lines(
        "All stages, p99",
        "From intended until: accepted (the response), notified (the frame at a dashboard), visible (the refetch that "
        "shows it, or the frame with its text), visible on the last dashboard. The time goes where two lines part. "
        "Refetch: a single refetch, from its start.",
        SECONDS,
        PanelSeries("accepted", quantile(0.99, "chatswarm_accepted_seconds")),
        PanelSeries("notified", quantile(0.99, "chatswarm_notified_seconds")),
        PanelSeries("refetch", quantile(0.99, "chatswarm_refetch_seconds")),
        PanelSeries("visible", update_quantile(0.99)),
        PanelSeries("last dashboard", quantile(0.99, "chatswarm_last_dashboard_seconds")),
        PanelSeries(TARGET, _UPDATE_TARGET),
    )


def every_delivery() -> Builder[Panel]:
    """Are all deliveries a little slow, or a few very slow?"""
    return cloud(
        "Every delivery",
        "The update latencies of all deliveries: one row per bucket, brighter for more. Two bands mean two kinds of "
        "dashboards or messages.",
        SECONDS,
        PanelSeries("{{le}}", total(increase("chatswarm_visible_seconds_bucket"), "le")),
    )


def accepted() -> Builder[Panel]:
    """How long does a widget wait?"""
    return _stage(
        "Accepted", "From intended to the end of the 2xx. High: see Commit and Backend: loop lag.", "accepted"
    )


def notified() -> Builder[Panel]:
    """When is a dashboard notified?"""
    return _stage(
        "Notified",
        "From intended to the frame that announces the message, for frames that arrived. High while Accepted is low: "
        "see Broadcast, Delivery and Unsent bytes.",
        "notified",
    )


def refetch() -> Builder[Panel]:
    """How long does reading the list take?"""
    return _stage(
        "Refetch",
        "A dashboard's GET of the chat list, from the start of the request. High: see Backend: refetch, and Refetches.",
        "refetch",
    )


def last_dashboard() -> Builder[Panel]:
    """When is it visible on every dashboard?"""
    return _stage(
        "Last dashboard",
        "From intended until visible on the slowest dashboard, for each message that all have that must show it.",
        "last_dashboard",
    )


def connect() -> Builder[Panel]:
    """How long does connecting take?"""
    return _stage(
        "Connect",
        "From the start of a connection to `subscribed`. High in a storm of reconnecting dashboards.",
        "connect",
    )


def connections_lost() -> Builder[Panel]:
    """Why did the dashboards' connections close?"""
    return lines(
        "Connections lost, by code",
        "Dashboards' connections that closed unexpectedly, by close code, within the last $window. 1006: no close "
        "frame, so cut off or a network failure; 1012, 1001: a restart; 1008, 1009: limits.",
        COUNT,
        PanelSeries("{{code}}", total(increase("chatswarm_connections_lost_total"), "code")),
    )


def commit() -> Builder[Panel]:
    """Is the disk slow?"""
    return _inside(
        "Commit",
        "How long a commit takes, from the first wait for the lock. Every send waits for one.",
        "chat_commit_seconds",
    )


def writes_per_commit() -> Builder[Panel]:
    """Do sends queue up for the disk?"""
    return lines(
        "Writes per commit",
        "The average number of writes per commit. It grows when writes arrive faster than the disk commits.",
        COUNT,
        PanelSeries("writes", average("chat_commit_writes")),
    )


def broadcast() -> Builder[Panel]:
    """How long until a message was written to every socket?"""
    return _inside(
        "Broadcast",
        "From a message's commit until its last byte was written to a socket. High: too many dashboards for one "
        "process.",
        "chat_broadcast_seconds",
    )


def delivery() -> Builder[Panel]:
    """How long until a message was written to one dashboard?"""
    return _inside(
        "Delivery",
        "From a message's commit until its bytes were written to each dashboard's socket. A p50 far below the p99: the "
        "last dashboards wait for the first, so there are too many for one process. Bytes that a socket does not take "
        "are in Unsent bytes.",
        "chat_delivery_seconds",
    )


def unsent_bytes() -> Builder[Panel]:
    """Do dashboards read too slowly?"""
    return lines(
        "Unsent bytes",
        "Bytes that dashboards have not taken yet, over all dashboards. It grows when they read too slowly; after 5 s "
        "without reading, a dashboard is cut off.",
        BYTES,
        PanelSeries("unsent", total(of_backend("chat_unsent_bytes"))),
    )


def backend_loop_lag() -> Builder[Panel]:
    """Is the backend overloaded?"""
    return _inside(
        "Backend: loop lag",
        "How late the backend's event loop wakes. High: it does too much at once, and everything else waits.",
        "chat_loop_lag_seconds",
    )


def backend_refetch() -> Builder[Panel]:
    """Is the list slow?"""
    return _inside(
        "Backend: refetch",
        "How long the backend takes to serve a read of the list. The rest of Refetch is the network and the rig.",
        "chat_refetch_seconds",
    )


def refetches() -> Builder[Panel]:
    """How often is the list read?"""
    return lines(
        "Refetches",
        "Reads of the chat list per second, by outcome. 304: not changed. They grow with dashboards × messages until "
        "each dashboard reads as often as it may.",
        PER_SECOND,
        PanelSeries("{{outcome}}", total(rate("chat_refetches_total"), "outcome")),
    )


def fan_out() -> Builder[Panel]:
    """How many dashboards does each message go to?"""
    return lines(
        "Dashboards per broadcast",
        "The average number of subscribers that a message was written to. Broadcast and Delivery grow with it.",
        COUNT,
        PanelSeries("dashboards", average("chat_fanout_dashboards")),
    )


def close_codes() -> Builder[Panel]:
    """With which codes did the backend's connections close?"""
    return lines(
        "Close codes",
        "Closed dashboards' connections, by close code as the backend saw it, within the last $window.",
        COUNT,
        PanelSeries("{{code}}", total(increase("chat_closes_total"), "code")),
    )


def cut_off() -> Builder[Panel]:
    """Was a dashboard cut off for not reading?"""
    return lines(
        "Cut off",
        "Dashboards cut off since the backend started. buffer: too many bytes unsent; age: a byte unsent for 5 s.",
        COUNT,
        PanelSeries("{{reason}}", total(of_backend("chat_dashboards_cut_total"), "reason")),
        limits=((0.0, GREEN), (1.0, RED)),
    )


def refused() -> Builder[Panel]:
    """Why were sends refused?"""
    return lines(
        "Sends refused",
        "Sends that the backend refused, by reason, within the last $window. unavailable: the store is locked or full.",
        COUNT,
        PanelSeries("{{reason}}", total(increase("chat_messages_refused_total"), "reason")),
    )


def backend_dashboards() -> Builder[Panel]:
    """How many dashboards does the backend see?"""
    return lines(
        "Backend: dashboards",
        "Connected and subscribed dashboards, as the backend counts them: the swarm's, rogues, and real ones.",
        COUNT,
        PanelSeries("connected", total(of_backend("chat_dashboards_connected"))),
        PanelSeries("subscribed", total(of_backend("chat_dashboards_subscribed"))),
    )


def backend_cpu() -> Builder[Panel]:
    """Does the backend have CPU to spare?"""
    return lines(
        "Backend: CPU",
        "Cores used by the backend, over all its workers; one worker can use about one. Near that, increase "
        "`chatswarm serve --workers`.",
        CORES,
        PanelSeries("cores", total(rate("process_cpu_seconds_total"))),
    )


def backend_memory() -> Builder[Panel]:
    """Does the backend leak memory?"""
    return lines(
        "Backend: memory",
        "Resident memory of the backend, over all its workers. It must be flat under a steady load.",
        BYTES,
        PanelSeries("resident", total(of_backend("process_resident_memory_bytes"))),
        PanelSeries("write-ahead log", f"max({of_backend('chat_wal_bytes')})"),
    )


def _stage(title: str, description: str, name: str) -> Builder[Panel]:
    return _inside(title, description, f"chatswarm_{name}_seconds")


def _inside(title: str, description: str, histogram: str) -> Builder[Panel]:
    quantiles = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    description += " Over the last $window; max is the edge of the highest bucket."
    return lines(title, description, SECONDS, *(PanelSeries(legend, quantile(q, histogram)) for legend, q in quantiles))


BOARD = Board(
    uid="chatswarm-stages",
    title="chatswarm: where does the time go?",
    description="Each stage from intended to visible, as the swarm sees it, and what the backend does meanwhile.",
    rows=(
        BoardRow("From intended to visible, as the swarm sees it", 8, ((all_stages, 14), (every_delivery, 10))),
        BoardRow(
            "",
            6,
            ((accepted, 4), (notified, 4), (refetch, 4), (last_dashboard, 4), (connect, 4), (connections_lost, 4)),
        ),
        BoardRow(
            "Inside the backend",
            6,
            (
                (commit, 4),
                (broadcast, 4),
                (delivery, 4),
                (unsent_bytes, 4),
                (backend_loop_lag, 4),
                (backend_refetch, 4),
            ),
        ),
        BoardRow(
            "", 6, ((writes_per_commit, 4), (fan_out, 4), (refetches, 4), (close_codes, 4), (cut_off, 4), (refused, 4))
        ),
        BoardRow("", 6, ((backend_dashboards, 8), (backend_cpu, 8), (backend_memory, 8))),
    ),
)
