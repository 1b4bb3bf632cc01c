"""The dashboard *Is it holding?*: one screen for the engineer who watches a run."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from .board import Board, BoardRow
from .panels import (
    ANY_IS_BAD,
    BLUE,
    CORES,
    COUNT,
    GREEN,
    PER_SECOND,
    RED,
    SECONDS,
    SHARE,
    TARGET,
    YELLOW,
    PanelSeries,
    figure,
    lines,
    states,
)
from .queries import increase, of_swarm, quantile, rate, total, update_quantile

_UPDATE_TARGET = f"max({of_swarm('chatswarm_update_target_seconds')})"
_LAG_LIMIT = f"0.1 * {_UPDATE_TARGET}"  # like the judge, which uses the tightest latency SLO if there is one
_LATE_SENDS = of_swarm("chatswarm_rig_late_sends_total")
_SENDS = of_swarm("chatswarm_messages_sent_total")


def phase() -> Builder[Panel]:
    """Is it measuring yet?"""
    return figure(
        "Phase",
        "The swarm's current phase. Only messages sent during the measurement are judged; the drain waits for those "
        "still on the way.",
        COUNT,
        PanelSeries("{{phase}}", f"max by (phase) ({of_swarm('chatswarm_phase')} == 1)"),
        colours=((0.0, BLUE),),
        names=True,
    )


def update_so_far() -> Builder[Panel]:
    """Would the run pass if it ended now?"""
    return figure(
        "Update p99 so far ÷ target",
        "The p99 of the update latency since the run began, as a share of its target. Missing deliveries count as "
        "infinite. Above 100 % the run is failing. Rounded to the histogram's buckets; the verdict is exact.",
        SHARE,
        PanelSeries("p99 ÷ target", f"{update_quantile(0.99, so_far=True)} / {_UPDATE_TARGET}"),
        colours=((0.0, GREEN), (0.8, YELLOW), (1.0, RED)),
    )


def missing_now() -> Builder[Panel]:
    """Has a message been lost?"""
    return figure(
        "Missing now",
        "Deliveries that are still not visible although their message was accepted longer ago than the update target. "
        "Those still missing at the end of the drain are lost. Look at Losses, and at the active fault.",
        COUNT,
        PanelSeries("missing", total(of_swarm("chatswarm_deliveries_missing"))),
        colours=ANY_IS_BAD,
    )


def late_so_far() -> Builder[Panel]:
    """How many arrived, but too late?"""
    return figure(
        "Late so far",
        "Deliveries that became visible later than the update target, since the run began.",
        COUNT,
        PanelSeries("late", total(of_swarm("chatswarm_deliveries_late_total"))),
        colours=ANY_IS_BAD,
    )


def dashboards_away() -> Builder[Panel]:
    """Are all dashboards subscribed?"""
    planned = total(of_swarm("chatswarm_users", 'kind="dashboard"'))
    return figure(
        "Dashboards away",
        "Planned dashboards that are not subscribed. Normal while they connect; after that, each misses every message.",
        COUNT,
        PanelSeries("away", f"{planned} - {total(of_swarm('chatswarm_dashboards_subscribed'))}"),
        colours=ANY_IS_BAD,
    )


def rig() -> Builder[Panel]:
    """Is the chat slow, or the rig?"""
    # `>= 0` filters out NaN, which is not greater than any limit: a lag that was not measured must not look sound.
    lagging = f"(({quantile(0.99, 'chatswarm_rig_lag_seconds')} >= 0) > bool {_LAG_LIMIT})"
    late = f"({total(_LATE_SENDS)} > bool 0.01 * {total(_SENDS)})"
    return figure(
        "Rig",
        "Starved: the loop lag's p99 is above a tenth of the update target, or more than 1 % of the sends were late. "
        "Then the latencies are the rig's own, and the verdict is undecided: use --processes, or a separate machine.",
        COUNT,
        PanelSeries("starved", f"clamp_max({lagging} + {late}, 1)"),
        words={0: ("sound", GREEN), 1: ("starved", RED)},
    )


def update_latency() -> Builder[Panel]:
    """How long does a message take at the moment?"""
    return lines(
        "Update latency",
        "From when a message was intended until it was visible on a dashboard, over the last $window; missing "
        "deliveries count as infinite (drawn at the histogram's last edge, 10 s). max: the edge of the highest "
        "bucket, an upper bound. Above the target line the promise is broken: see *Where does the time go?*",
        SECONDS,
        PanelSeries("p50", update_quantile(0.5)),
        PanelSeries("p95", update_quantile(0.95)),
        PanelSeries("p99", update_quantile(0.99)),
        PanelSeries("max", update_quantile(1)),
        PanelSeries(TARGET, _UPDATE_TARGET),
    )


def accepted_against_delivered() -> Builder[Panel]:
    """Do deliveries keep up with messages?"""
    return lines(
        "Accepted against delivered",
        "Deliveries per second that are due (accepted messages × dashboards), and that became visible. If visible "
        "stays below due, a backlog is growing.",
        PER_SECOND,
        PanelSeries("due", total(rate("chatswarm_deliveries_expected_total"))),
        PanelSeries("visible", total(rate("chatswarm_deliveries_visible_total"))),
    )


def losses() -> Builder[Panel]:
    """What has not arrived, and will it?"""
    due = total(of_swarm("chatswarm_deliveries_expected_total"))
    visible = total(of_swarm("chatswarm_deliveries_visible_total"))
    return lines(
        "Losses",
        "Deliveries that are not visible yet. On the way: all of them. Missing: those whose message was accepted "
        "longer ago than the update target. Late: those that became visible after it, within the last $window.",
        COUNT,
        PanelSeries("on the way", f"{due} - {visible}"),
        PanelSeries("missing", total(of_swarm("chatswarm_deliveries_missing"))),
        PanelSeries("late", total(increase("chatswarm_deliveries_late_total"))),
        limits=((0.0, GREEN), (1.0, RED)),
    )


def sends() -> Builder[Panel]:
    """Does the chat accept what the widgets send?"""
    return lines(
        "Sends",
        "Messages per second that the schedule intended, and their outcomes. Rejected: certainly not stored. Unknown: "
        "no clear response. Outside faults, both are findings. Rig_failed: a limit of the load generator's machine.",
        PER_SECOND,
        PanelSeries("intended", total(rate("chatswarm_messages_intended_total"))),
        PanelSeries("{{outcome}}", total(rate("chatswarm_messages_total"), "outcome")),
    )


def dashboards_connected() -> Builder[Panel]:
    """Which dashboards are connected, and which were disconnected?"""
    return lines(
        "Dashboards connected",
        "Subscribed and planned dashboards, and connections lost within the last $window.",
        COUNT,
        PanelSeries("planned", total(of_swarm("chatswarm_users", 'kind="dashboard"'))),
        PanelSeries("subscribed", total(of_swarm("chatswarm_dashboards_subscribed"))),
        PanelSeries("lost", total(increase("chatswarm_connections_lost_total"))),
    )


def rig_lag() -> Builder[Panel]:
    """Does the rig keep to its schedule?"""
    return lines(
        "Rig: loop lag",
        "How late the swarm's event loops wake, over all its processes. Above the target line (a tenth of the update "
        "target), measured latencies are partly the rig's own, and the verdict becomes undecided.",
        SECONDS,
        PanelSeries("p50", quantile(0.5, "chatswarm_rig_lag_seconds")),
        PanelSeries("p99", quantile(0.99, "chatswarm_rig_lag_seconds")),
        PanelSeries(TARGET, _LAG_LIMIT),
    )


def rig_cpu() -> Builder[Panel]:
    """Does the rig have CPU to spare?"""
    return lines(
        "Rig: CPU",
        "Cores used by each process of the swarm. A process can use at most one: near 1 it is starved; increase "
        "--processes.",
        CORES,
        PanelSeries("{{process}}", f"max by (process) ({of_swarm('chatswarm_rig_cpu_cores')})"),
        limits=((0.0, GREEN), (0.9, RED)),
    )


def alerts() -> Builder[Panel]:
    """What needs attention?"""
    return states(
        "Alerts",
        "Alert rules that are pending or firing. Their descriptions, in grafana/prometheus/alerts.yml and in "
        "Prometheus under Alerts, say what to do.",
        PanelSeries(
            "{{alertname}}", 'max by (alertname) (ALERTS{alertstate="firing"} + 1 or ALERTS{alertstate="pending"})'
        ),
        words={1: ("pending", YELLOW), 2: ("firing", RED)},
        none="no alert",
    )


BOARD = Board(
    uid="chatswarm-holding",
    title="chatswarm: is it holding?",
    description="Does the chat keep its promise under this load, right now?",
    rows=(
        BoardRow(
            "", 3, ((phase, 4), (update_so_far, 4), (missing_now, 4), (late_so_far, 4), (dashboards_away, 4), (rig, 4))
        ),
        BoardRow("", 9, ((update_latency, 16), (accepted_against_delivered, 8))),
        BoardRow("", 7, ((losses, 6), (sends, 6), (dashboards_connected, 6), (rig_lag, 3), (rig_cpu, 3))),
        BoardRow("", 4, ((alerts, 24),)),
    ),
)
