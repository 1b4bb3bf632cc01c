"""*Where does the time go?* Each stage from intended to visible, and what the backend does meanwhile."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from .board import Board, BoardRow
from .panels import BYTES, CORES, COUNT, GREEN, PER_SECOND, RED, SECONDS, TARGET, PanelSeries, cloud, lines
from .queries import average, increase, of_backend, of_swarm, quantile, rate, total, update_quantile

_UPDATE_TARGET = f"max({of_swarm('chatswarm_update_target_seconds')})"


def all_stages() -> Builder[Panel]:
    """Which stage takes it?"""
    return lines(
        "All stages, p99",
        "From intended until: accepted (the answer), notified (the frame at a dashboard), visible (the refetch that "
        "shows it), visible on the last dashboard. Where two lines part, there the time goes. Refetch: one alone, "
        "from its start.",
        SECONDS,
        PanelSeries("accepted", quantile(0.99, "chatswarm_accepted_seconds")),
        PanelSeries("notified", quantile(0.99, "chatswarm_notified_seconds")),
        PanelSeries("refetch", quantile(0.99, "chatswarm_refetch_seconds")),
        PanelSeries("visible", update_quantile(0.99)),
        PanelSeries("last dashboard", quantile(0.99, "chatswarm_last_dashboard_seconds")),
        PanelSeries(TARGET, _UPDATE_TARGET),
    )


def every_delivery() -> Builder[Panel]:
    """Are all a little slow, or a few very?"""
    return cloud(
        "Every delivery",
        "The update latencies of all deliveries: each row a bucket, the brighter the more. Two bands are two kinds of "
        "dashboards, or of messages.",
        SECONDS,
        PanelSeries("{{le}}", total(increase("chatswarm_visible_seconds_bucket"), "le")),
    )


def accepted() -> Builder[Panel]:
    """How long does a widget wait?"""
    return _stage(
        "Accepted", "From intended to the end of the 2xx. High: see Commit and Backend: loop lag.", "accepted"
    )


def notified() -> Builder[Panel]:
    """When does a dashboard hear of it?"""
    return _stage(
        "Notified",
        "From intended to the frame that announces it, of those that came. High with a low Accepted: see Broadcast, "
        "Delivery and Unsent bytes.",
        "notified",
    )


def refetch() -> Builder[Panel]:
    """How long does reading the list take?"""
    return _stage(
        "Refetch",
        "A dashboard's GET of the chat list, from its own start. High: see Backend: refetch, and how many there are.",
        "refetch",
    )


def last_dashboard() -> Builder[Panel]:
    """When have all seen it?"""
    return _stage(
        "Last dashboard",
        "From intended until visible on the slowest of all dashboards, per message that all of them have seen.",
        "last_dashboard",
    )


def connect() -> Builder[Panel]:
    """How long does coming back take?"""
    return _stage(
        "Connect",
        "From the start of a connection to `subscribed`. High in a storm of reconnecting dashboards.",
        "connect",
    )


def connections_lost() -> Builder[Panel]:
    """How did the dashboards' connections end?"""
    return lines(
        "Connections lost, by code",
        "Dashboards' connections that ended against their will, by close code, within the last $window. 1006: without "
        "a close, so cut off or the net; 1012, 1001: a restart; 1008, 1009: limits.",
        COUNT,
        PanelSeries("{{code}}", total(increase("chatswarm_connections_lost_total"), "code")),
    )


def commit() -> Builder[Panel]:
    """Is the disk slow?"""
    return _inside("Commit", "From the begin to the end of a commit. Every send waits for one.", "chat_commit_seconds")


def writes_per_commit() -> Builder[Panel]:
    """Do sends queue for the disk?"""
    return lines(
        "Writes per commit",
        "Writes that shared one commit, on average. It grows when they come faster than the disk commits.",
        COUNT,
        PanelSeries("writes", average("chat_commit_writes")),
    )


def broadcast() -> Builder[Panel]:
    """How long until a message was handed to all?"""
    return _inside(
        "Broadcast",
        "From a message's commit until its last byte was handed to a socket. High: too many dashboards for one "
        "process.",
        "chat_broadcast_seconds",
    )


