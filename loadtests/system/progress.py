"""What a swarm reports to its parent process while it runs: a JSON object per line on a pipe."""

import msgspec


class RunProgress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How far the run is: figures for watching, never for judging. Times are in seconds, rates per second."""

    phase: str
    elapsed: float  # since the phase began
    length: float  # that the phase should take
    dashboards: int  # that the scenario plans
    subscribed: int
    arrived: int
    widgets: int
    sent: int
    accepted: int
    refused: int
    rig_failed: int
    in_flight: int
    frames: int
    updates: int
    p99: float | None  # update latency in seconds
    sent_rate: float  # over the last seconds
    update_rate: float


class SwarmNote(msgspec.Struct, frozen=True, tag=True):
    """A line for people."""

    text: str


class SwarmRefusal(msgspec.Struct, frozen=True, tag=True):
    """No run begins. `problems`: a line each."""

    problems: list[str]


ProgressMessage = RunProgress | SwarmNote | SwarmRefusal
