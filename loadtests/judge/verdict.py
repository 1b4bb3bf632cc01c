"""The verdict: the contents of `verdict.json`, which all reports read.

Seconds are floats, counts are integers, and None (JSON `null`) means not measured: it is never replaced by 0.
"""

from typing import Literal

import msgspec

from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import to_json

EXIT_CODES: dict[Outcome, ExitCode] = {
    "pass": ExitCode.PASS,
    "fail": ExitCode.FAIL,
    "undecided": ExitCode.UNDECIDED,
}


class Messages(msgspec.Struct):
    """What the widgets meant to send, and what became of it."""

    intended: int = 0
    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    rig_failed: int = 0  # on a limit of the rig itself: sent = accepted + rejected + unknown + rig_failed


class Deliveries(msgspec.Struct):
    """Accepted messages × eligible dashboards: expected = visible + lost + excused + unproven."""

    expected: int = 0
    visible: int = 0
    lost: int = 0
    excused: int = 0
    unproven: int = 0  # neither seen nor provably lost, because the final read could not tell
    notified: int | None = None
    unnotified: int | None = None
    late: int = 0
    seen_as_text: int = 0  # of the visible ones: the text itself was shown; the others were seen as a count
    gap: int | None = None  # of the lost ones: accepted while the dashboard was between two connections


class Frames(msgspec.Struct):
    """Frames that announce a message: due = matched + missed; received = matched + extra. None: not counted."""

    due: int | None = 0
    received: int = 0
    matched: int | None = None
    missed: int | None = None
    extra: int | None = None


class Counts(msgspec.Struct):
    """How often each finding was made. None: the run does not hold enough to tell."""

    store_lost: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    phantom: int | None = None
    vanished: int | None = None
    corrupted: int | None = None
    misplaced: int | None = None
    silent_socket: int | None = None
    refused: int | None = None
    absent: int | None = None
    recovered: int | None = None
    leaked: int | None = None


class Quantiles(msgspec.Struct):
    """Exact quantiles in seconds over what was expected. None: no samples, or the quantile falls among the lost."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    count: int = 0


class Latency(msgspec.Struct):
    """All latencies of a run. All but refetch, connect and recovery count from when the message was intended."""

    visible: Quantiles = msgspec.field(default_factory=Quantiles)
    notified: Quantiles = msgspec.field(default_factory=Quantiles)
    accepted: Quantiles = msgspec.field(default_factory=Quantiles)
    refetch: Quantiles = msgspec.field(default_factory=Quantiles)
    # Per message: on the first, the median (the lower of two) and the last of its dashboards.
    first_dashboard: Quantiles = msgspec.field(default_factory=Quantiles)
    median_dashboard: Quantiles = msgspec.field(default_factory=Quantiles)
    last_dashboard: Quantiles = msgspec.field(default_factory=Quantiles)
    connect: Quantiles = msgspec.field(default_factory=Quantiles)
    recovery: Quantiles = msgspec.field(default_factory=Quantiles)


class Connections(msgspec.Struct):
    """The dashboards' connections: how many subscribed, failed before that, or were lost after it."""

    subscribed: int = 0
    failed: int = 0
    closed: int = 0
    codes: dict[str, int] = {}  # of the closed ones, by close code; 1006: no close frame


class SloResult(msgspec.Struct):
    """One SLO: the expectation, the measured value of its left side, and the outcome."""

    expect: str
    actual: float | None
    outcome: Outcome
    cause: str = ""  # of a latency that is too high: why, in a sentence


class RigMachine(msgspec.Struct):
    """The load generator's machine in its worst second; of several machines, each figure is that of the worst.

    A pressure is the share of a second in which some task waited for that resource.
    """

    cpu: float | None = None  # cores in use
    cores: int | None = None  # that this machine has
    cpu_pressure: float | None = None
    io_pressure: float | None = None
    memory_pressure: float | None = None
    processor: str | None = None  # its name, of the host that started the run


class Rig(msgspec.Struct):
    """Whether the load generator can be trusted. `reasons` say what is wrong and what to do about it."""

    lag_p99: float | None = None
    cpu: float | None = None  # in cores: the busiest process in its busiest second
    late_sends: int = 0
    clock_bound: float = 0.0  # error in seconds of a latency that was measured between hosts
    sound: bool = True
    reasons: list[str] = []
    machine: RigMachine | None = None


