"""What the conductor tells every process of the swarm, and what they tell it: plain values, ready for the wire."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chatswarm.loadtests.protocols import ChatProtocol, protocol_of
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.scenario import Scenario

from .net.addresses import Endpoint, address_of


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run, as every process must know it."""

    run: str
    seed: int
    folder: str
    base_url: str
    protocol: str
    name: str  # of the scenario
    table: dict[str, Any]  # the resolved scenario
    boot_id: str  # of the conductor's machine: on another one, clocks differ
    via: dict[str, str] = field(default_factory=dict)  # place on the net → address of the fault proxy there
    watched: bool = False  # somebody may ask for the live figures: processes report what these are made of
    processes: int = 1  # with users in them
    origin: str | None = None  # sent with every handshake and request; None: no Origin at all

    def scenario(self) -> Scenario:
        return scenario.parse(self.table, self.name, self.name)

    def target(self) -> ChatProtocol:
        return protocol_of(self.protocol)

    def via_of(self, place: str) -> Endpoint | None:
        """The address of the fault proxy at a place (`sockets`, `refetches`, `widgets`); None: there is none."""
        return address_of(self.via[place]) if place in self.via else None

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def wire(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class ProcessProgress:
    """How far one process is, or several together: figures to watch, never to judge."""

    subscribed: int = 0  # dashboards that hear of new messages now
    arrived: int = 0  # dashboards that were subscribed at least once
    widgets: int = 0  # widgets that have a chat, or were refused one
    sent: int = 0
    accepted: int = 0
    refused: int = 0
    rig_failed: int = 0
    in_flight: int = 0
    frames: int = 0
    updates: int = 0
    latencies: dict[int, int] = field(default_factory=dict)  # update latency in ms, bucketed → updates

    def add(self, other: "ProcessProgress") -> None:
        """Adds the figures of another process."""
        for name in (
            "subscribed",
            "arrived",
            "widgets",
            "sent",
            "accepted",
            "refused",
            "rig_failed",
            "in_flight",
            "frames",
            "updates",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for bucket, count in other.latencies.items():
            self.latencies[bucket] = self.latencies.get(bucket, 0) + count

    def p99(self) -> float | None:
        """The update latency in seconds below which 99 % lie, as exact as the buckets; None without any."""
        left = self.updates * 0.01
        for bucket in sorted(self.latencies, reverse=True):
            left -= self.latencies[bucket]
            if left < 0:
                return bucket / 1000
        return None

    def wire(self) -> dict[str, Any]:
        return asdict(self)
