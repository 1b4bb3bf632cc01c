"""The progress of a run, as the swarm reports it on a pipe and the terminal shows it."""

import msgspec


class RunProgress(msgspec.Struct):
    """One progress report of the swarm: figures for watching, never for judging."""

    phase: str
    elapsed: float
    length: float
    dashboards: int
    subscribed: int
    sent: int
    accepted: int
    refused: int
    rig_failed: int
    frames: int
    updates: int
    p99: float | None
    sent_rate: float  # per second, over the last seconds
    update_rate: float