class TargetProcess(msgspec.Struct):
    """A process of the target: of the reference chat, or below the one given by `--pid`."""

    name: str
    pid: int
    cpu: float | None  # cores, in its busiest second; None: it was seen only once
    memory: int  # bytes that were resident, at most


class Example(msgspec.Struct, omit_defaults=True):
    """One case of a finding: which message, where, and when each stage was reached, in seconds after the start."""

    uid: str = ""
    chat: str = ""
    dashboard: int | None = None
    intended: float | None = None
    sent: float | None = None
    accepted: float | None = None
    notified: float | None = None
    visible: float | None = None
    fault: str = ""  # the names of the faults that were active
    detail: str = ""
    trace: str = ""  # the trace id of the message's send, if it had one


class Finding(msgspec.Struct):
    """What a check found, with its worst examples."""

    check: str
    outcome: Outcome
    count: int
    examples: list[Example] = []
    cause: str = ""  # why, in a sentence: see `chatswarm why`; empty: not worked out


class FaultSummary(msgspec.Struct):
    """One fault that was injected. Times are seconds after the start, by the master's clock."""

    name: str
    kind: str
    start: float
    stop: float | None  # None: it was never healed
    evidence: dict[str, float | str] = {}
    clock_bound: float = 0.0  # how far, at most, the clocks of processes on other hosts may be from these times


class Recovery(msgspec.Struct):
    """How the chat came back after one fault. `start` and `stop` are seconds after the start of the run."""

    name: str
    start: float
    stop: float | None
    # All but `detected` count from the fault's stop; 0 if it was already so by then. None: never, or not measured.
    whole_again: float | None = None  # all messages on target on all dashboards, for 3 s with 10 messages in them
    at_least: float | None = None  # the lower bound, if that was not measured
    detected: float | None = None  # from the fault's start until the first dashboard's connection was closed or failed
    reconnected: float | None = None  # the last of the dashboards that it cut off was subscribed again
    first_delivery: float | None = None  # the first message intended after the stop was visible anywhere
    backlog_gone: float | None = None  # the last message that the fault caught was visible on its last dashboard
    dashboards_lost: int = 0
    dashboards_back: int = 0
    reason: str = ""  # why `whole_again` was not measured


class Evidence(msgspec.Struct):
    """How strong each word of the verdict is for this kind of chat: what it promises, and what could be seen."""

    visible: Literal["frame", "refetch"]
    accepted_by: str  # status, ack, echo or written
    subscribed: Literal["confirmed", "asked"]
    store: Literal["read", "not read", "failed"]
    audience: Literal["everybody", "members"]
    deflate: int | None  # connections that agreed on compression; None: not recorded


class Verdict(msgspec.Struct):
    """The contents of `verdict.json`."""

    verdict: Outcome
    exit_code: int
    scenario: str
    target: str
    seed: int
    started: str
    seconds: float  # measured
    dashboards: int
    widgets: int
    messages: Messages
    deliveries: Deliveries
    frames: Frames
    counts: Counts
    latency: Latency
    connections: Connections
    slos: list[SloResult]
    rig: Rig
    faults: list[FaultSummary]
    recoveries: list[Recovery]  # one per fault
    findings: list[Finding]
    reasons: list[str]  # why the verdict is not what the findings and SLOs alone would say
    folder: str = ""
    notes: list[str] = []  # worth knowing, but without effect on the outcome
    target_processes: list[TargetProcess] = []  # empty: chatswarm did not know them
    evidence: Evidence | None = None  # None: nothing was measured
    rooms: int | None = None  # of the scenario; None: it has none
    load: str = ""  # a fingerprint: runs with the same one asked the same of their targets, whatever the seed and SLOs

    def json(self) -> bytes:
        """The bytes of `verdict.json`."""
        return msgspec.json.format(to_json(self), indent=2) + b"\n"


FINDINGS = (
    "lost", "store_lost", "unnotified", "late", "duplicated", "reordered", "phantom", "vanished", "corrupted",
    "misplaced", "silent_socket", "refused", "absent", "leaked",
)  # fmt: skip
