"""Which chat, or which behaviour of the dashboards, lacks the promise that a scenario tests, and how that must show."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PROCESS = ("--pid", "{pid}", "--restart-command", "{restart}")
"""Flags of `chatswarm run` for faults that need the target's process."""


@dataclass(frozen=True)
class Row:
    """One scenario: the reference backend passes it, and what lacks the promise fails it, as `shows` says."""

    scenario: str
    """A shipped one, or the path of a file."""
    shows: Mapping[str, str]
    """What a failing verdict must hold: a finding by its name, or any figure of `verdict.json` by its dotted path, each
    with a comparison (`"lost": "> 0"`, `"recoveries.0.reconnected": "> 9"`); `slo`: words of an SLO that failed."""
    chat: str = ""
    """The one without the promise. Empty: the reference backend, where the promise is the dashboards' own."""
    swarm: Mapping[str, object] = field(default_factory=dict)
    """Keys of `[swarm]` that are different where the promise is not kept."""
    options: tuple[str, ...] = ()
    """Flags of `chatswarm run` with the chat. {pid}, {restart} and {database} are the chat's."""
    faults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Keys of a `[[fault]]`, by its name, that it needs with a chat that chatswarm did not start; with another `kind`,
    only its time remains. {database} is the chat's; {broker_kill} and {broker_start} are shell commands."""
    flags: tuple[str, ...] = ()
    """Flags of the chat; {broker_url} is its broker's."""
    guarded: bool = False
    """Whether dashboards must bear a token."""
    broker: bool = False
    """Whether the chat needs one. Such a chat has several workers."""

    @property
    def counterpart(self) -> str:
        """What lacks the promise, in a word."""
        changed = [f"{key} = {value}" for key, value in self.swarm.items()]
        return ", ".join([*filter(None, [self.chat]), *changed])


_BUS = ("--bus", "{broker_url}")
_NO_BROKER = {"kind": "command", "start": "{broker_kill}", "stop": "{broker_start}"}
_ORIGIN = {"reconnect": "origin"}
_FILE = {"database": "{database}"}

ROWS: tuple[Row, ...] = (
    Row("kill", {"store_lost": "> 0"}, "answers-before-the-commit", options=PROCESS),
    Row("deploy", {"slo": "closed.1012"}, "forgets-to-say-goodbye", options=PROCESS),
    Row("deploy", {"slo": "exit_seconds"}, "awaits-each-dashboard", options=PROCESS),
    Row("worker-killed", {"lost": "> 0"}, "publishes-later", options=PROCESS, flags=_BUS, broker=True),
    Row("pause", {"store_lost": "> 0"}, "drops-what-waited", options=PROCESS),
    Row("store-locked", {"store_lost": "> 0"}, "swallows-store-errors", faults={"store-locked": _FILE}),
    Row("store-full", {"store_lost": "> 0"}, "swallows-store-errors", options=PROCESS, faults={"store-full": _FILE}),
    Row(
        "broker",
        {"lost": "> 0"},
        "publishes-at-most-once",
        flags=_BUS,
        broker=True,
        faults={"broker-killed": _NO_BROKER, "broker-silent": _NO_BROKER},
    ),
    Row("slow-net", {"slo": "notified.p99"}, "one-frame-in-flight"),
    Row("cut", {"late": "> 0", "slo": "visible.max"}, swarm=_ORIGIN),
    Row("black-hole", {"slo": "median_dashboard.max"}, swarm=_ORIGIN),
    Row("outage", {"absent": "> 0"}, swarm=_ORIGIN),
    Row("slow-reader", {"messages.unknown": "> 0"}, "awaits-each-dashboard"),
    Row("storm", {"slo": "recovery.max"}, "slow-handshakes"),
    Row("bad-frames", {"refused": "> 0"}, "dies-of-bad-frames"),
    Row("flood", {"messages.unknown": "> 0", "late": "> 0"}, "no-limits"),
    Row("strangers", {"slo": "let_in"}, "lets-everybody-in", guarded=True),
)
