"""The options that chatswarm adds to Locust's command line and to the form of its page."""

import argparse
import os

from chatswarm.loadtests.protocols.protocol import DEFAULT

from .options import PAGE_FIELDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser, Locust's or another."""
    group = parser.add_argument_group("chatswarm")
    group.add_argument(
        "--scenario", default="steady", metavar="NAME",
        help="a shipped scenario (`chatswarm scenarios` lists them; kill and others make faults) or a TOML file",
    )  # fmt: skip
    group.add_argument(
        "--protocol", default=DEFAULT, metavar="NAME",
        help="the kind of chat: a shipped one (`chatswarm protocols` lists them), a TOML file, or module:Class",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=1, help="the same seed gives the same schedule")
    group.add_argument("--origin", default="", metavar="URL", help="the Origin of every request (default: none)")
    group.add_argument(
        "--users-file", metavar="FILE", help="CSV with a row per user: name, and what its login needs; on every host"
    )
    group.add_argument(
        "--traceparent", action="store_true",
        help="send a W3C trace context with each send and refetch by HTTP, to find messages in the target's tracing",
    )  # fmt: skip
    group.add_argument("--out", default="", help="the run's folder (default: runs/<time>-<scenario>)")
    group.add_argument(
        "--metrics-port", type=int, default=setting("CHATSWARM_METRICS_PORT"), metavar="PORT",
        help="serve live figures for Prometheus at /metrics on this port (0: a free one; default: "
        "$CHATSWARM_METRICS_PORT, else not at all)",
    )  # fmt: skip
    group.add_argument(
        "--metrics-host", default=setting("CHATSWARM_METRICS_HOST") or "127.0.0.1", metavar="HOST",
        help="the address to serve them on (default: $CHATSWARM_METRICS_HOST, else 127.0.0.1, this machine only)",
    )  # fmt: skip
    group.add_argument(
        "--pid", type=_pid, metavar="PID", help="process ID of the target on this host, for faults on its process"
    )
    group.add_argument(
        "--restart-command", metavar="CMD", help="shell command that starts the target again, for faults that end it"
    )
    group.add_argument(
        "--toxiproxy", metavar="URL", help="API of a running Toxiproxy, for faults of the network (default: our own)"
    )
    group.add_argument(
        "--proxy-host", default="", metavar="HOST",
        help="the name or address by which workers reach the fault proxies (default: that by which each reaches "
        "the master)",
    )  # fmt: skip
    for action in group._group_actions:
        # Locust shows no option of a group unless it is told to. The form is for what may differ from run to run, and
        # nobody may run a command, or end a process, by a web page.
        action.include_in_web_ui = action.dest in PAGE_FIELDS  # type: ignore[attr-defined]  # Locust's own


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a process ID, got {text!r}")
    return int(text)


def setting(name: str) -> str | None:
    """An environment variable, if somebody set it for chatswarm.

    Kubernetes sets CHATSWARM_METRICS_PORT=tcp://10.0.0.1:9646 in every pod next to a service `chatswarm-metrics`.
    """
    value = os.environ.get(name, "").strip()
    return value if value and "://" not in value else None