def delivery() -> Builder[Panel]:
    """How long until one dashboard had its bytes?"""
    return _inside(
        "Delivery",
        "From a message's commit until its bytes were written to each dashboard's socket. A p50 far below the p99: the "
        "last ones wait for the first ones, so there are too many for one process. What a socket does not take is in "
        "Unsent bytes.",
        "chat_delivery_seconds",
    )


def unsent_bytes() -> Builder[Panel]:
    """Who does not read?"""
    return lines(
        "Unsent bytes",
        "Bytes that dashboards have not taken yet, over all of them. It grows when they read too slowly; who does not "
        "read for 5 s is cut off.",
        BYTES,
        PanelSeries("unsent", total(of_backend("chat_unsent_bytes"))),
    )


def backend_loop_lag() -> Builder[Panel]:
    """Is the backend out of breath?"""
    return _inside(
        "Backend: loop lag",
        "How late the backend's event loop wakes. High: it does too much at once, and everything waits.",
        "chat_loop_lag_seconds",
    )


def backend_refetch() -> Builder[Panel]:
    """Is the list slow to answer?"""
    return _inside(
        "Backend: refetch",
        "How long the backend takes to answer a read of the list. The rest of Refetch is the net, and the rig.",
        "chat_refetch_seconds",
    )


def refetches() -> Builder[Panel]:
    """How much is the list read?"""
    return lines(
        "Refetches",
        "Reads of the chat list per second, by outcome. 304: nothing had changed. They grow with dashboards × messages "
        "until each dashboard reads as often as it may.",
        PER_SECOND,
        PanelSeries("{{outcome}}", total(rate("chat_refetches_total"), "outcome")),
    )


def fan_out() -> Builder[Panel]:
    """To how many does each message go?"""
    return lines(
        "Dashboards per broadcast",
        "Subscribers that each message was written to, on average. Broadcast and Delivery grow with it.",
        COUNT,
        PanelSeries("dashboards", average("chat_fanout_dashboards")),
    )


def close_codes() -> Builder[Panel]:
    """How did the backend close?"""
    return lines(
        "Close codes",
        "Dashboards' connections that ended, by the backend's close code, within the last $window.",
        COUNT,
        PanelSeries("{{code}}", total(increase("chat_closes_total"), "code")),
    )


def cut_off() -> Builder[Panel]:
    """Was a dashboard cut off for not reading?"""
    return lines(
        "Cut off",
        "Dashboards that the backend cut off since it started. buffer: too much unsent; age: a byte unsent for 5 s.",
        COUNT,
        PanelSeries("{{reason}}", total(of_backend("chat_dashboards_cut_total"), "reason")),
        limits=((0.0, GREEN), (1.0, RED)),
    )


def refused() -> Builder[Panel]:
    """Why were sends refused?"""
    return lines(
        "Sends refused",
        "Sends that the backend did not take, by reason, within the last $window. unavailable: the store was locked "
        "or full.",
        COUNT,
        PanelSeries("{{reason}}", total(increase("chat_messages_refused_total"), "reason")),
    )


def backend_dashboards() -> Builder[Panel]:
    """Whom does the backend know of?"""
    return lines(
        "Backend: dashboards",
        "Dashboards connected and subscribed, as the backend counts them: those of the swarm, rogues, and real ones.",
        COUNT,
        PanelSeries("connected", total(of_backend("chat_dashboards_connected"))),
        PanelSeries("subscribed", total(of_backend("chat_dashboards_subscribed"))),
    )


def backend_cpu() -> Builder[Panel]:
    """Is there CPU left for the backend?"""
    return lines(
        "Backend: CPU",
        "Cores that the backend uses, over all its workers; one worker cannot use more than about one. Near that, use "
        "`chatswarm serve --workers`.",
        CORES,
        PanelSeries("cores", total(rate("process_cpu_seconds_total"))),
    )


def backend_memory() -> Builder[Panel]:
    """Does it grow?"""
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
    description="Each stage from intended to visible, as the swarm sees it; and what the backend does meanwhile.",
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
