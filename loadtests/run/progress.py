"""How far a run is, as the swarm tells it on a pipe and the terminal shows it."""

import msgspec


class RunProgress(msgspec.Struct):
    """A line of the swarm's progress: figures to watch, never to judge."""

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
