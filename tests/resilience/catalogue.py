"""For each scenario: a chat or dashboard setting that breaks the tested promise, and how that must show."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .chats.names import CLEAN, PUSH_CLEAN
from .judged import STARTS, Start

PROCESS = ("--pid", "{pid}", "--restart-command", "{restart}")
"""Options for faults that need the target's process."""


@dataclass(frozen=True)
class Row:
    """One scenario, which the reference backend passes, and its counterpart, which fails it as `shows` says."""

    scenario: str
    """The name of a shipped scenario, or a path."""
    shows: Mapping[str, str]
    """What the failing verdict must contain: the name of a finding, or the dotted path of a number in `verdict.json`,
    each with a comparison (`"lost": "> 0"`, `"recoveries.0.reconnected": "> 9"`); `slo`: part of a failed SLO."""
    chat: str = ""
    """The broken chat. Empty: the reference backend, for promises that the dashboards break."""
    clean: str = CLEAN
    """The small clean chat that passes; empty: there is none."""
    swarm: Mapping[str, object] = field(default_factory=dict)
    """Keys of `[swarm]` that break the promise."""
    options: tuple[str, ...] = ()
    """Options for a chat that chatswarm did not start. {pid}, {restart} and {database} are the chat's."""
    faults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the name of a `[[fault]]`: keys to add for a chat that chatswarm did not start. With another `kind`, only the
    fault's times are kept. {database} is the chat's; {broker_kill} and {broker_start} are shell commands."""
    flags: tuple[str, ...] = ()
    """Flags of the broken chat. {broker_url} is its broker's."""
    needs_token: bool = False
    """Whether the chat asks dashboards for a token."""
    in_rooms: bool = False
    """Whether the chats are push chats, and the scenario gets rooms, one per widget."""
    broker: bool = False
    """Whether the chat has several workers and a broker between them."""
    starts: tuple[Start, ...] = ("run",)
    """How the run is started, each time. Only `chatswarm run` starts the reference chat."""

    @property
    def counterpart(self) -> str:
        """What breaks the promise, for the table."""
        changed = [f"{key} = {value}" for key, value in self.swarm.items()]
        return ", ".join([*filter(None, [self.chat]), *changed])


_BUS = ("--bus", "{broker_url}")
_NO_BROKER = {"kind": "command", "start": "{broker_kill}", "stop": "{broker_start}"}
_ORIGIN = {"reconnect": "origin"}
_FILE = {"database": "{database}"}
_PUSH = ("--protocol", "push")

ROWS: tuple[Row, ...] = (
    Row("kill", {"store_lost": "> 0"}, "answers-before-the-commit", options=PROCESS, starts=STARTS),
    Row(
        "kill",
        {"messages.rejected": "> 50", "slo": "recovery.max"},
        "forgets-when-killed",
        clean="",
        options=(*PROCESS, *_PUSH),
        in_rooms=True,
    ),
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
    Row("slow-net", {"slo": "notified.p99"}, "one-frame-in-flight", starts=STARTS),
    Row("cut", {"late": "> 0", "slo": "visible.max"}, swarm=_ORIGIN),
    Row(
        "cut",
        {"lost": "> 0", "deliveries.gap": "> 0"},
        "replays-nothing",
        clean=PUSH_CLEAN,
        options=_PUSH,
        in_rooms=True,
    ),
    Row("black-hole", {"slo": "median_dashboard.max"}, swarm=_ORIGIN),
    Row("outage", {"absent": "> 0"}, swarm=_ORIGIN),
    Row("slow-reader", {"messages.unknown": "> 0"}, "awaits-each-dashboard"),
    Row("storm", {"slo": "recovery.max"}, "slow-handshakes"),
    Row("bad-frames", {"refused": "> 0"}, "dies-of-bad-frames"),
    Row("flood", {"messages.unknown": "> 0", "late": "> 0"}, "no-limits"),
    Row("strangers", {"slo": "let_in"}, "lets-everybody-in", needs_token=True),
    Row("intruders", {"slo": "let_in"}, "lets-strangers-join-rooms", clean=PUSH_CLEAN, options=_PUSH),
    Row("intruders", {"slo": "shown"}, "lets-strangers-read-rooms", clean=PUSH_CLEAN, options=_PUSH),
)
